"""The hub without Redis and without a database: what it makes of the feed's messages, and how it ends."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from krakendata.live import hub as hub_module
from krakendata.live.hub import JOIN_SECONDS, SILENT, Hub
from krakendata.live.outbox import Outbox
from krakendata.live.requests import Topic
from krakendata.live.shared import SharedCandles
from krakendata.live_messages import pulse_message
from krakendata.types import Trade, interval_of


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


# --- which pairs are heard ---


class Followed:
    """Stands for a series: counts how often it is doubted, and keeps what it hears."""

    def __init__(self, hub: Hub, symbol: str) -> None:
        self.doubts = 0
        self.heard: list[int] = []
        self.topic = Topic("candles", symbol, interval_of("1m"))
        self.shared = SharedCandles(self.topic, interval_of("1m"))
        self.shared.doubt = self._doubt  # type: ignore[method-assign]
        self.shared.hear = self.heard.append  # type: ignore[method-assign, assignment]
        hub._shared[self.topic] = self.shared
        hub._by_symbol[symbol].append(self.shared)

    def _doubt(self) -> None:
        self.doubts += 1

    def count(self) -> int:
        """How often it was doubted since it was asked last."""
        count, self.doubts = self.doubts, 0
        return count


class Clock:
    """The hub's clock, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
        self.now, self._hub = 1_000.0, hub
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        hub._started = self.now

    def pulse(self, feed: str, *symbols: str) -> None:
        self._hub._take(pulse_message(feed, datetime.now(UTC), symbols))

    def go_on(self, seconds: float) -> None:
        self.now += seconds
        self._hub._look_for_silence()


@pytest.fixture
def hub() -> Hub:
    return Hub({}, Layer())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Clock:
    return Clock(monkeypatch, hub)


def test_only_pairs_that_a_pulse_names_are_heard(hub: Hub, clock: Clock) -> None:
    named, other = Followed(hub, "BTC/USD"), Followed(hub, "ETH/USD")
    for _ in range(10):
        clock.pulse("a", "BTC/USD")
        clock.go_on(1)
    assert len(named.heard) == 10
    assert other.heard == []
    assert hub._late_from("BTC/USD") <= clock.now
    assert hub._late_from("ETH/USD") == math.inf


def test_a_pair_is_doubted_when_the_only_feed_that_names_it_falls_silent(hub: Hub, clock: Clock) -> None:
    both, only = Followed(hub, "BTC/USD"), Followed(hub, "ETH/USD")
    clock.pulse("a", "BTC/USD", "ETH/USD")
    clock.pulse("b", "BTC/USD")
    assert (both.count(), only.count()) == (1, 1)
    for _ in range(4):
        clock.go_on(1)
        clock.pulse("b", "BTC/USD")
    assert both.count() == 0
    assert only.count() > 0
    assert hub._late_from("ETH/USD") == math.inf
    clock.pulse("a", "BTC/USD", "ETH/USD")
    assert (both.count(), only.count()) == (0, 1)
    assert hub._late_from("ETH/USD") == clock.now + JOIN_SECONDS


def test_a_pair_that_a_pulse_names_no_more_is_doubted(hub: Hub, clock: Clock) -> None:
    followed = Followed(hub, "BTC/USD")
    clock.pulse("a", "BTC/USD")
    clock.go_on(1)
    assert followed.count() == 1
    clock.pulse("a")
    assert followed.count() == 1
    assert hub._late_from("BTC/USD") == math.inf


def test_trades_from_before_a_silence_are_not_fresh(hub: Hub, clock: Clock) -> None:
    Followed(hub, "BTC/USD")
    clock.pulse("a", "BTC/USD")
    hub._tape.add([Trade("BTC/USD", 1, 1, Decimal(1), Decimal(1))])
    assert hub._tape.of("BTC/USD")[1]
    clock.go_on(6)
    assert not hub._tape.of("BTC/USD")[1]
    assert hub._state == SILENT
