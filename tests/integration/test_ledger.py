"""The ledger's verbs in the database: runs that grow, split and never overlap."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from krakendata.storage.ledger import read_holdings, read_lines
from krakendata.types import archive_trade_id, ns_of
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

MINUTE = timedelta(minutes=1)
NOON = TRADES_LINE + timedelta(days=3, hours=12)


async def record(
    store: Store,
    first: int,
    last: int,
    *,
    source: str = "archive",
    stored: bool = True,
    follows: int | None = None,
) -> None:
    """Record a run whose ids are seconds after noon."""
    span = (ns_of(NOON) + first * 10**9, ns_of(NOON) + last * 10**9)
    if first < 0:
        span = (ns_of(NOON), ns_of(NOON) + 10**9)
    await store.connection.execute(
        "SELECT record_trade_run('BTC/USD', %s, %s, %s, %s, %s, %s, %s, %s)",
        [first, last, *span, last - first + 1 if first > 0 else 2, source, stored, follows],
    )


async def runs(store: Store) -> list[tuple[Any, ...]]:
    rows = await store.fetch(
        "SELECT first_id, last_id, trades, source, stored FROM trade_runs ORDER BY first_id"
    )
    return [tuple(row) for row in rows]


async def test_a_run_joins_both_neighbours(store: Store) -> None:
    await record(store, 1, 5)
    await record(store, 10, 12)
    await record(store, 6, 9)
    assert await runs(store) == [(1, 12, 12, "archive", True)]
    held = await read_holdings(store.connection, "BTC/USD")
    (run,) = held.overlapping(1, 12)
    assert (run.first_ns, run.last_ns) == (ns_of(NOON) + 10**9, ns_of(NOON) + 12 * 10**9)


@pytest.mark.parametrize("other", [{"source": "rest"}, {"stored": False}], ids=["source", "stored"])
async def test_runs_of_another_kind_stay_apart(store: Store, other: dict[str, Any]) -> None:
    await record(store, 1, 5)
    await record(store, 6, 9, **other)
    assert len(await runs(store)) == 2


@pytest.mark.parametrize(("first", "last"), [(5, 6), (1, 5), (3, 4), (1, 9)])
async def test_an_id_is_in_one_run_by_constraint(store: Store, first: int, last: int) -> None:
    await record(store, 2, 5)
    with pytest.raises(psycopg.errors.ExclusionViolation):
        await record(store, first, last, source="rest")


async def test_the_same_ids_of_two_pairs_do_not_meet(store: Store) -> None:
    await record(store, 1, 5)
    await store.connection.execute("SELECT record_trade_run('ETH/USD', 1, 5, 0, 1, 5, 'archive', true, NULL)")
    assert len(await runs(store)) == 2


async def test_rows_without_ids_go_on_from_the_row_they_follow(store: Store) -> None:
    await record(store, -100, -90)
    await record(store, -50, -40, follows=-90)
    await record(store, -30, -20)
    assert await runs(store) == [(-100, -40, 4, "archive", True), (-30, -20, 2, "archive", True)]


async def test_holes_are_steps_between_ids_that_no_answer_fills(store: Store) -> None:
    for first, last in ((5, 9), (12, 20), (22, 30), (40, 50)):
        await record(store, first, last)
    assert await store.fetch("SELECT trade_holes('BTC/USD')") == [3]
    await store.connection.execute("INSERT INTO answered_ids VALUES ('BTC/USD', 21, 21, 'absent')")
    assert await store.fetch("SELECT trade_holes('BTC/USD')") == [2]
    await store.connection.execute("INSERT INTO answered_ids VALUES ('BTC/USD', 10, 10, 'rejected')")
    assert await store.fetch("SELECT trade_holes('BTC/USD')") == [2]


async def answers(store: Store) -> list[Any]:
    return await store.fetch("SELECT first_id, last_id, answer FROM answered_ids ORDER BY first_id")


async def answer(
    store: Store, *, absent: tuple[int, int] | None = None, rejected: Sequence[int] = ()
) -> None:
    if absent is not None:
        await store.connection.execute("SELECT record_absent_ids('BTC/USD', %s, %s)", absent)
    if rejected:
        await store.connection.execute("SELECT record_rejected_ids('BTC/USD', %s)", [list(rejected)])


async def test_an_id_that_is_held_is_never_absent(store: Store) -> None:
    await record(store, 16, 16)
    await answer(store, absent=(15, 17))
    assert await answers(store) == [(15, 15, "absent"), (17, 17, "absent")]


async def test_an_id_that_was_refused_is_never_absent_whichever_comes_first(store: Store) -> None:
    highest = 2**63 - 1
    await answer(store, rejected=[15, 21, highest])
    await answer(store, absent=(15, 17))
    await answer(store, absent=(20, 22), rejected=[20, 22])
    found = [(15, 15, "rejected"), (16, 17, "absent"), *((n, n, "rejected") for n in (20, 21, 22))]
    assert await answers(store) == [*found, (highest, highest, "rejected")]
    await answer(store, absent=(18, 19))
    assert (await answers(store))[1] == (16, 19, "absent")


async def test_what_is_left_of_an_answer_meets_no_other(store: Store) -> None:
    await store.connection.execute("INSERT INTO answered_ids VALUES ('BTC/USD', 5, 9, 'absent')")
    await store.connection.execute("INSERT INTO answered_ids VALUES ('BTC/USD', 7, 7, 'rejected')")
    await record(store, 6, 6)
    await store.connection.execute("SELECT forget_answered_ids('BTC/USD', 6, 6)")
    assert await answers(store) == [(5, 5, "absent"), (7, 7, "rejected"), (8, 9, "absent")]


async def test_stretches_of_candles_join_where_they_touch(store: Store) -> None:
    async def cover(first: datetime, last: datetime, interval: int = 5) -> None:
        await store.connection.execute(
            "SELECT record_candle_run('BTC/USD', %s, %s, %s, 1)", [interval, first, last]
        )

    await cover(NOON, NOON + 10 * MINUTE)
    await cover(NOON + 30 * MINUTE, NOON + 40 * MINUTE)
    await cover(NOON, NOON + 10 * MINUTE, interval=60)
    stretches = (
        "SELECT first_start, last_start, candles FROM candle_runs WHERE interval_minutes = 5 ORDER BY 1"
    )
    assert len(await store.fetch(stretches)) == 2
    await cover(NOON + 15 * MINUTE, NOON + 25 * MINUTE)
    assert await store.fetch(stretches) == [(NOON, NOON + 40 * MINUTE, 3)]


async def test_a_time_is_cut_to_microseconds(store: Store) -> None:
    assert await store.fetch("SELECT ns_timestamp(%s)", ns_of(NOON) + 999_999_999) == [
        NOON + timedelta(microseconds=999_999)
    ]


async def test_the_lines_are_read_as_they_stand(store: Store) -> None:
    lines = await read_lines(store.connection)
    assert (lines.trades, lines.candles) == (TRADES_LINE, FENCE)


# --- exact trades in place of an archive without ids


async def idless(store: Store, *seconds: int, stored: bool = True) -> None:
    """Rows without ids at these seconds after noon, stored or folded, as one run."""
    start = int(NOON.timestamp())
    ids = [archive_trade_id(start + second, 0) for second in seconds]
    if stored:
        await store.connection.execute(
            "SELECT make_partitions('trades', %s, %s)", [NOON, NOON + timedelta(hours=1)]
        )
        for second, trade_id in zip(seconds, ids, strict=True):
            await store.connection.execute(
                "INSERT INTO trades VALUES ('BTC/USD', %s, %s, 5, 1)",
                [NOON + timedelta(seconds=second), trade_id],
            )
    await store.connection.execute(
        "SELECT record_trade_run('BTC/USD', %s, %s, %s, %s, %s, 'archive without ids', %s, NULL)",
        [
            ids[0],
            ids[-1],
            ns_of(NOON) + seconds[0] * 10**9,
            ns_of(NOON) + seconds[-1] * 10**9,
            len(ids),
            stored,
        ],
    )


async def drop(store: Store, first_minute: int, last_minute: int) -> int:
    span = (NOON + first_minute * MINUTE, NOON + last_minute * MINUTE)
    (gone,) = await store.fetch("SELECT drop_archive_trades('BTC/USD', %s, %s)", *span)
    return int(gone)


async def test_rows_and_run_are_cut_out_of_the_middle(store: Store) -> None:
    await idless(store, 0, 59, 60, 100, 119, 120, 200)
    assert await drop(store, 1, 2) == 3
    assert [(run[2], run[4]) for run in await runs(store)] == [(2, True), (2, True)]
    seconds = await store.fetch(
        "SELECT extract(epoch FROM timestamp - %s)::int FROM trades ORDER BY timestamp", NOON
    )
    assert seconds == [0, 59, 120, 200]


async def test_a_run_that_lies_inside_is_gone(store: Store) -> None:
    await idless(store, 60, 100)
    assert await drop(store, 0, 5) == 2
    assert await runs(store) == []


async def test_a_run_elsewhere_is_untouched(store: Store) -> None:
    await idless(store, 0, 30)
    before = await runs(store)
    assert await drop(store, 5, 9) == 0
    assert await runs(store) == before


async def test_a_folded_run_is_cut_by_the_time_it_spans(store: Store) -> None:
    await idless(store, *range(0, 300, 10), stored=False)
    await drop(store, 1, 2)
    cut = await runs(store)
    assert [run[4] for run in cut] == [False, False]
    assert sum(run[2] for run in cut) == pytest.approx(24, abs=2)


async def test_retention_cuts_runs_at_the_trades_line(store: Store) -> None:
    start, count = TRADES_LINE + timedelta(days=6), 40
    await store.connection.execute(
        "SELECT make_partitions('trades', %s, %s)", [start, start + timedelta(days=3)]
    )
    await store.connection.execute(
        "INSERT INTO trades SELECT 'BTC/USD', %s::timestamptz + n * interval '1 hour', n, 5, 1 "
        "FROM generate_series(1, %s) n",
        [start, count],
    )
    first, last = start + timedelta(hours=1), start + timedelta(hours=count)
    await store.connection.execute(
        "SELECT record_trade_run('BTC/USD', 1, %s, %s, %s, %s, 'archive', true, NULL)",
        [count, ns_of(first), ns_of(last), count],
    )
    await store.retain(NOW, trades_days=(NOW - TRADES_LINE).days - 8, candles_days=0)
    line = TRADES_LINE + timedelta(days=7)
    behind = (line - start) // timedelta(hours=1) - 1
    assert await runs(store) == [
        (1, behind, behind, "archive", False),
        (behind + 1, count, count - behind, "archive", True),
    ]
    assert await store.fetch("SELECT collected, stored FROM data_sync_status") == [(count, count - behind)]
