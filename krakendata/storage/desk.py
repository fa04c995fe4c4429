"""The facts of the operator's desk, in six statements, and the few things that a click there changes at once.

`cursor` is any DB-API cursor of psycopg, Django's included: the page and the live socket both read synchronously.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from krakendata.attention import (
    FEED_SILENT_AFTER,
    WORKER_SILENT_AFTER,
    BeatFacts,
    Desk,
    FeedFacts,
    PairFacts,
    RunFacts,
    TableFacts,
    UpkeepFacts,
    WorkerFacts,
)
from krakendata.storage.editions import EDITIONS, Edition
from krakendata.storage.sql import query
from krakendata.types import INTERVALS

# Beyond so many nobody counts on; the chip then says "or more".
MOST_RUNS = 1_000

# Beside the rollups: what grows. What is small and stays so needs no line.
GROWING_TABLES = (
    "trades", "candles", "candles_history", "trade_runs", "answered_ids", "candle_runs",
    "sync_runs", "import_files", "rejected_records", "reject_counts", "audit_findings", "feed_sessions",
)  # fmt: skip


class Cursor(Protocol):
    """What is needed of a cursor."""

    def execute(self, statement: str, parameters: Any = None, /) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class RestartableRun(NamedTuple):
    """A run that ended before it was done, as it was asked."""

    id: int
    kind: str
    parameters: dict[str, Any]


def read_desk(
    cursor: Cursor, beat: BeatFacts | None = None, tables: Sequence[TableFacts] | None = None
) -> Desk:
    """Everything the desk shows; `tables`, where given, are those of an earlier reading: they change slowly."""
    services = sorted(_rows(cursor, "desk_services"), key=lambda row: str(row[2]))
    (edition, now) = next((EDITIONS[row[2]], row[3]) for row in services if row[0] == "edition")
    return Desk(
        now,
        pairs=read_pair_facts(cursor),
        feeds=[FeedFacts(*row[1:]) for row in services if row[0] == "feed"],
        workers=[WorkerFacts(*row[2:5]) for row in services if row[0] == "worker"],
        beat=beat,
        runs=read_run_facts(cursor),
        upkeep=[UpkeepFacts(*row) for row in _rows(cursor, f"desk_upkeep_{edition.upkeep}")],
        tables=_read_tables(cursor, edition) if tables is None else tables,
        waiting_rejects=_rows(cursor, "desk_waiting_rejects")[0][0],
    )


def read_pair_facts(cursor: Cursor) -> list[PairFacts]:
    """Of each pair that is tracked or was collected, by symbol."""
    return [PairFacts(*row) for row in _rows(cursor, "desk_pairs")]


def read_run_facts(cursor: Cursor) -> list[RunFacts]:
    """Of each run that goes on, or failed within a day; the newest first, `MOST_RUNS` of each."""
    return [RunFacts(*row) for row in _rows(cursor, "desk_runs", most=MOST_RUNS)]


def forget_worker(cursor: Cursor, name: str | None) -> None:
    """Forget a worker that has said nothing for a while, or all of those (None)."""
    cursor.execute(query("forget_silent_workers"), {"name": name, "silent": WORKER_SILENT_AFTER})


def forget_feed(cursor: Cursor, session: int | None) -> None:
    """Let a feed's session that ended without a word, or each of those (None), be over."""
    cursor.execute(query("forget_silent_feeds"), {"session": session, "silent": FEED_SILENT_AFTER})


def read_runs_to_restart(cursor: Cursor, run_ids: Sequence[int]) -> list[RestartableRun]:
    """Those of the runs that failed or were killed."""
    rows = _rows(cursor, "runs_to_restart", runs=list(run_ids))
    return [RestartableRun(run_id, kind, json.loads(parameters)) for run_id, kind, parameters in rows]


def _rows(cursor: Cursor, name: str, **parameters: Any) -> list[Any]:
    cursor.execute(query(name), parameters or None)
    return cursor.fetchall()


def _read_tables(cursor: Cursor, edition: Edition) -> list[TableFacts]:
    """The largest first; a rollup under its own name, wherever its closed buckets are."""
    rollups = {
        edition.closed_relation(each.relation): each.relation for each in INTERVALS.values() if each.parent
    }
    rows = _rows(cursor, f"desk_tables_{edition.partitions}", names=[*GROWING_TABLES, *rollups])
    found = [TableFacts(rollups.get(name, name), *facts) for name, *facts in rows]
    return sorted(found, key=lambda table: (-table.bytes, table.name))
