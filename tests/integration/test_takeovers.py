"""Exact trades in pieces, beside and over what others gave: every minute of one kind, no trade lost or doubled."""

# Decimals are compared with plain whole numbers here, for the eye.
# mypy: disable-error-code="comparison-overlap"

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from krakendata.candles import fold_candles, fold_trades
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.storage.sql import query
from krakendata.storage.upkeep import UpkeepSettings
from krakendata.types import Trade, ns_of
from tests.archive_files import (
    made_minutes,
    trade_line,
    write_candles,
    write_idless,
    write_lines,
    write_trades,
)
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
START = TRADES_LINE + DAY


def every(seconds: int, count: int, first_id: int = 500) -> list[Trade]:
    """Trades at a steady pace from START on."""
    one = Decimal(1)
    return [
        Trade(
            "BTC/USD",
            first_id + n,
            ns_of(START + n * seconds * SECOND),
            10 + one * (n % 7),
            one,
            "buy",
            "limit",
        )
        for n in range(count)
    ]


async def trades_by_kind(store: Store) -> list[Any]:
    """How many stored trades each minute has with ids, and how many without: of minutes that have both."""
    return await store.fetch(
        "SELECT date_trunc('minute', timestamp), count(*) FILTER (WHERE trade_id > 0), "
        "count(*) FILTER (WHERE trade_id < 0) FROM trades GROUP BY 1 "
        "HAVING count(*) FILTER (WHERE trade_id > 0) > 0 AND count(*) FILTER (WHERE trade_id < 0) > 0"
    )


async def test_a_minute_in_two_pieces_over_a_given_one_ends_exact(store: Store, tmp_path: Path) -> None:
    trades = every(4, 60)
    (given,) = made_minutes(START + MINUTE, START + 2 * MINUTE)
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", [given]))
    for number, part in enumerate((trades[:20], trades[20:])):
        folder = tmp_path / str(number)
        folder.mkdir()
        await store.import_files(write_trades(folder / "XBTUSD.csv", part))
    inner = [each for each in await store.candles("1m") if each.timestamp == START + MINUTE]
    assert inner == [each for each in fold_trades(trades) if each.timestamp == START + MINUTE]


@pytest.mark.parametrize("exact_first", [True, False])
async def test_no_minute_is_of_two_kinds_at_a_frontier(
    store: Store, tmp_path: Path, exact_first: bool
) -> None:
    trades = every(1, 1200)
    files = [
        write_trades(_folder(tmp_path / "exact") / "XBTUSD.csv", trades[30:630]),
        write_idless(_folder(tmp_path / "idless") / "XBTUSD.csv", trades),
    ]
    for path in files if exact_first else reversed(files):
        await store.import_files(path)
    assert await trades_by_kind(store) == []
    (stored,) = await store.fetch("SELECT count(*) FROM trades")
    assert await store.fetch("SELECT sum(trades)::bigint FROM trade_runs") == [stored]
    assert await store.fetch("SELECT sum(trade_count)::bigint FROM all_candles_1m") == [stored]


async def test_trades_whose_times_fall_back_leave_no_minute_of_two_kinds(
    store: Store, tmp_path: Path
) -> None:
    trades = every(10, 60)
    # The last two ids are a moment apart, the later one in the minute before.
    ends = [
        replace(trades[18], ns=ns_of(START + 180 * SECOND) + 10**8),
        replace(trades[19], ns=ns_of(START + 180 * SECOND) - 10**8),
    ]
    await store.import_files(write_idless(_folder(tmp_path / "idless") / "XBTUSD.csv", trades))
    await store.import_files(write_trades(_folder(tmp_path / "part") / "XBTUSD.csv", [*trades[:18], *ends]))
    assert await trades_by_kind(store) == []
    await store.import_files(
        write_trades(_folder(tmp_path / "whole") / "XBTUSD.csv", [*trades[:18], *ends, *trades[20:]])
    )
    assert await trades_by_kind(store) == []


async def test_an_exact_minute_in_two_pieces_beside_given_ones_is_whole_below_the_fence(
    store: Store, tmp_path: Path
) -> None:
    start = FENCE - 9 * DAY
    trades = [
        replace(each, ns=ns_of(start + n * 20 * SECOND)) for n, each in enumerate(every(20, 30, first_id=1))
    ]
    given = made_minutes(start + 3 * MINUTE, start + 5 * MINUTE)
    await store.import_files(write_trades(_folder(tmp_path / "a") / "XBTUSD.csv", trades[:8]))
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", given))
    await store.import_files(write_trades(_folder(tmp_path / "b") / "XBTUSD.csv", trades[8:]))
    (first, *_) = await store.candles("5m")
    exact = sum(trade.ns < ns_of(start + 3 * MINUTE) for trade in trades)
    assert first.trade_count == exact + sum(minute.trade_count for minute in given)
    assert (first.open, first.close) == (trades[0].price, given[-1].close)


