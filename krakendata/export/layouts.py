"""What each tool wants: how a file is called, what it holds, how it is cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from krakendata.export.contents import TRADES, Contents
from krakendata.export.files import Format
from krakendata.export.nautilus import bars_of, place_of_bars, place_of_ticks, precisions_of, ticks_of
from krakendata.export.parts import By

__all__ = ["LAYOUTS", "Layout"]

OHLCV = ("timestamp", "open", "high", "low", "close", "volume")
TRADE = ("timestamp", "trade_id", "price", "volume", "side", "order_type")


Make = Callable[[pa.Table, Contents], pa.Table]


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay files out.

    `candles` and `trades` make the tool's table of ours, None where it takes none, of the columns that it needs; None
    of these: of those that the caller names. `place` and `trades_place` tell a file's path without its ending.
    `formats` are those the tool reads, the usual one first. `by` is how long a file is, None: as the caller wants;
    `exact` whether its numbers are, None likewise. `precisions` tells what files depend on besides their rows.
    """

    name: str
    place: Callable[[Contents], str]
    formats: tuple[Format, ...]
    candles: Make
    trades: Make | None = None
    trades_place: Callable[[Contents], str] | None = None
    columns: tuple[str, ...] | None = None
    trade_columns: tuple[str, ...] | None = None
    by: By | None = None
    exact: bool | None = None
    precisions: Callable[[Contents], list[str]] | None = None

    def path(self, contents: Contents) -> str:
        """Where in the folder a file is, without its ending."""
        place = self.trades_place if contents.kind == TRADES else None
        return (place or self.place)(contents)


def _in_folders(contents: Contents) -> str:
    return f"{contents.pair_name}/{contents.kind}/{contents.label}"


def _in_one_file(contents: Contents) -> str:
    return f"{contents.pair_name}-{contents.kind}"


def _for_freqtrade(contents: Contents) -> str:
    """A month is 1Mo there: 1m on a disk that knows no case is a minute."""
    return f"{contents.pair_name}-{contents.kind.replace('mo', 'Mo')}"


def _same(table: pa.Table, contents: Contents) -> pa.Table:
    return table


def _freqtrade_candles(table: pa.Table, contents: Contents) -> pa.Table:
    """date in milliseconds, and five floats."""
    date = table["timestamp"].cast(pa.timestamp("ms", tz="UTC"))
    return pa.table([date, *(table[name] for name in OHLCV[1:])], names=["date", *OHLCV[1:]])


def _freqtrade_trades(table: pa.Table, contents: Contents) -> pa.Table:
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


def _frame_candles(table: pa.Table, contents: Contents) -> pa.Table:
    """Date, Open, High, Low, Close, Volume: what backtesting.py and vectorbt call them."""
    names = ["Date", *(name.capitalize() for name in OHLCV[1:])]
    return table.select(OHLCV).rename_columns(names)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "plain",
            _in_folders,
            formats=(Format.PARQUET, Format.FEATHER, Format.ARROW, Format.CSV),
            candles=_same,
            trades=_same,
        ),
        Layout(
            "freqtrade",
            _for_freqtrade,
            formats=(Format.FEATHER, Format.PARQUET),
            candles=_freqtrade_candles,
            trades=_freqtrade_trades,
            columns=OHLCV,
            trade_columns=TRADE,
            by=By.ALL,
            exact=False,
        ),
        Layout(
            "frames",
            _in_one_file,
            formats=(Format.PARQUET, Format.FEATHER, Format.ARROW, Format.CSV),
            candles=_frame_candles,
            columns=OHLCV,
            by=By.ALL,
            exact=False,
        ),
        Layout(
            "nautilus",
            place_of_bars,
            formats=(Format.PARQUET,),
            candles=bars_of,
            trades=ticks_of,
            trades_place=place_of_ticks,
            columns=OHLCV,
            trade_columns=TRADE,
            by=By.YEAR,
            exact=True,
            precisions=precisions_of,
        ),
    )
}
