"""Pacing by a clock of its own: limits that are used and never exceeded, and what refusals do to them."""

import asyncio
import heapq
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krakendata.kraken.pacers import LocalPacer, counters
from krakendata.kraken.pacing import (
    FIRST_PENALTY,
    LEAST_PENALTY,
    LONGEST_PENALTY,
    WIDER,
    WIDEST,
    Limits,
    Pace,
    answer,
    block,
    blocked,
    budget,
    refuse,
    reserve,
)

CALLS = 1000
ROUNDING = 1e-5


@dataclass
class Clock:
    """Time that passes while somebody sleeps; `meanwhile` happens in the first sleep."""

    now: float = 1_790_000_000.0
    slept: list[float] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[None]] | None = None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        self.now += seconds


def simulate(
    callers: Sequence[tuple[str | None, float]], limits: Limits, calls: int
) -> dict[str, list[float]]:
    """Let callers (pair, seconds that an answer takes) call again and again; the moments, by counter."""
    paces: dict[str, Pace] = {}
    moments: dict[str, list[float]] = {}
    ready = [(Clock().now, number) for number in range(len(callers))]
    for _ in range(calls):
        now, number = heapq.heappop(ready)
        pair, latency = callers[number]
        names = counters(pair)
        changed, wait = reserve([paces.get(name, Pace()) for name in names], now, limits.intervals(pair))
        paces.update(zip(names, changed, strict=True))
        for name in names:
            moments.setdefault(name, []).append(now + wait)
        heapq.heappush(ready, (now + wait + latency, number))
    return {name: sorted(each) for name, each in moments.items()}


def most_in_a_second(moments: Sequence[float]) -> int:
    return max(bisect_left(moments, start + 1) - number for number, start in enumerate(moments))


# --- spacing -----------------------------------------------------------------------------------------------


@given(
    callers=st.lists(
        st.tuples(st.sampled_from([None, "XBTUSD", "ETHUSD", "ADAUSD"]), st.floats(0, 3)),
        min_size=1,
        max_size=8,
    ),
    per_pair=st.floats(0.1, 20),
    per_address=st.floats(0.1, 20),
)
def test_no_counter_is_ever_given_more_than_its_limit(
    callers: list[tuple[str | None, float]], per_pair: float, per_address: float
) -> None:
    for name, moments in simulate(callers, Limits(per_pair, per_address), calls=200).items():
        least = 1 / (per_address if name == "address" else per_pair)
        assert all(later - earlier >= least - ROUNDING for earlier, later in pairwise(moments))


@settings(max_examples=20)
@given(latency=st.floats(0, 0.97))
def test_one_pair_at_a_call_a_second_uses_95_percent_of_its_calls(latency: float) -> None:
    moments = simulate([("XBTUSD", latency)], Limits(1, 5), CALLS)["pair:XBTUSD"]
    assert most_in_a_second(moments) == 1
    assert len(moments) >= 0.95 * (moments[-1] - moments[0])


@settings(max_examples=20)
@given(latencies=st.lists(st.floats(0, 0.9), min_size=7, max_size=12))
def test_many_pairs_use_95_percent_of_the_addresss_calls(latencies: list[float]) -> None:
    callers = [(f"PAIR{number}", latency) for number, latency in enumerate(latencies)]
    moments = simulate(callers, Limits(1, 5), CALLS)["address"]
    assert most_in_a_second(moments) <= 5
    assert len(moments) >= 0.95 * 5 * (moments[-1] - moments[0])


def test_a_pair_that_waits_long_keeps_no_other_waiting() -> None:
    limits, now = Limits(1, 5), Clock().now
    slow, fast = (Pace(blocked_until=now + 60), Pace())
    (address, _), far = reserve([Pace(), slow], now, limits.intervals("XBTUSD"))
    _, near = reserve([address, fast], now, limits.intervals("ETHUSD"))
    assert (far, near) == (60, 0)


def test_without_a_limit_nothing_is_spaced_or_kept() -> None:
    paces, wait = reserve([Pace(), Pace()], 0.0, Limits(0, 0).intervals("XBTUSD"))
    assert (paces, wait) == ([Pace(), Pace()], 0)


def test_moments_that_are_in_nobodys_way_are_forgotten() -> None:
    paces = [Pace()]
    for second in range(100):
        paces, _ = reserve(paces, float(2 * second), Limits(1, 1).intervals(None))
    assert len(paces[0].reserved) == 1


# --- refusals ----------------------------------------------------------------------------------------------


def test_a_refusal_that_names_a_time_is_waited_for_and_blocks_the_address_too() -> None:
    paces, wait = refuse([Pace(), Pace()], 1000.0, 37)
    assert wait == 37
    assert [pace.blocked_until for pace in paces] == [1037, 1037]


def test_a_time_that_is_over_still_makes_a_pause() -> None:
    assert refuse([Pace()], 1000.0, 0.0)[1] == LEAST_PENALTY


def test_refusals_that_go_on_wait_twice_as_long_each_time_up_to_a_minute() -> None:
    paces, now, waits = [Pace()], 1000.0, []
    for _ in range(50):
        paces, wait = refuse(paces, now, None)
        waits.append(wait)
        now += wait
    assert waits[:5] == [
        FIRST_PENALTY,
        2 * FIRST_PENALTY,
        4 * FIRST_PENALTY,
        8 * FIRST_PENALTY,
        LONGEST_PENALTY,
    ]
    assert set(waits[5:]) == {LONGEST_PENALTY}


