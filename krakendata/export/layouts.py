"""What each tool wants: how a file is called, what it holds, how it is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from krakendata.export.files import Format
from krakendata.export.parts import By

__all__ = ["LAYOUTS", "Layout"]

OHLCV = ("timestamp", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay files out.

    `path` tells a file's place by the pair's name for files, what is in it ("1h", "trades") and the part's name.
    `candles` and `trades` make the tool's table of ours, None where it takes none, of the columns that it needs; None
    of these: of those that the caller names. `formats` are those the tool reads, the usual one first. `by` None: as the
    caller wants.
    """

    name: str
    path: Callable[[str, str, str], str]
    formats: tuple[Format, ...]
    candles: Callable[[pa.Table], pa.Table] | None
    trades: Callable[[pa.Table], pa.Table] | None
    columns: tuple[str, ...] | None = None
    trade_columns: tuple[str, ...] | None = None
    by: By | None = None


def _same(table: pa.Table) -> pa.Table:
    return table


def _freqtrade_candles(table: pa.Table) -> pa.Table:
    """date in milliseconds, and five floats."""
    date = table["timestamp"].cast(pa.timestamp("ms", tz="UTC"))
    return pa.table([date, *(table[name] for name in OHLCV[1:])], names=["date", *OHLCV[1:]])


def _freqtrade_trades(table: pa.Table) -> pa.Table:
    """The columns of its DEFAULT_TRADES_COLUMNS, in that order: times in milliseconds, ids as texts."""
    columns = {
        "timestamp": table["timestamp"].cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64()),
        "id": table["trade_id"].cast(pa.string()),
        "type": pc.fill_null(table["order_type"], ""),
        "side": pc.fill_null(table["side"], ""),
        "price": table["price"],
        "amount": table["volume"],
        "cost": pc.multiply(table["price"], table["volume"]),
    }
    return pa.table(columns)


def _frame_candles(table: pa.Table) -> pa.Table:
    """Date, Open, High, Low, Close, Volume: what backtesting.py and vectorbt call them."""
    names = ["Date", *(name.capitalize() for name in OHLCV[1:])]
    return table.select(OHLCV).rename_columns(names)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "plain",
            lambda pair, what, part: f"{pair}/{what}/{part}",
            (Format.PARQUET, Format.FEATHER, Format.ARROW, Format.CSV),
            _same,
            _same,
        ),
        Layout(
            "freqtrade",
            lambda pair, what, part: f"{pair}-{what}",
            (Format.FEATHER, Format.PARQUET),
            _freqtrade_candles,
            _freqtrade_trades,
            OHLCV,
            ("timestamp", "trade_id", "price", "volume", "side", "order_type"),
            By.ALL,
        ),
        Layout(
            "frames",
            lambda pair, what, part: f"{pair}-{what}",
            (Format.PARQUET, Format.FEATHER, Format.ARROW, Format.CSV),
            _frame_candles,
            None,
            OHLCV,
            None,
            By.ALL,
        ),
    )
}
