"""What becomes of a block of trades: rows to store, minutes to merge, runs for the ledger.

The vectorised twin of candles.fold_trades; a block with a number too fine for it goes through candles.py itself.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from krakendata.candles import fold_trades
from krakendata.ingest.fields_frame import SCALE
from krakendata.ingest.takeover import (
    NS_PER_MINUTE,
    Span,
    covered_minutes,
    is_whole,
    is_within,
    shared_minutes,
)
from krakendata.storage.ledger import HeldRun, Holdings, Lines
from krakendata.types import Trade, archive_position, ns_of

NS_PER_MICROSECOND = 1_000

# Sums of products stay exact below this; a block above it is folded in Python's decimals.
MAX_EXACT_SUM = 10**38

# A file without ids that is silent for longer may lack a part: its rows on either side are runs of their own.
LONGEST_SILENCE_NS = 24 * 60 * NS_PER_MINUTE

CANDLE_COLUMNS = (
    "symbol", "timestamp", "open", "high", "low", "close", "volume", "turnover",
    "trade_count", "first_id", "last_id", "whole",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShapedTrades:
    """One block of new trades, ready for the door. Bytes are COPY's CSV.

    `covered` are the stretches of whole minutes, in nanoseconds, of which exact ids leave nothing out; `shared` the
    minutes among them, counted from the epoch, of which an earlier block had some trades.
    """

    trades: bytes
    candles: bytes
    runs: list[HeldRun]
    new: int
    stored: int
    first_ns: int
    last_ns: int
    covered: list[Span]
    shared: set[int]


def new_trades(frame: pl.DataFrame, held: Holdings) -> pl.DataFrame:
    """The rows whose ids the ledger does not hold, each once, in the order of their ids.

    A row of an archive without ids is not new either where exact trades lie in its minute: a minute is of one kind.
    """
    if not frame["trade_id"].is_sorted() or frame["trade_id"].n_unique() < frame.height:
        frame = frame.unique("trade_id", keep="first").sort("trade_id")
    if frame.is_empty():
        return frame
    first, last = int(frame["trade_id"][0]), int(frame["trade_id"][-1])
    runs = held.overlapping(first, last)
    if runs:
        frame = frame.filter(~_lies_within(frame["trade_id"], [(run.first_id, run.last_id) for run in runs]))
    if first < 0 and not frame.is_empty():
        minutes = [
            (run.first_ns // NS_PER_MINUTE, run.last_ns // NS_PER_MINUTE)
            for run in held.exact_between(*_span(frame, NS_PER_MINUTE))
        ]
        frame = frame.filter(~_lies_within(frame["ns"] // NS_PER_MINUTE, sorted(minutes)))
    return frame


def _lies_within(numbers: pl.Series, ranges: Sequence[tuple[int, int]]) -> pl.Series:
    """Which of the numbers lie in one of the ranges, both ends included, which are in order."""
    if not ranges:
        return pl.repeat(value=False, n=len(numbers), eager=True)
    firsts, lasts = (pl.Series(ends, dtype=pl.Int64) for ends in zip(*ranges, strict=True))
    place = firsts.search_sorted(numbers, side="right").cast(pl.Int64) - 1
    return (place >= 0) & (numbers <= lasts.cum_max().gather(place.clip(0)))


def shape_trades(
    frame: pl.DataFrame,
    symbol: str,
    held: Holdings,
    lines: Lines,
    *,
    source: str,
    follows: int | None = None,
    next_id: int | None = None,
    opens_ns: int | None = None,
    beside: Collection[int] = (),
) -> ShapedTrades | None:
    """Shape the rows of `new_trades`; None if there are none.

    Rows before the trades line are folded only. `follows` is the id of the file's row before, for archives without
    ids; `next_id` the id of its first row behind the block, if that lies in another unit of minutes, and `beside` those
    of further rows that do; `opens_ns` the start of a unit between which and the first row nothing was traded.
    """
    if frame.is_empty():
        return None
    frame = frame.with_columns(stored=pl.col("ns") >= ns_of(lines.trades))
    runs = _runs(frame, source, follows, held)
    is_exact = runs[0].first_id > 0
    covered = covered_minutes(runs, held, next_id, opens_ns, beside) if is_exact else []
    shared = shared_minutes(runs, held, covered) if is_exact else set()
    if is_exact and (archived := _archived(frame, covered, held)):
        # Exact trades replace whole minutes only; those beside them are left for whoever brings the rest.
        frame = frame.filter(~(pl.col("ns") // NS_PER_MINUTE).is_in(archived))
        if frame.is_empty():
            return None
        runs = _runs(frame, source, follows, held)
    fence_ns = ns_of(lines.candles)

    def has_whole(minute: int) -> bool:
        return not is_exact or is_whole(minute, covered, shared, fence_ns)

    stored = frame.filter("stored")
    first_ns, last_ns = _span(frame, 1)
    shaped = ShapedTrades(
        trades=_trades_csv(stored, symbol),
        candles=_candles_csv(frame, symbol, has_whole),
        runs=runs,
        new=frame.height,
        stored=stored.height,
        first_ns=first_ns,
        last_ns=last_ns,
        covered=covered,
        shared=shared,
    )
    for run in runs:
        held.add(run)
    return shaped


def _archived(frame: pl.DataFrame, covered: Sequence[Span], held: Holdings) -> list[int]:
    """The frame's minutes, counted from the epoch, that are not covered and that an archive without ids has."""
    if not held.has_archive_between(*_span(frame, NS_PER_MINUTE)):
        return []
    starts = ((frame["ns"] // NS_PER_MINUTE).unique().sort() * NS_PER_MINUTE).to_list()
    return [
        start // NS_PER_MINUTE
        for start in starts
        if not is_within(covered, start, NS_PER_MINUTE)
        and held.has_archive_between(start, start + NS_PER_MINUTE - 1)
    ]


def _span(frame: pl.DataFrame, grain: int) -> tuple[int, int]:
    """The first and last nanosecond of the frame, widened to whole grains."""
    first, last = frame.select(pl.col("ns").min().alias("first"), pl.col("ns").max().alias("last")).row(0)
    return first // grain * grain, last // grain * grain + grain - 1


def _runs(frame: pl.DataFrame, source: str, follows: int | None, held: Holdings) -> list[HeldRun]:
    """The islands of contiguous ids, cut where stored turns to folded."""
    first, last = int(frame["trade_id"][0]), int(frame["trade_id"][-1])
    if follows is not None and (held.overlapping(follows + 1, first) or _is_silent_since(follows, frame)):
        follows = None
    islands = (
        frame.lazy()
        .with_columns(
            island=_island(held.overlapping(first, last), first > 0), change=pl.col("stored").rle_id()
        )
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


def _is_silent_since(archive_id: int, frame: pl.DataFrame) -> bool:
    second, _ = archive_position(archive_id)
    return bool(frame["ns"][0] - second * 10**9 > LONGEST_SILENCE_NS)


def _island(between: list[HeldRun], is_exact: bool) -> pl.Expr:
    """What tells islands apart: the step from rank to id, or for rows without ids the held runs that part them."""
    if is_exact:
        return pl.col("trade_id") - pl.int_range(pl.len())
    passed = [(pl.col("trade_id") > run.last_id).cast(pl.Int64) for run in between]
    silences = (pl.col("ns").diff().fill_null(0) > LONGEST_SILENCE_NS).cast(pl.Int64).cum_sum()
    return pl.sum_horizontal(silences, *passed)


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


def _candles_csv(frame: pl.DataFrame, symbol: str, has_whole: Callable[[int], bool]) -> bytes:
    minute = (pl.col("ns") // NS_PER_MINUTE).alias("minute")
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
            timestamp=pl.from_epoch(pl.col("minute") * 60).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            whole=pl.Series([has_whole(minute) for minute in candles["minute"]], dtype=pl.Boolean),
        ).select(CANDLE_COLUMNS)
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
