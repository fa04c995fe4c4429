"""The rows of a page of REST trades, read and judged: a frame of trades, and the rejections."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import polars as pl

from krakendata.ingest.doubtful_rows import PlacedRejection
from krakendata.ingest.trade_frame import TradeRows, as_schema, certain, frame_of, readings
from krakendata.types import Trade
from krakendata.validation import Rejection, validate_rest_trade

# The fields of a row, in its order (kraken-facts 1.3). What the exchange adds after them is ignored.
FIELDS = ("price", "volume", "timestamp", "side", "order_type", "misc", "trade_id")
TEXT = (str, str, Decimal, str, str, str, int)


def read_page(rows: Sequence[object], symbol: str, now: datetime) -> TradeRows:
    """Read a page's rows as `wire.read_trades_page` gives them; a row's line is its place in the page, from 1 on."""
    frame = _frame(rows).with_columns(**readings(FIELDS))
    is_certain = certain(FIELDS, now)
    sure = frame.filter(is_certain).select(as_schema())
    doubtful = frame.filter(~is_certain.fill_null(value=False))["line"].to_list()
    trades: list[tuple[int, Trade]] = []
    rejections = []
    for line in doubtful:
        verdict = validate_rest_trade(rows[line - 1], symbol, now)
        if isinstance(verdict, Rejection):
            rejections.append(PlacedRejection(line, verdict, _named_id(rows[line - 1])))
        else:
            trades.append((line, verdict))
    if trades:
        sure = pl.concat([sure, frame_of(trades)]).sort("line")
    return TradeRows(sure, rejections, len(rows))


def _frame(rows: Sequence[object]) -> pl.DataFrame:
    """Columns of text; all of a row's are null where a field has another type than Kraken gives it."""
    empty = (None,) * len(FIELDS)
    plain = [row[: len(FIELDS)] if _is_plain(row) else empty for row in rows]  # type: ignore[index]  # is a tuple
    columns = zip(*plain, strict=True) if plain else [()] * len(FIELDS)
    text = {
        name: pl.Series(name, [None if cell is None else str(cell) for cell in column], dtype=pl.String)
        for name, column in zip(FIELDS, columns, strict=True)
    }
    fits = pl.Series("fits", [row is not empty for row in plain], dtype=pl.Boolean)
    return pl.DataFrame([*text.values(), fits]).with_row_index("line", offset=1)


def _is_plain(row: object) -> bool:
    return (
        isinstance(row, tuple)
        and len(row) >= len(FIELDS)
        and all(type(cell) is kind for cell, kind in zip(row, TEXT, strict=False))
    )


def _named_id(row: object) -> int | None:
    """The id of a row that was rejected for something else."""
    if not isinstance(row, Sequence) or isinstance(row, str | bytes) or len(row) < len(FIELDS):
        return None
    trade_id = row[len(FIELDS) - 1]
    return trade_id if type(trade_id) is int and 0 < trade_id < 2**63 else None
