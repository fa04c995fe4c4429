"""What the ledger proves about a stretch of time: proven, provisional, or a hole; and which ids are a gap.

The ledger (docs/explanation/ledger.md) holds runs of trades with contiguous ids, ids that are answered without a trade
(absent at the exchange, or rejected), and the stretches that candle archives covered. From these alone:

    proven        between the first and the last trade of contiguous exact ids, and from there to the check that
                  named this trade as the newest; quiet minutes there are quiet
    provisional   given by archives that carry no ids: probably whole, but nothing shows it
    hole          everything else
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from krakendata.types import NS_PER_SECOND, moment_of

__all__ = [
    "SETTLED",
    "CandleRun",
    "Coverage",
    "Edge",
    "Gap",
    "IdRange",
    "Ledger",
    "Stretch",
    "TradeCheck",
    "TradeRun",
    "coverage_of",
    "gaps_of",
    "islands_of",
]

# Id 1 is a pair's first trade: before it there is nothing to miss.
FIRST_TRADE_ID = 1
BEGINNING = datetime.min.replace(tzinfo=UTC)

# Ids are the order of trades and times are not (kraken-facts 1.3): a trade may bear a time a little before the one that
# precedes it by id. What has a neighbourhood of so much that is proven too has room for no such trade.
SETTLED = timedelta(seconds=1)


class Stretch(NamedTuple):
    """A half-open stretch of time, aware UTC: `start` belongs to it, `end` does not."""

    start: datetime
    end: datetime


class TradeRun(NamedTuple):
    """Trades without a step between ids; negative ids: rows of an archive without ids. Times in ns."""

    first_id: int
    last_id: int
    first_ns: int
    last_ns: int

    @property
    def is_exact(self) -> bool:
        """Whether the ids are the exchange's own."""
        return self.first_id > 0


class IdRange(NamedTuple):
    """Ids that are answered for without a trade, both ends included."""

    first_id: int
    last_id: int


class TradeCheck(NamedTuple):
    """At `checked_ns` the exchange's newest trade was `last_id`; 0: there had been none."""

    last_id: int
    checked_ns: int


class CandleRun(NamedTuple):
    """What an archive or REST's candles covered at its interval: the starts of its first and its last candle."""

    interval_minutes: int
    first_start: datetime
    last_start: datetime

    @property
    def stretch(self) -> Stretch:
        """The time from the start of the first candle to the end of the last."""
        return Stretch(self.first_start, self.last_start + timedelta(minutes=self.interval_minutes))


class Edge(NamedTuple):
    """A trade beside a gap; id 0: that there was none yet at the time."""

    trade_id: int
    ns: int


