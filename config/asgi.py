"""The web entry: HTTP goes to Django, a WebSocket to the app's live socket at /live/."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# First of all: it makes the settings and the apps ready.
http = get_asgi_application()

from krakendata.live.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": http, "websocket": websocket_application()})
