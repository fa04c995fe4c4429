"""Warm-ups, many timeframes, trades, pages and requirements, over the history on both sides of the fence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from krakendata import historical_provider, series_pages
from krakendata.candles import bucket_start
from krakendata.errors import (
    IncompleteData,
    NotConnectedError,
    NotEnoughCandles,
    StorageRefused,
    UnknownInterval,
    UnknownSymbol,
)
from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.shared_snapshot import answer_together
from krakendata.storage import pool as pool_module
from krakendata.storage.pool import NETWORK_TIMEOUT, Pool
from krakendata.storage.queries import Connection
from krakendata.sync_provider import SyncHistoricalDataProvider
from krakendata.types import Candle, Trade, ns_of
from tests.fix_history import History
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store
from tests.random_market import SYMBOL, made_market, write_market, write_trades

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def provider(history: History) -> AsyncIterator[HistoricalDataProvider]:
    async with HistoricalDataProvider(history.database, clock=history.clock) as connected:
        yield connected


async def check_until(history: History, moment: datetime) -> None:
    """Have the exchange said that the newest trade was still the newest at the moment."""
    async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO trade_checks SELECT symbol, max(last_id), (extract(epoch FROM %s) * 1000000)::bigint * 1000 "
            "FROM trade_runs WHERE symbol = 'BTC/USD' GROUP BY symbol",
            [moment],
        )


# --- intervals in between ----------------------------------------------------------------------------------


async def test_an_interval_in_between_spans_the_fence(
    provider: HistoricalDataProvider, history: History
) -> None:
    found = await provider.get_candles("BTC/USD", "2d", history.start, history.now)
    days = {day.timestamp: day for day in await provider.get_candles("BTC/USD", "1d", include_open=True)}
    assert found.interval.name == "2d"
    for candle in found:
        parts = [days[start] for start in (candle.timestamp, candle.timestamp + DAY) if start in days]
        assert candle.volume == sum(part.volume for part in parts)
        assert (candle.open, candle.close) == (parts[0].open, parts[-1].close)


async def test_one_made_of_minutes_has_a_hole_below_the_fence(
    provider: HistoricalDataProvider, history: History
) -> None:
    found = await provider.get_candles("BTC/USD", "12m", history.fence - HOUR, history.fence + HOUR)
    assert [candle.timestamp for candle in found] == [history.fence + n * 12 * MINUTE for n in range(5)]
    assert found.coverage.holes == (Stretch(history.fence - HOUR, history.fence),)


async def test_months_are_answered_and_not_streamed(provider: HistoricalDataProvider) -> None:
    months = await provider.get_candles("ADA/USD", "1mo")
    days = await provider.get_candles("ADA/USD", "1d")
    closed = [day for day in days if day.timestamp < months.coverage.asked.end]
    assert sum(month.trade_count for month in months) == sum(day.trade_count for day in closed)
    with pytest.raises(ValueError, match="cannot be streamed"):
        provider.stream_candles("ADA/USD", "1mo")


async def test_one_in_between_is_streamed(provider: HistoricalDataProvider) -> None:
    wanted = await provider.get_latest_candles("BTC/USD", "45m", 3)
    async with aclosing(
        provider.stream_candles("BTC/USD", "45m", history=3, patience=timedelta(0))
    ) as stream:
        assert [(await anext(stream)).candle for _ in range(3)] == list(wanted)


async def test_a_minute_is_not_taken_for_a_month(provider: HistoricalDataProvider) -> None:
    with pytest.raises(UnknownInterval, match="A minute is 1m, a month 1mo"):
        await provider.get_candles("BTC/USD", "1M")


# --- forming, fill and require -----------------------------------------------------------------------------


async def test_the_forming_candle_is_marked(provider: HistoricalDataProvider, history: History) -> None:
    found = await provider.get_latest_candles("BTC/USD", "1h", 3, include_open=True)
    assert found.forming is found[-1]
    assert found.forming.timestamp == bucket_start(history.now, 60)
    assert (await provider.get_latest_candles("BTC/USD", "1h", 3)).forming is None


async def test_a_quiet_hour_is_filled_at_the_close_before_it(
    provider: HistoricalDataProvider, history: History
) -> None:
    quiet = history.start + 3600 * MINUTE
    before = (await provider.get_candles("BTC/USD", "1m", quiet - 10 * MINUTE, quiet))[-1]
    found = await provider.get_candles("BTC/USD", "1m", quiet, quiet + HOUR, fill="flat")
    assert [candle.timestamp for candle in found] == [quiet + n * MINUTE for n in range(60)]
    for candle in found:
        assert (candle.open, candle.high, candle.low, candle.close) == (before.close,) * 4
        assert (candle.volume, candle.turnover, candle.vwap) == (Decimal(0), Decimal(0), None)
        assert (candle.first_id, candle.last_id, candle.coarse) == (None, None, False)
        assert candle.is_synthetic


async def test_null_leaves_the_prices_open(provider: HistoricalDataProvider, history: History) -> None:
    quiet = history.start + 3600 * MINUTE
    (candle,) = await provider.get_candles("BTC/USD", "1m", quiet, quiet + MINUTE, fill="null")
    assert [candle.open, candle.high, candle.low, candle.close] == [None] * 4
    assert (candle.volume, candle.is_synthetic) == (Decimal(0), True)


async def test_a_hole_is_never_filled(provider: HistoricalDataProvider, history: History) -> None:
    found = await provider.get_candles("BTC/USD", "1h", history.start - DAY, history.start + DAY, fill="null")
    assert found[0].timestamp == history.start
    assert not await provider.get_candles("DOGE/USD", "1h", fill="null")


async def test_what_is_required_and_missing_is_named(
    provider: HistoricalDataProvider, history: History
) -> None:
    asked = history.start - HOUR, history.start + HOUR
    with pytest.raises(IncompleteData, match="not covered from") as error:
        await provider.get_candles("BTC/USD", "5m", *asked, require="complete")
    assert error.value.holes == ((history.start - HOUR, history.start + SECOND),)
    day = history.fence + DAY, history.fence + 2 * DAY
    assert len(await provider.get_candles("ETH/USD", "1h", *day, require="complete")) == 24
    with pytest.raises(IncompleteData, match="provisional, not proven"):
        await provider.get_candles("ETH/USD", "1h", *day, require="proven")


async def test_the_forming_candle_is_not_required_to_be_complete(
    provider: HistoricalDataProvider, history: History
) -> None:
    await check_until(history, history.now)
    asked = "BTC/USD", "1h", history.fence, None, None, True
    found = await provider.get_candles(*asked, require="proven")
    assert found.forming is not None
    assert found.coverage.holes == (Stretch(history.now, bucket_start(history.now, 60) + HOUR),)


@pytest.mark.parametrize("options", [{"fill": "zero"}, {"require": "all"}])
async def test_unknown_ways_to_fill_and_require_are_refused(
    provider: HistoricalDataProvider, options: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="it has to be one of"):
        await provider.get_candles("BTC/USD", "1h", **options)  # type: ignore[arg-type]


# --- warm-up -----------------------------------------------------------------------------------------------


async def test_a_warm_up_is_exactly_the_last_closed_candles(
    provider: HistoricalDataProvider, history: History
) -> None:
    await check_until(history, history.now)
    found = await provider.get_warmup_data("BTC/USD", "1m", 200, require="proven")
    closed = [minute for minute in history.minutes if minute < bucket_start(history.now, 1)]
    assert [candle.timestamp for candle in found] == closed[-200:]
    filled = await provider.get_warmup_data("BTC/USD", "1m", 200, fill="flat")
    end = bucket_start(history.now, 1)
    assert [candle.timestamp for candle in filled] == [end - (200 - n) * MINUTE for n in range(200)]


async def test_a_warm_up_that_is_too_short_says_how_to_get_the_rest(
    provider: HistoricalDataProvider, history: History
) -> None:
    with pytest.raises(NotEnoughCandles, match=r"of 10000 closed 4h .* manage.py backfill BTC/USD") as error:
        await provider.get_warmup_data("BTC/USD", "4h", 10_000)
    assert error.value.found == len(await provider.get_candles("BTC/USD", "4h"))


async def test_a_warm_up_behind_a_hole_is_refused(provider: HistoricalDataProvider, history: History) -> None:
    later = HistoricalDataProvider(history.database, clock=lambda: history.now + DAY)
    async with later:
        with pytest.raises(IncompleteData) as error:
            await later.get_warmup_data("BTC/USD", "1h", 20)
        assert error.value.holes[-1][1] == bucket_start(history.now + DAY, 60)
        assert len(await later.get_warmup_data("BTC/USD", "1h", 20, require=None)) == 20


async def test_a_warm_up_waits_for_a_feed_that_is_seconds_behind(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(historical_provider, "LOOK_AGAIN", timedelta(milliseconds=1))
    closed = history.minutes[-1] + 3 * MINUTE
    await check_until(history, closed - SECOND)
    looks = 0

    def clock() -> datetime:
        nonlocal looks
        looks += 1
        return closed + SECOND

    async with HistoricalDataProvider(history.database, clock=clock) as provider:
        with pytest.raises(IncompleteData):
            await provider.get_warmup_data("BTC/USD", "1m", 5, patience=timedelta(milliseconds=3))
        with pytest.raises(IncompleteData):
            await provider.get_warmup_data("BTC/USD", "1m", 5, patience=timedelta(0))
        waiting = asyncio.create_task(
            provider.get_warmup_data("BTC/USD", "1m", 5, patience=timedelta(seconds=1000))
        )
        seen = looks
        while looks < seen + 3:  # noqa: ASYNC110 (what is waited for happens in the code under test)
            await asyncio.sleep(0.001)
        async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
            await connection.execute("UPDATE trade_checks SET checked_ns = checked_ns + 5000000000")
        assert len(await waiting) == 5


# --- many timeframes ---------------------------------------------------------------------------------------


async def test_many_timeframes_are_answered_by_name(
    provider: HistoricalDataProvider, history: History
) -> None:
    found = await provider.get_multi_timeframe("XBTUSD", ["1m", "5m", 60, "4h", "45m", "60m"], limit=5)
    assert list(found) == ["1m", "5m", "1h", "4h", "45m"]
    for name, answer in found.items():
        assert answer == await provider.get_latest_candles("BTC/USD", name, 5)
    assert await provider.get_multi_timeframe("BTC/USD", []) == {}


async def test_a_pool_of_one_answers_many_timeframes(history: History) -> None:
    single = HistoricalDataProvider(history.database, min_size=1, max_size=1, clock=history.clock)
    async with single:
        assert len(await single.get_multi_timeframe("BTC/USD", ["1h", "4h", "1d"], limit=2)) == 3


async def test_many_who_ask_for_many_do_not_wait_for_one_another(history: History) -> None:
    few = HistoricalDataProvider(history.database, min_size=2, max_size=2, clock=history.clock)
    async with few:
        asked = [few.get_multi_timeframe("BTC/USD", ["5m", "1h", "4h", "1d"], limit=2) for _ in range(6)]
        answers = await asyncio.gather(*asked)
    assert all(answer == answers[0] for answer in answers)


async def test_all_of_them_see_one_state_of_the_database(store: Store) -> None:
    async def count(connection: Connection) -> tuple[int, int]:
        cursor = await connection.execute(
            "SELECT pg_backend_pid(), count(*) FROM platform_facts, pg_sleep(0.05)"
        )
        ((pid, found),) = await cursor.fetchall()
        return pid, found

    pool = await Pool(store.database, 3, 3, is_reader=True).open()
    try:
        async with pool.connection() as main:
            _, before = await count(main)
            await store.connection.execute("INSERT INTO platform_facts VALUES ('a test', 'was here')")
            answers = await answer_together(pool, main, [count] * 6)
        assert {found for _, found in answers} == {before}
        assert len({pid for pid, _ in answers}) > 1
    finally:
        await store.connection.execute("DELETE FROM platform_facts WHERE key = 'a test'")
        await pool.close()


async def test_a_fence_that_waits_to_move_does_not_stop_them(store: Store) -> None:
    await write_market(store, made_market(1))
    async with HistoricalDataProvider(store.database, min_size=4, clock=lambda: NOW) as provider:
        pool = provider._connected()
        async with pool.connection() as reader:
            await reader.execute("SELECT 1")
            moving = asyncio.create_task(store.retain(NOW, trades_days=0, candles_days=150))
            async with await AsyncConnection.connect(**store.database, autocommit=True) as watching:
                while not await waits_for_lock(watching):  # noqa: ASYNC110 (the server knows no event)
                    await asyncio.sleep(0.01)

            async def ask(connection: Connection) -> int:
                cursor = await connection.execute(
                    "SELECT count(*) FROM all_candles_1h WHERE symbol = %s", [SYMBOL]
                )
                ((found,),) = await cursor.fetchall()
                return int(found)

            answers = await answer_together(pool, reader, [ask] * 8)
        await moving
    assert len(set(answers)) == 1


async def waits_for_lock(connection: AsyncConnection[tuple[int, ...]]) -> bool:
    cursor = await connection.execute(
        "SELECT count(*) FROM pg_locks WHERE relation = 'retention_lines'::regclass AND NOT granted"
    )
    ((waiting,),) = await cursor.fetchall()
    return waiting > 0


async def test_who_gets_no_connection_leaves_the_work_to_the_others(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "WAIT_SECONDS", 0.2)

    async def slow(connection: Connection) -> int:
        await asyncio.sleep(0.3)
        return 1

    pool = await Pool(history.database, 2, 2, is_reader=True).open()
    try:
        # Both are lent, the second for longer than a helper waits.
        async with pool.connection() as main, pool.connection():
            assert await answer_together(pool, main, [slow] * 3) == [1] * 3
    finally:
        await pool.close()


async def test_trades_are_not_dropped_under_a_reader(store: Store) -> None:
    async with HistoricalDataProvider(store.database, clock=lambda: NOW) as provider:
        await store.connection.execute("SELECT make_partitions('trades', %s, %s)", [TRADES_LINE, NOW])
        await store.connection.execute("SELECT make_partitions('candles', %s, %s)", [FENCE, NOW])
        await write_trades(
            store,
            [
                Trade(SYMBOL, n, ns_of(TRADES_LINE + n * HOUR), Decimal(1), Decimal(1), "buy", "limit")
                for n in range(1, 20)
            ],
        )
        pool = provider._connected()
        async with pool.connection() as reader:
            line = await (
                await reader.execute("SELECT line FROM retention_lines WHERE kind = 'trades'")
            ).fetchone()
            moving = asyncio.create_task(store.retain(NOW, trades_days=1, candles_days=0))
            async with await AsyncConnection.connect(**store.database, autocommit=True) as watching:
                while not await waits_for_lock(watching):  # noqa: ASYNC110 (the server knows no event)
                    await asyncio.sleep(0.01)
            found = await (await reader.execute("SELECT count(*) FROM trades")).fetchone()
        await moving
        assert (line, found) == ((TRADES_LINE,), (19,))
        assert await store.fetch("SELECT count(*) FROM trades") == [0]
        assert (await provider.get_trades(SYMBOL, TRADES_LINE, NOW)).coverage.holes


async def test_an_error_in_one_of_them_is_the_error(history: History) -> None:
    async def fail(connection: Connection) -> int:
        raise ValueError("no answer")

    pool = await Pool(history.database, 2, 2, is_reader=True).open()
    try:
        async with pool.connection() as main:
            with pytest.raises(ValueError, match="no answer"):
                await answer_together(pool, main, [fail, fail, fail])
    finally:
        await pool.close()


# --- page by page ------------------------------------------------------------------------------------------


async def test_pages_show_what_is_written_ahead_of_them(
    provider: HistoricalDataProvider, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_pages, "PAGE", 10)
    end = history.fence + 20 * HOUR
    async with aclosing(provider.iter_candles("BTC/USD", "1h", history.fence, end)) as candles:
        first = [await anext(candles) for _ in range(5)]
        async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
            await connection.execute(
                "DELETE FROM candles WHERE symbol = 'BTC/USD' AND timestamp >= %s AND timestamp < %s",
                [history.fence + 15 * HOUR, history.fence + 16 * HOUR],
            )
            await connection.execute("SELECT mark_dirty('BTC/USD', %s, %s)", [history.fence + 15 * HOUR, end])
        rest = [candle async for candle in candles]
    hours = [candle.timestamp - history.fence for candle in [*first, *rest]]
    # Of the twelfth hour there is nothing at all.
    assert hours == [n * HOUR for n in range(20) if n not in (12, 15)]


async def test_pages_are_judged_before_the_first_candle(
    provider: HistoricalDataProvider, history: History
) -> None:
    asked = history.start - DAY, history.now
    async with aclosing(provider.iter_candles("BTC/USD", "1h", *asked, require="complete")) as candles:
        with pytest.raises(IncompleteData):
            await anext(candles)


async def test_pages_end_with_the_provider(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_pages, "PAGE", 1)
    async with HistoricalDataProvider(history.database, clock=history.clock) as provider:
        candles = provider.iter_candles("BTC/USD", "1h", history.fence)
        await anext(candles)
    with pytest.raises(NotConnectedError):
        await anext(candles)


# --- trades ------------------------------------------------------------------------------------------------


async def test_trades_behind_their_line_are_a_hole(
    provider: HistoricalDataProvider, history: History
) -> None:
    found = await provider.get_trades("BTC/USD", history.start, history.start + HOUR)
    assert (len(found), found.symbol) == (0, "BTC/USD")
    with pytest.raises(IncompleteData):
        await provider.get_trades("BTC/USD", history.start - HOUR, history.start, require="complete")


@pytest.mark.parametrize("interval", ["1m", "3d", "2w", "1mo"])
async def test_times_far_away_are_asked_for_like_others(
    interval: str, provider: HistoricalDataProvider, history: History
) -> None:
    ever = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    found = await provider.get_candles("BTC/USD", interval, *ever)
    assert list(found) == list(await provider.get_candles("BTC/USD", interval))
    assert not await provider.get_candles("BTC/USD", interval, ever[1] - DAY, ever[1])
    assert len(await provider.get_trades("BTC/USD", *ever)) == 0


async def test_a_naive_time_beside_an_aware_one_is_refused_with_a_sentence(
    provider: HistoricalDataProvider, history: History
) -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001
    for asked in ((naive, history.now), (history.start, naive)):
        with pytest.raises(ValueError, match="has no time zone"):
            await provider.get_candles("BTC/USD", "1h", *asked)
        with pytest.raises(ValueError, match="has no time zone"):
            await provider.get_trades("BTC/USD", *asked)


async def test_a_pair_that_was_listed_since_is_known(
    provider: HistoricalDataProvider, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(historical_provider, "PAIRS_SECONDS", 0.0)
    async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
        await connection.execute(
            "INSERT INTO pairs VALUES ('NEW/USD', 'NEWUSD', 'NEWUSD', 'NEW/USD', '', 'USD', 'online', 1, 8)"
        )
    assert len(await provider.get_candles("NEW/USD", "1h")) == 0


async def test_an_empty_database_says_what_to_do(history: History) -> None:
    async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
        await connection.execute("CREATE DATABASE not_migrated TEMPLATE template0")
    try:
        with pytest.raises(StorageRefused, match=r"Run manage\.py migrate"):
            await HistoricalDataProvider({**history.database, "dbname": "not_migrated"}).connect()
    finally:
        async with await AsyncConnection.connect(**history.database, autocommit=True) as connection:
            await connection.execute("DROP DATABASE not_migrated WITH (FORCE)")


async def test_trades_that_make_no_sense_are_refused(
    provider: HistoricalDataProvider, history: History
) -> None:
    with pytest.raises(ValueError, match="is after end"):
        await provider.get_trades("BTC/USD", history.now, history.fence)
    with pytest.raises(ValueError, match="at least 1"):
        await provider.get_trades("BTC/USD", limit=0)
    with pytest.raises(ValueError, match="has no time zone"):
        provider.iter_trades("BTC/USD", datetime(2024, 3, 4))  # noqa: DTZ001


# --- names and connections ---------------------------------------------------------------------------------


async def test_a_name_as_long_as_a_book_is_refused_like_another(provider: HistoricalDataProvider) -> None:
    with pytest.raises(UnknownSymbol, match="BTC/USD"):
        await provider.get_candles("BTC/USD" + "X" * 1_000_000, "1h")


async def test_a_reader_gives_a_server_up_that_takes_nothing(history: History) -> None:
    pool = await Pool(history.database, 1, 1, is_reader=True).open()
    try:
        async with pool.connection() as connection:
            said = connection.info.get_parameters()
        assert {name: int(said[name]) for name in NETWORK_TIMEOUT} == NETWORK_TIMEOUT
    finally:
        await pool.close()


# --- what the documentation shows ---------------------------------------------------------------------------

HOW_TO = Path(__file__).parents[2] / "docs/how-to/warm-up.md"


async def test_the_blocks_of_the_how_to_run(provider: HistoricalDataProvider, history: History) -> None:
    await check_until(history, history.now)
    blocks = [part.split("```")[0] for part in HOW_TO.read_text(encoding="utf-8").split("```python")[1:]]
    seen: list[Candle] = []

    class Strategy:
        def see(self, candle: Candle) -> None:
            seen.append(candle)

    names: dict[str, Any] = {
        "HistoricalDataProvider": lambda _: HistoricalDataProvider(history.database, clock=history.clock),
        "SyncHistoricalDataProvider": lambda _: SyncHistoricalDataProvider(
            history.database, clock=history.clock
        ),
        "provider": provider,
        "start": history.fence,
        "end": history.fence + DAY,
        "strategy": Strategy(),
    }
    definition, *shown = blocks
    exec(definition, names)  # noqa: S102
    for block in shown:
        body = "async def show():\n    " + block.strip().replace("\n", "\n    ") + "\n    return locals()"
        exec(body, names)  # noqa: S102
        names |= await names["show"]() | {"provider": provider}
    closes = [candle.close for candle in await provider.get_latest_candles("BTC/USD", "1h", 50)]
    assert (names["fast"], names["slow"]) == (sum(closes[-20:]) / 20, sum(closes) / 50)
    assert [candle.close for candle in names["candles"]] == closes
    assert list(names["found"]) == ["5m", "1h", "4h"]
    assert seen == list(await provider.get_candles("BTC/USD", "1m", names["start"], names["end"]))
