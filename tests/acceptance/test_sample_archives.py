"""Kraken's own archives, imported whole: every row, every digit, unharmed by retention and by a second import."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from krakendata.types import archive_trade_id
from tests.fix_storage import FENCE, NOW, Store

CANDLE_ARCHIVES = [
    ("ETHUSD_5.csv", "ETH/USD", "all_candles_5m", 52_943),
    ("XDGUSD_5.csv", "DOGE/USD", "all_candles_5m", 52_578),
    ("XBTUSD_60.csv", "BTC/USD", "all_candles_1h", 70_253),
]


async def answered(store: Store, view: str, symbol: str) -> list[list[Decimal | int]]:
    """What the view has of the symbol, in the order of an archive's columns."""
    rows = await store.fetch(
        "SELECT extract(epoch FROM timestamp)::bigint, open, high, low, close, volume, trade_count "  # noqa: S608
        f"FROM {view} WHERE symbol = %s ORDER BY timestamp",
        symbol,
    )
    return [list(row) for row in rows]


def rows_of(path: Path) -> list[list[Decimal]]:
    return [
        [Decimal(cell) for cell in line.split(",")] for line in path.read_text(encoding="ascii").splitlines()
    ]


@pytest.mark.parametrize(("name", "symbol", "view", "lines"), CANDLE_ARCHIVES)
async def test_a_candle_archive_is_in_to_the_last_digit_and_stays(
    store: Store, samples: Path, tmp_path: Path, name: str, symbol: str, view: str, lines: int
) -> None:
    path = Path(shutil.copy(samples / "archives" / "ohlcvt" / name, tmp_path))
    expected = rows_of(path)
    counts = (await store.import_files(path)).counts
    assert (counts.read, counts.stored, counts.rejected) == (lines, lines, 0)
    assert await answered(store, view, symbol) == expected
    sums = await store.fetch(f"SELECT sum(volume), sum(trade_count) FROM {view}")  # noqa: S608
    assert sums == [(sum(row[5] for row in expected), sum(row[6] for row in expected))]

    await store.upkeep(NOW + timedelta(days=1))
    assert await answered(store, view, symbol) == expected

    os.utime(path, (1, 1))
    counts = (await store.import_files(path)).counts
    assert (counts.read, counts.duplicate) == (lines, lines)
    assert await answered(store, view, symbol) == expected


async def test_a_trades_archive_without_ids_is_in_row_by_row_in_file_order(
    store: Store, samples: Path, tmp_path: Path
) -> None:
    await store.draw_lines(trades=FENCE - timedelta(days=7 * 600), candles=FENCE)
    path = Path(shutil.copy(samples / "archives" / "trades" / "BCHEUR.csv", tmp_path))
    expected = rows_of(path)
    assert (await store.import_files(path)).counts.stored == len(expected) == 148
    stored = await store.fetch(
        "SELECT trade_id, extract(epoch FROM timestamp)::bigint, price, volume FROM trades ORDER BY trade_id"
    )
    assert [list(row[1:]) for row in stored] == expected
    assert len({tuple(row) for row in expected}) == 147, "two rows are identical, and both are trades"
    assert stored[0][0] == archive_trade_id(int(expected[0][0]), 0)

    os.utime(path, (1, 1))
    assert (await store.import_files(path)).counts.duplicate == 148


async def test_a_longer_file_of_the_same_trades_adds_only_its_end(
    store: Store, samples: Path, tmp_path: Path
) -> None:
    await store.draw_lines(trades=FENCE - timedelta(days=7 * 600), candles=FENCE)
    whole = (samples / "archives" / "trades" / "BCHEUR.csv").read_bytes().splitlines(keepends=True)
    path = tmp_path / "BCHEUR.csv"
    path.write_bytes(b"".join(whole[:100]))
    await store.import_files(path)
    path.write_bytes(b"".join(whole))
    counts = (await store.import_files(path)).counts
    assert (counts.duplicate, counts.stored) == (100, 48)
