"""The certificate of a pair: day by day (UTC) what is in, what proves it, and what is missing.

Two witnesses are heard, and have to agree: the ledger, which knows ids and the times of the trades at their edges, and
the candle of the day, which outlives its trades. A day is

    proven          every trade the exchange has is in, or was refused for a reason that is on record; a day without
                    any trade is proven where the ids before and after it follow one another
    exchange_hole   proven, and the exchange itself lacks ids there: it said so twice
    provisional     wholly covered, at least in part by archives without ids or by candles given ahead of their trades,
                    or proven by the ledger alone, while the day's candle has no ids
    missing         something of it is not collected, or the day's candle does not show what the ledger has
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from krakendata.gaps import (
    FIRST_TRADE_ID,
    CandleRun,
    IdRange,
    Ledger,
    Stretch,
    TradeRun,
    coverage_of,
    islands_of,
)
from krakendata.types import interval_of, moment_of

__all__ = [
    "TAIL_TOLERANCE",
    "Certificate",
    "Day",
    "DayCandle",
    "DayState",
    "certify",
    "moments_of_answers",
    "with_candles_up_to",
]

DAY = timedelta(days=1)

# What is younger than this is not missing yet: the customer's two minutes, after which the tail is a gap.
TAIL_TOLERANCE = timedelta(minutes=2)

# Candles of up to this length tell about a day.
DAY_MINUTES = interval_of("1d").minutes

# Behind every id there is: the database's bigint.
HIGHEST_ID = 2**63 - 1


class DayState(StrEnum):
    """What is known of a day, from the best to the worst."""

    PROVEN = "proven"
    EXCHANGE_HOLE = "exchange_hole"
    PROVISIONAL = "provisional"
    MISSING = "missing"


class DayCandle(NamedTuple):
    """What the stored candle of a day says. Ids None: in part not from trades; negative: from archives without ids."""

    start: datetime
    trade_count: int
    first_id: int | None
    last_id: int | None


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a pair, judged up to `until` (aware UTC): its end, or for a day that still goes on as far as is known.

    `first_id`, `last_id`: the exchange's ids, None where no trade has one or not all have. `trades` are those in the
    day's candle. `absent` ids the exchange does not have, `rejected` ones we refused. `missing_ids` are known to be
    missing; None: nobody can say how many. `unaccounted` trades are in the ledger and not in the candle (negative: the
    other way round). The three durations add up to the time judged.
    """

    day: date
    until: datetime
    state: DayState
    first_id: int | None
    last_id: int | None
    trades: int
    absent: int
    rejected: int
    missing_ids: int | None
    unaccounted: int
    proven: timedelta
    provisional: timedelta
    missing: timedelta


@dataclass(frozen=True, slots=True)
class Certificate:
    """The days of a pair in order, none left out, and how many ids before the first one held are not collected.

    `ids_before` is None where no trade with an id is held.
    """

    symbol: str
    days: tuple[Day, ...]
    ids_before: int | None

    @property
    def counts(self) -> dict[DayState, int]:
        """How many days there are of each state."""
        found = Counter(day.state for day in self.days)
        return {state: found[state] for state in DayState}

    def between(self, start: datetime | None, end: datetime | None) -> Certificate:
        """The same of the days that touch [start, end), aware UTC; None: no bound."""
        return Certificate(
            self.symbol,
            tuple(
                day
                for day in self.days
                if (start is None or day.day >= start.date()) and (end is None or _start_of(day.day) < end)
            ),
            self.ids_before,
        )

    def only(self, states: Collection[DayState | str]) -> Certificate:
        """The same of the days in these states; none named: of all."""
        days = tuple(day for day in self.days if not states or day.state in states)
        return replace(self, days=days)


def certify(
    symbol: str,
    ledger: Ledger,
    candles: Iterable[DayCandle],
    absent: Iterable[IdRange],
    rejected: Iterable[IdRange],
    now: datetime,
    since: datetime | None = None,
) -> Certificate:
    """Judge every day from the first one that anything is known of (or from `since`) to `now` (aware UTC).

    `ledger` and `candles` are of the pair's whole life: what is no longer stored counts as collected, as it was.
    """
    by_day = {candle.start.date(): candle for candle in candles}
    islands, ids = islands_of(ledger), _Ids(ledger.trade_runs)
    marks = _Marks(
        absent=_answers_by_day(absent, ids, islands),
        rejected=_answers_by_day(rejected, ids, islands),
        inside=_gaps_inside(islands),
        unaccounted=_unaccounted(sorted(by_day.values()), ids),
    )
    first = _first_day(ledger, by_day, now, since)
    days = tuple(_judge(judged, by_day.get(judged.day), marks) for judged in _judged_days(ledger, first, now))
    return Certificate(symbol, days, islands[0].first_id - FIRST_TRADE_ID if islands else None)


class _Judged(NamedTuple):
    """A day, up to when it is judged, and how long of that is proven, provisional and missing."""

    day: date
    until: datetime
    proven: timedelta
    provisional: timedelta
    missing: timedelta


