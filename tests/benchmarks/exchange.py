"""Backfills and gap fills through the commands, from a replay exchange, each program a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from krakendata.kraken.pacing import Limits
from krakendata.replay.exchange import NO_LIMITS
from krakendata.storage.embedded_redis import start_redis
from krakendata.types import ns_of
from tests.benchmarks.imports import copy_bare
from tests.benchmarks.processes import Ended, run
from tests.benchmarks.replayed import SYMBOLS, TRADES_PER_MINUTE, Busy, Replayed, replayed
from tests.benchmarks.servers import BenchServer

# Kraken's limits (kraken-facts 1.2).
KRAKEN_LIMITS = Limits(per_pair=1.0, per_address=5.0)

# Two minutes at a call a second.
PACED_PAGES = 120
PAGE_ROWS = 1_000

HISTORY_TRADES = 2_000_000
MANY_PAIRS = 4

# Below 12 hours candles come first, from there on trades alone.
GAP_HOURS = (1, 11, 13)
GAP_PAIRS = 20
# What is held before a gap begins.
HELD = timedelta(hours=1)

LOOK_SECONDS = 0.1
HOUR = timedelta(hours=1)
PATIENCE_SECONDS = 120.0
# A busy pair trades every other second: what is older has been traded.
FRESH = timedelta(seconds=10)


@dataclass(frozen=True)
class PacedResult:
    """A backfill at the exchange's limit."""

    trades: int
    calls: int
    refused: int
    seconds: float
    peak_mb: float

    @property
    def share(self) -> float:
        """Of the calls that the exchange allowed meanwhile: one at once, and one each second."""
        return self.calls / (1 + self.seconds * KRAKEN_LIMITS.per_pair)


@dataclass(frozen=True)
class BackfillResult:
    """A backfill without limits, and what bounds it: seconds, CPU seconds of each program, and MB."""

    pairs: int
    trades: int
    seconds: float
    bare_copy_seconds: float
    bare_client_seconds: float
    bare_client_cpu: float
    exchange_cpu: float
    backfill_cpu: float
    database_cpu: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.trades / self.seconds

    @property
    def cores(self) -> float:
        """How many cores were busy on average."""
        return (self.exchange_cpu + self.backfill_cpu + self.database_cpu) / self.seconds


@dataclass(frozen=True)
class GapResult:
    """A gap of several pairs at once: how long after the command was given the last had its candles, and its trades."""

    hours: int
    pairs: int
    trades: int
    candles: int
    visible_seconds: float
    proven_seconds: float
    done_seconds: float


@dataclass(frozen=True)
class ExchangeResult:
    """Everything on one edition."""

    paced: PacedResult
    newest_hour_seconds: float
    backfills: list[BackfillResult]
    gaps: list[GapResult]


def measure_exchange(server: BenchServer, directory: Path, scale: float) -> ExchangeResult:
    """Measure in databases of the server's, `directory` being for the files that are needed."""
    redis = start_redis(directory / "redis")
    try:
        bench = _Bench(server, directory, redis.url)
        return ExchangeResult(
            bench.measure_paced(scale),
            bench.measure_newest_first(),
            [
                bench.measure_backfill(1, HISTORY_TRADES * scale / 4),
                bench.measure_backfill(1, HISTORY_TRADES * scale),
                bench.measure_backfill(MANY_PAIRS, HISTORY_TRADES * scale),
            ],
            [
                bench.measure_gap(hours, pairs)
                for hours in GAP_HOURS
                for pairs in (1, max(2, round(GAP_PAIRS * min(scale, 1))))
            ],
        )
    finally:
        redis.release()


