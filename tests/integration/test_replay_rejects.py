"""Rejected records, replayed: the same database as if they had never been rejected, whatever brought them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from krakendata.errors import NotDecided
from krakendata.ingest import replay_rejects as deeds_module
from krakendata.ingest.csv_import import BulkCSVImporter
from krakendata.ingest.page_rows import read_page
from krakendata.ingest.page_walk import Taken
from krakendata.ingest.page_writer import PageWriter
from krakendata.ingest.replay_rejects import RejectDeeds, RejectReport
from krakendata.ingest.writer import BufferLimits, DatabaseWriter
from krakendata.kraken.archives import ArchiveMember, find_members
from krakendata.storage.reject_decisions import DecidedMeanwhile, Selection, correct_reject, dismiss_rejects
from krakendata.storage.writers import Writers
from krakendata.types import INTERVALS, HistoricalCandle, Trade
from tests.archive_files import made_minutes, made_trades, trade_line, write_lines
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

pytestmark = pytest.mark.django_db(transaction=True)

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
DAY_NS = 24 * 60 * 60 * 10**9
NAME = "ada"
# Both sides of both lines, and the last hours.
STRETCHES = (
    (FENCE - 3 * DAY, FENCE + DAY),
    (TRADES_LINE - DAY, TRADES_LINE + 2 * DAY),
    (NOW - timedelta(hours=6), NOW),
)
EVERYTHING = Selection()
PATIENT = BufferLimits(flush_trades=10_000, flush_candles=1_000, flush_seconds=3600)

_numbers = count()

unhurried = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def new_symbols() -> tuple[str, str]:
    """Two pairs that no example had before: one is spoiled, the other one is not."""
    number = next(_numbers)
    letters = "".join(chr(ord("A") + number // 26**place % 26) for place in range(3))
    return f"Q{letters}/USD", f"W{letters}/USD"


def market(seed: int, size: int, *, whole_seconds: bool = False) -> list[Trade]:
    """Trades with ids from 1, in bursts; with `whole_seconds` several of a second."""
    trades: list[Trade] = []
    for start, end in STRETCHES:
        trades += made_trades(seed, start, end, size, first_id=len(trades) + 1)
    if whole_seconds:
        trades = [replace(each, ns=each.ns // 10**10 * 10**10) for each in trades]
    return trades


def deeds(store: Store, **options: Any) -> RejectDeeds:
    return RejectDeeds(store.database, NAME, **{"clock": lambda: NOW, **options})


async def import_lines(store: Store, path: Path, symbol: str, lines: Iterable[str], **options: Any) -> None:
    write_lines(path, lines)
    importer = BulkCSVImporter(store.database, **{"clock": lambda: NOW, **options})
    report = await importer.import_directory(path, symbol=symbol)
    assert report.plan.refused == []


async def correct_each(store: Store, symbol: str, right: Callable[[int, str], str]) -> list[int]:
    """Correct every waiting record of a pair: `right` makes its text of its line and of what it was."""
    rows = await store.fetch(
        "SELECT id, line, raw FROM rejected_records WHERE symbol = %s AND state = 'quarantined'", symbol
    )
    for record_id, line, raw in rows:
        await correct_reject(store.connection, record_id, right(line, raw), NAME, "mended", None)
    return [record_id for record_id, _, _ in rows]


async def facts_of(store: Store, symbol: str) -> dict[str, Any]:
    """Everything the database says of a pair but its name, and when it was written."""
    tables = {
        "trades": "timestamp, trade_id, price, volume, side, order_type",
        "trade_runs": "first_id, last_id, first_ns, last_ns, trades, source, stored",
        "answered_ids": "first_id, last_id, answer",
        "candle_runs": "interval_minutes, first_start, last_start, candles",
        "candles": "timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id",
        "candles_history": "interval_minutes, timestamp, open, high, low, close, volume, turnover, trade_count, "
        "first_id, last_id, coarse, minutes, exact_minutes",
        "data_sync_status": "kind, oldest_timestamp, newest_timestamp, collected, stored, holes, cursor_ns",
    }
    found: dict[str, Any] = {
        table: await store.fetch(f"SELECT {columns} FROM {table} WHERE symbol = %s ORDER BY 1, 2", symbol)  # noqa: S608
        for table, columns in tables.items()
    }
    for name in INTERVALS:
        found[name] = [replace(each, symbol="") for each in await store.candles(name, symbol)]
    return found


async def assert_alike(store: Store, spoiled: str, whole: str, *, has_moved: bool = False) -> None:
    """`has_moved`: a retention line moved since they were imported; then what lies behind it does not count."""
    mended, wanted = await facts_of(store, spoiled), await facts_of(store, whole)
    if has_moved:
        lines = dict(await store.fetch("SELECT kind, line FROM retention_lines"))
        for facts in (mended, wanted):
            # Partitions go as a whole, and no read looks at what is left behind the line.
            for table, line in lines.items():
                facts[table] = [row for row in facts[table] if row[0] >= line]
            facts["trade_runs"] = joined(facts["trade_runs"])
    for name, rows in wanted.items():
        assert mended[name] == rows, name


def joined(runs: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The runs of a ledger, as one where they go on: the retention splits them and leaves them so."""
    result: list[tuple[Any, ...]] = []
    for run in runs:
        first_id, last_id, first_ns, last_ns, trades, source, stored = run
        if result and result[-1][5:] == (source, stored):
            begin_id, end_id, begin_ns, end_ns, held, _, _ = result[-1]
            if end_id + 1 == first_id or (first_id < 0 and first_ns - end_ns <= DAY_NS):
                result[-1] = (begin_id, last_id, begin_ns, last_ns, held + trades, source, stored)
                continue
        result.append(run)
    return result


