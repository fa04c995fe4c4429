"""One field of a record: read exactly, or refused with a reason and a sentence.

Every reader takes the record's fields and a name, returns the value, and raises Unfit and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal, InvalidOperation
from enum import StrEnum
from functools import lru_cache

from krakendata.types import is_symbol, ns_of

# Kraken opened in September 2013; its first known trade is of the 10th (kraken-facts 4.2).
KRAKEN_OPENED_NS = ns_of(datetime(2013, 9, 1, tzinfo=UTC))

# A feed is never ahead of the exchange's clock, but our clock may be behind it by this much.
CLOCK_TOLERANCE_NS = 60 * 1_000_000_000

# No price or volume of any market comes near 10**20, and the noise of archived float sums ends far above
# 10**-40. Bounds keep arithmetic exact (candles.py) and a hostile "1e999999999" harmless.
MAX_INTEGER_DIGITS = 20
MAX_DECIMALS = 40
MAX_NUMBER_CHARACTERS = 100
MAX_NUMBER = Decimal(10) ** MAX_INTEGER_DIGITS

# What a bigint holds.
MAX_INTEGER = 2**63 - 1

# How much of an offending value a sentence quotes; the raw record has the rest.
MAX_QUOTED_CHARACTERS = 80

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_WIDE = Context(prec=300)

SIDES = {"b": "buy", "s": "sell", "buy": "buy", "sell": "sell"}
ORDER_TYPES = {"m": "market", "l": "limit", "market": "market", "limit": "limit"}


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
    OUT_OF_ORDER = (
        "out_of_order",
        "The row is older than rows before it, in a file where order is all there is.",
    )
    IN_FUTURE = "in_future", "The time is in the future."
    HIGH_LOW_INCONSISTENT = "high_low_inconsistent", "Open and close have to lie between low and high."
    UNKNOWN_SYMBOL = "unknown_symbol", "The symbol is not one of ours."
    UNKNOWN_INTERVAL = "unknown_interval", "The candle's length is not one of ours."
    TRADE_ID_ZERO = "trade_id_zero", "The trade id is 0, which Kraken once gave to many trades at a time."
    BAD_TRADE_ID = "bad_trade_id", "The trade id is not a positive whole number."
    NEGATIVE_COUNT = "negative_count", "The number of trades is negative."
    BAD_COUNT = "bad_count", "The number of trades is not whole, or contradicts the volume."
    BAD_SIDE = "bad_side", "The side is neither buy nor sell."
    BAD_ORDER_TYPE = "bad_order_type", "The order type is neither market nor limit."


class Unfit(Exception):
    """The record is refused; carried from the field that shows it to the one place that answers."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


# --- fields -------------------------------------------------------------------------------------------------


def as_row(row: object, names: tuple[str, ...]) -> Mapping[str, object]:
    """The fields of a REST row by name; what the exchange adds after them is ignored."""
    if not isinstance(row, Sequence) or isinstance(row, str | bytes):
        raise Unfit(Reason.NOT_A_RECORD, f"{quoted(row)} is not a row of fields.")
    return dict(zip(names, row, strict=False))


def as_object(data: object) -> Mapping[str, object]:
    if not isinstance(data, Mapping):
        raise Unfit(Reason.NOT_A_RECORD, f"{quoted(data)} is not an object with fields.")
    return data


def refuse_extra(fields: object, allowed: frozenset[str]) -> None:
    """A row of a file has its layout's fields and no others."""
    extra = [name for name in as_object(fields) if name not in allowed]
    if extra:
        raise Unfit(Reason.EXTRA_FIELD, f"The row has a field too many: {quoted(extra[0])}.")


def _present(fields: Mapping[str, object], name: str) -> object:
    """The value of a field that has to be there; text without the blanks around it."""
    value = fields.get(name)
    value = value.strip() if isinstance(value, str) else value
    if value is None or value == "":
        raise Unfit(Reason.MISSING_FIELD, f"{name} is missing.")
    return value


def read_price(fields: Mapping[str, object], name: str) -> Decimal:
    return _positive(fields, name, Reason.PRICE_NOT_POSITIVE)


def read_volume(fields: Mapping[str, object], name: str) -> Decimal:
    return _positive(fields, name, Reason.VOLUME_NOT_POSITIVE)


def _positive(fields: Mapping[str, object], name: str, reason: Reason) -> Decimal:
    number = read_number(fields, name)
    if number <= 0:
        raise Unfit(reason, detail(fields, name, "is not above zero"))
    return number


def read_trade_id(fields: Mapping[str, object]) -> int:
    """Kraken's id of a trade; 0, which whole runs of trades once had (kraken-facts 5), identifies none."""
    number = read_number(fields, "trade_id")
    if number == 0:
        raise Unfit(Reason.TRADE_ID_ZERO, "trade_id is 0, which identifies nothing.")
    if number < 0 or number != int(number):
        raise Unfit(Reason.BAD_TRADE_ID, detail(fields, "trade_id", "is not a positive whole number"))
    return within_bigint(fields, "trade_id", number)


