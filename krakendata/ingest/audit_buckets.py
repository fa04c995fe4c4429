"""Random buckets of every interval, recomputed from what they are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from krakendata.candles import bucket_start
from krakendata.gaps import Stretch
from krakendata.storage.audit import (
    BY_FIVE_MINUTES,
    BY_MINUTES,
    BY_TRADES,
    CandleFacts,
    Connection,
    read_candle_facts,
    read_next_candle_time,
    read_next_trade_time,
    recompute,
)
from krakendata.storage.ledger import Lines
from krakendata.types import Interval, interval_of

# Draws that hit what was drawn before are made again, but not for ever.
DRAWS_PER_BUCKET = 4

FIVE_MINUTES = interval_of("5m").minutes

# By field: what is stored and what it has to be; None on one side throughout: there is no candle, or none to be.
Differences = dict[str, tuple[Decimal | int | None, Decimal | int | None]]


class Bucket(NamedTuple):
    """One bucket of an interval."""

    interval: Interval
    start: datetime

    @property
    def stretch(self) -> Stretch:
        """Its time."""
        return Stretch(self.start, self.start + self.interval.length)


@dataclass(frozen=True, slots=True)
class Difference:
    """A bucket that is not what it has to be, by `compared_with`: "trades", "minutes" or "exchange"."""

    bucket: Bucket
    compared_with: str
    fields: Differences


@dataclass(frozen=True, slots=True)
class Reach:
    """A stretch in which the buckets of an interval can be recomputed, from the parts named."""

    stretch: Stretch
    parts: str

    @property
    def compared_with(self) -> str:
        """The word for it in the findings."""
        return "trades" if self.parts == BY_TRADES else "minutes"


def reaches_of(interval: Interval, data: Stretch, now: datetime, lines: Lines) -> list[Reach]:
    """Where the closed buckets of `interval` in `data` can be recomputed, and from what.

    Both lines are Mondays, so that every bucket lies on one side of each. Where retention has dropped a bucket's
    parts there is nothing to recompute it from: minutes below the trades' line, five minutes below the fence.
    """
    begins = bucket_start(data.start, interval.minutes)
    ends = min(
        bucket_start(data.end, interval.minutes) + interval.length, bucket_start(now, interval.minutes)
    )
    by_trades = max(lines.trades, lines.candles)
    reaches = [Reach(Stretch(max(begins, by_trades), ends), BY_TRADES)]
    if interval.parent is not None:
        reaches.append(Reach(Stretch(max(begins, lines.candles), min(ends, by_trades)), BY_MINUTES))
    if interval.minutes > FIVE_MINUTES:
        reaches.append(Reach(Stretch(begins, min(ends, lines.candles)), BY_FIVE_MINUTES))
    return [reach for reach in reaches if reach.stretch.start < reach.stretch.end]


async def draw_buckets(
    connection: Connection, symbol: str, interval: Interval, reach: Reach, number: int, chance: Random
) -> list[Bucket]:
    """Up to `number` different buckets of `reach`, in order; all of them where there are no more.

    Half are drawn where trades are, and half where candles are, so that both are found: a candle that is missing
    though there were trades, and one that is there without any.
    """
    lots = [_Lots(connection, symbol, interval, reach.stretch, of_trades=False)]
    if reach.parts == BY_TRADES:
        lots.append(_Lots(connection, symbol, interval, reach.stretch, of_trades=True))
    candidates: set[datetime] = set()
    for each in lots:
        candidates |= await each.first(number + 1)
    if len(candidates) <= number:
        found = candidates
    else:
        found = set()
        seconds = int((reach.stretch.end - reach.stretch.start).total_seconds())
        for draw in range(DRAWS_PER_BUCKET * number):
            moment = reach.stretch.start + timedelta(seconds=chance.randrange(seconds))
            start = await lots[draw % len(lots)].next(moment)
            found |= {start} if start is not None else set()
            if len(found) == number:
                break
        # Where the draws fell into the same few buckets, for instance on a market with long pauses.
        left = sorted(candidates - found)
        found.update(chance.sample(left, min(number - len(found), len(left))))
    return [Bucket(interval, start) for start in sorted(found)]


@dataclass(frozen=True, slots=True)
class _Lots:
    """The buckets of a stretch in which there is a candle, or a trade."""

    connection: Connection
    symbol: str
    interval: Interval
    stretch: Stretch
    of_trades: bool

    async def next(self, moment: datetime) -> datetime | None:
        """The start of the first one from `moment` on."""
        rest = Stretch(moment, self.stretch.end)
        if self.of_trades:
            traded = await read_next_trade_time(self.connection, self.symbol, rest)
            return traded and bucket_start(traded, self.interval.minutes)
        return await read_next_candle_time(self.connection, self.interval, self.symbol, rest)

    async def first(self, number: int) -> set[datetime]:
        """The starts of the first `number`."""
        found: set[datetime] = set()
        start = await self.next(self.stretch.start)
        while start is not None and len(found) < number:
            found.add(start)
            start = await self.next(start + self.interval.length)
        return found


async def compare_bucket(
    connection: Connection, symbol: str, bucket: Bucket, reach: Reach, *, is_proven: bool
) -> Difference | None:
    """What of a bucket is not what its parts make of it; None: all is right."""
    stored = await read_candle_facts(connection, bucket.interval, symbol, bucket.stretch)
    wanted = await recompute(connection, symbol, bucket.stretch, reach.parts, is_proven=is_proven)
    fields = differences(stored.get(bucket.start), wanted, CandleFacts._fields)
    return Difference(bucket, reach.compared_with, fields) if fields else None


def differences(stored: CandleFacts | None, wanted: CandleFacts | None, names: Sequence[str]) -> Differences:
    """The fields called `names` in which two candles differ; one that is not there differs in all of them."""
    return {
        name: (ours, theirs)
        for name in names
        for ours, theirs in [(getattr(stored, name, None), getattr(wanted, name, None))]
        if ours != theirs
    }