async def assert_replayed(store: Store, report: RejectReport, records: Sequence[int]) -> None:
    """The records are in, each with a decision, and the run says so."""
    assert (report.state, report.error, report.counts.rejected) == ("done", "", 0)
    assert report.counts.read == len(records)
    states = await store.fetch("SELECT state FROM rejected_records WHERE id = ANY (%s)", list(records))
    assert set(states) <= {"replayed"}
    replayed = await store.fetch(
        "SELECT record_id FROM reject_decisions WHERE action = 'replayed' AND decided_by = %s "
        "AND record_id = ANY (%s) ORDER BY 1",
        NAME, list(records),
    )  # fmt: skip
    assert replayed == sorted(records)
    ((state, done, read, parts),) = await store.fetch(
        "SELECT state, done, read, stored + folded + duplicate + rejected FROM sync_runs WHERE id = %s",
        report.run_id,
    )
    assert (state, done, read, parts) == ("done", len(records), len(records), len(records))


# --- the same database as if they had never been rejected


@unhurried
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.02, 0.2, 0.7]))
async def test_rows_with_ids_come_in_as_if_they_had_never_been_refused(
    store: Store, tmp_path: Path, seed: int, share: float
) -> None:
    chance = random.Random(seed)
    spoiled, whole = new_symbols()
    lines = [trade_line(each) for each in market(seed, 40)]
    wrong = {place for place in range(len(lines)) if chance.random() < share}

    def spoil(line: str) -> str:
        cells = line.split(",")
        place, text = chance.choice(
            [(1, "0"), (1, "nan"), (2, "-1"), (2, ""), (0, "soon"), (3, "x"), (4, "?")]
        )
        cells[place] = text
        return ",".join(cells)

    broken = [spoil(line) if place in wrong else line for place, line in enumerate(lines)]
    await import_lines(store, tmp_path / "broken.csv", spoiled, broken)
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    records = await correct_each(store, spoiled, lambda line, raw: lines[line - 1])
    assert len(records) == len(wrong)
    await assert_replayed(store, await deeds(store).replay(Selection(symbol=spoiled)), records)
    await assert_alike(store, spoiled, whole)


@unhurried
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.02, 0.2, 0.7]), in_one=st.booleans())
async def test_rows_without_ids_come_in_where_their_file_had_them(
    store: Store, tmp_path: Path, seed: int, share: float, in_one: bool
) -> None:
    chance = random.Random(seed)
    spoiled, whole = new_symbols()
    lines = [
        f"{each.ns // 10**9},{each.price},{each.volume}" for each in market(seed, 60, whole_seconds=True)
    ]
    # Never the first line of all, by which the importer tells the layout, nor every line of a file.
    wrong = {place for place in range(3, len(lines)) if chance.random() < share}

    def spoil(line: str) -> str:
        cells = line.split(",")
        place, text = chance.choice([(0, "soon"), (1, "0"), (1, "inf"), (2, "-1"), (2, "")])
        cells[place] = text
        return ",".join(cells)

    broken = [spoil(line) if place in wrong else line for place, line in enumerate(lines)]
    await import_lines(store, tmp_path / "broken.csv", spoiled, broken)
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    records = await correct_each(store, spoiled, lambda line, raw: lines[line - 1])
    assert len(records) == len(wrong)
    # All at once, or one by one in any order.
    chance.shuffle(records)
    groups = [records] if in_one else [[each] for each in records[:12]] + [records[12:]]
    for group in filter(None, groups):
        await assert_replayed(store, await deeds(store).replay(Selection(ids=tuple(group))), group)
    await assert_alike(store, spoiled, whole)


