"""The page of one pair: its chart, its ledger in words, its certificate, runs, rejected records and storage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.db.models import BigIntegerField, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import Truncator

from krakendata.admin.answers import AWAY, Refusal, answers_json, checked
from krakendata.admin.browse import KRAKEN_OPENED, MomentField
from krakendata.admin.completeness_map import runs_within_reach
from krakendata.admin.ledgers import ledgers_around
from krakendata.admin.pages import Column, Table, link, may_view, page_of, show
from krakendata.admin.reading import provider
from krakendata.admin.rejects import RAW_PREVIEW_CHARACTERS
from krakendata.admin.runs import state_of
from krakendata.admin.wording import (
    NOTHING,
    ago,
    chip,
    counted,
    duration,
    marked,
    minute,
    number,
    numeric,
    second,
)
from krakendata.answers import Candles
from krakendata.certificate import Day, DayState
from krakendata.completeness_map import judged_until
from krakendata.errors import StorageError, UnknownSymbol
from krakendata.gaps import Stretch
from krakendata.intervals import bucket_of, next_bucket
from krakendata.ledger_words import ledger_in_words
from krakendata.live import SOCKET_PATH
from krakendata.models import Candle, Pair, RejectedRecord, RetentionLine, SyncRun, SyncStatus, Trade
from krakendata.types import EPOCH, INTERVALS, Interval, interval_of

# Buckets a page: more than a wide screen shows, in a tenth of a second.
BUCKETS_PER_PAGE = 1_000

RUNS_SHOWN = 10
REJECTS_SHOWN = 10
# The newest records of all pairs among which this one's are looked for: along the key, never through all of them.
REJECTS_WITHIN_REACH = 10_000
# A month; `manage.py coverage` has every day.
DAYS_SHOWN = 31

FACTS = [
    ("open", "Open"),
    ("high", "High"),
    ("low", "Low"),
    ("close", "Close"),
    ("volume", "Volume"),
    ("trade_count", "Trades"),
]
RUN_COLUMNS = [
    Column("Run"),
    Column("State"),
    Column("Started (UTC)"),
    Column("Took", True),
    Column("Rows read", True),
    Column("Rejected", True),
]
REJECT_COLUMNS = [
    Column("Record"),
    Column("Seen (UTC)"),
    Column("Source"),
    Column("Reason"),
    Column("Raw record"),
]
DAY_COLUMNS = [
    Column("Day (UTC)"),
    Column("State"),
    Column("First id", True),
    Column("Last id", True),
    Column("Trades", True),
    Column("Missing ids", True, "Ids known to be missing; – where nobody can say how many"),
    Column("Absent", True, "Ids that the exchange itself does not have"),
    Column("Rejected", True, "Ids of trades that were refused"),
]
TONES = {
    DayState.PROVEN: ("proven", "good"),
    DayState.EXCHANGE_HOLE: ("exchange's hole", "good"),
    DayState.PROVISIONAL: ("provisional", "busy"),
    DayState.MISSING: ("missing", "bad"),
}


class PageForm(forms.Form):
    """A page of candles: those before a moment; without one, the newest."""

    symbol = forms.CharField(max_length=64)
    interval = forms.ChoiceField(choices=[(name, name) for name in INTERVALS])
    before = MomentField()


@page_of(Pair)
def pair_page(request: HttpRequest, object_id: str) -> HttpResponse:
    """Show the page of a pair that is listed, or of which anything is held."""
    symbol = unquote(object_id)
    # A character that no text in the database can have.
    if "\0" in symbol:
        raise Http404("There is no such pair.")
    pair = Pair.objects.filter(symbol=symbol).first()
    statuses = {status.kind: status for status in SyncStatus.objects.filter(symbol=symbol)}
    if pair is None and not statuses:
        raise Http404(f"There is no pair {symbol}.")
    now = timezone.now()
    interval = request.GET.get("interval", "1h")
    return show(
        request,
        "pair.html",
        symbol,
        symbol=symbol,
        pair=pair,
        chips=_chips(pair, statuses, now),
        interval=interval if interval in INTERVALS else "1h",
        intervals=list(INTERVALS),
        facts=FACTS,
        socket_path=SOCKET_PATH,
        may_see_candles=may_view(request, Candle),
        may_see_trades=may_view(request, Trade),
        may_see_status=may_view(request, SyncStatus),
        ledger=_ledger(symbol, now) if may_view(request, SyncStatus) else None,
        storage=_storage(statuses) if may_view(request, SyncStatus) else None,
        runs=_runs(symbol, now) if may_view(request, SyncRun) else None,
        rejects=_rejects(symbol) if may_view(request, RejectedRecord) else None,
    )


@page_of(Candle)
@answers_json
def pair_candles(request: HttpRequest) -> dict[str, Any]:
    """Answer with a page of candles, oldest first, what is missing in its time, and where the page before it ends."""
    asked = checked(PageForm(request.GET))
    interval = interval_of(asked["interval"])
    try:
        return candle_page(asked["symbol"], interval, asked["before"], timezone.now())
    except UnknownSymbol as error:
        raise Refusal(str(error), 404) from error


def candle_page(symbol: str, interval: Interval, before: datetime | None, now: datetime) -> dict[str, Any]:
    """The buckets of a page. Those without a trade, where none is missing, are marked as synthetic.

    `older` is where the next page ends: beyond a time without any candle at its far side.
    """
    asking = provider()
    end = next_bucket(bucket_of(now, interval), interval) if before is None else bucket_of(before, interval)
    start = max(bucket_of(KRAKEN_OPENED, interval), end - BUCKETS_PER_PAGE * interval.length)
    start = min(start, end)
    found = asking.get_candles(symbol, interval.name, start, end, include_open=before is None, fill="flat")
    held = asking.get_data_range(symbol, interval.name)
    older = start if held is not None and held.start < start else None
    if older is not None and all(candle.is_synthetic for candle in found):
        last = asking.get_candles(symbol, interval.name, end=start, limit=1)
        older = next_bucket(last[0].timestamp, interval) if last else None
    # The bucket that goes on is judged so far, and a tail that is younger than the tolerance is not missing.
    asked = found.coverage.asked
    so_far = found.coverage.within(Stretch(asked.start, max(asked.start, min(asked.end, now))))
    coverage = so_far.within(Stretch(asked.start, judged_until(so_far, now)))
    return {
        "symbol": found.symbol,
        "interval": interval.name,
        "step_seconds": interval.minutes * 60,
        "start": _seconds(start),
        "end": _seconds(end),
        "rows": _rows(found),
        "holes": _stretches(coverage.holes),
        "provisional": _stretches(coverage.provisional),
        "older": None if older is None else older.isoformat(),
    }


@page_of(SyncStatus)
def pair_certificate(request: HttpRequest) -> HttpResponse:
    """Answer the page's question for its certificate, which takes longer than the rest of it."""
    symbol = request.GET.get("symbol", "")
    try:
        found = provider().get_certificate(symbol)
    except UnknownSymbol as error:
        raise Http404(str(error)) from error
    except StorageError:
        return render(request, "krakendata/admin/pair_certificate.html", {"error": AWAY})
    astray = [day for day in found.days if day.state in (DayState.MISSING, DayState.PROVISIONAL)]
    newest = list(reversed(found.days[-DAYS_SHOWN:]))
    return render(
        request,
        "krakendata/admin/pair_certificate.html",
        {
            "counts": [(*TONES[state], number(count)) for state, count in found.counts.items() if count],
            "days": counted(len(found.days), "day", "days"),
            "ids_before": found.ids_before
            and counted(
                found.ids_before, "id before the first one held is", "ids before the first one held are"
            ),
            "symbol": found.symbol,
            "newest": _days(newest, found.symbol),
            "astray": _days(list(reversed(astray[-DAYS_SHOWN:])), found.symbol),
            "astray_count": number(len(astray)),
            "days_shown": DAYS_SHOWN,
            "is_cut": len(astray) > DAYS_SHOWN,
        },
    )


