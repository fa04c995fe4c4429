"""Sync status per pair and kind: what is collected, what is still stored, what is missing, what failed."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import quote
from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator

from krakendata.admin.desk import pairs_table
from krakendata.admin.pages import Column, Table, link, page_of, show
from krakendata.admin.wording import NOTHING, ago, chip, minute, number, numeric
from krakendata.attention import Desk
from krakendata.models import SyncStatus
from krakendata.storage.desk import read_pair_facts

# All pairs of the exchange with both kinds are about 2,200 rows; more than this nobody reads.
ROWS_SHOWN = 250

FAILING = Q(last_error_at__gt=F("last_success")) | Q(last_error_at__isnull=False, last_success=None)

# Tracked pairs by how far they are, also those of which nothing is collected yet.
TRACKED = {"fresh": ("Fresh", True), "behind": ("Behind", False)}
VIEWS = {
    "all": ("All", Q()),
    "holes": ("With holes", Q(holes__gt=0)),
    "failed": ("Last try failed", FAILING),
}
COLUMNS = [
    Column("Pair"),
    Column("Kind"),
    Column("Oldest (UTC)"),
    Column("Newest (UTC)"),
    Column("Collected", True, "Records ever taken in: stored, or folded into candles behind the retention"),
    Column(
        "Still stored", True, "Rows kept today; retention drops old ones, what was collected stays proven"
    ),
    Column("Holes", True, "Stretches of trade ids between the first and the last that nobody has given us"),
    Column("Last success"),
    Column("State"),
]


@page_of(SyncStatus)
def sync_status(request: HttpRequest) -> HttpResponse:
    """Show the page."""
    chosen = request.GET.get("show", "all")
    if chosen not in VIEWS and chosen not in TRACKED:
        chosen = "all"
    asked = request.GET.get("pair", "").replace("\0", "").strip()
    if chosen in TRACKED:
        table, is_cut = tracked_table(asked, TRACKED[chosen][1])
    else:
        rows = SyncStatus.objects.filter(VIEWS[chosen][1], symbol__icontains=asked)[: ROWS_SHOWN + 1]
        shown = list(rows)
        table, is_cut = status_table(shown[:ROWS_SHOWN]), len(shown) > ROWS_SHOWN
    labels = {**VIEWS, **TRACKED}
    return show(
        request,
        "status.html",
        "Sync status",
        views=[(name, label, name == chosen) for name, (label, _) in labels.items()],
        asked=asked,
        chosen=chosen,
        totals=totals(),
        table=table,
        is_cut=is_cut,
    )


def tracked_table(asked: str, is_fresh: bool) -> tuple[Table, bool]:
    """The tracked pairs whose symbols contain `asked`, fresh or behind, and whether there are more than are shown."""
    now = timezone.now()
    with connection.cursor() as cursor:
        desk = Desk(now, read_pair_facts(cursor))
    pairs = [pair for pair in (desk.fresh if is_fresh else desk.behind) if asked.upper() in pair.symbol]
    return pairs_table(pairs[:ROWS_SHOWN], now), len(pairs) > ROWS_SHOWN


def totals() -> list[tuple[str, str]]:
    """Sum up the ledger's summary, in one query over at most two rows a pair."""
    figures = {
        "Pairs": Count("symbol", distinct=True),
        "Trades collected": Sum("collected", filter=Q(kind="trades")),
        "Trades still stored": Sum("stored", filter=Q(kind="trades")),
        "Archive candles collected": Sum("collected", filter=Q(kind="candles")),
        "Holes": Sum("holes"),
    }
    sums = SyncStatus.objects.aggregate(**{f"sum_{n}": figure for n, figure in enumerate(figures.values())})
    return [(title, number(total or 0)) for title, total in zip(figures, sums.values(), strict=True)]


def status_table(statuses: list[SyncStatus] | QuerySet[SyncStatus]) -> Table:
    """Lay out the rows."""
    return Table(
        COLUMNS,
        [_cells(status) for status in statuses],
        "Nothing collected here yet. Import an archive:",
        "manage.py import_csv PATH",
    )


def _cells(status: SyncStatus) -> list[Any]:
    is_trades = status.kind == "trades"
    page = "krakendata_trades" if is_trades else "krakendata_candles"
    return [
        link(status.symbol, "krakendata_pair_change", quote(status.symbol)),
        link(status.kind, page, symbol=status.symbol),
        numeric(minute(status.oldest_timestamp)),
        numeric(minute(status.newest_timestamp)),
        numeric(number(status.collected)),
        # The ledger of candle archives knows what was given, not what retention has left of it.
        numeric(number(status.stored)) if is_trades or status.stored else NOTHING,
        numeric(number(status.holes)) if status.holes is not None else NOTHING,
        numeric(ago(status.last_success, timezone.now())),
        _state(status),
    ]


def _state(status: SyncStatus) -> object:
    if status.is_failing:
        return format_html("{} {}", chip("failed", "bad"), Truncator(status.last_error).chars(120))
    if status.kind == "candles":
        # What proves their time is the line of the trades.
        return chip("from archives", "quiet")
    if status.holes is None:
        return chip("not proven", "quiet")
    return chip("has holes", "busy") if status.holes else chip("no holes", "good")
