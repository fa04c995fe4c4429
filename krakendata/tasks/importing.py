"""The tasks that import archives: those that somebody names, and what lies in the watched folder."""

from datetime import UTC, datetime
from typing import Any

from celery import Task, shared_task

from krakendata.ingest.csv_import import PARALLEL_FILES, BulkCSVImporter, ImportProgress
from krakendata.ingest.watched_folder import settled_archives
from krakendata.management.command import database_arguments
from krakendata.options import max_rejects_kept, options, watch_folder
from krakendata.storage.backfill_runs import alone
from krakendata.tasks.running import WORKER, Share, run_share

# An import is stopped between two blocks at any time, so there is nothing to wait for.
AT_ONCE = 0.0


@shared_task(name="krakendata.tasks.import_files", bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def import_files(self: Task, *paths: str, symbol: str | None = None) -> dict[str, Any]:
    """Import files, folders and zips as the worker sees them; what the share leaves the next task goes on with.

    Gives the state ("done", "stopped" or "busy": the same paths are being imported) and the counts of rows.
    """

    async def deed(share: Share) -> dict[str, Any]:
        async with alone(database_arguments(), f"import {' '.join(sorted(paths))}") as is_alone:
            return await _import(share, *paths, symbol=symbol) if is_alone else {"state": "busy"}

    share = Share(self)
    done = run_share(self, deed, AT_ONCE, share)
    if done is None and not share.was_stopped:
        self.apply_async(args=paths, kwargs={"symbol": symbol})
    return done or {"state": "stopped"}


@shared_task(name="krakendata.tasks.import_watched_folder", bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def import_watched_folder(self: Task) -> dict[str, Any]:
    """Import what lies in WATCH_FOLDER and has stopped changing; the next look goes on with what was cut off."""
    folder = watch_folder()
    if folder is None:
        return {"state": "off"}

    async def deed(share: Share) -> dict[str, Any]:
        async with alone(database_arguments(), "import_watched_folder") as is_alone:
            if not is_alone:
                return {"state": "busy"}
            paths = await settled_archives(database_arguments(), folder, datetime.now(UTC))
            return await _import(share, *map(str, paths)) if paths else {"state": "empty"}

    return run_share(self, deed, AT_ONCE) or {"state": "stopped"}


async def _import(share: Share, *paths: str, symbol: str | None = None) -> dict[str, Any]:
    chosen = options()
    importer = BulkCSVImporter(
        database_arguments(),
        parallel_files=chosen.get("IMPORT_PARALLEL_FILES", PARALLEL_FILES),
        max_rejects_kept=max_rejects_kept(),
        by=WORKER,
        report=lambda progress: share.report(_figures(progress)),
    )
    report = await importer.import_directory(*paths, symbol=symbol)
    refused = [str(error) for error in report.plan.refused]
    return {"state": "done", "run": report.run_id, **report.counts.as_dict(), "refused": refused}


def _figures(progress: ImportProgress) -> dict[str, Any]:
    return {"bytes_done": progress.bytes_done, "bytes": progress.bytes, **progress.counts.as_dict()}
