"""The base of our ModelAdmins: rows to look at, in lists that never count a big table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

# A list goes this far back; counting, and skipping to the last page, cost no more than reading so many index
# entries (milliseconds). What is older is found through the filters.
ROWS_WITHIN_REACH = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not subscriptable when run
    """Counts no further than `ROWS_WITHIN_REACH`."""

    @cached_property
    def count(self) -> int:
        """Count the rows, or say how many are within reach."""
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by().values("pk")[:ROWS_WITHIN_REACH].count()


class ReadOnlyAdmin(ModelAdmin):
    """Shows rows that only our own deeds write: nothing to add, change or delete."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    actions: Sequence[str] | None = None
    list_filter_submit = True
    list_filter_sheet = False
    show_facets = None

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # A character that no text in the database can have: no filter can find it.
        if any("\0" in text for _, texts in request.GET.lists() for text in texts):
            raise BadRequest("No text has such a character.")
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
