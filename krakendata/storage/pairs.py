"""The table `pairs`: the exchange's list as it was last taken over, and which of its pairs are collected."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from krakendata.storage.sql import query
from krakendata.types import DELISTED, RENAMED, Pair

Connection = AsyncConnection[Any]


class PairChanges(NamedTuple):
    """What a new list does to the table.

    `written` are the pairs to store as they are listed; `freed` the symbols of known ones whose names another of them
    takes; `renamed` leads from a symbol to the one listed in its place; `delisted` are in the list no more.
    """

    written: Sequence[Pair]
    freed: Sequence[str]
    renamed: Mapping[str, str]
    delisted: Sequence[str]


class TrackedPair(NamedTuple):
    """A pair that is collected; `since` is aware UTC, None from its first trade.

    `candles_only`: by the minutes that the exchange gives, without its trades.
    """

    symbol: str
    since: datetime | None
    candles_only: bool = False


async def lock_pairs(connection: Connection) -> None:
    """Let nobody else change the list until the transaction ends; readers are not kept waiting."""
    await connection.execute(query("lock_pairs"))


async def write_pairs(connection: Connection, changes: PairChanges) -> list[str]:
    """Apply the changes, inside the caller's transaction; give the symbols that tracking moved on to.

    What was tracked under a name that was renamed is tracked under the new one from now on.
    """
    listed = [pair.symbol for pair in changes.written]
    await connection.execute(query("forget_permanent_failures"), {"symbols": listed})
    await connection.execute(query("free_pair_names"), {"symbols": list(changes.freed)})
    await connection.execute(query("retire_pairs"), {"symbols": list(changes.delisted), "status": DELISTED})
    async with connection.cursor() as cursor:
        await cursor.executemany(
            query("rename_pair"),
            [{"old": old, "new": new, "status": RENAMED} for old, new in changes.renamed.items()],
        )
        await cursor.executemany(query("write_pair"), [asdict(pair) for pair in changes.written])
    moved = await connection.execute(query("move_tracking"), {"symbols": list(changes.renamed)})
    return [symbol for (symbol,) in await moved.fetchall()]


async def track_pairs(
    connection: Connection, symbols: Sequence[str], since: datetime | None, candles_only: bool = False
) -> list[TrackedPair]:
    """Mark pairs as collected; one that is tracked already keeps its beginning unless `since` is given."""
    await connection.execute(query("allow_worker_backfills"), {"symbols": list(symbols)})
    parameters = {"symbols": list(symbols), "since": since, "candles_only": candles_only}
    cursor = await connection.execute(query("track_pairs"), parameters)
    return [TrackedPair(*row) for row in await cursor.fetchall()]


async def untrack_pairs(connection: Connection, symbols: Sequence[str]) -> list[str]:
    """Mark pairs as collected no more, and end what workers began of their past; give those that were."""
    cursor = await connection.execute(query("untrack_pairs"), {"symbols": list(symbols)})
    untracked = [symbol for (symbol,) in await cursor.fetchall()]
    await connection.execute(query("end_worker_backfills"), {"symbols": untracked})
    return untracked


async def read_renamed_pairs(connection: Connection) -> dict[str, str]:
    """The symbols that were renamed, each with the one listed in its place."""
    cursor = await connection.execute(query("renamed_pairs"))
    return dict(await cursor.fetchall())