def test_an_answer_ends_the_doubling() -> None:
    paces, wait = refuse([Pace()], 1000.0, None)
    paces, _ = answer(paces, 1000 + wait)
    assert refuse(paces, 1000 + wait, None)[1] == FIRST_PENALTY


def test_calls_that_were_out_together_are_refused_once() -> None:
    paces, wait = refuse([Pace()], 1000.0, None)
    again, wait_again = refuse(paces, 1001.0, None)
    assert (again, wait_again) == (paces, wait - 1)


def test_a_later_refusal_may_lengthen_the_block() -> None:
    paces, _ = refuse([Pace()], 1000.0, None)
    assert refuse(paces, 1001.0, 900)[1] == 900


def test_an_answer_to_a_call_that_was_out_before_the_block_changes_nothing() -> None:
    paces, _ = refuse([Pace()], 1000.0, None)
    assert answer(paces, 1001.0)[0] == paces


def test_refusals_space_calls_wider_up_to_a_bound() -> None:
    paces, now, slowdowns = [Pace()], 1000.0, []
    for _ in range(10):
        paces, wait = refuse(paces, now, None)
        slowdowns.append(paces[0].slowdown)
        now += wait
    assert slowdowns[:4] == [WIDER, WIDER**2, WIDER**3, WIDEST]
    assert set(slowdowns[4:]) == {WIDEST}


def test_calls_after_a_refusal_are_spaced_wider() -> None:
    intervals = Limits(1, 1).intervals(None)
    paces, wait = refuse([Pace()], 0.0, None)
    paces, _ = reserve(paces, wait, intervals)
    assert reserve(paces, wait, intervals)[1] == pytest.approx(WIDER * intervals[0])


def test_answers_undo_a_refusal_slowly_and_wholly() -> None:
    paces, wait = refuse([Pace()], 0.0, None)
    answers = 0
    while paces[0].slowdown > 1:
        paces, _ = answer(paces, wait)
        answers += 1
    assert 20 < answers < 60
    assert answer(paces, wait)[0] == paces


def test_the_end_of_a_block_is_not_missed_by_a_clock_that_runs_ahead() -> None:
    paces, wait = refuse([Pace()], 0.0, 900)
    assert blocked(paces, wait - 0.03)[1] == 0
    assert blocked(paces, wait - 1)[1] == 1


# --- one process -------------------------------------------------------------------------------------------


async def test_a_thousand_calls_take_a_thousand_intervals() -> None:
    clock = Clock()
    pacer = LocalPacer(Limits(1, 5), clock=clock, sleep=clock.sleep)
    start = clock.now
    for _ in range(CALLS):
        await pacer.wait("XBTUSD")
        await pacer.answered("XBTUSD")
    assert CALLS - 1 <= clock.now - start <= (CALLS - 1) / 0.95


async def test_the_first_call_goes_out_at_once() -> None:
    clock = Clock()
    await LocalPacer(clock=clock, sleep=clock.sleep).wait("XBTUSD")
    assert clock.slept == []


async def test_a_block_that_begins_during_a_wait_is_waited_for() -> None:
    clock = Clock()
    pacer = LocalPacer(Limits(1, 5), clock=clock, sleep=clock.sleep)
    start = clock.now
    await pacer.wait("XBTUSD")
    clock.meanwhile = lambda: pacer.refused("XBTUSD", 900)
    await pacer.wait("XBTUSD")
    assert clock.now - start == pytest.approx(900)


async def test_a_refusal_about_one_pair_holds_the_others_back() -> None:
    clock = Clock()
    pacer = LocalPacer(Limits(0, 0), clock=clock, sleep=clock.sleep)
    await pacer.refused("XBTUSD", 7)
    await pacer.wait("ETHUSD")
    assert clock.slept == [7]


async def test_a_wait_that_is_cancelled_loses_nothing_but_its_turn() -> None:
    clock = Clock()
    turns = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        turns.set()
        await asyncio.Event().wait()

    pacer = LocalPacer(Limits(0, 1), clock=clock, sleep=sleep)
    await pacer.wait(None)
    waiting = asyncio.create_task(pacer.wait(None))
    await turns.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    clock.now += 2.5
    turns.clear()
    async with asyncio.timeout(30):
        await pacer.wait(None)
    assert not turns.is_set()


def test_a_block_told_from_elsewhere_never_ends_an_own_one() -> None:
    paces, wait = block([Pace(blocked_until=1100.0), Pace(blocked_until=1010.0)], 1000.0, 60.0)
    assert [pace.blocked_until for pace in paces] == [1100.0, 1060.0]
    assert wait == 100.0


# --- what is told of it ------------------------------------------------------------------------------------


def test_calls_and_refusals_are_counted_and_waiting_and_answers_are_not() -> None:
    paces, now = [Pace()], 1000.0
    for _ in range(3):
        paces, _ = reserve(paces, now, [1.0])
    paces, _ = answer(blocked(paces, now)[0], now)
    paces, _ = refuse(paces, now, None)
    # On its way when the block began: the same refusal.
    paces, _ = refuse(paces, now + 1, None)
    assert (paces[0].calls, paces[0].refusals) == (3, 1)


def test_a_budget_says_how_long_a_call_would_wait_and_takes_nothing() -> None:
    (pace,), _ = reserve([Pace()], 1000.0, [2.0])
    assert budget(pace, 1000.5, 2.0) == (1, 0, 2.0, 1.5, 0.0)
    (refused,), _ = refuse([pace], 1000.5, 30.0)
    assert budget(refused, 1000.5, 2.0) == (1, 1, 2.0 * WIDER, 30.0, 30.0)
    assert budget(Pace(), 1000.0, 0.0) == (0, 0, 0.0, 0.0, 0.0)
