"""One pair's candles, or trades, as they come: begun with what the database holds, gone on with by live trades.

A series takes every trade once, by its id, whoever brings it: the database's ledger says which ids its rows hold, and a
live trade counts where the ledger lacks it. So rows that are read again, twice-told trades and any order of arrival
come to the same candles. What is not there yet shows as a step between ids: the series waits (`is_waiting`) until its
owner has read the database again, and says meanwhile that the candles there are not complete.

    forming     trades may still come
    closed      told once, when a trade of a later bucket has been taken without a step between, or the feed heard the
                exchange long enough after the end
    revised     told closed before, and changed by a trade that came late

Times are nanoseconds since the epoch. Nothing here has a clock: whoever calls says what time it is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from krakendata.candles import followed_by, merge, turnover_of
from krakendata.gaps import Ledger, Stretch, TradeRun, islands_of
from krakendata.types import (
    NS_PER_MINUTE,
    NS_PER_SECOND,
    HistoricalCandle,
    Interval,
    Trade,
    bucket_start_ns,
    interval_of,
    moment_of,
    ns_of,
)

__all__ = ["CandleSeries", "CandleSnapshot", "IdHole", "SeriesRow", "State", "TradeSeries"]

# How long after a bucket's end the feed has to have heard the exchange. A trade is here within a second, the feed keeps
# it 50 ms, and clocks that are kept differ by less than one.
GRACE_NS = 3 * NS_PER_SECOND
# Missing ids come by REST within seconds, or not soon: a candle does not wait for them any longer than this.
PATIENCE_NS = 15 * NS_PER_SECOND
# A bucket that ended this long before the rows were read will change no more by what the feed has not written yet.
SETTLED_NS = 60 * NS_PER_SECOND
# Candles that a series keeps beyond those its owner wants, so that it does not trim with each new one.
SLACK = 50
# Beyond so many minutes of one bucket the older ones are folded: revisions concern the last few.
MAX_MINUTES_APART, MINUTES_FOLDED = 120, 60


class State(StrEnum):
    """What a row says of its candle."""

    FORMING = "forming"
    CLOSED = "closed"
    REVISED = "revised"


class SeriesRow(NamedTuple):
    """A candle as it is told. `is_complete`: nothing is known to be missing of it so far."""

    candle: HistoricalCandle
    state: State
    is_complete: bool

    @property
    def is_closed(self) -> bool:
        """It was told closed, once or again."""
        return self.state is not State.FORMING


class IdHole(NamedTuple):
    """Ids that have not come, both ends included, and the times of the trades on either side."""

    first_id: int
    last_id: int
    after_ns: int
    before_ns: int


@dataclass
class MinuteParts:
    """One bucket made of minutes that are told again and again: each counts as it was told last.

    `before` is the candle of what lies before `folded_to_ns`, minute by minute no more.
    """

    start_ns: int
    folded_to_ns: int
    before: HistoricalCandle | None = None
    minutes: dict[int, HistoricalCandle] = field(default_factory=dict)

    def put(self, minute: HistoricalCandle) -> None:
        """Take a minute's newest state: the one with more trades, as in the database."""
        start = ns_of(minute.timestamp)
        known = self.minutes.get(start)
        if start < self.folded_to_ns or (known is not None and minute.trade_count < known.trade_count):
            return
        self.minutes[start] = minute
        if len(self.minutes) > MAX_MINUTES_APART:
            for each in sorted(self.minutes)[:MINUTES_FOLDED]:
                self.before = _joined(self.before, self.minutes.pop(each))
                self.folded_to_ns = each + NS_PER_MINUTE

    def candle(self, interval: Interval) -> HistoricalCandle | None:
        """The bucket of them all; None without any trade."""
        whole = self.before
        for start in sorted(self.minutes):
            whole = _joined(whole, self.minutes[start])
        return whole and replace(whole, interval_minutes=interval.minutes, timestamp=moment_of(self.start_ns))


def _joined(whole: HistoricalCandle | None, minute: HistoricalCandle) -> HistoricalCandle | None:
    if not minute.trade_count:
        return whole
    return minute if whole is None else followed_by(whole, minute)


