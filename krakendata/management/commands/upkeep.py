"""`manage.py upkeep`: everything that keeps the database in shape, by hand."""

import time
from datetime import UTC, datetime
from typing import Any

from krakendata.management.command import DeedCommand
from krakendata.tasks import run_upkeep_now
from krakendata.tasks.uploading import tidy_uploads


class Command(DeedCommand):
    help = "Make partitions ahead, apply retention and bring every rollup up to date, as the schedule does."

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        tidy_uploads(datetime.now(UTC))

    async def run(self, **options: Any) -> dict[str, Any]:
        started = time.monotonic()
        await run_upkeep_now()
        seconds = round(time.monotonic() - started, 3)
        self.stdout.write(f"Partitions, retention and rollups are up to date ({seconds:.1f} s).")
        return {"seconds": seconds}
