"""Onboarding: find a pair, choose where its past begins, see what that costs, track it, watch it become proven."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from asgiref.sync import async_to_sync
from django import forms
from django.contrib import admin, messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from krakendata import types
from krakendata.admin.browse import KRAKEN_OPENED, MomentField
from krakendata.admin.pages import Column, Table, link, page_of, page_with, show
from krakendata.admin.runs import progress_of
from krakendata.admin.wording import NOTHING, chip, duration, minute, number, size
from krakendata.backfill_cost import BackfillCost, CallBudget, Keeping, NewestTrades, estimate_cost
from krakendata.errors import KrakenDataError, UnknownSymbol
from krakendata.gaps import Coverage, Stretch, coverage_of
from krakendata.ingest.newest_trades import ask_newest_trades
from krakendata.ingest.pair_list import refresh_pairs
from krakendata.management.command import database_arguments
from krakendata.management.exchange import open_exchange
from krakendata.management.queueing import QueueAway, queue_backfills
from krakendata.management.tracking import track
from krakendata.models import Pair, SyncRun, SyncStatus
from krakendata.options import call_limits, upkeep_settings
from krakendata.storage.queries import read_ledger
from krakendata.storage.sessions import connect, read_edition
from krakendata.types import Symbols

# Who may say what is collected: as in the list of pairs.
MAY_TRACK = "krakendata.change_pair"

# More than that nobody reads through; a longer name finds fewer.
PAIRS_SHOWN = 20

# Somebody waits for the answer: an exchange that takes longer is called away, and the pair can be tracked all the same.
ANSWER_SECONDS = 10.0

# A run that has said nothing for so long does not use the exchange's patience.
AT_WORK_WITHIN = timedelta(minutes=2)

STARTS = {
    "first": ("its first trade: everything", None),
    "year": ("a year ago", timedelta(days=365)),
    "month": ("30 days ago", timedelta(days=30)),
    "date": ("another day:", None),
}
FOUND_COLUMNS = [
    Column("Pair"),
    Column("Also called", hint="Its altname, its old WebSocket name and its REST key"),
    Column("Status"),
    Column("Collected"),
    Column("Choose"),
]


class StartForm(forms.Form):
    """Where the past of a pair is to begin."""

    start = forms.ChoiceField(
        choices=[(name, label) for name, (label, _) in STARTS.items()], widget=forms.RadioSelect
    )
    since = MomentField()

    def clean(self) -> dict[str, Any]:
        """A day has to be named where one was chosen, and has to be past."""
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if given.get("start") == "date" and "since" not in self.errors:
            if given.get("since") is None:
                self.add_error("since", "Name the day, such as 2024-01-31.")
            elif given["since"] >= timezone.now():
                self.add_error("since", "That is not past.")
        return given

    def moment(self, now: datetime) -> datetime | None:
        """The beginning in UTC; None: from the first trade on."""
        chosen = self.cleaned_data["start"]
        if chosen == "date":
            given: datetime = self.cleaned_data["since"]
            return given if given > KRAKEN_OPENED else None
        back = STARTS[chosen][1]
        return None if back is None else now.replace(second=0, microsecond=0) - back


class Step(NamedTuple):
    """One step from nothing to proven: its state as a chip, and a sentence."""

    state: object
    sentence: str


# --- finding and choosing --------------------------------------------------------------------------------------


@page_with(MAY_TRACK)
def onboard(request: HttpRequest) -> HttpResponse:
    """Show the page; a POST tracks the pair, or fetches the exchange's list where there is none."""
    if request.method == "POST":
        return _fetch_list(request) if "list" in request.POST else _confirm(request)
    asked = request.GET.get("q", "").strip()
    found = find_pairs(asked) if asked else []
    symbol = request.GET.get("symbol", "")
    pair = _pair(symbol) if symbol else None
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
        chosen=_told(form.moment(timezone.now())) if form.is_bound and form.is_valid() else "",
    )


