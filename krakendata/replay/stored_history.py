"""A pair's history as it is stored, for the replay exchange: its trades, and candles where those are gone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from itertools import groupby
from typing import NamedTuple, Self

from krakendata.errors import NothingStored
from krakendata.gaps import Stretch
from krakendata.replay.frames import number_text
from krakendata.replay.histories import REST_PRICE_DECIMALS, REST_VOLUME_DECIMALS, Bar, Row
from krakendata.storage.pool import Pool
from krakendata.storage.queries import read_bounds, read_candles, read_newest_trades, read_oldest_trades
from krakendata.types import (
    INTERVALS,
    NS_PER_MINUTE,
    Interval,
    Pair,
    moment_of,
    ns_of,
)

__all__ = ["StoredHistory"]

# A page of REST has 1,000 trades, a socket hears one after the other: ten pages are read at a time.
BLOCK_ROWS = 10_000
# Blocks that are kept: one for each who reads on somewhere else.
BLOCKS = 4

# Stored times are exact to a microsecond.
NS_PER_MICROSECOND = 1_000

# Candles that are stored, largest first, whose grid is the exchange's: weeks are not (ours begin on Monday).
BASES = tuple(
    interval
    for interval in sorted(INTERVALS.values(), key=lambda each: -each.minutes)
    if interval.minutes <= INTERVALS["1d"].minutes
)


class _Part(NamedTuple):
    """A candle to be folded with others; `turnover` None: not known."""

    start_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal | None
    trade_count: int


@dataclass(frozen=True)
class _Block:
    """Every trade from `from_ns` to before `end_ns`; `times` are the nanoseconds of `rows`."""

    from_ns: int
    end_ns: int
    rows: Sequence[Row]
    times: Sequence[int]


class StoredHistory:
    """What is stored of `pair` in a half-open time, in nanoseconds; `pool` is open, and a reader's.

    Trades without the exchange's ids, of old archives, are not told: nobody could say where they stand. What retention
    has dropped is told as candles alone. What is written meanwhile is not seen.
    """

    delisted_ns = None

    def __init__(self, pool: Pool, pair: Pair, listed_ns: int, end_ns: int) -> None:
        self.pair = pair
        self.listed_ns = listed_ns
        self.end_ns = end_ns
        self._pool = pool
        self._blocks: list[_Block] = []

    @classmethod
    async def open(cls, pool: Pool, pair: Pair, start: datetime | None, end: datetime | None) -> Self:
        """The history between two aware times, None: as far as it reaches.

        Raises NothingStored where there is nothing between them.
        """
        async with pool.connection() as connection:
            bounds = await read_bounds(connection, INTERVALS["1m"], pair.symbol)
        firsts = [bounds.first_ns, _ns(bounds.first_start)]
        lasts = [bounds.last_ns, _ns(bounds.last_end)]
        first_ns = min((each for each in firsts if each is not None), default=None)
        # The last trade itself is in, and its whole microsecond.
        end_ns = max((each + NS_PER_MICROSECOND for each in lasts if each is not None), default=0)
        if first_ns is None:
            raise NothingStored(pair.symbol)
        # Stored times are cut to microseconds, the ledger's are not.
        first_ns = first_ns // NS_PER_MICROSECOND * NS_PER_MICROSECOND
        if start is not None:
            first_ns = max(first_ns, ns_of(start))
        if first_ns >= (end_ns if end is None else min(end_ns, ns_of(end))):
            raise NothingStored(pair.symbol)
        return cls(pool, pair, first_ns, end_ns if end is None else ns_of(end))

    # --- as the exchange asks ------------------------------------------------------------------------------

    async def oldest(self, from_ns: int, before_ns: int, count: int) -> Sequence[Row]:
        from_ns, before_ns = max(from_ns, self.listed_ns), min(before_ns, self.end_ns)
        if from_ns >= before_ns:
            return []
        block = next((each for each in self._blocks if self._answers(each, from_ns, before_ns, count)), None)
        if block is None:
            block = await self._read_block(from_ns, before_ns, count)
        first = bisect_left(block.times, from_ns)
        return block.rows[first : min(bisect_left(block.times, before_ns), first + count)]

    async def newest(self, from_ns: int, before_ns: int, count: int) -> Sequence[Row]:
        from_ns, before_ns = max(from_ns, self.listed_ns), min(before_ns, self.end_ns)
        if from_ns >= before_ns:
            return []
        async with self._pool.connection() as connection:
            rows = await read_newest_trades(connection, self.pair.symbol, _stretch(from_ns, before_ns), count)
        return [_row(*row) for row in rows]

    async def bars(
        self, minutes: int, from_ns: int, before_ns: int, without: Sequence[Row] = ()
    ) -> Sequence[Bar]:
        bases = [each for each in BASES if minutes % each.minutes == 0]
        from_ns, before_ns = max(from_ns, _floor(self.listed_ns, bases[0])), min(before_ns, self.end_ns)
        if from_ns >= before_ns:
            return []
        # Up to here nothing is left out, and whole candles are as good as their trades.
        whole_ns = max(from_ns, min([before_ns, *(row.ns for row in without)]))
        parts = await self._cover(from_ns, whole_ns, bases)
        parts += await self._ticks(whole_ns, before_ns, without)
        length = minutes * NS_PER_MINUTE
        grouped = groupby(parts, key=lambda part: part.start_ns // length * length)
        return [self._bar(start, list(group)) for start, group in grouped]

    # --- trades --------------------------------------------------------------------------------------------

    def _answers(self, block: _Block, from_ns: int, before_ns: int, count: int) -> bool:
        """Whether a block has the first `count` trades of a time, or all of them."""
        if not block.from_ns <= from_ns < block.end_ns:
            return False
        return before_ns <= block.end_ns or len(block.times) - bisect_left(block.times, from_ns) >= count

    async def _read_block(self, from_ns: int, before_ns: int, count: int) -> _Block:
        """Read on from `from_ns`, so far that the question is answered; the block is kept for the next one."""
        limit = max(BLOCK_ROWS, 2 * count)
        while True:
            block = await self._read(from_ns, limit)
            if self._answers(block, from_ns, before_ns, count):
                break
            # So many trades of one microsecond that the last of them could not be told from the next.
            limit *= 2
        self._blocks = [block, *self._blocks[: BLOCKS - 1]]
        return block

    async def _read(self, from_ns: int, limit: int) -> _Block:
        async with self._pool.connection() as connection:
            stretch = _stretch(from_ns, self.end_ns)
            found = await read_oldest_trades(connection, self.pair.symbol, stretch, limit)
        rows = [_row(*row) for row in found]
        if len(rows) < limit:
            return _Block(from_ns, self.end_ns, rows, [row.ns for row in rows])
        # Further trades of the last moment may not have been read.
        end_ns = rows[-1].ns
        whole = rows[: bisect_left([row.ns for row in rows], end_ns)]
        return _Block(from_ns, end_ns, whole, [row.ns for row in whole])

    # --- candles -------------------------------------------------------------------------------------------

    async def _cover(self, from_ns: int, before_ns: int, bases: Sequence[Interval]) -> list[_Part]:
        """A time by the largest stored candles that lie within, their edges by smaller ones and single trades."""
        if from_ns >= before_ns:
            return []
        if not bases:
            return await self._ticks(from_ns, before_ns, ())
        base, *smaller = bases
        first, end = _floor(from_ns + base.minutes * NS_PER_MINUTE - 1, base), _floor(before_ns, base)
        if first >= end:
            return await self._cover(from_ns, before_ns, smaller)
        return [
            *await self._cover(from_ns, first, smaller),
            *await self._stored(base, first, end),
            *await self._cover(end, before_ns, smaller),
        ]

    async def _stored(self, interval: Interval, from_ns: int, end_ns: int) -> list[_Part]:
        async with self._pool.connection() as connection:
            rows = await read_candles(connection, interval, self.pair.symbol, _stretch(from_ns, end_ns))
        return [
            _Part(ns_of(start), open_, high, low, close, volume, turnover, trade_count)
            for _symbol, start, open_, high, low, close, volume, _vwap, trade_count, turnover, *_ in rows
        ]

    async def _ticks(self, from_ns: int, before_ns: int, without: Sequence[Row]) -> list[_Part]:
        """Each trade within as a candle of its own."""
        count = 1_000
        while len(rows := await self.oldest(from_ns, before_ns, count)) == count:
            count *= 2
        left_out = {row.trade_id for row in without}
        priced = ((row, Decimal(row.price), Decimal(row.volume)) for row in rows)
        return [
            _Part(row.ns, price, price, price, price, volume, price * volume, 1)
            for row, price, volume in priced
            if row.trade_id not in left_out
        ]

    def _bar(self, start_ns: int, parts: Sequence[_Part]) -> Bar:
        volume = sum((part.volume for part in parts), Decimal())
        turnover = sum((_turnover_of(part) for part in parts), Decimal())
        decimals = self.pair.price_decimals
        vwap = (turnover / volume).quantize(Decimal(1).scaleb(-decimals), ROUND_DOWN)
        prices = parts[0].open, max(p.high for p in parts), min(p.low for p in parts), parts[-1].close
        open_, high, low, close = (number_text(f"{price:f}", decimals) for price in prices)
        return Bar(
            start_ns, open_, high, low, close, f"{vwap:f}", number_text(f"{volume:f}", REST_VOLUME_DECIMALS),
            sum(part.trade_count for part in parts), f"{turnover:f}",
        )  # fmt: skip


def _ns(moment: datetime | None) -> int | None:
    return None if moment is None else ns_of(moment)


def _turnover_of(part: _Part) -> Decimal:
    """Archives of candles do not tell it: then as if all of it had been traded at the middle of the prices."""
    if part.turnover is not None:
        return part.turnover
    return part.volume * (part.high + part.low + part.close) / 3


def _row(
    trade_id: int, timestamp: datetime, price: str, volume: str, side: str | None, order_type: str | None
) -> Row:
    return Row(
        trade_id,
        ns_of(timestamp),
        number_text(price, REST_PRICE_DECIMALS),
        number_text(volume, REST_VOLUME_DECIMALS),
        "s" if side == "sell" else "b",
        "m" if order_type == "market" else "l",
    )


def _stretch(from_ns: int, before_ns: int) -> Stretch:
    """The stored times within: those whose nanoseconds are."""
    first, end = -(-from_ns // NS_PER_MICROSECOND), -(-before_ns // NS_PER_MICROSECOND)
    return Stretch(moment_of(first * NS_PER_MICROSECOND), moment_of(end * NS_PER_MICROSECOND))


def _floor(ns: int, interval: Interval) -> int:
    length = interval.minutes * NS_PER_MINUTE
    return ns // length * length
