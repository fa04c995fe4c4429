"""How calls are spaced: one rule over the state of a counter, for a process by itself and for all that share it.

The exchange counts calls by address, and by address and pair; a call needs room in each counter it touches. It
reserves the earliest moment at which all of them have room, so that a limit is used to the full and never exceeded,
and a pair that has to wait long keeps nobody else waiting. No I/O, no clock: `now` is in seconds of the caller's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

# Calls that leave evenly may arrive less so: networks and event loops differ by some milliseconds. A fiftieth of
# the interval (20 ms at a call a second) is kept as room for that.
ROOM = 1.02

# A refusal that names no time: several seconds, doubled while refusals go on, as the exchange's own blocks grow
# (kraken-facts 1.1, 1.2).
FIRST_PENALTY, LONGEST_PENALTY = 5.0, 60.0

# A time that is named may be over already; at once is still too soon.
LEAST_PENALTY = 1.0

# After a refusal calls are spaced twice as far, up to eight times; each answer takes back a fiftieth, so that
# half a minute at a call a second undoes a refusal.
WIDER, WIDEST, NARROWER = 2.0, 8.0, 0.98

# Who waited for a block to end, and whose clock runs a little faster than the one that keeps the counter, comes this
# early at most: 50 ppm of the longest block, a quarter of an hour.
EARLY = 0.05

# Two moments closer than this are one: a double of seconds since 1970 is no finer than a quarter of it.
SAME_MOMENT = 1e-6


class Pacer(Protocol):
    """Who lets calls go; `pair` is None for calls that are about no pair."""

    async def wait(self, pair: str | None) -> None:
        """Return when the call may go out. A wait that is cancelled loses nothing but its turn."""

    async def refused(self, pair: str | None, retry_after: float | None) -> None:
        """The exchange refused a call for its rate: none goes out for `retry_after` seconds, or a few."""

    async def answered(self, pair: str | None) -> None:
        """The exchange answered a call."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls a second for each pair and for the address as a whole; 0 is no limit."""

    per_pair: float = 1.0
    per_address: float = 5.0

    def intervals(self, pair: str | None) -> tuple[float, ...]:
        """The seconds between calls, for the counters that a call about `pair` touches: the address, the pair."""
        limits = (self.per_address,) if pair is None else (self.per_address, self.per_pair)
        return tuple(ROOM / limit if limit else 0.0 for limit in limits)


class Pace(msgspec.Struct, frozen=True):
    """The state of one counter: the moments reserved lately and ahead, in order, and what refusals left behind.

    `calls` and `refusals` count what it let go and what the exchange refused, for whoever watches.
    """

    reserved: tuple[float, ...] = ()
    blocked_until: float = 0.0
    penalty: float = FIRST_PENALTY
    slowdown: float = 1.0
    calls: int = 0
    refusals: int = 0


class Budget(NamedTuple):
    """What is left of a counter's limit: calls let go and refused so far, and, in seconds, how far calls are apart at
    the least, how long one that came now would wait, and how long all are blocked.
    """

    calls: int
    refusals: int
    interval_seconds: float
    wait_seconds: float
    blocked_seconds: float


# What a change gives: the counters afterwards, and the seconds to wait.
Changed = tuple[list[Pace], float]
Change = Callable[[Sequence[Pace], float], Changed]


def reserve(paces: Sequence[Pace], now: float, intervals: Sequence[float]) -> Changed:
    """Take the earliest moment at which every counter has room; the wait ends with it."""
    spaced = [
        (pace, pace.slowdown * interval if interval else 0.0)
        for pace, interval in zip(paces, intervals, strict=True)
    ]
    slot = _earliest(max(now, *(pace.blocked_until for pace in paces)), spaced)
    return [_with_slot(pace, slot, now, gap) for pace, gap in spaced], slot - now


def blocked(paces: Sequence[Pace], now: float) -> Changed:
    """The wait until no counter is blocked any more, 0 when none is."""
    seconds = max(pace.blocked_until for pace in paces) - now
    return list(paces), seconds if seconds > EARLY else 0.0


def refuse(paces: Sequence[Pace], now: float, retry_after: float | None) -> Changed:
    """Block every counter of a refused call: which of them ran over, the exchange does not say."""
    changed = [_refused(pace, now, retry_after) for pace in paces]
    return changed, max(pace.blocked_until - now for pace in changed)


def block(paces: Sequence[Pace], now: float, seconds: float) -> Changed:
    """Block every counter for so long at least, for a refusal that was noted elsewhere."""
    until = now + seconds
    changed = [msgspec.structs.replace(pace, blocked_until=max(pace.blocked_until, until)) for pace in paces]
    return changed, max(pace.blocked_until - now for pace in changed)


def answer(paces: Sequence[Pace], now: float) -> Changed:
    """Undo a little of what refusals left behind."""
    return [_answered(pace, now) for pace in paces], 0.0


def budget(pace: Pace, now: float, interval: float) -> Budget:
    """What a call that this counter alone holds back would meet at `now`; nothing is reserved."""
    _, wait = reserve([pace], now, [interval])
    blocked_seconds = max(pace.blocked_until - now, 0.0)
    return Budget(pace.calls, pace.refusals, pace.slowdown * interval, wait, blocked_seconds)


def _earliest(slot: float, spaced: Sequence[tuple[Pace, float]]) -> float:
    """The first moment from `slot` on that is no closer than its gap to any reserved one."""
    is_free = False
    while not is_free:
        is_free = True
        for pace, gap in spaced:
            for taken in pace.reserved:
                if abs(slot - taken) < gap - SAME_MOMENT:
                    slot, is_free = taken + gap, False
    return slot


def _with_slot(pace: Pace, slot: float, now: float, gap: float) -> Pace:
    """The counter with `slot` reserved, and without moments that can be in nobody's way any more."""
    if not gap:
        return pace
    kept = [taken for taken in pace.reserved if taken > now - gap]
    return msgspec.structs.replace(pace, reserved=tuple(sorted([*kept, slot])), calls=pace.calls + 1)


def _refused(pace: Pace, now: float, retry_after: float | None) -> Pace:
    named = None if retry_after is None else max(retry_after, LEAST_PENALTY)
    if now < pace.blocked_until:
        # A call that was on its way when the block began: the same refusal told again.
        return msgspec.structs.replace(pace, blocked_until=max(pace.blocked_until, now + (named or 0.0)))
    return Pace(
        reserved=pace.reserved,
        blocked_until=now + (pace.penalty if named is None else named),
        penalty=min(2 * pace.penalty, LONGEST_PENALTY),
        slowdown=min(WIDER * pace.slowdown, WIDEST),
        calls=pace.calls,
        refusals=pace.refusals + 1,
    )


def _answered(pace: Pace, now: float) -> Pace:
    if now < pace.blocked_until:
        return pace
    return msgspec.structs.replace(pace, penalty=FIRST_PENALTY, slowdown=max(1.0, NARROWER * pace.slowdown))
