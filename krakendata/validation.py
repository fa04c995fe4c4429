"""Whether a record of the archives, REST or the WebSocket can be true: a Trade or candle, or a Rejection.

Nothing here raises on any record, whatever it holds; a naive `now` is the caller's mistake and raises
ValueError. Numbers are exact decimals: text is best, Decimal or int as good (`parse_float=Decimal`); a
float is taken at its shortest decimal text. Times become nanoseconds by decimal arithmetic, cut below one.
Fields the exchange may add to REST rows and WebSocket objects are ignored; in an archive they are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar

from krakendata.types import (
    INTERVALS,
    HistoricalCandle,
    Source,
    Trade,
    bucket_start_ns,
    is_symbol,
    moment_of,
    ns_of,
)

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

# Kraken opened in September 2013; its first known trade is of the 10th (kraken-facts 4.2).
KRAKEN_OPENED_NS = ns_of(datetime(2013, 9, 1, tzinfo=UTC))

# A feed is never ahead of the exchange's clock, but our clock may be behind it by this much.
CLOCK_TOLERANCE_NS = 60 * 1_000_000_000

# No price or volume of any market comes near 10**20, and the noise of archived float sums ends far above
# 10**-40. Bounds keep arithmetic exact (candles.py) and a hostile "1e999999999" harmless.
MAX_INTEGER_DIGITS = 20
MAX_DECIMALS = 40
MAX_NUMBER_CHARACTERS = 100

# What a bigint holds.
MAX_INTEGER = 2**63 - 1

# How much of an offending value a sentence quotes; the raw record has the rest.
MAX_QUOTED_CHARACTERS = 80

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_WIDE = Context(prec=300)

_SIDES = {"b": "buy", "s": "sell", "buy": "buy", "sell": "sell"}
_ORDER_TYPES = {"m": "market", "l": "limit", "market": "market", "limit": "limit"}
_INTERVAL_MINUTES = {interval.minutes for interval in INTERVALS.values()}

_ARCHIVE_TRADE = frozenset({"timestamp", "price", "volume", "side", "type", "order_type", "misc", "trade_id"})
_ARCHIVE_CANDLE = frozenset({"timestamp", "open", "high", "low", "close", "volume", "trades"})
_REST_TRADE = ("price", "volume", "time", "side", "order_type", "misc", "trade_id")
_REST_CANDLE = ("time", "open", "high", "low", "close", "vwap", "volume", "count")


class Reason(StrEnum):
    """Why a record was refused: a code that never changes, and a sentence."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Reason:
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    PRICE_NOT_POSITIVE = "price_not_positive", "A price has to be above zero."
    VOLUME_NOT_POSITIVE = "volume_not_positive", "A volume has to be above zero."
    NOT_A_NUMBER = "not_a_number", "A field that has to be a number is not one."
    INFINITE = "infinite", "A number is infinite."
    NUMBER_OUT_OF_RANGE = "number_out_of_range", "A number is larger or finer than any market's."
    MISSING_FIELD = "missing_field", "A field is missing or empty."
    EXTRA_FIELD = "extra_field", "The row has more fields than its file's layout."
    NOT_A_RECORD = "not_a_record", "The record is not a row or object with fields."
    BAD_TIMESTAMP = "bad_timestamp", "The time cannot be read, or no candle of that length starts there."
    BEFORE_KRAKEN = "before_kraken", "The time is before September 2013, when Kraken opened."
    IN_FUTURE = "in_future", "The time is in the future."
    HIGH_LOW_INCONSISTENT = "high_low_inconsistent", "Open and close have to lie between low and high."
    UNKNOWN_SYMBOL = "unknown_symbol", "The symbol is not one of ours."
    UNKNOWN_INTERVAL = "unknown_interval", "The candle's length is not one of ours."
    TRADE_ID_ZERO = "trade_id_zero", "The trade id is 0, which many trades have had (kraken-facts 5)."
    BAD_TRADE_ID = "bad_trade_id", "The trade id is not a positive whole number."
    NEGATIVE_COUNT = "negative_count", "The number of trades is negative."
    BAD_COUNT = "bad_count", "The number of trades is not whole, or contradicts the volume."
    BAD_SIDE = "bad_side", "The side is neither buy nor sell."
    BAD_ORDER_TYPE = "bad_order_type", "The order type is neither market nor limit."


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


