"""The replay exchange's clock: started, sped up, stopped and moved."""

from datetime import UTC, datetime, timedelta

import pytest

from krakendata.replay.clock import ReplayClock
from krakendata.types import NS_PER_SECOND, ns_of

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Seconds:
    """Real time, as the test has it."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("speed", "moved"), [(1, 10), (60, 600), (0, 0), (0.5, 5)])
def test_it_runs_as_fast_as_asked(speed: float, moved: int) -> None:
    real = Seconds()
    clock = ReplayClock(START, speed, real)
    real.now += 10
    assert clock.now == START + timedelta(seconds=moved)
    assert clock.ns == ns_of(START) + moved * NS_PER_SECOND


def test_it_runs_on_from_where_it_was_put() -> None:
    real = Seconds()
    clock = ReplayClock(START, 2, real)
    real.now += 100
    clock.set(START)
    real.now += 3
    clock.advance(timedelta(minutes=1))
    assert clock.now == START + timedelta(seconds=66)


def test_it_tells_how_long_to_wait() -> None:
    real = Seconds()
    clock = ReplayClock(START, 4, real)
    assert clock.seconds_until(clock.ns + 2 * NS_PER_SECOND) == 0.5
    assert clock.seconds_until(clock.ns - 1) == 0
    clock.speed = 0
    assert clock.seconds_until(clock.ns + 1) == float("inf")


def test_a_changed_speed_counts_from_the_change_on() -> None:
    real = Seconds()
    clock = ReplayClock(START, 1, real)
    real.now += 10
    clock.speed = 100
    assert clock.now == START + timedelta(seconds=10)


def test_it_never_runs_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ReplayClock(START, -1)
    with pytest.raises(ValueError, match="backwards"):
        ReplayClock(START).speed = -1
