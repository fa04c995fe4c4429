"""The desk's facts, read for the page and for the live socket alike, and their HTML, which both show.

What differs between visitors is which remedies they may press; the rest of a reading is the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from krakendata.admin.pages import Column, Table, link
from krakendata.admin.wording import (
    NOTHING,
    ago,
    chip,
    counted,
    duration,
    minute,
    number,
    numeric,
    percent,
    rounded_count,
    size,
)
from krakendata.attention import (
    BeatFacts,
    Deed,
    Desk,
    FeedFacts,
    Line,
    PairFacts,
    Place,
    RunFacts,
    TableFacts,
    attention_lines,
)
from krakendata.storage.desk import MOST_RUNS, read_desk, read_run_facts

# Who may see the desk has these two; what it shows is of these.
SEEING = ("krakendata.view_syncstatus", "krakendata.view_syncrun")

# The permission that each remedy asks for.
PERMISSIONS: Mapping[Deed, str] = {
    Deed.FILL_GAPS: "krakendata.fill_gaps",
    Deed.BACKFILL: "krakendata.fill_gaps",
    Deed.RUN_DUE: "krakendata.fill_gaps",
    Deed.RESTART: "krakendata.restart_syncrun",
    Deed.UPKEEP: "krakendata.refresh_rollups",
    Deed.FORGET_FEED: "krakendata.forget_worker",
    Deed.FORGET_WORKER: "krakendata.forget_worker",
}

# Where the remedies lead that are not done by one click.
PLACES: Mapping[Place, str] = {Place.REJECTS: "admin:krakendata_rejectedrecord_changelist"}

# The pairs that are furthest behind, and the largest tables: what fits beside the rest. All pairs are one click away.
PAIRS_SHOWN, TABLES_SHOWN, RUNS_SHOWN = 20, 12, 8

NO_PAIRS = "No pair is here. Import an archive (manage.py import_csv PATH), or track a pair:"

TONES = {"live": "good", "ended": "quiet", "deaf": "bad", "silent": "bad"}

PAIR_COLUMNS = [
    Column("Pair"),
    Column(
        "Held until (UTC)",
        hint="Up to here everything is held: the newest trade, or the check that none is newer",
    ),
    Column("Behind", True),
    Column("Holes", True, "Steps between the trade ids that are held"),
    Column("State"),
]
SERVICE_COLUMNS = [Column("Service"), Column("State"), Column("Heard of"), Column("Facts")]
TABLE_COLUMNS = [
    Column("Table"),
    Column("Rows, about", True, "As the database estimated when it last looked"),
    Column("On disk", True),
    Column("Saved", True, "What compression has saved of the part that is compressed"),
]
RUN_COLUMNS = [Column("Run"), Column("Started (UTC)"), Column("Done", True)]


def may_see(user: Any) -> bool:
    """Whether the desk is shown to a user."""
    return all(user.has_perm(name) for name in SEEING)


def remedies_of(user: Any) -> frozenset[Deed]:
    """The remedies that a user may press."""
    return frozenset(deed for deed, name in PERMISSIONS.items() if user.has_perm(name))


def read(tables: Sequence[TableFacts] | None = None) -> Desk:
    """The facts by Django's connection; `tables` of an earlier reading are not read again."""
    beat = read_beat()
    with connection.cursor() as cursor:
        return read_desk(cursor, beat, tables)


def read_failures() -> list[RunFacts]:
    """The runs that failed or were killed within a day."""
    with connection.cursor() as cursor:
        return [run for run in read_run_facts(cursor) if run.is_failure]


def read_beat() -> BeatFacts | None:
    """What Celery's beat has written of itself; None where its tables are not ours to look at."""
    if not apps.is_installed("django_celery_beat"):
        return None
    from django_celery_beat.models import PeriodicTask

    entries = PeriodicTask.objects.filter(enabled=True).values_list(
        "last_run_at", "interval__every", "interval__period"
    )
    rows = list(entries)
    runs = [last for last, _, _ in rows if last is not None]
    lengths = [timedelta(**{period: every}) for _, every, period in rows if period]
    return BeatFacts(max(runs, default=None), min(lengths, default=timedelta(days=1)))


def desk_html(desk: Desk, may: frozenset[Deed]) -> str:
    """The desk without the page around it; `may` are the remedies that the visitor may press."""
    return render_to_string("krakendata/admin/desk.html", desk_context(desk, may))


def desk_context(desk: Desk, may: frozenset[Deed]) -> dict[str, Any]:
    """What `desk.html` shows."""
    lines = attention_lines(desk)
    return {
        "now": f"{desk.now:%H:%M:%S}",
        "chips": chips(desk),
        "rate": _rate(desk),
        "lines": [(line, _subject(line), _address(line, may)) for line in lines],
        "is_new": not desk.tracked,
        "is_whole": not desk.behind and not desk.with_holes,
        "services": Table(
            SERVICE_COLUMNS, _service_rows(desk), "No feed, worker or timetable has been here yet."
        ),
        "pairs": pairs_table(desk.tracked[:PAIRS_SHOWN], desk.now),
        "more_pairs": max(len(desk.tracked) - PAIRS_SHOWN, 0),
        "runs": Table(RUN_COLUMNS, [_run_cells(run) for run in desk.running[:RUNS_SHOWN]], "Nothing runs."),
        "tables": Table(TABLE_COLUMNS, [_table_cells(each) for each in desk.tables[:TABLES_SHOWN]]),
        "stored": size(sum(each.bytes for each in desk.tables)),
    }


