"""What a pair traded, as the replay exchange asks for it: a protocol, and a history that follows from a seed."""

from __future__ import annotations

import asyncio
import random
import threading
from array import array
from bisect import bisect_left
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Protocol

import polars as pl

from krakendata.replay.drawing import Drawing, bytes_of
from krakendata.replay.listing import listed_pair
from krakendata.replay.market import MarketPair
from krakendata.types import NS_PER_MINUTE, Pair, Trade, ns_of

__all__ = ["Bar", "GeneratedHistory", "History", "Row"]

# REST shows at least five decimals of a price, whatever the pair's own (kraken-facts 1.3).
REST_PRICE_DECIMALS = 5
REST_VOLUME_DECIMALS = 8

# Trades are made up a week at a time: large enough to be cheap, small enough not to be felt by who waits.
CHUNK = timedelta(days=7)
CHUNK_NS = CHUNK // timedelta(microseconds=1) * 1_000


class Row(NamedTuple):
    """A trade as REST writes it: price and volume are its digits, side "b" or "s", order type "m" or "l"."""

    trade_id: int
    ns: int
    price: str
    volume: str
    side: str
    order_type: str


class Bar(NamedTuple):
    """A candle with trades as REST writes it, `start_ns` being its first nanosecond; and its exact turnover."""

    start_ns: int
    open: str
    high: str
    low: str
    close: str
    vwap: str
    volume: str
    trade_count: int
    turnover: str


class History(Protocol):
    """One pair's trades, in order of time and id. Ranges are half-open, in nanoseconds since the epoch."""

    pair: Pair

    @property
    def listed_ns(self) -> int:
        """The first moment at which the pair is listed."""

    @property
    def delisted_ns(self) -> int | None:
        """From when on it is listed no more; None: it still is."""

    async def oldest(self, from_ns: int, before_ns: int, count: int) -> Sequence[Row]:
        """The first `count` trades within."""

    async def newest(self, from_ns: int, before_ns: int, count: int) -> Sequence[Row]:
        """The last `count` trades within, oldest first."""

    async def bars(
        self, minutes: int, from_ns: int, before_ns: int, without: Sequence[Row] = ()
    ) -> Sequence[Bar]:
        """The candles of the trades within, but for those `without`; their grid begins at the epoch."""