@dataclass(frozen=True, slots=True)
class _Marks:
    """What ids say, by day."""

    absent: Counter[date]
    rejected: Counter[date]
    inside: dict[date, _Inside]
    unaccounted: Counter[date]


def _judge(judged: _Judged, candle: DayCandle | None, marks: _Marks) -> Day:
    day, inside = judged.day, marks.inside.get(judged.day, _Inside())
    unaccounted = marks.unaccounted[day]
    # What is not proven lies between trades of the day: then the ids that are missing are counted.
    is_counted = judged.proven + inside.lasting >= judged.until - _start_of(day)
    if judged.missing or inside.is_instant or unaccounted:
        state = DayState.MISSING
    elif judged.provisional or (candle and not (_exact(candle.first_id) and _exact(candle.last_id))):
        # A candle that is not wholly made of trades with ids shows nothing, whatever the ledger proves.
        state = DayState.PROVISIONAL
    else:
        state = DayState.EXCHANGE_HOLE if marks.absent[day] else DayState.PROVEN
    return Day(
        day=day,
        until=judged.until,
        state=state,
        first_id=_exact(candle.first_id) if candle else None,
        last_id=_exact(candle.last_id) if candle else None,
        trades=candle.trade_count if candle else 0,
        absent=marks.absent[day],
        rejected=marks.rejected[day],
        missing_ids=inside.ids if is_counted else None,
        unaccounted=unaccounted,
        proven=judged.proven,
        provisional=judged.provisional,
        missing=judged.missing,
    )


def _first_day(
    ledger: Ledger, by_day: dict[date, DayCandle], now: datetime, since: datetime | None
) -> datetime:
    """The start of the first day anything is known of, or of `since` if that is earlier; now: nothing is known."""
    known = [moment_of(run.first_ns) for run in ledger.trade_runs]
    known += [run.first_start for run in ledger.candle_runs]
    known += [_start_of(day) for day in by_day]
    if ledger.check is not None and ledger.check.last_id < FIRST_TRADE_ID:
        known.append(moment_of(ledger.check.checked_ns))
    known += [since] if since is not None else []
    first = min(known, default=now)
    return min(_start_of(first.date()), now) if known else now


def _judged_days(ledger: Ledger, first: datetime, now: datetime) -> Iterator[_Judged]:
    """Every day from `first` on, the one of `now` as far as anything is known of it."""
    coverage = coverage_of(Stretch(first, now), with_candles_up_to(ledger, DAY_MINUTES))
    holes = coverage.holes
    known_to = holes[-1].start if holes and holes[-1].end == now else now
    is_fresh = now - known_to <= TAIL_TOLERANCE
    kinds = [_Durations(kind) for kind in (coverage.proven, coverage.provisional, coverage.holes)]
    start = first
    while start < (known_to if is_fresh else now):
        end = start + DAY
        goes_on = start < known_to < end and (is_fresh or now < end)
        until = known_to if goes_on else min(end, now)
        proven, provisional, missing = (kind.within(start, until) for kind in kinds)
        yield _Judged(start.date(), until, proven, provisional, missing)
        start = end


def with_candles_up_to(ledger: Ledger, minutes: int) -> Ledger:
    """The ledger as it is heard about stretches of `minutes`.

    Candles of up to that length all tell about them: as runs of minutes they count whatever their interval.
    """
    told = tuple(
        CandleRun(1, run.first_start, run.stretch.end - timedelta(minutes=1))
        for run in ledger.candle_runs
        if run.interval_minutes <= minutes
    )
    return replace(ledger, candle_runs=told)