@pytest.mark.parametrize("start", [FENCE - 9 * DAY, FENCE + 9 * DAY, START])
async def test_minutes_that_are_given_afterwards_add_nothing_to_quiet_ones(
    store: Store, tmp_path: Path, start: datetime
) -> None:
    trades = [
        replace(each, ns=ns_of(start + n * 20 * SECOND + (DAY if n >= 15 else 0 * DAY)))
        for n, each in enumerate(every(20, 30, first_id=1))
    ]
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    given = made_minutes(start + MINUTE, start + 20 * MINUTE)
    report = await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", given))
    assert (report.counts.read, report.counts.duplicate) == (19, 19)
    for interval in ("5m", "15m", "1h", "1d", "1w"):
        assert (await store.candles(interval)) == fold_candles(fold_trades(trades), interval)


@pytest.mark.parametrize("quiet", [5 * MINUTE, DAY])
async def test_given_minutes_without_a_trade_go_below_the_fence(
    store: Store, tmp_path: Path, quiet: timedelta
) -> None:
    start = FENCE - 9 * DAY
    # Before and behind the quiet time; the given minute lies in its first five minutes.
    trades = [
        replace(each, ns=ns_of(start + n * 20 * SECOND + (quiet if n >= 15 else 0 * DAY)))
        for n, each in enumerate(every(20, 30, first_id=1))
    ]
    given = made_minutes(start + 6 * MINUTE, start + 7 * MINUTE)
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", given))
    await store.import_files(write_trades(_folder(tmp_path / "a") / "XBTUSD.csv", trades))
    for interval in ("5m", "15m", "1h", "1d", "1w"):
        assert (await store.candles(interval)) == fold_candles(fold_trades(trades), interval)


async def test_a_daily_candle_of_an_archive_outlives_finer_data_that_is_dropped_again(
    store: Store, tmp_path: Path
) -> None:
    day = FENCE - 30 * DAY
    (given,) = made_minutes(day, day + DAY, 1440, interval=1440)
    await store.import_files(write_candles(tmp_path / "XBTUSD_1440.csv", [given]))
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", made_minutes(day, day + 10 * MINUTE)))
    assert (await store.candles("1d"))[0].trade_count != given.trade_count
    kept = await store.fetch(
        "SELECT trade_count FROM candles_history WHERE interval_minutes = 1440 AND coarse"
    )
    assert kept == [given.trade_count]


async def test_an_id_of_thousands_of_digits_costs_its_row_alone(store: Store, tmp_path: Path) -> None:
    lines = [*map(trade_line, every(1, 3)), f"1756771200,-1,1,b,l,,{'9' * 5000}"]
    report = await store.import_files(write_lines(tmp_path / "XBTUSD.csv", lines))
    assert (report.counts.stored, report.counts.rejected) == (3, 1)


