"""Rejected records, by source, reason and run, with their text as it came."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import DropdownFilter

from krakendata.admin.pages import link
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.wording import NOTHING, marked, number, second
from krakendata.models import RejectedRecord, SyncRun
from krakendata.types import Source
from krakendata.validation import Reason

# The runs to choose from; an older one is reached from its own page.
RUNS_OFFERED = 50

RAW_PREVIEW_CHARACTERS = 60


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


@admin.register(RejectedRecord)
class RejectedRecordAdmin(ReadOnlyAdmin):
    """The newest first; the list reaches back 10,000 records, the filters further."""

    list_display = ["record", "seen", "source", "reason", "symbol", "where", "preview"]
    list_display_links = ["record"]
    list_filter = [SourceFilter, ReasonFilter, RunFilter]
    list_select_related = False
    ordering = ["-id"]
    sortable_by: list[str] = []
    list_before_template = "krakendata/admin/rejects_hint.html"
    fields = [
        *("raw_record", "reason_sentence", "detail", "place", "line_number"),
        *("symbol", "source", "seen", "state", "of_run"),
    ]
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        newest_first: QuerySet[Any] = super().get_queryset(request).order_by("-id")
        return newest_first

    @admin.display(description="Record")
    def record(self, rejected: RejectedRecord) -> str:
        return str(rejected.pk)

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

    @admin.display(description="Raw record")
    def raw_record(self, rejected: RejectedRecord) -> SafeString:
        return marked(rejected.raw)

    @admin.display(description="Reason")
    def reason_sentence(self, rejected: RejectedRecord) -> str:
        sentences = {reason.value: reason.sentence for reason in Reason}
        return f"{rejected.reason}: {sentences.get(rejected.reason, 'no longer among the reasons.')}"

    @admin.display(description="Line")
    def line_number(self, rejected: RejectedRecord) -> str:
        return number(rejected.line)

    @admin.display(description="Run")
    def of_run(self, rejected: RejectedRecord) -> object:
        if rejected.run_id is None:
            return NOTHING
        return link(f"Run {rejected.run_id}", "krakendata_syncrun_change", rejected.run_id)