class _Unfit(Exception):
    """The record is refused; carried from the field that shows it to the one place that answers."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


_Good = TypeVar("_Good", Trade, HistoricalCandle)


# --- one function a source and kind ------------------------------------------------------------------------


def validate_archive_trade(
    fields: Mapping[str, str], raw: str, symbol: str, now: datetime
) -> Trade | Rejection:
    """A row of a trades archive (kraken-facts 4.2): timestamp, price, volume and, where the layout has them,
    side (or type), order_type, misc, trade_id. Without a trade_id column the trade's id is 0."""
    latest = _latest_ns(now)

    def read() -> Trade:
        _refuse_extra(fields, _ARCHIVE_TRADE)
        return Trade(
            symbol=symbol,
            trade_id=_trade_id(fields) if "trade_id" in fields else 0,
            ns=_epoch_ns(fields, "timestamp", latest),
            price=_price(fields, "price"),
            volume=_positive_volume(fields, "volume"),
            side=_word(fields, "side" if "side" in fields else "type", _SIDES, Reason.BAD_SIDE),
            order_type=_word(fields, "order_type", _ORDER_TYPES, Reason.BAD_ORDER_TYPE),
        )

    return _judged(read, Source.ARCHIVE, raw)


def validate_archive_candle(
    fields: Mapping[str, str], raw: str, symbol: str, interval_minutes: int, now: datetime
) -> HistoricalCandle | Rejection:
    """A row of an OHLCVT archive (kraken-facts 4.1): timestamp, open, high, low, close, volume, trades.
    Archives have no turnover, and no candle without trades."""
    latest = _latest_ns(now)

    def read() -> HistoricalCandle:
        _refuse_extra(fields, _ARCHIVE_CANDLE)
        ns = _epoch_ns(fields, "timestamp", latest)
        volume = _positive_volume(fields, "volume")
        return _candle(fields, symbol, interval_minutes, ns, volume, None, _count(fields, "trades", volume))

    return _judged(read, Source.ARCHIVE, raw)


def validate_rest_trade(row: object, symbol: str, now: datetime) -> Trade | Rejection:
    """A row of REST Trades (kraken-facts 1.3): price, volume, time, side, order type, misc, trade_id.
    Rows without the id, as before November 2022, are refused."""
    latest = _latest_ns(now)

    def read() -> Trade:
        fields = _named(row, _REST_TRADE)
        return Trade(
            symbol=symbol,
            trade_id=_trade_id(fields),
            ns=_epoch_ns(fields, "time", latest),
            price=_price(fields, "price"),
            volume=_positive_volume(fields, "volume"),
            side=_word(fields, "side", _SIDES, Reason.BAD_SIDE),
            order_type=_word(fields, "order_type", _ORDER_TYPES, Reason.BAD_ORDER_TYPE),
        )

    return _judged(read, Source.REST, row)


def validate_rest_candle(
    row: object, symbol: str, interval_minutes: int, now: datetime
) -> HistoricalCandle | Rejection:
    """A row of REST OHLC (kraken-facts 1.4): time, open, high, low, close, vwap, volume, count.
    An empty candle comes back with trade_count 0: known to be empty, not to be stored. The turnover is
    vwap × volume, approximate because the vwap is cut."""
    latest = _latest_ns(now)

    def read() -> HistoricalCandle:
        fields = _named(row, _REST_CANDLE)
        return _live_candle(fields, symbol, interval_minutes, _epoch_ns(fields, "time", latest), "count")

    return _judged(read, Source.REST, row)


