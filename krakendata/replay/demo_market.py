"""The demo's market: its archives hold the trades that its exchange answers, and that go on in real time."""

from __future__ import annotations

import asyncio
import zipfile
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from krakendata.kraken.pacing import Limits
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.histories import Bar, GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS, MarketPair
from krakendata.replay.sample_archive import (
    CANDLES_ZIP,
    TRADES_ZIP,
    SampleFile,
    period_to,
    write_sample_archive,
)
from krakendata.types import EPOCH, HistoricalCandle, Trade, moment_of, ns_of

SEED = 1

# A fifth of the usual trades: two months are fetched while one looks around, and take little of the disk.
ACTIVITY = 0.2

# Kraken's archives end weeks ago, these a day ago: there is something to fetch on this side of them too.
ARCHIVES_AGE = timedelta(days=1)

# Ten times Kraken's patience, as nobody wants to wait ten minutes for a demo; the workers keep to it.
LIMITS = Limits(per_pair=10.0, per_address=20.0)


# Listed, in no archive, and tracked by nobody: a newcomer has a pair to begin with.
NEWCOMERS = MarketPair("SOL/USD", "SOLUSD", Decimal("140"), 2, 1.5, 8, 6.0)


class DemoMarket:
    """The pairs of `MARKET_PAIRS`, whose archives end at the aware `until`."""

    def __init__(self, until: datetime) -> None:
        self._until = until
        self._period = period = period_to(until)
        self._histories = {
            symbol: GeneratedHistory(pair, period.listed_at(pair), SEED, activity=ACTIVITY)
            for symbol, pair in MARKET_PAIRS.items()
        }

    @classmethod
    def of_archives(cls, directory: Path) -> DemoMarket:
        """The market that the archives in `directory` were written of."""
        with zipfile.ZipFile(directory / CANDLES_ZIP) as archive:
            return cls(datetime(*archive.infolist()[0].date_time, tzinfo=UTC))

    @staticmethod
    def is_written(directory: Path) -> bool:
        """Whether both archives are there."""
        return all((directory / name).exists() for name in (CANDLES_ZIP, TRADES_ZIP))

    async def minutes(self) -> Mapping[str, Sequence[HistoricalCandle]]:
        """What the archives have of each pair before its trades begin there."""
        made = {}
        for symbol, history in self._histories.items():
            bars = await history.bars(1, history.listed_ns, ns_of(self._period.trades_start))
            made[symbol] = [_candle(symbol, bar) for bar in bars]
            # Making them takes seconds: whoever presses Ctrl-C is heard here.
            await asyncio.sleep(0)
        return made

    def write_archives(
        self, directory: Path, minutes: Mapping[str, Sequence[HistoricalCandle]]
    ) -> list[SampleFile]:
        """Write both archives, of two months of candles (`minutes`, where there are no trades) and a week of trades."""

        def trading(pair: MarketPair, start: datetime, seed: int) -> _Trading:
            return _Trading(self._histories[pair.symbol], minutes[pair.symbol])

        return write_sample_archive(directory, SEED, self._until, market_of=trading)

    def exchange(self) -> ReplayExchange:
        """An exchange that has traded all of it, and trades on."""
        newcomers = GeneratedHistory(NEWCOMERS, self._period.listed_at(NEWCOMERS), SEED, activity=ACTIVITY)
        return ReplayExchange([*self._histories.values(), newcomers], limits=LIMITS)


class _Trading:
    """A history told once, from its beginning on."""

    def __init__(self, history: GeneratedHistory, minutes: Sequence[HistoricalCandle]) -> None:
        self._history = history
        self._minutes = minutes
        self._told = EPOCH

    def trades(self, until: datetime) -> list[Trade]:
        return self._history.trades(ns_of(self._next(until)), ns_of(until))

    def candles(self, until: datetime) -> Sequence[HistoricalCandle]:
        first, end = (
            bisect_left(self._minutes, moment, key=lambda candle: candle.timestamp)
            for moment in (self._next(until), until)
        )
        return self._minutes[first:end]

    def _next(self, until: datetime) -> datetime:
        start, self._told = self._told, until
        return start


def _candle(symbol: str, bar: Bar) -> HistoricalCandle:
    return HistoricalCandle(
        symbol=symbol,
        interval_minutes=1,
        timestamp=moment_of(bar.start_ns),
        open=Decimal(bar.open),
        high=Decimal(bar.high),
        low=Decimal(bar.low),
        close=Decimal(bar.close),
        volume=Decimal(bar.volume),
        turnover=None,
        trade_count=bar.trade_count,
        first_id=None,
        last_id=None,
    )
