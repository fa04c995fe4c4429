"""Stopping and resuming one run: a word in its record that its worker looks for, and its task on the queue again."""

from __future__ import annotations

from typing import Any

from django.db import connection
from kombu.exceptions import OperationalError

from krakendata.management.queueing import QueueAway
from krakendata.models import SyncRun
from krakendata.storage.sql import query

# Whose parameters say all that a worker needs to go on.
RESUMABLE_KINDS = ("backfill", "import")
STOPPABLE_KINDS = ("backfill", "import", "audit")
OPEN_STATES = (SyncRun.State.STOPPED, SyncRun.State.INTERRUPTED, SyncRun.State.FAILED)


def may_be_stopped(run: SyncRun) -> bool:
    """Whether a worker is at it, or would go on with it, and nobody has stopped it yet."""
    if run.kind not in STOPPABLE_KINDS or run.parameters.get("by") != "worker":
        return False
    if "stopped_by" in run.parameters or "permanent" in run.parameters:
        return False
    # What was cut off is gone on with by itself only where it is a backfill, and the pair's newest.
    return run.is_running or (run.kind == "backfill" and run.state in OPEN_STATES and _is_newest(run))


def may_be_resumed(run: SyncRun) -> bool:
    """Whether it ended before its end, and says what was asked of it."""
    return run.kind in RESUMABLE_KINDS and run.state in OPEN_STATES and run.parameters.get("by") == "worker"


def stop_run(run_id: int, who: str) -> bool:
    """Have its worker stop at the next place where nothing is lost, and nobody go on with it.

    False where it ended meanwhile, or is no worker's. `who` is written into the run.
    """
    with connection.cursor() as cursor:
        cursor.execute(query("ask_run_to_stop"), {"run": run_id, "who": who})
        return cursor.fetchone() is not None


def resume_run(run: SyncRun) -> None:
    """Let workers go on with it, and put its task on the queue; raises QueueAway when the queue does not take it."""
    # The deeds behind the tasks take half a second to load.
    from krakendata.tasks import backfill, import_files

    asked: dict[str, Any] = run.parameters
    with connection.cursor() as cursor:
        cursor.execute(query("let_run_go_on"), {"run": run.pk})
    try:
        if run.kind == "backfill":
            what = {name: asked.get(name) for name in ("symbol", "since", "until")}
            what["newest_first"] = asked.get("newest_first", True)
            backfill.apply_async(kwargs={**what, "continues": run.pk}, retry=False)
        else:
            import_files.apply_async(args=asked["paths"], kwargs={"symbol": asked.get("symbol")}, retry=False)
    except (OperationalError, OSError) as error:
        raise QueueAway(f"The task queue does not answer ({error}).") from error


def _is_newest(run: SyncRun) -> bool:
    later = SyncRun.objects.filter(
        kind=run.kind, pk__gt=run.pk, parameters__symbol=run.parameters.get("symbol")
    )
    return not later.exists()
