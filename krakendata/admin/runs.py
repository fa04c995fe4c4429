"""Runs: what our deeds are doing and have done, with progress that follows by itself."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter

from krakendata.admin import schedules
from krakendata.admin.pages import Column, Table, deed, link, may_view, page_of, show
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.wording import (
    NOTHING,
    ago,
    amount,
    chip,
    counted,
    duration,
    number,
    numeric,
    percent,
    second,
)
from krakendata.management.queueing import QueueAway
from krakendata.management.run_orders import may_be_resumed, may_be_stopped, resume_run, stop_run
from krakendata.models import RejectCount, RejectedRecord, SyncRun
from krakendata.pace import SILENT_AFTER
from krakendata.security.operator_log import describe_action, refuse_action
from krakendata.validation import Reason

# More than these at a time, and the rest is in the list.
RUNNING_SHOWN = 25
SUBJECT_CHARACTERS = 60
PERIODS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "30 days": timedelta(days=30),
}
KINDS = ("audit", "backfill", "dismiss_rejects", "gap_fill", "import", "live", "replay_rejects")

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


def progress_of(run: SyncRun, may_stop: bool = False) -> dict[str, Any]:
    """Give what `progress.html` shows of a run; `may_stop`: whether the visitor may stop one."""
    outcomes = [(name, getattr(run, name)) for name in ("stored", "folded", "duplicate", "rejected")]
    now = timezone.now()
    fraction = run.fraction
    pace = run.pace(now)
    return {
        "run": run,
        "stop_address": reverse("admin:krakendata_run_stop", args=[run.pk])
        if may_stop and may_be_stopped(run)
        else None,
        "subject": Truncator(_subject(run)).chars(SUBJECT_CHARACTERS),
        "stopped_by": run.parameters.get("stopped_by"),
        "state": state_of(run, now),
        "percent": None if fraction is None else percent(fraction, 1).removesuffix("%"),
        "done": amount(run.done, run.unit),
        "total": None if run.total is None else amount(run.total, run.unit),
        "read": counted(run.read, "row", "rows"),
        "outcomes": [(name, number(count)) for name, count in outcomes],
        "unaccounted": number(run.read - sum(count for _, count in outcomes)),
        "is_balanced": run.read == sum(count for _, count in outcomes),
        "rate": NOTHING if run.rows_per_second is None else f"{run.rows_per_second:,.0f} rows/s",
        "pace": NOTHING if pace.per_second is None else f"{amount(round(pace.per_second), run.unit)}/s",
        "time_left": duration(pace.left) if pace.left is not None else None,
        "why_not": pace.why_not,
        "duration": duration(run.duration),
        "started": second(run.started_at),
        "finished": second(run.finished_at),
        "said": ago(run.updated_at, now),
    }


def running_runs(request: HttpRequest) -> dict[str, Any]:
    """Give what `runs_running.html` shows: what runs at this moment, the newest first."""
    may_stop = request.user.has_perm("krakendata.stop_syncrun")
    running = list(SyncRun.objects.filter(state=SyncRun.State.RUNNING)[: RUNNING_SHOWN + 1])
    shown = [progress_of(run, may_stop) for run in running[:RUNNING_SHOWN]]
    return {"running": shown, "are_more_running": len(running) > RUNNING_SHOWN}


@page_of(SyncRun)
def running_fragment(request: HttpRequest) -> HttpResponse:
    """Answer the list of runs what runs now."""
    return render(request, "krakendata/admin/runs_running.html", running_runs(request))


@deed("krakendata.stop_syncrun")
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Have the run's worker stop where nothing is lost."""
    run = _run(pk)
    describe_action(request, f"run {pk}: {run.kind} {_subject(run)}".rstrip(), "stop_run")
    if may_be_stopped(run) and stop_run(pk, request.user.get_username()):
        messages.success(request, f"Run {pk} stops after what it is writing. Resume goes on from there.")
    else:
        refuse_action(request, f"Run {pk} has ended, or is none that workers stop.")
    return redirect("admin:krakendata_syncrun_change", pk)


