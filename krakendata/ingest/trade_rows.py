"""The rows of a trades archive, read and judged: a frame of trades, and the rejections."""

from datetime import datetime

import polars as pl

from krakendata.fields import as_text
from krakendata.ingest.doubtful_rows import PlacedRejection, judge_rows
from krakendata.ingest.fields_frame import lines_of, read_fields
from krakendata.ingest.trade_frame import TradeRows, as_schema, certain, frame_of, readings
from krakendata.kraken.archives import Layout, RawBlock
from krakendata.types import ORDINALS_PER_SECOND, SECONDS_BELOW_ZERO, Source, archive_position
from krakendata.validation import Reason, Rejection, validate_archive_trade

NS_PER_SECOND = 1_000_000_000


def read_trades(
    raw: RawBlock, layout: Layout, symbol: str, now: datetime, last_id: int | None = None
) -> TradeRows:
    """Read one block of a trades archive.

    `last_id` is the id of the row before the block, for archives without ids: rows of one second count on from it.
    """
    fields = read_fields(raw, layout)
    frame = fields.with_columns(**readings(layout.columns))
    is_certain = certain(layout.columns, now)
    sure = frame.filter(is_certain).select(as_schema())
    doubtful = frame.filter(~is_certain.fill_null(value=False))["line"].to_list()
    trades, rejections, blank = judge_rows(
        raw, layout, doubtful, lambda fields, text: validate_archive_trade(fields, text, symbol, now)
    )
    if trades:
        sure = pl.concat([sure, frame_of(trades)]).sort("line")
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


def _number_rows(frame: pl.DataFrame, last_id: int | None) -> pl.DataFrame:
    """Ids for rows without: the second and the ordinal within it, in file order."""
    second = pl.col("ns") // NS_PER_SECOND
    ordinal = pl.int_range(pl.len()).over(second)
    if last_id is not None:
        last_second, last_ordinal = archive_position(last_id)
        ordinal = ordinal + pl.when(second == last_second).then(last_ordinal + 1).otherwise(0)
    return frame.with_columns(trade_id=(second - SECONDS_BELOW_ZERO) * ORDINALS_PER_SECOND + ordinal)
