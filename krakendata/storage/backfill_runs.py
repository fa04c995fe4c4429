"""What the record of runs says of backfills that workers began: unfinished ones, superseded ones."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from krakendata.storage.sessions import connect
from krakendata.storage.sql import query

Connection = AsyncConnection[Any]

# Who tries a failed backfill again waits ten minutes at most; after this long its message is lost (Redis was emptied).
FORGOTTEN_AFTER = timedelta(minutes=30)


class Unfinished(NamedTuple):
    """A backfill to go on with, and the run it continues (0: there is none). Times are aware UTC or None."""

    symbol: str
    since: datetime | None
    until: datetime | None
    newest_first: bool
    continues: int


async def read_unfinished_backfills(connection: Connection, now: datetime) -> Sequence[Unfinished]:
    """Workers' backfills that were cut off, and tracked pairs whose history nobody has fetched to its end.

    What was begun of a pair that was untracked since is over.
    """
    await connection.execute(query("mark_interrupted_runs"), {"kind": "backfill"})
    cursor = await connection.execute(query("unfinished_backfills"), {"forgotten": now - FORGOTTEN_AFTER})
    return [Unfinished._make(row) for row in await cursor.fetchall()]


async def is_continued(connection: Connection, symbol: str, run_id: int) -> bool:
    """Whether nobody is to go on with `run_id`: a worker has begun a newer one of the pair and was not killed at it, or
    the pair was untracked meanwhile."""
    await connection.execute(query("mark_interrupted_runs"), {"kind": "backfill"})
    cursor = await connection.execute(query("newest_worker_backfill"), {"symbol": symbol})
    row = await cursor.fetchone()
    if row is None:
        return False
    newest, state, is_untracked = row
    return bool(is_untracked) if newest == run_id else newest > run_id and state != "interrupted"


async def note_permanent_failure(connection: Connection, run_id: int) -> None:
    """Write down that trying this run again is useless."""
    await connection.execute(query("note_permanent_failure"), {"run": run_id})


@asynccontextmanager
async def alone(database: str | Mapping[str, Any], deed: str) -> AsyncIterator[bool]:
    """Give whether nobody else is at this deed, on any machine; nobody else begins with it while the block lasts.

    The lock belongs to a session of the database: who dies leaves it at once.
    """
    async with connect(database) as connection:
        await connection.execute(query("notice_lost_peer"))
        cursor = await connection.execute(query("try_deed_lock"), {"deed": deed})
        yield await cursor.fetchone() == (True,)
