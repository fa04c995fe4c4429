"""Shaped trades as the part of a block that the door takes."""

from datetime import datetime

from krakendata.ingest.takeover import NS_PER_MINUTE
from krakendata.ingest.trade_shapes import ShapedTrades
from krakendata.storage.bulk import TradeBlock
from krakendata.storage.ledger import Holdings
from krakendata.types import moment_of


def trade_block(shaped: ShapedTrades | None, held: Holdings) -> TradeBlock | None:
    """Make the block's part of what `shape_trades` gave, with the archive stretches that it takes over."""
    if shaped is None:
        return None
    return TradeBlock(
        shaped.trades, shaped.candles, shaped.runs, shaped.new, shaped.stored,
        moment_of(shaped.first_ns), moment_of(shaped.last_ns), _replaced(shaped, held),
        [moment_of(minute * NS_PER_MINUTE) for minute in sorted(shaped.shared)],
        [(moment_of(start), moment_of(end)) for start, end in shaped.covered],
    )  # fmt: skip


def _replaced(shaped: ShapedTrades, held: Holdings) -> list[tuple[datetime, datetime]]:
    """The whole minutes that exact trades take over from an archive without ids."""
    return [
        (moment_of(start), moment_of(end))
        for start, end in shaped.covered
        if held.has_archive_between(start, end - 1)
    ]
