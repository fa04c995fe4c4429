"""A week of made-up trades at a time, drawn as columns: two million take a few seconds.

Minutes are drawn one by one, as `Market` draws them: bursts, small hours, and stretches of silence. Their trades are
drawn at once. Now and then an order sweeps the book: hundreds of fills in one nanosecond, as Kraken has seen them
(kraken-facts 1.3), so that pages end within.
"""

from __future__ import annotations

import random
from math import sqrt

import polars as pl
import pyarrow as pa

from krakendata.replay.market import (
    ACTIVITY_BY_HOUR,
    BURST_LEFT_AFTER_MINUTE,
    BURST_SHARE,
    BURST_STRENGTH,
    FURTHER_FILL_SHARE,
    MarketPair,
)
from krakendata.types import NS_PER_MINUTE

# Two words of 32 random bits give a moment within a minute to the nanosecond.
WORD_BYTES = 4
WORD = 2**32

# In an hour of two hundred nobody trades at all: the exchange has its outages (kraken-facts 4.1).
SILENT_HOUR_SHARE = 0.005

# In a busy minute of a thousand an order sweeps the book, in so many fills at most: fewer than a page has, as more
# could not be fetched by anybody.
SWEEP_SHARE = 0.001
SWEEP_TRADES = 600
# Three trades a day do not make a book that could be swept.
SWEPT_TRADES_PER_MINUTE = 1.0

# Prices stay within this factor's exponent of the first: the walk swings, it does not run away.
SWING = 0.5

# How many ids are skipped at a time, at most.
ABSENT_AT_ONCE = 5


