"""Imports against a bare `psql \\copy` of the same rows, already shaped, into an identical empty table."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.files import write_candles_csv, write_trades_csv
from tests.benchmarks.servers import BenchServer

TRADE_ROWS = 5_000_000
CANDLE_ROWS = 2_000_000

TRADE_COLUMNS = "symbol, timestamp, trade_id, price, volume, side, order_type"
CANDLE_COLUMNS = "symbol, timestamp, open, high, low, close, volume, turnover, trade_count, first_id, last_id"

# What the database would be asked to do by hand: every interval from its parent.
BARE_ROLLUPS = {
    "candles": ("5 minutes", "15 minutes", "30 minutes", "1 hour"),
    "bare_1_hour": ("4 hours", "12 hours", "1 day", "1 week"),
}


@dataclass(frozen=True)
class ImportResult:
    """One import and its bare counterpart, in seconds; memory is the importing process's peak, in MB."""

    name: str
    rows: int
    write_seconds: float
    bare_seconds: float
    refresh_seconds: float
    bare_refresh_seconds: float
    peak_mb: float

    @property
    def ratio(self) -> float:
        return self.bare_seconds / self.write_seconds

    @property
    def refresh_ratio(self) -> float:
        return self.refresh_seconds / self.bare_refresh_seconds


def make_files(directory: Path, scale: float) -> dict[str, tuple[Path, str, int]]:
    """The three files: name, path, table and rows."""
    trades, candles = int(TRADE_ROWS * scale), int(CANDLE_ROWS * scale)
    files = {
        "trades, schema D": (directory / "d" / "XBTUSD.csv", "trades", trades),
        "trades, schema A": (directory / "a" / "XBTUSD.csv", "trades", trades),
        "OHLCVT, 1 minute": (directory / "c" / "XBTUSD_1.csv", "candles", candles),
    }
    for name, (path, table, rows) in files.items():
        path.parent.mkdir()
        if table == "trades":
            write_trades_csv(path, rows, name[-1])
        else:
            write_candles_csv(path, rows)
    return files


def measure_import(server: BenchServer, name: str, path: Path, table: str, rows: int) -> ImportResult:
    """Import a file, then copy the very same rows bare into a fresh database, then fold them bare."""
    server.make_database("ours")
    facts, peak_mb = _import(server, path)
    if facts["stored"] != rows:
        raise AssertionError(f"{name}: {facts}")
    shaped = path.with_suffix(".shaped")
    bare_seconds = copy_bare(server, table, shaped)
    bare_refresh = _fold_bare(server)
    shaped.unlink()
    return ImportResult(
        name, rows, facts["write_seconds"], bare_seconds, facts["refresh_seconds"], bare_refresh, peak_mb
    )


def copy_bare(server: BenchServer, table: str, shaped: Path) -> float:
    """The seconds that psql takes to copy the table of `ours` from the file `shaped` into a fresh one in `bare`."""
    columns = TRADE_COLUMNS if table == "trades" else CANDLE_COLUMNS
    server.run_psql("ours", f"\\copy (SELECT {columns} FROM {table} ORDER BY timestamp) TO '{shaped}' CSV")
    server.make_database("bare")
    if server.edition == "plain":
        server.run_psql("bare", f"SELECT make_partitions('{table}', timestamptz '2013-09-01', now())")
    started = time.monotonic()
    server.run_psql("bare", f"\\copy {table} ({columns}) FROM '{shaped}' CSV")
    return time.monotonic() - started


def _import(server: BenchServer, path: Path) -> tuple[dict[str, float], float]:
    command = [sys.executable, "manage.py", "import_csv", str(path), "--json"]
    process = subprocess.Popen(command, env=server.environment("ours"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise AssertionError(output)
    facts: dict[str, float] = json.loads(output.splitlines()[-1])
    return facts, usage.ru_maxrss / 1024


def _fold_bare(server: BenchServer) -> float:
    """The bare GROUP BYs over the imported minutes, into plain tables."""
    total = 0.0
    for parent, widths in BARE_ROLLUPS.items():
        for width in widths:
            target = f"bare_{width.replace(' ', '_')}"
            statement = (
                f"CREATE TABLE {target} AS SELECT symbol, time_bucket('{width}', timestamp) AS timestamp, "
                "(array_agg(open ORDER BY timestamp))[1] AS open, max(high) AS high, min(low) AS low, "
                "(array_agg(close ORDER BY timestamp DESC))[1] AS close, sum(volume) AS volume, "
                "sum(turnover) AS turnover, sum(trade_count)::bigint AS trade_count, min(first_id) AS first_id, "
                f"max(last_id) AS last_id FROM {parent} GROUP BY 1, 2"
            )
            started = time.monotonic()
            server.run_psql("ours", statement)
            total += time.monotonic() - started
    return total
