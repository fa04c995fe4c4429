"""Reads through the provider against bare psycopg running the same statement on the same data."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from krakendata.historical_provider import HistoricalDataProvider
from krakendata.storage.conninfo import arguments_from_url
from tests.benchmarks.files import CANDLES_START
from tests.benchmarks.servers import BenchServer

ROUNDS = 30
SYMBOL = "BTC/USD"
COLUMNS = "symbol, timestamp, open, high, low, close, volume, vwap, trade_count, turnover, first_id, last_id, coarse"


@dataclass(frozen=True)
class ReadResult:
    """Medians in milliseconds, and the customer's floor."""

    name: str
    provider_ms: float
    bare_ms: float
    floor_ms: int


def measure_reads(server: BenchServer) -> list[ReadResult]:
    """On the database `ours` with the minutes of the OHLCVT import in it."""
    return asyncio.run(_measure(server))


async def _measure(server: BenchServer) -> list[ReadResult]:
    url = server.url_of("ours")
    start = CANDLES_START + timedelta(days=30)
    end = start + timedelta(minutes=1000)
    now = datetime.now(UTC)
    between = (
        f"SELECT {COLUMNS} FROM all_candles_1m "
        "WHERE symbol = %s AND timestamp >= %s AND timestamp < %s ORDER BY timestamp"
    )
    latest = (
        f"SELECT {COLUMNS} FROM all_candles_1h "
        "WHERE symbol = %s AND timestamp >= %s ORDER BY timestamp DESC LIMIT 200"
    )
    span = "SELECT min(first_start), max(last_start) FROM candle_runs WHERE symbol = %s"
    async with (
        HistoricalDataProvider(url) as provider,
        await psycopg.AsyncConnection.connect(**arguments_from_url(url), autocommit=True) as bare,
    ):
        held = await provider.get_data_range(SYMBOL, "1m")
        since = (held.end if held else now) - timedelta(hours=400)
        plans: list[tuple[str, Callable[[], Awaitable[Any]], Callable[[], Awaitable[Any]], int]] = [
            (
                "1,000 1-minute candles by range",
                lambda: provider.get_candles(SYMBOL, "1m", start, end),
                lambda: _fetch(bare, between, (SYMBOL, start, end)),
                50,
            ),
            (
                "latest 200 hourly candles",
                lambda: provider.get_latest_candles(SYMBOL, "1h", 200),
                lambda: _fetch(bare, latest, (SYMBOL, since)),
                20,
            ),
            (
                "data range",
                lambda: provider.get_data_range(SYMBOL, "1m"),
                lambda: _fetch(bare, span, (SYMBOL,)),
                10,
            ),
        ]
        results = []
        for name, ours, theirs, floor in plans:
            pairs = [(await _timed(ours), await _timed(theirs)) for _ in range(ROUNDS)]
            provider_ms, bare_ms = (statistics.median(column) for column in zip(*pairs, strict=True))
            results.append(ReadResult(name, provider_ms, bare_ms, floor))
        return results


async def _fetch(bare: psycopg.AsyncConnection[Any], statement: str, values: tuple[Any, ...]) -> Any:
    cursor = await bare.execute(statement.encode(), values)
    return await cursor.fetchall()


async def _timed(deed: Callable[[], Awaitable[Any]]) -> float:
    started = time.perf_counter()
    await deed()
    return (time.perf_counter() - started) * 1000