@dataclass(frozen=True, slots=True)
class CandleSnapshot:
    """What the database holds of a series from `start_ns` on, in one state of it, the forming candle included.

    `ledger` is that of the candles. `holes` are stretches it does not cover; `covered_to_ns` is where the last of them,
    which has no end, begins. `parts`: the forming bucket by its minutes, where they were asked for.
    """

    start_ns: int
    candles: tuple[HistoricalCandle, ...]
    ledger: Ledger
    holes: tuple[Stretch, ...] = ()
    covered_to_ns: int = 0
    parts: MinuteParts | None = None


class TakenIds:
    """Which ids are taken: those of a ledger, and what came since. Holes since `young_ns` may soon be filled."""

    def __init__(self, ledger: Ledger | None = None, young_ns: int = 0) -> None:
        self._runs = islands_of(ledger or Ledger())
        self._young_ns = young_ns
        # What lies below the ledger's part that we know is older than anything asked for.
        self._floor = self._runs[0].first_id if self._runs else 0
        # The ledger's newest id; 0: it has none.
        self.anchor = self._runs[-1].last_id if self._runs else 0

    def take(self, trade: Trade) -> bool:
        """Whether the trade is new; from now on it is not."""
        trade_id, ns = trade.trade_id, trade.ns
        if trade_id in self:
            return False
        place = bisect_right(self._runs, trade_id, key=_first_id)
        before = self._runs[place - 1] if place else None
        run = TradeRun(trade_id, trade_id, ns, ns)
        if before is not None and before.last_id + 1 == trade_id:
            place -= 1
            del self._runs[place]
            run = TradeRun(before.first_id, trade_id, before.first_ns, max(before.last_ns, ns))
        if place < len(self._runs) and self._runs[place].first_id == trade_id + 1:
            behind = self._runs.pop(place)
            run = run._replace(last_id=behind.last_id, last_ns=max(run.last_ns, behind.last_ns))
        self._runs.insert(place, run)
        return True

    def __contains__(self, trade_id: int) -> bool:
        place = bisect_right(self._runs, trade_id, key=_first_id)
        return trade_id < self._floor or (place > 0 and trade_id <= self._runs[place - 1].last_id)

    def absorb(self, ledger: Ledger) -> None:
        """Take the ids of a ledger as well."""
        self._runs = islands_of(Ledger((*self._runs, *ledger.trade_runs), ledger.answered_ids))

    def holes(self) -> list[IdHole]:
        """The steps between ids, from the ledger's newest id on and of those in the ledger the young ones, in order."""
        if len(self._runs) < 2:
            return []
        return [
            IdHole(before.last_id + 1, after.first_id - 1, before.last_ns, after.first_ns)
            for before, after in pairwise(self._runs)
            if after.first_id > self.anchor or after.first_ns >= self._young_ns
        ]

    @property
    def last_ns(self) -> int:
        """The time of the newest trade; 0 without any."""
        return self._runs[-1].last_ns if self._runs else 0


def _first_id(run: TradeRun) -> int:
    return run.first_id


class TradeSeries:
    """The trades of one pair, each told once. `depth`: as many of the newest are kept."""

    def __init__(self, symbol: str, depth: int = 0) -> None:
        self.symbol = symbol
        self.depth = depth
        self._ids = TakenIds()
        self._kept: list[Trade] = []
        self._is_loaded = False

    @property
    def is_waiting(self) -> bool:
        """Ids are missing that the database may have."""
        return bool(self._ids.holes())

    @property
    def is_empty(self) -> bool:
        """No trade has been taken, stored or live."""
        return not self._ids.last_ns

    @property
    def stale_from_ns(self) -> int:
        """From when on the database is to be read again."""
        holes = self._ids.holes()
        return holes[0].after_ns if holes else self._ids.last_ns

    def load(self, stored: Sequence[Trade], ledger: Ledger, heard: Sequence[Trade]) -> list[Trade]:
        """Take over what the database has, then what was `heard` live; give what is new of both.

        The first time there is nobody to tell: nothing is new.
        """
        if not self._is_loaded:
            self._ids, self._is_loaded = TakenIds(ledger), True
            self._keep(stored)
            self.take(heard)
            return []
        new = self.take([*stored, *heard])
        # Ids that are answered without a trade are waited for no more.
        self._ids.absorb(ledger)
        return new

    def deepen(self, stored: Sequence[Trade], depth: int) -> None:
        """Keep the newest `depth` from now on, and of `stored` those that were told before."""
        self.depth = max(self.depth, depth)
        known = {trade.trade_id for trade in self._kept}
        self._keep([each for each in stored if each.trade_id in self._ids and each.trade_id not in known])

    def take(self, trades: Iterable[Trade]) -> list[Trade]:
        """The new ones of `trades`, in their order."""
        new = [trade for trade in trades if self._ids.take(trade)]
        self._keep(new)
        return new

    def newest(self, count: int) -> list[Trade]:
        """The newest `count` of those that are kept, by id."""
        return self._kept[-count:] if count else []

    def _keep(self, trades: Iterable[Trade]) -> None:
        for trade in trades:
            insort(self._kept, trade, key=_trade_id)
        if len(self._kept) > self.depth + SLACK:
            del self._kept[: len(self._kept) - self.depth]


