"""What a client may ask, checked: every refusal is a sentence it can act upon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from krakendata.errors import UnknownInterval, UnknownSymbol
from krakendata.types import INTERVALS, Interval, Symbols, interval_of

# A request for every pair of the exchange has 20 kB; what is longer is none.
MAX_REQUEST_CHARACTERS = 64 * 1024
# Every pair of the exchange at one interval; candles of all of them and trades too are two clients.
MAX_SUBSCRIPTIONS = 2_000
# More than fills the widest screen. Who wants a longer past reads it with the provider.
MAX_HISTORY = 1_000
DEFAULT_HISTORY = {"candles": 100, "trades": 0}
MAX_REQUEST_ID = 2**63
# Looking for the names closest to a wrong one takes milliseconds of all clients' time.
MAX_CLOSEST_LOOKED_FOR = 5
CHANNELS = tuple(DEFAULT_HISTORY)
# The admin's first page follows it; it is about no pair.
DESK = "desk"


class BadRequest(ValueError):
    """A request that cannot be met; `symbol` where only one of its symbols is concerned."""

    def __init__(self, message: str, symbol: str | None = None) -> None:
        self.symbol = symbol
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Topic:
    """What one subscription is about; `interval` is None for trades."""

    channel: str
    symbol: str
    interval: Interval | None = None


DESK_TOPIC = Topic(DESK, "")


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose words are known. `names` are its symbols as they were written."""

    method: str
    req_id: int | None = None
    channel: str = ""
    names: tuple[str, ...] = ()
    interval: Interval | None = None
    history: int = 0


def request_id_of(asked: object) -> int | None:
    """The number by which the client knows the answer again, wherever it can be read."""
    found = asked.get("req_id") if isinstance(asked, Mapping) else None
    if not isinstance(found, int) or isinstance(found, bool):
        return None
    # A longer one cannot be said in the answer.
    return found if abs(found) < MAX_REQUEST_ID else None


def decoded(text: str) -> object:
    """The JSON of a message; raises BadRequest."""
    if len(text) > MAX_REQUEST_CHARACTERS:
        raise BadRequest(f"A request has at most {MAX_REQUEST_CHARACTERS:,} characters.")
    try:
        found: object = json.loads(text)
        # Half a character ("\\ud800") is JSON and no text: no answer could quote it.
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequest("A request is Unicode text, and this has half a surrogate pair in it.") from None
    except (ValueError, RecursionError):
        raise BadRequest("This is not JSON. Ask for example: " + EXAMPLE) from None
    return found


EXAMPLE = '{"method":"subscribe","params":{"channel":"candles","symbol":["BTC/USD"],"interval":"1m"}}'


def request_of(asked: object) -> Request:
    """The request; raises BadRequest, which says what is wrong with it."""
    if not isinstance(asked, Mapping):
        raise BadRequest("A request is a JSON object. Ask for example: " + EXAMPLE)
    method, req_id = asked.get("method"), request_id_of(asked)
    if method == "ping":
        return Request("ping", req_id)
    if method not in ("subscribe", "unsubscribe"):
        raise BadRequest(f"Unknown method {_shown(method)}: subscribe, unsubscribe or ping.")
    params = asked.get("params")
    if not isinstance(params, Mapping):
        raise BadRequest("params is missing. Ask for example: " + EXAMPLE)
    channel = params.get("channel")
    if channel == DESK:
        return Request(str(method), req_id, DESK)
    if channel not in CHANNELS:
        raise BadRequest(f"Unknown channel {_shown(channel)}: {' or '.join(CHANNELS)}.")
    return Request(
        str(method), req_id, channel, _names(params), _interval(channel, params), _history(channel, params)
    )


def topic_of(request: Request, name: str, symbols: Symbols, *, find_closest: bool = True) -> Topic:
    """The topic of one of its symbols, in any spelling; raises BadRequest, with the closest names if wanted."""
    try:
        return Topic(request.channel, symbols.resolve(name, find_closest=find_closest), request.interval)
    except UnknownSymbol as error:
        raise unknown_symbol(name, error) from error


def unknown_symbol(name: str, error: UnknownSymbol) -> BadRequest:
    """The refusal of a name that is no pair's."""
    closest = f" Closest known: {', '.join(error.closest)}." if error.closest else ""
    return BadRequest(
        f"Unknown symbol {_shown(name)}: write it as BASE/QUOTE, such as BTC/USD.{closest}", name
    )


def _names(params: Mapping[str, Any]) -> tuple[str, ...]:
    names = params.get("symbol")
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadRequest('symbol has to be a list of pairs, such as ["BTC/USD"].')
    return tuple(dict.fromkeys(names))


def _interval(channel: str, params: Mapping[str, Any]) -> Interval | None:
    if channel != "candles":
        return None
    asked = params.get("interval", "1m")
    try:
        if isinstance(asked, bool) or not isinstance(asked, str | int):
            raise UnknownInterval("null" if asked is None else asked, INTERVALS)
        return interval_of(asked)
    except UnknownInterval as error:
        raise BadRequest(str(error)) from error


def _history(channel: str, params: Mapping[str, Any]) -> int:
    history = params.get("history", DEFAULT_HISTORY[channel])
    if isinstance(history, bool) or not isinstance(history, int) or not 0 <= history <= MAX_HISTORY:
        raise BadRequest(
            f"history is {_shown(history)}; it has to be a whole number from 0 to {MAX_HISTORY:,}."
        )
    return history


def _shown(value: object) -> str:
    """What a sentence quotes of a value."""
    return repr(value)[:80]
