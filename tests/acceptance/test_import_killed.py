"""An import that is killed, or stopped, goes on where its last block ended: nothing lost, nothing twice."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from krakendata.storage.conninfo import arguments_from_url
from krakendata.types import INTERVALS
from tests.archive_files import made_minutes, made_trades, trade_line, write_candles, write_lines
from tests.installations import Installation, installed

KILLS = 20
DAY = timedelta(days=1)
# Small blocks: most kills hit the middle of one, whatever the machine's speed.
COMMAND = """
import sys
from krakendata.ingest import blocks
blocks.BLOCK_BYTES = 64 << 10
sys.argv[0] = "manage.py"
from manage import main
main()
"""
# Everything that must be the same, runs aside.
CONTENTS = {
    "trades": "SELECT * FROM trades ORDER BY symbol, trade_id",
    "trade_runs": "SELECT * FROM trade_runs ORDER BY 1, 2",
    "candle_runs": "SELECT * FROM candle_runs ORDER BY 1, 2, 3",
    "answered_ids": "SELECT * FROM answered_ids ORDER BY 1, 2",
    "candles_history": "SELECT * FROM candles_history ORDER BY 1, 2, 3, coarse",
    "data_sync_status": "SELECT symbol, kind, oldest_timestamp, newest_timestamp, collected, stored, holes, cursor_ns, "
    "last_error FROM data_sync_status ORDER BY 1, 2",
    "rejected_records": "SELECT source, place, line, symbol, reason, detail, raw, state FROM rejected_records "
    "ORDER BY place, line",
    "import_files": "SELECT path, next_offset, next_line, read, stored, folded, duplicate, rejected, done "
    "FROM import_files ORDER BY 1",
    **{interval.view: f"SELECT * FROM {interval.view} ORDER BY symbol, timestamp" for interval in INTERVALS.values()},  # noqa: S608
}  # fmt: skip


@pytest.fixture
def installations() -> Iterator[tuple[Installation, Installation]]:
    """Two databases on the server under test, equal and empty."""
    with (
        installed("killed_import", COMMAND) as killed,
        installed("undisturbed_import", COMMAND) as undisturbed,
    ):
        yield killed, undisturbed


def write_archives(folder: Path, lines: dict[str, datetime], trades: int) -> Path:
    """Trades of schema D over both lines with bad rows among them, minutes over the fence, and hours."""
    folder.mkdir()
    rows, first_id = [], 1
    for number, line in enumerate((lines["candles"], lines["trades"])):
        part = made_trades(number, line - 5 * DAY, line + 5 * DAY, trades // 2, first_id=first_id)
        rows += [trade_line(trade) for trade in part]
        first_id += len(part)
    for place in range(500, len(rows), len(rows) // 9):
        rows[place] = rows[place].replace(",b,", ",x,").replace(",s,", ",y,")
    write_lines(folder / "XBTUSD.csv", rows)
    fence = lines["candles"]
    write_candles(folder / "ETHUSD_1.csv", made_minutes(fence - 12 * DAY, fence + 12 * DAY, symbol="ETH/USD"))
    write_candles(
        folder / "ETHUSD_60.csv", made_minutes(fence - 90 * DAY, fence, 60, symbol="ETH/USD", interval=60)
    )
    return folder


def lines_of(installation: Installation) -> dict[str, datetime]:
    return dict(installation.fetch("SELECT kind, line FROM retention_lines"))


def assert_same(one: Installation, other: Installation) -> None:
    for name, sql in CONTENTS.items():
        assert one.fetch(sql) == other.fetch(sql), name


def start_import(installation: Installation, folder: Path) -> subprocess.Popen[str]:
    """Start an import and return when it has committed a block, or ended."""
    with psycopg.connect(**arguments_from_url(installation.url), autocommit=True) as connection:
        (before,) = connection.execute("SELECT coalesce(max(id), 0) FROM sync_runs").fetchone() or (0,)
        process = installation.start("import_csv", str(folder))
        while process.poll() is None:
            if (
                connection.execute("SELECT FROM sync_runs WHERE id > %s AND read > 0", [before]).fetchone()
                is not None
            ):
                break
            time.sleep(0.005)
        return process


@pytest.mark.slow
def test_twenty_kills_leave_what_an_undisturbed_import_leaves(
    installations: tuple[Installation, Installation], tmp_path: Path
) -> None:
    killed, undisturbed = installations
    folder = write_archives(tmp_path / "archives", lines_of(killed), trades=150_000)
    undisturbed.run("import_csv", str(folder))
    chance = random.Random(20)
    landed = 0
    for _ in range(KILLS):
        process = start_import(killed, folder)
        time.sleep(chance.uniform(0, 0.12))
        process.kill()
        process.communicate()
        landed += process.returncode == -signal.SIGKILL
    killed.run("import_csv", str(folder))
    assert landed >= KILLS // 2, "too few kills met an import at work"
    assert_same(killed, undisturbed)
    states = dict(killed.fetch("SELECT state, count(*) FROM sync_runs GROUP BY state"))
    assert states["interrupted"] == landed
    assert "running" not in states


def test_ctrl_c_stops_cleanly_and_the_next_import_goes_on(
    installations: tuple[Installation, Installation], tmp_path: Path
) -> None:
    stopped, undisturbed = installations
    folder = write_archives(tmp_path / "archives", lines_of(stopped), trades=60_000)
    undisturbed.run("import_csv", str(folder))
    process = start_import(stopped, folder)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    ((state, read),) = stopped.fetch("SELECT state, read FROM sync_runs")
    assert state == "stopped"
    assert 0 < read < 60_000
    stopped.run("import_csv", str(folder))
    assert_same(stopped, undisturbed)
