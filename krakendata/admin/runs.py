"""Runs: what our deeds are doing and have done, with progress that follows by itself."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from krakendata.admin.pages import Column, Table, link, may_view, page_of, show
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.wording import NOTHING, ago, amount, chip, duration, number, numeric, second
from krakendata.models import RejectCount, RejectedRecord, SyncRun
from krakendata.validation import Reason

RUNS_SHOWN = 10

# A run commits, and says so, every few seconds; one that has been silent this long was probably killed.
SILENT_AFTER = timedelta(minutes=2)

TONES = {
    SyncRun.State.RUNNING: "busy",
    SyncRun.State.DONE: "good",
    SyncRun.State.FAILED: "bad",
    SyncRun.State.STOPPED: "quiet",
    SyncRun.State.INTERRUPTED: "bad",
}
SENTENCES = {reason.value: reason.sentence for reason in Reason}
REJECT_COLUMNS = [Column("Source"), Column("Reason"), Column("What it means"), Column("Rejected", True)]


def state_of(run: SyncRun, now: datetime) -> SafeString:
    """Give the state as a chip; a run that says nothing any more is called silent."""
    if run.is_running and now - run.updated_at > SILENT_AFTER:
        return chip(f"silent for {duration(now - run.updated_at)}", "bad")
    return chip(run.state, TONES[SyncRun.State(run.state)])


def progress_of(run: SyncRun) -> dict[str, Any]:
    """Give what `progress.html` shows of a run."""
    outcomes = [(name, getattr(run, name)) for name in ("stored", "folded", "duplicate", "rejected")]
    now = timezone.now()
    fraction = run.fraction
    return {
        "run": run,
        "state": state_of(run, now),
        "percent": None if fraction is None else f"{fraction * 100:.1f}",
        "done": amount(run.done, run.unit),
        "total": None if run.total is None else amount(run.total, run.unit),
        "read": number(run.read),
        "outcomes": [(name, number(count)) for name, count in outcomes],
        "unaccounted": number(run.read - sum(count for _, count in outcomes)),
        "is_balanced": run.read == sum(count for _, count in outcomes),
        "rate": NOTHING if run.rows_per_second is None else f"{run.rows_per_second:,.0f} rows/s",
        "time_left": duration(run.time_left),
        "duration": duration(run.duration),
        "started": second(run.started_at),
        "finished": second(run.finished_at),
        "said": ago(run.updated_at, now),
    }


def newest_runs() -> dict[str, Any]:
    """Give what `runs_now.html` shows: the newest runs."""
    runs = [progress_of(run) for run in SyncRun.objects.all()[:RUNS_SHOWN]]
    return {"runs": runs}


@page_of(SyncRun)
def runs_fragment(request: HttpRequest) -> HttpResponse:
    """Answer the overview's question how the newest runs are doing."""
    return render(request, "krakendata/admin/runs_now.html", newest_runs())


@page_of(SyncRun)
def run_fragment(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer the run's own page."""
    return render(
        request, "krakendata/admin/progress.html", {"progress": progress_of(_run(pk)), "is_alone": True}
    )


def _run(pk: int | str) -> SyncRun:
    try:
        return SyncRun.objects.get(pk=int(pk))
    except (SyncRun.DoesNotExist, ValueError, OverflowError) as error:
        raise Http404(f"There is no run {pk}.") from error


def reject_table(run: SyncRun) -> Table:
    """Count the run's rejections by reason, also those beyond the number of records kept."""
    counts = RejectCount.objects.filter(run=run).order_by("-count")
    rows = [
        [
            count.source,
            link(count.reason, "krakendata_rejectedrecord_changelist", run=run.pk, reason=count.reason),
            SENTENCES.get(count.reason, NOTHING),
            numeric(number(count.count)),
        ]
        for count in counts
    ]
    nothing = (
        "Nothing was rejected."
        if not run.rejected
        else f"{number(run.rejected)} rejected, not yet counted by reason."
    )
    return Table(REJECT_COLUMNS, rows, nothing)


@page_of(SyncRun)
def run_page(request: HttpRequest, object_id: str) -> HttpResponse:
    """Show one run: its progress, what it was asked, and why it rejected what it rejected."""
    run = _run(object_id)
    return show(
        request,
        "run.html",
        f"Run {run.pk}: {run.kind}",
        progress=progress_of(run),
        is_alone=True,
        parameters=[
            (name, json.dumps(value, ensure_ascii=False)) for name, value in sorted(run.parameters.items())
        ],
        rejects=reject_table(run),
        may_see_rejects=may_view(request, RejectedRecord),
    )


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    """The list of runs; a run's own page follows it live."""

    list_display = ["name", "shown_state", "percent", "started", "took", "rows_read", "rate", "rows_rejected"]
    list_display_links = ["name"]
    list_filter = [("state", ChoicesDropdownFilter)]
    ordering = ["-id"]
    list_before_template = "krakendata/admin/runs_hint.html"

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("now/", "krakendata_runs_now", runs_fragment),
            ("<int:pk>/now/", "krakendata_run_now", run_fragment),
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return run_page(request, object_id)

    @admin.display(description="Run")
    def name(self, run: SyncRun) -> str:
        return f"{run.pk} {run.kind}"

    @admin.display(description="State")
    def shown_state(self, run: SyncRun) -> SafeString:
        return state_of(run, timezone.now())

    @admin.display(description="Done")
    def percent(self, run: SyncRun) -> str:
        return NOTHING if run.fraction is None else f"{run.fraction:.0%}"

    @admin.display(description="Started (UTC)")
    def started(self, run: SyncRun) -> str:
        return second(run.started_at)

    @admin.display(description="Took")
    def took(self, run: SyncRun) -> str:
        return duration(run.duration)

    @admin.display(description="Rows read")
    def rows_read(self, run: SyncRun) -> str:
        return number(run.read)

    @admin.display(description="Rate")
    def rate(self, run: SyncRun) -> str:
        return NOTHING if run.rows_per_second is None else f"{run.rows_per_second:,.0f}/s"

    @admin.display(description="Rejected")
    def rows_rejected(self, run: SyncRun) -> object:
        if not run.rejected:
            return "0"
        return link(number(run.rejected), "krakendata_rejectedrecord_changelist", run=run.pk)
