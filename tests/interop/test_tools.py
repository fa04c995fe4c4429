"""Exported files opened by the tools themselves: what they read is what the provider gives."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from krakendata.export.exporter import Exporter, Form
from krakendata.export.layouts import LAYOUTS
from krakendata.export.parts import By
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.types import Pair, Symbols, Trade, ns_of
from tests.archive_files import write_trades
from tests.fix_storage import NOW, Store
from tests.interop.tools import ask

START, STEP, COUNT = datetime(2025, 10, 6, tzinfo=UTC), timedelta(minutes=5), 4 * 24 * 12
PAIR = Pair("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD", "BTC", "USD", "online", 1, 8)
# An hour without trades, to be filled.
QUIET = range(300, 324)


@pytest.fixture
async def provider(store: Store, tmp_path: Path) -> AsyncIterator[HistoricalDataProvider]:
    trades = [
        Trade(
            "BTC/USD",
            n + 1,
            ns_of(START + (n + (len(QUIET) if n >= QUIET.start else 0)) * STEP),
            Decimal(60_000 + round(500 * math.sin(n / 40), 1)).quantize(Decimal("0.1")),
            Decimal(1 + n * 7 % 13).scaleb(-8),
            "buy" if n % 3 else "sell",
            "market",
        )
        for n in range(COUNT)
    ]
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades))
    async with HistoricalDataProvider(
        store.database, symbols=Symbols([PAIR]), clock=lambda: NOW
    ) as connected:
        yield connected


async def export(provider: HistoricalDataProvider, folder: Path, layout: str, *kinds: str) -> Path:
    found = LAYOUTS[layout]
    form = Form(found, found.formats[0], found.by or By.YEAR, exact=bool(found.exact))
    report = await Exporter(provider, folder / layout, form).export(["BTC/USD"], kinds)
    assert report.written
    return folder / layout


async def test_freqtrade_reads_candles_and_trades(provider: HistoricalDataProvider, tmp_path: Path) -> None:
    found = ask("freqtrade", await export(provider, tmp_path, "freqtrade", "1h", "trades"))
    candles = await provider.get_candles("BTC/USD", "1h")
    assert found["available"] == [["BTC/USD", "1h"]]
    assert found["candles"] == [
        [
            int(each.timestamp.timestamp()),
            *map(float, (each.open, each.high, each.low, each.close, each.volume)),
        ]
        for each in candles
    ]
    assert found["filled"] == len(candles) + 2
    assert found["some"] == 2
    trades = await provider.get_trades("BTC/USD")
    assert found["trades"] == [
        [str(each.trade_id), float(each.price), float(each.volume), each.side] for each in trades
    ]


async def test_nautilus_reads_bars_and_ticks(provider: HistoricalDataProvider, tmp_path: Path) -> None:
    found = ask("nautilus_trader", await export(provider, tmp_path, "nautilus", "1h", "trades"))
    assert found["bars"] == [
        [
            ns_of(each.timestamp + timedelta(hours=1)),
            *(f"{price:.1f}" for price in each[2:6]),
            f"{each.volume:.8f}",
        ]
        for each in await provider.get_candles("BTC/USD", "1h")
    ]
    sides = {"buy": "BUYER", "sell": "SELLER"}
    assert found["ticks"] == [
        [each.ns, str(each.trade_id), f"{each.price:.1f}", f"{each.volume:.8f}", sides[each.side or ""]]
        for each in await provider.get_trades("BTC/USD")
    ]


@pytest.mark.parametrize("tool", ["backtesting", "vectorbt"])
async def test_backtests_run_over_frames(tool: str, provider: HistoricalDataProvider, tmp_path: Path) -> None:
    found = ask(tool, await export(provider, tmp_path, "frames", "1h"))
    candles = await provider.get_candles("BTC/USD", "1h")
    assert (found["rows"], found["start"]) == (len(candles), str(candles[0].timestamp))
    assert found["trades"] > 1
