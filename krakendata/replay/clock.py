"""The replay exchange's one clock: every answer, candle and header goes by it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf

from krakendata.types import NS_PER_SECOND, moment_of, ns_of

__all__ = ["ReplayClock", "speed_of", "speed_told"]

# The speed that has no number.
MAX = "max"


class ReplayClock:
    """A clock that stood at `start` (aware; None: now) when it was made and runs `speed` times as fast as real time.

    Speed 0 stands still until it is moved, and so does an infinite one, which is moved as fast as whoever listens can
    follow (`feed`). `real` gives the real time in seconds, for tests.
    """

    def __init__(
        self, start: datetime | None = None, speed: float = 1.0, real: Callable[[], float] = time.monotonic
    ) -> None:
        self._real = real
        self._speed = _checked(speed)
        self.set(start or datetime.now(UTC))

    @property
    def speed(self) -> float:
        """How many times as fast as real time it runs; a new speed counts from now on, below 0 raises ValueError."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        speed = _checked(speed)
        self._set_to_ns, self._set_at = self.ns, self._real()
        self._speed = speed

    @property
    def is_unbound(self) -> bool:
        """Whether it goes as fast as whoever listens can follow."""
        return self._speed == inf

    @property
    def ns(self) -> int:
        """Nanoseconds since the epoch."""
        if self.is_unbound:
            return self._set_to_ns
        return self._set_to_ns + int((self._real() - self._set_at) * self._speed * NS_PER_SECOND)

    @property
    def now(self) -> datetime:
        """The moment, aware UTC, cut to microseconds."""
        return moment_of(self.ns)

    def set(self, moment: datetime) -> None:
        """Stand at the aware `moment`, and run on from there."""
        self.set_ns(ns_of(moment))

    def set_ns(self, ns: int) -> None:
        """The same, by nanoseconds since the epoch."""
        self._set_to_ns, self._set_at = ns, self._real()

    def advance(self, step: timedelta) -> None:
        """Move on by `step` at once."""
        self.set(self.now + step)

    def seconds_until(self, ns: int) -> float:
        """Real seconds until the clock shows `ns`: 0 when it has, infinite while it stands still."""
        ahead = ns - self.ns
        if ahead <= 0:
            return 0.0
        return ahead / self._speed / NS_PER_SECOND if self._speed and not self.is_unbound else inf


def speed_of(value: object) -> float:
    """A speed as people give it: a number, 0 or more, or "max"; ValueError says what is wrong with another one."""
    try:
        speed = inf if value == MAX else float(str(value))
    except ValueError:
        speed = -1.0
    if not (0 <= speed < inf or value == MAX):
        raise ValueError(f"{value!r} is no speed: give a number, 0 or more, or {MAX}.")
    return speed


def speed_told(speed: float) -> float | str:
    """A speed as `speed_of` reads it."""
    return MAX if speed == inf else speed


def _checked(speed: float) -> float:
    if not speed >= 0:
        raise ValueError(f"A clock cannot run backwards: speed {speed}. Give 0 or more.")
    return speed
