"""What the replay exchange does wrong on purpose: by configuration, by command line, and while it runs."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from krakendata.replay.histories import Row

__all__ = ["Faults", "malformed_row"]

# Answers given instead of the right one, in the order in which a draw is dealt to them.
INSTEAD = (
    "rate_limit", "too_many_requests", "throttled", "lockout", "html_520", "timeout", "unavailable", "internal_error",
)  # fmt: skip
SINCE = ("inclusive", "exclusive", "mixed")
MALFORMED = ("zero_price", "null_time", "zero_id", "no_id")

_SHARE, _COUNT, _SECONDS, _FLAG, _SINCE = "share", "count", "seconds", "flag", "since"


def _fault(kind: str, default: Any) -> Any:
    return field(default=default, metadata={"kind": kind})


@dataclass
class Faults:
    """Shares are from 0 (never) to 1 (always) of calls or frames; counts and seconds from 0 (never).

    Draws follow from `seed`, so that equal calls in equal order meet equal faults. What is wrong with a trade
    depends on its id alone: it is wrong however often it is asked for.
    """

    # REST, instead of an answer.
    rate_limit: float = _fault(_SHARE, 0.0)
    too_many_requests: float = _fault(_SHARE, 0.0)
    throttled: float = _fault(_SHARE, 0.0)
    lockout: float = _fault(_SHARE, 0.0)
    html_520: float = _fault(_SHARE, 0.0)
    timeout: float = _fault(_SHARE, 0.0)
    unavailable: float = _fault(_SHARE, 0.0)
    internal_error: float = _fault(_SHARE, 0.0)
    # REST, an answer that is not quite right.
    truncated: float = _fault(_SHARE, 0.0)
    missing_last: float = _fault(_SHARE, 0.0)
    short_page: float = _fault(_SHARE, 0.0)
    repeated_page: float = _fault(_SHARE, 0.0)
    since: str = _fault(_SINCE, SINCE[0])
    # How long `timeout` says nothing, and how many seconds `throttled` asks for.
    timeout_seconds: float = _fault(_SECONDS, 60.0)
    throttled_seconds: float = _fault(_SECONDS, 5.0)
    # REST shows trades so much later than the WebSocket.
    lag_seconds: float = _fault(_SECONDS, 0.0)
    # Trades: every so many-th by its id is malformed, or appears so late.
    malformed_every: int = _fault(_COUNT, 0)
    late_every: int = _fault(_COUNT, 0)
    late_seconds: float = _fault(_SECONDS, 30.0)
    # Both: the system is in maintenance.
    maintenance: bool = _fault(_FLAG, False)
    # WebSocket, by frames of trades: the socket is dropped and the frame lost, goes silent, or the frame comes twice.
    socket_drop: float = _fault(_SHARE, 0.0)
    socket_silence: float = _fault(_SHARE, 0.0)
    socket_duplicate: float = _fault(_SHARE, 0.0)
    # New connections are closed at once.
    socket_refusal: float = _fault(_SHARE, 0.0)
    seed: int = _fault(_COUNT, 1)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 (a game, not a secret)
        self.change(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """All of them by name, fit for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def change(self, changes: Mapping[str, object]) -> None:
        """Set some of them, given as values or as their text; all or, with a ValueError that says why, none."""
        kinds = {each.name: each.metadata["kind"] for each in fields(self)}
        for name in changes:
            if name not in kinds:
                raise ValueError(f"There is no fault {name!r}; choose from {', '.join(kinds)}.")
        values = {name: _READERS[kinds[name]](name, value) for name, value in changes.items()}
        for name, value in values.items():
            setattr(self, name, value)
        if "seed" in values:
            self._random.seed(self.seed)

    def clear(self) -> None:
        """No faults any more."""
        self.change({each.name: each.default for each in fields(self) if each.name != "seed"})

    def instead(self) -> str | None:
        """Which of the answers INSTEAD this call gets, if any."""
        draw = self._random.random()
        for name in INSTEAD:
            draw -= getattr(self, name)
            if draw < 0:
                return name
        return None

    def strikes(self, name: str) -> bool:
        """Whether the fault of that name, a share, strikes this time."""
        share: float = getattr(self, name)
        return share > 0 and self._random.random() < share

    def short_count(self, count: int) -> int:
        """How many rows this page has at most, of `count`."""
        return self._random.randint(1, max(1, count - 1)) if self.strikes("short_page") else count

    def is_since_exclusive(self) -> bool:
        """Whether `since` leaves out the trade at the cursor this time."""
        return self.since == "exclusive" or (self.since == "mixed" and self._random.random() < 0.5)

    def is_late(self, trade_id: int) -> bool:
        """Whether the trade of that id appears late."""
        return self.late_every > 0 and trade_id % self.late_every == 0

    def malformation(self, trade_id: int) -> str | None:
        """What is wrong with the trade of that id, one of MALFORMED; None: nothing."""
        if not self.malformed_every or trade_id % self.malformed_every:
            return None
        return MALFORMED[trade_id // self.malformed_every % len(MALFORMED)]


def malformed_row(row: Row, malformation: str, time: str) -> str:
    """The row in REST's JSON with that fault; `time` is its time as REST writes it."""
    price = "0.00000" if malformation == "zero_price" else row.price
    time = "null" if malformation == "null_time" else time
    shown_id = {"zero_id": ",0", "no_id": ""}.get(malformation, f",{row.trade_id}")
    return f'["{price}","{row.volume}",{time},"{row.side}","{row.order_type}",""{shown_id}]'


def _share(name: str, value: object) -> float:
    share = _number(name, value)
    if not 0 <= share <= 1:
        raise ValueError(f"{name} is a share from 0 to 1, not {value!r}.")
    return share


def _seconds(name: str, value: object) -> float:
    seconds = _number(name, value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name} is a number of seconds, 0 or more, not {value!r}.")
    return seconds


def _count(name: str, value: object) -> int:
    count = _number(name, value)
    if count < 0 or count != int(count):
        raise ValueError(f"{name} is a whole number, 0 or more, not {value!r}.")
    return int(count)


def _number(name: str, value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise ValueError(f"{name} is a number, not {value!r}.") from None


def _flag(name: str, value: object) -> bool:
    known = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    flag = known.get(str(value).lower())
    if flag is None:
        raise ValueError(f"{name} is on or off, not {value!r}.")
    return flag


def _since(name: str, value: object) -> str:
    if value not in SINCE:
        raise ValueError(f"{name} is one of {', '.join(SINCE)}, not {value!r}.")
    return str(value)


_READERS = {_SHARE: _share, _COUNT: _count, _SECONDS: _seconds, _FLAG: _flag, _SINCE: _since}
