"""A made-up market that follows from a seed: trades by the nanosecond, or cheaply, minutes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import exp, sqrt

from krakendata.types import NS_PER_MINUTE, HistoricalCandle, Trade, moment_of, ns_of

# How busy each UTC hour is, as a multiple of the average: the small hours sleep, New York's morning does not.
ACTIVITY_BY_HOUR = (
    *(0.7, 0.6, 0.5, 0.4, 0.3, 0.3, 0.5, 0.8, 1.0, 1.0, 1.0, 1.0),
    *(1.1, 1.5, 2.0, 2.0, 1.8, 1.5, 1.2, 1.1, 1.1, 1.0, 0.9, 0.7),
)

# In two minutes of a thousand something happens: trades come up to 20 times as often, then it calms down.
BURST_SHARE = 0.002
BURST_STRENGTH = 20
BURST_LEFT_AFTER_MINUTE = 0.8

# One trade in five is a further fill of the order before it: same nanosecond, same side, one step worse.
FURTHER_FILL_SHARE = 0.2

# How strongly each price is drawn back to the first, so that no pair wanders off to nothing within years.
PULL_HOME = 1e-5


@dataclass(frozen=True)
class MarketPair:
    """What a made-up pair is like. `listed_at` is how far into a period it appears: 0 start, 0.5 midway."""

    symbol: str
    altname: str
    price: Decimal
    price_decimals: int
    volume: float
    volume_decimals: int
    trades_per_minute: float
    move: float = 0.0002
    listed_at: float = 0.0


MARKET_PAIRS = {
    pair.symbol: pair
    for pair in (
        MarketPair("BTC/USD", "XBTUSD", Decimal("64000"), 1, 0.05, 8, 12.0),
        MarketPair("ETH/USD", "ETHUSD", Decimal("3100"), 2, 0.6, 8, 8.0),
        MarketPair("DOGE/USD", "XDGUSD", Decimal("0.12"), 7, 4000, 8, 1.5, move=0.0006),
        MarketPair("PEPE/USD", "PEPEUSD", Decimal("0.000012"), 9, 9e6, 5, 0.7, move=0.001, listed_at=0.5),
        MarketPair("BCH/EUR", "BCHEUR", Decimal("410"), 2, 0.9, 8, 0.1, move=0.001),
    )
}


class Market:
    """One pair's trading from `start` on: equal arguments give equal trades.

    `trades` and `candles` move the same clock forward, so that cheap minutes can lead up to exact trades at a
    continuous price. Ids are contiguous and begin at 1; minutes use up the ids of the trades they stand for.
    `start` and every `until` are aware and are cut to their minute.
    """

    def __init__(self, pair: MarketPair, start: datetime, seed: int) -> None:
        self.pair = pair
        self._random = random.Random(f"{seed}/{pair.symbol}")  # noqa: S311 (a game, not a secret)
        self._minute_ns = _minute_of(start)
        self._next_id = 1
        self._burst = 0.0
        self._price_unit = Decimal(1).scaleb(-pair.price_decimals)
        self._volume_unit = Decimal(1).scaleb(-pair.volume_decimals)
        self._usual_volume = pair.volume * 10.0**pair.volume_decimals
        self._home = self._price = float(pair.price / self._price_unit)

    def trades(self, until: datetime) -> Iterator[Trade]:
        """Every trade from where the clock stands to `until`, in order of id and of time."""
        for minute_ns, count in self._busy_minutes(until):
            yield from self._minute_of_trades(minute_ns, count)

    def candles(self, until: datetime) -> Iterator[HistoricalCandle]:
        """One-minute candles to `until`, drawn as wholes, several times as fast as their trades would be.

        They carry neither turnover nor ids, like the rows of Kraken's OHLCVT archives.
        """
        for minute_ns, count in self._busy_minutes(until):
            yield self._whole_minute(minute_ns, count)

    def _busy_minutes(self, until: datetime) -> Iterator[tuple[int, int]]:
        """Each minute with trades (its first nanosecond) and how many; the clock moves along."""
        end_ns = _minute_of(until)
        draw = self._random
        while self._minute_ns < end_ns:
            minute_ns = self._minute_ns
            self._minute_ns += NS_PER_MINUTE
            self._burst *= BURST_LEFT_AFTER_MINUTE
            if draw.random() < BURST_SHARE:
                self._burst += BURST_STRENGTH * draw.random()
            hour = minute_ns // (60 * NS_PER_MINUTE) % 24
            expected = self.pair.trades_per_minute * ACTIVITY_BY_HOUR[hour] * (1 + self._burst)
            count = int(expected * draw.expovariate(1) + draw.random())
            if count:
                yield minute_ns, count

    def _minute_of_trades(self, minute_ns: int, count: int) -> Iterator[Trade]:
        draw = self._random
        moments = sorted(int(draw.random() * NS_PER_MINUTE) for _ in range(count))
        moment, side, order_type = -1, "", ""
        for next_moment in moments:
            if moment < 0 or draw.random() >= FURTHER_FILL_SHARE:
                moment = next_moment
                side = "buy" if draw.random() < 0.5 else "sell"
                order_type = "limit" if draw.random() < 0.6 else "market"
                self._move(1)
            else:
                self._price = max(1.0, self._price + (1 if side == "buy" else -1))
            yield Trade(
                self.pair.symbol,
                self._next_id,
                minute_ns + moment,
                round(self._price) * self._price_unit,
                self._some_volume(1) * self._volume_unit,
                side,
                order_type,
            )
            self._next_id += 1

    def _whole_minute(self, minute_ns: int, count: int) -> HistoricalCandle:
        first = self._move(1)
        last = self._move(count - 1) if count > 1 else first
        reach = abs(self._random.gauss(0, 0.5)) * abs(self._price) * self.pair.move * sqrt(count - 1)
        unit = self._price_unit
        self._next_id += count
        return HistoricalCandle(
            symbol=self.pair.symbol,
            interval_minutes=1,
            timestamp=moment_of(minute_ns),
            open=first * unit,
            high=(max(first, last) + int(reach)) * unit,
            low=max(1, min(first, last) - int(reach)) * unit,
            close=last * unit,
            volume=self._some_volume(count) * self._volume_unit,
            turnover=None,
            trade_count=count,
            first_id=None,
            last_id=None,
        )

    def _move(self, trades: int) -> int:
        """Let the price wander for so many trades; returns it in whole price units, at least one."""
        step = self._random.gauss(0, self.pair.move * sqrt(trades))
        home = (self._home - self._price) * min(1.0, PULL_HOME * trades)
        self._price = max(1.0, self._price * (1 + step) + home)
        return round(self._price)

    def _some_volume(self, trades: int) -> int:
        """The volume of so many trades in whole volume units: many small ones, few large ones, never none."""
        size = trades * self._usual_volume * exp(self._random.gauss(-0.5, 1) / sqrt(trades))
        return max(1, round(size))


def _minute_of(moment: datetime) -> int:
    return ns_of(moment) // NS_PER_MINUTE * NS_PER_MINUTE
