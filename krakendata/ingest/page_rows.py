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
KINDS = (str, str, Decimal, str, str, str, int)

# Made once: making them takes a third as long as reading a page by them.
READINGS = readings(FIELDS)
AS_SCHEMA = as_schema()


def read_page(rows: Sequence[object], symbol: str, now: datetime) -> TradeRows:
    """Read a page's rows as `wire.read_trades_page` gives them; a row's line is its place in the page, from 1 on."""
    frame = _frame(rows).with_columns(**READINGS)
    is_certain = frame.select(certain=certain(FIELDS, now).fill_null(value=False))["certain"]
    sure = frame.filter(is_certain).select(AS_SCHEMA)
    doubtful = frame["line"].filter(~is_certain).to_list()
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
    fits = [True] * len(rows)
    columns = _columns(rows)
    if columns is None:
        fits = [_columns([row]) is not None for row in rows]
        empty = (None,) * len(FIELDS)
        plain = [row if is_fit else empty for row, is_fit in zip(rows, fits, strict=True)]
        columns = list(zip(*plain, strict=False))
    text = {
        name: [None if cell is None else str(cell) for cell in column] if kind is not str else column
        for name, kind, column in zip(FIELDS, KINDS, columns, strict=False)
    }
    schema = dict.fromkeys(FIELDS, pl.String)
    return pl.DataFrame(text, schema).with_columns(fits=pl.Series(fits)).with_row_index("line", offset=1)


def _columns(rows: Sequence[object]) -> Sequence[Sequence[object]] | None:
    """The rows by column; None where one of them is too short, or not of the types that Kraken gives them."""
    if not all(isinstance(row, tuple) and len(row) >= len(FIELDS) for row in rows):
        return None
    columns = list(zip(*rows, strict=False)) or [()] * len(FIELDS)
    fit = all({*map(type, column)} <= {kind} for column, kind in zip(columns, KINDS, strict=False))
    return columns if fit else None


def _named_id(row: object) -> int | None:
    """The id of a row that was rejected for something else."""
    if not isinstance(row, Sequence) or isinstance(row, str | bytes) or len(row) < len(FIELDS):
        return None
    trade_id = row[len(FIELDS) - 1]
    return trade_id if type(trade_id) is int and 0 < trade_id < 2**63 else None