@dataclass(frozen=True)
class _Bench:
    """Where it is measured."""

    server: BenchServer
    directory: Path
    redis_url: str

    def measure_paced(self, scale: float) -> PacedResult:
        """One pair of so many pages that it takes two minutes."""
        self.server.make_database("ours")
        with replayed(Busy(1, _days(PACED_PAGES * PAGE_ROWS * scale), KRAKEN_LIMITS)) as exchange:
            ended = self._backfill(exchange, SYMBOLS[:1], KRAKEN_LIMITS)
        (facts,) = _facts(ended)
        calls, refused = exchange.calls["Trades"], exchange.calls.get("refused", 0)
        return PacedResult(facts["stored"], calls, refused, facts["seconds"], ended.peak_mb)

    def measure_newest_first(self) -> float:
        """Seconds from the start of a new pair's backfill until its newest hour can be read, whole, in any interval."""
        self.server.make_database("ours")
        with replayed(Busy(1, 2.0, KRAKEN_LIMITS)) as exchange:
            started, now = time.monotonic(), datetime.now(UTC)
            command = self._command("backfill", SYMBOLS[0], "--newest-first")
            with subprocess.Popen(
                command, env=self._environment(exchange, KRAKEN_LIMITS), stdout=subprocess.DEVNULL
            ) as process:
                try:
                    while not self._has_hour(SYMBOLS[0], now):
                        if process.poll() is not None or time.monotonic() - started > PATIENCE_SECONDS:
                            raise AssertionError("The newest hour does not come.")
                        time.sleep(LOOK_SECONDS)
                    return time.monotonic() - started
                finally:
                    process.terminate()

    def measure_backfill(self, pairs: int, trades: float) -> BackfillResult:
        """So many trades of so many pairs side by side, as fast as they come."""
        self.server.make_database("ours")
        shaped = self.directory / "backfilled.shaped"
        with replayed(Busy(pairs, _days(trades / pairs))) as exchange:
            before = exchange.cpu_seconds, self.server.cpu_seconds
            ended = self._backfill(exchange, SYMBOLS[:pairs])
            after = exchange.cpu_seconds, self.server.cpu_seconds
            bare = self._download(exchange, SYMBOLS[:pairs])
        facts = _facts(ended)
        bare_copy_seconds = copy_bare(self.server, "trades", shaped)
        shaped.unlink()
        exchange_cpu, database_cpu = (end - begin for begin, end in zip(before, after, strict=True))
        return BackfillResult(
            pairs=pairs,
            trades=sum(each["stored"] for each in facts),
            seconds=max(each["seconds"] for each in facts),
            bare_copy_seconds=bare_copy_seconds,
            bare_client_seconds=json.loads(bare.output)["seconds"],
            bare_client_cpu=bare.cpu_seconds,
            exchange_cpu=exchange_cpu,
            backfill_cpu=ended.cpu_seconds,
            database_cpu=database_cpu,
            peak_mb=ended.peak_mb,
        )

    def measure_gap(self, hours: int, pairs: int) -> GapResult:
        """A tail that is missing since so many hours."""
        self.server.make_database("ours")
        symbols = SYMBOLS[:pairs]
        with replayed(Busy(pairs, (hours + 2) / 24)) as exchange:
            begins = datetime.now(UTC) - timedelta(hours=hours)
            held = f"--since={(begins - HELD).isoformat()}", f"--until={begins.isoformat()}"
            self._backfill(exchange, symbols, options=held)
            started, now = time.monotonic(), datetime.now(UTC)
            with self._watched(symbols, begins) as looks:
                command = self._command("fill_gaps", *symbols, f"--parallel={pairs}")
                ended = run(command, self._environment(exchange))
                done = time.monotonic()
        facts = _facts(ended)
        visible, proven = _reached(looks, now)
        return GapResult(
            hours, pairs, sum(each["stored"] for each in facts), sum(each["candles"] for each in facts),
            visible - started, proven - started, done - started,
        )  # fmt: skip

    # --- the programs ---------------------------------------------------------------------------------------

    def _backfill(
        self,
        exchange: Replayed,
        symbols: Sequence[str],
        limits: Limits = NO_LIMITS,
        options: Sequence[str] = (),
    ) -> Ended:
        command = self._command("backfill", *symbols, f"--parallel={len(symbols)}", *options)
        return run(command, self._environment(exchange, limits))

    def _download(self, exchange: Replayed, symbols: Sequence[str]) -> Ended:
        command = [sys.executable, "-m", "tests.benchmarks.bare_client", exchange.url, *symbols]
        return run(command, self._environment(exchange))

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "manage.py", *arguments, "--json"]

    def _environment(self, exchange: Replayed, limits: Limits = NO_LIMITS) -> dict[str, str]:
        return self.server.environment(
            "ours",
            REDIS_URL=self.redis_url,
            KRAKEN_REST_URL=exchange.url,
            KRAKEN_CALLS_PER_SECOND_PER_PAIR=str(limits.per_pair),
            KRAKEN_CALLS_PER_SECOND=str(limits.per_address),
        )

    # --- what is to be seen in the database -----------------------------------------------------------------

    def _has_hour(self, symbol: str, now: datetime) -> bool:
        """Whether the ledger holds the hour before `now`, and a reader of 5-minute candles sees it."""
        held = (
            "SELECT EXISTS (SELECT FROM trade_runs WHERE symbol = %s AND first_ns <= %s AND last_ns >= %s), "
            "(SELECT count(*) FROM all_candles_5m WHERE symbol = %s AND timestamp >= %s AND timestamp < %s)"
        )
        values = symbol, ns_of(now - HOUR), ns_of(now - FRESH), symbol, now - HOUR, now
        with self.server.connect("ours") as connection:
            row = connection.execute(held, values).fetchone()
        assert row is not None
        return bool(row[0] and row[1] >= HOUR // timedelta(minutes=5) - 1)

    @contextmanager
    def _watched(self, symbols: Sequence[str], begins: datetime) -> Iterator[list[_Look]]:
        """Looks into the database meanwhile, one after the other."""
        looks: list[_Look] = []
        has_ended = threading.Event()

        def watch() -> None:
            with self.server.connect("ours") as connection:
                while not has_ended.wait(LOOK_SECONDS):
                    candles = connection.execute(
                        "SELECT symbol, max(timestamp) FROM candles WHERE symbol = ANY(%s) AND interval_minutes = 1 "
                        "AND timestamp >= %s GROUP BY symbol",
                        (list(symbols), begins),
                    ).fetchall()
                    runs = connection.execute(
                        "SELECT symbol, max(last_ns) FROM trade_runs WHERE symbol = ANY(%s) GROUP BY symbol",
                        (list(symbols),),
                    ).fetchall()
                    looks.append(_Look(time.monotonic(), dict(candles), dict(runs)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield looks
        finally:
            time.sleep(2 * LOOK_SECONDS)
            has_ended.set()
            watcher.join()


@dataclass(frozen=True)
class _Look:
    """What was to be seen at a time: by symbol the newest minute and the newest trade that is proven."""

    at: float
    minutes: dict[str, datetime]
    trades_ns: dict[str, int]


def _reached(looks: list[_Look], now: datetime) -> tuple[float, float]:
    """When every pair was there, by candles and by trades, where it stood in the end or at `now`."""
    last = looks[-1]
    minutes = {symbol: min(newest, now - timedelta(minutes=2)) for symbol, newest in last.minutes.items()}
    trades = {symbol: min(newest, ns_of(now)) for symbol, newest in last.trades_ns.items()}

    def has(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
        return all(symbol in found and found[symbol] >= least for symbol, least in wanted.items())

    return (
        next(look.at for look in looks if has(look.minutes, minutes)),
        next(look.at for look in looks if has(look.trades_ns, trades)),
    )


def _days(trades: float) -> float:
    """How long a busy pair takes for so many."""
    return trades / (TRADES_PER_MINUTE * 24 * 60)


def _facts(ended: Ended) -> list[dict[str, Any]]:
    # Warnings may come after it.
    told = next(line for line in reversed(ended.output.splitlines()) if line.startswith("{"))
    facts: list[dict[str, Any]] = json.loads(told)["pairs"]
    if any(each["state"] != "done" or each["rejected"] for each in facts):
        raise AssertionError(ended.output)
    return facts