def _rows(found: Candles) -> list[list[Any]]:
    """Start in seconds, open, high, low, close, volume as decimal text, trades: 0 of a synthetic one."""
    return [
        [
            _seconds(candle.timestamp),
            *(f"{value:f}" for value in (candle.open, candle.high, candle.low, candle.close, candle.volume)),
            candle.trade_count,
        ]
        for candle in found
    ]


def _stretches(stretches: Sequence[Stretch]) -> list[list[int]]:
    """The outermost whole seconds: a hole of a millisecond is one."""
    return [[_seconds(each.start), -((EPOCH - each.end) // timedelta(seconds=1))] for each in stretches]


def _seconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)


def _chips(pair: Pair | None, statuses: dict[str, SyncStatus], now: datetime) -> list[object]:
    trades = statuses.get("trades")
    chips: list[object] = []
    if pair is not None:
        chips.append(chip(pair.status, "good" if pair.status == "online" else "quiet"))
        chips.append(chip("tracked", "good") if pair.tracked else chip("not tracked", "quiet"))
    if trades is not None:
        if trades.is_failing:
            chips.append(chip("last try failed", "bad"))
        if trades.holes:
            chips.append(chip(counted(trades.holes, "hole", "holes"), "busy"))
        elif trades.holes == 0:
            chips.append(chip("no holes", "good"))
        if trades.newest_timestamp is not None:
            chips.append(chip(f"newest trade {ago(trades.newest_timestamp, now)}", "quiet"))
    return chips


def _ledger(symbol: str, now: datetime) -> list[str]:
    known = ledgers_around([symbol], Stretch(EPOCH, now))[symbol]
    return ledger_in_words(known.ledger, known.absent, known.rejected, now)


def _storage(statuses: dict[str, SyncStatus]) -> list[tuple[str, str]]:
    lines = {line.kind: line.line for line in RetentionLine.objects.all()}
    trades, candles = statuses.get("trades"), statuses.get("candles")
    return [
        ("Trades collected", number(trades.collected) if trades else NOTHING),
        ("Trades still stored", number(trades.stored) if trades else NOTHING),
        ("Archive candles collected", number(candles.collected) if candles else NOTHING),
        ("Trades are stored from", _stored_from(lines.get("trades"))),
        ("Minutes are stored from", _stored_from(lines.get("candles"), "; before it, every longer candle")),
    ]


def _stored_from(line: datetime | None, before: str = "") -> str:
    """Where what is stored begins; without a line retention has dropped nothing yet."""
    return "the first one: none was dropped" if line is None else f"{minute(line)} UTC{before}"


def _runs(symbol: str, now: datetime) -> Table:
    asked = Q(parameters__symbol=symbol) | Q(parameters__symbols__contains=[symbol])
    rows = [
        [
            numeric(link(f"{run.pk} {run.kind}", "krakendata_syncrun_change", run.pk)),
            state_of(run, now),
            numeric(second(run.started_at)),
            numeric(duration(run.duration)),
            numeric(number(run.read)),
            numeric(number(run.rejected)),
        ]
        for run in runs_within_reach().filter(asked)[:RUNS_SHOWN]
    ]
    return Table(
        RUN_COLUMNS, rows, "No run of this pair lately. Fetch its past:", f"manage.py backfill {symbol}"
    )


def _rejects(symbol: str) -> Table:
    newest = RejectedRecord.objects.order_by("-pk").values("pk")[:1]
    reach = Subquery(newest, output_field=BigIntegerField()) - REJECTS_WITHIN_REACH
    rows = [
        [
            link(str(record.pk), "krakendata_rejectedrecord_change", record.pk),
            numeric(second(record.seen_at)),
            record.source,
            record.reason,
            marked(Truncator(record.raw).chars(RAW_PREVIEW_CHARACTERS)),
        ]
        for record in RejectedRecord.objects.filter(symbol=symbol, pk__gt=reach).order_by("-pk")[
            :REJECTS_SHOWN
        ]
    ]
    return Table(
        REJECT_COLUMNS,
        rows,
        f"Nothing of this pair among the newest {number(REJECTS_WITHIN_REACH)} rejected records.",
    )


def _days(days: Sequence[Day], symbol: str) -> Table:
    return Table(DAY_COLUMNS, [_day(day, symbol) for day in days], "No day yet.")


def _day(day: Day, symbol: str) -> list[object]:
    start = datetime.combine(day.day, datetime.min.time(), EPOCH.tzinfo)
    shown = {
        "find": symbol,
        "start": f"{start:%Y-%m-%dT%H:%M}",
        "end": f"{start + timedelta(days=1):%Y-%m-%dT%H:%M}",
    }
    return [
        numeric(link(f"{day.day:%Y-%m-%d}", "krakendata_completeness_map", **shown)),
        chip(*TONES[day.state]),
        numeric(number(day.first_id)),
        numeric(number(day.last_id)),
        numeric(number(day.trades)),
        numeric(number(day.missing_ids)),
        numeric(number(day.absent)),
        numeric(number(day.rejected)),
    ]


PAGES: tuple[tuple[str, str, Any], ...] = (
    ("page/candles/", "krakendata_pair_candles", pair_candles),
    ("page/certificate/", "krakendata_pair_certificate", pair_certificate),
)
