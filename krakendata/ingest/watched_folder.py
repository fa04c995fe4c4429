"""A folder that archives are dropped into: which of them are whole, and not yet looked at since they came."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from krakendata.kraken.archive_files import archive_files
from krakendata.storage.import_files import import_attempts
from krakendata.storage.sessions import connect

# Who copies a file writes to it all the time; a download that pauses for longer is imported again when it is whole.
SETTLED_AFTER = timedelta(seconds=60)


async def settled_archives(
    database: str | Mapping[str, Any],
    folder: Path,
    now: datetime,
    settled_after: timedelta = SETTLED_AFTER,
) -> list[Path]:
    """The files of `folder` (and below) to import: unchanged for a while, all slices of a zip together.

    A file that an import has read to its end, or refused, is left out until it changes; so is one whose import somebody
    stopped, which goes on once that run is resumed. `now` is aware UTC.
    """
    async with connect(database) as connection:
        attempts = await import_attempts(connection)
    return await asyncio.to_thread(_due_files, folder, attempts, now - settled_after)


def _due_files(folder: Path, attempts: Mapping[str, datetime], settled: datetime) -> list[Path]:
    archives = archive_files(folder.absolute()).values()
    return [path for files in archives if _is_due(files, attempts, settled) for path in files]


def _is_due(files: Sequence[Path], attempts: Mapping[str, datetime], settled: datetime) -> bool:
    try:
        changed = max(map(_changed_at, files))
    except FileNotFoundError:
        # It was taken away meanwhile; the next look sees what is there then.
        return False
    return changed <= settled and any(
        (attempted := attempts.get(str(path))) is None or attempted <= changed for path in files
    )


def _changed_at(path: Path) -> datetime:
    """When the file was last written to or moved here: a copy that keeps the old time shows in the second."""
    facts = path.stat()
    return datetime.fromtimestamp(max(facts.st_mtime, facts.st_ctime), UTC)
