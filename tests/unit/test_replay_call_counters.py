"""The rate limit: by address and pair, with blocks that grow for those who go on calling."""

import pytest

from krakendata.kraken.pacing import Limits
from krakendata.replay.call_counters import (
    CALLS_UNTIL_LOCKOUT,
    FIRST_BLOCK,
    LOCKOUT,
    LOCKOUT_SECONDS,
    RATE_LIMIT,
    TOO_MANY,
    CallCounters,
)

HERE, THERE, PAIR = "10.0.0.1", "10.0.0.2", "XXBTZUSD"


class Calls:
    """A caller with a clock of his own."""

    def __init__(self, per_pair: float = 1.0, per_address: float = 0.0) -> None:
        self.now = 100.0
        self.counters = CallCounters(Limits(per_pair, per_address), now=lambda: self.now)

    def call(self, pair: str | None = PAIR, address: str = HERE, after: float = 0.0) -> str | None:
        self.now += after
        return self.counters.refusal(address, pair)


def test_a_call_a_second_is_never_refused() -> None:
    calls = Calls()
    assert {calls.call(after=1.0) for _ in range(500)} == {None}


def test_twice_as_many_are_refused_after_a_few() -> None:
    calls = Calls()
    answers = [calls.call(after=0.5) for _ in range(10)]
    assert answers[:4] == [None] * 4
    assert answers[-1] == RATE_LIMIT


def test_no_limit_refuses_nobody() -> None:
    calls = Calls(per_pair=0)
    assert {calls.call() for _ in range(500)} == {None}


def test_pairs_and_addresses_are_counted_apart() -> None:
    calls = Calls()
    while calls.call() is None:
        pass
    assert calls.call("XETHZUSD") is None
    assert calls.call(address=THERE) is None
    assert calls.call() == RATE_LIMIT


def test_the_address_is_counted_over_all_its_pairs() -> None:
    calls = Calls(per_pair=0, per_address=2.0)
    answers = [calls.call(f"PAIR{number}") for number in range(10)]
    assert answers[-1] == TOO_MANY
    assert calls.call(None) == TOO_MANY


def test_who_waits_for_the_block_to_end_is_answered() -> None:
    calls = Calls()
    while calls.call() is None:
        pass
    assert calls.call(after=FIRST_BLOCK - 0.1) == RATE_LIMIT
    assert calls.call(after=2 * FIRST_BLOCK - 0.1) == RATE_LIMIT
    assert calls.call(after=4 * FIRST_BLOCK + 0.1) is None


def test_calls_that_were_underway_do_not_make_it_longer() -> None:
    calls = Calls()
    while calls.call() is None:
        pass
    assert calls.call(after=0.5) == RATE_LIMIT
    assert calls.call(after=FIRST_BLOCK - 0.4) is None


@pytest.mark.parametrize("pause", [2.0, 10.0])
def test_who_never_stops_is_locked_out(pause: float) -> None:
    calls = Calls(per_pair=0.01)
    while calls.call() is None:
        pass
    answers = [calls.call(after=pause) for _ in range(CALLS_UNTIL_LOCKOUT)]
    assert (answers[0], answers[-1]) == (RATE_LIMIT, LOCKOUT)
    assert calls.call(after=LOCKOUT_SECONDS - 10) == LOCKOUT
    assert calls.call(after=LOCKOUT_SECONDS) is None
