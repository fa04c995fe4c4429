"""Candles and trades in one line, for notebooks and scripts: no Django project, no asyncio, only DATABASE_URL.

    import krakendata.notebook as kd

    kd.candles("BTC/USD", "1h", "2024")

Each call answers with a Polars frame, or a pandas one (`pandas=True`), and says how complete it is. The database is
that of DATABASE_URL, or of `kd.connect(address)`.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import polars as pl

from krakendata.chart import Bar, Chart, draw_candles
from krakendata.columns.tables import CandleColumns, Columns
from krakendata.completeness import completeness
from krakendata.errors import ConfigurationError
from krakendata.filling import Fill
from krakendata.intervals import longest
from krakendata.periods import Period, period_of
from krakendata.storage.embedded import Server, start_server
from krakendata.sync_provider import SyncHistoricalDataProvider

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["candles", "chart", "close", "connect", "coverage", "symbols", "trades"]

EXAMPLE = "DATABASE_URL=postgresql://krakendata:PASSWORD@localhost:5432/krakendata"
# Where the project that this is a part of keeps its private server.
EMBEDDED_HOME = Path(__file__).resolve().parent.parent / "var" / "postgres"
CONNECTIONS = 4


@dataclass(frozen=True)
class _Session:
    """A connected provider, and the private server it asks, if it is one."""

    provider: SyncHistoricalDataProvider
    server: Server | None

    @classmethod
    def open(cls, address: str) -> _Session:
        server = start_server(_embedded_home(address)) if address.startswith("embedded:") else None
        url = address if server is None else server.url
        session = cls(SyncHistoricalDataProvider(url, min_size=1, max_size=CONNECTIONS), server)
        try:
            session.provider.connect()
        except BaseException:
            session.close()
            raise
        return session

    def close(self) -> None:
        self.provider.close()
        if self.server is not None:
            self.server.release()


# The one that the functions below share.
_session: _Session | None = None
_lock = threading.Lock()


def connect(address: str | None = None) -> None:
    """Use the database at `address`, of DATABASE_URL without one; called by itself at the first question.

    Addresses as in .env: `timescale://…`, `postgresql://…`, `embedded:` for the private server of a checkout,
    `embedded:/some/dir`. ConfigurationError where there is none, StorageUnavailable where nothing answers.
    """
    close()
    _connected(address)


def close() -> None:
    """Let the connections go; the next question opens others."""
    global _session
    with _lock:
        session, _session = _session, None
    if session is not None:
        session.close()


atexit.register(close)


@overload
def candles(
    symbol: str,
    interval: str | int,
    period: Period = ...,
    *,
    columns: Sequence[str] | None = ...,
    exact: bool = ...,
    fill: Fill = ...,
    include_open: bool = ...,
    quiet: bool = ...,
    pandas: Literal[False] = ...,
) -> pl.DataFrame: ...
@overload
def candles(
    symbol: str,
    interval: str | int,
    period: Period = ...,
    *,
    columns: Sequence[str] | None = ...,
    exact: bool = ...,
    fill: Fill = ...,
    include_open: bool = ...,
    quiet: bool = ...,
    pandas: Literal[True],
) -> pd.DataFrame: ...
def candles(
    symbol: str,
    interval: str | int,
    period: Period = None,
    *,
    columns: Sequence[str] | None = None,
    exact: bool = False,
    fill: Fill = "none",
    include_open: bool = False,
    quiet: bool = False,
    pandas: bool = False,
) -> pl.DataFrame | pd.DataFrame:
    """The candles of a period, oldest first: `kd.candles("BTC/USD", "1h", "2024")`.

    `symbol` in any spelling; `interval` as "1h" or 60; `period` as "2024", "2024-03", "2024-03-01", "30d", or a start
    and an end, all in UTC; all there are without one. Numbers are floats, `exact` ones decimals. `fill` ("flat",
    "null") adds the quiet buckets. How complete they are is written below the call unless `quiet`, and kept by pandas
    in `attrs["coverage"]`.
    """
    found = _candles(symbol, interval, period, columns, exact=exact, fill=fill, include_open=include_open)
    return _frame(found, f"{found.symbol} {found.interval.name}", "candles", quiet=quiet, pandas=pandas)


def trades(
    symbol: str,
    period: Period = None,
    *,
    columns: Sequence[str] | None = None,
    exact: bool = False,
    quiet: bool = False,
    pandas: bool = False,
) -> pl.DataFrame | pd.DataFrame:
    """The stored trades of a period likewise, by time and id: `kd.trades("BTC/USD", "1d")` are those of a day back."""
    session = _connected()
    bounds = period_of(period, datetime.now(UTC))
    found = session.provider.get_trade_columns(symbol, *bounds, columns=columns, exact=exact)
    return _frame(found, found.symbol, "trades", quiet=quiet, pandas=pandas)


def coverage(symbol: str, period: Period = None, interval: str | int = "1m") -> pl.DataFrame:
    """How complete the candles of a period are: stretches of time, half open, each proven, provisional or a hole."""
    session = _connected()
    found = session.provider.get_coverage(symbol, interval, *period_of(period, datetime.now(UTC)))
    kinds = {"proven": found.proven, "provisional": found.provisional, "hole": found.holes}
    rows = sorted((*stretch, kind) for kind, stretches in kinds.items() for stretch in stretches)
    moment = pl.Datetime("us", "UTC")
    return pl.DataFrame(rows, schema={"start": moment, "end": moment, "state": pl.String}, orient="row")


def symbols() -> pl.DataFrame:
    """The pairs that anything was collected of: from when to when, how many trades, and how many days are proven."""
    session = _connected()
    rows = []
    for each in session.provider.get_holdings():
        kept = [status for status in (each.trades, each.candles) if status is not None]
        oldest = min((status.oldest for status in kept if status.oldest), default=None)
        newest = max((status.newest for status in kept if status.newest), default=None)
        proven = sum((stretch.end - stretch.start for stretch in each.coverage.proven), timedelta())
        rows.append(
            (
                each.symbol,
                oldest,
                newest,
                each.trades.collected if each.trades else 0,
                proven / timedelta(days=1),
            )
        )
    moment = pl.Datetime("us", "UTC")
    schema: dict[str, Any] = {
        "symbol": pl.String,
        "oldest": moment,
        "newest": moment,
        "trades": pl.Int64,
        "proven_days": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def chart(symbol: str, interval: str | int, period: Period = None, *, include_open: bool = False) -> Chart:
    """The candles of a period as a picture, which a notebook shows; `.svg` is its text. At most 2,000 candles."""
    names = list(Bar._fields[1:])
    found = _candles(symbol, interval, period, names, include_open=include_open)
    rows = (Bar(*row) for row in found.to_polars().iter_rows())
    title = f"{found.symbol} {found.interval.name}"
    return draw_candles(list(rows), longest(found.interval), title, completeness(found.coverage))


def _candles(
    symbol: str,
    interval: str | int,
    period: Period,
    columns: Sequence[str] | None,
    *,
    exact: bool = False,
    fill: Fill = "none",
    include_open: bool = False,
) -> CandleColumns:
    session = _connected()
    start, end = period_of(period, datetime.now(UTC))
    form: dict[str, Any] = {"columns": columns, "exact": exact, "fill": fill}
    return session.provider.get_candle_columns(symbol, interval, start, end, include_open, **form)


def _frame(found: Columns, name: str, things: str, *, quiet: bool, pandas: bool) -> Any:
    frame: Any = found.to_pandas() if pandas else found.to_polars()
    told = completeness(found.coverage)
    if pandas:
        frame.attrs["coverage"] = told
    if not quiet:
        sys.stdout.write(f"{name}: {len(found):,} {things}. {told}\n")
    return frame


def _connected(address: str | None = None) -> _Session:
    global _session
    with _lock:
        if _session is None:
            _session = _Session.open(_address() if address is None else address)
        return _session


def _address() -> str:
    address = os.environ.get("DATABASE_URL", "").strip()
    if not address:
        raise ConfigurationError(
            f"DATABASE_URL is not set: set it to the database's address, for example {EXAMPLE}, "
            "or call connect(address) with it."
        )
    return address


def _embedded_home(address: str) -> Path:
    directory = address.removeprefix("embedded:")
    return Path(directory) if directory else EMBEDDED_HOME
