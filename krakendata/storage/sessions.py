"""A writer's own connection: in autocommit, in UTC, with its locks for as long as it lives."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

from krakendata.errors import StorageRefused
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.editions import EDITIONS, Edition
from krakendata.storage.pool import CONNECT_SECONDS, translated_errors
from krakendata.storage.sql import query


@asynccontextmanager
async def connect(database: str | Mapping[str, Any]) -> AsyncIterator[AsyncConnection[Any]]:
    """Open a connection to an address or with psycopg's arguments; the driver's errors become StorageErrors."""
    arguments = arguments_from_url(database) if isinstance(database, str) else dict(database)
    with translated_errors():
        connection = await AsyncConnection.connect(
            **{"connect_timeout": CONNECT_SECONDS, **arguments, "autocommit": True}
        )
        async with connection:
            await connection.execute(query("set_session"))
            yield connection


async def read_edition(connection: AsyncConnection[Any]) -> Edition:
    """The edition as the first migration recorded it; StorageRefused where none has."""
    cursor = await connection.execute(query("recorded_edition"))
    row = await cursor.fetchone()
    if row is None:
        raise StorageRefused("The database is not migrated: run manage.py migrate.")
    return EDITIONS[row[0]]
