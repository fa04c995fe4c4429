"""Large CSVs in Kraken's formats, made quickly, for the benchmarks; equal arguments give equal bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

# Early enough that five million trades, and two million minutes, lie in the past.
TRADES_START = datetime(2025, 1, 1, tzinfo=UTC)
CANDLES_START = datetime(2021, 1, 1, tzinfo=UTC)

# Rows made at a time: some tens of megabytes, whatever the file's size.
SLICE_ROWS = 500_000

# XBTUSD's pace over the years is one trade in three to five seconds, of late faster.
NS_BETWEEN_TRADES = 1_700_000_000

PRICE_DECIMALS = 1
VOLUME_DECIMALS = 8


def write_trades_csv(path: Path, rows: int, schema: str = "D", start: datetime = TRADES_START) -> None:
    """`rows` trades from `start` on: schema D with ids from 1 and a header, or schema A."""
    with path.open("wb") as file:
        if schema == "D":
            file.write(b"timestamp,price,volume,type,order_type,misc,trade_id\n")
        for first in range(0, rows, SLICE_ROWS):
            trades = _trades(first, min(first + SLICE_ROWS, rows), start)
            columns = _SCHEMA_D if schema == "D" else _SCHEMA_A
            trades.select(columns).write_csv(file, include_header=False)


def write_candles_csv(path: Path, rows: int, start: datetime = CANDLES_START) -> None:
    """`rows` one-minute candles from `start` on, one for every minute, as in PAIR_1.csv."""
    with path.open("wb") as file:
        for first in range(0, rows, SLICE_ROWS):
            minutes = _minutes(first, min(first + SLICE_ROWS, rows), start)
            minutes.select(_OHLCVT).write_csv(file, include_header=False)


def _trades(first: int, end: int, start: datetime) -> pl.DataFrame:
    number = pl.int_range(first, end, dtype=pl.Int64)
    # Every eighth trade is a further fill of the one before it, in the same nanosecond.
    order = number - (number % 8 == 7).cast(pl.Int64)
    moment = int(start.timestamp()) * 10**9 + order * NS_BETWEEN_TRADES
    return pl.select(
        number=number,
        ns=moment + _chance(order, 1) % NS_BETWEEN_TRADES,
        price=_price(number),
        volume=1 + _chance(number, 2) % 10 ** (3 + _chance(number, 3) % 6),
        is_buy=_chance(order, 4) % 2 == 0,
        is_limit=_chance(order, 5) % 5 < 3,
    )


def _minutes(first: int, end: int, start: datetime) -> pl.DataFrame:
    number = pl.int_range(first, end, dtype=pl.Int64)
    opened, closed = _price(number), _price(number + 1)
    return pl.select(
        timestamp=int(start.timestamp()) + 60 * number,
        open=opened,
        close=closed,
        high=pl.max_horizontal(opened, closed) + _chance(number, 6) % 200,
        low=pl.min_horizontal(opened, closed) - _chance(number, 7) % 200,
        volume=1 + _chance(number, 8) % 10**9,
        trades=1 + _chance(number, 9) % 300,
    )


def _chance(number: pl.Expr, salt: int) -> pl.Expr:
    """Evenly spread numbers below 2**31 that follow from `number`: the same on every version of polars."""
    mixed = (number * 1_103_515_245 + salt * 2_654_435_761) % 2**31
    # Without the folding and multiplying, neighbours differ by a constant, and compress as no market does.
    mixed = (mixed ^ (mixed // 2**15)) * 0x2C1B3C6D % 2**31
    mixed = (mixed ^ (mixed // 2**12)) * 0x297A2D39 % 2**31
    return mixed ^ (mixed // 2**15)


def _price(number: pl.Expr) -> pl.Expr:
    """Around 60,000 in units of 0.1: slow waves and a little noise."""
    waves = 50_000 * (number / 90_000).sin() + 3_000 * (number / 1_300).sin()
    return 600_000 + waves.round().cast(pl.Int64) + _chance(number, 10) % 50


def _decimal(column: str, decimals: int) -> pl.Expr:
    """Whole units as the text of a decimal number."""
    return _fixed(pl.col(column) // 10**decimals, pl.col(column) % 10**decimals, decimals)


def _fixed(whole: pl.Expr, fraction: pl.Expr, digits: int) -> pl.Expr:
    return pl.concat_str(whole.cast(pl.String), pl.lit("."), fraction.cast(pl.String).str.zfill(digits))


_SCHEMA_A = (
    pl.col("ns") // 10**9,
    _decimal("price", PRICE_DECIMALS).alias("price"),
    _decimal("volume", VOLUME_DECIMALS).alias("volume"),
)
_SCHEMA_D = (
    _decimal("ns", 9).alias("timestamp"),
    _decimal("price", PRICE_DECIMALS).alias("price"),
    _decimal("volume", VOLUME_DECIMALS).alias("volume"),
    pl.when("is_buy").then(pl.lit("b")).otherwise(pl.lit("s")).alias("type"),
    pl.when("is_limit").then(pl.lit("l")).otherwise(pl.lit("m")).alias("order_type"),
    pl.lit(None, dtype=pl.String).alias("misc"),
    (pl.col("number") + 1).alias("trade_id"),
)
_OHLCVT = (
    pl.col("timestamp"),
    *(_decimal(name, PRICE_DECIMALS).alias(name) for name in ("open", "high", "low", "close")),
    _decimal("volume", VOLUME_DECIMALS).alias("volume"),
    pl.col("trades"),
)
