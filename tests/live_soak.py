"""`make soak ARGS="--live-minutes 60"`: the live path at one rate for long, and whether anything grows."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import mean

from krakendata.storage.embedded_redis import start_redis
from tests.benchmarks.live import PAIRS, load_command
from tests.benchmarks.live_market import TRADES, Load
from tests.benchmarks.processes import memory_mb
from tests.benchmarks.servers import BenchServer, bench_server
from tests.editions import Place

TOLD_SECONDS = 60.0

# Of the minutes, at the beginning and at the end.
COMPARED_SHARE = 0.1

# What a machine's own unrest may come to. The ledger has one run a pair, however many trades there are: not one more.
GROWTH = {"memory_mb": 1.1, "batch_ms": 1.5, "ledger_rows": 1.0, "behind_ms": 1.5}


@dataclass(frozen=True)
class Minute:
    """The feed's memory, a batch's time (median), the ledger's rows, and how far the furthest trade was behind."""

    memory_mb: float
    batch_ms: float
    ledger_rows: float
    behind_ms: float

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {getattr(self, name):,.0f}" for name in GROWTH)


def soak_live(place: Place, minutes: int, rate: float) -> int:
    """Run it; 1 when something grew or not every trade was stored."""
    with tempfile.TemporaryDirectory(prefix="krakendata-soak-") as path:
        directory = Path(path)
        # The server of a run as root is another user.
        directory.chmod(0o755)
        redis = start_redis(directory / "redis")
        try:
            with bench_server(place, directory / place.edition) as server:
                server.make_database("ours")
                load = Load(TRADES, PAIRS[-1], minutes * TOLD_SECONDS, rate=rate, told_seconds=TOLD_SECONDS)
                return tell(place, list(run_load(server, redis.url, load)))
        finally:
            redis.release()


def run_load(server: BenchServer, redis_url: str, load: Load) -> Iterator[Minute]:
    """Put the load on, and look at everything each minute."""
    environment = server.environment("ours", REDIS_URL=redis_url)
    with subprocess.Popen(load_command(load), env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if "offered" in told:
                print(
                    f"{told['offered']:,} trades offered, {told['stored']:,} stored, {told['dropped']:,} dropped."
                )
                break
            with server.connect("ours") as connection:
                row = connection.execute("SELECT count(*) FROM trade_runs").fetchone()
            assert row is not None
            minute = Minute(memory_mb(process.pid), told["batch_seconds"] * 1e3, row[0], told["age"] * 1e3)
            print(f"{told['records']:,} trades written: {minute}", flush=True)
            yield minute
    if process.returncode or told["stored"] != told["offered"]:
        raise AssertionError(f"Not every trade was stored; exit code {process.returncode}.")


def tell(place: Place, minutes: Sequence[Minute]) -> int:
    """Say what the last tenth of the minutes is beside the first."""
    # In the first minute every pair is heard for the first time.
    compared = minutes[1:] or minutes
    count = max(round(len(compared) * COMPARED_SHARE), 1)
    growing = []
    for field in fields(Minute):
        values = [getattr(minute, field.name) for minute in compared]
        first, last = mean(values[:count]), mean(values[-count:])
        grows = last > first * GROWTH[field.name]
        growing += [field.name] * grows
        print(
            f"{place.edition}: {field.name.replace('_', ' ')} {first:,.1f} at first, {last:,.1f} at last"
            f"{': it GROWS' if grows else ''}"
        )
    return int(bool(growing))
