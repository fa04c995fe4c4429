"""The completeness map: pairs by time, coloured by what the ledger proves; a stretch of it is mended from here.

The page is a frame; its script asks for cells, for what mending a stretch would cost, and how the runs go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib.admin.utils import quote
from django.db.models import BigIntegerField, Min, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from krakendata.admin.answers import Refusal, answers_json, checked
from krakendata.admin.browse import KRAKEN_OPENED, MomentField
from krakendata.admin.ledgers import ledgers_around
from krakendata.admin.pages import deed, may_view, page_of, show
from krakendata.admin.runs import progress_of
from krakendata.admin.wording import duration, number
from krakendata.backfill_cost import CallBudget
from krakendata.backfill_preview import Preview, preview_backfill
from krakendata.completeness_map import Frame, counts_of, frame_of, judge_cells, run_lengths
from krakendata.gaps import Stretch
from krakendata.intervals import bucket_of
from krakendata.management.queueing import QueueAway, queue_audit_of, queue_backfills_of
from krakendata.models import Pair, SyncRun, SyncStatus
from krakendata.options import call_limits
from krakendata.security.operator_log import describe_action
from krakendata.types import GONE, interval_of

# As many as fit on a screen without being lines.
PAIRS_PER_PAGE = 40

DAY = interval_of("1d")

# What the map shows before anybody has zoomed.
FIRST_SHOWN = timedelta(days=365)
SHORTEST_SHOWN = timedelta(hours=1)

# Of every interval: more than the daily audit draws, as somebody looks at this stretch.
BUCKETS_AUDITED = 50

# Gap fills of a thousand pairs, and what an operator has begun among them.
RUNS_WITHIN_REACH = 2_000
RUNS_SHOWN = 20
# Whoever watches sees the end of a run too.
RUNS_SHOWN_FOR = timedelta(minutes=5)

# To begin a run is to add one.
MAY_START = "krakendata.add_syncrun"
DEEDS = ("backfill", "audit")

SHOWN = {"all": "All collected pairs", "tracked": "Tracked pairs", "holes": "Pairs with holes"}
LEGEND = [
    ("proven", "Proven", "every trade is in"),
    ("provisional", "Provisional", "from archives without ids: probably whole"),
    ("missing", "Missing", "a part of it was not collected"),
    ("exchange_hole", "Exchange's hole", "proven, and Kraken itself lacks ids there"),
    ("before_listing", "Before listing", "the pair was not traded yet"),
]


class MapForm(forms.Form):
    """Which pairs and which time to look at; open ends are a year ago and now."""

    find = forms.CharField(
        required=False, max_length=64, label="Pair",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "BTC"}),
    )  # fmt: skip
    show = forms.ChoiceField(
        required=False, choices=list(SHOWN.items()), label="Which", widget=UnfoldAdminSelectWidget
    )
    start = MomentField()
    end = MomentField()
    page = forms.IntegerField(required=False, min_value=1, max_value=100_000, widget=forms.HiddenInput)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["start"].label, self.fields["end"].label = "From (UTC)", "To (UTC)"


class SelectionForm(forms.Form):
    """A stretch of some pairs."""

    symbol = forms.MultipleChoiceField()
    start = MomentField()
    end = MomentField()

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        asked = data.getlist("symbol")[: PAIRS_PER_PAGE + 1]
        self.fields["symbol"].choices = [(name, name) for name in asked]  # type: ignore[attr-defined]
        for name in ("start", "end"):
            self.fields[name].required = True

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        if any("\0" in name for name in asked.get("symbol", ())):
            raise forms.ValidationError("A pair's name is text.")
        if len(asked.get("symbol", ())) > PAIRS_PER_PAGE:
            raise forms.ValidationError(f"Choose {PAIRS_PER_PAGE} pairs at most.")
        if {"start", "end"} <= asked.keys() and asked["start"] >= asked["end"]:
            raise forms.ValidationError("The stretch ends before it starts.")
        return asked


@page_of(SyncStatus)
def completeness_map(request: HttpRequest) -> HttpResponse:
    """Show the page, for the time and the pairs that the address names."""
    return show(
        request,
        "completeness_map.html",
        "Completeness",
        form=MapForm(request.GET or {"show": "all"}),
        legend=LEGEND,
        may_start=request.user.has_perm(MAY_START),
        may_see_runs=may_view(request, SyncRun),
    )


@page_of(SyncStatus)
@answers_json
def map_cells(request: HttpRequest) -> dict[str, Any]:
    """Answer with the cells of a page of pairs, each row as run lengths."""
    asked = checked(MapForm(request.GET))
    now = timezone.now()
    symbols = _symbols(asked["show"] or "all", asked["find"])
    oldest = _oldest()
    frame = frame_asked(asked["start"], asked["end"], oldest, now)
    pages = max(1, -(-len(symbols) // PAIRS_PER_PAGE))
    page = min(asked["page"] or 1, pages)
    some = symbols[(page - 1) * PAIRS_PER_PAGE : page * PAIRS_PER_PAGE]
    return {
        "start": _iso(frame.start),
        "end": _iso(frame.end),
        "oldest": _iso(oldest),
        "now": _iso(now),
        "step": frame.step.name,
        "step_seconds": frame.step.minutes * 60,
        "cells": frame.cells,
        "rows": rows_of(frame, some, now),
        "page": page,
        "pages": pages,
        "pairs": len(symbols),
    }


def frame_asked(start: datetime | None, end: datetime | None, oldest: datetime, now: datetime) -> Frame:
    """The frame to show: what was asked, not before Kraken opened, not beyond today, and not too short to see."""
    tomorrow = bucket_of(now, DAY) + DAY.length
    until = min(end or now, tomorrow)
    since = start or max(oldest, until - FIRST_SHOWN)
    since = max(min(since, until - SHORTEST_SHOWN), KRAKEN_OPENED)
    return frame_of(Stretch(since, max(until, since + SHORTEST_SHOWN)))


def rows_of(frame: Frame, symbols: Sequence[str], now: datetime) -> list[dict[str, Any]]:
    """The rows of some pairs, by one statement."""
    rows = []
    for symbol, known in ledgers_around(symbols, frame.stretch).items():
        cells = judge_cells(frame, known.ledger, known.absent, now)
        rows.append(
            {
                "symbol": symbol,
                "address": reverse("admin:krakendata_pair_change", args=[quote(symbol)]),
                "cells": run_lengths(cells),
                "counts": {str(state): count for state, count in counts_of(cells).items()},
            }
        )
    return rows


@page_of(SyncStatus)
@answers_json
def map_preview(request: HttpRequest) -> dict[str, Any]:
    """Answer what mending a stretch would ask of the exchange, and how long that takes."""
    asked = checked(SelectionForm(request.GET))
    now = timezone.now()
    stretch = Stretch(asked["start"], asked["end"])
    gone = _gone(asked["symbol"])
    ledgers = ledgers_around([each for each in asked["symbol"] if each not in gone], stretch)
    found = [preview_backfill(known.ledger, stretch, now) for known in ledgers.values()]
    calls = [preview.calls for preview in found if preview.calls is not None and preview.gaps]
    limits = call_limits()
    takes = CallBudget(limits.per_pair, limits.per_address).time_for(calls)
    return {
        "gaps": sum(preview.gaps for preview in found),
        "calls": sum(calls),
        "seconds": None if takes is None else round(takes.total_seconds(), 1),
        "is_known": all(preview.calls is not None for preview in found),
        "backfill": preview_in_words(found, sum(calls), takes),
        "gone": f"No longer listed, so not asked for: {', '.join(sorted(gone))}." if gone else "",
        "audit": (
            f"An audit computes up to {BUCKETS_AUDITED} candles of every interval again from what they are made of, "
            "for each pair. Kraken is asked nothing."
        ),
    }


def preview_in_words(found: Sequence[Preview], calls: int, takes: timedelta | None) -> str:
    """What a backfill has to bring in, and what that takes; without a limit of calls nobody can say how long."""
    gaps = sum(preview.gaps for preview in found)
    if not gaps:
        return "Nothing is missing here: Kraken would be asked nothing."
    lasting = sum((preview.lasting for preview in found), timedelta())
    missing = f"{number(gaps)} {'gap' if gaps == 1 else 'gaps'}, {duration(lasting)} in all"
    if any(preview.trades is None for preview in found):
        return f"{missing}. How many trades that are nobody can say before Kraken is asked: nothing is held beside it."
    trades = sum(preview.trades or 0 for preview in found)
    about = "" if all(preview.is_exact for preview in found) else "about "
    pace = "as fast as it answers"
    if takes is not None:
        seconds = max(1, round(takes.total_seconds()))
        pace = f"about {duration(timedelta(seconds=seconds))} at the pace it allows"
    return (
        f"{missing}: {about}{number(trades)} trades, {number(calls)} {'call' if calls == 1 else 'calls'} to Kraken, "
        f"{pace}."
    )


@deed(MAY_START)
@answers_json
def map_start(request: HttpRequest) -> dict[str, Any]:
    """Queue a backfill or an audit of a stretch."""
    chosen = request.POST.get("deed", "")
    if chosen not in DEEDS:
        raise Refusal(f"Choose one of {', '.join(DEEDS)}.")
    asked = checked(SelectionForm(request.POST))
    start, end = asked["start"], min(asked["end"], timezone.now())
    symbols = _known(asked["symbol"])
    if chosen == "backfill":
        gone = _gone(symbols)
        symbols = [symbol for symbol in symbols if symbol not in gone]
    if not symbols:
        raise Refusal("None of these pairs can be asked for: the exchange does not list them.")
    if start >= end:
        raise Refusal("The stretch has not begun yet.")
    describe_action(
        request, f"{', '.join(symbols)}: {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC", chosen
    )
    if chosen == "backfill":
        until = None if asked["end"] > end else end
        _queue_each([partial(queue_backfills_of, [symbol], start, until) for symbol in symbols])
    else:
        _queue_each([partial(queue_audit_of, symbols, start, end, BUCKETS_AUDITED)])
    some = symbols[0] if len(symbols) == 1 else f"{len(symbols)} pairs"
    return {"queued": symbols, "sentence": f"The {chosen} of {some} waits for a worker."}


def _queue_each(orders: Sequence[Callable[[], None]]) -> None:
    """Put all of them on the queue; Refusal says how many it took where it goes away in between."""
    for taken, order in enumerate(orders):
        try:
            order()
        except QueueAway as away:
            begun = f"Only the first {taken} of {len(orders)} were queued." if taken else "Nothing was begun."
            raise Refusal(f"{away} {begun}", 503) from away


@page_of(SyncRun)
@answers_json
def map_runs(request: HttpRequest) -> dict[str, Any]:
    """Answer how the newest backfills, gap fills and audits of some pairs go."""
    asked = set(request.GET.getlist("symbol")[:PAIRS_PER_PAGE])
    newest = newest_runs_of(asked)
    return {"runs": [_facts_of(run) for run in newest]}


def newest_runs_of(symbols: set[str]) -> list[SyncRun]:
    """Those that go on, or ended lately; the newest first."""
    ended_after = timezone.now() - RUNS_SHOWN_FOR
    runs = runs_within_reach().filter(updated_at__gte=ended_after, kind__in=("backfill", "gap_fill", "audit"))
    return [run for run in runs if symbols & set(symbols_of(run))][:RUNS_SHOWN]


def runs_within_reach() -> Any:
    """The newest runs, found along the key, the newest first: nothing looks through years of gap fills."""
    newest = SyncRun.objects.order_by("-pk").values("pk")[:1]
    reach = Subquery(newest, output_field=BigIntegerField())
    return SyncRun.objects.filter(pk__gt=reach - RUNS_WITHIN_REACH).order_by("-pk")


def symbols_of(run: SyncRun) -> list[str]:
    """The pairs that a run was asked for, as far as it says."""
    named = run.parameters.get("symbols")
    one = run.parameters.get("symbol")
    return [*(named if isinstance(named, list) else []), *([one] if isinstance(one, str) else [])]


def _facts_of(run: SyncRun) -> dict[str, Any]:
    progress = progress_of(run)
    done = f"{progress['percent']}%" if progress["percent"] else progress["done"]
    # How long is not known of a run that has only begun, or says nothing.
    left = f", {progress['time_left']} left" if progress["time_left"] else ""
    return {
        "id": run.pk,
        "address": reverse("admin:krakendata_syncrun_change", args=[run.pk]),
        "kind": run.kind,
        "symbols": symbols_of(run)[:PAIRS_PER_PAGE],
        "state": run.state,
        "is_running": run.is_running,
        "percent": float(progress["percent"]) if progress["percent"] else None,
        "told": f"{done}{left}" if run.is_running else f"took {progress['duration']}",
        "error": run.error,
    }


def _symbols(which: str, find: str) -> list[str]:
    """The pairs to show, in order."""
    if which == "holes":
        found = set(SyncStatus.objects.filter(holes__gt=0).values_list("symbol", flat=True))
    else:
        found = set(Pair.objects.filter(tracked=True).values_list("symbol", flat=True))
        if which == "all":
            found |= set(SyncStatus.objects.values_list("symbol", flat=True))
    wanted = find.strip().upper()
    return sorted(symbol for symbol in found if wanted in symbol.upper())


def _oldest() -> datetime:
    """When the oldest thing held was traded."""
    oldest: datetime | None = SyncStatus.objects.aggregate(oldest=Min("oldest_timestamp"))["oldest"]
    return oldest or KRAKEN_OPENED


def _known(symbols: Sequence[str]) -> list[str]:
    """Those of which there is a pair or anything held, in order."""
    known = set(Pair.objects.filter(symbol__in=symbols).values_list("symbol", flat=True))
    known |= set(SyncStatus.objects.filter(symbol__in=symbols).values_list("symbol", flat=True))
    return [symbol for symbol in dict.fromkeys(symbols) if symbol in known]


def _gone(symbols: Sequence[str]) -> set[str]:
    """Those that the exchange lists no more."""
    return set(Pair.objects.filter(symbol__in=symbols, status__in=GONE).values_list("symbol", flat=True))


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


PAGES: tuple[tuple[str, str, Any], ...] = (
    ("completeness/", "krakendata_completeness_map", completeness_map),
    ("completeness/cells/", "krakendata_map_cells", map_cells),
    ("completeness/preview/", "krakendata_map_preview", map_preview),
    ("completeness/start/", "krakendata_map_start", map_start),
    ("completeness/runs/", "krakendata_map_runs", map_runs),
)
