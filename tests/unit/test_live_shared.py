"""A series and its followers, with the database's part played."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from krakendata.candles import fold_trades
from krakendata.gaps import Ledger, TradeRun
from krakendata.live import shared as shared_module
from krakendata.live.outbox import Outbox
from krakendata.live.requests import Topic
from krakendata.live.shared import MAX_CANDLES_FETCHED, SharedCandles, Tape
from krakendata.live_series import CandleSnapshot
from krakendata.types import NS_PER_MINUTE, Trade, bucket_start_ns, interval_of, ns_of

SYMBOL, INTERVAL = "BTC/USD", interval_of("1m")
OUTAGE_MINUTES = 30


class Stored:
    """Trades, one a minute up to now, of which those older than `minutes_ago` are written."""

    def __init__(self, minutes: int) -> None:
        now = bucket_start_ns(ns_of(datetime.now(UTC)), 1)
        self.minutes_ago = 0
        self.counts: list[int] = []
        self.trades = [
            Trade(SYMBOL, 1 + n, now - (minutes - 1 - n) * NS_PER_MINUTE, Decimal(100), Decimal(1))
            for n in range(minutes)
        ]

    async def read(self, *asked: Any, count: int, start_ns: int, by_minutes: bool) -> CandleSnapshot:
        self.counts.append(count)
        written = self.trades[: len(self.trades) - self.minutes_ago]
        candles = [each for each in fold_trades(written) if ns_of(each.timestamp) >= start_ns][-count:]
        start_ns = ns_of(candles[0].timestamp) if len(candles) == count else start_ns
        run = TradeRun(1, len(written), written[0].ns, written[-1].ns)
        return CandleSnapshot(start_ns, tuple(candles), Ledger((run,)), covered_to_ns=written[-1].ns)


async def told(outbox: Outbox) -> list[dict[str, Any]]:
    outbox.close()
    return [json.loads(text) async for text in outbox.messages()]


async def test_after_an_outage_longer_than_the_history_every_candle_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = Stored(60)
    stored.minutes_ago = OUTAGE_MINUTES
    monkeypatch.setattr(shared_module, "read_candles", stored.read)
    provider: Any = None
    shared, outbox = SharedCandles(Topic("candles", SYMBOL, INTERVAL), INTERVAL), Outbox()
    await shared.deepen(3, provider, Tape(), time.monotonic())
    shared.follow(outbox, 3)
    stored.minutes_ago = 0
    await shared.refresh(provider, Tape(), time.monotonic())
    _, update = await told(outbox)
    assert [row["last_id"] for row in update["data"]][-OUTAGE_MINUTES:] == list(range(31, 61))
    assert stored.counts[0] == 5
    assert OUTAGE_MINUTES < stored.counts[1] < OUTAGE_MINUTES + 10


async def test_what_is_read_after_an_outage_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(6_000)
    stored.minutes_ago = 5_900
    monkeypatch.setattr(shared_module, "read_candles", stored.read)
    provider: Any = None
    shared = SharedCandles(Topic("candles", SYMBOL, INTERVAL), INTERVAL)
    await shared.deepen(3, provider, Tape(), time.monotonic())
    async with asyncio.timeout(10):
        await shared.refresh(provider, Tape(), time.monotonic())
    assert stored.counts[1] == MAX_CANDLES_FETCHED