def find_pairs(asked: str) -> list[Pair]:
    """The pairs of the exchange's list by any spelling, or by a part of one: what fits best comes first."""
    named = _named(asked)
    parts = Q(symbol__in=named)
    for name in ("symbol", "altname", "wsname", "key"):
        parts |= Q(**{f"{name}__icontains": asked})
    found = list(Pair.objects.filter(parts)[: 10 * PAIRS_SHOWN])
    start = asked.upper()
    found.sort(
        key=lambda pair: (
            pair.symbol not in named,
            pair.status in types.GONE,
            not pair.symbol.startswith(start),
            pair.symbol,
        )
    )
    return found[: PAIRS_SHOWN + 1]


def _named(asked: str) -> set[str]:
    """The symbols that the text is a name of, by the rule of `Symbols`; "btc usd" and "btc-usd" are tried too."""
    names = [field.name for field in fields(types.Pair)]
    symbols = Symbols(types.Pair(*row) for row in Pair.objects.values_list(*names))
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
    is_gone = pair.status in types.GONE
    choice = "choose" if not pair.tracked else "choose another start"
    return [
        pair.symbol,
        ", ".join(others) or NOTHING,
        chip(pair.status, "good" if pair.status == "online" else "quiet"),
        link("tracked", "krakendata_onboard_progress", symbol=pair.symbol) if pair.tracked else NOTHING,
        NOTHING if is_gone else link(f"{choice}: {pair.symbol}", "krakendata_onboard", symbol=pair.symbol),
    ]


def _pair(name: str) -> Pair:
    """The pair that is called so; one that is gone is not to be tracked."""
    pair = Pair.objects.filter(symbol=name).first()
    if pair is None or pair.status in types.GONE:
        raise Http404(f"The exchange lists no pair {name}.")
    return pair


# --- the cost ---------------------------------------------------------------------------------------------------


@page_with(MAY_TRACK)
def cost(request: HttpRequest) -> HttpResponse:
    """Ask the exchange once and tell what the chosen beginning costs; by itself, as the exchange takes its time."""
    pair, form = _pair(request.GET.get("symbol", "")), StartForm(request.GET)
    if not form.is_valid():
        raise Http404("No beginning is chosen.")
    now = timezone.now()
    since = form.moment(now)
    try:
        newest, keeping = async_to_sync(_ask)(pair)
    except (KrakenDataError, TimeoutError) as error:
        why = str(error) or f"It has not answered within {ANSWER_SECONDS:.0f} seconds."
        return render(request, "krakendata/admin/onboarding_cost.html", {"why": why})
    limits = call_limits()
    budget = CallBudget(limits.per_pair, limits.per_address, _pairs_at_work(pair, now) + 1)
    estimate = estimate_cost(newest, since, now, budget, keeping)
    facts = {"costs": cost_facts(estimate, keeping), "basis": basis(newest, since, budget)}
    return render(request, "krakendata/admin/onboarding_cost.html", facts)


async def _ask(pair: Pair) -> tuple[NewestTrades, Keeping]:
    """What the exchange says of the pair's newest trades, and how long we keep what."""
    async with asyncio.timeout(ANSWER_SECONDS), open_exchange() as rest:
        newest = await ask_newest_trades(rest, pair.symbol, pair.altname)
    async with connect(database_arguments()) as connection:
        edition = await read_edition(connection)
    return newest, keeping_of(is_compressed=edition.upkeep == "policies")


def keeping_of(*, is_compressed: bool) -> Keeping:
    """The settings of retention and compression; only TimescaleDB Community compresses."""
    chosen = upkeep_settings()
    return Keeping(
        timedelta(days=chosen.trades_days) or None,
        timedelta(days=chosen.candles_days) or None,
        chosen.compress_trades_after if is_compressed else None,
        chosen.compress_candles_after if is_compressed else None,
    )