def chips(desk: Desk) -> list[dict[str, Any]]:
    """The four counts, each with the list that it counts."""
    status, failed = reverse("admin:krakendata_sync_status"), reverse("admin:krakendata_failed_runs")
    failures = len(desk.failures)
    return [
        _count("fresh", len(desk.fresh), "good", f"{status}?show=fresh", "Tracked pairs that are up to date"),
        _count("behind", len(desk.behind), "bad", f"{status}?show=behind", "Tracked pairs that are not"),
        _count("with holes", len(desk.with_holes), "busy", f"{status}?show=holes", "Pairs that lack trades inside"),
        _count(
            "failed in 24 h", failures, "bad", failed, "Runs that failed or were killed within a day",
            more="+" if failures >= MOST_RUNS else "",
        ),
    ]  # fmt: skip


def pairs_table(pairs: Sequence[PairFacts], now: datetime) -> Table:
    """Lay out tracked pairs; `now` is aware."""
    return Table(
        PAIR_COLUMNS, [_pair_cells(pair, now) for pair in pairs], NO_PAIRS, "manage.py track BTC/USD"
    )


def state_of_run(run: RunFacts) -> SafeString:
    """The state of a failed run as a chip: whether it was killed, whether the same was done since."""
    if run.is_answered:
        return chip("made good since", "good")
    return chip("killed" if run.is_killed else "failed", "bad")


def _count(title: str, count: int, tone: str, address: str, hint: str, more: str = "") -> dict[str, Any]:
    shown = number(count) + more
    return {
        "title": title,
        "count": shown,
        "tone": tone if count else "quiet",
        "address": address,
        "hint": hint,
    }


def _rate(desk: Desk) -> str:
    live = any(feed.state(desk.now) == "live" for feed in desk.feeds)
    return f"{desk.trades_per_second:,.1f}" if live else NOTHING


def address_name(deed: Deed) -> str:
    """The name of the address to which a remedy is sent."""
    return f"krakendata_remedy_{deed}"


def _address(line: Line, may: frozenset[Deed]) -> str:
    """Where a line's button or link leads; "" without one."""
    deed, place = line.remedy.deed, line.remedy.place
    if place is not None:
        return reverse(PLACES[place])
    return reverse(f"admin:{address_name(deed)}") if deed is not None and deed in may else ""


def _subject(line: Line) -> object:
    """What a line is about, leading there where there is a page of it."""
    remedy = line.remedy
    if remedy.deed is Deed.RESTART and remedy.target:
        return link(line.subject, "krakendata_syncrun_change", remedy.target)
    if remedy.deed in (Deed.FILL_GAPS, Deed.BACKFILL) and remedy.target:
        return link(line.subject, "krakendata_sync_status", pair=line.subject)
    return line.subject


def _pair_cells(pair: PairFacts, now: datetime) -> list[object]:
    seconds = pair.seconds_behind(now)
    if pair.known_to is None:
        state = chip("nothing yet", "bad")
    else:
        state = chip("fresh", "good") if pair.is_fresh(now) else chip("behind", "bad")
    return [
        link(pair.symbol, "krakendata_sync_status", pair=pair.symbol),
        numeric(minute(pair.known_to)),
        numeric(NOTHING if seconds is None else duration(timedelta(seconds=seconds))),
        numeric(number(pair.holes)),
        state,
    ]


def _service_rows(desk: Desk) -> list[list[object]]:
    rows = [_feed_cells(feed, desk.now) for feed in desk.feeds]
    for worker in desk.workers:
        state = chip("works", "good") if worker.is_alive(desk.now) else chip("silent", "bad")
        heard, facts = _heard(worker.alive_at, desk.now), f"since {minute(worker.started_at)}"
        rows.append([f"Worker {worker.name}", state, heard, facts])
    if desk.beat is not None and desk.beat.last_run_at is not None:
        state = chip("keeps time", "good") if desk.beat.is_alive(desk.now) else chip("silent", "bad")
        facts = f"something is due every {duration(desk.beat.every)}"
        rows.append(["Timetable", state, _heard(desk.beat.last_run_at, desk.now), facts])
    return rows


def _feed_cells(feed: FeedFacts, now: datetime) -> list[object]:
    state = feed.state(now)
    facts = f"since {minute(feed.started_at)}"
    if state == "live":
        facts = (
            f"{counted(feed.symbols, 'pair', 'pairs')}, {feed.trades_per_second:,.1f} trades/s, "
            f"{_delay(feed.seconds_behind)} to the database"
        )
    heard = feed.ended_at or (feed.heard_at if state == "deaf" else feed.alive_at) or feed.started_at
    return [f"Feed {feed.name}", chip(state, TONES[state]), _heard(heard, now), facts]


def _delay(seconds: float) -> str:
    """To the tenth while it is a matter of seconds."""
    return f"{seconds:.1f} s" if seconds < 60 else duration(timedelta(seconds=seconds))


def _heard(moment: datetime, now: datetime) -> SafeString:
    return numeric(ago(moment, now))


def _run_cells(run: RunFacts) -> list[object]:
    words = f"Run {run.id}: {run.kind.replace('_', ' ')} {run.symbol}".rstrip()
    done = percent(min(run.done / run.total, 1)) if run.total else number(run.done)
    return [link(words, "krakendata_syncrun_change", run.id), numeric(minute(run.started_at)), numeric(done)]


def _table_cells(table: TableFacts) -> list[object]:
    saved = NOTHING if table.saved is None else percent(table.saved)
    # An estimate has no last digit.
    rows = NOTHING if table.rows is None else f"{rounded_count(table.rows):,}"
    return [table.name, numeric(rows), numeric(size(table.bytes)), numeric(saved)]
