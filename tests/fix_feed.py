"""A feed as stream_trades runs it, in this process: socket, queue, TradeConsumer, writer, on a replay exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from krakendata.consumers import TradeConsumer
from krakendata.gaps import Stretch, gaps_of
from krakendata.ingest.live import LiveFeed
from krakendata.ingest.pair_list import track_pairs
from krakendata.ingest.writer import BufferLimits, DatabaseWriter
from krakendata.kraken.websocket import KrakenWebSocket, Timing
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH
from tests.fix_trading import Replay

PATIENCE_SECONDS = 30
HASTY = BufferLimits(flush_seconds=0.2)
# The market is drawn when it is first asked for, in the server's own loop: a second in which it says nothing.
TIMING = Timing(silence=4.0, ping=0.2, connect=5.0, close=0.2, spacing=0.02, answer=5.0)


async def wait_until(is_so: Callable[[], Any], what: str) -> None:
    """Return once it is so, awaited where it has to be."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = is_so()
                if await answer if asyncio.iscoroutine(answer) else answer:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not come") from None


@dataclass
class Feeding:
    """A feed at work."""

    replay: Replay
    feed: LiveFeed
    writer: DatabaseWriter
    announced: list[Any] = field(default_factory=list)

    def announce_trades(self, trades: list[Any]) -> None:
        self.announced += trades

    announce_candles = announce_trades

    async def trade(self, *symbols: str, minutes: float = 10, speed: float = 300) -> None:
        """Let the market go on for so long, and wait until the last trade of each symbol is written."""
        clock = self.replay.exchange.clock
        until = clock.now + timedelta(minutes=minutes)
        clock.speed = speed
        await wait_until(lambda: clock.now >= until, "the time")
        clock.speed = 0
        for symbol in symbols:
            await self.caught_up(symbol)

    async def caught_up(self, symbol: str) -> None:
        newest = self.replay.sound(symbol)[-1].trade_id

        async def is_held() -> bool:
            await self.writer.flush()
            rows = await self.replay.store.fetch(
                "SELECT max(last_id) FROM trade_runs WHERE symbol = %s", symbol
            )
            return bool(rows == [newest])

        await wait_until(is_held, f"trade {newest} of {symbol}")

    async def holes(self, symbol: str) -> list[Any]:
        """What the ledger lacks between trades."""
        now = self.replay.now
        ledger = await read_ledger(self.replay.store.connection, symbol, Stretch(EPOCH, now))
        return [gap for gap in gaps_of(ledger, None, now) if gap.before is not None and gap.is_begun]


@asynccontextmanager
async def feeding(
    replay: Replay,
    *,
    track: tuple[str, ...] = (),
    limits: BufferLimits = HASTY,
    timing: Timing = TIMING,
    deliver: Callable[[dict[str, Any]], Awaitable[None]] | None = None,
    name: str = "test",
    **options: Any,
) -> AsyncIterator[Feeding]:
    """Run a feed of the tracked pairs until the block ends; what was heard is then written."""
    if track:
        await track_pairs(replay.store.database, track)

    def clock() -> Any:
        return replay.now

    async with (
        DatabaseWriter(replay.store.database, limits=limits, clock=clock) as writer,
        KrakenWebSocket(replay.server.websocket_url, timing=timing, clock=clock) as socket,
    ):
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(4)
        feed = LiveFeed(
            replay.store.database,
            socket,
            writer,
            replay.rest,
            deliver or queue.put,
            name=name,
            clock=clock,
            **options,
        )
        found = Feeding(replay, feed, writer)
        consumer = TradeConsumer.as_asgi(writer=writer, announcer=found)
        consuming = asyncio.create_task(consumer({"type": "channel"}, queue.get, _say_nothing))
        running = asyncio.create_task(feed.run())
        try:
            yield found
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await queue.put({"type": "feed.ended"})
            await consuming


async def _say_nothing(message: Any) -> None: ...


@pytest.fixture
def hasty_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what is done every few seconds many times a second."""
    from krakendata.ingest import live

    monkeypatch.setattr(live, "FOLLOW_SECONDS", 0.2)
    monkeypatch.setattr(live, "KEEP_SECONDS", 0.2)
    monkeypatch.setattr(live, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(live, "FIRST_REPAIR_SECONDS", 0.2)