def cost_facts(cost: BackfillCost, keeping: Keeping) -> list[tuple[str, str, str]]:
    """Title, figure and remark of each part of a cost."""
    folded = cost.trades - cost.stored_trades
    kept = f"all of the last {duration(keeping.trades)}" if keeping.trades else "all of them"
    return [
        ("Trades", f"about {number(cost.trades)}", f"in {number(cost.calls)} calls to the exchange"),
        ("Time", "as fast as the exchange answers" if cost.duration is None else f"about {duration(cost.duration)}",
         "the newest come first"),
        ("Disk", f"about {size(cost.disk_bytes)}",
         f"trades ({kept}) and candles" + (f"; {number(folded)} older trades only build candles" if folded else "")),
    ]  # fmt: skip


def basis(newest: NewestTrades, since: datetime | None, budget: CallBudget) -> str:
    """What the estimate is made of, in a sentence."""
    if not newest.last_id:
        return "An estimate: the exchange has no trade of this pair yet."
    pace = (
        f"the pace of its newest {number(newest.count)}, which took {duration(newest.span)}. Quiet and busy times make "
        "it wrong by a multiple"
    )
    trades = f"the number of its newest trade ({number(newest.last_id)}), which counts all of them"
    sharing = f", shared by {budget.pairs} pairs at work" if budget.pairs > 1 else ""
    calls = (
        f"{budget.a_second:g} calls a second of 1,000 trades{sharing}"
        if budget.a_second
        else "no limit of calls"
    )
    parts = f"{trades}; of {pace}" if since is None else f"{pace}, but never above {trades}"
    return f"An estimate, of {parts}; {calls}; and the measured bytes of a row."


def _pairs_at_work(pair: Pair, now: datetime) -> int:
    """How many other pairs' backfills share the calls."""
    running = SyncRun.objects.filter(
        state=SyncRun.State.RUNNING, kind="backfill", updated_at__gt=now - AT_WORK_WITHIN
    )
    return running.exclude(parameters__symbol=pair.symbol).count()


# --- tracking, and watching ------------------------------------------------------------------------------------


def _confirm(request: HttpRequest) -> HttpResponse:
    pair, form = _pair(request.POST.get("symbol", "")), StartForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose where the past begins.")
        return redirect(f"{reverse('admin:krakendata_onboard')}?symbol={pair.symbol}")
    since = form.moment(timezone.now())
    if since is None and pair.tracked_since is not None:
        # Without a beginning a tracked pair keeps its own.
        since = KRAKEN_OPENED
    watch = f"{reverse('admin:krakendata_onboard_progress')}?symbol={pair.symbol}"
    try:
        tracked = async_to_sync(track)([pair.symbol], since)
        admin.site.get_model_admin(Pair).log_change(request, pair, f"Tracked from {_told(since)} on.")
        queue_backfills(tracked)
    except QueueAway as away:
        messages.warning(request, f"{pair} is tracked. {away} The schedule fetches its past once it does.")
    except KrakenDataError as error:
        messages.error(request, str(error))
        return redirect(f"{reverse('admin:krakendata_onboard')}?symbol={pair.symbol}")
    return redirect(watch)


def _fetch_list(request: HttpRequest) -> HttpResponse:
    async def fetch() -> int:
        async with asyncio.timeout(ANSWER_SECONDS), open_exchange() as rest:
            return (await refresh_pairs(database_arguments(), rest)).listed

    try:
        messages.success(request, f"The exchange lists {number(async_to_sync(fetch)())} pairs.")
    except (KrakenDataError, TimeoutError) as error:
        why = str(error) or f"It has not answered within {ANSWER_SECONDS:.0f} seconds."
        messages.error(request, f"The exchange's list was not to be had. {why}")
    return redirect("admin:krakendata_onboard")