class Gap(NamedTuple):
    """Ids that are not collected, between the two trades that are.

    `after` None: it begins with the stretch, at the pair's first trade or at the time asked for. `before` None: it
    reaches to the newest trade, whichever that is. `is_begun`: something older is held.
    """

    after: Edge | None
    before: Edge | None
    stretch: Stretch
    is_begun: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says of one symbol, or as much of it as touches the time in question.

    To judge a stretch of time it takes the exact runs that overlap it, the nearest one on either side of it,
    every answered id between them, and the newest check.
    """

    trade_runs: tuple[TradeRun, ...] = ()
    answered_ids: tuple[IdRange, ...] = ()
    candle_runs: tuple[CandleRun, ...] = ()
    check: TradeCheck | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How complete an answer is: `asked` divided into three kinds of stretches, each sorted and apart.

    `proven`: every trade is in. `provisional`: from archives without ids. `holes`: not covered, so that a
    missing candle may be a missing one and not a quiet time.
    """

    asked: Stretch
    proven: tuple[Stretch, ...] = ()
    provisional: tuple[Stretch, ...] = ()
    holes: tuple[Stretch, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Every moment asked for is proven."""
        return not self.holes and not self.provisional

    @property
    def is_complete(self) -> bool:
        """There is no hole: all is proven or at least provisional."""
        return not self.holes

    def proves(self, stretch: Stretch) -> bool:
        """Every moment of `stretch`, which is a part of `asked`, is proven."""
        place = bisect_right(self.proven, stretch.start, key=_start) - 1
        return place >= 0 and self.proven[place].end >= stretch.end

    def holes_in(self, stretch: Stretch) -> tuple[Stretch, ...]:
        """What of the holes lies in `stretch`, cut to it."""
        return _cut(self.holes, stretch)

    def within(self, stretch: Stretch) -> Coverage:
        """The coverage of a part of what was asked."""
        parts = (_cut(each, stretch) for each in (self.proven, self.provisional, self.holes))
        return Coverage(stretch, *parts)


def _cut(stretches: Sequence[Stretch], frame: Stretch) -> tuple[Stretch, ...]:
    """What of sorted stretches lies in `frame`, cut to it."""
    first = bisect_right(stretches, frame.start, key=_end)
    last = bisect_left(stretches, frame.end, key=_start)
    return tuple(_clipped(stretches[first:last], frame))


def _start(stretch: Stretch) -> datetime:
    return stretch.start


def _end(stretch: Stretch) -> datetime:
    return stretch.end


def coverage_of(
    asked: Stretch, ledger: Ledger, interval_minutes: int = 1, kept_from: datetime | None = None
) -> Coverage:
    """Divide `asked` by what `ledger` shows for candles of `interval_minutes`.

    Of the candle archives those of the interval itself count, and those of one minute, which every interval
    is built from; rows of other intervals answer at theirs alone. Before `kept_from` the candles themselves
    are no longer stored, so that an answer has a hole there whatever was once collected.
    """
    answerable = Stretch(max(asked.start, kept_from or asked.start), asked.end)
    proven = _joined(_clipped(_proven_stretches(ledger), answerable))
    given = _joined(_clipped(_provisional_stretches(ledger, interval_minutes), answerable))
    provisional = _without(given, proven)
    holes = _without([asked] if asked.start < asked.end else [], _joined([*proven, *provisional]))
    return Coverage(asked, tuple(proven), tuple(provisional), tuple(holes))


def _proven_stretches(ledger: Ledger) -> list[Stretch]:
    """From the first to the last trade of each island of ids; from the beginning, where the first trade is in it.

    The last trade's own microsecond is left out: the next trade may share it. Where a check named the island's last
    id as the newest, the island lasts until then.
    """
    check = ledger.check
    islands = islands_of(ledger)
    stretches = []
    if not islands and check is not None and check.last_id < FIRST_TRADE_ID:
        stretches.append(Stretch(BEGINNING, moment_of(check.checked_ns)))
    for island in islands:
        start = BEGINNING if island.first_id == FIRST_TRADE_ID else moment_of(island.first_ns)
        end = moment_of(island.last_ns)
        if check is not None and check.last_id == island.last_id:
            end = max(end, moment_of(check.checked_ns))
        stretches.append(Stretch(start, end))
    return stretches


def islands_of(ledger: Ledger) -> list[TradeRun]:
    """The exact runs joined to islands of ids without a step, answers without a trade included, in order.

    Answers that touch no run are left out: they have no time.
    """
    islands: list[TradeRun] = []
    answered: IdRange | None = None
    exact = [run for run in ledger.trade_runs if run.is_exact]
    pieces: list[TradeRun | IdRange] = [*exact, *ledger.answered_ids]
    for piece in sorted(pieces, key=lambda each: each.first_id):
        last = islands[-1] if islands else None
        if last is not None and piece.first_id <= last.last_id + 1:
            islands[-1] = last._replace(
                last_id=max(last.last_id, piece.last_id),
                first_ns=min(last.first_ns, piece.first_ns) if isinstance(piece, TradeRun) else last.first_ns,
                last_ns=piece.last_ns if isinstance(piece, TradeRun) else last.last_ns,
            )
        elif isinstance(piece, TradeRun):
            touches = answered is not None and piece.first_id <= answered.last_id + 1
            islands.append(piece._replace(first_id=answered.first_id) if answered and touches else piece)
            answered = None
        elif answered is not None and piece.first_id <= answered.last_id + 1:
            answered = IdRange(answered.first_id, max(answered.last_id, piece.last_id))
        else:
            answered = piece
    return islands


def gaps_of(ledger: Ledger, since: datetime | None, now: datetime) -> list[Gap]:
    """The ids between `since` (None: the pair's first trade) and `now` that the ledger lacks, in order.

    A gap that begins before `since` has no trade `after` it: what is before `since` is not wanted.
    The last one, to which there is no trade beyond, begins where the newest check ends: what came since is not known.
    """
    start = since or BEGINNING
    gaps: list[Gap] = []
    islands = islands_of(ledger)
    after: Edge | None = None
    if not islands and ledger.check is not None and ledger.check.last_id < FIRST_TRADE_ID:
        after = Edge(ledger.check.last_id, ledger.check.checked_ns)
    begins = start
    for island in islands:
        first, last = moment_of(island.first_ns), moment_of(island.last_ns)
        is_beginning = after is None and island.first_id == FIRST_TRADE_ID
        if not is_beginning and first > start and max(begins, start) < now:
            inside = after if begins >= start else None
            stretch = Stretch(max(begins, start), min(first, now))
            gaps.append(Gap(inside, Edge(island.first_id, island.first_ns), stretch, after is not None))
        after, begins = Edge(island.last_id, island.last_ns), last
    if ledger.check is not None and ledger.check.last_id == (after.trade_id if after else 0):
        begins = max(begins, moment_of(ledger.check.checked_ns))
    if begins < now:
        inside = after if begins >= start else None
        gaps.append(Gap(inside, None, Stretch(max(begins, start), now), after is not None))
    return gaps


def _provisional_stretches(ledger: Ledger, interval_minutes: int) -> list[Stretch]:
    """Archives without ids tell whole seconds: a run of theirs lasts to the end of its last one."""
    trades = [
        Stretch(moment_of(run.first_ns), moment_of(run.last_ns - run.last_ns % NS_PER_SECOND + NS_PER_SECOND))
        for run in ledger.trade_runs
        if not run.is_exact
    ]
    candles = [run.stretch for run in ledger.candle_runs if run.interval_minutes in (1, interval_minutes)]
    return trades + candles


def _clipped(stretches: Iterable[Stretch], frame: Stretch) -> list[Stretch]:
    inside = (Stretch(max(each.start, frame.start), min(each.end, frame.end)) for each in stretches)
    return [each for each in inside if each.start < each.end]


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same time as the fewest stretches, sorted: neighbours that touch become one."""
    joined: list[Stretch] = []
    for each in sorted(stretches):
        if joined and each.start <= joined[-1].end:
            joined[-1] = Stretch(joined[-1].start, max(joined[-1].end, each.end))
        else:
            joined.append(each)
    return joined


def _without(stretches: list[Stretch], taken: list[Stretch]) -> list[Stretch]:
    """What is left of `stretches` outside `taken`; both sorted and apart, as `_joined` makes them."""
    left: list[Stretch] = []
    ends = [each.end for each in taken]
    for each in stretches:
        start = each.start
        for cut in taken[bisect_right(ends, each.start) : bisect_left(taken, (each.end,))]:
            if start < cut.start:
                left.append(Stretch(start, cut.start))
            start = cut.end
        if start < each.end:
            left.append(Stretch(start, each.end))
    return left
