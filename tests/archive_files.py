"""Archives in Kraken's format made of our own words, and markets by the seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from krakendata.types import HistoricalCandle, Trade, ns_of

NS_PER_SECOND = 10**9


def made_trades(
    seed: int, start: datetime, end: datetime, count: int, *, first_id: int = 1, symbol: str = "BTC/USD"
) -> list[Trade]:
    """`count` trades with ids from `first_id` in the order of their times, in bursts, prices of many digits."""
    chance = random.Random(seed)
    first, last = ns_of(start), ns_of(end)
    times = sorted(
        min(int(chance.uniform(first, last)) + chance.randrange(20 * NS_PER_SECOND) * (n % 3 == 0), last - 1)
        for n in range(count)
    )
    return [
        Trade(
            symbol, first_id + n, ns, Decimal(chance.randrange(1, 10**9)).scaleb(-chance.randrange(1, 8)),
            Decimal(chance.randrange(1, 10**10)).scaleb(-8), chance.choice(["buy", "sell"]),
            chance.choice(["market", "limit"]),
        )
        for n, ns in enumerate(times)
    ]  # fmt: skip


def trade_line(trade: Trade) -> str:
    """A row of schema D."""
    return (
        f"{_seconds(trade)},{trade.price},{trade.volume},{(trade.side or '')[:1]},{(trade.order_type or '')[:1]},"
        f",{trade.trade_id}"
    )


def write_trades(path: Path, trades: Iterable[Trade], extra: Sequence[str] = ()) -> Path:
    """Schema D, without a header; `extra` lines go to the middle."""
    lines = [trade_line(trade) for trade in trades]
    lines[len(lines) // 2 : len(lines) // 2] = extra
    return write_lines(path, lines)


def write_idless(path: Path, trades: Iterable[Trade]) -> Path:
    """Schema A: whole seconds, no ids."""
    return write_lines(
        path, [f"{trade.ns // NS_PER_SECOND},{trade.price},{trade.volume}" for trade in trades]
    )


def write_candles(path: Path, candles: Iterable[HistoricalCandle]) -> Path:
    return write_lines(
        path,
        [
            f"{candle.timestamp.timestamp():.0f},{candle.open},{candle.high},{candle.low},{candle.close},"
            f"{candle.volume},{candle.trade_count}"
            for candle in candles
        ],
    )


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def made_minutes(
    start: datetime, end: datetime, step: int = 1, *, symbol: str = "BTC/USD", interval: int = 1
) -> list[HistoricalCandle]:
    """A candle every `step` minutes of [start, end), no two neighbours alike."""
    count = (end - start) // timedelta(minutes=step)
    return [
        HistoricalCandle(
            symbol, interval, start + n * timedelta(minutes=step), Decimal(100 + n % 7), Decimal(110 + n % 5),
            Decimal(90 - n % 3), Decimal(101 + n % 9), Decimal("1.5") + n % 4, None, 3 + n % 2, None, None,
        )
        for n in range(count)
    ]  # fmt: skip


def _seconds(trade: Trade) -> str:
    return f"{trade.ns // NS_PER_SECOND}.{trade.ns % NS_PER_SECOND:09}"