@deed("krakendata.resume_syncrun")
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Put what the run left on the task queue."""
    run = _run(pk)
    describe_action(request, f"run {pk}: {run.kind} {_subject(run)}".rstrip(), "resume_run")
    if not may_be_resumed(run):
        refuse_action(request, f"Run {pk} is none that can be resumed.")
        return redirect("admin:krakendata_syncrun_change", pk)
    try:
        resume_run(run)
    except QueueAway as away:
        if run.kind == "backfill":
            # Nobody holds it back any more: that is done.
            messages.warning(request, f"{away} The schedule resumes backfills once it does.")
        else:
            refuse_action(request, str(away))
    else:
        messages.success(request, "A worker goes on with it, in a run of its own.")
    return redirect("admin:krakendata_syncrun_changelist")


def _subject(run: SyncRun) -> str:
    """What a run is about: its pair, or its files; "" where it does not say."""
    asked = run.parameters
    return str(asked.get("symbol") or ", ".join(map(str, asked.get("paths") or asked.get("symbols") or [])))


@page_of(SyncRun)
def run_fragment(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer the run's own page."""
    progress = progress_of(_run(pk), request.user.has_perm("krakendata.stop_syncrun"))
    return render(request, "krakendata/admin/progress.html", {"progress": progress, "is_alone": True})


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
        progress=progress_of(run, request.user.has_perm("krakendata.stop_syncrun")),
        is_alone=True,
        resume_address=reverse("admin:krakendata_run_resume", args=[run.pk])
        if may_be_resumed(run) and request.user.has_perm("krakendata.resume_syncrun")
        else None,
        parameters=[
            (name, json.dumps(value, ensure_ascii=False)) for name, value in sorted(run.parameters.items())
        ],
        rejects=reject_table(run),
        may_see_rejects=may_view(request, RejectedRecord),
    )


class KindFilter(DropdownFilter):
    """What kind of deed: the kinds we know, not those in the table."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, kind) for kind in KINDS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class StartedFilter(DropdownFilter):
    """When it began: an index by that time finds them."""

    title = "started"
    parameter_name = "started"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, f"in the last {name}") for name in PERIODS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        period = PERIODS.get(self.value() or "")
        return queryset.filter(started_at__gte=timezone.now() - period) if period else queryset


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    """What runs now, and the list of runs; a run's own page follows it live."""

    list_display = [
        *("name", "subject", "shown_state", "percent", "started", "took"),
        *("rows_read", "rate", "rows_rejected"),
    ]
    list_display_links = ["name"]
    list_filter = [KindFilter, ("state", ChoicesDropdownFilter), StartedFilter]
    sortable_by: list[str] = []
    ordering = ["-id"]
    list_before_template = "krakendata/admin/runs_hint.html"

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("running/", "krakendata_runs_running", running_fragment),
            ("<int:pk>/now/", "krakendata_run_now", run_fragment),
            ("<int:pk>/stop/", "krakendata_run_stop", stop),
            ("<int:pk>/resume/", "krakendata_run_resume", resume),
            *schedules.addresses(),
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        answer: HttpResponse = super().changelist_view(
            request, {**(extra_context or {}), **running_runs(request)}
        )
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        return run_page(request, object_id)

    @admin.display(description="Run")
    def name(self, run: SyncRun) -> str:
        return f"{run.pk} {run.kind}"

    @admin.display(description="Of what")
    def subject(self, run: SyncRun) -> str:
        return Truncator(_subject(run)).chars(SUBJECT_CHARACTERS) or NOTHING

    @admin.display(description="State")
    def shown_state(self, run: SyncRun) -> SafeString:
        return state_of(run, timezone.now())

    @admin.display(description="Done")
    def percent(self, run: SyncRun) -> str:
        return NOTHING if run.fraction is None else percent(run.fraction)

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
