"""Stopping, resuming and repeating a run: a word in its record that its worker looks for, its task queued again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from django.db import connection

from krakendata.management.queueing import queue_task
from krakendata.models import SyncRun
from krakendata.storage.reject_decisions import Selection
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
    with connection.cursor() as cursor:
        cursor.execute(query("let_run_go_on"), {"run": run.pk})
    if run.kind == "backfill":
        # One that a newer one has gone on with ends at once.
        _backfill_again(run.parameters, continues=run.pk)
    else:
        queue_again(run.kind, run.parameters)


def queue_again(kind: str, asked: dict[str, Any]) -> None:
    """Put on the queue what a run of one of the REPEATABLE kinds was asked for (its parameters); raises QueueAway."""
    REPEATABLE[kind](asked)


def _backfill_again(asked: dict[str, Any], continues: int | None = None) -> None:
    what = {name: asked.get(name) for name in ("since", "until")}
    newest_first = bool(asked.get("newest_first", True))
    queue_task("backfill", asked["symbol"], newest_first=newest_first, continues=continues, **what)


def _gap_fill_again(asked: dict[str, Any]) -> None:
    queue_task("fill_gaps", asked["symbol"])


def _import_again(asked: dict[str, Any]) -> None:
    queue_task("import_files", *asked.get("paths", ()), symbol=asked.get("symbol"))


def _audit_again(asked: dict[str, Any]) -> None:
    what = {name: asked[name] for name in ("symbols", "buckets", "since", "until") if name in asked}
    # An audit of a stretch asks the exchange nothing.
    queue_task("audit", **what, **({"exchange": False} if "since" in asked else {}))


def _decide_again(name: str) -> Callable[[dict[str, Any]], None]:
    def again(asked: dict[str, Any]) -> None:
        chosen = {part.name: asked[part.name] for part in fields(Selection) if part.name in asked}
        what = {part: asked[part] for part in ("by", "fields", "why", "after", "upto") if part in asked}
        queue_task(name, selection=chosen, **what)

    return again


# What does a run of a kind once more. What was done already is not done twice.
REPEATABLE: dict[str, Callable[[dict[str, Any]], None]] = {
    "backfill": _backfill_again,
    "gap_fill": _gap_fill_again,
    "import": _import_again,
    "audit": _audit_again,
    **{name: _decide_again(name) for name in ("replay_rejects", "dismiss_rejects")},
}


def _is_newest(run: SyncRun) -> bool:
    later = SyncRun.objects.filter(
        kind=run.kind, pk__gt=run.pk, parameters__symbol=run.parameters.get("symbol")
    )
    return not later.exists()
