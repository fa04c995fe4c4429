"""The log of what people did here: to read, newest first, filtered along its indexes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, TextFilter

from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.wording import NOTHING, chip, second
from krakendata.models import OperatorAction

TONES = {
    OperatorAction.Result.STARTED: "busy",
    OperatorAction.Result.DONE: "good",
    OperatorAction.Result.REFUSED: "quiet",
    OperatorAction.Result.FAILED: "bad",
}


class WhoFilter(TextFilter):
    """A login name, whole: an index finds it."""

    title = "who"
    parameter_name = "who"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(who=self.value().strip()) if self.value() else queryset


class ActionFilter(TextFilter):
    """An action's name, whole."""

    title = "action"
    parameter_name = "deed"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(action=self.value().strip()) if self.value() else queryset


@admin.register(OperatorAction)
class OperatorActionAdmin(ReadOnlyAdmin):
    """Who, what, on what, when, from which page, with what result."""

    list_display = ["when", "who", "action", "on_what", "from_page", "shown_result", "told"]
    list_display_links = ["when"]
    list_filter = [("result", ChoicesDropdownFilter), WhoFilter, ActionFilter]
    ordering = ["-id"]
    sortable_by: list[str] = []
    fields = ["when", "who", "action", "on_what", "from_page", "shown_result", "status", "told"]
    readonly_fields = fields

    @admin.display(description="When (UTC)")
    def when(self, done: OperatorAction) -> str:
        return second(done.at)

    @admin.display(description="On what")
    def on_what(self, done: OperatorAction) -> str:
        return done.target or NOTHING

    @admin.display(description="From page")
    def from_page(self, done: OperatorAction) -> str:
        return done.page

    @admin.display(description="Result")
    def shown_result(self, done: OperatorAction) -> SafeString:
        return chip(done.result, TONES[OperatorAction.Result(done.result)])

    @admin.display(description="What was said")
    def told(self, done: OperatorAction) -> str:
        return done.said or NOTHING
