"""When to connect again: at once, then later and later, and never too often."""

from __future__ import annotations

import pytest

from krakendata.kraken.reconnects import Reconnects


def steady(**options: float) -> Reconnects:
    return Reconnects(jitter=lambda: 0.0, **options)


def test_the_first_attempts_go_out_at_once() -> None:
    reconnects = steady()
    assert reconnects.wait(0.0) == 0
    reconnects.attempted(0.0)
    assert reconnects.failed(5.0, lived_seconds=5.0) == 0


def test_delays_double_to_a_minute() -> None:
    reconnects = steady()
    assert [reconnects.failed(0.0) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_week_of_failures_is_no_overflow() -> None:
    reconnects = steady()
    assert [reconnects.failed(0.0) for _ in range(20_000)][-1] == 60


def test_a_delay_is_up_to_half_as_long_again() -> None:
    reconnects = Reconnects(jitter=lambda: 1.0)
    assert [reconnects.failed(0.0) for _ in range(3)] == [0, 1.5, 3]


def test_a_wait_ends_with_its_delay() -> None:
    reconnects = steady()
    reconnects.failed(100.0)
    reconnects.failed(100.0)
    assert (reconnects.wait(100.25), reconnects.wait(101.0), reconnects.wait(200.0)) == (0.75, 0, 0)


def test_a_connection_that_lived_makes_its_loss_a_first_one() -> None:
    reconnects = steady()
    assert [reconnects.failed(0.0, 59.0) for _ in range(3)] == [0, 1, 2]
    assert reconnects.failed(0.0, 60.0) == 0
    assert reconnects.failed(0.0) == 1


def test_who_is_told_to_wait_waits_also_the_first_time() -> None:
    reconnects = steady()
    assert reconnects.failed(0.0, 3_600.0, at_least=5.0) == 5
    assert [reconnects.failed(0.0, at_least=5.0) for _ in range(4)] == [5, 5, 5, 8]


@pytest.mark.parametrize("lived", [0.0, 60.0])
def test_no_ten_minutes_have_more_than_a_hundred_attempts(lived: float) -> None:
    reconnects = steady(longest_seconds=0.5)
    now, attempts = 0.0, []
    while now < 3_000:
        now += reconnects.wait(now)
        attempts.append(now)
        reconnects.attempted(now)
        now += 0.01
        reconnects.failed(now, lived)
    in_ten_minutes = [sum(start <= each < start + 600 for each in attempts) for start in attempts]
    assert max(in_ten_minutes) == 100
