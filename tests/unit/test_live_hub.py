"""The hub without Redis and without a database: what it makes of the feed's messages, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from krakendata.live import hub as hub_module
from krakendata.live.hub import Hub
from krakendata.live.outbox import Outbox


class Layer:
    """A channel layer of one channel; `is_away`: whoever leaves it meets a Redis that is gone."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.is_away = is_away
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.left: list[str] = []

    async def new_channel(self, prefix: str) -> str:
        return prefix + "1"

    async def group_add(self, group: str, channel: str) -> None:
        pass

    async def group_discard(self, group: str, channel: str) -> None:
        self.left.append(channel)
        if self.is_away:
            raise ConnectionError("Redis is away")

    async def receive(self, channel: str) -> dict[str, Any]:
        return await self.messages.get()


async def test_it_ends_while_redis_is_away() -> None:
    layer = Layer(is_away=True)
    hub, outbox = Hub({}, layer), Outbox()
    async with asyncio.timeout(5):
        await hub.join(outbox)
        await hub._is_listening.wait()
        await hub.leave(outbox)
    assert layer.left == ["krakendata.live.1"]
    assert not hub._tasks


async def test_nothing_leaks_where_the_group_cannot_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 0.01)
    layer = Layer()

    async def fail(group: str, channel: str) -> None:
        raise ConnectionError

    monkeypatch.setattr(layer, "group_add", fail)
    hub, outbox = Hub({}, layer), Outbox()
    await hub.join(outbox)
    async with asyncio.timeout(5):
        while len(layer.left) < 2:  # noqa: ASYNC110 (the layer says nothing)
            await asyncio.sleep(0.01)
        await hub.leave(outbox)