class _Durations:
    """How much of a time is in stretches that are sorted and apart."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._stretches = stretches
        self._ends = [each.end for each in stretches]

    def within(self, start: datetime, end: datetime) -> timedelta:
        total = timedelta()
        for each in self._stretches[bisect_right(self._ends, start) :]:
            if each.start >= end:
                break
            total += min(each.end, end) - max(each.start, start)
        return total


class _Ids:
    """The exact runs of a ledger by id: how many ids are held in a range, and when they were traded."""

    def __init__(self, runs: Iterable[TradeRun]) -> None:
        self._runs = sorted(run for run in runs if run.is_exact)
        self._lasts = [run.last_id for run in self._runs]
        self._before = [0, *accumulate(run.last_id - run.first_id + 1 for run in self._runs)]

    def held(self, first_id: int, last_id: int) -> int:
        """How many ids of [first_id, last_id] are held."""
        return max(self._held_below(last_id + 1) - self._held_below(first_id), 0)

    def _held_below(self, trade_id: int) -> int:
        place = bisect_left(self._lasts, trade_id)
        inside = self._runs[place] if place < len(self._runs) else None
        return self._before[place] + (max(trade_id - inside.first_id, 0) if inside else 0)

    def moment_beside(self, trade_id: int) -> datetime | None:
        """When the last trade held before an id that is not was traded, else the first one behind it."""
        place = bisect_left(self._lasts, trade_id)
        if place:
            return moment_of(self._runs[place - 1].last_ns)
        return moment_of(self._runs[0].first_ns) if self._runs else None

    @property
    def first_day(self) -> date | None:
        return _day_of(self._runs[0].first_ns) if self._runs else None

    @property
    def last_day(self) -> date | None:
        return _day_of(self._runs[-1].last_ns) if self._runs else None


def moments_of_answers(answers: Iterable[IdRange], ledger: Ledger) -> list[tuple[datetime, int]]:
    """When ids without a trade would have been traded, and how many they are: at the trade before them.

    Absurd ones, far behind the newest, have no time.
    """
    return list(_answers_in_time(answers, _Ids(ledger.trade_runs), islands_of(ledger)))


def _answers_in_time(
    answers: Iterable[IdRange], ids: _Ids, islands: Sequence[TradeRun]
) -> Iterator[tuple[datetime, int]]:
    last_id = islands[-1].last_id if islands else 0
    for answer in answers:
        moment = ids.moment_beside(answer.first_id)
        if moment is not None and answer.last_id <= last_id:
            yield moment, answer.last_id - answer.first_id + 1


def _answers_by_day(answers: Iterable[IdRange], ids: _Ids, islands: Sequence[TradeRun]) -> Counter[date]:
    found: Counter[date] = Counter()
    for moment, count in _answers_in_time(answers, ids, islands):
        found[moment.date()] += count
    return found


@dataclass(slots=True)
class _Inside:
    """The gaps that lie wholly within one day: their ids, and how long they last."""

    ids: int = 0
    lasting: timedelta = timedelta()
    is_instant: bool = False


def _gaps_inside(islands: Sequence[TradeRun]) -> dict[date, _Inside]:
    """By day; a gap between trades of one microsecond takes no time, and is one all the same."""
    found: defaultdict[date, _Inside] = defaultdict(_Inside)
    for before, after in pairwise(islands):
        start, end = moment_of(before.last_ns), moment_of(after.first_ns)
        if start.date() == end.date():
            inside = found[start.date()]
            inside.ids += after.first_id - before.last_id - 1
            inside.lasting += max(end - start, timedelta())
            inside.is_instant |= end <= start
    return found


def _unaccounted(candles: Sequence[DayCandle], ids: _Ids) -> Counter[date]:
    """Where the day candles show fewer or more trades than the ledger holds of their ids, and how many.

    Days whose ids interlock, because times fell back at midnight, are counted together, as are days without a candle
    with the days around them. Beside a candle without ids nothing can be counted.
    """
    found: Counter[date] = Counter()
    exact = _interlocked([candle for candle in candles if _exact(candle.first_id) and _exact(candle.last_id)])
    for group in exact:
        difference = ids.held(group.first_id, group.last_id) - group.trades
        found.update(dict.fromkeys(group.days, difference))
    inexact = sorted(
        {candle.start.date() for candle in candles} - {day for group in exact for day in group.days}
    )
    for before, after in pairwise([None, *exact, None]):
        first_id = before.last_id + 1 if before else FIRST_TRADE_ID
        last_id = after.first_id - 1 if after else HIGHEST_ID
        first_day = before.days[-1] if before else date.min
        last_day = after.days[0] if after else date.max
        loose = ids.held(first_id, last_id)
        if loose and bisect_left(inexact, last_day) == bisect_right(inexact, first_day):
            found[_day_to_blame(before, after, ids)] += loose
    return found


class _Group(NamedTuple):
    """Days in a row whose ids interlock; mostly one."""

    first_id: int
    last_id: int
    trades: int
    days: tuple[date, ...]


def _interlocked(candles: Sequence[DayCandle]) -> list[_Group]:
    groups: list[_Group] = []
    for candle in candles:
        first_id, last_id, day = candle.first_id or 0, candle.last_id or 0, candle.start.date()
        last = groups[-1] if groups else None
        if last is not None and first_id <= last.last_id:
            groups[-1] = _Group(
                min(last.first_id, first_id), max(last.last_id, last_id),
                last.trades + candle.trade_count, (*last.days, day),
            )  # fmt: skip
        else:
            groups.append(_Group(first_id, last_id, candle.trade_count, (day,)))
    return groups


def _day_to_blame(before: _Group | None, after: _Group | None, ids: _Ids) -> date:
    """Where trades are that no candle shows: on the first day they can be of."""
    if before is not None and after is not None:
        return min(before.days[-1] + DAY, after.days[0])
    if before is not None:
        return max(before.days[-1], ids.last_day or before.days[-1])
    first = ids.first_day or date.min
    return min(first, after.days[0]) if after is not None else first


def _exact(trade_id: int | None) -> int | None:
    """The id if it is the exchange's own."""
    return trade_id if trade_id is not None and trade_id >= FIRST_TRADE_ID else None


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _day_of(ns: int) -> date:
    return moment_of(ns).date()