def validate_websocket_trade(
    data: object, now: datetime, known: Container[str] | None = None
) -> Trade | Rejection:
    """An element of a v2 trade message (kraken-facts 2.3): symbol, side, price, qty, ord_type, trade_id,
    timestamp in RFC 3339. `known` are the symbols we listen to; without it any BASE/QUOTE will do."""
    latest = _latest_ns(now)

    def read() -> Trade:
        fields = _object(data)
        return Trade(
            symbol=_symbol(fields, known),
            trade_id=_trade_id(fields),
            ns=_rfc3339_ns(fields, "timestamp", latest),
            price=_price(fields, "price"),
            volume=_positive_volume(fields, "qty"),
            side=_word(fields, "side", _SIDES, Reason.BAD_SIDE),
            order_type=_word(fields, "ord_type", _ORDER_TYPES, Reason.BAD_ORDER_TYPE),
        )

    return _judged(read, Source.WEBSOCKET, data)


def validate_websocket_candle(
    data: object, now: datetime, known: Container[str] | None = None
) -> HistoricalCandle | Rejection:
    """An element of a v2 ohlc message (kraken-facts 2.4), by its interval_begin; the rest as from REST."""
    latest = _latest_ns(now)

    def read() -> HistoricalCandle:
        fields = _object(data)
        symbol = _symbol(fields, known)
        minutes = _number(fields, "interval")
        if minutes not in _INTERVAL_MINUTES:
            raise _Unfit(Reason.UNKNOWN_INTERVAL, _detail(fields, "interval", "is not an interval of ours"))
        ns = _rfc3339_ns(fields, "interval_begin", latest)
        return _live_candle(fields, symbol, int(minutes), ns, "trades")

    return _judged(read, Source.WEBSOCKET, data)


def _judged(read: Callable[[], _Good], source: Source, raw: object) -> _Good | Rejection:
    try:
        return read()
    except _Unfit as unfit:
        return Rejection(source, unfit.reason, unfit.detail, _as_text(raw))


# --- candles -----------------------------------------------------------------------------------------------


def _live_candle(
    fields: Mapping[str, object], symbol: str, minutes: int, ns: int, count_name: str
) -> HistoricalCandle:
    """A candle as the API gives it: with a vwap, and possibly empty."""
    volume, vwap = _number(fields, "volume"), _number(fields, "vwap")
    if volume < 0:
        raise _Unfit(Reason.VOLUME_NOT_POSITIVE, _detail(fields, "volume", "is negative"))
    if vwap < 0:
        raise _Unfit(Reason.PRICE_NOT_POSITIVE, _detail(fields, "vwap", "is negative"))
    count = _count(fields, count_name, volume)
    turnover = _WIDE.multiply(vwap, volume) if vwap or not volume else None
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
        raise _Unfit(
            Reason.BAD_TIMESTAMP, f"No candle of {minutes} minutes starts at {moment_of(ns).isoformat()}."
        )
    opened, high, low, closed = (_price(fields, name) for name in ("open", "high", "low", "close"))
    if not (low <= opened <= high and low <= closed <= high):
        raise _Unfit(
            Reason.HIGH_LOW_INCONSISTENT,
            f"open {opened} and close {closed} do not both lie between low {low} and high {high}.",
        )
    return HistoricalCandle(
        symbol, minutes, moment_of(ns), opened, high, low, closed, volume, turnover, count
    )


def _count(fields: Mapping[str, object], name: str, volume: Decimal) -> int:
    """A number of trades that agrees with the volume: both are zero, or neither is."""
    number = _number(fields, name)
    if number < 0:
        raise _Unfit(Reason.NEGATIVE_COUNT, _detail(fields, name, "is negative"))
    if number != int(number):
        raise _Unfit(Reason.BAD_COUNT, _detail(fields, name, "is not a whole number"))
    if number and not volume:
        raise _Unfit(Reason.VOLUME_NOT_POSITIVE, f"The volume is zero in a candle of {number} trades.")
    if volume and not number:
        raise _Unfit(Reason.BAD_COUNT, f"There are no trades in a candle with a volume of {volume}.")
    return _within_bigint(fields, name, number)


