"""Trades and candles of one pair, newest first: read along the primary key, never counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from krakendata.admin.pages import Column, Table, page_of, show
from krakendata.admin.paging import Edge, Series, SeriesPage, read_page
from krakendata.admin.wording import NOTHING, chip, exact, microsecond, minute, number, numeric, rounded
from krakendata.errors import UnknownSymbol
from krakendata.models import ROLLUPS, Candle, SyncStatus, Trade
from krakendata.types import INTERVALS, Interval, Symbols, interval_of

# Kraken opened in September 2013: nothing can be older.
KRAKEN_OPENED = datetime(2013, 9, 1, tzinfo=UTC)
# Nothing is asked for beyond it: nanoseconds as the ledger counts them end in 2262, Python's years in 9999.
FAR_AHEAD = datetime(2200, 1, 1, tzinfo=UTC)

# A stretch likely to hold about one page: a day of trades, a hundred candles and some quiet minutes.
TRADES_WIDTH = timedelta(days=1)
CANDLES_WIDTH_BUCKETS = 200

TRADE_COLUMNS = [
    Column("Time (UTC)"),
    Column("Trade id", True, "Kraken's number of the trade; negative: from an archive without ids"),
    Column("Price", True),
    Column("Volume", True),
    Column("Side"),
    Column("Order type"),
]
CANDLE_COLUMNS = [
    Column("Start (UTC)"),
    *(Column(title, True) for title in ("Open", "High", "Low", "Close", "Volume", "VWAP", "Trades")),
    Column("Made of", hint="What the candle was built from, which says how far it is proven"),
]


class MomentField(forms.DateTimeField):
    """A moment in UTC, typed or picked, with or without the time of day."""

    def __init__(self) -> None:
        formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"]
        widget = UnfoldAdminTextInputWidget(attrs={"placeholder": "2024-01-31 12:00"})
        super().__init__(required=False, widget=widget, input_formats=formats)

    def clean(self, value: Any) -> datetime | None:
        """Read it; what is before Kraken opened, or centuries ahead, is the first or the last moment of all."""
        moment: datetime | None = super().clean(value)
        return None if moment is None else min(max(moment, KRAKEN_OPENED), FAR_AHEAD)


class PairForm(forms.Form):
    """A pair in any spelling."""

    symbol = forms.CharField(
        max_length=64, label="Pair", widget=UnfoldAdminTextInputWidget(attrs={"list": "known-pairs"})
    )

    def clean_symbol(self) -> str:
        """Resolve any spelling to our symbol."""
        name = self.cleaned_data["symbol"].strip()
        try:
            return Symbols().resolve(name)
        except UnknownSymbol as error:
            raise forms.ValidationError(f"No pair is called {name}; write it as BTC/USD.") from error


class SeriesForm(PairForm):
    """What to look at: a pair, from, and to but not including."""

    start = MomentField()
    end = MomentField()

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.fields["start"].label, self.fields["end"].label = "From (UTC)", "To (UTC)"


class CandlesForm(SeriesForm):
    """The same, and the candles' length."""

    interval = forms.ChoiceField(
        choices=[(name, name) for name in INTERVALS], initial="1h", widget=UnfoldAdminSelectWidget
    )
    field_order = ["symbol", "interval", "start", "end"]


@page_of(Trade)
def trades(request: HttpRequest) -> HttpResponse:
    """Show a pair's trades."""

    def series(chosen: dict[str, Any]) -> Series:
        rows = Trade.objects.for_symbol(chosen["symbol"])
        return Series(rows, *_limits(chosen, timedelta(seconds=1)), TRADES_WIDTH, tie="trade_id")

    return _browse(request, "Trades", "trades", SeriesForm, series, TRADE_COLUMNS, _trade_cells)


@page_of(Candle)
def candles(request: HttpRequest) -> HttpResponse:
    """Show a pair's candles of one interval."""

    def series(chosen: dict[str, Any]) -> Series:
        interval = interval_of(chosen["interval"])
        limits = _limits(chosen, interval.length)
        return Series(
            _candle_rows(chosen["symbol"], interval), *limits, CANDLES_WIDTH_BUCKETS * interval.length
        )

    return _browse(request, "Candles", "candles", CandlesForm, series, CANDLE_COLUMNS, _candle_cells)


