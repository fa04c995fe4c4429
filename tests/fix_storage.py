"""A store under test: a writer's connection, two retention lines where the tests want them, imports at a fixed time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from krakendata.ingest import blocks
from krakendata.ingest.csv_import import BulkCSVImporter, ImportReport
from krakendata.storage.bulk import prepare_writer
from krakendata.storage.editions import EDITIONS, Edition
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.upkeep import UpkeepSettings, apply_retention, run_upkeep
from krakendata.types import HistoricalCandle, interval_of

FENCE = datetime(2025, 6, 2, tzinfo=UTC)
TRADES_LINE = datetime(2025, 9, 1, tzinfo=UTC)
# A Monday at 12:34:30: the day, the hours and the five minutes are open.
NOW = datetime(2025, 11, 24, 12, 34, 30, tzinfo=UTC)

CANDLE_FACTS = (
    "symbol", "timestamp", "open", "high", "low", "close", "volume", "turnover", "trade_count", "first_id", "last_id",
)  # fmt: skip

STAGE = "INSERT INTO staged_candles VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True)
class Store:
    """The database under test, emptied afterwards. `connection` is a writer's, in autocommit."""

    database: dict[str, Any] = field(repr=False)
    edition: Edition
    connection: AsyncConnection[Any] = field(repr=False)

    async def fetch(self, sql: str, *parameters: Any) -> list[Any]:
        """Give the rows; of a single column, its values."""
        cursor = await self.connection.execute(sql, parameters)
        rows = await cursor.fetchall()
        return [row[0] for row in rows] if rows and len(rows[0]) == 1 else rows

    async def draw_lines(self, *, trades: datetime, candles: datetime) -> None:
        """Put both lines where a first migration might have put them."""
        for kind, line in (("trades", trades), ("candles", candles)):
            await self.connection.execute(
                "UPDATE retention_lines SET first_line = %s, line = %s WHERE kind = %s", [line, line, kind]
            )
        await self.connection.execute("SELECT draw_all_candles()")

    async def import_files(self, *paths: Path, now: datetime = NOW, **options: Any) -> ImportReport:
        return await BulkCSVImporter(self.database, clock=lambda: now, **options).import_directory(*paths)

    async def stage(self, rows: Sequence[Sequence[Any]]) -> tuple[int, int, int]:
        """Merge minutes (columns as in staged_candles); give stored, folded, duplicate."""
        if self.edition.partitions == "native":
            times = [row[1] for row in rows]
            await self.connection.execute(
                "SELECT make_partitions('candles', %s, %s)", [min(times), max(times) + timedelta(minutes=1)]
            )
        async with self.connection.transaction(), self.connection.cursor() as cursor:
            await cursor.executemany(STAGE, rows)
            (counts,) = await self.fetch("SELECT stored, folded, duplicate FROM merge_staged_candles()")
        return tuple(counts)

    async def refresh(self, now: datetime = NOW) -> None:
        await refresh_rollups(self.connection, self.edition, now)

    async def retain(self, now: datetime = NOW, trades_days: int = 90, candles_days: int = 365) -> None:
        await apply_retention(self.connection, UpkeepSettings(trades_days, candles_days), now)

    async def upkeep(self, now: datetime = NOW, candles_days: int = 365) -> None:
        await run_upkeep(self.connection, self.edition, UpkeepSettings(candles_days=candles_days), now)

    async def candles(self, interval: str, symbol: str = "BTC/USD") -> list[HistoricalCandle]:
        """What the view of an interval answers, in time order."""
        found = interval_of(interval)
        rows = await self.fetch(
            f"SELECT {', '.join(CANDLE_FACTS[1:])} FROM {found.view} WHERE symbol = %s ORDER BY timestamp",  # noqa: S608
            symbol,
        )
        return [HistoricalCandle(symbol, found.minutes, *row) for row in rows]


@pytest.fixture
async def store(conninfo: dict[str, Any], edition: str) -> AsyncIterator[Store]:
    """Give an empty store whose fence and trades line stand at FENCE and TRADES_LINE."""
    async with await AsyncConnection.connect(**conninfo, autocommit=True) as connection:
        await prepare_writer(connection)
        found = Store(conninfo, EDITIONS[edition], connection)
        before = dict(await found.fetch("SELECT kind, line FROM retention_lines"))
        await found.draw_lines(trades=TRADES_LINE, candles=FENCE)
        yield found
        await found.draw_lines(**before)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make the importer's blocks small, so that a small file has many; give the bytes of one."""
    size = 4 << 10
    monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
    return size
