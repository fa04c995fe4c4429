"""WebSocket v2 frames read and requests written: bytes to typed messages and back (kraken-facts 2). No I/O.

No number ever becomes a float: one with a point is a Decimal of every digit, one without an int. Reading never
raises, whatever a frame holds: what cannot be read is told, with its text.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from krakendata.kraken.wire import exact

__all__ = [
    "CandlesHeard",
    "Frame",
    "Heartbeat",
    "Pong",
    "SubscriptionAnswer",
    "SystemStatus",
    "TradesHeard",
    "Unknown",
    "Unreadable",
    "is_rate_refusal",
    "ping_request",
    "read_frame",
    "subscription_request",
]

# Candles of a minute are what all others are made of.
CANDLE_MINUTES = 1

# What of a strange frame is kept: a page of it, where a frame may have megabytes.
SHOWN_CHARACTERS = 10_000

# Requests went out too fast; the limit is not published (kraken-facts 2.2).
TOO_FAST = "Exceeded msg rate"


# --- what frames tell ---------------------------------------------------------------------------------------


class TradesHeard(NamedTuple):
    """Trades of one pair or several, as sent: each for `validate_websocket_trade` to judge by itself.

    `is_snapshot`: the last trades of before (kraken-facts 2.2), not news. `received_at`: aware UTC, by our clock.
    """

    elements: tuple[object, ...]
    is_snapshot: bool
    received_at: datetime


class CandlesHeard(NamedTuple):
    """Candles as they stand, forming ones too: each for `validate_websocket_candle`; the rest as for trades."""

    elements: tuple[object, ...]
    is_snapshot: bool
    received_at: datetime


class SystemStatus(NamedTuple):
    """`system` is online, maintenance, cancel_only or post_only; the id exceeds 64 bits and is text."""

    system: str
    connection_id: str
    version: str


class Heartbeat(NamedTuple):
    """Nothing else to tell; about once a second while something is subscribed."""


class Pong(NamedTuple):
    """The answer to a ping; `answered_at` by the exchange's clock, None where it did not say."""

    answered_at: datetime | None


class SubscriptionAnswer(NamedTuple):
    """An answer to a request, for one symbol or, without a symbol, for all of it; `error`: None for success.

    A refusal names no channel, and where it names neither a symbol nor a request it is anybody's: "" and None.
    """

    method: str
    channel: str
    symbol: str
    request_id: int | None
    error: str | None
    answered_at: datetime | None


class Unknown(NamedTuple):
    """A frame of a channel or method that nobody asked for; `name` is the channel's or the method's."""

    name: str
    text: str


class Unreadable(NamedTuple):
    """What is no frame of Kraken's; `text` is its beginning, `sentence` what is wrong."""

    text: str
    sentence: str


Frame = (
    TradesHeard
    | CandlesHeard
    | SystemStatus
    | Heartbeat
    | Pong
    | SubscriptionAnswer
    | Unknown
    | Unreadable
)  # fmt: skip


# --- reading ------------------------------------------------------------------------------------------------


def _whole(text: str) -> int | str:
    """A number without a point; one of thousands of digits stays text."""
    try:
        return int(text)
    except ValueError:
        return text


_objects = msgspec.json.Decoder(dict[str, Any], float_hook=exact)


def read_frame(frame: bytes, received_at: datetime) -> Frame:
    """The message in a frame that came at `received_at`."""
    try:
        fields = _fields_of(frame)
    except (ValueError, RecursionError) as error:
        return Unreadable(_shown(frame), f"The frame is no JSON object: {error}.")
    match fields:
        case {"channel": "trade", "data": list(data)}:
            return TradesHeard(tuple(data), fields.get("type") == "snapshot", received_at)
        case {"channel": "ohlc", "data": list(data)}:
            return CandlesHeard(tuple(data), fields.get("type") == "snapshot", received_at)
        case {"channel": "heartbeat"}:
            return Heartbeat()
        case {"channel": "status", "data": [{"system": str(system), **about}, *_]}:
            return SystemStatus(system, _text_of(about, "connection_id"), _text_of(about, "version"))
        case {"channel": "trade" | "ohlc" | "status" as channel}:
            return Unreadable(_shown(frame), f"The frame's data are none of the channel {channel}.")
        case {"channel": str(channel)}:
            return Unknown(channel, _shown(frame))
    return _read_answer(frame, fields)


def is_rate_refusal(error: str) -> bool:
    """Whether an answer's error means that requests come too fast, and not that one of them is wrong."""
    return error.startswith(TOO_FAST)


def _fields_of(frame: bytes) -> Mapping[str, Any]:
    """A frame's fields; raises ValueError or RecursionError if there are none.

    What strict JSON forbids in one trade (half a character, NaN, thousands of digits) would cost the others in its
    frame, so such a frame is read again by a parser that forgives it.
    """
    try:
        return _objects.decode(frame)
    except ValueError:
        text = frame.decode("utf-8", "surrogateescape")
        fields = json.loads(text, parse_float=exact, parse_int=_whole, parse_constant=str)
        if not isinstance(fields, dict):
            raise ValueError(f"it is a {type(fields).__name__}") from None
        return fields


def _read_answer(frame: bytes, fields: Mapping[str, Any]) -> Frame:
    """A frame without a channel: the answer to a request."""
    answered_at = _moment_of(fields.get("time_out"))
    match fields:
        case {"method": "pong"}:
            return Pong(answered_at)
        case {"method": "subscribe" | "unsubscribe" as method, "success": True, "result": dict(result)}:
            return _answer(method, result, fields, None, answered_at)
        case {"error": str(error)} | {"Error": str(error)}:
            return _answer(_text_of(fields, "method"), fields, fields, error, answered_at)
        case {"method": str(method)}:
            return Unknown(method, _shown(frame))
    return Unreadable(_shown(frame), "The frame has neither a channel nor a method.")


def _answer(
    method: str,
    about: Mapping[str, Any],
    fields: Mapping[str, Any],
    error: str | None,
    answered_at: datetime | None,
) -> SubscriptionAnswer:
    number = fields.get("req_id")
    return SubscriptionAnswer(
        method=method,
        channel=_text_of(about, "channel"),
        symbol=_text_of(about, "symbol"),
        request_id=number if isinstance(number, int) else None,
        error=error,
        answered_at=answered_at,
    )


def _text_of(fields: Mapping[Any, Any], name: str) -> str:
    """A field as text; "" where it is missing."""
    value = fields.get(name)
    return "" if value is None else str(value)


def _moment_of(value: object) -> datetime | None:
    """A time such as 2026-09-25T17:48:24.746032Z, aware UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)


def _shown(frame: bytes) -> str:
    return frame[:SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")


# --- writing ------------------------------------------------------------------------------------------------


def subscription_request(
    method: str, channel: str, symbols: Sequence[str], request_id: int, snapshot: bool
) -> str:
    """A request to "subscribe" or "unsubscribe" symbols of "trade" or "ohlc" (candles of a minute).

    Kraken wants the same interval to end a subscription as to begin it.
    """
    params: dict[str, object] = {"channel": channel, "symbol": list(symbols)}
    if channel == "ohlc":
        params["interval"] = CANDLE_MINUTES
    if method == "subscribe":
        params["snapshot"] = snapshot
    return _json({"method": method, "params": params, "req_id": request_id})


def ping_request(request_id: int) -> str:
    """A request for a pong."""
    return _json({"method": "ping", "req_id": request_id})


def _json(request: Mapping[str, object]) -> str:
    return msgspec.json.encode(request).decode()
