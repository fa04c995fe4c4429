"""A small history over both sides of the fence, written by the database's own verbs, and a still clock."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from krakendata.storage.editions import EDITIONS
from krakendata.storage.rollups import refresh_rollups
from krakendata.types import INTERVALS

TABLES = (
    "trades", "candles", "candles_history", "trade_runs", "answered_ids", "candle_runs", "pairs",
    "data_sync_status",
)  # fmt: skip
PAIRS = (
    ("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD"),
    ("ETH/USD", "XETHZUSD", "ETHUSD", "ETH/USD"),
    ("ADA/USD", "ADAUSD", "ADAUSD", "ADA/USD"),
    ("DOGE/USD", "XDGUSD", "XDGUSD", "XDG/USD"),
)
FIRST_ID = 1001


@dataclass(frozen=True)
class History:
    """What is stored, and when "now" is.

    BTC/USD has exact trades, two in each minute but the quiet ones, from two days below the fence until now;
    ETH/USD a day of minutes of a candle archive; ADA/USD days of one; DOGE/USD is listed and has nothing.
    """

    database: dict[str, Any] = field(repr=False)
    fence: datetime

    @property
    def now(self) -> datetime:
        return self.fence + timedelta(days=3, hours=10, minutes=7, seconds=30)

    @property
    def start(self) -> datetime:
        return self.fence - timedelta(days=2)

    @property
    def minutes(self) -> list[datetime]:
        """The minutes of BTC/USD that have trades, the one that is forming included."""
        count = int((self.now - self.start) / timedelta(minutes=1)) + 1
        return [self.start + timedelta(minutes=n) for n in range(count) if not is_quiet(n)]

    def clock(self) -> datetime:
        return self.now


def is_quiet(minute: int) -> bool:
    """Tell whether the nth minute of BTC/USD's history has no trades: one in seven, and a whole hour."""
    return minute % 7 == 5 or 3600 <= minute < 3660


@pytest.fixture
async def history(conninfo: dict[str, Any], edition: str) -> AsyncIterator[History]:
    """Write the history, refresh every rollup, and leave the tables empty."""
    async with await AsyncConnection.connect(**conninfo, autocommit=True) as connection:
        cursor = await connection.execute("SELECT candles_fence()")
        written = History(conninfo, (await cursor.fetchall())[0][0])
        await empty(connection, edition)
        await connection.execute("SELECT make_partitions('candles', %s, %s)", [written.fence, written.now])
        async with connection.transaction():
            await write(connection, written)
        await refresh_rollups(connection, EDITIONS[edition], written.now)
        yield written
        await empty(connection, edition)


async def write(connection: AsyncConnection[Any], history: History) -> None:
    await connection.cursor().executemany(
        "INSERT INTO pairs VALUES (%s, %s, %s, %s, '', 'USD', 'online', 1, 8)",
        PAIRS,
    )
    await connection.execute("SELECT stage_candles()")
    cursor = connection.cursor()
    await cursor.executemany(
        "INSERT INTO staged_candles VALUES ('BTC/USD', %s, %s, %s, 99.5, %s, 2, 200, 2, %s, %s, true)",
        [
            (minute, 100 + n % 10, 150 + n % 10, 100 + n % 7, FIRST_ID + 2 * n, FIRST_ID + 2 * n + 1)
            for n, minute in enumerate(history.minutes)
        ],
    )
    day = timedelta(days=1)
    await cursor.execute(
        "INSERT INTO staged_candles (symbol, timestamp, open, high, low, close, volume, trade_count) "
        "SELECT 'ETH/USD', m, 10, 12, 9, 11, 3, 4 FROM generate_series(%s, %s, interval '1 minute') m",
        [history.fence + day, history.fence + 2 * day - timedelta(minutes=1)],
    )
    await cursor.execute("SELECT merge_staged_candles()")
    await cursor.execute("DELETE FROM staged_candles")
    await cursor.execute(
        "INSERT INTO staged_candles (symbol, timestamp, open, high, low, close, volume, trade_count) "
        "SELECT 'ADA/USD', d, 1, 3, 0.5, 2, 30, 40 FROM generate_series(%s, %s, interval '1 day') d",
        [history.fence - 10 * day, history.fence + day],
    )
    await cursor.execute("SELECT merge_coarse_candles(1440)")
    await record(connection, history)


async def record(connection: AsyncConnection[Any], history: History) -> None:
    """Tell the ledger: the first trade a second into its minute, the last at the beginning of its own."""
    day, minutes = timedelta(days=1), history.minutes
    last_id = FIRST_ID + 2 * len(minutes) - 1
    await connection.execute(
        "SELECT record_trade_run('BTC/USD', %s, %s, (extract(epoch FROM %s) * 1000000000)::bigint, "
        "(extract(epoch FROM %s) * 1000000000)::bigint, %s, 'archive', false, NULL)",
        [FIRST_ID, last_id, minutes[0] + timedelta(seconds=1), minutes[-1], 2 * len(minutes)],
    )
    await connection.execute(
        "SELECT record_candle_run('ETH/USD', 1, %s, %s, 1440), "
        "record_candle_run('ADA/USD', 1440, %s, %s, 12)",
        [
            *(history.fence + day, history.fence + 2 * day - timedelta(minutes=1)),
            *(history.fence - 10 * day, history.fence + day),
        ],
    )
    await connection.execute(
        "SELECT summarize_sync('BTC/USD', 'trades'), summarize_sync('ETH/USD', 'candles'), "
        "summarize_sync('ADA/USD', 'candles')"
    )


async def empty(connection: AsyncConnection[Any], edition: str) -> None:
    """Empty every table of the history; the rollups follow by what they are made of."""
    await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
    rollups = [interval.relation for interval in INTERVALS.values() if interval.parent]
    if EDITIONS[edition].rollups == "aggregates":
        for relation in rollups:
            await connection.execute(f"TRUNCATE {relation}")
        return
    closed = ", ".join(f"{name}_closed" for name in rollups)
    await connection.execute(f"TRUNCATE dirty_ranges, {closed}")
    await connection.execute("UPDATE rollup_watermarks SET watermark = '2000-01-03 00:00:00+00'")
