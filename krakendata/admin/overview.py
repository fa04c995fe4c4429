"""The admin's first page: the newest runs, live, and what we hold."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.http import HttpRequest

from krakendata.admin.pages import may_view
from krakendata.admin.runs import newest_runs
from krakendata.admin.status import status_table, totals
from krakendata.models import SyncRun, SyncStatus

PAIRS_SHOWN = 20


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what `admin/index.html` shows; unfold's DASHBOARD_CALLBACK calls this."""
    context["title"] = "Overview"
    if may_view(request, SyncRun):
        context.update(newest_runs(), may_see_runs=True)
    if may_view(request, SyncStatus):
        statuses = SyncStatus.objects.order_by(F("last_success").desc(nulls_last=True), "symbol", "kind")[
            :PAIRS_SHOWN
        ]
        context.update(totals=totals(), statuses=status_table(statuses), may_see_status=True)
    return context
