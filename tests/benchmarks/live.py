"""The live path: trades and candles into the database as fast as it takes them, and at the rate it has to."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from krakendata.storage.embedded_redis import start_redis
from tests.benchmarks.live_latency import LatencyResult, measure_latency
from tests.benchmarks.live_market import CANDLES, TRADES, Load, Loaded
from tests.benchmarks.processes import run
from tests.benchmarks.servers import BenchServer

# One busy pair, what people track, and about all that Kraken lists.
PAIRS = (1, 20, 1_000)

FLAT_OUT_SECONDS = 20.0

# The customer's floor for buffered writes, for a minute.
RATE, RATE_SECONDS = 10_000.0, 60.0

# A short run has to fill the buffers and a checkpoint's worth of batches all the same.
LEAST_SECONDS = 3.0

# Candles come a minute after the other, faster than minutes pass: they begin so far in the past.
CANDLES_SINCE_SECONDS = 48 * 3600


@dataclass(frozen=True)
class FlatOutResult:
    """As fast as it goes: records stored, seconds, and CPU seconds of the feeding process and of the database.

    The bare seconds are those of the same batches: for trades by rows given as values, and by text that is ready.
    """

    pairs: int
    stored: int
    seconds: float
    feed_cpu: float
    database_cpu: float
    batch: float
    peak_mb: float
    bare_rows_seconds: float
    bare_text_seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.stored / self.seconds


@dataclass(frozen=True)
class SteadyResult:
    """At a rate: what was dropped, how many seconds the furthest trade was behind when it was to be read, batches."""

    pairs: int
    stored: int
    dropped: int
    behind: float
    batch: float
    largest_batch: int
    batch_seconds: float
    seconds: float
    feed_cpu: float
    database_cpu: float
    peak_mb: float


@dataclass(frozen=True)
class LiveResult:
    """Everything on one edition."""

    flat_out: list[FlatOutResult]
    steady: list[SteadyResult]
    candles: FlatOutResult
    latencies: list[LatencyResult]


def measure_live(server: BenchServer, directory: Path, scale: float) -> LiveResult:
    """Measure in databases of the server's, `directory` being for a Redis."""
    redis = start_redis(directory / "redis")
    try:
        bench = _Bench(server, redis.url)
        return LiveResult(
            [bench.measure_flat_out(pairs, scale) for pairs in PAIRS],
            [bench.measure_steady(pairs, scale) for pairs in PAIRS],
            bench.measure_candles(scale),
            measure_latency(server, redis.url, scale),
        )
    finally:
        redis.release()


@dataclass(frozen=True)
class _Bench:
    """Where it is measured."""

    server: BenchServer
    redis_url: str

    def measure_flat_out(self, pairs: int, scale: float) -> FlatOutResult:
        """Trades of so many pairs, each taken as soon as there is room."""
        load = Load(TRADES, pairs, _seconds(FLAT_OUT_SECONDS, scale), time.time_ns())
        result, loaded = self._flat_out(load)
        return replace(
            result,
            bare_rows_seconds=self._bare("rows", load, loaded.sizes),
            bare_text_seconds=self._bare("text", load, loaded.sizes),
        )

    def measure_candles(self, scale: float) -> FlatOutResult:
        """Versions of candles of as many pairs as there are, likewise."""
        start_ns = int((time.time() - CANDLES_SINCE_SECONDS) * 1e9)
        load = Load(CANDLES, PAIRS[-1], _seconds(FLAT_OUT_SECONDS, scale), start_ns)
        result, loaded = self._flat_out(load)
        return replace(result, bare_rows_seconds=self._bare("candles", load, loaded.sizes))

    def measure_steady(self, pairs: int, scale: float) -> SteadyResult:
        """Trades at the floor's rate."""
        loaded, database_cpu, peak_mb = self._load(
            Load(TRADES, pairs, _seconds(RATE_SECONDS, scale), rate=RATE)
        )
        return SteadyResult(
            pairs, loaded.stored, loaded.dropped, max(loaded.ages), statistics.median(loaded.sizes),
            max(loaded.sizes), statistics.median(loaded.batch_seconds), loaded.seconds, loaded.cpu_seconds,
            database_cpu, peak_mb,
        )  # fmt: skip

    # --- the programs ---------------------------------------------------------------------------------------

    def _flat_out(self, load: Load) -> tuple[FlatOutResult, Loaded]:
        loaded, database_cpu, peak_mb = self._load(load)
        if loaded.stored != loaded.offered:
            raise AssertionError(
                f"{loaded.offered} offered, {loaded.stored} stored, {loaded.dropped} dropped"
            )
        batch = statistics.median(loaded.sizes)
        return FlatOutResult(
            load.pairs, loaded.stored, loaded.seconds, loaded.cpu_seconds, database_cpu, batch, peak_mb, 0.0
        ), loaded

    def _load(self, load: Load) -> tuple[Loaded, float, float]:
        """Put it on a fresh database; also the database's CPU seconds, and the feeding process's peak memory."""
        self.server.make_database("ours")
        before = self.server.cpu_seconds
        ended = run(load_command(load), self.server.environment("ours", REDIS_URL=self.redis_url))
        loaded = Loaded(**json.loads(ended.output.splitlines()[-1]))
        return loaded, self.server.cpu_seconds - before, ended.peak_mb

    def _bare(self, way: str, load: Load, sizes: Sequence[int]) -> float:
        """The seconds that bare psycopg takes for batches of these sizes, into a fresh database of the same kind."""
        self.server.make_database("bare")
        if self.server.edition == "plain":
            table = "candles" if load.kind == CANDLES else "trades"
            self.server.run_psql(
                "bare",
                f"SELECT make_partitions('{table}', now() - interval '3 days', now() + interval '3 days')",
            )
        command = [sys.executable, "-m", "tests.benchmarks.bare_writer", way, json.dumps(asdict(load))]
        answer = subprocess.run(
            command, input=json.dumps(sizes), env=self.server.environment("bare"), check=True,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return float(answer.stdout)


def load_command(load: Load) -> list[str]:
    """What puts it on, into the database of its environment."""
    return [sys.executable, "-m", "tests.benchmarks.live_load", json.dumps(asdict(load))]


def _seconds(full: float, scale: float) -> float:
    return max(full * scale, LEAST_SECONDS)
