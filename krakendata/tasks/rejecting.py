"""The tasks that decide about rejected records in bulk: replays, and dismissals."""

from collections.abc import Awaitable, Callable
from typing import Any

from celery import Task, shared_task

from krakendata.ingest.replay_rejects import RejectDeeds, RejectProgress, RejectReport
from krakendata.management.command import database_arguments
from krakendata.storage.reject_decisions import Selection
from krakendata.tasks.running import (
    MOST_DOUBLINGS,
    WAITS,
    WAITS_FOR_ANOTHER,
    Share,
    run_share,
    try_again,
)

Deed = Callable[[RejectDeeds], Awaitable[RejectReport]]


@shared_task(name="krakendata.tasks.replay_rejects", bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def replay_rejects(
    self: Task,
    selection: dict[str, Any],
    by: str,
    fields: dict[str, str] | None = None,
    why: str = "",
    after: int = 0,
    upto: int | None = None,
) -> dict[str, Any]:
    """Replay a selection of rejected records, and queue the task again for what a share leaves.

    `selection` is what Selection.as_dict gives, `by` the name that decides. Records of pairs that another job is at are
    tried again later, each pair by a task of its own. Gives the state and the counts.
    """
    asked = {"selection": selection, "by": by, "fields": fields, "why": why}

    def deed(deeds: RejectDeeds) -> Awaitable[RejectReport]:
        chosen = Selection.of(selection)
        return deeds.replay(chosen, fields=fields, why=why, after=after, upto=upto)

    return _run(self, by, asked | {"after": after, "upto": upto}, deed)


@shared_task(name="krakendata.tasks.dismiss_rejects", bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def dismiss_rejects(
    self: Task, selection: dict[str, Any], by: str, why: str, after: int = 0, upto: int | None = None
) -> dict[str, Any]:
    """Dismiss a selection of rejected records with a reason, and queue the task again for what a share leaves."""
    asked = {"selection": selection, "by": by, "why": why, "after": after, "upto": upto}

    def deed(deeds: RejectDeeds) -> Awaitable[RejectReport]:
        return deeds.dismiss(Selection.of(selection), why, after=after, upto=upto)

    return _run(self, by, asked, deed)


def _run(task: Task, by: str, asked: dict[str, Any], deed: Deed) -> dict[str, Any]:
    async def share_of(share: Share) -> RejectReport:
        deeds = RejectDeeds(
            database_arguments(), by, waits=False, should_stop=share.should_stop,
            report=lambda progress: share.report(_figures(progress)),
        )  # fmt: skip
        return await deed(deeds)

    report = run_share(task, share_of)
    if report is None:
        # It was cancelled and could not report: what it decided about waits no more.
        task.apply_async(kwargs=asked)
        return {"state": "stopped"}
    for symbol in report.busy:
        # Those that were passed over here: what a share has not come to yet is the next one's.
        upto = report.upto if report.state == "done" else report.after
        further = {"selection": asked["selection"] | {"symbol": symbol}, "upto": upto}
        # A backfill may be at it for hours, and each look is a run of its own.
        tries = min(task.request.retries, MOST_DOUBLINGS)
        wait = min(WAITS_FOR_ANOTHER.longest_seconds * 2**tries, WAITS.longest_seconds)
        task.apply_async(kwargs=asked | further, countdown=wait, retries=tries + 1)
    further = {"after": report.after, "upto": report.upto}
    if report.state == "stopped":
        task.apply_async(kwargs=asked | further)
    if report.state == "failed" and report.transient:
        try_again(task, report.error, **asked | further)
    return {
        "state": report.state,
        "run": report.run_id,
        "dismissed": report.dismissed,
        "corrected": report.corrected,
        "busy": list(report.busy),
        "error": report.error,
        **report.counts.as_dict(),
    }


def _figures(progress: RejectProgress) -> dict[str, Any]:
    return {"done": progress.done, "total": progress.total, **progress.counts.as_dict()}
