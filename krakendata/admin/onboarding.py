"""Onboarding: find a pair, choose where its past begins, see what that costs, track it, watch it become proven."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from krakendata.admin.browse import KRAKEN_OPENED
from krakendata.admin.onboarding_cost import cost
from krakendata.admin.onboarding_progress import progress
from krakendata.admin.onboarding_start import ANSWER_SECONDS, MAY_TRACK, StartForm, listed_pair, told
from krakendata.admin.pages import Column, Table, link, page_for, show
from krakendata.admin.pair_names import listed_symbols
from krakendata.admin.wording import NOTHING, chip, counted
from krakendata.errors import KrakenDataError, UnknownSymbol
from krakendata.ingest.pair_list import refresh_pairs
from krakendata.management.command import database_arguments
from krakendata.management.exchange import open_exchange
from krakendata.management.queueing import QueueAway, queue_backfills
from krakendata.management.tracking import track
from krakendata.models import Pair
from krakendata.security.operator_log import describe_action, refuse_action
from krakendata.types import GONE

# More than that nobody reads through; a longer name finds fewer.
PAIRS_SHOWN = 20

FOUND_COLUMNS = [
    Column("Pair"),
    Column("Also called", hint="Its altname, its old WebSocket name and its REST key"),
    Column("Status"),
    Column("Collected"),
    Column("Choose"),
]


@page_for(MAY_TRACK)
def onboard(request: HttpRequest) -> HttpResponse:
    """Show the page; a POST tracks the pair, or fetches the exchange's list where there is none."""
    if request.method == "POST":
        return _fetch_list(request) if "list" in request.POST else _confirm(request)
    asked = request.GET.get("q", "").replace("\0", "").strip()
    found = find_pairs(asked) if asked else []
    symbol = request.GET.get("symbol", "")
    pair = listed_pair(symbol) if symbol else None
    form = StartForm(request.GET) if "start" in request.GET else StartForm(initial={"start": "month"})
    return show(
        request,
        "onboarding.html",
        f"Track {pair}" if pair else "Track a pair",
        asked=asked,
        found=found_table(found[:PAIRS_SHOWN], asked),
        is_cut=len(found) > PAIRS_SHOWN,
        has_list=bool(pair or found) or Pair.objects.exists(),
        pair=pair,
        form=form,
        cost_query=request.GET.urlencode() if form.is_bound and form.is_valid() else "",
        chosen=told(form.moment(timezone.now())) if form.is_bound and form.is_valid() else "",
    )


def find_pairs(asked: str) -> list[Pair]:
    """The pairs of the exchange's list by any spelling, or by a part of one: what fits best comes first."""
    named = _named(asked)
    parts = Q(symbol__in=named)
    for name in ("symbol", "altname", "wsname", "key"):
        parts |= Q(**{f"{name}__icontains": asked})
    # All of them, before any is left out: the exchange lists about a thousand, and what fits best may come last.
    found = list(Pair.objects.filter(parts))
    start = asked.upper()
    found.sort(
        key=lambda pair: (
            pair.symbol not in named,
            pair.status in GONE,
            not pair.symbol.startswith(start),
            pair.symbol,
        )
    )
    return found[: PAIRS_SHOWN + 1]


def _named(asked: str) -> set[str]:
    """The symbols that the text is a name of, by the rule of `Symbols`; "btc usd" and "btc-usd" are tried too."""
    symbols = listed_symbols()
    spellings = {asked, asked.upper(), *("/".join(asked.upper().split(mark)) for mark in (" ", "-", "_"))}
    named = set()
    for spelling in spellings:
        try:
            named.add(symbols.resolve(spelling, find_closest=False))
        except UnknownSymbol:
            continue
    return named


def found_table(found: Iterable[Pair], asked: str) -> Table:
    """Lay out what was found."""
    return Table(FOUND_COLUMNS, map(_cells, found), f"The exchange's list has no pair like {asked}.")


def _cells(pair: Pair) -> list[object]:
    others = dict.fromkeys(name for name in (pair.altname, pair.wsname, pair.key) if name != pair.symbol)
    is_gone = pair.status in GONE
    choice = "choose" if not pair.tracked else "choose another start"
    return [
        pair.symbol,
        ", ".join(others) or NOTHING,
        chip(pair.status, "good" if pair.status == "online" else "quiet"),
        link("tracked", "krakendata_onboard_progress", symbol=pair.symbol) if pair.tracked else NOTHING,
        NOTHING if is_gone else link(f"{choice}: {pair.symbol}", "krakendata_onboard", symbol=pair.symbol),
    ]


def _confirm(request: HttpRequest) -> HttpResponse:
    pair, form = listed_pair(request.POST.get("symbol", "")), StartForm(request.POST)
    if not form.is_valid():
        refuse_action(request, "Choose where the past begins.")
        return redirect(f"{reverse('admin:krakendata_onboard')}?symbol={pair.symbol}")
    since = form.moment(timezone.now())
    if since is None and pair.tracked_since is not None:
        # Without a beginning a tracked pair keeps its own.
        since = KRAKEN_OPENED
    describe_action(request, f"{pair} from {told(since)} on", "track")
    watch = f"{reverse('admin:krakendata_onboard_progress')}?symbol={pair.symbol}"
    try:
        tracked = async_to_sync(track)([pair.symbol], since)
        queue_backfills(tracked)
    except QueueAway as away:
        messages.warning(request, f"{pair} is tracked. {away} The schedule fetches its past once it does.")
    except KrakenDataError as error:
        refuse_action(request, str(error))
        return redirect(f"{reverse('admin:krakendata_onboard')}?symbol={pair.symbol}")
    return redirect(watch)


def _fetch_list(request: HttpRequest) -> HttpResponse:
    describe_action(request, "the exchange's list of pairs", "refresh_pairs")

    async def fetch() -> int:
        async with asyncio.timeout(ANSWER_SECONDS), open_exchange() as rest:
            return (await refresh_pairs(database_arguments(), rest)).listed

    try:
        messages.success(request, f"The exchange lists {counted(async_to_sync(fetch)(), 'pair', 'pairs')}.")
    except (KrakenDataError, TimeoutError) as error:
        why = str(error) or f"It has not answered within {ANSWER_SECONDS:.0f} seconds."
        refuse_action(request, f"The exchange's list was not to be had. {why}")
    return redirect("admin:krakendata_onboard")


PAGES: tuple[tuple[str, str, Any], ...] = (
    ("onboard/", "krakendata_onboard", onboard),
    ("onboard/cost/", "krakendata_onboard_cost", cost),
    ("onboard/progress/", "krakendata_onboard_progress", progress),
)
