"""When to connect again: at once, then ever later, and never so often that the exchange bars us. No I/O, no clock.

`now` is in seconds of a clock of the caller's that never steps.
"""

import random
from collections import deque
from collections.abc import Callable

__all__ = ["MAINTENANCE_SECONDS", "POLICY_SECONDS", "Reconnects"]

# After the attempt that goes out at once: a second, doubled with each failure, a minute at most.
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0

# A delay is up to half as long again, so that clients that were dropped together do not return together.
JITTER = 0.5

# A connection that lived as long was a good one, and its loss is a first one.
SETTLED_SECONDS = 60.0

# Kraken asks for 5 s between attempts while in maintenance (kraken-facts 2.6).
MAINTENANCE_SECONDS = 5.0

# Who was refused for a policy is refused again until something changes; a minute is for the operator to see it.
POLICY_SECONDS = 60.0

# Kraken bars an address after about 150 attempts in ten minutes (kraken-facts 2.6); the rest is for others that
# share the address.
MAX_ATTEMPTS, ATTEMPTS_SECONDS = 100, 600.0


class Reconnects:
    """Counts attempts and failures; `jitter` gives a share from 0 to 1."""

    def __init__(
        self,
        first_seconds: float = FIRST_SECONDS,
        longest_seconds: float = LONGEST_SECONDS,
        settled_seconds: float = SETTLED_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._settled_seconds = settled_seconds
        self._jitter = jitter
        self._failures = 0
        self._not_before = float("-inf")
        self._attempts: deque[float] = deque(maxlen=MAX_ATTEMPTS)

    def wait(self, now: float) -> float:
        """The seconds until an attempt may go out; 0: it may now."""
        not_before = self._not_before
        if len(self._attempts) == MAX_ATTEMPTS:
            not_before = max(not_before, self._attempts[0] + ATTEMPTS_SECONDS)
        return max(0.0, not_before - now)

    def attempted(self, now: float) -> None:
        """An attempt goes out."""
        self._attempts.append(now)

    def failed(self, now: float, lived_seconds: float = 0.0, at_least: float = 0.0) -> float:
        """A connection was lost that lived so long, or none was made; the seconds until the next attempt."""
        if lived_seconds >= self._settled_seconds:
            self._failures = 0
        self._failures += 1
        delay = max(self._backoff(), at_least) * (1 + JITTER * self._jitter())
        self._not_before = now + delay
        return self.wait(now)

    def _backoff(self) -> float:
        if self._failures == 1:
            return 0.0
        # The exponent is bounded, as a week of failures would make a number beyond floats.
        return min(self._first_seconds * 2.0 ** min(self._failures - 2, 32), self._longest_seconds)
