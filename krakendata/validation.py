"""Whether a record of the archives, REST or the WebSocket can be true: a Trade or candle, or a Rejection.

Nothing here raises on any record, whatever it holds; a naive `now` is the caller's mistake and raises
ValueError. Numbers are exact decimals: text is best, Decimal or int as good (`parse_float=Decimal`); a
float is taken at its shortest decimal text. Times become nanoseconds by decimal arithmetic, cut below one.
Fields the exchange may add to REST rows and WebSocket objects are ignored; in an archive they are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Rounded
from operator import itemgetter
from typing import TypeVar

from krakendata.fields import (
    KRAKEN_OPENED_NS,
    MAX_DECIMALS,
    MAX_INTEGER,
    MAX_INTEGER_DIGITS,
    MAX_NUMBER,
    ORDER_TYPES,
    SIDES,
    Reason,
    Unfit,
    as_object,
    as_row,
    as_text,
    detail,
    horizon_ns,
    read_epoch_ns,
    read_number,
    read_price,
    read_rfc3339_ns,
    read_symbol,
    read_trade_id,
    read_volume,
    read_word,
    refuse_extra,
    usual_second_ns,
    usual_symbol,
    within_bigint,
)
from krakendata.types import INTERVALS, HistoricalCandle, Source, Trade, bucket_start_ns, moment_of

__all__ = [
    "Reason",
    "Rejection",
    "validate_archive_candle",
    "validate_archive_trade",
    "validate_rest_candle",
    "validate_rest_trade",
    "validate_websocket_candle",
    "validate_websocket_trade",
]

# A vwap and a volume have at most 60 digits each (fields.py).
_EXACT = Context(prec=200)

# Every number that it takes as it is has the digits that fields.py allows: fewer than those, even.
_USUAL = Context(
    prec=MAX_DECIMALS,
    Emin=-1,
    Emax=MAX_INTEGER_DIGITS - 1,
    traps=[Inexact, Rounded, InvalidOperation, Overflow],
)

_INTERVAL_MINUTES = {interval.minutes for interval in INTERVALS.values()}

_ARCHIVE_TRADE = frozenset({"timestamp", "price", "volume", "side", "type", "order_type", "misc", "trade_id"})
_ARCHIVE_CANDLE = frozenset({"timestamp", "open", "high", "low", "close", "volume", "trades"})
_REST_TRADE = ("price", "volume", "time", "side", "order_type", "misc", "trade_id")
_REST_CANDLE = ("time", "open", "high", "low", "close", "vwap", "volume", "count")


@dataclass(frozen=True)
class Rejection:
    """A record that was refused, with everything needed to look at it or try it again.

    `detail` is a sentence that names the field and its value. `raw` is the record as text, in which bytes
    that PostgreSQL cannot store (NUL, lone surrogates) are written as escapes.
    """

    source: Source
    reason: Reason
    detail: str
    raw: str


_Good = TypeVar("_Good", Trade, HistoricalCandle)


# --- one function a source and kind -------------------------------------------------------------------------


def validate_archive_trade(
    fields: Mapping[str, str], raw: str, symbol: str, now: datetime
) -> Trade | Rejection:
    """A row of a trades archive (kraken-facts 4.2): timestamp, price, volume and, where the layout has them,
    side (or type), order_type, misc, trade_id. Without a trade_id column the trade's id is 0."""
    latest = horizon_ns(now)

    def read() -> Trade:
        refuse_extra(fields, _ARCHIVE_TRADE)
        return Trade(
            symbol=symbol,
            trade_id=read_trade_id(fields) if "trade_id" in fields else 0,
            ns=read_epoch_ns(fields, "timestamp", latest),
            price=read_price(fields, "price"),
            volume=read_volume(fields, "volume"),
            side=read_word(fields, "side" if "side" in fields else "type", SIDES, Reason.BAD_SIDE),
            order_type=read_word(fields, "order_type", ORDER_TYPES, Reason.BAD_ORDER_TYPE),
        )

    return _judged(read, Source.ARCHIVE, raw)


