"""Rejected records that are let in, as blocks for the door: shaped by the rules of whoever would have brought them.

No I/O. `records` are trades and candles by the ids of their rejected records.
"""

from collections.abc import Iterator, Sequence

import polars as pl

from krakendata.ingest.candle_page import candles_csv
from krakendata.ingest.takeover import NS_PER_MINUTE
from krakendata.ingest.trade_blocks import trade_block
from krakendata.ingest.trade_frame import frame_of
from krakendata.ingest.trade_shapes import new_trades, shape_trades
from krakendata.ingest.whole_units import part_units
from krakendata.storage.bulk import Block, CandleBlock
from krakendata.storage.ledger import Holdings, Lines
from krakendata.storage.reject_decisions import Replay, Replays
from krakendata.types import HistoricalCandle, Source, Trade, moment_of, ns_of

# Trades further apart are blocks of their own: the door looks at all that lies between a block's first and last, which
# for a handful of trades of a year would be every minute of it.
LONGEST_PAUSE_NS = 60 * NS_PER_MINUTE

NS_PER_SECOND = 1_000_000_000

# Why a good trade may have to wait: what is folded behind the retention cannot be counted again.
UNFINISHED = "Its minutes are not whole without the trades beside it: fetch those first, then replay it."


def close_together(records: Sequence[tuple[int, Trade]]) -> Iterator[list[tuple[int, Trade]]]:
    """The records in stretches without a pause of an hour, each in the order of time."""
    stretch: list[tuple[int, Trade]] = []
    for record in sorted(records, key=lambda each: each[1].ns):
        if stretch and record[1].ns - stretch[-1][1].ns > LONGEST_PAUSE_NS:
            yield stretch
            stretch = []
        stretch.append(record)
    if stretch:
        yield stretch


def trades_block(
    symbol: str,
    source: Source,
    records: Sequence[tuple[int, Trade]],
    held: Holdings,
    lines: Lines,
    replays: Replays,
) -> tuple[Block | None, list[int]]:
    """The block of trades with ids, and the records that have to wait; None where all have to.

    As an import folds an archive's rows behind the retention as they come, and a page's only in whole units of minutes,
    so are they here.
    """
    frame = frame_of([(record_id, trade) for record_id, trade in records]).sort("trade_id")
    beside: frozenset[int] = frozenset()
    if source is not Source.ARCHIVE:
        parted = part_units(
            frame, held, ns_of(lines.trades), next_id=None, opens_ns=None, unopened=(), check=None
        )
        frame, beside = parted.head, parted.beside
    held_trades = held.trades
    new = new_trades(frame, held)
    shaped = shape_trades(new, symbol, held, lines, source=str(source), beside=beside)
    written = shaped.runs if shaped is not None else []
    taken = {
        record_id
        for record_id, trade_id in new.select("line", "trade_id").iter_rows()
        if any(run.first_id <= trade_id <= run.last_id for run in written)
    }
    waiting = set(new.filter(~pl.col("line").is_in(sorted(taken)))["trade_id"].to_list())
    head = set(frame["line"].to_list())
    done = [
        Replay(record_id, _outcome(trade, lines) if record_id in taken else "duplicate", trade.trade_id)
        for record_id, trade in records
        if record_id in head and trade.trade_id not in waiting
    ]
    left = [record_id for record_id, _ in records if record_id not in {each.record_id for each in done}]
    if not done:
        return None, left
    block = Block(
        symbol,
        lines,
        len(done),
        trades=trade_block(shaped, held),
        advanced=len(done),
        held_trades=held_trades,
        replays=Replays(replays.by, done, replays.why),
    )
    return block, left


def candle_block(
    record_id: int, candle: HistoricalCandle, follows: int | None, lines: Lines, replays: Replays
) -> Block:
    """The block of one candle, which with others would claim the time between them. `follows`: the second of its file's
    candle before."""
    before = moment_of(follows * NS_PER_SECOND) if follows else None
    block = CandleBlock(
        candle.interval_minutes, candles_csv([candle]), 1, candle.timestamp, candle.timestamp, before
    )
    return Block(
        candle.symbol,
        lines,
        1,
        # A minute without trades is no record (kraken-facts 0.3).
        candles=block if candle.trade_count else None,
        advanced=1,
        replays=Replays(replays.by, [Replay(record_id)], replays.why),
    )


def _outcome(trade: Trade, lines: Lines) -> str:
    return "stored" if trade.timestamp >= lines.trades else "folded"
