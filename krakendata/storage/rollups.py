"""Bring every rollup up to date: what a write into the past ends with."""

import asyncio
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, errors

from krakendata.gaps import Stretch
from krakendata.storage.editions import Edition
from krakendata.storage.sql import query
from krakendata.types import INTERVALS, Interval

# TimescaleDB refuses two overlapping refreshes at once; its own policies hold theirs for seconds.
LOCKED_RETRIES = 60
LOCKED_PAUSE_SECONDS = 0.5


async def refresh_rollups(connection: AsyncConnection[Any], edition: Edition, now: datetime) -> None:
    """Refresh every rollup, parents first, from the fence to the start of the bucket of `now` (aware UTC).

    `connection` is in autocommit and outside a transaction. One refresher at a time; another waits. What was not
    written to since the last refresh costs milliseconds: the database knows what is stale.
    """
    if edition.rollups == "tables":
        await connection.execute(query("refresh_rollup_tables"), {"now": now})
        return
    await connection.execute(query("lock_refresh"))
    try:
        for interval in sorted(INTERVALS.values(), key=lambda each: (each.parent != "1m", each.minutes)):
            if interval.parent is not None:
                await _refresh_aggregate(connection, interval.relation, interval.minutes, now)
    finally:
        await connection.execute(query("unlock_refresh"))


async def rebuild_rollup(
    connection: AsyncConnection[Any], edition: Edition, interval: Interval, symbol: str, bucket: Stretch
) -> None:
    """Have a closed bucket above the fence built again although it passes for up to date; `connection` as above.

    What lies above it, and on the editions with rollup tables the bucket itself, the next `refresh_rollups` shows.
    """
    if edition.rollups == "tables":
        parameters = {"symbol": symbol, "start": bucket.start, "end": bucket.end}
        await connection.execute(query("mark_rollups_dirty"), parameters)
        return
    parent = INTERVALS[interval.parent or "1m"]
    relations = [each.relation for each in (parent, interval) if each.parent is not None]
    await connection.execute(query("lock_refresh"))
    try:
        for relation in relations:
            span = {"relation": relation, "start": bucket.start, "end": bucket.end}
            await _patiently(connection, "rebuild_aggregate", span)
    finally:
        await connection.execute(query("unlock_refresh"))


async def _refresh_aggregate(
    connection: AsyncConnection[Any], relation: str, minutes: int, now: datetime
) -> None:
    cursor = await connection.execute(query("refresh_window"), {"minutes": minutes, "now": now})
    window = await cursor.fetchone()
    if window is not None:
        span = {"relation": relation, "start": window[0], "finish": window[1]}
        await _patiently(connection, "refresh_aggregate", span)


async def _patiently(connection: AsyncConnection[Any], name: str, parameters: dict[str, Any]) -> None:
    for attempt in range(LOCKED_RETRIES):
        try:
            await connection.execute(query(name), parameters)
            return
        except errors.LockNotAvailable:
            if attempt == LOCKED_RETRIES - 1:
                raise
            await asyncio.sleep(LOCKED_PAUSE_SECONDS)