class GeneratedHistory:
    """A made-up pair from the aware `start` on, without end: equal arguments give equal trades.

    It is made a week at a time as far as it is asked for. Ids begin at `first_id`; about every `absent_every`th
    trade (0: none) is followed by a few ids that never were. `until`: when the pair is delisted.
    `activity` multiplies the pair's trades per minute.
    """

    def __init__(
        self,
        pair: MarketPair,
        start: datetime,
        seed: int = 1,
        *,
        until: datetime | None = None,
        first_id: int = 1,
        absent_every: int = 0,
        activity: float = 1.0,
    ) -> None:
        self.pair = listed_pair(pair)
        self._until_ns = None if until is None else ns_of(until)
        self._start_ns = ns_of(start) // NS_PER_MINUTE * NS_PER_MINUTE
        self._made_to_ns = self._start_ns
        source = random.Random(f"{seed}/{pair.symbol}/history")  # noqa: S311 (a game, not a secret)
        self._drawing = Drawing(pair, source, first_id, absent_every, activity)
        self._ids, self._ns = array("q"), array("q")
        self._prices, self._volumes = array("q"), array("q")
        self._flags = bytearray()
        # A test asks for the truth while a server in another thread answers.
        self._making = threading.Lock()
        self._weeks: dict[int, pl.DataFrame] = {}

    @property
    def listed_ns(self) -> int:
        return self._start_ns

    @property
    def delisted_ns(self) -> int | None:
        return self._until_ns

    # --- as the exchange asks ------------------------------------------------------------------------------

    async def oldest(self, from_ns: int, before_ns: int, count: int) -> Sequence[Row]:
        await self._make(before_ns)
        first, end = self._places(from_ns, before_ns)
        return self._rows(first, min(end, first + count))

    async def newest(self, from_ns: int, before_ns: int, count: int) -> Sequence[Row]:
        await self._make(before_ns)
        first, end = self._places(from_ns, before_ns)
        return self._rows(max(first, end - count), end)

    async def bars(
        self, minutes: int, from_ns: int, before_ns: int, without: Sequence[Row] = ()
    ) -> Sequence[Bar]:
        await self._make(before_ns)
        length = minutes * NS_PER_MINUTE
        folded = fold(self._minutes(from_ns, before_ns, {row.trade_id for row in without}), length)
        return [self._bar(*row) for row in folded.iter_rows()]

    # --- the truth, for tests ------------------------------------------------------------------------------

    def trades(self, from_ns: int, before_ns: int) -> list[Trade]:
        """Every trade within, exactly."""
        first, end = self._places(from_ns, before_ns)
        symbol = self.pair.symbol
        return [
            Trade(symbol, row.trade_id, row.ns, Decimal(row.price), Decimal(row.volume),
                  "buy" if row.side == "b" else "sell", "limit" if row.order_type == "l" else "market")
            for row in self._rows(first, end)
        ]  # fmt: skip

    def ids(self, from_ns: int, before_ns: int) -> Sequence[int]:
        """The ids of the trades within."""
        first, end = self._places(from_ns, before_ns)
        return self._ids[first:end]

    def absent_ids(self, before_ns: int) -> list[int]:
        """The ids between the first trade's and that of the newest before `before_ns` that no trade has."""
        ids = self.ids(self._start_ns, before_ns)
        absent: list[int] = []
        last = ids[0] if ids else 0
        for number in ids:
            absent.extend(range(last + 1, number))
            last = number
        return absent

    # --- making and looking up -----------------------------------------------------------------------------

    async def _make(self, before_ns: int) -> None:
        """Make what is missing up to a time, in a thread: months of it take seconds."""
        if self._made_to_ns < (before_ns if self._until_ns is None else min(before_ns, self._until_ns)):
            await asyncio.to_thread(self._places, before_ns, before_ns)

    def _places(self, from_ns: int, before_ns: int) -> tuple[int, int]:
        """Where the trades within begin and end in the arrays, made first if they are not yet."""
        if self._until_ns is not None:
            before_ns = min(before_ns, self._until_ns)
        if self._made_to_ns < before_ns:
            with self._making:
                while self._made_to_ns < before_ns:
                    self._make_week()
        first = bisect_left(self._ns, from_ns)
        return first, max(first, bisect_left(self._ns, before_ns))

    def _make_week(self) -> None:
        drawn = self._drawing.draw(self._made_to_ns, CHUNK_NS)
        self._flags += bytes_of(drawn["flags"])
        # Times last: who finds a trade by its time in another thread finds all of it.
        for column, name in (
            (self._ids, "trade_id"), (self._prices, "price"), (self._volumes, "volume"), (self._ns, "ns"),
        ):  # fmt: skip
            column.frombytes(bytes_of(drawn[name]))
        self._made_to_ns += CHUNK_NS

    def _rows(self, first: int, end: int) -> list[Row]:
        price_digits = max(REST_PRICE_DECIMALS, self.pair.price_decimals)
        volume_digits = max(REST_VOLUME_DECIMALS, self.pair.volume_decimals)
        # What a smallest unit of ours is in the last digit shown, and what the whole number before the point is.
        price_step, price_whole = (
            10 ** (price_digits - self.pair.price_decimals),
            10**self.pair.price_decimals,
        )
        volume_step, volume_whole = (
            10 ** (volume_digits - self.pair.volume_decimals),
            10**self.pair.volume_decimals,
        )
        return [
            Row(
                number,
                ns,
                f"{price // price_whole}.{price % price_whole * price_step:0{price_digits}}",
                f"{volume // volume_whole}.{volume % volume_whole * volume_step:0{volume_digits}}",
                "s" if flags & 1 else "b",
                "m" if flags & 2 else "l",
            )
            for number, ns, price, volume, flags in zip(
                self._ids[first:end], self._ns[first:end], self._prices[first:end],
                self._volumes[first:end], self._flags[first:end], strict=True,
            )
        ]  # fmt: skip

    def _minutes(self, from_ns: int, before_ns: int, without: Collection[int]) -> pl.DataFrame:
        """The minutes within. Whole weeks in which nothing is left out are kept: they do not change any more."""
        parts = []
        start = self._start_ns + max(0, from_ns - self._start_ns) // CHUNK_NS * CHUNK_NS
        while start < before_ns and (self._until_ns is None or start < self._until_ns):
            lower, upper = max(start, from_ns), min(start + CHUNK_NS, before_ns)
            if upper - lower < CHUNK_NS or without:
                parts.append(fold(self._ticks(lower, upper, without), NS_PER_MINUTE))
            else:
                if start not in self._weeks:
                    self._weeks[start] = fold(self._ticks(lower, upper, ()), NS_PER_MINUTE)
                parts.append(self._weeks[start])
            start += CHUNK_NS
        return pl.concat(parts) if parts else self._ticks(0, 0, ())

    def _ticks(self, from_ns: int, before_ns: int, without: Collection[int]) -> pl.DataFrame:
        """Each trade within as a candle of its own."""
        first, end = self._places(from_ns, before_ns)
        price = pl.Series(self._prices[first:end].tolist(), dtype=pl.Int64)
        volume = pl.Series(self._volumes[first:end].tolist(), dtype=pl.Int64)
        ticks = pl.DataFrame(
            {
                "trade_id": pl.Series(self._ids[first:end].tolist(), dtype=pl.Int64),
                "ns": pl.Series(self._ns[first:end].tolist(), dtype=pl.Int64),
                "open": price, "high": price, "low": price, "close": price, "volume": volume.cast(pl.Int128),
            }
        )  # fmt: skip
        if without:
            ticks = ticks.filter(~pl.col("trade_id").is_in(list(without)))
        # A turnover in smallest units has up to 27 digits.
        return ticks.select(
            "ns", "open", "high", "low", "close", "volume",
            turnover=pl.col("close").cast(pl.Int128) * pl.col("volume"), count=pl.lit(1, pl.Int64),
        )  # fmt: skip

    def _bar(self, start_ns: int, *values: int) -> Bar:
        *prices, volume, turnover, trade_count = values
        decimals = self.pair.price_decimals
        open_, high, low, close, vwap = (_digits(price, decimals) for price in (*prices, turnover // volume))
        shown = max(REST_VOLUME_DECIMALS, self.pair.volume_decimals)
        exact = _digits(turnover, decimals + self.pair.volume_decimals)
        volume *= 10 ** (shown - self.pair.volume_decimals)
        return Bar(start_ns, open_, high, low, close, vwap, _digits(volume, shown), trade_count, exact)


def fold(parts: pl.DataFrame, length_ns: int) -> pl.DataFrame:
    """Candles out of smaller ones in their order, on a grid that begins at the epoch (Kraken's weeks do)."""
    return (
        parts.group_by(pl.col("ns") // length_ns * length_ns, maintain_order=True)
        .agg(
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
            pl.col("volume").sum(), pl.col("turnover").sum(), pl.col("count").sum(),
        )
    )  # fmt: skip


def _digits(units: int, decimals: int) -> str:
    """`units` of the last decimal as a number: 640005 with 1 decimal is 64000.5."""
    if not decimals:
        return str(units)
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}}"