def validate_archive_candle(
    fields: Mapping[str, str], raw: str, symbol: str, interval_minutes: int, now: datetime
) -> HistoricalCandle | Rejection:
    """A row of an OHLCVT archive (kraken-facts 4.1): timestamp, open, high, low, close, volume, trades.
    Archives have no turnover, and no candle without trades."""
    latest = horizon_ns(now)

    def read() -> HistoricalCandle:
        refuse_extra(fields, _ARCHIVE_CANDLE)
        ns = read_epoch_ns(fields, "timestamp", latest)
        volume = read_volume(fields, "volume")
        return _candle(fields, symbol, interval_minutes, ns, volume, None, _count(fields, "trades", volume))

    return _judged(read, Source.ARCHIVE, raw)


def validate_rest_trade(row: object, symbol: str, now: datetime) -> Trade | Rejection:
    """A row of REST Trades (kraken-facts 1.3): price, volume, time, side, order type, misc, trade_id.
    Rows without the id, as before November 2022, are refused."""
    latest = horizon_ns(now)

    def read() -> Trade:
        fields = as_row(row, _REST_TRADE)
        return Trade(
            symbol=symbol,
            trade_id=read_trade_id(fields),
            ns=read_epoch_ns(fields, "time", latest),
            price=read_price(fields, "price"),
            volume=read_volume(fields, "volume"),
            side=read_word(fields, "side", SIDES, Reason.BAD_SIDE),
            order_type=read_word(fields, "order_type", ORDER_TYPES, Reason.BAD_ORDER_TYPE),
        )

    return _judged(read, Source.REST, row)


def validate_rest_candle(
    row: object, symbol: str, interval_minutes: int, now: datetime
) -> HistoricalCandle | Rejection:
    """A row of REST OHLC (kraken-facts 1.4): time, open, high, low, close, vwap, volume, count.
    An empty candle comes back with trade_count 0: known to be empty, not to be stored. The turnover is
    vwap × volume, approximate because the vwap is cut."""
    latest = horizon_ns(now)

    def read() -> HistoricalCandle:
        fields = as_row(row, _REST_CANDLE)
        return _live_candle(fields, symbol, interval_minutes, read_epoch_ns(fields, "time", latest), "count")

    return _judged(read, Source.REST, row)


def validate_websocket_trade(
    data: object, now: datetime, known: Container[str] | None = None
) -> Trade | Rejection:
    """An element of a v2 trade message (kraken-facts 2.3): symbol, side, price, qty, ord_type, trade_id,
    timestamp in RFC 3339. `known` are the symbols we listen to; without it any BASE/QUOTE will do."""
    latest = horizon_ns(now)
    if (usual := _usual_trade(data, latest, known)) is not None:
        return usual

    def read() -> Trade:
        fields = as_object(data)
        return Trade(
            symbol=read_symbol(fields, known),
            trade_id=read_trade_id(fields),
            ns=read_rfc3339_ns(fields, "timestamp", latest),
            price=read_price(fields, "price"),
            volume=read_volume(fields, "qty"),
            side=read_word(fields, "side", SIDES, Reason.BAD_SIDE),
            order_type=read_word(fields, "ord_type", ORDER_TYPES, Reason.BAD_ORDER_TYPE),
        )

    return _judged(read, Source.WEBSOCKET, data)


def _usual_trade(data: object, latest_ns: int, known: Container[str] | None) -> Trade | None:
    """The trade of an element as it nearly always is, at a sixth of the time; None: look closely."""
    if type(data) is not dict:
        return None
    try:
        symbol, side, price, volume, order_type, trade_id, time = _usual_fields(data)
        second = usual_second_ns(time[:19])
        fraction = time[20:-1]
        if not (
            usual_symbol(symbol)
            and (known is None or symbol in known)
            and type(trade_id) is int
            and 0 < trade_id <= MAX_INTEGER
            and type(price) is type(volume) is Decimal
            and 0 < _USUAL.plus(price) < MAX_NUMBER
            and 0 < _USUAL.plus(volume) < MAX_NUMBER
            and time[19] == "."
            and time[-1] == "Z"
            and fraction.isascii()
            and fraction.isdigit()
        ):
            return None
        ns = second + int(f"{fraction:0<9.9}")
        if not KRAKEN_OPENED_NS <= ns <= latest_ns:
            return None
        return Trade(symbol, trade_id, ns, price, volume, SIDES[side], ORDER_TYPES[order_type])
    except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