def _browse(
    request: HttpRequest,
    title: str,
    kind: str,
    form_class: type[SeriesForm],
    series: Callable[[dict[str, Any]], Series],
    columns: Sequence[Column],
    cells: Callable[[Any], list[object]],
) -> HttpResponse:
    known = known_symbols()
    form = form_class(_asked(request, form_class, known))
    page = SeriesPage([], None, None)
    if form.is_valid():
        upwards = "newer" in request.GET
        edge = Edge.parse(request.GET.get("newer" if upwards else "older", ""))
        page = read_page(series(form.cleaned_data), edge, upwards and edge is not None)
    table = Table(columns, (cells(row) for row in page.rows), *_empty(form, kind, known))
    return show(
        request,
        "browse.html",
        title,
        form=form,
        table=table,
        known=known,
        older=_address(form, "older", page.older),
        newer=_address(form, "newer", page.newer),
        newest=_address(form, "newest", "1") if page.newer else None,
    )


def _asked(request: HttpRequest, form_class: type[SeriesForm], known: Sequence[str]) -> dict[str, Any]:
    """Take what was asked for; the first visit sees the first pair we have."""
    asked = {name: request.GET.get(name, "") for name in form_class.base_fields}
    if "symbol" not in request.GET and known:
        asked["symbol"] = known[0]
    if "interval" in asked:
        asked["interval"] = asked["interval"] or "1h"
    return asked


def known_symbols() -> list[str]:
    """The symbols that anything was collected of, in order."""
    return list(SyncStatus.objects.order_by("symbol").values_list("symbol", flat=True).distinct())


def _limits(chosen: dict[str, Any], margin: timedelta) -> tuple[datetime, datetime]:
    """Give the stretch asked for; open ends are Kraken's opening and now, with `margin` for our clock."""
    start = max(chosen["start"] or KRAKEN_OPENED, KRAKEN_OPENED)
    end = min(chosen["end"] or datetime.max.replace(tzinfo=UTC), timezone.now() + margin)
    return start, max(start, end)


def _candle_rows(symbol: str, interval: Interval) -> Any:
    if interval.minutes == 1:
        return Candle.objects.for_symbol(symbol).filter(interval_minutes=1)
    return ROLLUPS[interval.name].objects.for_symbol(symbol)


def _trade_cells(trade: Trade) -> list[object]:
    return [
        numeric(microsecond(trade.timestamp)),
        numeric(str(trade.trade_id)),
        numeric(exact(trade.price)),
        numeric(exact(trade.volume)),
        chip(trade.side, "good" if trade.side == "buy" else "bad") if trade.side else NOTHING,
        trade.order_type or NOTHING,
    ]


def _candle_cells(candle: Any) -> list[object]:
    figures = [exact(value) for value in (candle.open, candle.high, candle.low, candle.close, candle.volume)]
    figures += [rounded(candle.vwap), number(candle.trade_count)]
    return [numeric(minute(candle.timestamp)), *(numeric(figure) for figure in figures), _made_of(candle)]


def _made_of(candle: Any) -> object:
    if getattr(candle, "coarse", False):
        return chip("archive, coarse", "busy")
    if candle.first_id is None:
        return chip("archive candles", "quiet")
    return chip("trades", "good") if candle.first_id > 0 else chip("trades without ids", "good")


def _empty(form: SeriesForm, kind: str, known: Sequence[str]) -> tuple[str, str]:
    """Say why there are no rows, and the command that brings some."""
    if not known:
        return f"No {kind} yet. Import an archive and they appear here:", "manage.py import_csv PATH"
    if not form.is_valid():
        return "Choose a pair.", ""
    return f"No {kind} of {form.cleaned_data['symbol']} in this stretch of time.", ""


def _address(form: SeriesForm, word: str, value: object | None) -> str | None:
    """Link to the same question, continued from an edge."""
    if value is None:
        return None
    asked = {name: text for name, text in form.data.items() if text}
    return "?" + urlencode({**asked, word: str(value)})
