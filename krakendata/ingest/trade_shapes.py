"""What becomes of a block of trades: rows to store, minutes to merge, runs for the ledger.

The vectorised twin of candles.fold_trades; a block with a number too fine for it goes through candles.py itself.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import polars as pl

from krakendata.candles import fold_trades
from krakendata.ingest.fields_frame import SCALE
from krakendata.ingest.takeover import NS_PER_MINUTE, NS_PER_UNIT, UNIT_MINUTES, covered_minutes
from krakendata.storage.ledger import HeldRun, Holdings
from krakendata.types import Trade, ns_of

NS_PER_MICROSECOND = 1_000

# Sums of products stay exact below this; a block above it is folded in Python's decimals.
MAX_EXACT_SUM = 10**38

CANDLE_COLUMNS = (
    "symbol", "timestamp", "open", "high", "low", "close", "volume", "turnover",
    "trade_count", "first_id", "last_id", "whole",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShapedTrades:
    """One block of new trades, ready for the door. Bytes are COPY's CSV.

    `covered` are the stretches of whole minutes, in nanoseconds, of which exact ids leave nothing out.
    """

    trades: bytes
    candles: bytes
    runs: list[HeldRun]
    new: int
    stored: int
    first_ns: int
    last_ns: int
    covered: list[tuple[int, int]]


def new_trades(frame: pl.DataFrame, held: Holdings) -> pl.DataFrame:
    """The rows whose ids the ledger does not hold, each once, in the order of their ids.

    A row of an archive without ids is not new either where exact trades cover its minute.
    """
    if not frame["trade_id"].is_sorted() or frame["trade_id"].n_unique() < frame.height:
        frame = frame.unique("trade_id", keep="first").sort("trade_id")
    if frame.is_empty():
        return frame
    first, last = int(frame["trade_id"][0]), int(frame["trade_id"][-1])
    for run in held.overlapping(first, last):
        frame = frame.filter(~pl.col("trade_id").is_between(run.first_id, run.last_id))
    if first < 0 and not frame.is_empty():
        for run in held.exact_between(*_span(frame, NS_PER_MINUTE)):
            minute = pl.col("ns") // NS_PER_MINUTE
            frame = frame.filter(
                ~minute.is_between(run.first_ns // NS_PER_MINUTE, run.last_ns // NS_PER_MINUTE)
            )
    return frame


def shape_trades(
    frame: pl.DataFrame,
    symbol: str,
    held: Holdings,
    line: datetime,
    *,
    source: str,
    follows: int | None,
    goes_on: bool,
) -> ShapedTrades | None:
    """Shape the rows of `new_trades`; None if there are none.

    `line` is the trades line: rows before it are folded only. `follows` is the id of the file's row before, for
    archives without ids. `goes_on` says that the file continues behind this block, in another unit of minutes.
    """
    if frame.is_empty():
        return None
    frame = frame.with_columns(stored=pl.col("ns") >= ns_of(line))
    runs = _runs(frame, source, follows, held)
    stored = frame.filter("stored")
    first_ns, last_ns = _span(frame, 1)
    partial = _partial_units(runs, held, goes_on)
    shaped = ShapedTrades(
        trades=_trades_csv(stored, symbol),
        candles=_candles_csv(frame, symbol, partial),
        runs=runs,
        new=frame.height,
        stored=stored.height,
        first_ns=first_ns,
        last_ns=last_ns,
        covered=covered_minutes(runs, held, goes_on) if runs[0].first_id > 0 else [],
    )
    for run in runs:
        held.add(run)
    return shaped


def _span(frame: pl.DataFrame, grain: int) -> tuple[int, int]:
    """The first and last nanosecond of the frame, widened to whole grains."""
    first, last = frame.select(pl.col("ns").min().alias("first"), pl.col("ns").max().alias("last")).row(0)
    return first // grain * grain, last // grain * grain + grain - 1


def _runs(frame: pl.DataFrame, source: str, follows: int | None, held: Holdings) -> list[HeldRun]:
    """The islands of contiguous ids, cut where stored turns to folded."""
    first, last = int(frame["trade_id"][0]), int(frame["trade_id"][-1])
    if follows is not None and held.overlapping(follows + 1, first):
        follows = None
    islands = (
        frame.lazy()
        .with_columns(island=_island(held.overlapping(first, last)), change=pl.col("stored").rle_id())
        .group_by("island", "change", maintain_order=True)
        .agg(
            pl.col("trade_id").first().alias("first_id"),
            pl.col("trade_id").last().alias("last_id"),
            pl.col("ns").first().alias("first_ns"),
            pl.col("ns").last().alias("last_ns"),
            pl.len().alias("trades"),
            pl.col("stored").first(),
        )
        .collect()
    )
    return [
        HeldRun(
            first_id, last_id, first_ns, last_ns, trades, source, stored, follows if number == 0 else None
        )
        for number, (_, _, first_id, last_id, first_ns, last_ns, trades, stored) in enumerate(
            islands.iter_rows()
        )
    ]


def _island(between: list[HeldRun]) -> pl.Expr:
    """What tells islands apart: the step from rank to id, or for rows without ids the held runs that part them."""
    passed = [(pl.col("trade_id") > run.last_id).cast(pl.Int64) for run in between]
    step = pl.col("trade_id") - pl.int_range(pl.len())
    return pl.when(pl.col("trade_id") > 0).then(step).otherwise(pl.sum_horizontal(pl.lit(0), *passed))


def _partial_units(runs: list[HeldRun], held: Holdings, goes_on: bool) -> set[int]:
    """The units (of five minutes, counted from the epoch) of which these runs may hold only a part of the trades.

    A unit at a run's edge is whole only if the trade across the edge is known and lies in another unit, or if
    there is none: before id 1, and where the file goes on behind the block, which ends with a unit.
    """
    partial = set()
    for number, run in enumerate(runs):
        if run.first_id < 0:
            continue
        before = held.ending_at(run.first_id - 1)
        behind = held.starting_at(run.last_id + 1)
        follows_own = number > 0 and runs[number - 1].last_id == run.first_id - 1
        leads_own = number + 1 < len(runs) and runs[number + 1].first_id == run.last_id + 1
        starts_whole = (
            run.first_id == 1
            or follows_own
            or (before is not None and _unit(before.last_ns) < _unit(run.first_ns))
        )
        ends_whole = (
            leads_own
            or (goes_on and number + 1 == len(runs))
            or (behind is not None and _unit(behind.first_ns) > _unit(run.last_ns))
        )
        if not starts_whole:
            partial.add(_unit(run.first_ns))
        if not ends_whole:
            partial.add(_unit(run.last_ns))
    return partial


def _unit(ns: int) -> int:
    return ns // NS_PER_UNIT


def _timestamp() -> pl.Expr:
    """The stored time: microseconds, the nanoseconds cut and never rounded."""
    return (pl.col("ns") // NS_PER_MICROSECOND).cast(pl.Datetime("us", "UTC"))


def _trades_csv(frame: pl.DataFrame, symbol: str) -> bytes:
    return csv_bytes(
        frame.select(
            pl.lit(symbol).alias("symbol"),
            _timestamp().dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").alias("timestamp"),
            "trade_id",
            "price",
            "volume",
            "side",
            "order_type",
        )  # fmt: skip
    )


def _candles_csv(frame: pl.DataFrame, symbol: str, partial_units: set[int]) -> bytes:
    minute = (pl.col("ns") // NS_PER_MINUTE).alias("minute")
    whole = (
        ~(pl.col("minute") // UNIT_MINUTES).is_in(sorted(partial_units)) if partial_units else pl.lit(True)
    )
    if _is_exact(frame):
        candles = (
            frame.lazy()
            .with_columns(minute, turnover=pl.col("scaled_price") * pl.col("scaled_volume"))
            .group_by("minute", maintain_order=True)
            .agg(
                open=pl.col("price").first(),
                high=pl.col("scaled_price").max(),
                low=pl.col("scaled_price").min(),
                close=pl.col("price").last(),
                volume=pl.col("scaled_volume").sum(),
                turnover=pl.col("turnover").sum(),
                trade_count=pl.len(),
                first_id=pl.col("trade_id").first(),
                last_id=pl.col("trade_id").last(),
            )
            .with_columns(
                high=decimal_text("high", SCALE),
                low=decimal_text("low", SCALE),
                volume=decimal_text("volume", SCALE),
                turnover=decimal_text("turnover", 2 * SCALE),
            )
            .collect()
        )
    else:
        candles = _fold_in_decimals(frame, symbol)
    return csv_bytes(
        candles.with_columns(
            symbol=pl.lit(symbol),
            timestamp=(pl.col("minute") * 60).cast(pl.String),
            whole=whole,
        )
        .with_columns(timestamp=pl.from_epoch(pl.col("minute") * 60).dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        .select(CANDLE_COLUMNS)
    )


def _is_exact(frame: pl.DataFrame) -> bool:
    """Whether integers of SCALE decimals hold every number and every sum of this block."""
    columns = frame.select("scaled_price", "scaled_volume")
    if sum(columns.null_count().row(0)):
        return False
    price, volume = columns.max().row(0)
    return bool(price * volume * frame.height < MAX_EXACT_SUM)


def _fold_in_decimals(frame: pl.DataFrame, symbol: str) -> pl.DataFrame:
    trades = [
        Trade(symbol, trade_id, ns, Decimal(price), Decimal(volume))
        for trade_id, ns, price, volume in frame.select("trade_id", "ns", "price", "volume").iter_rows()
    ]
    rows = [
        {
            "minute": ns_of(candle.timestamp) // NS_PER_MINUTE,
            **{
                name: f"{getattr(candle, name):f}"
                for name in ("open", "high", "low", "close", "volume", "turnover")
            },
            **{name: getattr(candle, name) for name in ("trade_count", "first_id", "last_id")},
        }
        for candle in fold_trades(trades)
    ]
    return pl.DataFrame(rows)


def decimal_text(column: str, decimals: int) -> pl.Expr:
    """An integer of so many decimals, not negative, as decimal text without needless zeros."""
    number = pl.col(column)
    whole = (number // 10**decimals).cast(pl.String)
    fraction = (number % 10**decimals).cast(pl.String).str.zfill(decimals).str.strip_chars_end("0")
    return pl.when(fraction == "").then(whole).otherwise(whole + "." + fraction)


def csv_bytes(frame: pl.DataFrame) -> bytes:
    """The frame as COPY reads it: comma-separated, NULL as nothing, no header."""
    return frame.write_csv(include_header=False).encode()
