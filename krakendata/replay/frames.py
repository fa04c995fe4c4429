"""The replay exchange's WebSocket frames: texts as Kraken's v2 writes them (kraken-facts 2). No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

from krakendata.replay.histories import Bar, Row
from krakendata.replay.listing import instrument_asset, instrument_pair
from krakendata.types import NS_PER_MINUTE, NS_PER_SECOND, Pair, moment_of

__all__ = ["Frame", "RunningCandle", "Subscription"]

HEARTBEAT = '{"channel":"heartbeat"}'

# What Kraken adds to the acknowledgement of a channel (kraken-facts 2.2).
WARNINGS = {
    "ohlc": ["timestamp is deprecated, use interval_begin"],
    "instrument": ["tick_size is deprecated, use price_increment"],
}


class Subscription(NamedTuple):
    """What a socket hears: a channel ("trade", "ohlc", "instrument"), a symbol, and for candles an interval."""

    channel: str
    symbol: str = ""
    minutes: int = 0


class Frame(NamedTuple):
    """A text to be sent; `is_news`: it tells of trades as they happen, and faults may strike it."""

    text: str
    is_news: bool = False


# --- what the server says of itself --------------------------------------------------------------------------


def status_frame(system: str, connection_id: int) -> Frame:
    """What is pushed on connect and whenever `system` changes; the id exceeds signed 64 bits."""
    about = {
        "version": "2.0.10",
        "system": system,
        "api_version": "v2",
        "connection_id": connection_id,
        "upcoming_maintenance": [],
        "emergency": [],
    }
    return Frame(_json({"channel": "status", "type": "update", "data": [about]}))


def instrument_frame(kind: str, pairs: Sequence[Pair]) -> Frame:
    """Snapshot or update of the channel `instrument`; its data are an object, not a list."""
    names = dict.fromkeys(name for pair in pairs for name in (pair.base, pair.quote))
    assets = ",".join(map(instrument_asset, names))
    listed = ",".join(map(instrument_pair, pairs))
    return Frame(
        f'{{"channel":"instrument","type":"{kind}","data":{{"assets":[{assets}],"pairs":[{listed}]}}}}'
    )


# --- answers to requests -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answering:
    """What every answer to one request says: its method, its number if it had one, and when."""

    method: str
    req_id: int | None
    time_in: datetime
    time_out: datetime

    def pong(self) -> Frame:
        """The answer to a ping."""
        return Frame(_json({"method": "pong", **self._numbered(), **self._times()}))

    def acknowledged(self, subscription: Subscription, snapshot: bool) -> Frame:
        """One symbol subscribed or unsubscribed."""
        channel, symbol, minutes = subscription
        result: dict[str, object] = {"channel": channel}
        if minutes:
            result["interval"] = minutes
        if self.method == "subscribe":
            result["snapshot"] = snapshot
        if symbol:
            result["symbol"] = symbol
        if self.method == "subscribe" and channel in WARNINGS:
            result["warnings"] = WARNINGS[channel]
        answer = {"method": self.method, "result": result, "success": True}
        return Frame(_json({**answer, **self._times(), **self._numbered()}))

    def refused(self, error: str, symbol: str = "") -> Frame:
        """One symbol, or the whole request, refused: the error is a string, and there is no result."""
        named = {"symbol": symbol} if symbol else {}
        answer = {"error": error, "method": self.method, "success": False, **named}
        return Frame(_json({**answer, **self._times(), **self._numbered()}))

    def _times(self) -> dict[str, str]:
        return {"time_in": _micro_text(self.time_in), "time_out": _micro_text(self.time_out)}

    def _numbered(self) -> dict[str, int]:
        return {} if self.req_id is None else {"req_id": self.req_id}


# --- trades --------------------------------------------------------------------------------------------------


def trades_frame(kind: str, pair: Pair, rows: Iterable[tuple[Row, str | None]]) -> Frame:
    """Trades of one pair; beside each row what is wrong with it, one of `faults.MALFORMED`, or None."""
    data = ",".join(_trade_text(pair, row, malformation) for row, malformation in rows)
    return Frame(f'{{"channel":"trade","type":"{kind}","data":[{data}]}}', kind == "update")


def _trade_text(pair: Pair, row: Row, malformation: str | None) -> str:
    price = "0" if malformation == "zero_price" else number_text(row.price, pair.price_decimals)
    time = "null" if malformation == "null_time" else f'"{_micro_text(moment_of(row.ns))}"'
    shown_id = {"zero_id": '"trade_id":0,', "no_id": ""}.get(
        malformation or "", f'"trade_id":{row.trade_id},'
    )
    side = "buy" if row.side == "b" else "sell"
    order_type = "limit" if row.order_type == "l" else "market"
    return (
        f'{{"symbol":"{pair.symbol}","side":"{side}","price":{price},"qty":{row.volume},'
        f'"ord_type":"{order_type}",{shown_id}"timestamp":{time}}}'
    )


# --- candles -------------------------------------------------------------------------------------------------


class RunningCandle:
    """A candle that trades are added to as they come; `bar` is what REST says of those before."""

    def __init__(self, start_ns: int, bar: Bar | None) -> None:
        self.start_ns = start_ns
        self._prices = [] if bar is None else [Decimal(each) for each in bar[1:5]]
        self._volume = Decimal(0) if bar is None else Decimal(bar.volume)
        self._turnover = Decimal(0) if bar is None else Decimal(bar.turnover)
        self._trades = 0 if bar is None else bar.trade_count

    @property
    def is_empty(self) -> bool:
        """Whether no trade is in it yet."""
        return not self._trades

    def copy(self) -> RunningCandle:
        """The same, that others may add to."""
        other = RunningCandle(self.start_ns, None)
        other._prices, other._trades = [*self._prices], self._trades
        other._volume, other._turnover = self._volume, self._turnover
        return other

    def add(self, rows: Iterable[Row]) -> None:
        """Take trades in, in their order."""
        for row in rows:
            price, volume = Decimal(row.price), Decimal(row.volume)
            open_, high, low, _close = self._prices or [price] * 4
            self._prices = [open_, max(high, price), min(low, price), price]
            self._volume += volume
            self._turnover += price * volume
            self._trades += 1

    def bar(self, price_decimals: int) -> Bar:
        """The candle as it stands; the vwap cut, not rounded, to the pair's decimals."""
        unit = Decimal(1).scaleb(-price_decimals)
        vwap = (self._turnover / self._volume).quantize(unit, ROUND_DOWN)
        open_, high, low, close = (f"{price:f}" for price in self._prices)
        volume, turnover = f"{self._volume:f}", f"{self._turnover:f}"
        return Bar(self.start_ns, open_, high, low, close, f"{vwap:f}", volume, self._trades, turnover)