# --- fields ------------------------------------------------------------------------------------------------


def _named(row: object, names: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(row, Sequence) or isinstance(row, str | bytes):
        raise _Unfit(Reason.NOT_A_RECORD, f"{_quoted(row)} is not a row of fields.")
    return dict(zip(names, row, strict=False))


def _object(data: object) -> Mapping[str, object]:
    if not isinstance(data, Mapping):
        raise _Unfit(Reason.NOT_A_RECORD, f"{_quoted(data)} is not an object with fields.")
    return data


def _refuse_extra(fields: object, allowed: frozenset[str]) -> None:
    extra = [name for name in _object(fields) if name not in allowed]
    if extra:
        raise _Unfit(Reason.EXTRA_FIELD, f"The row has a field too many: {_quoted(extra[0])}.")


def _present(fields: Mapping[str, object], name: str) -> object:
    """The value of a field that has to be there; text without the blanks around it."""
    value = fields.get(name)
    value = value.strip() if isinstance(value, str) else value
    if value is None or value == "":
        raise _Unfit(Reason.MISSING_FIELD, f"{name} is missing.")
    return value


def _price(fields: Mapping[str, object], name: str) -> Decimal:
    number = _number(fields, name)
    if number <= 0:
        raise _Unfit(Reason.PRICE_NOT_POSITIVE, _detail(fields, name, "is not above zero"))
    return number


def _positive_volume(fields: Mapping[str, object], name: str) -> Decimal:
    number = _number(fields, name)
    if number <= 0:
        raise _Unfit(Reason.VOLUME_NOT_POSITIVE, _detail(fields, name, "is not above zero"))
    return number


def _trade_id(fields: Mapping[str, object]) -> int:
    number = _number(fields, "trade_id")
    if number == 0:
        raise _Unfit(Reason.TRADE_ID_ZERO, "trade_id is 0, which identifies nothing.")
    if number < 0 or number != int(number):
        raise _Unfit(Reason.BAD_TRADE_ID, _detail(fields, "trade_id", "is not a positive whole number"))
    return _within_bigint(fields, "trade_id", number)


def _within_bigint(fields: Mapping[str, object], name: str, number: Decimal) -> int:
    if number > MAX_INTEGER:
        raise _Unfit(Reason.NUMBER_OUT_OF_RANGE, _detail(fields, name, "is larger than any count or id"))
    return int(number)


def _word(
    fields: Mapping[str, object], name: str, words: Mapping[str, str], reason: Reason
) -> str | None:
    """Our word for the exchange's; None where the layout lacks the field or left it empty: a trade is a
    trade without it."""
    value = fields.get(name)
    value = value.strip() if isinstance(value, str) else value
    if value is None or value == "":
        return None
    word = words.get(value) if isinstance(value, str) else None
    if word is None:
        raise _Unfit(reason, _detail(fields, name, f"is none of {', '.join(words)}"))
    return word


def _symbol(fields: Mapping[str, object], known: Container[str] | None) -> str:
    value = _present(fields, "symbol")
    if not isinstance(value, str) or not is_symbol(value) or (known is not None and value not in known):
        raise _Unfit(Reason.UNKNOWN_SYMBOL, _detail(fields, "symbol", "is not a pair of ours"))
    return value


# --- numbers and times -------------------------------------------------------------------------------------


def _number(fields: Mapping[str, object], name: str) -> Decimal:
    """The exact value of a number field."""
    value = _present(fields, name)
    number = _decimal(value)
    if number is None or number.is_nan():
        raise _Unfit(Reason.NOT_A_NUMBER, _detail(fields, name, "is not a number"))
    if number.is_infinite():
        raise _Unfit(Reason.INFINITE, _detail(fields, name, "is infinite"))
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_INTEGER_DIGITS or not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
        raise _Unfit(
            Reason.NUMBER_OUT_OF_RANGE, _detail(fields, name, "is larger or finer than any market's")
        )
    return number


def _decimal(value: object) -> Decimal | None:
    """`value` as a decimal, exactly; None when it is no number at all."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    text = repr(value) if isinstance(value, float) else value
    if not isinstance(text, str):
        return None
    if _INFINITE.fullmatch(text):
        return Decimal("Infinity")
    if _NUMBER.fullmatch(text) is None:
        return None
    try:
        # Longer than any real number: out of range, without being computed.
        return Decimal(text) if len(text) <= MAX_NUMBER_CHARACTERS else Decimal("1e999")
    except InvalidOperation:  # an exponent beyond what decimals have
        return Decimal("1e999")


def _epoch_ns(fields: Mapping[str, object], name: str, latest_ns: int) -> int:
    """Nanoseconds of a time in decimal seconds since the epoch."""
    try:
        seconds = _number(fields, name)
    except _Unfit as unfit:
        if unfit.reason is Reason.MISSING_FIELD:
            raise
        raise _Unfit(Reason.BAD_TIMESTAMP, _detail(fields, name, "is not a time in seconds")) from None
    return _plausible(int(_WIDE.scaleb(seconds, 9)), fields, name, latest_ns)


def _rfc3339_ns(fields: Mapping[str, object], name: str, latest_ns: int) -> int:
    """Nanoseconds of a time such as 2026-09-25T17:48:26.844359Z."""
    value = _present(fields, name)
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _Unfit(Reason.BAD_TIMESTAMP, _detail(fields, name, "is not an RFC 3339 time"))
    day, clock, fraction, sign, hours, minutes = match.groups()
    try:
        ns = ns_of(datetime.fromisoformat(f"{day}T{clock}+00:00"))
    except ValueError:
        raise _Unfit(Reason.BAD_TIMESTAMP, _detail(fields, name, "is not a time that exists")) from None
    ns += int(((fraction or "") + "0" * 9)[:9])
    if sign:
        ns -= int(f"{sign}1") * (int(hours) * 60 + int(minutes)) * 60 * 1_000_000_000
    return _plausible(ns, fields, name, latest_ns)


def _plausible(ns: int, fields: Mapping[str, object], name: str, latest_ns: int) -> int:
    if ns < KRAKEN_OPENED_NS:
        raise _Unfit(Reason.BEFORE_KRAKEN, _detail(fields, name, "is before September 2013"))
    if ns > latest_ns:
        raise _Unfit(Reason.IN_FUTURE, _detail(fields, name, "is in the future"))
    return ns


def _latest_ns(now: datetime) -> int:
    return ns_of(now) + CLOCK_TOLERANCE_NS


# --- telling -----------------------------------------------------------------------------------------------


def _detail(fields: Mapping[str, object], name: str, what: str) -> str:
    return f"{name} {_quoted(fields.get(name))} {what}."


def _quoted(value: object) -> str:
    """`value` for a sentence: short, printable, and made without fail."""
    if isinstance(value, str):
        value = value[: MAX_QUOTED_CHARACTERS + 1]
    text = _as_text(value) if isinstance(value, Decimal) else _repr(value)
    shown = text if len(text) <= MAX_QUOTED_CHARACTERS else text[:MAX_QUOTED_CHARACTERS] + "…"
    return _storable(shown)


def _as_text(raw: object) -> str:
    """A record as text: itself, or as JSON with decimals written as strings, or as Python shows it."""
    if isinstance(raw, str):
        return _storable(raw)
    try:
        return _storable(json.dumps(raw, default=str, ensure_ascii=False))
    except Exception:  # what cannot be written as JSON is still shown
        return _storable(_repr(raw))


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # an integer of thousands of digits, a list nested as deep
        return f"<{type(value).__name__} too large to show>"


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")
