"""A worker's row: that it is there, and since when."""

from typing import Any

from psycopg import AsyncConnection

from krakendata.storage.sql import query

Connection = AsyncConnection[Any]


async def begin_worker(connection: Connection, name: str) -> None:
    """Write down that a worker begins."""
    await connection.execute(query("begin_worker"), {"name": name})


async def beat_worker(connection: Connection, name: str) -> None:
    """Write down that it lives, also where somebody has forgotten it."""
    await connection.execute(query("beat_worker"), {"name": name})


async def end_worker(connection: Connection, name: str) -> None:
    """Take its row away: it ends as it should."""
    await connection.execute(query("end_worker"), {"name": name})
