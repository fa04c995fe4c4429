"""The task that looks whether what is stored is right."""

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from celery import Task, shared_task

from krakendata.gaps import Stretch
from krakendata.ingest.audit import BUCKETS, Audit, AuditProgress, AuditReport
from krakendata.management.command import database_arguments, utc_moment
from krakendata.management.exchange import open_exchange
from krakendata.storage.backfill_runs import alone
from krakendata.tasks.running import WAITS_FOR_ANOTHER, WORKER, Share, run_share, try_again

logger = logging.getLogger(__name__)


@shared_task(name="krakendata.tasks.audit", bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def audit(
    self: Task,
    symbols: Sequence[str] | None = None,
    buckets: int = BUCKETS,
    exchange: bool = True,
    since: str | None = None,
    until: str | None = None,
) -> dict[str, Any]:
    """Audit some pairs, or all, as `manage.py audit` does, and queue the task again for those that a share leaves.

    One audit at a time on all machines; another one is tried again later. `exchange`: also compare recent candles
    with the exchange's; pairs of which it had no answer for a time are tried again too. `since` and `until`, both
    in ISO form: candles are drawn of the time between them. Gives the state ("done", "stopped": queued again), what was
    compared, and how many candles differed and are right now.
    """
    asked: dict[str, Any] = {
        "symbols": symbols,
        "buckets": buckets,
        "exchange": exchange,
        "since": since,
        "until": until,
    }
    within = Stretch(utc_moment(since), utc_moment(until)) if since and until else None

    async def deed(share: Share) -> AuditReport | str:
        async with AsyncExitStack() as opened:
            if not await opened.enter_async_context(alone(database_arguments(), "audit")):
                return "another audit is at work"
            rest = await opened.enter_async_context(open_exchange()) if exchange else None
            deed = Audit(
                database_arguments(), rest, by=WORKER, should_stop=share.should_stop,
                report=lambda progress: share.report(_figures(progress)),
            )  # fmt: skip
            return await deed.run(symbols, buckets, within)

    share = Share(self)
    report = run_share(self, deed, share=share)
    if isinstance(report, str):
        try_again(self, report, waits=WAITS_FOR_ANOTHER)
    if report is None:
        if not share.was_stopped:
            self.apply_async(kwargs=asked)
        return {"state": "stopped"}
    _log(report)
    if share.was_stopped:
        return _facts(report)
    waiting = [pair.symbol for pair in report.pairs if pair.transient]
    if report.left:
        self.apply_async(kwargs=asked | {"symbols": [*report.left, *waiting]})
    elif waiting:
        try_again(
            self, f"the exchange did not answer of {', '.join(waiting)}", **asked | {"symbols": waiting}
        )
    return _facts(report)


def _log(report: AuditReport) -> None:
    for pair in report.pairs:
        if pair.error:
            logger.warning("audit symbol=%s error=%s", pair.symbol, pair.error)
        if pair.findings:
            healed = sum(finding.healed for finding in pair.findings)
            logger.warning("audit symbol=%s differ=%d healed=%d", pair.symbol, len(pair.findings), healed)


def _facts(report: AuditReport) -> dict[str, Any]:
    healed = Counter(finding.healed for finding in report.findings)
    return {
        "state": report.state,
        "run": report.run_id,
        "compared": dict(report.compared),
        "differed": healed.total(),
        "healed": healed[True],
    }


def _figures(progress: AuditProgress) -> dict[str, Any]:
    return {
        "symbol": progress.symbol,
        "done": progress.done,
        "total": progress.total,
        "compared": progress.compared,
        "differed": progress.found,
    }