@unhurried
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.02, 0.3]))
async def test_rows_of_rest_come_in_as_if_they_had_never_been_refused(
    store: Store, seed: int, share: float
) -> None:
    chance = random.Random(seed)
    spoiled, whole = new_symbols()
    rows = [rest_row(each) for each in market(seed, 40)]
    wrong = {place for place in range(len(rows)) if chance.random() < share}

    def spoil(row: tuple[Any, ...]) -> tuple[Any, ...]:
        place, value = chance.choice([(0, "0.0"), (1, "-3"), (2, None), (3, "hold"), (4, 7)])
        return (*row[:place], value, *row[place + 1 :])

    broken = [spoil(row) if place in wrong else row for place, row in enumerate(rows)]
    for symbol, given_rows in ((spoiled, broken), (whole, rows)):
        async with Writers(store.database, 1) as writers:
            run_id = await writers.start_run("backfill", {"symbol": symbol})
            page = read_page(given_rows, symbol, NOW)
            await PageWriter(writers, symbol, run_id, 1000).write([Taken(page)], is_end=True)
            await writers.finish_run(run_id, "done")
    await store.refresh()
    records = await correct_each(store, spoiled, lambda line, raw: as_kept(rows[line - 1]))
    assert len(records) == len(wrong)
    await assert_replayed(store, await deeds(store).replay(Selection(symbol=spoiled)), records)
    await assert_alike(store, spoiled, whole)


def rest_row(trade: Trade) -> tuple[Any, ...]:
    side, kind = (trade.side or "")[:1], (trade.order_type or "")[:1]
    return (
        f"{trade.price:f}",
        f"{trade.volume:f}",
        Decimal(trade.ns).scaleb(-9),
        side,
        kind,
        "",
        trade.trade_id,
    )


def as_kept(row: tuple[Any, ...]) -> str:
    price, volume, time, side, kind, misc, trade_id = row
    return f'["{price}", "{volume}", "{time:f}", "{side}", "{kind}", "{misc}", {trade_id}]'


@unhurried
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.05, 0.5]))
async def test_trades_of_the_socket_come_in_as_if_they_had_never_been_refused(
    store: Store, seed: int, share: float
) -> None:
    chance = random.Random(seed)
    spoiled, whole = new_symbols()
    trades = made_trades(seed, NOW - timedelta(hours=2), NOW, 60, first_id=9_001)
    async with DatabaseWriter(store.database, limits=PATIENT, clock=lambda: NOW) as writer:
        for each in trades:
            await writer.write_trade(said(replace(each, symbol=whole)))
            wrong: dict[str, Any] = chance.choice(
                [{"price": Decimal(0)}, {"qty": None}, {"side": "b/s"}, {"timestamp": "now"}]
            )
            element = said(replace(each, symbol=spoiled))
            await writer.write_trade(element | (wrong if chance.random() < share else {}))
    by_id = {each.trade_id: replace(each, symbol=spoiled) for each in trades}
    await store.refresh()
    records = await correct_each(
        store, spoiled, lambda line, raw: spoken(by_id[int(raw.split('"trade_id": ')[1].split(",")[0])])
    )
    await assert_replayed(store, await deeds(store).replay(Selection(symbol=spoiled)), records)
    await assert_alike(store, spoiled, whole)


