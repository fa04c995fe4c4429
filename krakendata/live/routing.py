"""The app's WebSocket addresses, and the doors before them: our own pages or no page at all, and a login."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import path

from krakendata.consumers import LiveConsumer
from krakendata.live import SOCKET_PATH
from krakendata.live.cutting import CuttableSockets

websocket_urlpatterns = [path(SOCKET_PATH.removeprefix("/"), LiveConsumer.as_asgi())]


class OwnPagesOnly(OriginValidator):
    """Refuses pages of other hosts than ours. A browser always says which page is asking; a program need not."""

    def valid_origin(self, parsed_origin: Any) -> bool:
        return parsed_origin is None or bool(super().valid_origin(parsed_origin))


def websocket_application() -> Any:
    """What a project puts behind "websocket" in its ASGI application."""
    hosts = settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
    return CuttableSockets(OwnPagesOnly(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)), hosts))
