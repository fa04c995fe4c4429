"""What is answered as proven is right, also between a late trade and the next refresh of the rollups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.storage.stale import MOST_STRETCHES, read_stale
from krakendata.types import INTERVALS, Trade, ns_of
from tests.fix_storage import FENCE, Store
from tests.random_market import SYMBOL, write_trades

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = FENCE + 3 * DAY
NOW = FENCE + 10 * DAY + 90 * MINUTE
ROLLUPS = [interval for interval in INTERVALS.values() if interval.parent]


def trades(ids: Sequence[int], every: timedelta, start: datetime = START) -> list[Trade]:
    """Trades by their ids, the first id at `start`, one after the other; the price is the id."""
    return [
        Trade(SYMBOL, number, ns_of(start + (number - 1) * every), Decimal(number), Decimal(1))
        for number in ids
    ]


@pytest.fixture
async def provider(store: Store) -> AsyncIterator[HistoricalDataProvider]:
    for relation in ("trades", "candles"):
        await store.connection.execute("SELECT make_partitions(%s, %s, %s)", [relation, FENCE, NOW])
    async with HistoricalDataProvider(store.database, clock=lambda: NOW) as connected:
        yield connected


async def stale(store: Store, name: str, stretch: Stretch | None = None) -> list[Stretch]:
    asked = stretch or Stretch(FENCE, FENCE + 7 * DAY)
    return await read_stale(store.connection, store.edition, INTERVALS[name], SYMBOL, asked)


@pytest.mark.parametrize("name", [interval.name for interval in ROLLUPS] + ["2h", "45m", "2d", "1mo"])
async def test_a_late_trade_shows_at_once_in_what_is_proven(
    store: Store, provider: HistoricalDataProvider, name: str
) -> None:
    every = trades(range(1, 600), 10 * MINUTE)
    late = every[123]
    await write_trades(store, [trade for trade in every if trade is not late])
    await store.refresh(NOW)
    asked = SYMBOL, name, FENCE - DAY, every[-1].timestamp
    before = await provider.get_candles(*asked, include_open=True)
    await write_trades(store, [late])
    found = await provider.get_candles(*asked, include_open=True)
    assert sum(candle.trade_count for candle in found) == sum(candle.trade_count for candle in before) + 1
    assert all(candle.last_id - candle.first_id + 1 == candle.trade_count for candle in found)  # type: ignore[operator]
    assert not found.coverage.holes or found.coverage.holes[0].start > late.timestamp
    await store.refresh(NOW)
    assert list(await provider.get_candles(*asked, include_open=True)) == list(found)


@pytest.mark.parametrize("interval", ROLLUPS, ids=lambda interval: interval.name)
async def test_a_refreshed_rollup_is_read_as_it_is(store: Store, interval: str) -> None:
    name = getattr(interval, "name", interval)
    for relation in ("trades", "candles"):
        await store.connection.execute("SELECT make_partitions(%s, %s, %s)", [relation, FENCE, NOW])
    every = trades(range(1, 200), 10 * MINUTE)
    await write_trades(store, every[:100] + every[101:])
    await store.refresh(NOW)
    assert await stale(store, name) == []
    await write_trades(store, [every[100]])
    (bucket,) = await stale(store, name)
    assert bucket.start <= every[100].timestamp < bucket.end
    assert bucket.end - bucket.start == INTERVALS[name].length
    await store.refresh(NOW)
    assert await stale(store, name) == []


async def test_more_stale_stretches_than_a_statement_takes_are_joined(
    store: Store, provider: HistoricalDataProvider
) -> None:
    every = trades(range(1, 700), 12 * MINUTE)
    late = every[5::25]
    await write_trades(store, [trade for trade in every if trade not in late])
    await store.refresh(NOW)
    for trade in late:
        await write_trades(store, [trade])
    assert len(await stale(store, "1h")) <= MOST_STRETCHES
    found = await provider.get_candles(SYMBOL, "1h", START, START + 5 * DAY)
    assert [candle.trade_count for candle in found] == [5] * 120


@pytest.mark.community
async def test_a_rollup_above_one_that_is_stale_is_stale(
    store: Store, provider: HistoricalDataProvider
) -> None:
    every = trades(range(1, 200), 10 * MINUTE)
    await write_trades(store, every[:100] + every[101:])
    await store.refresh(NOW)
    await write_trades(store, [every[100]])
    await store.connection.execute(
        "CALL refresh_continuous_aggregate('candles_4h', %s, %s)", [FENCE, START + DAY]
    )
    assert len(await stale(store, "4h")) == 1
    found = await provider.get_candles(SYMBOL, "4h", START, START + DAY)
    assert sum(candle.trade_count for candle in found) == 144


async def test_a_late_trade_does_not_bring_a_coarse_row_back(
    store: Store, provider: HistoricalDataProvider
) -> None:
    every = trades(range(1, 100), 10 * MINUTE)
    await write_trades(store, [*every[:50], *every[51:]])
    async with store.connection.transaction():
        await store.connection.execute(
            "INSERT INTO staged_candles (symbol, timestamp, open, high, low, close, volume, trade_count) "
            "SELECT %s, d, 1, 1, 1, 1, 1, 1 FROM generate_series(%s, %s, interval '1 hour') d",
            [SYMBOL, START - 2 * HOUR, START + HOUR],
        )
        await store.connection.execute("SELECT merge_coarse_candles(60)")
    await store.refresh(NOW)
    await write_trades(store, [every[50]])
    found = await provider.get_candles(SYMBOL, "1h", START - 2 * HOUR, START + 10 * HOUR)
    # What lies before the ledger's first moment is not looked for; the hours of the trades are made of them.
    assert [candle.coarse for candle in found] == [False] * 10
    assert [candle.trade_count for candle in found] == [6] * 10
