"""Every 1-minute candle of a pair in columns, beside the bare binary path and beside files that hold the same."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.feather
import pyarrow.parquet

from krakendata.columns.tables import CandleColumns
from krakendata.historical_provider import HistoricalDataProvider
from tests.benchmarks.servers import BenchServer

SYMBOL = "BTC/USD"
ROUNDS = 3
# What a backtest reads.
COLUMNS = ("open", "high", "low", "close", "volume", "trade_count")
FLOATS = ", ".join(f"{name}::double precision" for name in COLUMNS[:5])
BARE = (
    f"\\copy (SELECT timestamp, {FLOATS}, trade_count FROM all_candles_1m WHERE symbol = '{SYMBOL}' "
    "ORDER BY timestamp) TO '/dev/null' (FORMAT binary)"
)


@dataclass(frozen=True)
class ColumnsResult:
    """A median; `ratio` to the bare path, which leaves the bytes undecoded."""

    name: str
    rows: int
    seconds: float
    ratio: float


def measure_columns(server: BenchServer) -> list[ColumnsResult]:
    """On the database `ours` with the minutes of the OHLCVT import in it."""
    url = server.url_of("ours")
    bare = _median(lambda: server.run_psql("ours", BARE))
    whole = _read(url)
    with tempfile.TemporaryDirectory(prefix="krakendata-bench-") as path:
        folder = Path(path)
        pyarrow.feather.write_feather(whole.table, folder / "x.feather")
        pyarrow.parquet.write_table(whole.table, folder / "x.parquet", compression="zstd")
        ways: dict[str, Callable[[], Any]] = {
            "to Arrow": lambda: _read(url),
            "to Polars": lambda: _read(url).to_polars(),
            "to pandas": lambda: _read(url).to_pandas(),
            "to NumPy": lambda: _read(url).to_numpy(),
            "to Arrow, exact": lambda: _read(url, exact=True),
            "to `Candle` objects": lambda: _read_objects(url),
            "a Feather file to Arrow": lambda: pyarrow.feather.read_table(folder / "x.feather"),
            "a Parquet file to Arrow": lambda: pyarrow.parquet.read_table(folder / "x.parquet"),
        }
        seconds = {"`psql \\copy` in binary, not decoded": bare} | {
            name: _median(way) for name, way in ways.items()
        }
    return [ColumnsResult(name, len(whole), each, each / bare) for name, each in seconds.items()]


def _read(url: str, *, exact: bool = False) -> CandleColumns:
    async def ask() -> CandleColumns:
        async with HistoricalDataProvider(url, min_size=1, max_size=1) as provider:
            return await provider.get_candle_columns(SYMBOL, "1m", columns=COLUMNS, exact=exact)

    return asyncio.run(ask())


def _read_objects(url: str) -> None:
    async def ask() -> None:
        async with HistoricalDataProvider(url, min_size=1, max_size=1) as provider:
            await provider.get_candles(SYMBOL, "1m")

    asyncio.run(ask())


def _median(deed: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        deed()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
