"""A tracked pair watched from nothing to proven: its backfill, and how much of its time is proven."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from asgiref.sync import async_to_sync
from django.contrib.admin.utils import quote
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from krakendata.admin.browse import KRAKEN_OPENED
from krakendata.admin.onboarding_start import told
from krakendata.admin.pages import page_of, show
from krakendata.admin.pair_names import pair_called
from krakendata.admin.runs import progress_of
from krakendata.admin.wording import chip, counted, minute, percent
from krakendata.gaps import Coverage, Stretch, coverage_of
from krakendata.management.command import database_arguments
from krakendata.models import Pair, SyncRun, SyncStatus
from krakendata.storage.queries import read_ledger
from krakendata.storage.sessions import connect


class Step(NamedTuple):
    """One step from nothing to proven: its state as a chip, and a sentence."""

    state: object
    sentence: str


@page_of(Pair)
def progress(request: HttpRequest) -> HttpResponse:
    """Show how far a tracked pair is, from nothing to proven; the page asks for itself again until it is there."""
    pair = pair_called(request.GET.get("symbol", ""))
    if pair is None:
        raise Http404("The exchange lists no such pair.")
    run = backfill_of(pair)
    status = SyncStatus.objects.filter(symbol=pair.symbol, kind="trades").first()
    now = timezone.now()
    coverage = async_to_sync(_coverage)(pair.symbol, _asked(pair, status, now)) if status else None
    steps = steps_of(pair, run, status, coverage)
    return show(
        request,
        "onboarding_progress.html",
        f"{pair}: from nothing to proven",
        pair=pair,
        pair_address=reverse("admin:krakendata_pair_change", args=[quote(pair.symbol)]),
        beginning=told(pair.tracked_since),
        steps=steps,
        progress=progress_of(run) if run else None,
        is_over=is_over(run, status),
    )


def backfill_of(pair: Pair) -> SyncRun | None:
    """The pair's newest backfill; one that is done is none if it did not begin early enough for today's beginning."""
    run = SyncRun.objects.filter(kind="backfill", parameters__symbol=pair.symbol).order_by("-id").first()
    if run is None or run.state != SyncRun.State.DONE or not (since := run.parameters.get("since")):
        return run
    is_enough = pair.tracked_since is not None and datetime.fromisoformat(since) <= pair.tracked_since
    return run if is_enough else None


def steps_of(
    pair: Pair, run: SyncRun | None, status: SyncStatus | None, coverage: Coverage | None
) -> list[Step]:
    """What is done and what is yet to come."""
    tracked = (
        Step(chip("done", "good"), f"tracked, from {told(pair.tracked_since)} on")
        if pair.tracked
        else Step(chip("not tracked", "quiet"), "nothing is collected of it")
    )
    return [tracked, _fetching(run), _proven(status, coverage, is_done=is_over(run, status))]


def is_over(run: SyncRun | None, status: SyncStatus | None) -> bool:
    """Whether the past is in, without a hole."""
    return run is not None and run.state == SyncRun.State.DONE and (status is None or status.holes == 0)


def _fetching(run: SyncRun | None) -> Step:
    if run is None:
        return Step(chip("waits", "quiet"), "its past waits for a worker (celery -A config worker)")
    words = {
        SyncRun.State.DONE: (chip("done", "good"), "its past is fetched"),
        SyncRun.State.RUNNING: (chip("running", "busy"), "its past is being fetched, the newest trades first"),
        SyncRun.State.FAILED: (chip("failed", "bad"), "what went wrong is below; it is tried again if that may help"),
    }  # fmt: skip
    others = (chip("waits", "quiet"), "a share of its past is fetched; the next one waits for a worker")
    return Step(*words.get(SyncRun.State(run.state), others))


def _proven(status: SyncStatus | None, coverage: Coverage | None, *, is_done: bool) -> Step:
    if status is None or coverage is None:
        return Step(chip("nothing yet", "quiet"), "no trade has happened" if is_done else "no trade is in")
    share = _share(coverage.proven, coverage.asked)
    stretch = f"{minute(coverage.asked.start)} to {minute(coverage.asked.end)} UTC"
    held = f"{counted(status.collected, 'trade is', 'trades are')} in; {percent(share, 1)} of {stretch} is proven"
    if not is_done:
        return Step(chip("growing", "busy"), held)
    return Step(chip("proven", "good"), f"{held}, without a hole")


def _share(parts: Iterable[Stretch], whole: Stretch) -> float:
    length = whole.end - whole.start
    covered = sum((part.end - part.start for part in parts), timedelta())
    return min(covered / length, 1.0) if length else 0.0


def _asked(pair: Pair, status: SyncStatus | None, now: datetime) -> Stretch:
    """From where the pair is collected until now: from the oldest that is in, where it is collected from its first."""
    oldest = status.oldest_timestamp if status else None
    start = pair.tracked_since if pair.tracked_since and pair.tracked_since > KRAKEN_OPENED else oldest
    return Stretch(min(start or now, now), now)


async def _coverage(symbol: str, asked: Stretch) -> Coverage:
    async with connect(database_arguments()) as connection:
        return coverage_of(asked, await read_ledger(connection, symbol, asked))