_usual_fields = itemgetter("symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp")


def validate_websocket_candle(
    data: object, now: datetime, known: Container[str] | None = None
) -> HistoricalCandle | Rejection:
    """An element of a v2 ohlc message (kraken-facts 2.4), by its interval_begin; the rest as from REST."""
    latest = horizon_ns(now)

    def read() -> HistoricalCandle:
        fields = as_object(data)
        symbol = read_symbol(fields, known)
        minutes = read_number(fields, "interval")
        if minutes not in _INTERVAL_MINUTES:
            raise Unfit(Reason.UNKNOWN_INTERVAL, detail(fields, "interval", "is not an interval of ours"))
        ns = read_rfc3339_ns(fields, "interval_begin", latest)
        return _live_candle(fields, symbol, int(minutes), ns, "trades")

    return _judged(read, Source.WEBSOCKET, data)


def _judged(read: Callable[[], _Good], source: Source, raw: object) -> _Good | Rejection:
    try:
        return read()
    except Unfit as unfit:
        return Rejection(source, unfit.reason, unfit.detail, as_text(raw))


# --- candles ------------------------------------------------------------------------------------------------


def _live_candle(
    fields: Mapping[str, object], symbol: str, minutes: int, ns: int, count_name: str
) -> HistoricalCandle:
    """A candle as the API gives it: with a vwap, and possibly empty."""
    volume, vwap = read_number(fields, "volume"), read_number(fields, "vwap")
    if volume < 0:
        raise Unfit(Reason.VOLUME_NOT_POSITIVE, detail(fields, "volume", "is negative"))
    if vwap < 0:
        raise Unfit(Reason.PRICE_NOT_POSITIVE, detail(fields, "vwap", "is negative"))
    count = _count(fields, count_name, volume)
    turnover = _EXACT.multiply(vwap, volume) if vwap or not volume else None
    return _candle(fields, symbol, minutes, ns, volume, turnover, count)


def _candle(
    fields: Mapping[str, object],
    symbol: str,
    minutes: int,
    ns: int,
    volume: Decimal,
    turnover: Decimal | None,
    count: int,
) -> HistoricalCandle:
    if minutes in _INTERVAL_MINUTES and bucket_start_ns(ns, minutes) != ns:
        raise Unfit(
            Reason.BAD_TIMESTAMP, f"No candle of {minutes} minutes starts at {moment_of(ns).isoformat()}."
        )
    opened, high, low, closed = (read_price(fields, name) for name in ("open", "high", "low", "close"))
    if not (low <= opened <= high and low <= closed <= high):
        raise Unfit(
            Reason.HIGH_LOW_INCONSISTENT,
            f"open {opened} and close {closed} do not both lie between low {low} and high {high}.",
        )
    return HistoricalCandle(
        symbol, minutes, moment_of(ns), opened, high, low, closed, volume, turnover, count
    )


def _count(fields: Mapping[str, object], name: str, volume: Decimal) -> int:
    """A number of trades that agrees with the volume: both are zero, or neither is."""
    number = read_number(fields, name)
    if number < 0:
        raise Unfit(Reason.NEGATIVE_COUNT, detail(fields, name, "is negative"))
    if number != int(number):
        raise Unfit(Reason.BAD_COUNT, detail(fields, name, "is not a whole number"))
    if number and not volume:
        raise Unfit(Reason.VOLUME_NOT_POSITIVE, f"The volume is zero in a candle of {number} trades.")
    if volume and not number:
        raise Unfit(Reason.BAD_COUNT, f"There are no trades in a candle with a volume of {volume}.")
    return within_bigint(fields, name, number)
