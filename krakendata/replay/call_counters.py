"""The rate limit of the replay exchange: calls counted by address, and by address and pair (kraken-facts 1.2)."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass

from krakendata.kraken.pacing import Limits

__all__ = ["CallCounters"]

RATE_LIMIT = "EAPI:Rate limit exceeded"
TOO_MANY = "EGeneral:Too many requests"
LOCKOUT = "EGeneral:Temporary lockout"

# A counter that is full is not yet over: the calls of so many seconds, and as many as that at least, may come at once
# after a pause.
BURST = 3.0

# Blocks last some seconds, growing while calls go on; then the address is locked out for a quarter of an hour.
FIRST_BLOCK, LONGEST_BLOCK = 5.0, 60.0
CALLS_UNTIL_LOCKOUT = 30
LOCKOUT_SECONDS = 900.0

# Attempts to open a socket, and in how long a time (kraken-facts 2.6).
CONNECTIONS, CONNECTIONS_SECONDS = 150, 600.0

# Calls that were on their way when a block began do not make it longer.
UNDERWAY_SECONDS = 1.0


@dataclass
class _Counter:
    level: float = 0.0
    counted_at: float = 0.0
    blocked_at: float = 0.0
    blocked_until: float = 0.0
    block: float = FIRST_BLOCK
    refused: int = 0


class CallCounters:
    """Refuses those who call too often. `limits` 0 refuse nobody; `now` gives real seconds."""

    def __init__(
        self, limits: Limits, burst: float = BURST, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self._burst = burst
        self._now = now
        self._counters: dict[tuple[str, str | None], _Counter] = {}
        self._connections: defaultdict[str, deque[float]] = defaultdict(deque)

    def refusal(self, address: str, pair: str | None) -> str | None:
        """Count a call; the error string it is refused with, or None. `pair`: for Trades and OHLC."""
        now = self._now()
        refused = self._count((address, None), self.limits.per_address, now, TOO_MANY)
        if refused is None and pair is not None:
            refused = self._count((address, pair), self.limits.per_pair, now, RATE_LIMIT)
        return refused

    def refuses_connection(self, address: str) -> bool:
        """Count an attempt to open a socket; whether there were too many of them lately."""
        if not (self.limits.per_address or self.limits.per_pair):
            return False
        now, attempts = self._now(), self._connections[address]
        while attempts and attempts[0] <= now - CONNECTIONS_SECONDS:
            attempts.popleft()
        if len(attempts) >= CONNECTIONS:
            return True
        attempts.append(now)
        return False

    def _count(self, key: tuple[str, str | None], limit: float, now: float, error: str) -> str | None:
        if not limit:
            return None
        counter = self._counters.setdefault(key, _Counter(counted_at=now))
        if now < counter.blocked_until:
            return self._defied(counter, now, error)
        counter.level = max(0.0, counter.level - (now - counter.counted_at) * limit) + 1
        counter.counted_at = now
        if counter.level <= self._burst * max(1.0, limit):
            if counter.level <= 1:
                counter.block, counter.refused = FIRST_BLOCK, 0
            return None
        return self._blocked(counter, now, error)

    def _defied(self, counter: _Counter, now: float, error: str) -> str:
        if counter.refused > CALLS_UNTIL_LOCKOUT:
            return LOCKOUT
        if now - counter.blocked_at <= UNDERWAY_SECONDS:
            return error
        return self._blocked(counter, now, error)

    def _blocked(self, counter: _Counter, now: float, error: str) -> str:
        """Begin a block, longer than the one before until the caller has paused."""
        counter.refused += 1
        if counter.refused > CALLS_UNTIL_LOCKOUT:
            counter.blocked_until = now + LOCKOUT_SECONDS
            return LOCKOUT
        counter.blocked_at, counter.blocked_until = now, now + counter.block
        counter.block = min(2 * counter.block, LONGEST_BLOCK)
        return error
