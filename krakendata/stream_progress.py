"""What a stream of candles gives next: decided by the ledger, the clock and what it has given, without any I/O.

A stream stands at a bucket. Every bucket before it has been passed, in one of two ways:

    proven      not a trade of it can be missing: its candle was given for good, or it has none
    in doubt    patience ran out before it was proven: its candle, if any, was given as it was

A bucket in doubt is looked at again whenever the ledger knows more of its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from krakendata.candles import bucket_start
from krakendata.gaps import SETTLED, Coverage, Stretch
from krakendata.types import Candle, Interval

__all__ = ["StreamProgress", "StreamedCandle", "widened"]

# So many buckets are read at once, and so many in doubt kept in mind: a week of minutes, a few megabytes.
BUCKETS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class StreamedCandle:
    """A candle as a stream gives it.

    `is_proven`: not a trade of it is missing, and it will not change. `is_forming`: it is not final, and comes again.
    `is_late`: its time had been passed unproven; it belongs where its timestamp says, and replaces the candle that was
    given there, if any. A late one whose `trade_count` is 0 takes that candle back: nothing was traded.
    """

    candle: Candle
    is_proven: bool
    is_forming: bool = False
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A bucket that was passed unproven: what was given of it, and what was not known of its time."""

    given: Candle | None
    holes: tuple[Stretch, ...]


class StreamProgress:
    """How far a stream has come, from the bucket that starts at `position` on.

    `patience` is how long after its end a bucket waits for its proof, None: for ever. The present is an argument of
    every question, aware UTC. Coverages reach SETTLED further than the buckets they judge, on either side. `has_more`:
    the last look was filled to the brim.
    """

    def __init__(self, interval: Interval, position: datetime, patience: timedelta | None) -> None:
        self.position = position
        self.has_more = False
        self._interval = interval
        self._most = BUCKETS_AT_ONCE * interval.length
        self._patience = patience
        self._patient_from = datetime.min.replace(tzinfo=UTC)
        self._doubts: dict[datetime, _Doubt] = {}
        self._judged: Coverage | None = None
        self._forming: Candle | None = None

    def be_patient_from(self, now: datetime) -> None:
        """Begin patience anew: the database was away, and so may have been those who write to it."""
        self._patient_from = now

    def wanted(self, now: datetime, forming: bool = False) -> Stretch | None:
        """The whole buckets that the next look at the database has to tell of; None: it would tell nothing."""
        self.has_more = False
        start = min(self._doubts, default=self.position)
        end = min(self._closed(now), self.position + self._most)
        if forming:
            end = max(end, self.position + self._interval.length)
        return Stretch(start, end) if start < end else None

    def reach(self, now: datetime, coverage: Coverage) -> datetime:
        """Up to which bucket the stream may go on: through what is proven, and what has been waited for."""
        closed = min(self._closed(now), self._bucket(coverage.asked.end - SETTLED))
        reached = self.position
        if self._patience is not None and self._patient_from + self._patience <= now:
            reached = max(reached, min(closed, self._bucket(now - self._patience)))
        for stretch in coverage.proven:
            if stretch.start <= reached - SETTLED:
                reached = max(reached, min(closed, self._bucket(stretch.end - SETTLED)))
        return reached

    def reconsidered(self, coverage: Coverage) -> list[Stretch]:
        """The buckets in doubt of whose time more is known than when they were last judged, joined to stretches."""
        if not self._doubts:
            return []
        if self._seen(coverage) == self._judged:
            return []
        changed = (
            start
            for start, doubt in self._doubts.items()
            if coverage.proves(widened(self._span(start)))
            or coverage.holes_in(self._span(start)) != doubt.holes
        )
        return list(_joined_buckets(sorted(changed), self._interval.length))

    def reconsider(
        self, stretches: Iterable[Stretch], coverage: Coverage, candles: Iterable[Candle]
    ) -> list[StreamedCandle]:
        """Judge the buckets in doubt that lie in `stretches` again, by all the candles that these hold now."""
        if self._doubts:
            self._judged = self._seen(coverage)
        found = {candle.timestamp: candle for candle in candles}
        late = []
        for start in (start for stretch in stretches for start in self._buckets(stretch)):
            if (doubt := self._doubts.pop(start, None)) is None:
                continue
            candle = found.get(start)
            is_proven = coverage.proves(widened(self._span(start)))
            holes = coverage.holes_in(self._span(start))
            given = doubt.given
            if candle is None and is_proven and given is not None:
                late.append(StreamedCandle(_taken_back(given), is_proven, is_late=True))
            elif candle is not None and (given is None or (candle != given and not holes)):
                late.append(StreamedCandle(candle, is_proven, is_late=True))
                given = candle
            if not is_proven:
                self._doubts[start] = _Doubt(given, holes)
        return late

    def go_on(self, reached: datetime, coverage: Coverage, candles: Sequence[Candle]) -> list[StreamedCandle]:
        """Pass every bucket from `position` to `reached`, whose candles these are, oldest first."""
        found = {candle.timestamp: candle for candle in candles}
        kept_from = reached - self._most
        for start in [start for start in self._doubts if start < kept_from]:
            del self._doubts[start]
        for start in self._buckets(Stretch(max(self.position, kept_from), reached)):
            if not coverage.proves(widened(self._span(start))):
                self._doubts[start] = _Doubt(found.get(start), coverage.holes_in(self._span(start)))
        self.has_more = reached - self.position >= self._most
        self.position = reached
        return [
            StreamedCandle(candle, coverage.proves(widened(self._span(candle.timestamp))))
            for candle in candles
        ]

    def form(self, candle: Candle) -> list[StreamedCandle]:
        """Give the candle of the bucket at `position` as far as it goes, if it is not the one given last."""
        if candle == self._forming:
            return []
        self._forming = candle
        return [StreamedCandle(candle, is_proven=False, is_forming=True)]

    def _seen(self, coverage: Coverage) -> Coverage:
        """What is known of the time of all the buckets in doubt."""
        return coverage.within(widened(Stretch(min(self._doubts), self.position)))

    def _bucket(self, moment: datetime) -> datetime:
        return bucket_start(moment, self._interval.minutes)

    def _closed(self, now: datetime) -> datetime:
        return max(self.position, self._bucket(now))

    def _span(self, start: datetime) -> Stretch:
        return Stretch(start, start + self._interval.length)

    def _buckets(self, stretch: Stretch) -> Iterator[datetime]:
        start = stretch.start
        while start < stretch.end:
            yield start
            start += self._interval.length


def widened(stretch: Stretch) -> Stretch:
    """The time that has to be proven for the candles of `stretch` to be final."""
    return Stretch(stretch.start - SETTLED, stretch.end + SETTLED)


def _joined_buckets(starts: Iterable[datetime], length: timedelta) -> Iterator[Stretch]:
    """Sorted buckets as stretches, neighbours joined."""
    joined: Stretch | None = None
    for start in starts:
        if joined is not None and joined.end == start:
            joined = Stretch(joined.start, start + length)
            continue
        if joined is not None:
            yield joined
        joined = Stretch(start, start + length)
    if joined is not None:
        yield joined


def _taken_back(given: Candle) -> Candle:
    """The candle that was given, without a trade: the trades show that there was none."""
    return given._replace(
        volume=Decimal(0), trade_count=0, turnover=None, vwap=None, first_id=None, last_id=None
    )
