"""A way to cut a socket whose client takes nothing any more: ASGI knows none that does not wait for the client."""

from __future__ import annotations

import socket
import struct
from functools import partial
from typing import Any

# On, and zero seconds: what the kernel still holds for the client is dropped, and the line reset. Without it the kernel
# keeps up to 4 MB for minutes after our end is closed.
NO_LINGERING = struct.pack("ii", 1, 0)


class CuttableSockets:
    """An ASGI application around another: puts `cut`, a function, into the scope of each WebSocket.

    It reaches for the connection behind uvicorn's `send`. With another server it does nothing, and a stuck client's
    socket stays until that server's own time is up.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        await self._application({**scope, "cut": partial(_cut, transport)}, receive, send)


def _cut(transport: Any) -> None:
    if not hasattr(transport, "abort"):
        return
    line = transport.get_extra_info("socket")
    if line is not None and line.family in (socket.AF_INET, socket.AF_INET6):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
    transport.abort()
