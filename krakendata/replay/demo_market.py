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
    write_mistyped_archive,
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


# Its archived trades lack some hours, and nobody tracks it: a hole that stays until somebody mends it by hand.
TORN = MarketPair("LINK/USD", "LINKUSD", Decimal("13"), 5, 20, 8, 1.5)
HOLE_AFTER = timedelta(days=3, hours=8)
HOLE = timedelta(hours=9)

# Its day of trades lies beside the archives, to be uploaded; somebody typed letters into it.
UPLOADED = MarketPair("ADA/USD", "ADAUSD", Decimal("0.45"), 6, 900, 8, 2.0)
UPLOADED_TIME = timedelta(days=1)
MISTYPED_ROWS = 3

# The last of an archive's pairs has trades without ids, in which a hole would not be seen.
*_NUMBERED, _UNNUMBERED = MARKET_PAIRS.values()
ARCHIVED = (*_NUMBERED, TORN, _UNNUMBERED)


class DemoMarket:
    """The pairs of `ARCHIVED`, whose archives end at the aware `until`, and two more that the exchange lists."""

    def __init__(self, until: datetime) -> None:
        self._until = until
        self._period = period = period_to(until)
        self._histories = {
            pair.symbol: GeneratedHistory(pair, period.listed_at(pair), SEED, activity=ACTIVITY)
            for pair in (*ARCHIVED, NEWCOMERS, UPLOADED)
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
        for symbol in (pair.symbol for pair in ARCHIVED):
            history = self._histories[symbol]
            bars = await history.bars(1, history.listed_ns, ns_of(self._period.trades_start))
            made[symbol] = [_candle(symbol, bar) for bar in bars]
            # Making them takes seconds: whoever presses Ctrl-C is heard here.
            await asyncio.sleep(0)
        return made

    def write_archives(
        self, directory: Path, minutes: Mapping[str, Sequence[HistoricalCandle]]
    ) -> list[SampleFile]:
        """Write both archives, of two months of candles (`minutes`, where there are no trades) and a week of trades."""

        hole = self._period.trades_start + HOLE_AFTER

        def trading(pair: MarketPair, start: datetime, seed: int) -> _Trading:
            history = self._histories[pair.symbol]
            return _Trading(history, minutes[pair.symbol], (hole, hole + HOLE) if pair is TORN else None)

        # Candles would cover the hole: an archive of them that goes on says that nothing was traded.
        return write_sample_archive(
            directory, SEED, self._until, ARCHIVED, market_of=trading, by_trades_alone={TORN.symbol}
        )

    def write_upload(self, archive: Path) -> SampleFile:
        """Write the zip of `UPLOADED`'s trades up to `until`, `MISTYPED_ROWS` of them mistyped."""
        start = self._until - UPLOADED_TIME
        trades = self._histories[UPLOADED.symbol].trades(ns_of(start), ns_of(self._until))
        return write_mistyped_archive(archive, UPLOADED, trades, self._until, MISTYPED_ROWS)

    def exchange(self) -> ReplayExchange:
        """An exchange that has traded all of it, and trades on."""
        return ReplayExchange(list(self._histories.values()), limits=LIMITS)


class _Trading:
    """A history told once, from its beginning on, but for the trades of a hole."""

    def __init__(
        self,
        history: GeneratedHistory,
        minutes: Sequence[HistoricalCandle],
        hole: tuple[datetime, datetime] | None,
    ) -> None:
        self._history = history
        self._minutes = minutes
        self._hole = hole
        self._told = EPOCH

    def trades(self, until: datetime) -> list[Trade]:
        trades = self._history.trades(ns_of(self._next(until)), ns_of(until))
        if self._hole is None:
            return trades
        first, end = map(ns_of, self._hole)
        return [trade for trade in trades if not first <= trade.ns < end]

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
