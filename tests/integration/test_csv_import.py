"""Archives in, candles out: each trade once, every row accounted for, every timeframe right when the import returns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import pytest

from krakendata.candles import fold_candles, fold_trades
from krakendata.ingest.csv_import import BulkCSVImporter, ImportProgress
from krakendata.types import INTERVALS, HistoricalCandle, Trade, archive_trade_id
from tests.archive_files import (
    made_minutes,
    made_trades,
    trade_line,
    write_candles,
    write_idless,
    write_lines,
    write_trades,
)
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# From below the fence to this minute: three weeks on each side of either line, and the last hours.
STRETCHES = (
    (FENCE - 21 * DAY, FENCE + 21 * DAY),
    (TRADES_LINE - 21 * DAY, TRADES_LINE + 21 * DAY),
    (NOW - DAY, NOW),
)
# Digits that vwap agrees in (design: promise 7).
VWAP_DIGITS = 12


def market(seed: int, count: int = 400) -> list[Trade]:
    """Trades on both sides of both lines, contiguous ids from 1."""
    trades: list[Trade] = []
    for start, end in STRETCHES:
        trades += made_trades(seed, start, end, count, first_id=len(trades) + 1)
    return trades


async def assert_candles_of(store: Store, trades: Iterable[Trade]) -> None:
    """Every timeframe is what candles.py makes of these trades."""
    await assert_folded(store, fold_trades(trades))


async def assert_folded(store: Store, minutes: list[HistoricalCandle]) -> None:
    assert await store.candles("1m") == [each for each in minutes if each.timestamp >= FENCE]
    for name in INTERVALS:
        if name != "1m":
            assert await store.candles(name) == fold_candles(minutes, name), name


async def stored_trades(store: Store) -> list[Trade]:
    rows = await store.fetch(
        "SELECT symbol, trade_id, price, volume, side, order_type FROM trades ORDER BY trade_id"
    )
    return [Trade(symbol, id_, 0, *facts) for symbol, id_, *facts in rows]


def without_time(trades: Iterable[Trade]) -> list[Trade]:
    return [
        Trade(each.symbol, each.trade_id, 0, each.price, each.volume, each.side, each.order_type)
        for each in trades
    ]


async def ledger(store: Store) -> list[tuple[int, int, int, bool]]:
    return await store.fetch("SELECT first_id, last_id, trades, stored FROM trade_runs ORDER BY first_id")


def runs_of(trades: Iterable[Trade]) -> list[tuple[int, int, int, bool]]:
    """The runs that the ledger must have for these trades."""
    runs = []
    ordered = sorted((trade.trade_id, trade.timestamp >= TRADES_LINE) for trade in trades)
    for _, group in groupby(enumerate(ordered), lambda item: (item[1][0] - item[0], item[1][1])):
        ids = [trade_id for _, (trade_id, _) in group]
        runs.append((ids[0], ids[-1], len(ids), ordered[[i for i, _ in ordered].index(ids[0])][1]))
    return runs


def stored_part(trades: Iterable[Trade]) -> list[Trade]:
    return [trade for trade in trades if trade.timestamp >= TRADES_LINE]


# --- one trade, once


@pytest.mark.parametrize("seed", range(3))
async def test_an_import_gives_rows_ledger_and_every_timeframe(
    store: Store, tmp_path: Path, small_blocks: int, seed: int
) -> None:
    trades = market(seed)
    path = write_trades(tmp_path / "XBTUSD.csv", trades)
    assert path.stat().st_size > 5 * small_blocks
    counts = (await store.import_files(path)).counts
    stored = stored_part(trades)
    assert counts.as_dict() == {
        "read": len(trades), "stored": len(stored), "folded": len(trades) - len(stored), "duplicate": 0, "rejected": 0,
    }  # fmt: skip
    assert await stored_trades(store) == without_time(stored)
    assert await ledger(store) == runs_of(trades)
    await assert_candles_of(store, trades)


@pytest.mark.parametrize("seed", range(3))
async def test_overlapping_and_reordered_files_give_each_trade_once(
    store: Store, tmp_path: Path, small_blocks: int, seed: int
) -> None:
    trades = market(seed, 150)
    parts = [trades[100:330], trades[:200], trades[250:], trades[::-1], trades[50:60] * 3]
    read = stored = folded = 0
    for number, part in enumerate(parts):
        (tmp_path / str(number)).mkdir()
        counts = (await store.import_files(write_trades(tmp_path / str(number) / "XBTUSD.csv", part))).counts
        assert counts.read == counts.stored + counts.folded + counts.duplicate == len(part)
        read, stored, folded = read + counts.read, stored + counts.stored, folded + counts.folded
    assert stored + folded == len(trades)
    assert await stored_trades(store) == without_time(stored_part(trades))
    assert await ledger(store) == runs_of(trades)
    await assert_candles_of(store, trades)


async def test_holes_in_the_ids_are_holes_in_the_ledger(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    trades = [trade for trade in market(7, 200) if trade.trade_id % 37 and not 400 < trade.trade_id < 450]
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    assert await ledger(store) == runs_of(trades)
    (holes,) = await store.fetch("SELECT holes FROM data_sync_status WHERE kind = 'trades'")
    assert holes == len(
        {a for a, _, _, _ in runs_of(trades) if a - 1 not in {t.trade_id for t in trades}} - {1}
    )


async def test_open_and_close_go_by_id_where_times_disagree(store: Store, tmp_path: Path) -> None:
    early, late = made_trades(1, TRADES_LINE, TRADES_LINE + MINUTE, 2)
    lines = [trade_line(late), trade_line(early)]
    lines[0] = lines[0].replace(lines[0].partition(",")[0], f"{TRADES_LINE.timestamp():.0f}.000000001")
    await store.import_files(write_lines(tmp_path / "XBTUSD.csv", lines))
    (candle,) = await store.candles("1m")
    assert (candle.open, candle.close) == (early.price, late.price)


async def test_an_unchanged_file_is_passed_over(store: Store, tmp_path: Path) -> None:
    path = write_trades(tmp_path / "XBTUSD.csv", market(1, 20))
    await store.import_files(path)
    report = await store.import_files(path)
    assert (report.counts.read, len(report.plan.unchanged)) == (0, 1)


async def test_a_touched_file_is_read_again_and_stores_nothing(store: Store, tmp_path: Path) -> None:
    path = write_trades(tmp_path / "XBTUSD.csv", market(1, 20))
    await store.import_files(path)
    os.utime(path, (1, 1))
    counts = (await store.import_files(path)).counts
    assert (counts.read, counts.duplicate, counts.stored + counts.folded) == (60, 60, 0)


# --- every row accounted for


async def test_a_refused_row_is_kept_with_its_place_and_the_others_go_on(
    store: Store, tmp_path: Path
) -> None:
    trades = market(2, 30)
    bad = [trade_line(trades[40]).replace(str(trades[40].price), "nan"), "not,a,trade"]
    path = write_trades(tmp_path / "XBTUSD.csv", [*trades[:40], *trades[41:]], extra=bad)
    counts = (await store.import_files(path)).counts
    assert (counts.read, counts.rejected) == (91, 2)
    kept = await store.fetch(
        "SELECT place, line, symbol, reason, raw, state FROM rejected_records ORDER BY line"
    )
    assert [row[:2] for row in kept] == [(str(path), 45), (str(path), 46)]
    assert [row[4] for row in kept] == bad
    assert {row[5] for row in kept} == {"quarantined"}
    assert await store.fetch("SELECT first_id, last_id, answer FROM answered_ids") == [(41, 41, "rejected")]
    assert await store.fetch("SELECT holes FROM data_sync_status WHERE kind = 'trades'") == [0]


async def test_rejects_beyond_the_limit_are_counted(store: Store, tmp_path: Path) -> None:
    path = write_trades(tmp_path / "XBTUSD.csv", market(2, 5), extra=["x,y,z,b,l,,9"] * 12)
    counts = (await store.import_files(path, max_rejects_kept=5)).counts
    assert counts.rejected == 12
    assert await store.fetch("SELECT count(*) FROM rejected_records") == [5]
    assert await store.fetch("SELECT count FROM reject_counts") == [12]


async def test_an_id_once_refused_and_now_read_is_no_answer_any_more(store: Store, tmp_path: Path) -> None:
    trades = market(2, 10)
    bad = trade_line(trades[9]).replace(str(trades[9].price), "0")
    path = tmp_path / "XBTUSD.csv"
    await store.import_files(write_trades(path, [*trades[:9], *trades[10:]], extra=[bad]))
    await store.import_files(write_trades(path, trades))
    assert await store.fetch("SELECT first_id FROM answered_ids") == []
    assert await ledger(store) == runs_of(trades)


async def test_blank_lines_are_no_rows(store: Store, tmp_path: Path) -> None:
    path = write_trades(tmp_path / "XBTUSD.csv", market(2, 5), extra=["", "   "])
    assert (await store.import_files(path)).counts.read == 15


async def test_a_damaged_file_is_refused_and_the_others_go_on(store: Store, tmp_path: Path) -> None:
    (tmp_path / "ETHUSD.csv").write_bytes(b"\x00\x01binary")
    write_trades(tmp_path / "XBTUSD.csv", market(2, 5))
    report = await store.import_files(tmp_path)
    assert report.counts.read == 15
    assert len(report.plan.refused) == 1
    assert await store.fetch("SELECT state, error <> '' FROM sync_runs") == [("done", True)]


async def test_a_run_adds_up_and_its_progress_reaches_the_end(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    seen: list[tuple[int, int]] = []

    def note(progress: ImportProgress) -> None:
        seen.append((progress.bytes_done, progress.bytes))

    path = write_trades(tmp_path / "XBTUSD.csv", market(4, 60), extra=["bad,row,x"])
    await store.import_files(path, report=note)
    size = path.stat().st_size
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)
    (run,) = await store.fetch(
        "SELECT state, done, total, read, stored + folded + duplicate + rejected FROM sync_runs"
    )
    assert tuple(run) == ("done", size, size, 181, 181)


# --- minutes and longer candles


async def test_minutes_of_an_archive_show_in_every_timeframe_on_both_sides(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    minutes = made_minutes(FENCE - 3 * DAY, FENCE + 3 * DAY, 13) + made_minutes(
        NOW.replace(second=0) - DAY, NOW, 1
    )
    path = write_candles(tmp_path / "XBTUSD_1.csv", minutes)
    counts = (await store.import_files(path)).counts
    below = sum(each.timestamp < FENCE for each in minutes)
    assert (counts.stored, counts.folded, counts.duplicate) == (len(minutes) - below, below, 0)
    await assert_folded(store, minutes)
    os.utime(path, (1, 1))
    assert (await store.import_files(path)).counts.duplicate == len(minutes)
    await assert_folded(store, minutes)


async def test_the_open_bucket_shows_as_far_as_its_minutes_go(store: Store, tmp_path: Path) -> None:
    minutes = made_minutes(NOW.replace(hour=12, minute=0, second=0), NOW, 1)
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", minutes))
    more = made_minutes(NOW.replace(second=0), NOW + 2 * MINUTE, 1)[1:]
    await store.stage(
        [
            ("BTC/USD", m.timestamp, m.open, m.high, m.low, m.close, m.volume, None, 5, None, None, True)
            for m in more
        ]
    )
    (hour,) = await store.candles("1h")
    assert hour.trade_count == sum(minute.trade_count for minute in minutes) + 5 * len(more)


async def test_trades_take_the_place_of_given_minutes(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    trades = made_trades(3, FENCE - DAY, FENCE + DAY, 600)
    covered = fold_trades(trades)
    given = made_minutes(FENCE - 2 * DAY, FENCE + 2 * DAY, 7)
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", given))
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    answered = {each.timestamp: each for each in await store.candles("1m")}
    above = [each for each in covered if each.timestamp >= FENCE]
    assert [answered[each.timestamp] for each in above[:-5]] == above[:-5]


@pytest.mark.parametrize("order", [("XBTUSD_1.csv", "XBTUSD_60.csv"), ("XBTUSD_60.csv", "XBTUSD_1.csv")])
async def test_longer_candles_serve_where_no_minute_is(
    store: Store, tmp_path: Path, order: tuple[str, str]
) -> None:
    hours = made_minutes(FENCE - 2 * DAY, FENCE + 2 * DAY, 60, interval=60)
    minutes = made_minutes(FENCE - DAY, FENCE + DAY, 30)
    write_candles(tmp_path / "XBTUSD_60.csv", hours)
    write_candles(tmp_path / "XBTUSD_1.csv", minutes)
    for name in order:
        await store.import_files(tmp_path / name)
    finer = {each.timestamp: each for each in fold_candles(minutes, "1h")}
    assert await store.candles("1h") == [finer.get(hour.timestamp, hour) for hour in hours]
    assert await store.candles("4h") == fold_candles(minutes, "4h")
    assert await store.fetch("SELECT count(*) FROM all_candles_1h WHERE coarse") == [len(hours) - len(finer)]


async def test_the_ledger_of_candles_knows_the_stretch_a_file_covers(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    minutes = made_minutes(FENCE - DAY, FENCE + DAY, 9)
    await store.import_files(write_candles(tmp_path / "XBTUSD_1.csv", minutes))
    assert await store.fetch(
        "SELECT interval_minutes, first_start, last_start, candles FROM candle_runs"
    ) == [(1, minutes[0].timestamp, minutes[-1].timestamp, len(minutes))]


async def test_vwap_is_turnover_by_volume_everywhere(store: Store, tmp_path: Path) -> None:
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", market(5, 100)))
    for interval in INTERVALS.values():
        rows = await store.fetch(f"SELECT vwap, turnover, volume FROM {interval.view}")  # noqa: S608
        assert rows
        for vwap, turnover, volume in rows:
            assert abs(vwap * volume / turnover - 1) < Decimal(10) ** -VWAP_DIGITS


# --- archives without ids


@pytest.fixture
async def forever(store: Store) -> Store:
    """A store whose trades are kept for ever."""
    await store.draw_lines(trades=FENCE - 600 * 7 * DAY, candles=FENCE)
    return store


def identical_pairs(trades: list[Trade]) -> list[Trade]:
    """The same trades, every fifth one twice: identical rows are legitimate."""
    return [each for n, trade in enumerate(trades) for each in [trade] * (1 + (n % 5 == 0))]


def idless_trades(rows: list[Trade]) -> list[Trade]:
    """The rows as an archive without ids tells them, with the ids they get."""
    seconds: dict[int, int] = {}
    result = []
    for row in rows:
        second = row.ns // 10**9
        ordinal = seconds.get(second, 0)
        seconds[second] = ordinal + 1
        result.append(
            Trade(row.symbol, archive_trade_id(second, ordinal), second * 10**9, row.price, row.volume)
        )
    return result


async def test_rows_without_ids_are_all_kept_in_file_order(
    forever: Store, tmp_path: Path, small_blocks: int
) -> None:
    rows = identical_pairs(made_trades(5, FENCE - 2 * DAY, FENCE + 2 * DAY, 500))
    path = write_idless(tmp_path / "XBTUSD.csv", rows)
    assert (await forever.import_files(path)).counts.stored == len(rows)
    expected = idless_trades(rows)
    assert await stored_trades(forever) == without_time(expected)
    assert [(trades, stored) for _, _, trades, stored in await ledger(forever)] == [(len(rows), True)]
    await assert_candles_of(forever, expected)
    os.utime(path, (1, 1))
    assert (await forever.import_files(path)).counts.duplicate == len(rows)


async def test_a_longer_file_without_ids_adds_only_what_is_new(
    forever: Store, tmp_path: Path, small_blocks: int
) -> None:
    rows = identical_pairs(made_trades(6, FENCE - 2 * DAY, FENCE + 2 * DAY, 500))
    await forever.import_files(write_idless(tmp_path / "XBTUSD.csv", rows[150:400]))
    counts = (await forever.import_files(write_idless(tmp_path / "XBTUSD.csv", rows))).counts
    second = rows[150].ns // 10**9
    cut_second = sum(row.ns // 10**9 == second for row in rows[:150])
    assert counts.stored == len(rows) - 250
    assert counts.duplicate == 250
    assert cut_second == 0, "the seed must not cut the file within a second"
    assert sum(trades for _, _, trades, _ in await ledger(forever)) == len(rows)
    await assert_candles_of(forever, idless_trades(rows))


async def test_rows_without_ids_behind_the_line_are_folded_once(store: Store, tmp_path: Path) -> None:
    rows = identical_pairs(made_trades(5, FENCE - 2 * DAY, FENCE + 2 * DAY, 300))
    path = write_idless(tmp_path / "XBTUSD.csv", rows)
    assert (await store.import_files(path)).counts.folded == len(rows)
    os.utime(path, (1, 1))
    assert (await store.import_files(path)).counts.duplicate == len(rows)
    await assert_candles_of(store, idless_trades(rows))


async def test_exact_trades_take_over_whole_minutes_from_an_archive_without_ids(
    forever: Store, tmp_path: Path, small_blocks: int
) -> None:
    trades = made_trades(8, FENCE - 2 * DAY, FENCE + 2 * DAY, 900)
    await forever.import_files(write_idless(tmp_path / "XBTUSD.csv", trades))
    await forever.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    # The file begins with the pair's first trade; behind its last one more might follow in the same minute,
    # which therefore stays the archive's.
    last_minute = trades[-1].timestamp.replace(second=0, microsecond=0)
    left = await forever.fetch(
        "SELECT timestamp FROM trades WHERE trade_id < 0 AND timestamp < %s", last_minute
    )
    assert left == []
    exact = sum(t.timestamp < last_minute for t in trades)
    assert await forever.fetch("SELECT count(*) FROM trades WHERE trade_id > 0") == [exact]
    runs = await ledger(forever)
    assert runs[-1] == (1, exact, exact, True)
    assert sum(count for first, _, count, _ in runs if first < 0) == sum(
        t.timestamp >= last_minute for t in trades
    )
    for name in ("5m", "1h", "1d"):
        assert (await forever.candles(name))[:-1] == fold_candles(fold_trades(trades), name)[:-1]


@pytest.mark.parametrize("start", [FENCE + DAY, FENCE - 9 * DAY], ids=["above the fence", "below it"])
async def test_a_minute_that_only_the_archive_without_ids_filled_is_empty_again(
    forever: Store, tmp_path: Path, start: datetime
) -> None:
    trades = made_trades(8, start, start + timedelta(hours=30), 200)
    strays = made_trades(9, start + timedelta(hours=2), start + timedelta(hours=29), 9)
    archive = sorted([*trades, *strays], key=lambda trade: trade.ns)
    await forever.import_files(write_idless(tmp_path / "XBTUSD.csv", archive))
    await forever.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    for name in ("5m", "30m", "1h", "4h", "1d"):
        assert (await forever.candles(name))[:-1] == fold_candles(fold_trades(trades), name)[:-1]


async def test_exact_trades_leave_what_an_archive_without_ids_has_beside_them(
    forever: Store, tmp_path: Path
) -> None:
    trades = made_trades(9, FENCE + DAY, FENCE + 2 * DAY, 700)
    await forever.import_files(write_idless(tmp_path / "XBTUSD.csv", trades))
    inner = trades[200:500]
    await forever.import_files(write_trades(tmp_path / "XBTUSD.csv", inner))
    first = inner[0].timestamp.replace(second=0, microsecond=0)
    last = inner[-1].timestamp.replace(second=0, microsecond=0)
    outside = [t for t in trades if t.timestamp < first + MINUTE or t.timestamp >= last]
    kept = await forever.fetch("SELECT count(*) FROM trades WHERE trade_id < 0")
    assert kept == [len(outside)]
    assert sum(count for first_id, _, count, _ in await ledger(forever) if first_id < 0) == len(outside)


async def test_an_archive_without_ids_adds_nothing_where_exact_trades_are(
    forever: Store, tmp_path: Path
) -> None:
    trades = made_trades(8, FENCE - DAY, FENCE + DAY, 300)
    await forever.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    counts = (await forever.import_files(write_idless(tmp_path / "XBTUSD.csv", trades))).counts
    assert (counts.duplicate, counts.stored) == (300, 0)
    await assert_candles_of(forever, trades)


# --- lines that move, importers that meet


async def test_a_line_that_moves_between_two_blocks_is_respected(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    trades = market(11, 200)
    seen: list[ImportProgress] = []
    tasks: list[asyncio.Task[None]] = []

    def move(progress: ImportProgress) -> None:
        seen.append(progress)
        if len(seen) == 3:
            tasks.append(asyncio.create_task(store.retain(NOW, trades_days=60, candles_days=120)))

    counts = (await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades), report=move)).counts
    await asyncio.gather(*tasks)
    await store.refresh()
    assert counts.stored + counts.folded == counts.read == len(trades)
    lines = dict(await store.fetch("SELECT kind, line FROM retention_lines"))
    assert lines["trades"] > TRADES_LINE
    assert lines["candles"] > FENCE
    assert sum(run[2] for run in await ledger(store)) == len(trades)
    minutes = fold_trades(trades)
    for name in ("5m", "1h", "1d", "1w"):
        assert await store.candles(name) == fold_candles(minutes, name)


async def test_two_imports_of_one_pair_wait_for_each_other(
    store: Store, tmp_path: Path, small_blocks: int
) -> None:
    trades = market(12, 150)
    for name, part in (("a", trades[:300]), ("b", trades[100:])):
        (tmp_path / name).mkdir()
        write_trades(tmp_path / name / "XBTUSD.csv", part)
    messages: set[str] = set()
    reports = await asyncio.gather(
        *(
            BulkCSVImporter(
                store.database, clock=lambda: NOW, report=lambda progress: messages.add(progress.message)
            ).import_directory(tmp_path / name)
            for name in ("a", "b")
        )
    )
    assert any("Waiting for another import" in message for message in messages)
    assert sum(report.counts.stored + report.counts.folded for report in reports) == len(trades)
    assert await ledger(store) == runs_of(trades)
    await assert_candles_of(store, trades)


@pytest.mark.parametrize("line", [FENCE - 600 * 7 * DAY, TRADES_LINE], ids=["stored", "folded"])
async def test_a_file_without_ids_around_what_is_held_adds_both_ends(
    store: Store, tmp_path: Path, line: datetime
) -> None:
    await store.draw_lines(trades=line, candles=FENCE)
    rows = identical_pairs(made_trades(6, FENCE - 2 * DAY, FENCE + 2 * DAY, 300))
    for part in (rows[100:200], rows[240:260], rows):
        await store.import_files(write_idless(tmp_path / "XBTUSD.csv", part))
    assert sum(trades for _, _, trades, _ in await ledger(store)) == len(rows)
    await assert_candles_of(store, idless_trades(rows))


@pytest.mark.parametrize("write", [write_trades, write_idless], ids=["with ids", "without"])
async def test_line_ends_of_another_system_make_no_difference(
    store: Store, tmp_path: Path, small_blocks: int, write: Callable[..., Path]
) -> None:
    trades = made_trades(4, FENCE - 2 * DAY, FENCE + 2 * DAY, 900)
    given = [replace(each, trade_count=1) for each in made_minutes(FENCE - 2 * DAY, FENCE + 2 * DAY, 11)]
    answers = []
    for symbol, name, end in (("BTC/USD", "XBTUSD", b"\n"), ("ETH/USD", "ETHUSD", b"\r\n")):
        await store.import_files(write_candles(tmp_path / f"{name}_1.csv", given))
        path = write(tmp_path / f"{name}.csv", trades)
        path.write_bytes(path.read_bytes().replace(b"\n", end))
        await store.import_files(path)
        candles = [
            replace(each, symbol="") for name in INTERVALS for each in await store.candles(name, symbol)
        ]
        runs = await store.fetch(
            "SELECT first_id, last_id, trades, stored FROM trade_runs WHERE symbol = %s", symbol
        )
        answers.append((candles, runs))
    assert answers[0] == answers[1]
