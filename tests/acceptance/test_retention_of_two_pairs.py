"""Retention never eats a rollup: three years of two pairs, one of them imported after the minutes of the other went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from krakendata.candles import fold_candles
from krakendata.types import HistoricalCandle
from tests.archive_files import made_minutes, write_candles
from tests.fix_storage import NOW, Store

DAYS = 1096
END = NOW.replace(hour=0, minute=0, second=0)
START = END - timedelta(days=DAYS)
# A database migrated long ago: its lines stand where Kraken's history begins.
FIRST_MONDAY = datetime(2013, 9, 2, tzinfo=UTC)
# Every thirteenth minute: an old one between two of them is new.
STEP = 13
INTERVALS_CHECKED = ("5m", "1h", "12h", "1d", "1w")


def folded(minutes: list[HistoricalCandle]) -> dict[str, list[HistoricalCandle]]:
    hours = fold_candles(minutes, "1h")
    return {
        name: fold_candles(minutes if name in ("5m", "1h") else hours, name) for name in INTERVALS_CHECKED
    }


async def assert_answers(store: Store, symbol: str, expected: dict[str, list[HistoricalCandle]]) -> None:
    assert len(await store.candles("1d", symbol)) == DAYS
    for name, candles in expected.items():
        assert await store.candles(name, symbol) == candles, (symbol, name)


@pytest.mark.slow
async def test_daily_candles_answer_every_day_of_both_pairs(store: Store, tmp_path: Path) -> None:
    await store.draw_lines(trades=FIRST_MONDAY, candles=FIRST_MONDAY)
    a = made_minutes(START, END, STEP, symbol="BTC/USD")
    b = made_minutes(START, END, STEP, symbol="ETH/USD")
    path = tmp_path / "XBTUSD_1.csv"
    of_a, of_b = folded(a), folded(b)

    await store.import_files(write_candles(path, a))
    await assert_answers(store, "BTC/USD", of_a)

    await store.upkeep(candles_days=365)
    (fence,) = await store.fetch("SELECT candles_fence()")
    assert fence > START
    assert await store.fetch(
        "SELECT count(*) FROM candles WHERE timestamp < %s", fence - timedelta(days=28)
    ) == [0]
    await assert_answers(store, "BTC/USD", of_a)

    await store.import_files(write_candles(tmp_path / "ETHUSD_1.csv", b))
    await store.refresh()
    await assert_answers(store, "BTC/USD", of_a)
    await assert_answers(store, "ETH/USD", of_b)

    (new,) = made_minutes(START + timedelta(days=100, minutes=2), START + timedelta(days=100, minutes=3))
    counts = (await store.import_files(write_candles(path, [a[100 * 1440 // STEP], new]))).counts
    assert (counts.folded, counts.duplicate) == (1, 1)
    await store.upkeep(candles_days=2000)
    assert await store.fetch("SELECT candles_fence()") == [fence]
    with_new = folded(sorted([*a, new], key=lambda candle: candle.timestamp))
    await assert_answers(store, "BTC/USD", with_new)
    await assert_answers(store, "ETH/USD", of_b)
