"""Trades as a frame: its columns, the readings that are certain, and rows that were judged one by one.

The archives' rows and REST's are read the same way: whole columns of text at once, and what is not certain by
validation.py.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal

import polars as pl

from krakendata.fields import CLOCK_TOLERANCE_NS, KRAKEN_OPENED_NS, ORDER_TYPES, SIDES
from krakendata.ingest.doubtful_rows import PlacedRejection
from krakendata.ingest.fields_frame import FINER, READ_SCALE, SCALE, nanoseconds, scaled
from krakendata.types import Trade, ns_of

# A validated number has at most 60 digits (fields.py); Python's own context would round it to 28.
_EXACT = Context(prec=100)

SCHEMA: dict[str, pl.DataType] = {
    "line": pl.Int64(),
    "ns": pl.Int64(),
    "trade_id": pl.Int64(),
    "price": pl.String(),
    "volume": pl.String(),
    "side": pl.String(),
    "order_type": pl.String(),
    # The same numbers as integers of SCALE decimals; null where a number is finer.
    "scaled_price": pl.Int128(),
    "scaled_volume": pl.Int128(),
}


@dataclass(frozen=True, slots=True)
class TradeRows:
    """What a block held: `frame` (columns of SCHEMA, in file order), rejections, and how many rows were read."""

    frame: pl.DataFrame
    rejections: list[PlacedRejection] = field(default_factory=list)
    read: int = 0


def readings(columns: Collection[str]) -> dict[str, pl.Expr]:
    """The columns of SCHEMA out of columns of text with these names; null where a reading is not certain."""
    details = {
        "side": pl.col("side").replace_strict(SIDES, default=None),
        "order_type": pl.col("order_type").replace_strict(ORDER_TYPES, default=None),
        "trade_id": pl.col("trade_id").cast(pl.Int64, strict=False),
    }
    read = {name: expression for name, expression in details.items() if name in columns}
    absent = {
        name: pl.lit(None, SCHEMA[name]) if name != "trade_id" else pl.lit(0, pl.Int64)
        for name in details
        if name not in columns
    }
    return (
        read
        | absent
        | {
            "ns": nanoseconds("timestamp"),
            "scaled_price": scaled("price"),
            "scaled_volume": scaled("volume"),
        }
    )


def certain(columns: Collection[str], now: datetime) -> pl.Expr:
    """Rows of which every field was read without doubt; the rest are looked at one by one."""
    sure = (
        pl.col("fits")
        & pl.col("scaled_price").is_not_null()
        & pl.col("scaled_volume").is_not_null()
        & pl.col("ns").is_between(KRAKEN_OPENED_NS, ns_of(now) + CLOCK_TOLERANCE_NS)
    )
    for name in ("side", "order_type"):
        if name in columns:
            sure = sure & pl.col(name).is_not_null()
    return sure & (pl.col("trade_id") > 0) if "trade_id" in columns else sure


def as_schema() -> list[pl.Expr]:
    """Select SCHEMA's columns from certain readings."""
    finer = {name: pl.col(name) % FINER != 0 for name in ("scaled_price", "scaled_volume")}
    return [
        pl.when(~finer[name]).then(pl.col(name) // FINER).alias(name)
        if name in finer
        else pl.col(name).cast(kind)
        for name, kind in SCHEMA.items()
    ]


def frame_of(trades: list[tuple[int, Trade]]) -> pl.DataFrame:
    """Validated trades, each with the number of its line, as a frame of SCHEMA."""
    rows = [
        (
            line, trade.ns, trade.trade_id, f"{trade.price:f}", f"{trade.volume:f}", trade.side, trade.order_type,
            _scaled(trade.price), _scaled(trade.volume),
        )
        for line, trade in trades
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _scaled(number: Decimal) -> int | None:
    shifted = _EXACT.scaleb(number, SCALE)
    return int(shifted) if shifted == int(shifted) and shifted < 10 ** (READ_SCALE + SCALE) else None