def within_bigint(fields: Mapping[str, object], name: str, number: Decimal) -> int:
    if number > MAX_INTEGER:
        raise Unfit(Reason.NUMBER_OUT_OF_RANGE, detail(fields, name, "is larger than any count or id"))
    return int(number)


def read_word(
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
        raise Unfit(reason, detail(fields, name, f"is none of {', '.join(words)}"))
    return word


def read_symbol(fields: Mapping[str, object], known: Container[str] | None) -> str:
    value = _present(fields, "symbol")
    if not isinstance(value, str) or not is_symbol(value) or (known is not None and value not in known):
        raise Unfit(Reason.UNKNOWN_SYMBOL, detail(fields, "symbol", "is not a pair of ours"))
    return value


# --- numbers and times --------------------------------------------------------------------------------------


def read_number(fields: Mapping[str, object], name: str) -> Decimal:
    """The exact value of a number field."""
    value = _present(fields, name)
    number = _decimal(value)
    if number is None or number.is_nan():
        raise Unfit(Reason.NOT_A_NUMBER, detail(fields, name, "is not a number"))
    if number.is_infinite():
        raise Unfit(Reason.INFINITE, detail(fields, name, "is infinite"))
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_INTEGER_DIGITS or not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
        raise Unfit(Reason.NUMBER_OUT_OF_RANGE, detail(fields, name, "is larger or finer than any market's"))
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


def read_epoch_ns(fields: Mapping[str, object], name: str, latest_ns: int) -> int:
    """Nanoseconds of a time in decimal seconds since the epoch."""
    try:
        seconds = read_number(fields, name)
    except Unfit as unfit:
        if unfit.reason is Reason.MISSING_FIELD:
            raise
        raise Unfit(Reason.BAD_TIMESTAMP, detail(fields, name, "is not a time in seconds")) from None
    return _plausible(int(_WIDE.scaleb(seconds, 9)), fields, name, latest_ns)


def read_rfc3339_ns(fields: Mapping[str, object], name: str, latest_ns: int) -> int:
    """Nanoseconds of a time such as 2026-09-25T17:48:26.844359Z."""
    value = _present(fields, name)
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Unfit(Reason.BAD_TIMESTAMP, detail(fields, name, "is not an RFC 3339 time"))
    day, clock, fraction, sign, hours, minutes = match.groups()
    try:
        ns = ns_of(datetime.fromisoformat(f"{day}T{clock}+00:00"))
    except ValueError:
        raise Unfit(Reason.BAD_TIMESTAMP, detail(fields, name, "is not a time that exists")) from None
    ns += int(((fraction or "") + "0" * 9)[:9])
    if sign:
        ns -= int(f"{sign}1") * (int(hours) * 60 + int(minutes)) * 60 * 1_000_000_000
    return _plausible(ns, fields, name, latest_ns)


@lru_cache(maxsize=16)
def usual_second_ns(text: str) -> int:
    """Nanoseconds of 2026-09-25T17:48:26, UTC; ValueError for whatever is not written so."""
    if _SECOND.fullmatch(text) is None:
        raise ValueError(text)
    return ns_of(datetime.fromisoformat(f"{text}+00:00"))


usual_symbol = lru_cache(maxsize=4096)(is_symbol)


def _plausible(ns: int, fields: Mapping[str, object], name: str, latest_ns: int) -> int:
    if ns < KRAKEN_OPENED_NS:
        raise Unfit(Reason.BEFORE_KRAKEN, detail(fields, name, "is before September 2013"))
    if ns > latest_ns:
        raise Unfit(Reason.IN_FUTURE, detail(fields, name, "is in the future"))
    return ns


@lru_cache(maxsize=1)
def horizon_ns(now: datetime) -> int:
    """The last nanosecond that is not in the future at the aware `now`."""
    return ns_of(now) + CLOCK_TOLERANCE_NS


# --- telling ------------------------------------------------------------------------------------------------


def detail(fields: Mapping[str, object], name: str, what: str) -> str:
    return f"{name} {quoted(fields.get(name))} {what}."


def quoted(value: object) -> str:
    """`value` for a sentence: short, printable, and made without fail."""
    if isinstance(value, str):
        value = value[: MAX_QUOTED_CHARACTERS + 1]
    text = as_text(value) if isinstance(value, Decimal) else _repr(value)
    shown = text if len(text) <= MAX_QUOTED_CHARACTERS else text[:MAX_QUOTED_CHARACTERS] + "…"
    return _storable(shown)


def as_text(raw: object) -> str:
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
