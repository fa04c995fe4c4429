"""What an audit asks of the database, and what it mends there.

A candle's facts come in one order, CandleFacts; times are aware UTC, stretches half open.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.json import Jsonb

from krakendata.gaps import Stretch
from krakendata.storage.editions import Edition
from krakendata.storage.ledger import Lines
from krakendata.storage.rollups import rebuild_rollup
from krakendata.storage.sql import query
from krakendata.types import Interval

Connection = AsyncConnection[Any]

# What a bucket can be recomputed from.
BY_TRADES, BY_MINUTES, BY_FIVE_MINUTES = "minutes_by_trades", "minutes_stored", "five_minutes_stored"


class CandleFacts(NamedTuple):
    """What a candle says, in the order of sql/reads.sql."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal | None
    trade_count: int
    first_id: int | None
    last_id: int | None


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One row of audit_findings; `differences` is what its column holds."""

    symbol: str
    interval_minutes: int
    timestamp: datetime
    compared_with: str
    differences: Mapping[str, Any]
    healed: bool


async def read_next_trade_time(connection: Connection, symbol: str, stretch: Stretch) -> datetime | None:
    """When the first stored trade of `stretch` was."""
    cursor = await connection.execute(query("next_trade_time"), _bounds(symbol, stretch))
    row = await cursor.fetchone()
    return row and row[0]


async def read_next_candle_time(
    connection: Connection, interval: Interval, symbol: str, stretch: Stretch
) -> datetime | None:
    """The start of the first candle in `stretch` that was made of finer ones."""
    cursor = await connection.execute(_from_view("next_candle_time", interval), _bounds(symbol, stretch))
    row = await cursor.fetchone()
    return row and row[0]


async def read_candle_facts(
    connection: Connection, interval: Interval, symbol: str, stretch: Stretch
) -> dict[datetime, CandleFacts]:
    """The candles that start in `stretch` by their start, without those that an archive gave at this interval."""
    cursor = await connection.execute(_from_view("finer_candle_facts", interval), _bounds(symbol, stretch))
    return {start: CandleFacts(*facts) for start, *facts in await cursor.fetchall()}


async def recompute(
    connection: Connection, symbol: str, bucket: Stretch, parts: str, *, is_proven: bool
) -> CandleFacts | None:
    """What the candle of `bucket` has to be, of `parts` (BY_TRADES …); None: there has to be none.

    `is_proven`: the ledger shows that every trade of the bucket is in, so that its trades alone decide.
    """
    statement = SQL(query("folded_candle_facts")).format(parts=SQL(query(parts)))
    cursor = await connection.execute(statement, {**_bounds(symbol, bucket), "is_proven": is_proven})
    row = await cursor.fetchone()
    return row and CandleFacts._make(row)


async def count_without_parts(connection: Connection, symbol: str, lines: Lines) -> int:
    """How many candles there is nothing to recompute from any more: retention has dropped their parts."""
    parameters = {"symbol": symbol, "trades": lines.trades, "candles": lines.candles}
    cursor = await connection.execute(query("count_candles_without_parts"), parameters)
    ((count,),) = await cursor.fetchall()
    return int(count)


@asynccontextmanager
async def sole_writer(connection: Connection, symbol: str) -> AsyncIterator[None]:
    """Be the only one who writes the symbol, and keep the retention lines where they are; writers wait meanwhile."""
    await connection.execute(query("hold_lines"))
    try:
        await connection.execute(query("hold_symbol"), {"symbol": symbol})
        try:
            yield
        finally:
            await connection.execute(query("let_go_of_symbol"), {"symbol": symbol})
    finally:
        await connection.execute(query("let_go_of_lines"))


async def rebuild_minutes(connection: Connection, symbol: str, stretch: Stretch, *, is_proven: bool) -> None:
    """Make the minutes of `stretch` what their stored trades say, by the door's own rules of merging.

    `stretch` lies above both retention lines, and the caller is the sole writer.
    """
    bounds = _bounds(symbol, stretch)
    parts = SQL(query(BY_TRADES))
    await connection.execute(
        query("make_partitions"), {"relation": "candles", "start": stretch.start, "finish": stretch.end}
    )
    async with connection.transaction():
        for name in ("stage_wrong_minutes", "drop_wrong_minutes"):
            await connection.execute(SQL(query(name)).format(parts=parts), {**bounds, "is_proven": is_proven})
        await connection.execute(query("mark_rollups_dirty"), bounds)
        await connection.execute(query("merge_staged_candles"))


async def rebuild_bucket(
    connection: Connection, edition: Edition, symbol: str, interval: Interval, bucket: Stretch, lines: Lines
) -> None:
    """Have a candle of more than a minute folded again; where it is a rollup's, `refresh_rollups` completes it."""
    bounds = _bounds(symbol, bucket)
    if bucket.start >= lines.candles:
        await rebuild_rollup(connection, edition, interval, symbol, bucket)
        return
    async with connection.transaction():
        await connection.execute(query("drop_history_bucket"), {**bounds, "minutes": interval.minutes})
        await connection.execute(query("fold_history"), bounds)


async def advance_audit(connection: Connection, run_id: int, steps: int) -> None:
    """Record that a run is further by `steps`; it reads no records of its own."""
    nothing = dict.fromkeys(("read", "stored", "folded", "duplicate", "rejected"), 0)
    await connection.execute(query("advance_run"), {"run": run_id, "done": steps, **nothing})


async def record_findings(connection: Connection, run_id: int, findings: Iterable[FindingRow]) -> None:
    """Write down what an audit found."""
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.executemany(
            query("record_finding"),
            [
                {
                    "run": run_id, "symbol": each.symbol, "interval": each.interval_minutes,
                    "timestamp": each.timestamp, "compared_with": each.compared_with,
                    "differences": Jsonb(each.differences), "healed": each.healed,
                }
                for each in findings
            ],
        )  # fmt: skip


def _bounds(symbol: str, stretch: Stretch) -> dict[str, Any]:
    return {"symbol": symbol, "start": stretch.start, "end": stretch.end}


def _from_view(name: str, interval: Interval) -> Composed:
    return SQL(query(name)).format(view=Identifier(interval.view))