@page_of(Pair)
def progress(request: HttpRequest) -> HttpResponse:
    """Show how far a tracked pair is, from nothing to proven; the page asks for itself again until it is there."""
    pair = Pair.objects.filter(symbol=request.GET.get("symbol", "")).first()
    if pair is None:
        raise Http404("The exchange lists no such pair.")
    run = SyncRun.objects.filter(kind="backfill", parameters__symbol=pair.symbol).order_by("-id").first()
    status = SyncStatus.objects.filter(symbol=pair.symbol, kind="trades").first()
    now = timezone.now()
    coverage = async_to_sync(_coverage)(pair.symbol, _asked(pair, status, now)) if status else None
    steps = steps_of(pair, run, status, coverage)
    return show(
        request,
        "onboarding_progress.html",
        f"{pair}: from nothing to proven",
        pair=pair,
        beginning=_told(pair.tracked_since),
        steps=steps,
        progress=progress_of(run) if run else None,
        is_over=is_over(run, status),
    )


def steps_of(
    pair: Pair, run: SyncRun | None, status: SyncStatus | None, coverage: Coverage | None
) -> list[Step]:
    """What is done and what is yet to come."""
    tracked = (
        Step(chip("done", "good"), f"tracked, from {_told(pair.tracked_since)} on")
        if pair.tracked
        else Step(chip("not tracked", "quiet"), "nothing is collected of it")
    )
    return [tracked, _fetching(run), _proven(status, coverage, is_done=is_over(run, status))]


def is_over(run: SyncRun | None, status: SyncStatus | None) -> bool:
    """Whether the past is in, without a hole."""
    return run is not None and run.state == SyncRun.State.DONE and status is not None and status.holes == 0


def _fetching(run: SyncRun | None) -> Step:
    if run is None:
        return Step(chip("waits", "quiet"), "its past waits for a worker (celery -A config worker)")
    words = {
        SyncRun.State.DONE: (chip("done", "good"), "its past is fetched"),
        SyncRun.State.RUNNING: (chip("running", "busy"), "its past is being fetched, the newest trades first"),
        SyncRun.State.FAILED: (chip("failed", "bad"), "what went wrong is below; it is tried again if that may help"),
    }  # fmt: skip
    others = (chip("waits", "quiet"), "a share of its past is fetched; the next one waits for a worker")
    return Step(*words.get(SyncRun.State(run.state), others))


def _proven(status: SyncStatus | None, coverage: Coverage | None, *, is_done: bool) -> Step:
    if status is None or coverage is None:
        return Step(chip("nothing yet", "quiet"), "no trade is in")
    share = _share(coverage.proven, coverage.asked)
    stretch = f"{minute(coverage.asked.start)} to {minute(coverage.asked.end)} UTC"
    held = f"{number(status.collected)} trades are in; {share:.1%} of {stretch} is proven"
    if not is_done:
        return Step(chip("growing", "busy"), held)
    return Step(chip("proven", "good"), f"{held}, without a hole")


def _share(parts: Iterable[Stretch], whole: Stretch) -> float:
    length = (whole.end - whole.start) / timedelta(seconds=1)
    covered = sum((part.end - part.start) / timedelta(seconds=1) for part in parts)
    return min(covered / length, 1.0) if length > 0 else 0.0


def _asked(pair: Pair, status: SyncStatus | None, now: datetime) -> Stretch:
    """From where the pair is collected until now: from the oldest that is in, where it is collected from its first."""
    oldest = status.oldest_timestamp if status else None
    start = pair.tracked_since if pair.tracked_since and pair.tracked_since > KRAKEN_OPENED else oldest
    return Stretch(min(start or now, now), now)


async def _coverage(symbol: str, asked: Stretch) -> Coverage:
    async with connect(database_arguments()) as connection:
        return coverage_of(asked, await read_ledger(connection, symbol, asked))


def _told(since: datetime | None) -> str:
    return "its first trade" if since is None or since <= KRAKEN_OPENED else f"{minute(since)} UTC"


PAGES: tuple[tuple[str, str, Any], ...] = (
    ("onboard/", "krakendata_onboard", onboard),
    ("onboard/cost/", "krakendata_onboard_cost", cost),
    ("onboard/progress/", "krakendata_onboard_progress", progress),
)
