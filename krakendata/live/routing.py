"""The app's WebSocket addresses, and the doors before them: our own pages or no page at all, and a login."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.urls import path

from krakendata.consumers import LiveConsumer
from krakendata.live import SOCKET_PATH
from krakendata.live.cutting import CuttableSockets

websocket_urlpatterns = [path(SOCKET_PATH.removeprefix("/"), LiveConsumer.as_asgi())]


def websocket_application() -> Any:
    """What a project puts behind "websocket" in its ASGI application."""
    return CuttableSockets(AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))))
