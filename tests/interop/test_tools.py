"""Exported files opened by the tools themselves: what they read is what the provider gives.

The exports are those that the page shows, by the command itself.
"""

from __future__ import annotations

import asyncio
import json
import math
import shlex
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from krakendata.historical_provider import HistoricalDataProvider
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.generated_market import generated_market
from krakendata.replay.listing import named_pair, pair_entry
from krakendata.replay.server import ReplayServer
from krakendata.types import Candle, Trade, ns_of
from tests.archive_files import write_trades
from tests.fix_storage import Store
from tests.interop.tools import CHECKS, ask, run, shown

# Twelve days around a year's end, which cuts files and a week.
START, STEP, COUNT = datetime(2025, 12, 25, tzinfo=UTC), timedelta(minutes=5), 12 * 24 * 12
NOW = START + timedelta(days=25)
# Two hours without trades, to be filled.
QUIET = range(300, 324)
# Trades for three swings of the price.
SWING = COUNT / 3 / math.tau
YEAR_ENDS = datetime(2026, 1, 1, tzinfo=UTC)
PAIR = named_pair("BTC/USD", price_decimals=1, volume_decimals=8)
LENGTHS = {
    "1-MINUTE": ("1m", timedelta(minutes=1)),
    "1-HOUR": ("1h", timedelta(hours=1)),
    "1-WEEK": ("1w", timedelta(weeks=1)),
}
SIDES = {"buy": "BUYER", "sell": "SELLER"}


@pytest.fixture
async def provider(store: Store, tmp_path: Path) -> AsyncIterator[HistoricalDataProvider]:
    trades = [
        Trade(
            "BTC/USD",
            n + 1,
            ns_of(START + (n + (len(QUIET) if n >= QUIET.start else 0)) * STEP) + 1_999_000,
            Decimal(60_000 + round(3000 * math.sin(n / SWING) + 20 * math.sin(n), 1)).quantize(
                Decimal("0.1")
            ),
            Decimal(10**8 + n * 7 % 13).scaleb(-8),
            "buy" if n % 3 else "sell",
            "market",
        )
        for n in range(COUNT)
    ]
    await store.import_files(write_trades(tmp_path / "XBTUSD.csv", trades), now=NOW)
    listed = tmp_path / "pairs.json"
    listed.write_text(json.dumps({PAIR.key: pair_entry(PAIR)}), encoding="utf-8")
    await asyncio.to_thread(call_command, "import_pairs", str(listed))
    async with HistoricalDataProvider(store.database, clock=lambda: NOW) as connected:
        yield connected


async def export(tool: str, folder: Path) -> None:
    """Export what the page shows, into the folder."""
    (line,) = [line for line in shown(tool, "sh").splitlines() if "manage.py export" in line]
    _, command, *arguments = shlex.split(line)
    out = arguments.index("--out") + 1
    arguments[out] = str(folder / arguments[out])
    await asyncio.to_thread(call_command, command, *arguments)


def floats(candles: Sequence[Candle]) -> list[list[Any]]:
    return [[int(each.timestamp.timestamp()), *map(float, each[2:7])] for each in candles]


def bars(candles: Sequence[Candle], length: timedelta) -> list[list[Any]]:
    """As nautilus_trader tells them: closed when they end, in the decimals of the pair."""
    return [
        [ns_of(each.timestamp + length), *(f"{price:.1f}" for price in each[2:6]), f"{each.volume:.8f}"]
        for each in candles
    ]


