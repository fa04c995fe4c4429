"""The small tables: pairs, import files, retention lines. The pages of a pair's data hang on the pairs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from krakendata.admin import completeness_map, onboarding, pair_page
from krakendata.admin.browse import candles, trades
from krakendata.admin.live import live
from krakendata.admin.overview import failed_runs
from krakendata.admin.pages import link
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.remedies import remedy_pages
from krakendata.admin.status import sync_status
from krakendata.admin.wording import NOTHING, chip, counted, minute, number, percent, second, size
from krakendata.management.queueing import QueueAway, queue_backfills
from krakendata.models import ImportFile, Pair, RetentionLine, SyncStatus
from krakendata.models.ledger import Kind
from krakendata.security.operator_log import refuse_action
from krakendata.storage.pairs import TrackedPair
from krakendata.types import GONE

# What an operator who wants charts soon starts with; the rest of the past can follow later.
RECENT = timedelta(days=30)


@admin.register(Pair)
class PairAdmin(ReadOnlyAdmin):
    """The exchange's list, as it was last taken over, and which of its pairs are collected."""

    list_display = [
        "symbol", "altname", "shown_status", "renamed", "tracked", "since", "newest_trade", "data",
    ]  # fmt: skip
    list_filter = ["tracked", "status"]
    search_fields = ["symbol", "altname", "wsname", "key", "renamed_to"]
    actions = ["track", "track_recent", "untrack"]

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("sync-status/", "krakendata_sync_status", sync_status),
            ("candles/", "krakendata_candles", candles),
            ("trades/", "krakendata_trades", trades),
            ("live/", "krakendata_live", live),
            ("failed-runs/", "krakendata_failed_runs", failed_runs),
            *remedy_pages(),
            *onboarding.PAGES,
            *completeness_map.PAGES,
            *pair_page.PAGES,
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST":
            # As Django's page would, in whose place this one stands.
            raise PermissionDenied
        return pair_page.pair_page(request, object_id)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pair]:
        newest = SyncStatus.objects.filter(symbol=OuterRef("symbol"), kind=Kind.TRADES).values(
            "newest_timestamp"
        )
        pairs: QuerySet[Pair] = super().get_queryset(request)
        return pairs.annotate(newest_trade=Subquery(newest[:1]))

    def has_track_permission(self, request: HttpRequest) -> bool:
        """Whether the visitor may say what is collected: who may change pairs may."""
        return bool(request.user.has_perm("krakendata.change_pair"))

    @admin.action(description="Track, from the first trade on", permissions=["track"])
    def track(self, request: HttpRequest, pairs: QuerySet[Pair]) -> None:
        self._track(request, pairs, None)

    @admin.action(description="Track, from 30 days ago on", permissions=["track"])
    def track_recent(self, request: HttpRequest, pairs: QuerySet[Pair]) -> None:
        self._track(request, pairs, timezone.now().replace(microsecond=0) - RECENT)

    @admin.action(description="Track no more (what was collected stays)", permissions=["track"])
    def untrack(self, request: HttpRequest, pairs: QuerySet[Pair]) -> None:
        count = pairs.filter(tracked=True).update(tracked=False, tracked_since=None, candles_only=False)
        self.message_user(
            request, f"{counted(count, 'pair is', 'pairs are')} tracked no more. What was collected stays."
        )

    def _track(self, request: HttpRequest, pairs: QuerySet[Pair], since: datetime | None) -> None:
        gone = list(pairs.filter(status__in=GONE).values_list("symbol", flat=True))
        symbols = list(pairs.exclude(status__in=GONE).values_list("symbol", flat=True))
        if gone:
            sentence = f"The exchange lists them no more, so they are not tracked: {', '.join(gone)}."
            if not symbols:
                refuse_action(request, sentence)
                return
            self.message_user(request, sentence, messages.WARNING)
        Pair.objects.filter(symbol__in=symbols).update(tracked=True, tracked_since=since, candles_only=False)
        tracked = [TrackedPair(symbol, since) for symbol in symbols]
        # A worker must find what is written here.
        transaction.on_commit(lambda: self._queue(request, tracked))

    def _queue(self, request: HttpRequest, tracked: list[TrackedPair]) -> None:
        tracking = f"{counted(len(tracked), 'pair is', 'pairs are')} tracked."
        try:
            queue_backfills(tracked)
        except QueueAway as away:
            sentence = f"{tracking} {away} The schedule fetches their past once it does."
            self.message_user(request, sentence, messages.WARNING)
        else:
            self.message_user(request, f"{tracking} A worker fetches the past, the newest trades first.")

    @admin.display(description="Status", ordering="status")
    def shown_status(self, pair: Pair) -> SafeString:
        return chip(pair.status, "good" if pair.status == "online" else "quiet")

    @admin.display(description="Renamed to", ordering="renamed_to")
    def renamed(self, pair: Pair) -> str:
        return pair.renamed_to or NOTHING

    @admin.display(description="Tracked since (UTC)", ordering="tracked_since")
    def since(self, pair: Pair) -> str:
        if not pair.tracked:
            return NOTHING
        return "its first trade" if pair.tracked_since is None else minute(pair.tracked_since)

    @admin.display(description="Newest trade (UTC)", ordering="newest_trade")
    def newest_trade(self, pair: Any) -> str:
        return minute(pair.newest_trade)

    @admin.display(description="Data")
    def data(self, pair: Pair) -> SafeString:
        candles_link = link("candles", "krakendata_candles", symbol=pair.symbol)
        return candles_link + SafeString(" · ") + link("trades", "krakendata_trades", symbol=pair.symbol)


@admin.register(ImportFile)
class ImportFileAdmin(ReadOnlyAdmin):
    """How far each file of an archive is in."""

    list_display = ["path", "symbol", "layout", "progress", "file_size", "rows_read", "counts", "updated"]
    list_filter = ["done"]
    search_fields = ["path", "symbol"]
    ordering = ["path"]

    @admin.display(description="Progress")
    def progress(self, file: ImportFile) -> SafeString:
        if file.done:
            return chip("done", "good")
        return chip(percent(file.next_offset / file.size) if file.size else "started", "busy")

    @admin.display(description="Size")
    def file_size(self, file: ImportFile) -> str:
        return size(file.size)

    @admin.display(description="Rows read")
    def rows_read(self, file: ImportFile) -> str:
        return number(file.read)

    @admin.display(description="Stored + folded + duplicate + rejected")
    def counts(self, file: ImportFile) -> str:
        return " + ".join(
            number(count) for count in (file.stored, file.folded, file.duplicate, file.rejected)
        )

    @admin.display(description="Updated (UTC)")
    def updated(self, file: ImportFile) -> str:
        return second(file.updated_at)


@admin.register(RetentionLine)
class RetentionLineAdmin(ReadOnlyAdmin):
    """Where retention stands; rows before the line are no longer stored."""

    list_display = ["kind", "stands_at", "started_at"]

    @admin.display(description="Rows are stored from (UTC)")
    def stands_at(self, line: RetentionLine) -> str:
        return minute(line.line)

    @admin.display(description="First drawn at (UTC)")
    def started_at(self, line: RetentionLine) -> str:
        return minute(line.first_line)
