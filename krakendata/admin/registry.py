"""The small tables: pairs, import files, retention lines. The pages of a pair's data hang on the pairs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from krakendata.admin.browse import candles, trades
from krakendata.admin.pages import link
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.status import sync_status
from krakendata.admin.wording import chip, minute, number, second, size
from krakendata.models import ImportFile, Pair, RetentionLine


@admin.register(Pair)
class PairAdmin(ReadOnlyAdmin):
    """The exchange's list, as far as it was loaded."""

    list_display = ["symbol", "altname", "wsname", "key", "status", "tracked", "data"]
    list_filter = ["tracked", "status"]
    search_fields = ["symbol", "altname", "wsname", "key"]

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (
            ("sync-status/", "krakendata_sync_status", sync_status),
            ("candles/", "krakendata_candles", candles),
            ("trades/", "krakendata_trades", trades),
        )

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
        return chip(f"{file.next_offset / file.size:.0%}" if file.size else "started", "busy")

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
