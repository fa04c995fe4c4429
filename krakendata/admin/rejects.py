"""Rejected records: how many wait by reason and run, and the list of them with their text as it came."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import F, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import DropdownFilter

from krakendata.admin.pages import Column, Table, link
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.reject_deciding import (
    MOST_SELECTED,
    STATES,
    decide_page,
    deciding,
    group_address,
    may,
    record_page,
    sentence_of,
    state_chip,
)
from krakendata.admin.wording import NOTHING, marked, number, numeric, second
from krakendata.models import RejectCount, RejectedRecord, SyncRun
from krakendata.storage.reject_decisions import Selection
from krakendata.types import Source
from krakendata.validation import Reason

# The runs to choose from; an older one is reached from its own page.
RUNS_OFFERED = 50

RAW_PREVIEW_CHARACTERS = 60

# The newest runs whose records wait; the others are found by the reason.
WAITING_RUNS_SHOWN = 10

GROUPS = [
    Column("Source"), Column("Reason"), Column("What it means"), Column("Waiting", True), Column("Replayed", True),
    Column("Dismissed", True), Column("Rejected in all", True, "Also those beyond the number of records kept"),
    Column("Decide"),
]  # fmt: skip
RUNS = [
    Column("Run"), Column("Started (UTC)"), Column("Source"), Column("Reason"), Column("Waiting", True),
    Column("Decide"),
]  # fmt: skip


class SourceFilter(DropdownFilter):
    """Where the record came from: the words we know, not the values in the table."""

    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(source.value, source.value) for source in Source]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(source=self.value()) if self.value() else queryset


class ReasonFilter(DropdownFilter):
    """Why it was refused."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(reason.value, reason.value) for reason in Reason]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(reason=self.value()) if self.value() else queryset


class RunFilter(DropdownFilter):
    """The run that met it: the newest ones, and the one asked for."""

    title = "run"
    parameter_name = "run"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = SyncRun.objects.values_list("pk", "kind", "started_at")[:RUNS_OFFERED]
        offered = {str(pk): f"{pk} {kind}, {second(started)}" for pk, kind, started in newest}
        asked = self.value_asked(request)
        if asked:
            offered.setdefault(asked, f"run {asked}")
        return list(offered.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        asked = self.value_asked(request)
        return queryset.filter(run_id=int(asked)) if asked else queryset

    def value_asked(self, request: HttpRequest) -> str | None:
        """Give the id asked for, when it is one."""
        asked = request.GET.get(self.parameter_name, "")
        # A bigint has at most 19 digits; 18 always fit.
        return asked if asked.isascii() and asked.isdigit() and len(asked) <= 18 else None


class StateFilter(DropdownFilter):
    """Whether somebody has decided about it."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, STATES.get(state, state.value)) for state in RejectedRecord.State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(state=self.value()) if self.value() else queryset


def group_table() -> Table:
    """How many were rejected and what became of them, by source and reason: by the counts, never by the records."""
    groups = (
        RejectCount.objects.order_by()
        .values_list("source", "reason")
        .annotate(
            waits=Sum(F("kept") - F("replayed") - F("dismissed")),
            came_in=Sum("replayed"),
            rests=Sum("dismissed"),
            total=Sum("count"),
        )
        .order_by("-waits", "-total", "source", "reason")
    )
    rows = []
    for source, reason, waits, *figures in groups:
        group = {"source": source, "reason": reason}
        records = {**group, "state": RejectedRecord.State.QUARANTINED.value}
        waiting = link(number(waits), "krakendata_rejectedrecord_changelist", **records)
        shown = [numeric(number(each)) for each in figures]
        rows.append([source, reason, sentence_of(reason), waiting, *shown, _decide(waits, **group)])
    return Table(GROUPS, rows, "Nothing was ever rejected.")


def run_table() -> Table:
    """The newest runs whose records wait, by reason."""
    waiting = RejectCount.objects.filter(kept__gt=F("replayed") + F("dismissed")).select_related("run")
    rows = [
        [
            link(f"Run {each.run_id}: {each.run.kind}", "krakendata_syncrun_change", each.run_id),
            second(each.run.started_at),
            each.source,
            each.reason,
            numeric(number(each.waiting)),
            _decide(each.waiting, run=each.run_id, source=each.source, reason=each.reason),
        ]
        for each in waiting.order_by("-run_id", "source", "reason")[:WAITING_RUNS_SHOWN]
    ]
    return Table(RUNS, rows, "No record waits for a decision.")


def _decide(waiting: int, **group: object) -> object:
    if not waiting:
        return NOTHING
    return format_html('<a class="kd-link" href="{}">Replay or dismiss…</a>', group_address(**group))


@admin.register(RejectedRecord)
class RejectedRecordAdmin(ReadOnlyAdmin):
    """The newest first; the list reaches back 10,000 records, the filters further."""

    list_display = ["record", "shown_state", "seen", "source", "reason", "symbol", "where", "preview"]
    list_display_links = ["record"]
    list_filter = [StateFilter, SourceFilter, ReasonFilter, RunFilter]
    actions = ["decide"]
    list_select_related = False
    ordering = ["-id"]
    sortable_by: list[str] = []
    list_before_template = "krakendata/admin/rejects_hint.html"

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (("decide/", "krakendata_reject_decide", decide_page),)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        tables = {"groups": group_table(), "runs": run_table()}
        answer: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **tables})
        return answer

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return record_page(request, object_id)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether the visitor may decide anything; the page that follows asks for each deed."""
        return any(may(request, deed) for deed in ("replay", "dismiss"))

    @admin.action(description="Replay or dismiss…", permissions=["decide"])
    def decide(self, request: HttpRequest, records: QuerySet[RejectedRecord]) -> HttpResponse:
        # As the list has them: of more than are taken at once, the newest.
        newest = list(records.order_by("-pk").values_list("pk", flat=True)[: MOST_SELECTED + 1])
        if len(newest) > MOST_SELECTED:
            messages.warning(request, f"There are more: these are the newest {number(MOST_SELECTED)}.")
        return deciding(request, Selection(ids=tuple(sorted(newest[:MOST_SELECTED]))))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        newest_first: QuerySet[Any] = super().get_queryset(request).order_by("-id")
        return newest_first

    @admin.display(description="Record")
    def record(self, rejected: RejectedRecord) -> str:
        return str(rejected.pk)

    @admin.display(description="State")
    def shown_state(self, rejected: RejectedRecord) -> SafeString:
        return state_chip(rejected)

    @admin.display(description="Seen (UTC)")
    def seen(self, rejected: RejectedRecord) -> str:
        return second(rejected.seen_at)

    @admin.display(description="Where")
    def where(self, rejected: RejectedRecord) -> str:
        # The file's name is enough to tell one from another; its folders are on the record's own page.
        name = rejected.place.rpartition("/")[2]
        return f"{name}, line {rejected.line}" if rejected.line is not None else name

    @admin.display(description="Raw record")
    def preview(self, rejected: RejectedRecord) -> SafeString:
        return marked(Truncator(rejected.raw).chars(RAW_PREVIEW_CHARACTERS))
