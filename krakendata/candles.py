"""From trades to 1-minute candles and from small candles to large ones: exact, and indifferent to order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import TypeVar

from krakendata.types import HistoricalCandle, Interval, Trade, bucket_start_ns, interval_of, moment_of, ns_of

__all__ = [
    "bucket_start",
    "fold_candles",
    "fold_trades",
    "followed_by",
    "merge",
    "turnover_of",
    "vwap_truncated",
]

# Validated numbers have at most 20 digits before the point and 40 after it (validation.py), so products
# have 120 and sums a few more: at 200 nothing is ever rounded.
_EXACT = Context(prec=200, rounding=ROUND_DOWN)

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)


def bucket_start(moment: datetime, minutes: int) -> datetime:
    """Where the bucket of `minutes` that contains the aware `moment` starts; weeks start on Monday, UTC."""
    return moment_of(bucket_start_ns(ns_of(moment), minutes))


def fold_trades(trades: Iterable[Trade]) -> list[HistoricalCandle]:
    """The 1-minute candles of `trades`, by symbol and time; minutes without trades have none.

    Open and close go by trade_id, which therefore has to be there (not 0) and to differ within a pair.
    """
    minutes = _grouped(trades, lambda trade: (trade.symbol, bucket_start_ns(trade.ns, 1)))
    return [_minute(symbol, start, minutes[symbol, start]) for symbol, start in sorted(minutes)]


def _minute(symbol: str, start_ns: int, trades: list[Trade]) -> HistoricalCandle:
    first = min(trades, key=lambda trade: trade.trade_id)
    last = max(trades, key=lambda trade: trade.trade_id)
    with localcontext(_EXACT):
        return HistoricalCandle(
            symbol=symbol,
            interval_minutes=1,
            timestamp=moment_of(start_ns),
            open=first.price,
            high=max(trade.price for trade in trades),
            low=min(trade.price for trade in trades),
            close=last.price,
            volume=sum((trade.volume for trade in trades), Decimal()),
            turnover=sum((trade.price * trade.volume for trade in trades), Decimal()),
            trade_count=len(trades),
            first_id=first.trade_id,
            last_id=last.trade_id,
        )


def merge(a: HistoricalCandle, b: HistoricalCandle) -> HistoricalCandle:
    """The candle of two sets of trades of one bucket that share no trade, from the candle of each.

    Open by the lower first_id, close by the higher last_id. Candles of different buckets, or without
    ids, raise ValueError.
    """
    if _bucket(a) != _bucket(b):
        raise ValueError(f"Only candles of one bucket merge, not {_bucket(a)} and {_bucket(b)}.")
    earlier, later = (a, b) if _first_id(a) < _first_id(b) else (b, a)
    closing = later if _last_id(earlier) < _last_id(later) else earlier
    return replace(
        _totals([earlier, later]),
        open=earlier.open,
        close=closing.close,
        first_id=earlier.first_id,
        last_id=closing.last_id,
    )


def followed_by(a: HistoricalCandle, b: HistoricalCandle) -> HistoricalCandle:
    """The candle of `a` and what came after it, `b`: open and close by their order; ids only where both have them."""
    return replace(
        _totals([a, b]),
        close=b.close,
        first_id=_least([a.first_id, b.first_id]),
        last_id=_most([a.last_id, b.last_id]),
    )


def turnover_of(price: Decimal, volume: Decimal) -> Decimal:
    """price × volume, to the last digit."""
    with localcontext(_EXACT):
        return price * volume


def fold_candles(
    candles: Iterable[HistoricalCandle], interval: Interval | str | int
) -> list[HistoricalCandle]:
    """The candles of `interval` made of smaller `candles`, by symbol and time.

    The parts of one bucket have one length. Open and close go by time. Turnover, and the ids, are None
    where any part lacks them. Candles without trades, as REST gives them, do not count. Parts that do
    not fit the interval, or overlap, raise ValueError.
    """
    minutes = interval_of(interval).minutes
    buckets = _grouped(
        (candle for candle in candles if candle.trade_count),
        lambda candle: (candle.symbol, bucket_start(candle.timestamp, minutes)),
    )
    return [_fold(start, minutes, buckets[symbol, start]) for symbol, start in sorted(buckets)]


def _fold(start: datetime, minutes: int, parts: list[HistoricalCandle]) -> HistoricalCandle:
    parts = sorted(parts, key=lambda part: part.timestamp)
    _check_fit(minutes, parts)
    return replace(
        _totals(parts),
        interval_minutes=minutes,
        timestamp=start,
        open=parts[0].open,
        close=parts[-1].close,
        first_id=_least([part.first_id for part in parts]),
        last_id=_most([part.last_id for part in parts]),
    )


def _check_fit(minutes: int, parts: list[HistoricalCandle]) -> None:
    """Parts lie on the grid of their own length, which divides the bucket's, one at each place."""
    length = parts[0].interval_minutes
    for part in parts:
        if part.interval_minutes != length or minutes % length:
            raise ValueError(f"Candles of {part.interval_minutes} minutes do not make up {minutes}.")
        if bucket_start(part.timestamp, length) != part.timestamp:
            raise ValueError(f"A candle of {length} minutes cannot start at {part.timestamp}.")
    if len({part.timestamp for part in parts}) != len(parts):
        raise ValueError(f"Two candles of {parts[0].symbol} have the same time.")


def _totals(parts: list[HistoricalCandle]) -> HistoricalCandle:
    """The first of `parts` with what does not depend on their order taken over all of them."""
    turnovers = [part.turnover for part in parts if part.turnover is not None]
    with localcontext(_EXACT):
        return replace(
            parts[0],
            high=max(part.high for part in parts),
            low=min(part.low for part in parts),
            volume=sum((part.volume for part in parts), Decimal()),
            turnover=sum(turnovers, Decimal()) if len(turnovers) == len(parts) else None,
            trade_count=sum(part.trade_count for part in parts),
        )


def vwap_truncated(candle: HistoricalCandle, decimals: int) -> Decimal | None:
    """The vwap as Kraken's REST OHLC gives it: cut to the pair's decimals, not rounded (kraken-facts 0.2)."""
    if candle.turnover is None or not candle.volume:
        return None
    with localcontext(_EXACT):
        return (candle.turnover / candle.volume).quantize(Decimal(1).scaleb(-decimals))


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    groups: dict[_Key, list[_Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _bucket(candle: HistoricalCandle) -> tuple[str, int, datetime]:
    return candle.symbol, candle.interval_minutes, candle.timestamp


def _first_id(candle: HistoricalCandle) -> int:
    if candle.first_id is None:
        raise ValueError(f"The {candle.symbol} candle at {candle.timestamp} has no ids to merge by.")
    return candle.first_id


def _last_id(candle: HistoricalCandle) -> int:
    if candle.last_id is None:
        raise ValueError(f"The {candle.symbol} candle at {candle.timestamp} has no ids to merge by.")
    return candle.last_id


def _least(ids: list[int | None]) -> int | None:
    known = [number for number in ids if number is not None]
    return min(known) if len(known) == len(ids) else None


def _most(ids: list[int | None]) -> int | None:
    known = [number for number in ids if number is not None]
    return max(known) if len(known) == len(ids) else None
