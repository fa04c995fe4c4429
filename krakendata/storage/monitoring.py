"""What monitoring reads of a database, in a handful of statements that scan nothing large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection, errors

from krakendata.attention import FEED_SILENT_AFTER
from krakendata.storage.editions import Edition
from krakendata.storage.sessions import read_edition
from krakendata.storage.sql import query
from krakendata.types import INTERVALS

Connection = AsyncConnection[Any]

# More than anybody runs: what is reported stays bounded whatever names feeds are given.
MOST_FEEDS = 32

ROLLUPS = {interval.relation: interval for interval in INTERVALS.values() if interval.parent is not None}
COMPRESSED_TABLES = ("trades", "candles")
# Those that grow: the data, the ledger, and what our own work leaves behind.
MEASURED_TABLES = (
    *COMPRESSED_TABLES, *ROLLUPS, "candles_history", "trade_runs", "candle_runs", "answered_ids", "rejected_records",
    "sync_runs", "feed_sessions", "audit_findings",
)  # fmt: skip


class MonitoredPair(NamedTuple):
    """A tracked pair: its newest row, until when nothing newer is missing as far as is known, holes (None: unknown)."""

    symbol: str
    newest: datetime | None
    complete_until: datetime | None
    holes: int | None
    is_failing: bool


class MonitoredFeed(NamedTuple):
    """A feed that lives: when it last heard the exchange, how many pairs it listens to, and what it counts."""

    name: str
    heard_at: datetime | None
    pairs: int
    statistics: Mapping[str, Any]


class RejectTotal(NamedTuple):
    """How many records of a source were rejected for a reason, ever."""

    source: str
    reason: str
    records: int


class Span(NamedTuple):
    """From when to when there are minutes that rollups are made of; None: nothing is collected."""

    oldest: datetime
    newest: datetime | None


class TableSize(NamedTuple):
    """Bytes on disk of a table: its rows and indexes, its columnstore, and what that held before it was compressed."""

    table: str
    rows: int
    columnstore: int = 0
    uncompressed: int = 0


@dataclass(frozen=True)
class DatabaseReading:
    """Everything that monitoring wants to know; `watermarks` says by relation up to where a rollup is stored."""

    edition: Edition
    pairs: Sequence[MonitoredPair]
    feeds: Sequence[MonitoredFeed]
    rejects: Sequence[RejectTotal]
    span: Span
    watermarks: Mapping[str, datetime]
    sizes: Sequence[TableSize]


async def read_database(connection: Connection) -> DatabaseReading:
    """Read it; StorageRefused where the database is not migrated."""
    edition = await read_edition(connection)
    feeds = {"gone_seconds": FEED_SILENT_AFTER.total_seconds(), "most": MOST_FEEDS}
    (span,) = await _rows(connection, "folded_span")
    marks = await _rows(connection, f"watermarks_{edition.rollups}", {"relations": list(ROLLUPS)})
    return DatabaseReading(
        edition,
        [MonitoredPair(*row) for row in await _rows(connection, "monitored_pairs")],
        [MonitoredFeed(*row) for row in await _rows(connection, "monitored_feeds", feeds)],
        [RejectTotal(*row) for row in await _rows(connection, "reject_totals")],
        Span(*span),
        dict(marks),
        await _sizes(connection, edition),
    )


async def read_applied_migrations(connection: Connection) -> frozenset[tuple[str, str]]:
    """The migrations that were applied, as (app, name); none where nothing was ever migrated."""
    try:
        return frozenset(await _rows(connection, "applied_migrations"))
    except errors.UndefinedTable:
        return frozenset()


async def _sizes(connection: Connection, edition: Edition) -> list[TableSize]:
    rows = await _rows(connection, f"table_sizes_{edition.rollups}", {"tables": list(MEASURED_TABLES)})
    columnstore: dict[str, tuple[int, int]] = {}
    if edition.upkeep == "policies":
        found = await _rows(connection, "columnstore_sizes", {"tables": list(COMPRESSED_TABLES)})
        columnstore = {table: (after, before) for table, after, before in found}
    return [TableSize(table, size, *columnstore.get(table, ())) for table, size in rows]


async def _rows(connection: Connection, name: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
    cursor = await connection.execute(query(name), parameters)
    return await cursor.fetchall()
