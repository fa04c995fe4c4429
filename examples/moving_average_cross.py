"""A moving-average cross over 1-hour candles: long while the fast average is above the slow one.

    DATABASE_URL=… python examples/moving_average_cross.py BTC/USD 2019-01-01 2024-01-01 --manifest cross.json

The averages are warmed up by the 200 candles before the first day, so that the first signal is as good as the last.
Every number is an exact decimal, so that two runs on the same candles have the same result to the last digit. The
manifest says which candles were read: `manage.py verify_manifest cross.json` tells another day whether they still are
the same.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from krakendata.historical_provider import Candles, HistoricalDataProvider
from krakendata.manifest import Manifest, reading_of
from krakendata.types import Candle

INTERVAL = "1h"
FAST, SLOW = 50, 200
# What Kraken takes of small orders that take from the book.
FEE = Decimal("0.0040")
START_MONEY = Decimal(10_000)
# Wealth is multiplied once a trade: rounded alike everywhere, far below a cent.
MONEY = Context(prec=34, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended: money in the quote currency, and how often it was bought and sold."""

    candles: int
    trades: int
    money: Decimal
    bought_and_held: Decimal


class Average:
    """The mean of the newest `size` prices, exactly; None until there are so many."""

    def __init__(self, size: int) -> None:
        self._prices: deque[Decimal] = deque(maxlen=size)
        self._sum = Decimal(0)

    def add(self, price: Decimal) -> Decimal | None:
        """Take the next price, and give the mean."""
        size = self._prices.maxlen or 1
        if len(self._prices) == size:
            self._sum -= self._prices[0]
        self._prices.append(price)
        self._sum += price
        return self._sum / size if len(self._prices) == size else None


def backtest(warmup: Iterable[Candle], candles: Iterable[Candle]) -> Result:
    """Go through the candles: a signal at one close is traded at the next open, and the last position sold."""
    fast, slow = Average(FAST), Average(SLOW)
    for candle in warmup:
        fast.add(candle.close)
        slow.add(candle.close)
    money, held, trades, count = START_MONEY, Decimal(0), 0, 0
    wants = False
    first_open: Decimal | None = None
    last_close = Decimal(0)
    for candle in candles:
        count += 1
        first_open, last_close = first_open or candle.open, candle.close
        if wants and not held:
            money, held, trades = Decimal(0), MONEY.divide(money * (1 - FEE), candle.open), trades + 1
        elif held and not wants:
            money, held, trades = MONEY.multiply(held, candle.open * (1 - FEE)), Decimal(0), trades + 1
        quick, slack = fast.add(candle.close), slow.add(candle.close)
        wants = quick is not None and slack is not None and quick > slack
    if held:
        money, trades = MONEY.multiply(held, last_close * (1 - FEE)), trades + 1
    kept = MONEY.divide(START_MONEY * last_close, first_open) if first_open else START_MONEY
    return Result(count, trades, money, kept)


async def read(database: str, symbol: str, start: datetime, end: datetime) -> tuple[Candles, Candles]:
    """The warm-up before `start`, and the candles from there to `end`."""
    # To this provider it is `start`: what was closed by then warms up.
    async with HistoricalDataProvider(database, clock=lambda: start) as past:
        warmup = await past.get_latest_candles(symbol, INTERVAL, SLOW)
    if len(warmup) < SLOW:
        raise SystemExit(f"There are {len(warmup)} candles before {start:%Y-%m-%d}, and {SLOW} are needed.")
    async with HistoricalDataProvider(database) as provider:
        return warmup, await provider.get_candles(symbol, INTERVAL, start, end)


def manifest_of(*readings: Candles) -> Manifest:
    """What was read, and by what."""
    versions = {"python": platform.python_version()}
    try:
        versions["krakendata"] = version("krakendata")
    except PackageNotFoundError:
        # Run from a clone, which is not installed.
        versions["krakendata"] = "a clone"
    parts = tuple(reading_of(each.symbol, each.interval.name, each, each.coverage) for each in readings)
    return Manifest(datetime.now(UTC), versions, parts)


def day(text: str) -> datetime:
    """A day's beginning, UTC."""
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("symbol", help="in any spelling: BTC/USD, XBTUSD")
    parser.add_argument("start", type=day, help="the first day, such as 2019-01-01")
    parser.add_argument("end", type=day, help="the day after the last one")
    parser.add_argument("--manifest", type=Path, help="save there what was read")
    arguments = parser.parse_args()
    database = os.environ.get("DATABASE_URL")
    if not database:
        raise SystemExit("DATABASE_URL is not set: it says where the candles are.")

    warmup, candles = asyncio.run(read(database, arguments.symbol, arguments.start, arguments.end))
    result = backtest(warmup, candles)
    print(f"{result.candles:,} candles, {result.trades} trades.")
    print(f"{START_MONEY} became {result.money:.2f}; bought and held it were {result.bought_and_held:.2f}.")
    if not (warmup.coverage.is_proven and candles.coverage.is_proven):
        print("Not every candle is proven: `manage.py coverage` tells which.")
    if arguments.manifest:
        arguments.manifest.write_text(manifest_of(warmup, candles).to_json() + "\n", encoding="utf-8")
        print(f"What was read is in {arguments.manifest}.")


if __name__ == "__main__":
    main()