async def test_freqtrade_reads_candles_and_trades(provider: HistoricalDataProvider, tmp_path: Path) -> None:
    await export("freqtrade", tmp_path)
    found = ask("freqtrade", tmp_path)
    candles = await provider.get_candles("BTC/USD", "1h")
    assert found["available"] == [["BTC/USD", "1h"]]
    assert found["trades_available"] == ["BTC/USD"]
    assert found["candles"] == floats(candles)
    assert found["filled"] == len(candles) + 2
    assert found["some"] == floats(candles)[1:3]
    assert found["range"] == [str(candles[0].timestamp), str(candles[-1].timestamp)]
    assert found["trades"] == [
        [each.ns // 1_000_000, str(each.trade_id), float(each.price), float(each.volume), each.side]
        for each in await provider.get_trades("BTC/USD")
    ]
    # Summed in another order, a volume of floats is another one in its last digits.
    for own, ours in zip(found["candles_of_trades"], found["candles"], strict=True):
        assert own == [*ours[:5], pytest.approx(ours[5], rel=1e-12)]


async def test_freqtrade_lists_and_backtests_what_was_exported(
    provider: HistoricalDataProvider, tmp_path: Path
) -> None:
    await export("freqtrade", tmp_path)
    strategies = tmp_path / "user_data" / "strategies"
    strategies.mkdir()
    shutil.copy(CHECKS / "freqtrade_cross.py", strategies)
    _, listing, backtesting = [shlex.split(line) for line in shown("freqtrade", "sh").splitlines()]
    listed = run("freqtrade", *listing, folder=tmp_path)
    candles = await provider.get_candles("BTC/USD", "1h")
    for word in ("BTC/USD", "1h", f"{START:%Y-%m-%d %H:%M:%S}", f"{len(candles)}"):
        assert word in listed
    clock = ReplayClock(NOW, speed=0)
    async with ReplayServer(ReplayExchange(generated_market(NOW - timedelta(days=1), NOW), clock)) as server:
        config = json.loads(shown("freqtrade", "json"))
        config["exchange"]["ccxt_config"]["urls"]["api"]["public"] = server.rest_url
        config |= {
            "stake_currency": "USD",
            "stake_amount": 10_000,
            "dry_run": True,
            "dry_run_wallet": 100_000,
            "max_open_trades": 1,
            "fee": 0.004,
            "pairlists": [{"method": "StaticPairList"}],
            "entry_pricing": {"price_side": "same"},
            "exit_pricing": {"price_side": "same"},
        }
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        output = await asyncio.to_thread(run, "freqtrade", *backtesting, folder=tmp_path)
    warm = candles[50].timestamp - timedelta(hours=2)
    assert f"Backtested {warm:%Y-%m-%d %H:%M:%S} -> {candles[-1].timestamp:%Y-%m-%d %H:%M:%S}" in output


async def test_nautilus_reads_bars_and_ticks(provider: HistoricalDataProvider, tmp_path: Path) -> None:
    await export("nautilus_trader", tmp_path)
    found = ask("nautilus_trader", tmp_path)
    for kind, (interval, length) in LENGTHS.items():
        whole = bars(await provider.get_candles("BTC/USD", interval), length)
        assert found["bars"][kind] == whole
        assert found["since"][kind] == [bar for bar in whole if bar[0] >= ns_of(YEAR_ENDS)]
        assert found["until"][kind] == [bar for bar in whole if bar[0] <= ns_of(YEAR_ENDS)]
    assert len(found["bars"]["1-WEEK"]) == 3
    assert found["ticks"] == [
        [
            each.ns,
            str(each.trade_id),
            f"{each.price:.1f}",
            f"{each.volume:.8f}",
            SIDES[each.side or ""],
        ]
        for each in await provider.get_trades("BTC/USD")
    ]
    assert found["heard"] == len(found["bars"]["1-HOUR"])
    assert found["orders"] > 1


async def test_backtesting_runs_over_frames(provider: HistoricalDataProvider, tmp_path: Path) -> None:
    await export("backtesting", tmp_path)
    found = ask("backtesting", tmp_path)
    candles = await provider.get_candles("BTC/USD", "1h")
    assert found["rows"] == floats(candles)
    assert found["bars"] == len(candles)
    assert found["trades"] > 1


async def test_vectorbt_runs_over_frames(provider: HistoricalDataProvider, tmp_path: Path) -> None:
    await export("vectorbt", tmp_path)
    found = ask("vectorbt", tmp_path)
    closes = [[row[0], row[4]] for row in floats(await provider.get_candles("BTC/USD", "1h"))]
    assert found["closes"] == closes
    assert found["held"] == pytest.approx(closes[-1][1] / closes[0][1] - 1, rel=1e-12)
    assert found["trades"] > 1
