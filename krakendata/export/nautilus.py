"""nautilus_trader's catalog: its bars and trade ticks, as release 1.221 with high precision writes and reads them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from krakendata.errors import ExportError
from krakendata.export.contents import Contents
from krakendata.intervals import any_interval_of

__all__ = ["bars_of", "place_of_bars", "place_of_ticks", "ticks_of"]

VENUE = "KRAKEN"
# Its numbers are integers of 128 bits in units of 10^-16: what Arrow's decimals are, under another name.
RAW = pa.decimal128(38, 16)
BYTES = pa.binary(16)
UNITS = {"m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK", "mo": "MONTH"}
AGGRESSORS = {"buy": 1, "sell": 2}
NS_PER_US = 1_000


def place_of_bars(contents: Contents) -> str:
    """The file of bars, named by the first and the last time that it may hold: a bar is of the time it closes at."""
    length = any_interval_of(contents.kind).length
    first, last = contents.part.start + length, contents.part.end
    return f"data/bar/{_bar_type(contents).replace('/', '')}/{_name(first)}_{_name(last)}"


def place_of_ticks(contents: Contents) -> str:
    """The file of trade ticks likewise."""
    last = contents.part.end - timedelta(microseconds=1)
    return (
        f"data/trade_tick/{_instrument(contents).replace('/', '')}/{_name(contents.part.start)}_{_name(last)}"
    )


def bars_of(candles: pa.Table, contents: Contents) -> pa.Table:
    """Bars of exact candles, each at the time it closes at."""
    price, size = _decimals(contents)
    length = any_interval_of(contents.kind).length // timedelta(microseconds=1)
    times = pc.add(candles["timestamp"].cast(pa.int64()), length)
    columns = {name: _raw(candles[name], price, contents) for name in ("open", "high", "low", "close")}
    columns["volume"] = _raw(candles["volume"], size, contents)
    return _table(columns, times, contents, {"bar_type": _bar_type(contents)})


def ticks_of(trades: pa.Table, contents: Contents) -> pa.Table:
    """Trade ticks of exact trades."""
    price, size = _decimals(contents)
    sides = pc.index_in(trades["side"], pa.array(AGGRESSORS))
    columns = {
        "price": _raw(trades["price"], price, contents),
        "size": _raw(trades["volume"], size, contents),
        "aggressor_side": pc.add(pc.fill_null(sides, -1), 1).cast(pa.uint8()),
        "trade_id": trades["trade_id"].cast(pa.string()),
    }
    return _table(columns, trades["timestamp"].cast(pa.int64()), contents, {})


def _table(
    columns: dict[str, pa.ChunkedArray],
    microseconds: pa.ChunkedArray,
    contents: Contents,
    more: dict[str, str],
) -> pa.Table:
    moments = pc.multiply(microseconds, NS_PER_US).cast(pa.uint64())
    price, size = _decimals(contents)
    facts = {
        "instrument_id": _instrument(contents),
        "price_precision": str(price),
        "size_precision": str(size),
    }
    columns = {**columns, "ts_event": moments, "ts_init": moments}
    fields = [pa.field(name, column.type, nullable=False) for name, column in columns.items()]
    return pa.table(list(columns.values()), schema=pa.schema(fields, metadata={**more, **facts}))


def _raw(numbers: pa.ChunkedArray, decimals: int, contents: Contents) -> pa.ChunkedArray:
    """The numbers' own bytes; ExportError where one has more decimals than the pair."""
    try:
        exact = numbers.cast(pa.decimal128(38, decimals)).cast(RAW)
    except pa.ArrowInvalid as error:
        told = f"{contents.symbol} has numbers of more than {decimals} decimals, which its catalog could not hold."
        raise ExportError(told) from error
    chunks = [
        pa.Array.from_buffers(BYTES, len(chunk), chunk.buffers(), offset=chunk.offset)
        for chunk in exact.chunks
    ]
    return pa.chunked_array(chunks, BYTES)


def _decimals(contents: Contents) -> tuple[int, int]:
    """Those of a price and of a volume, by the exchange's list."""
    if contents.pair is None:
        raise ExportError(
            f"{contents.symbol} is not in the list of pairs, which tells how many decimals its prices have: "
            "manage.py import_pairs --api fetches it."
        )
    return contents.pair.price_decimals, contents.pair.volume_decimals


def _instrument(contents: Contents) -> str:
    return f"{contents.symbol}.{VENUE}"


def _bar_type(contents: Contents) -> str:
    name = any_interval_of(contents.kind).name
    count = name.rstrip("mhdwo")
    return f"{_instrument(contents)}-{count}-{UNITS[name[len(count) :]]}-LAST-EXTERNAL"


def _name(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H-%M-%S}-{moment.microsecond * 1_000:09}Z"
