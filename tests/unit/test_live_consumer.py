"""One client of the live socket, without a server and a database."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from krakendata import consumers
from krakendata.consumers import LiveConsumer
from krakendata.live.outbox import Outbox
from krakendata.live.requests import MAX_CLOSEST_LOOKED_FOR, BadRequest, Request, Topic


class FakeHub:
    """Knows no pair; `error`: what else it comes up with when it is asked for one."""

    def __init__(self) -> None:
        self.clients: set[Outbox] = set()
        self.error: Exception | None = None
        self.closest: list[bool] = []

    async def join(self, outbox: Outbox) -> None:
        self.clients.add(outbox)

    async def leave(self, outbox: Outbox) -> None:
        self.clients.discard(outbox)

    def topic(self, request: Request, name: str, *, find_closest: bool) -> Topic:
        if self.error is not None:
            raise self.error
        self.closest.append(find_closest)
        raise BadRequest("Unknown", name)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr(consumers, "hub", lambda: fake)
    monkeypatch.setattr(consumers, "allowed_channels", lambda user: {"candles"})
    return fake


async def serve(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the client's messages to a consumer until it ends; give what it sent."""
    waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    for message in messages:
        waiting.put_nowait(message)
    user = SimpleNamespace(is_authenticated=True, is_staff=True)
    scope = {"type": "websocket", "user": user, "cut": lambda: None}
    async with asyncio.timeout(10):
        await LiveConsumer.as_asgi()(scope, waiting.get, send)
    return [json.loads(each["text"]) for each in sent if "text" in each]


def asking(*symbols: str) -> dict[str, Any]:
    asked = {"method": "subscribe", "params": {"channel": "candles", "symbol": symbols}}
    return {"type": "websocket.receive", "text": json.dumps(asked)}


CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000}


async def test_a_client_is_forgotten_after_a_defect(hub: FakeHub) -> None:
    hub.error = RuntimeError("a defect")
    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError, match="a defect"):
        await serve(CONNECT, asking("BTC/USD"))
    assert not hub.clients
    assert asyncio.all_tasks() == before


async def test_closest_names_are_looked_for_a_few_times_only(hub: FakeHub) -> None:
    told = await serve(CONNECT, asking(*(f"no pair {n}" for n in range(300))), DISCONNECT)
    assert hub.closest == [True] * MAX_CLOSEST_LOOKED_FOR + [False] * (300 - MAX_CLOSEST_LOOKED_FOR)
    assert all(message["success"] is False for message in told)
    assert not hub.clients
