"""A way to cut a socket whose client takes nothing any more: ASGI knows none that does not wait for the client."""

from __future__ import annotations

from typing import Any


class CuttableSockets:
    """An ASGI application around another: puts `cut`, a function, into the scope of each WebSocket.

    It reaches for the connection behind uvicorn's `send`. With another server it does nothing, and a stuck client's
    socket stays until that server's own time is up.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        cut = getattr(transport, "abort", _nothing)
        await self._application({**scope, "cut": cut}, receive, send)


def _nothing() -> None:
    pass
