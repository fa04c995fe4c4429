"""The rows of an OHLCVT archive, read and judged: a frame of candles, and the rejections."""

from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from krakendata.fields import CLOCK_TOLERANCE_NS, KRAKEN_OPENED_NS
from krakendata.ingest.doubtful_rows import PlacedRejection, judge_rows
from krakendata.ingest.fields_frame import nanoseconds, read_fields, scaled
from krakendata.ingest.trade_rows import NS_PER_SECOND
from krakendata.kraken.archives import Layout, RawBlock
from krakendata.types import HistoricalCandle, ns_of
from krakendata.validation import validate_archive_candle

NUMBERS = ("open", "high", "low", "close", "volume")

SCHEMA: dict[str, pl.DataType] = {
    "line": pl.Int64(),
    "second": pl.Int64(),
    **dict.fromkeys(NUMBERS, pl.String()),
    "trade_count": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class CandleRows:
    """What a block held: `frame` (columns of SCHEMA, each start once, in time order), rejections, rows read.

    `repeated` counts rows whose start another row of the block has with at least as many trades.
    """

    frame: pl.DataFrame
    rejections: list[PlacedRejection] = field(default_factory=list)
    read: int = 0
    repeated: int = 0


def read_candles(
    raw: RawBlock, layout: Layout, symbol: str, interval_minutes: int, now: datetime
) -> CandleRows:
    """Read one block of an OHLCVT archive of one interval."""
    fields = read_fields(raw, layout)
    frame = fields.with_columns(
        ns=nanoseconds("timestamp"),
        trade_count=pl.col("trades").cast(pl.Int64, strict=False),
        **{f"scaled_{name}": scaled(name) for name in NUMBERS},
    )
    certain = _certain(interval_minutes, now)
    sure = frame.filter(certain).select(_as_schema())
    doubtful = frame.filter(~certain.fill_null(value=False))["line"].to_list()
    candles, rejections, blank = judge_rows(
        raw,
        layout,
        doubtful,
        lambda fields, text: validate_archive_candle(fields, text, symbol, interval_minutes, now),
    )
    if candles:
        sure = pl.concat([sure, _frame_of(candles)])
    once = _each_start_once(sure)
    return CandleRows(once, rejections, fields.height - blank, sure.height - once.height)


def _certain(interval_minutes: int, now: datetime) -> pl.Expr:
    low, high = pl.col("scaled_low"), pl.col("scaled_high")
    within = [pl.col(f"scaled_{name}").is_between(low, high) for name in ("open", "close")]
    return (
        pl.col("fits")
        & within[0]
        & within[1]
        & pl.col("scaled_volume").is_not_null()
        & (pl.col("trade_count") > 0)
        & pl.col("ns").is_between(KRAKEN_OPENED_NS, ns_of(now) + CLOCK_TOLERANCE_NS)
        & (pl.col("ns") % (interval_minutes * 60 * NS_PER_SECOND) == 0)
    )


def _as_schema() -> list[pl.Expr]:
    seconds = (pl.col("ns") // NS_PER_SECOND).alias("second")
    return [seconds if name == "second" else pl.col(name).cast(kind) for name, kind in SCHEMA.items()]


def _frame_of(candles: list[tuple[int, HistoricalCandle]]) -> pl.DataFrame:
    rows = [
        (
            line,
            ns_of(candle.timestamp) // NS_PER_SECOND,
            *(f"{getattr(candle, name):f}" for name in NUMBERS),
            candle.trade_count,
        )
        for line, candle in candles
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _each_start_once(frame: pl.DataFrame) -> pl.DataFrame:
    """Of rows with one start the one with the most trades stays; the first of equals."""
    if frame["second"].is_sorted() and frame["second"].n_unique() == frame.height:
        return frame
    ordered = frame.sort("second", "trade_count", "line", descending=[False, True, False])
    return ordered.unique("second", keep="first", maintain_order=True)
