"""DatabaseWriter: what the socket says becomes rows, minutes and ledger; nothing is lost while the database refuses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from krakendata.candles import fold_trades
from krakendata.gaps import TradeCheck
from krakendata.ingest import writer as writer_module
from krakendata.ingest.page_walk import Taken
from krakendata.ingest.page_writer import PageWriter
from krakendata.ingest.trade_frame import TradeRows, frame_of
from krakendata.ingest.writer import BufferLimits, DatabaseWriter
from krakendata.storage.writers import Writers
from krakendata.types import Trade, moment_of, ns_of
from tests.fix_storage import NOW, Store

pytestmark = pytest.mark.django_db(transaction=True)

BTC, ETH = "BTC/USD", "ETH/USD"
PATIENT = BufferLimits(flush_trades=10_000, flush_candles=1_000, flush_seconds=3600)


def made(
    count: int, symbol: str = BTC, first_id: int = 1, start: datetime = NOW - timedelta(hours=1)
) -> list[Trade]:
    """Trades of consecutive ids, seven seconds apart."""
    return [
        Trade(
            symbol, first_id + place, ns_of(start + place * timedelta(seconds=7, microseconds=place)),
            Decimal("100.5") + Decimal(place % 13) / 10, Decimal("0.00000001") * (place % 17 + 1),
            "buy" if place % 3 else "sell", "limit" if place % 2 else "market",
        )
        for place in range(count)
    ]  # fmt: skip


def said(trade: Trade) -> dict[str, Any]:
    """The trade as an element of a message."""
    return {
        "symbol": trade.symbol, "side": trade.side, "price": trade.price, "qty": trade.volume,
        "ord_type": trade.order_type, "trade_id": trade.trade_id,
        "timestamp": trade.timestamp.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip


@asynccontextmanager
async def writing(
    store: Store, limits: BufferLimits = PATIENT, **options: Any
) -> AsyncIterator[DatabaseWriter]:
    async with DatabaseWriter(store.database, limits=limits, clock=lambda: NOW, **options) as writer:
        yield writer


async def stored(store: Store, symbol: str = BTC) -> list[Trade]:
    rows = await store.fetch(
        "SELECT symbol, trade_id, timestamp, price, volume, side, order_type FROM trades WHERE symbol = %s "
        "ORDER BY trade_id",
        symbol,
    )
    return [Trade(name, number, ns_of(at), *rest) for name, number, at, *rest in rows]


async def assert_held(store: Store, trades: list[Trade]) -> None:
    """Rows, minutes, ledger and summary of one symbol are what its trades make of them."""
    symbol = trades[0].symbol
    wanted = sorted(
        (replace(each, ns=each.ns // 1000 * 1000) for each in trades), key=lambda each: each.trade_id
    )
    assert await stored(store, symbol) == wanted
    minutes = await store.candles("1m", symbol)
    assert minutes == fold_trades(wanted)
    runs = await store.fetch("SELECT first_id, last_id FROM trade_runs WHERE symbol = %s ORDER BY 1", symbol)
    held = [number for first, last in runs for number in range(first, last + 1)]
    assert held == [each.trade_id for each in wanted]
    ((collected, kept, newest, cursor),) = await store.fetch(
        "SELECT collected, stored, newest_timestamp, cursor_ns FROM data_sync_status "
        "WHERE symbol = %s AND kind = 'trades'",
        symbol,
    )
    newest_ns = max(each.ns for each in wanted)
    assert (collected, kept, ns_of(newest), cursor) == (len(wanted), len(wanted), newest_ns, newest_ns)


async def test_trades_of_several_pairs_become_rows_minutes_and_ledger(store: Store) -> None:
    btc, eth = made(250), made(90, ETH, first_id=5_000)
    async with writing(store) as writer:
        for trade in [*btc[:100], *eth, *btc[100:]]:
            assert await writer.write_trade(said(trade)) is not None
        assert await writer.flush()
        # A second batch goes on in the same minutes and the same runs.
        more = made(300)[250:]
        await writer.write_trades([said(trade) for trade in more])
    await assert_held(store, [*btc, *more])
    await assert_held(store, eth)
    assert await store.fetch("SELECT symbol, first_id, last_id FROM trade_runs ORDER BY 1") == [
        (BTC, 1, 300), (ETH, 5_000, 5_089),
    ]  # fmt: skip
    counts = writer.statistics.trades
    assert (counts.received, counts.stored, counts.duplicate, counts.rejected, counts.dropped) == (
        390,
        390,
        0,
        0,
        0,
    )
    ((state, read, kept, duplicate),) = await store.fetch(
        "SELECT state, read, stored, duplicate FROM sync_runs"
    )
    assert (state, read, kept, duplicate) == ("stopped", 390, 390, 0)


async def test_what_is_said_twice_is_stored_once(store: Store) -> None:
    trades = made(60)
    async with writing(store) as writer:
        await writer.write_trades([said(trade) for trade in [*trades[:40], *trades[20:40]]])
        await writer.flush()
        await writer.write_trades([said(trade) for trade in reversed(trades)])
    await assert_held(store, trades)
    counts = writer.statistics.trades
    assert (counts.received, counts.stored, counts.duplicate) == (120, 60, 60)


async def test_a_hole_stays_a_hole_until_its_trades_come(store: Store) -> None:
    trades = made(100)
    async with writing(store) as writer:
        await writer.write_trades([said(trade) for trade in [*trades[:30], *trades[50:]]])
        await writer.flush()
        assert await store.fetch("SELECT holes FROM data_sync_status WHERE symbol = %s", BTC) == [1]
        await writer.write_trades([said(trade) for trade in trades[29:51]])
    await assert_held(store, trades)
    assert await store.fetch("SELECT holes FROM data_sync_status WHERE symbol = %s", BTC) == [0]
    assert await store.fetch("SELECT count(*) FROM trade_runs") == [1]


async def test_a_hundred_trades_are_not_waited_with(store: Store) -> None:
    trades = made(100)
    async with writing(store, BufferLimits(flush_seconds=3600)) as writer:
        await writer.write_trades([said(trade) for trade in trades[:99]])
        await asyncio.sleep(0.1)
        assert await stored(store) == []
        await writer.write_trade(said(trades[99]))
        await _until(lambda: writer.statistics.flushes["count"] == 1)
        await assert_held(store, trades)


async def test_few_trades_wait_for_the_cycle(store: Store) -> None:
    trades = made(3)
    async with writing(store, BufferLimits(flush_seconds=0.2)) as writer:
        await writer.write_trades([said(trade) for trade in trades])
        await _until(lambda: writer.statistics.flushes["time"] == 1)
        await assert_held(store, trades)


async def test_what_waits_and_how_long_batches_took_can_be_told(store: Store) -> None:
    async with writing(store) as writer:
        await writer.write_trades([said(trade) for trade in made(3)])
        assert writer.waiting == {"trades": 3, "candles": 0}
        await writer.flush()
        assert writer.waiting == {"trades": 0, "candles": 0}
        # Nothing waited, so nothing was written.
        await writer.flush()
        assert sum(writer.statistics.flush_durations.counts) == 1
        assert writer.statistics.flush_durations.seconds == writer.statistics.flush_seconds


async def test_a_malformed_trade_costs_nothing_else(store: Store) -> None:
    trades = made(5)
    elements: list[Any] = [said(trade) for trade in trades]
    elements[1] = {**elements[1], "price": 0}
    elements[3] = {**elements[3], "timestamp": None}
    elements.insert(2, ["not", "an", "object"])
    async with writing(store) as writer:
        await writer.write_trades(elements)
    await assert_held(store, [trades[0], trades[2], trades[4]])
    rejected = await store.fetch("SELECT symbol, reason, place, source FROM rejected_records ORDER BY reason")
    assert rejected == [
        (BTC, "missing_field", "WebSocket trade", "websocket"),
        ("", "not_a_record", "WebSocket trade", "websocket"),
        (BTC, "price_not_positive", "WebSocket trade", "websocket"),
    ]
    # REST may know better: its ids are asked for there.
    assert await store.fetch("SELECT count(*) FROM answered_ids") == [0]
    assert await store.fetch("SELECT read, stored, rejected FROM sync_runs") == [(6, 3, 3)]


async def test_rejects_are_kept_up_to_a_limit_and_counted_beyond_it(store: Store) -> None:
    async with writing(store, max_rejects_kept=10) as writer:
        await writer.write_trades([{**said(trade), "qty": 0} for trade in made(25)])
    assert await store.fetch("SELECT count(*) FROM rejected_records") == [10]
    assert await store.fetch("SELECT count FROM reject_counts") == [25]


async def test_a_pair_that_another_writes_waits_alone(store: Store) -> None:
    btc, eth = made(20), made(20, ETH)
    async with writing(store) as writer:
        async with store.connection.transaction():
            await store.connection.execute(
                "SELECT pg_advisory_xact_lock(hashtext('krakendata symbol'), hashtext(%s))", [BTC]
            )
            await writer.write_trades([said(trade) for trade in [*btc, *eth]])
            assert await writer.flush()
            await assert_held(store, eth)
            assert await stored(store, BTC) == []
            assert writer.waiting_symbols == {BTC}
        await writer.flush()
        await assert_held(store, btc)


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kept", [1, 250])
async def test_a_check_counts_only_for_the_newest_trade_held(store: Store, kept: int) -> None:
    trades = made(250)
    async with writing(store) as writer:
        await writer.write_trades([said(trade) for trade in trades])
        await writer.record_checks({BTC: TradeCheck(250, ns_of(NOW))})
        assert await store.fetch("SELECT count(*) FROM trade_checks") == [0]
        await writer.flush()
        await writer.record_checks({BTC: TradeCheck(kept, ns_of(NOW)), ETH: TradeCheck(7, ns_of(NOW))})
    found = await store.fetch("SELECT symbol, last_id, checked_ns FROM trade_checks")
    assert found == ([(BTC, 250, ns_of(NOW))] if kept == 250 else [])


async def test_who_is_to_end_does_not_wait_for_a_database_that_hangs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CLOSE_SECONDS", 0.5)
    limits = BufferLimits(trades=10, flush_trades=5, flush_seconds=3600)
    async with store.connection.transaction():
        await store.connection.execute("LOCK TABLE candles IN SHARE MODE")
        async with asyncio.timeout(5), writing(store, limits) as writer:
            waiting = asyncio.create_task(writer.write_trades([said(trade) for trade in made(30)]))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            writer.expect_end()
            await waiting
            await writer.close()
    counts = writer.statistics.trades
    assert (counts.received, counts.stored, counts.dropped) == (30, 0, 30)
    assert await stored(store) == []


async def test_who_fetches_beside_a_feed_takes_its_trades_for_duplicates(store: Store) -> None:
    trades = made(30)
    async with Writers(store.database, 2) as writers, writing(store) as writer:
        page = PageWriter(writers, BTC, None, 0)
        # What is held is read with the first page.
        await page.write([Taken(rows_of(trades[:10]))], is_end=True)
        await writer.write_trades([said(trade) for trade in trades[10:20]])
        await writer.flush()
        counts = await page.write([Taken(rows_of(trades[5:]))], is_end=True)
    assert (counts.read, counts.stored, counts.duplicate) == (25, 10, 15)
    await assert_held(store, trades)


def rows_of(trades: list[Trade]) -> TradeRows:
    """The trades as a page has them, to the microsecond."""
    cut = [replace(trade, ns=trade.ns // 1000 * 1000) for trade in trades]
    return TradeRows(frame_of(list(enumerate(cut, 1))), [], len(cut))


async def test_a_time_is_cut_to_microseconds_and_never_rounded(store: Store) -> None:
    draw = random.Random(7)
    first, last = ns_of(datetime(2013, 9, 1, tzinfo=UTC)), ns_of(datetime(2106, 1, 1, tzinfo=UTC))
    times = [draw.randrange(first, last) for _ in range(5_000)]
    times += [ns_of(NOW) + step for step in range(-2_500, 2_500, 7)]
    rows = await store.fetch("SELECT ns_timestamp(ns) FROM unnest(%s::bigint[]) AS ns", times)
    assert rows == [moment_of(ns) for ns in times]


def candle_said(symbol: str, minute: int = 0, trades: int = 3) -> dict[str, Any]:
    """A minute as an element of an ohlc message."""
    start = NOW - timedelta(minutes=30 - minute, seconds=30)
    one = Decimal("1.5")
    return {
        "symbol": symbol, "open": one, "high": one, "low": one, "close": one, "trades": trades, "volume": one,
        "vwap": one, "interval": 1, "interval_begin": start.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip


async def test_candles_of_a_pair_that_another_writes_wait_alone(store: Store) -> None:
    async with writing(store) as writer:
        async with store.connection.transaction():
            await store.connection.execute(
                "SELECT pg_advisory_xact_lock(hashtext('krakendata symbol'), hashtext(%s))", [BTC]
            )
            await writer.write_candles([candle_said(BTC), candle_said(ETH), candle_said(ETH, 1)])
            assert await writer.flush()
            assert await store.fetch("SELECT symbol FROM candles") == [ETH, ETH]
        await writer.flush()
        assert await store.fetch("SELECT symbol FROM candles ORDER BY 1") == [BTC, ETH, ETH]
    counts = writer.statistics.candles
    assert (counts.received, counts.stored, counts.duplicate, counts.dropped) == (3, 3, 0, 0)


async def test_versions_of_a_minute_add_up(store: Store) -> None:
    async with writing(store) as writer:
        await writer.write_candles([candle_said(BTC, 0, count) for count in (1, 2, 3)])
        await writer.flush()
        await writer.write_candles([candle_said(BTC, 0, count) for count in (2, 5)])
    assert await store.fetch("SELECT trade_count FROM candles") == [5]
    counts = writer.statistics.candles
    assert (counts.received, counts.stored, counts.duplicate, counts.dropped) == (5, 2, 3, 0)


async def test_a_trade_that_the_database_never_takes_costs_nothing_else(store: Store) -> None:
    trades = made(30)
    await store.connection.execute("ALTER TABLE trades ADD CONSTRAINT never CHECK (trade_id <> 17)")
    try:
        async with writing(store) as writer:
            await writer.write_trades([said(trade) for trade in trades])
            async with asyncio.timeout(20):
                while len(await stored(store)) < 29:
                    await writer.flush()
    finally:
        await store.connection.execute("ALTER TABLE trades DROP CONSTRAINT never")
    await assert_held(store, [trade for trade in trades if trade.trade_id != 17])
    counts = writer.statistics.trades
    assert (counts.received, counts.stored, counts.dropped) == (30, 29, 1)
