"""nautilus_trader's catalog: its bars and trade ticks, as release 1.221 with high precision writes and reads them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from krakendata.errors import ExportError
from krakendata.export.contents import Contents
from krakendata.intervals import any_interval_of

__all__ = ["MOST_DECIMALS", "bars_of", "place_of_bars", "place_of_ticks", "precisions_of", "ticks_of"]

VENUE = "KRAKEN"
MOST_DECIMALS = 16
# Its numbers are integers of 128 bits in units of 10^-16: what Arrow's decimals are, under another name.
RAW = pa.decimal128(38, MOST_DECIMALS)
BYTES = pa.binary(16)
UNITS = {"m": "MINUTE", "h": "HOUR", "d": "DAY", "w": "WEEK"}
AGGRESSORS = {"buy": 1, "sell": 2}
NS_PER_US = 1_000
MICROSECOND = timedelta(microseconds=1)


def place_of_bars(contents: Contents) -> str:
    """The file of bars, named by the first and the last time that it may hold: a bar is of the time it closes at.

    A week that starts in a part may close behind it. Nautilus passes over files whose name is not of the time it wants.
    """
    length = any_interval_of(contents.kind).length
    first, last = contents.part.start + length, contents.part.end - MICROSECOND + length
    return f"data/bar/{_bar_type(contents).replace('/', '')}/{_name(first)}_{_name(last)}"


def place_of_ticks(contents: Contents) -> str:
    """The file of trade ticks likewise."""
    last = contents.part.end - MICROSECOND
    return (
        f"data/trade_tick/{_instrument(contents).replace('/', '')}/{_name(contents.part.start)}_{_name(last)}"
    )


def bars_of(candles: pa.Table, contents: Contents) -> pa.Table:
    """Bars of exact candles, each at the time it closes at.

    Volumes are rounded to the pair's decimals: in Kraken's archives they carry the noise of a sum of floats.
    """
    _, size = _decimals(contents)
    length = any_interval_of(contents.kind).length // MICROSECOND
    times = pc.add(candles["timestamp"].cast(pa.int64()), length)
    columns = {name: _prices(candles, name, contents) for name in ("open", "high", "low", "close")}
    columns["volume"] = _raw(pc.round(candles["volume"], size))
    return _table(columns, times, contents, {"bar_type": _bar_type(contents)})


def ticks_of(trades: pa.Table, contents: Contents) -> pa.Table:
    """Trade ticks of exact trades."""
    _, size = _decimals(contents)
    sides = pc.index_in(trades["side"], pa.array(AGGRESSORS))
    columns = {
        "price": _prices(trades, "price", contents),
        "size": _raw(pc.round(trades["volume"], size)),
        "aggressor_side": pc.add(pc.fill_null(sides, -1), 1).cast(pa.uint8()),
        "trade_id": trades["trade_id"].cast(pa.string()),
    }
    return _table(columns, trades["timestamp"].cast(pa.int64()), contents, {})


def precisions_of(contents: Contents) -> list[str]:
    """What the pair's files depend on besides their rows."""
    price, size = _decimals(contents)
    return [f"{price} and {size} decimals"]


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


def _prices(table: pa.Table, name: str, contents: Contents) -> pa.ChunkedArray:
    """A column of prices in their bytes; ExportError where one has more decimals than the catalog is to have."""
    decimals, _ = _decimals(contents)
    has_more = pc.not_equal(pc.round(table[name], decimals), table[name])
    if pc.any(has_more).as_py():
        moment = table["timestamp"].filter(has_more)[0].as_py()
        raise ExportError(
            f"{contents.symbol} had prices of more than {decimals} decimals ({moment:%Y-%m-%d %H:%M}), as many as the "
            "catalog is to have: ask for more with --price-decimals, or begin later."
        )
    return _raw(table[name])


def _raw(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """The numbers' own bytes."""
    chunks = [
        pa.Array.from_buffers(BYTES, len(chunk), chunk.buffers(), offset=chunk.offset)
        for chunk in numbers.cast(RAW).chunks
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
