"""The forms of an answer, JSON, CSV and Arrow, and which of them a request accepts."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Context, Decimal
from enum import StrEnum
from typing import Any

import pyarrow as pa

from krakendata.api.problems import Problem
from krakendata.live.replies import decimal_text, moment_text

__all__ = ["CANDLE_COLUMNS", "TRADE_COLUMNS", "Format", "as_arrow", "as_csv", "as_objects", "format_asked"]


class Format(StrEnum):
    """By their media types; the first is the one of who does not say."""

    JSON = "application/json"
    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"


# Eighteen digits behind the point: more than any price times any volume of the exchange has.
_DECIMAL = pa.decimal128(38, 18)
# Where a series has more digits yet: exact in any case.
_WIDE_DECIMAL = pa.decimal256(76, 38)
_LAST_DIGIT, _WIDE = Decimal("1e-18"), Context(prec=76)
_MOMENT = pa.timestamp("us", tz="UTC")

_WRITERS: dict[pa.DataType, Callable[[Any], Any]] = {_DECIMAL: decimal_text}

# Names and Arrow types, in the order of the rows.
CANDLE_COLUMNS: dict[str, pa.DataType] = {
    "symbol": pa.string(),
    "timestamp": _MOMENT,
    "open": _DECIMAL,
    "high": _DECIMAL,
    "low": _DECIMAL,
    "close": _DECIMAL,
    "volume": _DECIMAL,
    "vwap": _DECIMAL,
    "trade_count": pa.int64(),
    "turnover": _DECIMAL,
    "first_id": pa.int64(),
    "last_id": pa.int64(),
    "coarse": pa.bool_(),
}
TRADE_COLUMNS: dict[str, pa.DataType] = {
    "symbol": pa.string(),
    "trade_id": pa.int64(),
    "timestamp": _MOMENT,
    "price": _DECIMAL,
    "volume": _DECIMAL,
    "side": pa.string(),
    "order_type": pa.string(),
}
Row = Sequence[Any]


def format_asked(accept: str | None, offered: Sequence[Format]) -> Format:
    """What of `offered` the header Accept likes best, the earlier of equals; raises Problem 406 if it likes none.

    Who says nothing gets the first.
    """
    if not accept or not accept.strip():
        return offered[0]
    ranges = [_media_range(part) for part in accept.split(",")]
    likings = [(_liking(each, ranges), -place, each) for place, each in enumerate(offered)]
    liking, _, best = max(likings)
    if liking <= 0:
        raise Problem(406, "not_acceptable", f"This is given as {', '.join(offered)}: accept one of them.")
    return best


def _media_range(text: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    # What is no number between 0 and 1 is no wish.
    return name, quality if 0 <= quality <= 1 else 0.0


def _liking(offered: Format, ranges: Iterable[tuple[str, float]]) -> float:
    """The quality of the narrowest range that it is in."""
    kind = offered.partition("/")[0]
    narrowest = {str(offered): 3, f"{kind}/*": 2, "*/*": 1}
    found = [(narrowest[name], quality) for name, quality in ranges if name in narrowest]
    return max(found)[1] if found else 0.0


def as_objects(columns: Mapping[str, pa.DataType], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows as msgspec makes JSON of them: decimals in text, exact; moments it writes itself, in UTC with a Z."""
    return [dict(zip(columns, row, strict=True)) for row in _written(columns, rows, _WRITERS)]


def as_csv(columns: Mapping[str, pa.DataType], rows: Iterable[Row]) -> bytes:
    """Rows as CSV (RFC 4180) with a head; what is not known is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(_written(columns, rows, {**_WRITERS, _MOMENT: moment_text, pa.bool_(): _word_of}))
    return text.getvalue().encode()


def as_arrow(columns: Mapping[str, pa.DataType], rows: Sequence[Row], facts: dict[str, str]) -> bytes:
    """Rows as an Arrow stream; `facts` go into the schema's metadata."""
    by_column = zip(*rows, strict=True) if rows else ([] for _ in columns)
    arrays = [_array(name, values, columns[name]) for name, values in zip(columns, by_column, strict=True)]
    fields = [pa.field(name, array.type) for name, array in zip(columns, arrays, strict=True)]
    batch = pa.record_batch(arrays, schema=pa.schema(fields, metadata=facts))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _array(name: str, values: Iterable[Any], kind: pa.DataType) -> pa.Array:
    cells = list(values)
    if name == "vwap":
        # A quotient has no last digit; the turnover beside it is exact.
        cells = [cell if cell is None else cell.quantize(_LAST_DIGIT, context=_WIDE) for cell in cells]
    try:
        return pa.array(cells, kind)
    except pa.ArrowInvalid:
        if kind != _DECIMAL:
            raise
        return pa.array(cells, _WIDE_DECIMAL)


def _written(
    columns: Mapping[str, pa.DataType],
    rows: Iterable[Row],
    writers: Mapping[pa.DataType, Callable[[Any], Any]],
) -> Iterator[Row]:
    """The rows with each cell as its column is written, a column at a time: that asks once for its writer."""
    # A page may be empty; its columns are not fewer.
    by_column = list(zip(*rows, strict=True)) or [()] * len(columns)
    written = []
    for kind, cells in zip(columns.values(), by_column, strict=True):
        write = writers.get(kind)
        written.append(cells if write is None else [None if cell is None else write(cell) for cell in cells])
    return zip(*written, strict=True)


def _word_of(value: bool) -> str:
    return "true" if value else "false"