def said(trade: Trade) -> dict[str, Any]:
    """The trade as an element of a message."""
    return {
        "symbol": trade.symbol, "side": trade.side, "price": trade.price, "qty": trade.volume,
        "ord_type": trade.order_type, "trade_id": trade.trade_id,
        "timestamp": trade.timestamp.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip


def spoken(trade: Trade) -> str:
    """The same as JSON."""
    values = {name: value if isinstance(value, int) else f'"{value}"' for name, value in said(trade).items()}
    return "{" + ", ".join(f'"{name}": {value}' for name, value in values.items()) + "}"


@pytest.mark.parametrize("interval", [1, 60])
@pytest.mark.parametrize("seed", range(3))
async def test_candles_come_in_as_if_they_had_never_been_refused(
    store: Store, tmp_path: Path, interval: int, seed: int
) -> None:
    chance = random.Random(seed)
    spoiled, whole = new_symbols()
    candles = made_minutes(
        FENCE - 200 * MINUTE * interval, FENCE + 200 * MINUTE * interval, interval, interval=interval
    )
    lines = [candle_line(each) for each in candles]
    wrong = {place for place in range(1, len(lines)) if chance.random() < 0.1} | {len(lines) - 1}

    def spoil(line: str) -> str:
        cells = line.split(",")
        place, text = chance.choice([(1, "0"), (2, "0.1"), (5, "x"), (6, "-1"), (6, "1.5")])
        cells[place] = text
        return ",".join(cells)

    broken = [spoil(line) if place in wrong else line for place, line in enumerate(lines)]
    for folder, symbol, text in (("broken", spoiled, broken), ("whole", whole, lines)):
        (tmp_path / folder).mkdir()
        await import_lines(store, tmp_path / folder / f"QQQUSD_{interval}.csv", symbol, text)
    records = await correct_each(store, spoiled, lambda line, raw: lines[line - 1])
    assert len(records) == len(wrong)
    await assert_replayed(store, await deeds(store).replay(Selection(symbol=spoiled)), records)
    await assert_alike(store, spoiled, whole)


def candle_line(candle: HistoricalCandle) -> str:
    return (
        f"{candle.timestamp.timestamp():.0f},{candle.open},{candle.high},{candle.low},{candle.close},"
        f"{candle.volume},{candle.trade_count}"
    )


@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("seed", range(3))
async def test_those_that_go_on_waiting_change_nothing(
    store: Store, tmp_path: Path, seed: int, with_ids: bool
) -> None:
    """Some come in: the same database as if only the others had been refused."""
    spoiled, partly = new_symbols()
    broken, lines = spoiled_lines(seed, with_ids=with_ids)
    await import_lines(store, tmp_path / "broken.csv", spoiled, broken)
    records = await correct_each(store, spoiled, lambda line, raw: lines[line - 1])
    chosen = random.Random(seed).sample(records, len(records) // 2)
    rows = await store.fetch("SELECT line FROM rejected_records WHERE id = ANY (%s)", chosen)
    mended = [lines[at] if at + 1 in rows else line for at, line in enumerate(broken)]
    await import_lines(store, tmp_path / "partly.csv", partly, mended)
    await assert_replayed(store, await deeds(store).replay(Selection(ids=tuple(chosen))), chosen)
    await assert_alike(store, spoiled, partly)


# --- wherever their places lie by then


def spoiled_lines(seed: int, *, with_ids: bool) -> tuple[list[str], list[str]]:
    """The lines of an archive with some prices that cannot be, and as they should have been."""
    chance = random.Random(seed)
    if with_ids:
        lines = [trade_line(each) for each in market(seed, 60)]
    else:
        lines = [f"{t.ns // 10**9},{t.price},{t.volume}" for t in market(seed, 60, whole_seconds=True)]
    broken = [
        ",".join([line.split(",")[0], "0", *line.split(",")[2:]])
        if place > 2 and chance.random() < 0.3
        else line
        for place, line in enumerate(lines)
    ]
    return broken, lines


async def import_both(
    store: Store, tmp_path: Path, seed: int, *, with_ids: bool
) -> tuple[str, str, list[int]]:
    """Import a spoiled archive and a whole one; give their pairs, and the records with their corrections."""
    spoiled, whole = new_symbols()
    broken, lines = spoiled_lines(seed, with_ids=with_ids)
    await import_lines(store, tmp_path / "broken.csv", spoiled, broken)
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    records = await correct_each(store, spoiled, lambda line, raw: lines[line - 1])
    assert len(records) > 20
    return spoiled, whole, records


@pytest.mark.community
@pytest.mark.parametrize("with_ids", [True, False])
async def test_records_come_into_what_is_compressed(store: Store, tmp_path: Path, with_ids: bool) -> None:
    spoiled, whole, records = await import_both(store, tmp_path, 5, with_ids=with_ids)
    for table in ("trades", "candles"):
        await store.connection.execute(f"SELECT compress_chunk(c) FROM show_chunks('{table}') c")  # noqa: S608
    for group in (records[:3], records[3:]):
        await assert_replayed(store, await deeds(store).replay(Selection(ids=tuple(group))), group)
    await assert_alike(store, spoiled, whole)


@pytest.mark.parametrize(("trades_days", "candles_days"), [(10, 365), (10, 60), (None, 60)])
@pytest.mark.parametrize("with_ids", [True, False])
async def test_records_come_in_after_the_retention_has_passed_their_places(
    store: Store, tmp_path: Path, with_ids: bool, trades_days: int | None, candles_days: int
) -> None:
    spoiled, whole, records = await import_both(store, tmp_path, 6, with_ids=with_ids)
    await store.retain(trades_days=trades_days or 90, candles_days=candles_days)
    await assert_replayed(store, await deeds(store).replay(Selection(symbol=spoiled)), records)
    await assert_alike(store, spoiled, whole, has_moved=True)


async def test_a_line_that_moves_while_records_come_in_is_heeded(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch finds the places of all stored, the later ones find most of them behind the retention."""
    spoiled, whole, records = await import_both(store, tmp_path, 7, with_ids=True)
    monkeypatch.setattr(deeds_module, "BATCH_RECORDS", 5)
    told: list[int] = []

    def move_once() -> bool:
        told.append(1)
        return len(told) == 3

    first = await deeds(store, should_stop=move_once).replay(Selection(symbol=spoiled))
    assert (first.state, first.counts.read) == ("stopped", 10)
    await store.retain(trades_days=10, candles_days=60)
    second = await deeds(store).replay(Selection(symbol=spoiled), after=first.after, upto=first.upto)
    assert (second.state, second.counts.read, second.counts.rejected) == ("done", len(records) - 10, 0)
    await assert_alike(store, spoiled, whole, has_moved=True)


# --- decisions


async def refused(store: Store, tmp_path: Path, symbol: str, bad: Sequence[int] = (5, 6, 7)) -> list[Trade]:
    """Import twenty trades of the last hours, some of them with a side that nobody knows."""
    trades = made_trades(1, NOW - timedelta(hours=3), NOW - timedelta(hours=1), 20)
    lines = [trade_line(each) for each in trades]
    for place in bad:
        cells = lines[place - 1].split(",")
        lines[place - 1] = ",".join([*cells[:3], "B", *cells[4:]])
    await import_lines(store, tmp_path / f"{symbol[:3]}.csv", symbol, lines)
    return trades


async def counted(store: Store) -> tuple[int, int, int, int]:
    (row,) = await store.fetch("SELECT count, kept, replayed, dismissed FROM reject_counts")
    return tuple(row)


async def test_one_correction_mends_a_whole_group(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled)
    before = await store.fetch("SELECT id, raw, detail, reason FROM rejected_records ORDER BY id")
    assert await counted(store) == (3, 3, 0, 0)
    report = await deeds(store).replay(Selection(reason="bad_side"), fields={"side": "b"}, why="capitals")
    assert (report.corrected, report.counts.stored, report.counts.read) == (3, 3, 3)
    assert await counted(store) == (3, 3, 3, 0)
    assert await store.fetch("SELECT id, raw, detail, reason FROM rejected_records ORDER BY id") == before
    history = await store.fetch("SELECT action, decided_by, why, outcome FROM reject_decisions ORDER BY id")
    assert (
        history == [("corrected", NAME, "capitals", "")] * 3 + [("replayed", NAME, "capitals", "stored")] * 3
    )
    assert await store.fetch("SELECT side FROM trades WHERE trade_id = 6") == ["buy"]
    assert await store.fetch("SELECT first_id FROM answered_ids") == []
    assert await store.fetch("SELECT first_id, last_id FROM trade_runs") == [(1, 20)]


async def test_what_is_refused_again_waits_on_and_says_why(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled)
    report = await deeds(store).replay(EVERYTHING)
    assert (report.state, report.counts.read, report.counts.rejected) == ("done", 3, 3)
    assert set(await store.fetch("SELECT state FROM rejected_records")) == {"quarantined"}
    whys = await store.fetch("SELECT action, why FROM reject_decisions")
    assert {action for action, _ in whys} == {"refused"}
    assert {why.split(":")[0] for _, why in whys} == {"bad_side"}
    assert await counted(store) == (3, 3, 0, 0)


async def test_a_record_in_the_future_comes_in_when_its_time_has_come(store: Store, tmp_path: Path) -> None:
    spoiled, whole = new_symbols()
    lines = [trade_line(each) for each in market(4, 20)]
    early = NOW - timedelta(hours=3)
    await import_lines(store, tmp_path / "early.csv", spoiled, lines, clock=lambda: early)
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    waiting = await store.fetch("SELECT reason FROM rejected_records")
    assert set(waiting) == {"in_future"}
    report = await deeds(store).replay(Selection(source="archive", reason="in_future"))
    assert report.counts.stored == len(waiting)
    await assert_alike(store, spoiled, whole)


async def test_dismissed_records_wait_no_more_and_stay_as_they_came(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled)
    before = await store.fetch("SELECT id, raw FROM rejected_records ORDER BY id")
    report = await deeds(store).dismiss(Selection(symbol=spoiled), "the exchange's own noise")
    assert (report.state, report.dismissed) == ("done", 3)
    assert await counted(store) == (3, 3, 0, 3)
    assert await store.fetch("SELECT id, raw FROM rejected_records ORDER BY id") == before
    assert set(await store.fetch("SELECT why FROM reject_decisions")) == {"the exchange's own noise"}
    # They are decided: neither way takes them again, and their ids are still answered for.
    assert (await deeds(store).replay(EVERYTHING, fields={"side": "b"}, why="x")).counts.read == 0
    assert (await deeds(store).dismiss(EVERYTHING, "again")).dismissed == 0
    assert await store.fetch("SELECT first_id FROM answered_ids ORDER BY 1") == [5, 6, 7]


@pytest.mark.parametrize("name", ["", "  "])
def test_nobody_decides_without_a_name(name: str) -> None:
    with pytest.raises(NotDecided):
        RejectDeeds({}, name)


async def test_nothing_is_dismissed_or_corrected_without_a_reason(store: Store) -> None:
    with pytest.raises(NotDecided):
        await deeds(store).dismiss(EVERYTHING, " ")
    with pytest.raises(NotDecided):
        await deeds(store).replay(EVERYTHING, fields={"side": "b"})


async def test_a_correction_makes_no_other_trade_of_a_record(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled, bad=[5])
    fields = {"side": "b", "trade_id": "99"}
    report = await deeds(store).replay(EVERYTHING, fields=fields, why="mistaken")
    assert (report.counts.rejected, report.corrected) == (1, 0)
    assert "does not make another trade" in (await store.fetch("SELECT why FROM reject_decisions"))[0]
    assert await store.fetch("SELECT first_id FROM answered_ids") == [5]


async def test_a_trade_that_came_another_way_meanwhile_is_a_duplicate(store: Store, tmp_path: Path) -> None:
    spoiled, whole = new_symbols()
    trades = await refused(store, tmp_path, spoiled)
    lines = [trade_line(each) for each in trades]
    await import_lines(store, tmp_path / "again.csv", spoiled, lines)
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    report = await deeds(store).replay(EVERYTHING, fields={"side": "b"}, why="capitals")
    assert (report.counts.duplicate, report.counts.stored) == (3, 0)
    await assert_alike(store, spoiled, whole)


async def test_a_line_refused_by_two_imports_comes_in_once(store: Store, tmp_path: Path) -> None:
    spoiled, whole = new_symbols()
    times = [int((NOW - timedelta(hours=2)).timestamp()) + second for second in (0, 0, 0, 1)]
    lines = [f"{second},10{place},1" for place, second in enumerate(times)]
    broken = [lines[0], lines[1].replace("101", "0"), *lines[2:]]
    path = tmp_path / "broken.csv"
    await import_lines(store, path, spoiled, broken)
    await store.connection.execute("UPDATE import_files SET version = 'touched'")
    await import_lines(store, path, spoiled, broken)
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    assert len(await store.fetch("SELECT id FROM rejected_records")) == 2
    report = await deeds(store).replay(EVERYTHING, fields={"price": "101"}, why="a digit lost")
    assert (report.counts.stored, report.counts.duplicate) == (1, 1)
    await assert_alike(store, spoiled, whole)


@pytest.mark.parametrize("second_comes", ["before the replay", "after it"])
@pytest.mark.parametrize("order", ["ascending", "descending"])
async def test_a_file_that_was_uploaded_twice_gives_its_refused_rows_once(
    store: Store, tmp_path: Path, second_comes: str, order: str
) -> None:
    """Each upload has a name of its own; rows that are equal within a file are as many as the file has."""
    spoiled, whole = new_symbols()
    second = int((NOW - timedelta(hours=2)).timestamp())
    lines = [f"{second},{price},1" for price in (100, 101, 101, 102, 101, 103)]
    broken = [line.replace(",101,", ",1O1,") for line in lines]
    await import_lines(store, tmp_path / "upload-1.csv", spoiled, broken)
    if second_comes == "before the replay":
        await import_lines(store, tmp_path / "upload-2.csv", spoiled, broken)
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    first = (
        await deeds(store).replay(EVERYTHING, fields={"price": "101"}, why="a letter")
        if second_comes == "after it"
        else None
    )
    if first:
        assert (first.counts.stored, first.counts.duplicate) == (3, 0)
        await import_lines(store, tmp_path / "upload-2.csv", spoiled, broken)
    ids = sorted(
        await store.fetch("SELECT id FROM rejected_records WHERE state = 'quarantined'"),
        reverse=order == "descending",
    )
    outcomes = []
    for record_id in ids:
        report = await deeds(store).replay(
            Selection(ids=(record_id,)), fields={"price": "101"}, why="a letter"
        )
        outcomes.append((report.counts.stored, report.counts.duplicate))
    assert sum(stored for stored, _ in outcomes) == (0 if first else 3)
    assert sum(duplicate for _, duplicate in outcomes) == 3
    if order == "ascending":
        await assert_alike(store, spoiled, whole)
    counts = await store.fetch(
        "SELECT price, count(*) FROM trades WHERE symbol = %s GROUP BY price ORDER BY price", spoiled
    )
    assert counts == await store.fetch(
        "SELECT price, count(*) FROM trades WHERE symbol = %s GROUP BY price ORDER BY price", whole
    )


@pytest.mark.parametrize("second_comes", ["before the replay", "after it"])
async def test_rows_behind_a_duplicate_come_in_behind_it(
    store: Store, tmp_path: Path, second_comes: str
) -> None:
    """The first file ends with a refused row; the second goes on behind it, with refused rows of the same second."""
    spoiled, whole = new_symbols()
    second = int((NOW - timedelta(hours=2)).timestamp())
    lines = [f"{second},{price},1" for price in (100, 101, 102, 103)]
    broken = [
        lines[0],
        lines[1].replace("101", "1O1"),
        lines[2].replace("102", "1O2"),
        lines[3].replace("103", "1O3"),
    ]
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    await import_lines(store, tmp_path / "first.csv", spoiled, broken[:2])
    if second_comes == "before the replay":
        await import_lines(store, tmp_path / "second.csv", spoiled, broken)
    await correct_each(store, spoiled, lambda line, raw: raw.replace("O", "0"))
    records = await store.fetch("SELECT id FROM rejected_records WHERE strpos(place, 'first.csv') > 0")
    await deeds(store).replay(Selection(ids=tuple(records)))
    if second_comes == "after it":
        await import_lines(store, tmp_path / "second.csv", spoiled, broken)
        await correct_each(store, spoiled, lambda line, raw: raw.replace("O", "0"))
    report = await deeds(store).replay(EVERYTHING)
    assert (report.counts.stored, report.counts.duplicate) == (2, 1)
    prices = "SELECT price FROM trades WHERE symbol = %s ORDER BY trade_id"
    assert await store.fetch(prices, spoiled) == await store.fetch(prices, whole)


async def test_a_line_of_unknown_place_that_was_refused_by_two_imports_comes_in_once(
    store: Store, tmp_path: Path
) -> None:
    """As they were kept before anybody noted what such a row follows."""
    spoiled, _ = new_symbols()
    second = int((NOW - timedelta(hours=2)).timestamp())
    path = tmp_path / "broken.csv"
    await import_lines(store, path, spoiled, [f"{second},100,1", f"{second},0,1"])
    await store.connection.execute("UPDATE import_files SET version = 'touched'")
    await import_lines(store, path, spoiled, [f"{second},100,1", f"{second},0,1"])
    await store.connection.execute("UPDATE rejected_records SET follows = NULL")
    report = await deeds(store).replay(EVERYTHING, fields={"price": "101"}, why="a digit lost")
    assert (report.counts.stored, report.counts.duplicate) == (1, 1)


async def test_what_is_refused_again_for_the_same_reason_is_told_once(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled)
    for _ in range(2):
        report = await deeds(store).replay(EVERYTHING)
        assert report.counts.rejected == 3
    assert await store.fetch("SELECT count(*) FROM reject_decisions WHERE action = 'refused'") == [3]


async def test_a_deed_stops_between_batches_and_goes_on_from_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled, bad=range(3, 13))
    monkeypatch.setattr(deeds_module, "BATCH_RECORDS", 4)
    asked = iter([False, False, True])
    how: dict[str, Any] = {"fields": {"side": "b"}, "why": "capitals"}
    first = await deeds(store, should_stop=lambda: next(asked)).replay(EVERYTHING, **how)
    assert (first.state, first.counts.stored) == ("stopped", 8)
    assert await store.fetch("SELECT done, total, state FROM sync_runs WHERE id = %s", first.run_id) == [
        (8, 10, "stopped")
    ]
    second = await deeds(store).replay(EVERYTHING, **how, after=first.after, upto=first.upto)
    assert (second.state, second.counts.stored) == ("done", 2)
    assert await store.fetch("SELECT first_id, last_id FROM trade_runs") == [(1, 20)]


async def test_two_who_decide_at_once_decide_each_record_once(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled, bad=range(3, 13))
    replays = [deeds(store).replay(EVERYTHING, fields={"side": "b"}, why="capitals") for _ in range(2)]
    reports = await asyncio.gather(*replays, deeds(store).dismiss(EVERYTHING, "noise"))
    assert [report.state for report in reports] == ["done"] * 3
    settled = await store.fetch(
        "SELECT count(*) FROM reject_decisions WHERE action IN ('replayed', 'dismissed') GROUP BY record_id"
    )
    assert settled == [1] * 10
    _, kept, replayed, dismissed = await counted(store)
    assert (kept, replayed + dismissed) == (10, 10)


async def test_two_who_decide_at_once_about_rows_without_ids_do_not_block_each_other(
    store: Store, tmp_path: Path
) -> None:
    spoiled, _ = new_symbols()
    second = int((NOW - timedelta(hours=2)).timestamp())
    lines = [f"{second + place // 4},{100 + place},1" for place in range(16)]
    # Two reasons, so that there are two counts as well.
    broken = [
        *lines[:4],
        *(f"{line.split(',')[0]},{'0' if n % 2 else 'x'},1" for n, line in enumerate(lines[4:])),
    ]
    await import_lines(store, tmp_path / "broken.csv", spoiled, broken)
    replays = [deeds(store).replay(EVERYTHING, fields={"price": "101"}, why="mended") for _ in range(2)]
    reports = await asyncio.gather(*replays, deeds(store).dismiss(EVERYTHING, "noise"))
    assert [(report.state, report.error) for report in reports] == [("done", "")] * 3
    settled = await store.fetch(
        "SELECT count(*) FROM reject_decisions WHERE action IN ('replayed', 'dismissed') GROUP BY record_id"
    )
    assert settled == [1] * 12


async def test_a_pair_that_another_job_is_at_is_passed_over(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled)
    async with Writers(store.database, 1) as others:
        assert await others.try_job_lock(spoiled)
        report = await deeds(store, waits=False).replay(EVERYTHING, fields={"side": "b"}, why="capitals")
        assert (report.busy, report.counts.read) == ([spoiled], 0)
    assert (await deeds(store).replay(EVERYTHING, fields={"side": "b"}, why="capitals")).counts.stored == 3


async def test_a_decided_record_takes_no_correction(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    await refused(store, tmp_path, spoiled, bad=[5])
    (record,) = await store.fetch("SELECT id FROM rejected_records")
    assert await dismiss_rejects(store.connection, [record], NAME, "noise", None) == 1
    with pytest.raises(DecidedMeanwhile):
        await correct_reject(store.connection, record, "1,2,3", NAME, "late", None)


async def test_counts_tell_those_beyond_the_limit_from_those_kept(store: Store, tmp_path: Path) -> None:
    spoiled, _ = new_symbols()
    trades = made_trades(1, NOW - timedelta(hours=3), NOW, 20)
    lines = [trade_line(each).replace(",b,", ",B,").replace(",s,", ",S,") for each in trades]
    await import_lines(store, tmp_path / "x.csv", spoiled, lines, max_rejects_kept=7)
    assert await counted(store) == (20, 7, 0, 0)
    report = await deeds(store).dismiss(Selection(run=None, reason="bad_side"), "noise")
    assert report.dismissed == 7
    assert await counted(store) == (20, 7, 0, 7)


async def test_an_import_that_goes_on_behind_a_replayed_row_loses_none(store: Store, tmp_path: Path) -> None:
    """The row was the last of its second that was in; the next of the file belongs behind it."""
    spoiled, whole = new_symbols()
    second = int((NOW - timedelta(hours=2)).timestamp())
    lines = [f"{second + place // 4},10{place},1" for place in range(8)]
    broken = [*lines[:2], lines[2].replace("102", "0"), *lines[3:]]
    path = tmp_path / "broken.csv"
    await import_lines(store, path, spoiled, broken[:3])
    report = await deeds(store).replay(EVERYTHING, fields={"price": "102"}, why="a digit lost")
    assert report.counts.stored == 1
    # As an import that was stopped there leaves it.
    write_lines(path, broken)
    position = sum(len(line) + 1 for line in broken[:3])
    await store.connection.execute(
        "UPDATE import_files SET done = false, next_offset = %s, next_line = 4, size = %s, version = %s",
        [position, path.stat().st_size, member_version(path)],
    )
    importer = BulkCSVImporter(store.database, clock=lambda: NOW)
    assert (await importer.import_directory(path, symbol=spoiled)).counts.read == 5
    await import_lines(store, tmp_path / "whole.csv", whole, lines)
    await assert_alike(store, spoiled, whole)


def member_version(path: Path) -> str:
    (member,) = find_members([path])
    assert isinstance(member, ArchiveMember)
    return member.version
