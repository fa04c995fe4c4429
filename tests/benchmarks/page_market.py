"""What the admin's pages are measured on: a thousand pairs, fifty million trades, a million rejected records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from psycopg import AsyncConnection

from krakendata.durations import Durations
from krakendata.ingest.live import FeedStatistics
from krakendata.ingest.writer import FLUSH_BOUNDS
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.editions import EDITIONS
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.sql import statements_by_name
from krakendata.types import ns_of
from krakendata.validation import Reason
from tests.benchmarks.servers import BenchServer

DATABASE = "pages"
SYMBOL = "P0/USD"

PAIRS, TRADES, REJECTS, RUNS = 1_000, 50_000_000, 1_000_000, 20_000
LEAST_PAIRS, LEAST_TRADES_OF_A_PAIR = 10, 2_000
# Ten trades a minute: a busy pair's, so that a pair's trades reach over days and not over hours.
STEP = timedelta(seconds=6)
# A pair in ten lacks so many ids, in its middle.
HOLE_EVERY, HOLE_IDS = 10, 100
# Runs that rejected something; each has the same reasons.
REJECTING_RUNS = 1_000
FILES, FINDINGS = 2_000, 5_000

STATEMENTS = statements_by_name(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
AROUND = ("pairs", "runs", "rejects", "reject_counts", "import_files", "audit_findings", "feed_session")
OF_A_PAIR = ("trades", "candles")
LEDGER_OF_A_PAIR = ("trade_check", "summary", "dirty")


@dataclass(frozen=True)
class PageMarket:
    """How much of everything there is."""

    pairs: int
    trades_of_a_pair: int
    rejects: int
    runs: int

    @property
    def trades(self) -> int:
        return self.pairs * self.trades_of_a_pair


def page_market(scale: float) -> PageMarket:
    """The full one by a share, and never so small that pages would be empty."""
    pairs = max(int(PAIRS * scale), LEAST_PAIRS)
    return PageMarket(
        pairs,
        max(int(TRADES * scale) // pairs, LEAST_TRADES_OF_A_PAIR),
        max(int(REJECTS * scale), REJECTING_RUNS),
        max(int(RUNS * scale), REJECTING_RUNS),
    )


async def fill(server: BenchServer, market: PageMarket) -> None:
    """Write it all into the fresh database `pages`, up to now, as deeds would have, and refresh the rollups."""
    end = datetime.now(UTC).replace(microsecond=0)
    asked: dict[str, Any] = {
        "start": end - market.trades_of_a_pair * STEP,
        "end": end,
        "end_ns": ns_of(end),
        "step": STEP,
        "pairs": market.pairs,
        "trades": market.trades_of_a_pair,
        "runs": market.runs,
        "rejects": market.rejects,
        "rejecting": REJECTING_RUNS,
        "reasons": [str(reason) for reason in Reason],
        "files": FILES,
        "findings": FINDINGS,
        "told": json.dumps(feed_statistics(market.pairs)),
    }
    arguments = arguments_from_url(server.url_of(DATABASE))
    async with await AsyncConnection.connect(**arguments, autocommit=True) as connection:
        await connection.execute("SET TIME ZONE 'UTC'")
        for relation in ("trades", "candles"):
            await connection.execute(STATEMENTS["partitions"], {**asked, "relation": relation})
        for name in AROUND:
            await connection.execute(STATEMENTS[name], asked)
        for number in range(market.pairs):
            await _write_pair(connection, number, asked)
        await refresh_rollups(connection, EDITIONS[server.edition], end)
    server.run_psql(DATABASE, "VACUUM (ANALYZE)", "CHECKPOINT")


async def _write_pair(connection: AsyncConnection[Any], number: int, asked: Mapping[str, Any]) -> None:
    """One pair's trades, minutes and ledger, in one transaction."""
    start, step = asked["start"], asked["step"]
    runs = id_runs(number, asked["trades"])
    hole = (runs[0][1] + 1, runs[1][0] - 1) if len(runs) > 1 else (asked["trades"] + 1, asked["trades"] + 1)
    about = {**asked, "symbol": f"P{number}/USD", "hole_first": hole[0], "hole_last": hole[1]}
    async with connection.transaction():
        for name in OF_A_PAIR:
            await connection.execute(STATEMENTS[name], about)
        for first, last in runs:
            edges = {
                "first_ns": ns_of(start + (first - 1) * step),
                "last_ns": ns_of(start + (last - 1) * step),
            }
            run = {**about, **edges, "first": first, "last": last}
            await connection.execute(STATEMENTS["trade_run"], run)
        for name in LEDGER_OF_A_PAIR:
            await connection.execute(STATEMENTS[name], about)


def id_runs(number: int, trades: int) -> list[tuple[int, int]]:
    """The runs of ids that a pair has: one, or two around a hole."""
    if number % HOLE_EVERY:
        return [(1, trades)]
    return [(1, trades // 2 - 1), (trades // 2 + HOLE_IDS, trades)]


def feed_statistics(pairs: int) -> dict[str, Any]:
    """What a feed that is doing well tells of itself."""
    counts = {"received": 1000, "stored": 1000, "duplicate": 0, "rejected": 0, "dropped": 0}
    return {
        **asdict(FeedStatistics(connections=1)),
        "trades": counts,
        "candles": counts,
        "flushes": {"count": 10},
        "flush_failures": 0,
        "flush_durations": Durations(FLUSH_BOUNDS).as_dict(),
        "buffered": {"trades": 0, "candles": 0},
        "buffer_limits": {"trades": 10_000, "candles": 1_000},
        "seconds_behind": 0.1,
        "connected": True,
        "subscribed": pairs,
    }
