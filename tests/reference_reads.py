"""What a reader has to answer, worked out as simply as can be, in memory, from what was written: minute by minute.

Nothing here is taken from the code under test but the words (types.py) and how the ledger is judged (gaps.py, which has
properties of its own). Slow, and meant to be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from krakendata.gaps import Coverage, Ledger, Stretch, coverage_of
from krakendata.types import HistoricalCandle, Trade

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
# Where a question without a start begins, as the reference of the provider says.
KRAKEN_OPENED = datetime(2013, 9, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)

# Every interval that is asked for, and the minutes of the stored one it is made of.
BASES = {
    "1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "12h": 720, "1d": 1440, "1w": 10080,
    "2m": 1, "3m": 1, "6m": 1, "10m": 5, "20m": 5, "45m": 15, "90m": 30, "160m": 5, "288m": 1, "480m": 240,
    "2h": 60, "3h": 60, "6h": 60, "8h": 240, "2d": 1440, "3d": 1440, "5d": 1440, "10d": 1440, "2w": 10080,
    "1mo": 1440, "2mo": 1440, "3mo": 1440, "12mo": 1440,
}  # fmt: skip

Row = tuple[Any, ...]


def parsed(name: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+)(m|h|d|w|mo)", name)
    assert match
    return int(match[1]), match[2]


def start_of(moment: datetime, name: str) -> datetime:
    """Where the bucket that holds the moment starts."""
    count, unit = parsed(name)
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if unit in "mh":
        length = count * (MINUTE if unit == "m" else 60 * MINUTE)
        return midnight + (moment - midnight) // length * length
    if unit == "d":
        return EPOCH + (midnight - EPOCH) // (count * DAY) * (count * DAY)
    if unit == "w":
        return FIRST_MONDAY + (midnight - FIRST_MONDAY) // (7 * count * DAY) * (7 * count * DAY)
    return datetime(moment.year, (moment.month - 1) // count * count + 1, 1, tzinfo=UTC)


def after(start: datetime, name: str) -> datetime:
    """Where the next bucket starts."""
    count, unit = parsed(name)
    if unit == "mo":
        month = start.month - 1 + count
        return datetime(start.year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return start + count * {"m": MINUTE, "h": 60 * MINUTE, "d": DAY, "w": 7 * DAY}[unit]


def first_at_or_after(moment: datetime, name: str) -> datetime:
    start = start_of(moment, name)
    return start if start == moment else after(start, name)


@dataclass(frozen=True)
class Truth:
    """What was written of one symbol.

    `minutes` are all its 1-minute candles, also those below the `fence`, which are stored in longer ones alone; `days`
    the candles of a day that an archive gave; `trades` those that are still stored.
    """

    symbol: str
    fence: datetime
    trades_line: datetime
    now: datetime
    minutes: dict[datetime, HistoricalCandle]
    days: dict[datetime, HistoricalCandle]
    trades: list[Trade]
    ledger: Ledger

    def asked(
        self, name: str, start: datetime | None, end: datetime | None, include_open: bool = False
    ) -> Stretch:
        forming = start_of(self.now, name)
        stop = after(forming, name) if include_open else forming
        last = stop if end is None else min(stop, first_at_or_after(end, name))
        return Stretch(min(last, first_at_or_after(start or KRAKEN_OPENED, name)), last)

    def coverage(self, name: str, asked: Stretch) -> Coverage:
        return coverage_of(asked, self.ledger, BASES[name], self.fence if BASES[name] == 1 else None)

    def candles(self, name: str, asked: Stretch, fill: str = "none") -> list[Row]:
        every = list(self._candles(name))
        found = {row[1]: row for row in every if asked.start <= row[1] < asked.end}
        if fill != "none" and asked.start < asked.end:
            holes = self.coverage(name, Stretch(KRAKEN_OPENED, asked.end)).holes
            for start in self._quiet(name, asked, holes):
                price = price_at(name, start, every, holes) if fill == "flat" else None
                if start not in found and (fill == "null" or price is not None):
                    zeros = (Decimal(0), None, 0, Decimal(0), None, None, False)
                    found[start] = (self.symbol, start, price, price, price, price, *zeros)
        return [found[start] for start in sorted(found)]

    def _candles(self, name: str) -> Iterator[Row]:
        """Every candle, in order."""
        buckets: dict[datetime, list[Row]] = {}
        for start, part in sorted(self._parts(BASES[name])):
            buckets.setdefault(start_of(start, name), []).append(part)
        for start, parts in buckets.items():
            yield (self.symbol, start, *folded(parts))

    def _parts(self, base: int) -> Iterator[tuple[datetime, Row]]:
        """What an interval is made of: its minutes, and where there are none in a day, the archive's candle of it."""
        days = set()
        for start, minute in self.minutes.items():
            if base > 1 or start >= self.fence:
                days.add(start_of(start, "1d"))
                yield start, facts(minute)
        if base == 1440:
            for start, day in self.days.items():
                if start not in days:
                    yield start, facts(day, coarse=True)

    def _first_bucket(self, name: str) -> datetime | None:
        known = [run.first_ns // 1000 for run in self.ledger.trade_runs]
        moments = [EPOCH + timedelta(microseconds=us) for us in known]
        moments += [
            run.first_start for run in self.ledger.candle_runs if run.interval_minutes in (1, BASES[name])
        ]
        if not moments:
            return None
        first = min(moments)
        return start_of(max(first, self.fence) if BASES[name] == 1 else first, name)

    def _quiet(self, name: str, asked: Stretch, holes: tuple[Stretch, ...]) -> Iterator[datetime]:
        """The buckets of which no moment lies in a hole, from the first one on that anything is known of."""
        first = self._first_bucket(name)
        if first is None:
            return
        start = max(first, asked.start)
        while start < asked.end:
            end = after(start, name)
            if not any(hole.start < end and hole.end > start for hole in holes):
                yield start
            start = end

    def trades_in(self, asked: Stretch) -> list[Trade]:
        inside = [trade for trade in self.trades if asked.start <= trade.timestamp < asked.end]
        return sorted(inside, key=lambda trade: (trade.timestamp, trade.trade_id))

    def trades_coverage(self, asked: Stretch) -> Coverage:
        ledger = Ledger(self.ledger.trade_runs, self.ledger.answered_ids, (), self.ledger.check)
        return coverage_of(asked, ledger, 1, self.trades_line)


def price_at(name: str, start: datetime, every: list[Row], holes: tuple[Stretch, ...]) -> Decimal | None:
    """The last price before a bucket, unless a hole lies between."""
    before = [row for row in every if row[1] < start]
    if not before:
        return None
    last = before[-1][1]
    if any(hole.start < start and start_of(hole.end, name) > last for hole in holes):
        return None
    close: Decimal = before[-1][5]
    return close


def facts(candle: HistoricalCandle, coarse: bool = False) -> Row:
    prices = candle.open, candle.high, candle.low, candle.close
    return (
        *prices,
        candle.volume,
        candle.turnover,
        candle.trade_count,
        candle.first_id,
        candle.last_id,
        coarse,
    )


def folded(parts: list[Row]) -> Row:
    """In the order of types.Candle, without symbol and start."""
    volume = sum((part[4] for part in parts), Decimal(0))
    turnovers = [part[5] for part in parts]
    turnover = None if None in turnovers else sum(turnovers, Decimal(0))
    first_ids, last_ids = [part[7] for part in parts], [part[8] for part in parts]
    return (
        parts[0][0],
        max(part[1] for part in parts),
        min(part[2] for part in parts),
        parts[-1][3],
        volume,
        None if turnover is None or not volume else turnover / volume,
        sum(part[6] for part in parts),
        turnover,
        None if None in first_ids else min(first_ids),
        None if None in last_ids else max(last_ids),
        any(part[9] for part in parts),
    )


def alike(found: Row, wanted: Row) -> bool:
    """Equal, the vwap to twelve digits: it is a quotient."""
    if found[:7] + found[8:] != wanted[:7] + wanted[8:]:
        return False
    if found[7] is None or wanted[7] is None:
        return found[7] is wanted[7]
    return bool(abs(found[7] - wanted[7]) <= abs(wanted[7]) * Decimal("1e-12"))
