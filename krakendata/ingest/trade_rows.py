"""The rows of a trades archive, read and judged: a frame of trades, and the rejections."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Context, Decimal

import polars as pl

from krakendata.fields import CLOCK_TOLERANCE_NS, KRAKEN_OPENED_NS, ORDER_TYPES, SIDES, as_text
from krakendata.ingest.doubtful_rows import PlacedRejection, judge_rows
from krakendata.ingest.fields_frame import (
    FINER,
    READ_SCALE,
    SCALE,
    lines_of,
    nanoseconds,
    read_fields,
    scaled,
)
from krakendata.kraken.archives import Layout, RawBlock
from krakendata.types import ORDINALS_PER_SECOND, SECONDS_BELOW_ZERO, Source, Trade, archive_position, ns_of
from krakendata.validation import Reason, Rejection, validate_archive_trade

NS_PER_SECOND = 1_000_000_000

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


def read_trades(
    raw: RawBlock, layout: Layout, symbol: str, now: datetime, last_id: int | None = None
) -> TradeRows:
    """Read one block of a trades archive.

    `last_id` is the id of the row before the block, for archives without ids: rows of one second count on from it.
    """
    fields = read_fields(raw, layout)
    frame = fields.with_columns(**_readings(layout))
    certain = _certain(layout, now)
    sure = frame.filter(certain).select(_as_schema())
    doubtful = frame.filter(~certain.fill_null(value=False))["line"].to_list()
    trades, rejections, blank = judge_rows(
        raw, layout, doubtful, lambda fields, text: validate_archive_trade(fields, text, symbol, now)
    )
    if trades:
        sure = pl.concat([sure, _frame_of(trades)]).sort("line")
    if "trade_id" not in layout.columns:
        sure = _number_rows(sure, last_id)
    return TradeRows(sure, rejections, fields.height - blank)


def refuse_late(rows: TradeRows, raw: RawBlock, last_id: int) -> TradeRows:
    """Refuse the rows of a file without ids that are older than `last_id`, the last row of the block before.

    Their place among the rows of their second is gone with the block that had it.
    """
    second, _ = archive_position(last_id)
    is_late = pl.col("ns") < second * NS_PER_SECOND
    late = rows.frame.filter(is_late)["line"].to_list()
    if not late:
        return rows
    detail = f"The row is older than the rows before it, which had come to second {second}."
    rejections = [
        PlacedRejection(line, Rejection(Source.ARCHIVE, Reason.OUT_OF_ORDER, detail, as_text(text)))
        for line, text in zip(late, lines_of(raw, late), strict=True)
    ]
    return TradeRows(rows.frame.filter(~is_late), [*rows.rejections, *rejections], rows.read)


def _readings(layout: Layout) -> dict[str, pl.Expr]:
    details = {
        "side": pl.col("side").replace_strict(SIDES, default=None),
        "order_type": pl.col("order_type").replace_strict(ORDER_TYPES, default=None),
        "trade_id": pl.col("trade_id").cast(pl.Int64, strict=False),
    }
    read = {name: expression for name, expression in details.items() if name in layout.columns}
    absent = {
        name: pl.lit(None, SCHEMA[name]) if name != "trade_id" else pl.lit(0, pl.Int64)
        for name in details
        if name not in layout.columns
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


def _certain(layout: Layout, now: datetime) -> pl.Expr:
    """Rows of which every field was read without doubt; the rest are looked at one by one."""
    certain = (
        pl.col("fits")
        & pl.col("scaled_price").is_not_null()
        & pl.col("scaled_volume").is_not_null()
        & pl.col("ns").is_between(KRAKEN_OPENED_NS, ns_of(now) + CLOCK_TOLERANCE_NS)
    )
    for name in ("side", "order_type"):
        if name in layout.columns:
            certain = certain & pl.col(name).is_not_null()
    return certain & (pl.col("trade_id") > 0) if "trade_id" in layout.columns else certain


def _as_schema() -> list[pl.Expr]:
    finer = {name: pl.col(name) % FINER != 0 for name in ("scaled_price", "scaled_volume")}
    return [
        pl.when(~finer[name]).then(pl.col(name) // FINER).alias(name)
        if name in finer
        else pl.col(name).cast(kind)
        for name, kind in SCHEMA.items()
    ]


def _frame_of(trades: list[tuple[int, Trade]]) -> pl.DataFrame:
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


def _number_rows(frame: pl.DataFrame, last_id: int | None) -> pl.DataFrame:
    """Ids for rows without: the second and the ordinal within it, in file order."""
    second = pl.col("ns") // NS_PER_SECOND
    ordinal = pl.int_range(pl.len()).over(second)
    if last_id is not None:
        last_second, last_ordinal = archive_position(last_id)
        ordinal = ordinal + pl.when(second == last_second).then(last_ordinal + 1).otherwise(0)
    return frame.with_columns(trade_id=(second - SECONDS_BELOW_ZERO) * ORDINALS_PER_SECOND + ordinal)
