"""The admin's first page: the desk, and the list of what failed within a day."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.text import Truncator

from krakendata.admin.desk import desk_context, may_see, read, read_failures, remedies_of, state_of_run
from krakendata.admin.pages import Column, Table, link, page_of, show
from krakendata.admin.wording import NOTHING, numeric, second
from krakendata.live import SOCKET_PATH
from krakendata.models import SyncRun

# More nobody reads; the list of runs has them all.
FAILURES_SHOWN = 200
FAILURE_COLUMNS = [
    Column("Run"),
    Column("Heard of last (UTC)"),
    Column("State"),
    Column("Error"),
]


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what `admin/index.html` shows; unfold's DASHBOARD_CALLBACK calls this."""
    context["title"] = "Overview"
    if may_see(request.user):
        context.update(desk_context(read(), remedies_of(request.user)), may_see=True, socket_path=SOCKET_PATH)
    return context


@page_of(SyncRun)
def failed_runs(request: HttpRequest) -> HttpResponse:
    """Show the runs that the chip counts."""
    failures = read_failures()
    rows = [
        [
            link(
                f"Run {run.id}: {run.kind.replace('_', ' ')} {run.symbol}",
                "krakendata_syncrun_change",
                run.id,
            ),
            numeric(second(run.at)),
            state_of_run(run),
            Truncator(run.error).chars(300) or NOTHING,
        ]
        for run in failures[:FAILURES_SHOWN]
    ]
    table = Table(FAILURE_COLUMNS, rows, "Nothing failed within a day.")
    return show(
        request, "failed_runs.html", "Failed in 24 hours", table=table, is_cut=len(failures) > FAILURES_SHOWN
    )
