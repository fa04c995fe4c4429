"""The example as its docs run it: five years of hours, twice the same result, and a manifest that notices a change."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config import env
from tests.installations import Installation, installed

FIRST, START, END = "2018-12-01", "2019-01-01", "2024-01-01"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Give an installation with the hours of an archive."""
    archive = tmp_path_factory.mktemp("archive") / "XBTUSD_60.csv"
    write_hours(archive, datetime.fromisoformat(FIRST), datetime.fromisoformat(END))
    with installed("krakendata_example") as made:
        made.run("import_csv", str(archive))
        yield made


def write_hours(path: Path, first: datetime, end: datetime) -> None:
    """A walk of the price, an hour a row."""
    source, price, rows = random.Random(7), 4000.0, []
    start = int(first.replace(tzinfo=UTC).timestamp())
    for at in range(start, int(end.replace(tzinfo=UTC).timestamp()), 3600):
        opened, price = price, max(price * source.gauss(1.00002, 0.01), 1.0)
        low, high = min(opened, price) * 0.999, max(opened, price) * 1.001
        rows.append(f"{at},{opened:.1f},{high:.1f},{low:.1f},{price:.1f},{source.uniform(1, 90):.8f},7")
    path.write_text("\n".join(rows) + "\n", encoding="ascii")


def run_example(installation: Installation, *arguments: str) -> str:
    command = [sys.executable, "examples/moving_average_cross.py", "XBTUSD", START, END, *arguments]
    variables = {**os.environ, "DATABASE_URL": installation.url, "PYTHONPATH": str(env.ROOT)}
    return subprocess.run(
        command, env=variables, cwd=env.ROOT, check=True, capture_output=True, text=True
    ).stdout


def test_two_runs_have_one_result_and_a_change_is_noticed(installation: Installation, tmp_path: Path) -> None:
    manifests = [tmp_path / "first.json", tmp_path / "second.json"]
    said = [run_example(installation, "--manifest", str(path)).splitlines() for path in manifests]
    hours = (datetime.fromisoformat(END) - datetime.fromisoformat(START)) // timedelta(hours=1)
    assert said[0][0].startswith(f"{hours:,} candles, ")
    assert int(said[0][0].split()[2]) > 10
    assert said[0][:-1] == said[1][:-1]
    first, second = (json.loads(path.read_text(encoding="utf-8")) for path in manifests)
    assert [each["candles"] for each in first["readings"]] == [200, hours]
    assert first["readings"] == second["readings"]

    assert installation.run("verify_manifest", *map(str, manifests)).count("the same input") == 4
    with installation.connect() as connection:
        changed = connection.execute(
            "UPDATE candles_history SET close = close + 0.1 WHERE symbol = 'BTC/USD' AND interval_minutes = 60 "
            "AND timestamp = '2021-03-04 05:00+00'"
        ).rowcount
    assert changed == 1
    process = installation.start("verify_manifest", str(manifests[0]))
    told, _ = process.communicate()
    assert process.returncode == 1
    assert "2021-03: 744 candles, not all of them as they were." in told
    assert told.count("the same input") == 1