def _trade_id(trade: Trade) -> int:
    return trade.trade_id


class CandleSeries:
    """The candles of one pair and interval. `depth`: as many of the newest closed ones are kept."""

    def __init__(self, symbol: str, interval: Interval | str, depth: int) -> None:
        self.symbol = symbol
        self.interval = interval_of(interval)
        self.depth = depth
        # Nothing can have come that we did not hear, but for what `holes` shows.
        self.is_joined = False
        # Minutes have come whose bucket is not known minute by minute.
        self.needs_minutes = False
        self._ids = TakenIds()
        self._candles: dict[int, HistoricalCandle] = {}
        self._starts: list[int] = []
        self._told: dict[int, SeriesRow] = {}
        # Where the part begins that was told; None before the first reading.
        self._told_from: int | None = None
        # Buckets that start before it are closed.
        self._closed_to = 0
        # Where the next look for changes begins, beside what was touched.
        self._unsettled_from = 0
        self._heard_ns = 0
        self._newest_minute_ns = 0
        self._stored_holes: list[tuple[int, int]] = []
        self._covered_to_ns = 0
        # The id that made the close of a candle that has no ids.
        self._closing_ids: dict[int, int] = {}
        self._minutes: dict[int, HistoricalCandle] = {}
        self._parts: MinuteParts | None = None

    # --- what the owner asks ---

    @property
    def is_waiting(self) -> bool:
        """The database is to be read again soon: it may have what is missing here."""
        return not self.is_joined or self.needs_minutes or bool(self._ids.holes())

    @property
    def stale_from_ns(self) -> int:
        """From which bucket on the database is to be read again: what is not complete, at least the newest two."""
        incomplete = (
            start for start in self._starts if start in self._told and not self._told[start].is_complete
        )
        newest = self._starts[-2] if len(self._starts) > 1 else self._starts[0] if self._starts else 0
        return min(next(incomplete, newest), newest)

    @property
    def is_empty(self) -> bool:
        """There is no candle at all."""
        return not self._starts

    def newest(self, count: int) -> list[SeriesRow]:
        """The newest `count` closed rows as they were told, and those that are forming."""
        place = bisect_left(self._starts, self._closed_to)
        rows = [self._told[start] for start in self._starts[max(place - count, 0) :]]
        return [row._replace(state=State.CLOSED) if row.is_closed else row for row in rows]

    # --- what happens ---

    def load(
        self, snapshot: CandleSnapshot, heard: Sequence[Trade], now_ns: int, *, is_fresh: bool, is_late: bool
    ) -> list[SeriesRow]:
        """Take over what the database has, what was `heard` live on top; give the rows that differ from those told.

        `is_fresh`: of `heard` at least one came since we listen without a pause. `is_late`: whatever was said before
        that is in the database by now. The first time there is nobody to tell: no rows.
        """
        told_from = self._told_from
        self._told_from = snapshot.start_ns if told_from is None else min(told_from, snapshot.start_ns)
        self._ids = TakenIds(snapshot.ledger, now_ns - SETTLED_NS)
        kept = {start: self._candles[start] for start in self._starts if start < snapshot.start_ns}
        self._candles = kept | {ns_of(each.timestamp): each for each in snapshot.candles}
        self._starts = sorted(self._candles)
        self._closing_ids.clear()
        self._stored_holes = [(ns_of(hole.start), ns_of(hole.end)) for hole in snapshot.holes]
        self._covered_to_ns = snapshot.covered_to_ns
        for trade in sorted(heard, key=_trade_id):
            # Older buckets, which were not read again, have it already.
            if self._ids.take(trade) and trade.ns >= snapshot.start_ns:
                self._add(trade)
        self._load_minutes(snapshot)
        self.is_joined = self.is_joined or is_late or (is_fresh and self._ids.anchor > 0)
        self._close_to(now_ns - SETTLED_NS)
        rows = self._changes([start for start in self._starts if start >= snapshot.start_ns])
        self._trim()
        # A past that is deeper than before is told to those who ask for it.
        return [] if told_from is None else [row for row in rows if ns_of(row.candle.timestamp) >= told_from]

    def take(self, trades: Iterable[Trade]) -> list[SeriesRow]:
        """Take live trades; give the rows that changed."""
        touched = {self._add(trade) for trade in trades if self._ids.take(trade)}
        if not touched:
            return []
        self.is_joined = self.is_joined or self._ids.anchor > 0
        return self._advance(touched)

    def take_minutes(self, minutes: Iterable[HistoricalCandle]) -> list[SeriesRow]:
        """Take live 1-minute candles, of a pair without trades; give the rows that changed."""
        touched = {start for minute in minutes for start in self._put(minute)}
        return self._advance(touched) if touched else []

    def hear(self, heard_ns: int) -> list[SeriesRow]:
        """The feed heard the exchange at that time; give the rows that are closed by it."""
        self._heard_ns = max(self._heard_ns, heard_ns)
        return self._advance(set())

    def doubt(self) -> None:
        """Something may have come that we did not hear: closing by the clock waits for the next good reading."""
        self.is_joined = False
        # Where the minutes told are all there is of a bucket, the one that is forming may lack some.
        self.needs_minutes = self.needs_minutes or self._parts is not None

    # --- how it is done ---

    def _add(self, trade: Trade) -> int:
        """Put a new trade into its bucket, whose start is given."""
        start = bucket_start_ns(trade.ns, self.interval.minutes)
        known = self._candles.get(start)
        single = _candle_of(trade, start, self.interval)
        if known is None:
            insort(self._starts, start)
            self._candles[start] = single
        elif known.first_id is None:
            closing = self._closing_ids.get(start, 0)
            joined = followed_by(known, single)
            self._candles[start] = joined if trade.trade_id > closing else replace(joined, close=known.close)
            self._closing_ids[start] = max(closing, trade.trade_id)
        else:
            self._candles[start] = merge(known, single)
        return start

    def _put(self, minute: HistoricalCandle) -> list[int]:
        """Put a minute into its bucket, whose start is given; none where its other minutes are not known."""
        start = ns_of(minute.timestamp)
        bucket = bucket_start_ns(start, self.interval.minutes)
        self._newest_minute_ns = max(self._newest_minute_ns, start)
        known = self._minutes.get(start)
        if known is None or minute.trade_count >= known.trade_count:
            self._minutes[start] = minute
        for each in sorted(self._minutes)[:-MINUTES_FOLDED]:
            del self._minutes[each]
        if self.interval.parent is None:
            return self._set_candle(bucket, minute)
        if self._parts is None:
            self.needs_minutes = True
            return []
        if bucket > self._parts.start_ns:
            self._parts = MinuteParts(bucket, bucket)
        if bucket < self._parts.start_ns:
            return []
        self._parts.put(minute)
        whole = self._parts.candle(self.interval)
        return [] if whole is None else self._set_candle(bucket, whole)

    def _set_candle(self, start: int, candle: HistoricalCandle) -> list[int]:
        """Replace a bucket's candle by one of no fewer trades."""
        known = self._candles.get(start)
        if not candle.trade_count or (known is not None and known.trade_count > candle.trade_count):
            return []
        if known is None:
            insort(self._starts, start)
        self._candles[start] = candle
        return [start]

    def _load_minutes(self, snapshot: CandleSnapshot) -> None:
        """Take over the forming bucket minute by minute, and the live minutes on top."""
        if snapshot.parts is not None:
            self._parts, self.needs_minutes = snapshot.parts, False
        for minute in list(self._minutes.values()):
            self._put(minute)

    def _advance(self, touched: set[int]) -> list[SeriesRow]:
        before = self._closed_to
        self._close_to(0)
        place = bisect_left(self._starts, min(before, self._unsettled_from))
        rows = self._changes(sorted(touched.union(self._starts[max(place, len(self._starts) - SLACK) :])))
        self._trim()
        return rows

    def _close_to(self, settled_ns: int) -> None:
        """Move the line between closed and forming buckets on, as far as anything allows."""
        waited_for = self._waited_for()
        reached = [settled_ns, self._frontier_ns(waited_for)]
        if self.is_joined:
            reached.append(self._newest_minute_ns)
            reached.append(self._heard_ns - (PATIENCE_NS if waited_for else GRACE_NS))
        line = bucket_start_ns(max(reached), self.interval.minutes)
        self._closed_to = max(self._closed_to, line)

    def _waited_for(self) -> list[IdHole]:
        """The holes that are young enough to be waited for."""
        return [hole for hole in self._ids.holes() if hole.before_ns > self._heard_ns - PATIENCE_NS]

    def _frontier_ns(self, waited_for: list[IdHole]) -> int:
        """Up to when every trade is taken that is taken at all, without a step that is waited for; 0: not known."""
        if not self._ids.anchor and not self.is_joined:
            return 0
        return waited_for[0].after_ns if waited_for else self._ids.last_ns

    def _changes(self, starts: Iterable[int]) -> list[SeriesRow]:
        """The rows of these buckets that differ from what was told; they are told by that."""
        holes = self._ids.holes()
        rows = []
        for start in starts:
            candle, told = self._candles[start], self._told.get(start)
            is_closed = start < self._closed_to
            is_complete = self._is_complete(start, holes)
            if told is not None and told.candle == candle:
                # What was whole when it closed does not become doubtful with the feed.
                is_complete = is_complete or (told.is_complete and told.is_closed)
                if told.is_closed == is_closed and told.is_complete == is_complete:
                    continue
            state = State.FORMING
            if is_closed:
                state = State.REVISED if told is not None and told.is_closed else State.CLOSED
            self._told[start] = SeriesRow(candle, state, is_complete)
            rows.append(self._told[start])
        unsettled = [self._closed_to, *(hole.after_ns for hole in holes[:1])]
        if not self.is_joined:
            unsettled.append(self._covered_to_ns)
        self._unsettled_from = bucket_start_ns(min(unsettled), self.interval.minutes)
        return rows

    def _is_complete(self, start: int, holes: list[IdHole]) -> bool:
        """Whether nothing is known to be missing of the bucket."""
        end = ns_of(moment_of(start) + self.interval.length)
        if not self.is_joined and end > self._covered_to_ns:
            return False
        if any(first < end and start < last for first, last in self._stored_holes):
            return False
        return not any(hole.after_ns < end and start <= hole.before_ns for hole in holes)

    def _trim(self) -> None:
        """Forget what nobody wants any more, some at a time."""
        surplus = len(self._starts) - self.depth - SLACK
        if surplus > SLACK:
            for start in self._starts[:surplus]:
                del self._candles[start]
                self._told.pop(start, None)
                self._closing_ids.pop(start, None)
            del self._starts[:surplus]
            # A deeper past that is read later tells nobody again what was told, and forgotten, here.
            if self._told_from is not None:
                self._told_from = max(self._told_from, self._starts[0])


def _candle_of(trade: Trade, start_ns: int, interval: Interval) -> HistoricalCandle:
    price = trade.price
    return HistoricalCandle(
        symbol=trade.symbol,
        interval_minutes=interval.minutes,
        timestamp=moment_of(start_ns),
        open=price,
        high=price,
        low=price,
        close=price,
        volume=trade.volume,
        turnover=turnover_of(price, trade.volume),
        trade_count=1,
        first_id=trade.trade_id,
        last_id=trade.trade_id,
    )