class Drawing:
    """Where a pair's drawing stands: equal sources give equal weeks."""

    def __init__(
        self, pair: MarketPair, source: random.Random, first_id: int, absent_every: int, activity: float
    ) -> None:
        self._pair = pair
        self._source = source
        self._last_id = first_id - 1
        self._absent_every = absent_every
        self._per_minute = pair.trades_per_minute * activity
        self._burst = 0.0
        self._walked = 0.0
        self._home = float(pair.price.scaleb(pair.price_decimals))
        self._usual_volume = pair.volume * 10.0**pair.volume_decimals

    def draw(self, start_ns: int, length_ns: int) -> pl.DataFrame:
        """The next stretch: trade_id, ns, price and volume in smallest units, flags (1 sell, 2 market)."""
        minutes, counts, sweeps = self._minutes(start_ns, length_ns)
        total = sum(counts)
        frame = pl.DataFrame(
            {"minute": minutes, "count": counts, "fill": [1 - FURTHER_FILL_SHARE] * len(minutes)},
            schema={"minute": pl.Int64, "count": pl.Int64, "fill": pl.Float64},
        ).with_columns(fill=pl.when(pl.Series(sweeps, dtype=pl.Boolean)).then(0.0).otherwise("fill"))
        frame = frame.select(pl.col("minute", "fill").repeat_by("count").explode(empty_as_null=False))
        frame = frame.with_columns(
            ns=pl.col("minute") + (self._uniform(total) * NS_PER_MINUTE).cast(pl.Int64),
            chance=self._uniform(total), step=self._uniform(total), size=self._uniform(total),
            kind=self._words(total) % 10, skip=self._words(total),
        ).sort("minute", "ns", maintain_order=True)  # fmt: skip
        # The first trade of a minute is an order of its own, however its draw fell.
        frame = frame.with_columns(
            own=(pl.col("chance") < pl.col("fill"))
            | (pl.col("minute") != pl.col("minute").shift(1)).fill_null(True)
        ).with_columns(order=pl.col("own").cast(pl.Int64).cum_sum())
        return self._trades(frame)

    def _trades(self, frame: pl.DataFrame) -> pl.DataFrame:
        of_order = pl.col("order")
        steps = (pl.col("step") - 0.5) * (sqrt(12) * self._pair.move)
        frame = frame.with_columns(
            pl.col("ns").first().over(of_order),
            sell=pl.col("kind").first().over(of_order) % 2,
            market=(pl.col("kind").first().over(of_order) < 4).cast(pl.Int64),
            further=pl.int_range(pl.len()).over(of_order),
            walked=pl.when("own").then(steps).otherwise(0.0).cum_sum() + self._walked,
            skipped=self._skipped().cum_sum(),
        )
        if frame.height:
            self._walked = frame["walked"][-1]
        base = (self._home * (SWING * (pl.col("walked") / SWING).sin()).exp()).round().cast(pl.Int64)
        worse = pl.when(pl.col("sell") == 1).then(-pl.col("further")).otherwise(pl.col("further"))
        # The logarithm of a uniform number: many small trades, few large ones.
        volume = (-(pl.col("size") + 1 / WORD).log() * self._usual_volume).round().cast(pl.Int64)
        drawn = frame.select(
            trade_id=pl.int_range(1, pl.len() + 1, dtype=pl.Int64) + pl.col("skipped") + self._last_id,
            ns="ns",
            price=pl.max_horizontal(base + worse, 1),
            volume=pl.max_horizontal(volume, 1),
            flags=(pl.col("sell") + 2 * pl.col("market")).cast(pl.UInt8),
        )
        if drawn.height:
            self._last_id = drawn["trade_id"][-1]
        return drawn

    def _skipped(self) -> pl.Expr:
        """How many ids are skipped before each trade."""
        skip = pl.col("skip").cast(pl.Int64)
        every = self._absent_every or 2 * WORD
        is_jump = (skip + 1) % every == 0
        return pl.when(is_jump).then((skip + 1) // every % ABSENT_AT_ONCE + 1).otherwise(0)

    def _minutes(self, start_ns: int, length_ns: int) -> tuple[list[int], list[int], list[bool]]:
        """Each minute with trades, how many, and whether they are one sweep."""
        draw = self._source.random
        exponential = self._source.expovariate
        minutes: list[int] = []
        counts: list[int] = []
        sweeps: list[bool] = []
        is_silent = False
        for minute_ns in range(start_ns, start_ns + length_ns, NS_PER_MINUTE):
            minute = minute_ns // NS_PER_MINUTE
            if minute % 60 == 0:
                is_silent = draw() < SILENT_HOUR_SHARE
            self._burst *= BURST_LEFT_AFTER_MINUTE
            if draw() < BURST_SHARE:
                self._burst += BURST_STRENGTH * draw()
            expected = self._per_minute * ACTIVITY_BY_HOUR[minute // 60 % 24] * (1 + self._burst)
            count = int(expected * exponential(1) + draw())
            is_sweep = self._per_minute >= SWEPT_TRADES_PER_MINUTE and draw() < SWEEP_SHARE
            if is_sweep:
                count = 2 + int(SWEEP_TRADES * draw())
            if count and not is_silent:
                minutes.append(minute_ns)
                counts.append(count)
                sweeps.append(is_sweep)
        return minutes, counts, sweeps

    def _words(self, count: int) -> pl.Series:
        """Random numbers of 32 bits."""
        drawn = pa.py_buffer(self._source.randbytes(WORD_BYTES * count))
        return pl.Series(pa.Array.from_buffers(pa.uint32(), count, [None, drawn]))

    def _uniform(self, count: int) -> pl.Series:
        """Random numbers from 0 to 1, 1 excluded."""
        return (self._words(count).cast(pl.Float64) * WORD + self._words(count).cast(pl.Float64)) / (
            WORD * WORD
        )


def bytes_of(series: pl.Series) -> memoryview:
    """The numbers of a column as they lie in memory."""
    whole = series.rechunk().to_arrow()
    buffer = whole.buffers()[1]
    width = whole.type.bit_width // 8
    return (
        memoryview(buffer)[whole.offset * width : (whole.offset + len(whole)) * width]
        if len(whole)
        else memoryview(b"")
    )
