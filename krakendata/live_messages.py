"""What the feed process tells the others over the channel layer, before it is in the database: the words of it.

Three kinds of messages to one group. What they carry may be lost on the way: ids show it, and the database has it.

    live.trades     trades in the order of their arrival, of all pairs mixed
    live.candles    1-minute candles as the exchange gives them, of pairs that are tracked for candles only
    live.pulse      once a second while the feed hears the exchange, with the symbols it is subscribed to

A message holds what any serializer can carry: text, whole numbers, lists.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from krakendata.candles import turnover_of
from krakendata.types import HistoricalCandle, Trade, moment_of, ns_of

__all__ = [
    "CANDLES",
    "GROUP",
    "PULSE",
    "TRADES",
    "candles_message",
    "candles_of",
    "heard_at_of",
    "pulse_message",
    "subscribed_of",
    "trades_message",
    "trades_of",
]

GROUP = "krakendata.live"
TRADES, CANDLES, PULSE = "live.trades", "live.candles", "live.pulse"


def trades_message(feed: str, trades: Iterable[Trade]) -> dict[str, Any]:
    """What the feed called `feed` says of `trades`: a row [symbol, id, ns, price, volume, side, order type] each."""
    rows = [
        [each.symbol, each.trade_id, each.ns, str(each.price), str(each.volume), each.side, each.order_type]
        for each in trades
    ]
    return {"type": TRADES, "feed": feed, "trades": rows}


def trades_of(message: Mapping[str, Any], symbols: Container[str]) -> list[Trade]:
    """The trades of `message` that are of these symbols, in its order."""
    return [
        Trade(symbol, trade_id, ns, Decimal(price), Decimal(volume), side, order_type)
        for symbol, trade_id, ns, price, volume, side, order_type in message["trades"]
        if symbol in symbols
    ]


def candles_message(feed: str, candles: Iterable[HistoricalCandle]) -> dict[str, Any]:
    """The same of 1-minute candles: [symbol, start in ns, open, high, low, close, volume, vwap, trade count] each."""
    rows = [
        [
            each.symbol,
            ns_of(each.timestamp),
            *(str(value) for value in (each.open, each.high, each.low, each.close, each.volume)),
            None if each.vwap is None else str(each.vwap),
            each.trade_count,
        ]
        for each in candles
    ]
    return {"type": CANDLES, "feed": feed, "candles": rows}


def candles_of(message: Mapping[str, Any], symbols: Container[str]) -> list[HistoricalCandle]:
    """The candles of `message` that are of these symbols; the turnover is that of the exchange's rounded vwap."""
    return [_candle(*row) for row in message["candles"] if row[0] in symbols]


def _candle(
    symbol: str,
    start_ns: int,
    open_: str,
    high: str,
    low: str,
    close: str,
    volume: str,
    vwap: str | None,
    count: int,
) -> HistoricalCandle:
    traded = Decimal(volume)
    return HistoricalCandle(
        symbol=symbol,
        interval_minutes=1,
        timestamp=moment_of(start_ns),
        open=Decimal(open_),
        high=Decimal(high),
        low=Decimal(low),
        close=Decimal(close),
        volume=traded,
        turnover=None if vwap is None else turnover_of(Decimal(vwap), traded),
        trade_count=count,
    )


def pulse_message(feed: str, heard_at: datetime, subscribed: Collection[str]) -> dict[str, Any]:
    """That `feed` heard the exchange at `heard_at` (aware), which had agreed to tell it of these symbols."""
    return {
        "type": PULSE,
        "feed": feed,
        "heard_at": heard_at.astimezone(UTC).isoformat(),
        "symbols": len(subscribed),
        "subscribed": sorted(subscribed),
    }


def subscribed_of(message: Mapping[str, Any]) -> frozenset[str]:
    """The symbols whose every trade the feed hears."""
    return frozenset(message["subscribed"])


def heard_at_of(message: Mapping[str, Any]) -> datetime:
    """When the exchange was heard: aware UTC."""
    return datetime.fromisoformat(message["heard_at"]).astimezone(UTC)
