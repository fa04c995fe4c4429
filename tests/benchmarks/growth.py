"""The four questions at one, ten and a hundred million minutes, and how the database answers them."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from krakendata.gaps import Stretch
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.editions import EDITIONS, Edition
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.selections import select_candles
from krakendata.types import interval_of
from tests.benchmarks.files import TRADES_START
from tests.benchmarks.questions import LATEST_CANDLES, RANGE_CANDLES, QuestionResult, ask_all
from tests.benchmarks.read_market import settle
from tests.benchmarks.servers import BenchServer

SIZES = (1_000_000, 10_000_000, 100_000_000)
# A pair has this many at most, not quite five years; what is more belongs to further pairs.
MINUTES_OF_A_PAIR = 2_500_000
# Written in one transaction: a tenth of a gigabyte of write-ahead log or so.
SLICE = timedelta(days=280)
# A hundred million take an hour by one.
WRITERS = 2

SYMBOL = "P0/USD"
DATABASE = "grown"

# Prices that go up and down over the days, each minute its own; volumes as random as the benchmark's others.
INSERT = """
INSERT INTO candles (symbol, timestamp, open, high, low, close, volume, trade_count)
SELECT %(symbol)s, minute, price, price + 1.5, price - 1.5, price + 0.5, round((random() * 10)::numeric, 8),
       1 + (random() * 300)::bigint
FROM (SELECT minute, round((60000 + 5000 * sin(extract(epoch FROM minute) / 90000)
                            + 50 * sin(extract(epoch FROM minute) / 700))::numeric, 1) AS price
      FROM generate_series(%(start)s::timestamptz, %(last)s::timestamptz, INTERVAL '1 minute') minute) minutes
"""
RECORD = "SELECT record_candle_run(%(symbol)s, 1, %(start)s, %(last)s, %(count)s)"
SUMMARIZE = "SELECT summarize_sync(%(symbol)s, 'candles')"
MARK = "SELECT mark_dirty(%(symbol)s, %(start)s, %(end)s)"
PARTITIONS = "SELECT make_partitions('candles', %(start)s, %(end)s)"


@dataclass(frozen=True)
class Grown:
    """One size: the questions' results, in their order."""

    rows: int
    pairs: int
    questions: Sequence[QuestionResult]


@dataclass(frozen=True)
class GrowthResult:
    """All sizes, the smallest first, and the plans at the largest, by question."""

    sizes: Sequence[Grown]
    plans: Sequence[tuple[str, str]]


def measure_growth(server: BenchServer, scale: float) -> GrowthResult:
    """Each size in a database of its own, which goes before the next one comes."""
    edition = EDITIONS[server.edition]
    sizes, plans = [], []
    for size in SIZES:
        rows = int(size * scale)
        server.make_database(DATABASE)
        asyncio.run(_fill(server, rows))
        settle(server, DATABASE)
        found = asyncio.run(ask_all(server.url_of(DATABASE), edition, SYMBOL))
        sizes.append(Grown(rows, _pairs(rows), found))
        # The next size may take an hour.
        medians = ", ".join(f"{each.name} {statistics.median(each.provider_ms):.1f} ms" for each in found)
        print(f"{rows:,} minutes: {medians}", flush=True)
        plans = _plans(server, edition, _years(rows))
    server.run_psql("postgres", f"DROP DATABASE {DATABASE} WITH (FORCE)")
    return GrowthResult(sizes, plans)


def spread(result: GrowthResult, place: int) -> float:
    """How many times as long the slowest size takes for a question as the fastest."""
    medians = [statistics.median(each.questions[place].provider_ms) for each in result.sizes]
    return max(medians) / min(medians)


def _pairs(rows: int) -> int:
    return math.ceil(rows / MINUTES_OF_A_PAIR)


def _years(rows: int) -> Stretch:
    """The time that each pair has a minute for every one of."""
    return Stretch(TRADES_START - timedelta(minutes=rows // _pairs(rows)), TRADES_START)


async def _fill(server: BenchServer, rows: int) -> None:
    """Write minutes and what the ledger says of an archive of them, as an import would; refresh the rollups."""
    whole, pairs = _years(rows), iter(range(_pairs(rows)))
    async with _connected(server) as connection:
        await connection.execute(PARTITIONS, {"start": whole.start, "end": whole.end})

    async def write_pairs() -> None:
        async with _connected(server) as connection:
            for number in pairs:
                start = whole.start
                while start < whole.end:
                    end = min(start + SLICE, whole.end)
                    await _write(connection, f"P{number}/USD", Stretch(start, end))
                    start = end

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(write_pairs())
    async with _connected(server) as connection:
        await refresh_rollups(connection, EDITIONS[server.edition], datetime.now(UTC))


@asynccontextmanager
async def _connected(server: BenchServer) -> AsyncIterator[AsyncConnection[Any]]:
    arguments = arguments_from_url(server.url_of(DATABASE))
    async with await AsyncConnection.connect(**arguments, autocommit=True) as connection:
        await connection.execute("SET TIME ZONE 'UTC'")
        yield connection


async def _write(connection: AsyncConnection[Any], symbol: str, stretch: Stretch) -> None:
    minute = timedelta(minutes=1)
    values = {
        "symbol": symbol,
        "start": stretch.start,
        "end": stretch.end,
        "last": stretch.end - minute,
        "count": (stretch.end - stretch.start) // minute,
    }
    async with connection.transaction():
        for statement in (INSERT, RECORD, SUMMARIZE, MARK):
            await connection.execute(statement, values)


def _plans(server: BenchServer, edition: Edition, whole: Stretch) -> list[tuple[str, str]]:
    """How the range and the latest are answered, without what differs from run to run."""
    middle = whole.start + (whole.end - whole.start) / 2
    start = middle.replace(minute=0, second=0, microsecond=0)
    asked = {
        "1,000 1-minute candles by range": select_candles(
            interval_of("1m"), SYMBOL, Stretch(start, start + timedelta(minutes=RANGE_CANDLES))
        ),
        "latest 200 hourly candles": select_candles(
            interval_of("1h"),
            SYMBOL,
            Stretch(whole.end - timedelta(hours=2 * LATEST_CANDLES), whole.end),
            rollup=edition.closed_relation(interval_of("1h").relation),
            limit=LATEST_CANDLES,
            newest_first=True,
        ),
    }
    explain = "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) "
    return [
        (name, server.run_psql(DATABASE, "SET TIME ZONE 'UTC'", explain + selection.as_text()).strip())
        for name, selection in asked.items()
    ]
