"""The tasks that collect: backfills and what goes on with them, gaps, the list of pairs."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from celery import Task, shared_task

from krakendata.ingest.backfill import BackfillProgress, BackfillReport, KrakenTradesBackfill
from krakendata.ingest.gap_fill import CONCURRENCY, GapFiller, GapReport
from krakendata.ingest.pair_list import refresh_pairs as refresh_pair_list
from krakendata.management.command import database_arguments, utc_moment
from krakendata.management.exchange import open_exchange
from krakendata.options import max_rejects_kept, options
from krakendata.storage.backfill_runs import (
    Unfinished,
    alone,
    is_continued,
    note_permanent_failure,
    read_unfinished_backfills,
)
from krakendata.storage.sessions import connect
from krakendata.tasks.running import WAITS_FOR_ANOTHER, WORKER, Share, run_share, try_again

logger = logging.getLogger(__name__)

# The next look at what is unfinished comes sooner than an older message is of use.
RESUME_EXPIRES_SECONDS = 290


@shared_task(name="krakendata.tasks.backfill", bind=True, ignore_result=False)  # type: ignore[untyped-decorator]
def backfill(
    self: Task,
    symbol: str,
    since: str | None = None,
    until: str | None = None,
    newest_first: bool = True,
    continues: int | None = None,
) -> dict[str, Any]:
    """Fetch a share of a pair's history, and queue the task again for what is left.

    Times in ISO form, UTC unless they say otherwise. `continues` is the run that this one goes on with: if a worker
    has begun a newer one since, there is nothing to do, and a message that came twice ends here. A pair that another
    job is at is tried again later. Gives the state: "done", "stopped" (queued again), "superseded", "failed".
    """
    asked = {"symbol": symbol, "since": since, "until": until, "newest_first": newest_first}

    async def deed(share: Share) -> BackfillReport | None:
        if continues is not None:
            async with connect(database_arguments()) as connection:
                if await is_continued(connection, symbol, continues):
                    return BackfillReport(symbol, "superseded")
        async with open_exchange() as rest:
            deed = KrakenTradesBackfill(
                database_arguments(), rest, waits=False, by=WORKER,
                max_rejects_kept=max_rejects_kept(),
                report=lambda progress: share.report(_figures(progress)), should_stop=share.should_stop,
            )  # fmt: skip
            report = await deed.backfill_symbol(symbol, _moment(since), _moment(until), newest_first)
        if report.state == "failed" and not report.transient and report.run_id is not None:
            async with connect(database_arguments()) as connection:
                await note_permanent_failure(connection, report.run_id)
        return report

    share = Share(self)
    report = run_share(self, deed, share=share)
    if share.was_stopped:
        return {"state": "stopped"}
    if report is None or report.state == "stopped":
        self.apply_async(kwargs=asked | _continued(report))
        return {"state": "stopped"}
    if report.state == "busy":
        busy = f"another import, backfill or gap fill of {report.symbol} is at work"
        try_again(self, busy, waits=WAITS_FOR_ANOTHER)
    if report.state == "failed" and report.transient:
        try_again(self, report.error, **asked | _continued(report))
    return {"state": report.state, "run": report.run_id, "error": report.error, **report.counts.as_dict()}


@shared_task(name="krakendata.tasks.resume_backfills")  # type: ignore[untyped-decorator]
def resume_backfills() -> None:
    """Queue what workers left unfinished, and tracked pairs whose history nobody has fetched."""

    async def unfinished() -> Sequence[Unfinished]:
        async with connect(database_arguments()) as connection:
            return await read_unfinished_backfills(connection, datetime.now(UTC))

    for each in asyncio.run(unfinished()):
        backfill.apply_async(
            kwargs={
                "symbol": each.symbol,
                "since": each.since and each.since.isoformat(),
                "until": each.until and each.until.isoformat(),
                "newest_first": each.newest_first,
                "continues": each.continues,
            },
            expires=RESUME_EXPIRES_SECONDS,
        )


@shared_task(name="krakendata.tasks.fill_gaps", bind=True)  # type: ignore[untyped-decorator]
def fill_gaps(self: Task, *symbols: str) -> None:
    """Fill the gaps of some pairs, or of every tracked one.

    One look at the same pairs at a time on all machines, and the next minute's goes on after it. Two looks at one pair
    wait for each other.
    """

    async def deed(share: Share) -> list[GapReport]:
        async with alone(database_arguments(), " ".join(["fill_gaps", *sorted(symbols)])) as is_alone:
            if not is_alone:
                return []
            async with open_exchange() as rest:
                filler = GapFiller(
                    database_arguments(), rest, waits=False, by=WORKER,
                    concurrency=options().get("GAP_FILL_PARALLEL_PAIRS", CONCURRENCY),
                    max_rejects_kept=max_rejects_kept(),
                    should_stop=share.should_stop,
                )  # fmt: skip
                return await filler.fill_all_gaps(symbols or None)

    for report in run_share(self, deed) or []:
        if report.state == "failed":
            logger.warning("fill gaps symbol=%s error=%s", report.symbol, report.error)


@shared_task(name="krakendata.tasks.refresh_pairs", bind=True)  # type: ignore[untyped-decorator]
def refresh_pairs(self: Task) -> None:
    """Take over the exchange's list of pairs: new, renamed, delisted and returned ones."""

    async def deed(share: Share) -> None:
        async with open_exchange() as rest:
            await refresh_pair_list(database_arguments(), rest)

    run_share(self, deed)


def _continued(report: BackfillReport | None) -> dict[str, Any]:
    """What the next message says otherwise: nothing where the deed had to be cancelled and could not report."""
    return {"symbol": report.symbol, "continues": report.run_id} if report else {}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else utc_moment(text)


def _figures(progress: BackfillProgress) -> dict[str, Any]:
    return {
        "symbol": progress.symbol,
        "done": progress.done,
        "total": progress.total,
        **progress.counts.as_dict(),
    }
