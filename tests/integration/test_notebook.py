"""One line from a notebook: frames, a picture, and the notebook of the documentation, as it stands there."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import polars as pl
import pytest

import krakendata.notebook as kd
from config import env
from krakendata.errors import ConfigurationError, StorageUnavailable, UnknownSymbol
from krakendata.types import Trade, ns_of
from tests.archive_files import write_trades
from tests.fix_storage import Store
from tests.notebooks import read_notebook, run_notebook, write_notebook

NOTEBOOK = env.ROOT / "docs" / "how-to" / "candles.ipynb"
START, STEP = datetime(2025, 10, 6, tzinfo=UTC), timedelta(minutes=5)
# Four days, and the trade that ends them.
COUNT = 4 * 24 * 12 + 1


def walk(number: int) -> Decimal:
    """A price that goes up and down, by days, hours and minutes."""
    wave = 400 * math.sin(number / 90) + 150 * math.sin(number / 17) + 40 * math.sin(number * 1.7)
    return Decimal(62_000 + round(wave, 1)).quantize(Decimal("0.1"))


@pytest.fixture
async def market(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Four days of trades, five minutes apart; give the database's address, which DATABASE_URL is."""
    trades = [
        Trade(
            "BTC/USD", 1001 + n, ns_of(START + n * STEP), walk(n), Decimal(1 + n * 7 % 13).scaleb(-1), "buy", "limit"
        )
        for n in range(COUNT)
    ]  # fmt: skip
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    url = address(store.database)
    monkeypatch.setenv("DATABASE_URL", url)
    yield url
    kd.close()


def address(database: dict[str, Any]) -> str:
    account = f"{database['user']}:{quote(database['password'], safe='')}"
    return f"postgresql://{account}@{database['host']}:{database['port']}/{database['dbname']}"


def test_candles_come_in_one_line_and_say_how_complete_they_are(
    market: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = kd.candles("XBTUSD", "1h", "2025-10-07")
    assert (frame.height, frame["timestamp"][0]) == (24, datetime(2025, 10, 7, tzinfo=UTC))
    assert frame["close"][0] == float(walk(24 * 12 + 11))
    assert capsys.readouterr().out == "BTC/USD 1h: 24 candles. Every trade of the time is in.\n"


def test_what_is_missing_is_told_with_the_answer(market: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert kd.candles("BTC/USD", "1h", ("2025-10-01", "2025-10-07")).height == 24
    told = capsys.readouterr().out
    assert told == "BTC/USD 1h: 24 candles. Not covered: 2025-10-01 00:00 to 2025-10-06 00:00.\n"
    kd.candles("BTC/USD", "1h", "2025-10", quiet=True)
    assert capsys.readouterr().out == ""


def test_pandas_comes_when_asked_for(market: str) -> None:
    frame = kd.candles("BTC/USD", "4h", "2025-10-07", columns=["close"], pandas=True)
    assert isinstance(frame, pd.DataFrame)
    assert (list(frame.columns), len(frame)) == (["close"], 6)
    assert frame.attrs["coverage"] == "Every trade of the time is in."


def test_exact_numbers_and_intervals_in_between(market: str) -> None:
    frame = kd.candles("BTC/USD", "2h", "2025-10-07", exact=True)
    assert (frame.height, frame["open"][0]) == (12, walk(24 * 12))


def test_trades_of_a_period(market: str) -> None:
    frame = kd.trades("BTC/USD", ("2025-10-07T00:00", "2025-10-07T01:00"))
    assert frame["trade_id"].to_list() == list(range(1001 + 288, 1001 + 300))


def test_symbols_and_coverage_are_frames(market: str) -> None:
    (row,) = kd.symbols().to_dicts()
    assert (row["symbol"], row["trades"], row["oldest"]) == ("BTC/USD", COUNT, START)
    coverage = kd.coverage("BTC/USD", "2025-10-07")
    assert coverage.to_dicts() == [
        {"start": START + timedelta(days=1), "end": START + timedelta(days=2), "state": "proven"}
    ]


def test_a_quiet_period_and_an_unknown_pair(market: str) -> None:
    assert kd.candles("BTC/USD", "1d", "2020", quiet=True).schema["close"] == pl.Float64
    with pytest.raises(UnknownSymbol):
        kd.candles("NOPE/NOPE", "1h")


def test_without_an_address_the_error_says_what_to_set(market: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kd.close()
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not set"):
        kd.symbols()
    kd.connect(market)
    assert kd.symbols().height == 1


def test_a_database_that_is_away_is_told_and_tried_again(market: str) -> None:
    with pytest.raises(StorageUnavailable):
        kd.connect("postgresql://nobody:nothing@127.0.0.1:1/nowhere")
    assert kd.symbols().height == 1


def test_it_needs_no_django(market: str) -> None:
    code = (
        "import sys; import krakendata.notebook as kd; print(kd.candles('BTC/USD', '1d', '2025-10-07').height); "
        "assert not {'django', 'pandas', 'celery'} & set(sys.modules), 'loaded'"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, cwd=env.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1"


def test_the_notebook_of_the_documentation_shows_what_it_does(market: str) -> None:
    stored = read_notebook(NOTEBOOK)
    fresh = run_notebook(stored)
    if os.environ.get("WRITE_NOTEBOOK"):
        write_notebook(NOTEBOOK, fresh)
    shown = [cell.get("outputs") for cell in stored["cells"]]
    assert [cell.get("outputs") for cell in fresh["cells"]] == shown
    assert sum("image/svg+xml" in str(each) for each in shown) == 1
