"""How far each archive file is in: what makes an import resume exactly and skip what it has."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from krakendata.storage.sql import query

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where a file's last committed block ended, in uncompressed bytes and lines, and what that block ended with."""

    offset: int = 0
    line: int = 1
    last_id: int | None = None
    last_start: datetime | None = None


async def imported_versions(connection: Connection) -> dict[str, tuple[str, str]]:
    """The version and the symbol of every file that is wholly in, by its key."""
    cursor = await connection.execute(query("imported_versions"))
    return {path: (version, symbol) for path, version, symbol in await cursor.fetchall()}


async def start_or_resume_file(
    connection: Connection, key: str, version: str, symbol: str, layout: str, size: int
) -> FilePosition | None:
    """Say where to go on in a file: at its start, unless these very bytes were being imported before.

    None: they are wholly in.
    """
    parameters = {"path": key, "version": version, "symbol": symbol, "layout": layout, "size": size}
    cursor = await connection.execute(query("resume_import_file"), parameters)
    row = await cursor.fetchone()
    if row is not None:
        is_done, *place = row
        return None if is_done else FilePosition(*place)
    await connection.execute(query("start_import_file"), parameters)
    return FilePosition()


async def import_attempts(connection: Connection) -> dict[str, datetime]:
    """When each path was last given to an import that came to its end, whether or not the file was refused."""
    cursor = await connection.execute(query("import_attempts"))
    return dict(await cursor.fetchall())
