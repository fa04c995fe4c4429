"""The task that keeps the database in shape."""

import asyncio
from datetime import UTC, datetime

from celery import shared_task

from krakendata.management.command import database_arguments
from krakendata.options import upkeep_settings
from krakendata.storage.sessions import connect, read_edition
from krakendata.storage.upkeep import run_upkeep
from krakendata.tasks.uploading import tidy_uploads


@shared_task(name="krakendata.tasks.upkeep")  # type: ignore[untyped-decorator]  # Celery has no types
def upkeep() -> None:
    """Partitions ahead, retention and rollups; on Community the policies leave nothing to do."""
    asyncio.run(run_upkeep_now())
    tidy_uploads(datetime.now(UTC))


async def run_upkeep_now() -> None:
    """Run everything that is due on the database of the settings."""
    async with connect(database_arguments()) as connection:
        await run_upkeep(connection, await read_edition(connection), upkeep_settings(), datetime.now(UTC))