def candles_frame(kind: str, pair: Pair, minutes: int, bars: Sequence[Bar], ns: int) -> Frame:
    """Candles of one pair, each as a whole; `ns` is the time of the trade that changed the last one."""
    data = ",".join(_candle_text(pair, minutes, bar) for bar in bars)
    text = f'{{"channel":"ohlc","type":"{kind}","timestamp":"{_nano_text(ns)}","data":[{data}]}}'
    return Frame(text, kind == "update")


def _candle_text(pair: Pair, minutes: int, bar: Bar) -> str:
    open_, high, low, close, vwap = (number_text(each, pair.price_decimals) for each in bar[1:6])
    end = moment_of(bar.start_ns + minutes * NS_PER_MINUTE)
    return (
        f'{{"symbol":"{pair.symbol}","open":{open_},"high":{high},"low":{low},"close":{close},'
        f'"trades":{bar.trade_count},"volume":{number_text(bar.volume, 8)},"vwap":{vwap},'
        f'"interval_begin":"{_nano_text(bar.start_ns)}","interval":{minutes},'
        f'"timestamp":"{_micro_text(end)}"}}'
    )


# --- texts ---------------------------------------------------------------------------------------------------


def number_text(text: str, decimals: int) -> str:
    """A number with so many decimals, or more where it has more; `text` has no exponent."""
    whole, _, part = text.partition(".")
    part = part.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{part}" if part else whole


def _micro_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def _nano_text(ns: int) -> str:
    return f"{moment_of(ns):%Y-%m-%dT%H:%M:%S}.{ns % NS_PER_SECOND:09}Z"


def _json(answer: dict[str, object]) -> str:
    return json.dumps(answer, separators=(",", ":"))
