"""The web entry: HTTP goes to Django, a WebSocket to the app's live socket at /live/."""

import gc
import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# First of all: it makes the settings and the apps ready.
http = get_asgi_application()

from django.urls import get_resolver  # noqa: E402

from krakendata.live.routing import websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": http, "websocket": websocket_application()})

# All pages are imported now, and what was imported stays: let nobody look through it for garbage again. Otherwise a
# request in a few hundred stands still for a quarter of a second while hundreds of thousands of objects are looked at.
_ = get_resolver().url_patterns
gc.collect()
gc.freeze()
