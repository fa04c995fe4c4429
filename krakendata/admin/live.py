"""The live page: one pair's candles as they come, on a chart that follows the live socket."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminSelectWidget

from krakendata.admin.browse import PairForm, known_symbols
from krakendata.admin.pages import page_of, show
from krakendata.live import SOCKET_PATH
from krakendata.models import Candle, Pair, SyncStatus
from krakendata.types import INTERVALS

# As many as a wide screen shows at a time, and room to look back.
CANDLES_SHOWN = 300
# Fields of the newest row (docs/reference/live-socket.md), beside its close.
FACTS = [
    ("open", "Open"),
    ("high", "High"),
    ("low", "Low"),
    ("volume", "Volume"),
    ("vwap", "VWAP"),
    ("trade_count", "Trades"),
    ("state", "State"),
]


class LiveForm(PairForm):
    """What to follow: a pair in any spelling, and the candles' length."""

    interval = forms.ChoiceField(choices=[(name, name) for name in INTERVALS], widget=UnfoldAdminSelectWidget)


@page_of(Candle)
def live(request: HttpRequest) -> HttpResponse:
    """Show the page; the candles come by the socket."""
    known = known_symbols()
    asked = {"symbol": busiest_symbol(), "interval": "1m"}
    form = LiveForm({name: request.GET.get(name) or value for name, value in asked.items()})
    return show(
        request,
        "live.html",
        "Live",
        form=form,
        known=known,
        chosen=form.cleaned_data if form.is_valid() else None,
        socket_path=SOCKET_PATH,
        history=CANDLES_SHOWN,
        facts=FACTS,
    )


def busiest_symbol() -> str:
    """The tracked pair of which the most was collected: there something moves; without one, of all; "" of none."""
    by_size = SyncStatus.objects.order_by("-kind", "-collected", "symbol").values_list("symbol", flat=True)
    tracked = Pair.objects.filter(tracked=True).values("symbol")
    return by_size.filter(symbol__in=tracked).first() or by_size.first() or ""