async def test_a_hole_at_the_end_of_a_block_takes_nothing_over(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    trades = every(1, 3000)
    await store.import_files(write_idless(_folder(tmp_path / "idless") / "XBTUSD.csv", trades))
    lacking = [trade for n, trade in enumerate(trades) if n % 300 < 170]
    await store.import_files(write_trades(_folder(tmp_path / "exact") / "XBTUSD.csv", lacking))
    assert len(await store.candles("1m")) == 50
    assert await store.fetch("SELECT sum(trade_count)::bigint FROM all_candles_1m") == [3000]


async def test_many_small_holes_are_many_runs_and_soon_filled(store: Store, tmp_path: Path) -> None:
    trades = every(1, 4000)
    gappy = [trade for n, trade in enumerate(trades) if n % 20]
    await store.import_files(write_trades(_folder(tmp_path / "gappy") / "XBTUSD.csv", gappy))
    assert await store.fetch("SELECT holes FROM data_sync_status") == [199]
    await store.import_files(write_trades(_folder(tmp_path / "whole") / "XBTUSD.csv", trades))
    assert await store.fetch("SELECT holes FROM data_sync_status") == [0]
    hours = (await store.candles("1h"))[:-1]
    assert hours == fold_candles(fold_trades(trades), "1h")[:-1]


async def test_a_silence_of_days_in_a_file_without_ids_can_be_filled(store: Store, tmp_path: Path) -> None:
    def at(day: int) -> list[str]:
        return [f"{(START + day * DAY).timestamp() + n:.0f},10,1" for n in range(10)]

    await store.import_files(write_lines(_folder(tmp_path / "a") / "XBTUSD.csv", [*at(0), *at(4)]))
    report = await store.import_files(write_lines(_folder(tmp_path / "b") / "XBTUSD.csv", at(2)))
    assert (report.counts.stored, report.counts.duplicate) == (10, 0)


async def test_a_row_out_of_order_in_a_later_block_is_kept_as_rejected(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    rows = [f"{START.timestamp() + n:.0f},10,1" for n in range(1200)]
    late = f"{START.timestamp() + 5:.0f},10,7"
    report = await store.import_files(write_lines(tmp_path / "XBTUSD.csv", [*rows, late]))
    assert (report.counts.stored, report.counts.rejected) == (1200, 1)
    assert await store.fetch("SELECT reason, raw FROM rejected_records") == [("out_of_order", late)]


async def test_pairs_with_rejects_in_other_orders_do_not_block_each_other(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    good = [trade_line(trade) for trade in every(1, 2000)]
    bad = ["1,0,1,b,l,,1", "1700000000,nan,1,b,l,,1", "1700000000,1,0,b,l,,1", "soon,1,1,b,l,,1"]
    for name, order in (("XBTUSD", bad), ("ETHUSD", bad[::-1])):
        lines = [line for n, each in enumerate(good) for line in (each, order[n % 4])]
        write_lines(tmp_path / f"{name}.csv", lines)
    report = await store.import_files(tmp_path, parallel_files=2)
    assert (report.counts.stored, report.counts.rejected) == (4000, 4000)


async def test_a_read_during_a_move_of_the_fence_sees_every_candle(store: Store) -> None:
    minutes = made_minutes(START, START + 3 * DAY, 7)
    await store.stage(
        [(c.symbol, c.timestamp, c.open, c.high, c.low, c.close, c.volume, None, c.trade_count, None, None, True)
         for c in minutes]
    )  # fmt: skip
    await store.connection.execute(
        "SELECT record_candle_run('BTC/USD', 1, %s, %s, %s)", [START, START + 3 * DAY, len(minutes)]
    )
    await store.refresh()
    expected = [candle.timestamp for candle in fold_candles(minutes, "1h")]
    async with (
        HistoricalDataProvider(store.database, clock=lambda: NOW) as provider,
        await AsyncConnection.connect(**store.database) as mover,
    ):
        await mover.execute("SELECT apply_retention(%s, 90, 30)", [NOW])
        reading = asyncio.create_task(provider.get_candles("BTC/USD", "1h", START, START + 3 * DAY))
        await asyncio.sleep(0.5)
        await mover.commit()
        assert [candle.timestamp for candle in await reading] == expected


@pytest.mark.plain
async def test_relations_of_others_that_end_in_eight_digits_do_not_stop_retention(store: Store) -> None:
    await store.connection.execute("SET enable_hashjoin = off")
    await store.connection.execute("SET enable_mergejoin = off")
    await store.connection.execute("CREATE TABLE IF NOT EXISTS somebody_97559544 (n integer)")
    try:
        await store.retain(trades_days=30)
    finally:
        await store.connection.execute("DROP TABLE somebody_97559544")


@pytest.mark.community
async def test_policies_of_others_are_left_alone(store: Store) -> None:
    run = store.connection.execute
    await run("CREATE TABLE foreign_ticks (at timestamptz NOT NULL, n integer)")
    try:
        await run("SELECT create_hypertable('foreign_ticks', by_range('at'))")
        await run(
            "CREATE MATERIALIZED VIEW foreign_hours WITH (timescaledb.continuous) AS "
            "SELECT time_bucket('1 hour', at) AS at, sum(n) FROM foreign_ticks GROUP BY 1 WITH NO DATA"
        )
        ((job,),) = await (
            await run(
                "SELECT add_continuous_aggregate_policy('foreign_hours', INTERVAL '3 days', INTERVAL '1 hour', "
                "INTERVAL '1 hour')"
            )
        ).fetchall()
        await run("SELECT alter_job(%s, scheduled => false)", [job])
        await run(query("apply_policies"), {"policies": UpkeepSettings(scheduled=True).as_json()})
        assert await store.fetch(
            "SELECT scheduled FROM timescaledb_information.jobs WHERE job_id = %s", job
        ) == [False]
    finally:
        await run(query("apply_policies"), {"policies": UpkeepSettings(scheduled=False).as_json()})
        await run("DROP MATERIALIZED VIEW IF EXISTS foreign_hours")
        await run("DROP TABLE foreign_ticks")


async def test_a_stopped_import_shows_in_every_timeframe(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    path = write_trades(tmp_path / "XBTUSD.csv", every(60, 20_000))
    started = asyncio.Event()
    importing = asyncio.create_task(store.import_files(path, report=lambda progress: started.set()))
    await started.wait()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    (minutes,) = await store.fetch("SELECT sum(trade_count)::bigint FROM all_candles_1m")
    assert 0 < minutes < 20_000
    assert await store.fetch("SELECT sum(trade_count)::bigint FROM all_candles_1d") == [minutes]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
