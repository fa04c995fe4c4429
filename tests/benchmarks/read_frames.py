"""A pair's five years of minutes into frames: through the provider, around it, and out of files."""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from krakendata.gaps import Stretch
from tests.benchmarks.processes import run
from tests.benchmarks.servers import BenchServer

# Each is a process of its own; the first one warms the caches for all.
RUNS = 3
# Of the time, for what makes an object of every cell.
ORM_SHARE = 10
# A Python with ArcticDB and pandas: its pins never touch ours.
ARCTICDB_PYTHON = "BENCH_ARCTICDB_PYTHON"

# Ways of frame_reader, what the table calls them, and the package some need.
WAYS: Sequence[tuple[str, str, str | None]] = (
    ("provider_polars", "provider to Polars", None),
    ("provider_exact", "provider to Polars, exact decimals", None),
    ("provider_pandas", "provider to pandas", "pandas"),
    ("copy_polars", "bare binary `COPY` to Polars", None),
    ("adbc_polars", "bare ADBC to Polars", "adbc_driver_postgresql"),
    ("queryset_polars", "Django queryset, `to_polars()`", None),
    ("orm_polars", "Django ORM, `values_list()` to Polars", None),
    ("feather_polars", "Feather file to Polars", None),
    ("feather_pandas", "Feather file to pandas", "pandas"),
    ("parquet_polars", "Parquet file to Polars", None),
    ("parquet_pandas", "Parquet file to pandas", "pandas"),
)
BARE = "bare binary `COPY` to Polars"
ORM = "Django ORM, `values_list()` to Polars"
ARCTICDB = "ArcticDB to pandas"


@dataclass(frozen=True)
class FrameResult:
    """One way: the median of its runs, or why there are none; `share` of the rows was read, and counted up.

    Peak memory is the reading process's.
    """

    name: str
    rows: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    share: int = 1
    missing: str = ""


def measure_frames(server: BenchServer, directory: Path, years: Stretch) -> list[FrameResult]:
    """Read `years` of the database `ours`; files are put into `directory`."""
    environment = server.environment("ours")
    _run(_command("write", years, directory), environment)
    results = []
    for way, name, package in WAYS:
        if package is not None and find_spec(package) is None:
            results.append(FrameResult(name, missing=f"{package} is not installed"))
            continue
        share = ORM_SHARE if way == "orm_polars" else 1
        part = Stretch(years.start, years.start + (years.end - years.start) / share)
        results.append(_measure(name, _command(way, part, directory), environment, share))
    results.append(_measure_arcticdb(directory, environment))
    rows = {each.rows for each in results if each.rows and each.share == 1}
    if len(rows) > 1:
        raise AssertionError(f"The ways read different rows: {rows}")
    return results


def _measure_arcticdb(directory: Path, environment: Mapping[str, str]) -> FrameResult:
    python = environment.get(ARCTICDB_PYTHON)
    if python is None:
        return FrameResult(ARCTICDB, missing=f"{ARCTICDB_PYTHON} names no Python that has it")
    command = [python, str(Path(__file__).with_name("arcticdb_reader.py"))]
    _run([*command, "write", str(directory)], environment)
    return _measure(ARCTICDB, [*command, "read", str(directory)], environment, 1)


def _measure(name: str, command: Sequence[str], environment: Mapping[str, str], share: int) -> FrameResult:
    runs = [_run(command, environment) for _ in range(RUNS)]
    rows = {each for each, _, _ in runs}
    if len(rows) > 1:
        raise AssertionError(f"{name}: {rows}")
    seconds = statistics.median(seconds for _, seconds, _ in runs) * share
    return FrameResult(name, rows.pop() * share, seconds, max(peak for _, _, peak in runs), share)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, float, float]:
    ended = run(command, {**os.environ, **environment})
    told = json.loads(ended.output.splitlines()[-1])
    return told["rows"], told["seconds"], ended.peak_mb


def _command(way: str, stretch: Stretch, directory: Path) -> list[str]:
    return [
        sys.executable, "-m", "tests.benchmarks.frame_reader", way, stretch.start.isoformat(),
        stretch.end.isoformat(), str(directory),
    ]  # fmt: skip
