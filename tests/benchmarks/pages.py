"""Every page of the admin at full size: how long the server takes to answer, and how much it asks the database."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from krakendata.storage.embedded_redis import start_redis
from tests.benchmarks.page_market import DATABASE, PageMarket, fill, page_market
from tests.benchmarks.questions import quantile
from tests.benchmarks.servers import BenchServer

# Above it people wait; the p99 is what is held to it.
AIM_MS = 300


@dataclass(frozen=True)
class PageResult:
    """One page: the statements it asked, its bytes, and the milliseconds of each answer."""

    name: str
    queries: int
    size: int
    milliseconds: Sequence[float]

    @property
    def p99_ms(self) -> float:
        return quantile(self.milliseconds, 0.99)

    @property
    def is_within_aim(self) -> bool:
        return self.p99_ms <= AIM_MS


@dataclass(frozen=True)
class PagesResult:
    """All pages, and the names of addresses that were not asked or are none."""

    market: PageMarket
    pages: Sequence[PageResult]
    left_out: Sequence[str]


def measure_pages(server: BenchServer, directory: Path, scale: float) -> PagesResult:
    """Make the database and open the pages; `directory`, which is made, is for a Redis."""
    directory.mkdir()
    market = page_market(scale)
    server.make_database(DATABASE)
    asyncio.run(fill(server, market))
    redis = start_redis(directory / "redis")
    try:
        told = _ask(server, redis.url)
    finally:
        redis.release()
        server.run_psql("postgres", f"DROP DATABASE {DATABASE} WITH (FORCE)")
    return PagesResult(market, [PageResult(**page) for page in told["pages"]], told["left_out"])


def _ask(server: BenchServer, redis_url: str) -> dict[str, list[Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.page_asker"],
        env=server.environment(DATABASE, REDIS_URL=redis_url),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    told: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return told
