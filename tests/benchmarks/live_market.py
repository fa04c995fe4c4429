"""A made-up market at any pace, and loads of it: trades and candles as the frame decoder gives them.

Equal arguments give equal ones.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import floor
from typing import Any, NamedTuple

from krakendata.types import NS_PER_MINUTE, NS_PER_SECOND

Element = dict[str, Any]

# Drawn once and gone round in: making a trade has to cost next to nothing beside writing it.
FRAMES_DRAWN = 1 << 16
TRADES_DRAWN = 1 << 14
LEAST_DRAWN_OF_PAIR = 16

# What one order of the taker meets, told in one frame.
MOST_IN_FRAME = 5

# From the cheapest coin to Bitcoin, and five digits of each that move.
LEAST_EXPONENT, GREATEST_EXPONENT = -5.0, 4.8
MOVING_DIGITS = 5

# At every flush of a quiet minute, which is every five seconds.
VERSIONS_A_MINUTE = 12

# At what pace the trades' own times go on while they come as fast as they are taken.
NOMINAL_RATE = 50_000.0

TRADES, CANDLES = "trades", "candles"


@dataclass(frozen=True)
class Load:
    """So many pairs' trades or candles, for so many seconds; `rate` a second, or 0: as fast as they are taken.

    `start_ns` is when the market begins; None: when its first trade is taken. With `told_seconds` a line is printed as
    often.
    """

    kind: str
    pairs: int
    seconds: float
    start_ns: int | None = None
    rate: float = 0.0
    told_seconds: float = 0.0


@dataclass(frozen=True)
class Loaded:
    """What became of it; `seconds` until all was written, `cpu_seconds` of this process meanwhile.

    `sizes`, `batch_seconds` and `ages` are those of the batches, in their order.
    """

    offered: int
    stored: int
    dropped: int
    seconds: float
    cpu_seconds: float
    sizes: list[int]
    batch_seconds: list[float]
    ages: list[float]


def taking(load: Load) -> Callable[[int], list[Element]]:
    """Gives the next elements."""
    if load.kind == TRADES:
        return TradeStream(load.pairs, load.start_ns, load.rate or NOMINAL_RATE).take
    candles = CandleStream(load.pairs, load.start_ns or time.time_ns())
    return lambda _: candles.take()


def symbol_of(number: int) -> str:
    """The pair of that number."""
    return f"P{number:04d}/USD"


class _Frame(NamedTuple):
    pair: int
    place: int
    size: int


class TradeStream:
    """Trades of pairs in random turn, each with ids from 1 on; `rate` a second from `start_ns` (None: now) on."""

    def __init__(self, pairs: int, start_ns: int | None, rate: float) -> None:
        source = random.Random(pairs)
        drawn = max(TRADES_DRAWN // pairs, LEAST_DRAWN_OF_PAIR)
        self._trades = [_drawn_trades(source, symbol_of(number), drawn) for number in range(pairs)]
        self._frames = [_drawn_frame(source, pairs, drawn) for _ in range(FRAMES_DRAWN)]
        self._told = 0
        self._ids = [0] * pairs
        self._ns, self._step_ns = start_ns, round(NS_PER_SECOND / rate)
        self._clock = _Clock()

    def take(self, count: int) -> list[Element]:
        """The next trades: so many, and those that share a frame with the last."""
        elements: list[Element] = []
        ns = time.time_ns() if self._ns is None else self._ns
        while len(elements) < count:
            pair, place, size = self._frames[self._told % FRAMES_DRAWN]
            self._told += 1
            number, text = self._ids[pair], self._clock.text(ns)
            for trade in self._trades[pair][place : place + size]:
                number += 1
                element = trade.copy()
                element["trade_id"], element["timestamp"] = number, text
                elements.append(element)
            self._ids[pair] = number
            ns += size * self._step_ns
        self._ns = ns
        return elements


class CandleStream:
    """The 1-minute candles of `pairs` pairs as they form, twelve versions a minute, from that of `start_ns` on."""

    def __init__(self, pairs: int, start_ns: int) -> None:
        source = random.Random(pairs)
        self._versions: list[list[Element]] = [[] for _ in range(VERSIONS_A_MINUTE)]
        for number in range(pairs):
            trades = _drawn_trades(source, symbol_of(number), VERSIONS_A_MINUTE)
            for count, version in enumerate(self._versions, 1):
                version.append(_candle(trades[:count]))
        self._start_ns = start_ns // NS_PER_MINUTE * NS_PER_MINUTE
        self._told = 0

    def take(self) -> list[Element]:
        """The next version of every pair's candle."""
        minute, version = divmod(self._told, VERSIONS_A_MINUTE)
        self._told += 1
        text = _Clock().text(self._start_ns + minute * NS_PER_MINUTE)
        return [{**candle, "interval_begin": text} for candle in self._versions[version]]


class _Clock:
    """Writes times as the exchange does, each second once."""

    def __init__(self) -> None:
        self._second, self._written = -1, ""

    def text(self, ns: int) -> str:
        second, rest = divmod(ns, NS_PER_SECOND)
        if second != self._second:
            self._second, self._written = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._written}.{rest // 1000:06d}Z"


def _drawn_frame(source: random.Random, pairs: int, drawn: int) -> _Frame:
    size = source.randint(1, MOST_IN_FRAME)
    return _Frame(source.randrange(pairs), source.randrange(drawn - size), size)


def _drawn_trades(source: random.Random, symbol: str, count: int) -> list[Element]:
    """A walk of the price by a few steps at a time."""
    exponent = source.uniform(LEAST_EXPONENT, GREATEST_EXPONENT)
    decimals = MOVING_DIGITS - floor(exponent)
    steps = round(10 ** (exponent + decimals))
    trades = []
    for _ in range(count):
        steps += source.randint(-3, 3)
        trades.append(
            {
                "symbol": symbol,
                "side": source.choice(("buy", "sell")),
                "price": Decimal(steps).scaleb(-decimals),
                # Some hundred dollars at a time.
                "qty": Decimal(f"{source.expovariate(0.01) / 10**exponent + 1e-8:.8f}"),
                "ord_type": source.choice(("limit", "market")),
                "trade_id": 0,
                "timestamp": "",
            }
        )
    return trades


def _candle(trades: list[Element]) -> Element:
    prices = [each["price"] for each in trades]
    volume = sum((each["qty"] for each in trades), Decimal())
    turnover = sum((each["price"] * each["qty"] for each in trades), Decimal())
    return {
        "symbol": trades[0]["symbol"],
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "trades": len(trades),
        "volume": volume,
        "vwap": (turnover / volume).quantize(prices[0]),
        "interval": 1,
    }
