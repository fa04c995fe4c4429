"""The buffer of REC-001: order kept, the oldest dropped, never more than the limit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from krakendata.ingest.buffer import Buffer, CandleBuffer
from krakendata.types import HistoricalCandle

LIMIT = 5
START = datetime(2026, 3, 2, tzinfo=UTC)


class BufferMachine(RuleBasedStateMachine):
    """A buffer beside a plain list: whatever happens, what was put comes out in order, or was dropped as the oldest."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer: Buffer[int] = Buffer(LIMIT)
        self.waiting: list[int] = []
        self.taken: list[int] = []
        self.dropped: list[int] = []
        self.number = 0

    @rule()
    def put(self) -> None:
        self.number += 1
        dropped = self.buffer.put(self.number)
        self.waiting.append(self.number)
        if len(self.waiting) + len(self.taken) > LIMIT:
            assert dropped == self.waiting[0]
            self.dropped.append(self.waiting.pop(0))
        else:
            assert dropped is None

    @precondition(lambda self: not self.taken)
    @rule(most=st.one_of(st.none(), st.integers(1, LIMIT + 1)))
    def take(self, most: int | None) -> None:
        self.taken = self.buffer.take(most)
        count = len(self.waiting) if most is None else most
        assert self.taken == self.waiting[:count]
        self.waiting = self.waiting[count:]

    @rule(written=st.integers(0, LIMIT))
    def settle(self, written: int) -> None:
        left = self.taken[written:]
        self.buffer.settle(len(self.taken), left)
        self.waiting = [*left, *self.waiting]
        self.taken = []

    @invariant()
    def it_is_as_the_list_says(self) -> None:
        assert list(self.buffer) == self.waiting
        assert len(self.buffer) == len(self.waiting)
        assert self.buffer.dropped == len(self.dropped)
        assert len(self.waiting) + len(self.taken) <= LIMIT
        assert self.buffer.is_full == (len(self.waiting) + len(self.taken) == LIMIT)


TestBuffer = BufferMachine.TestCase


def candle(minute: int, trade_count: int = 1, symbol: str = "BTC/USD") -> HistoricalCandle:
    one = Decimal(1)
    start = START + timedelta(minutes=minute)
    return HistoricalCandle(symbol, 1, start, one, one, one, one, one, one, trade_count)


def test_the_newest_version_of_a_minute_takes_the_place_of_the_one_before() -> None:
    buffer = CandleBuffer(LIMIT)
    for trade_count in (1, 2, 3):
        assert buffer.put(candle(0, trade_count)) is None
    buffer.put(candle(1))
    assert [each.trade_count for each in buffer.take()] == [3, 1]
    assert buffer.outdated == 2


def test_an_older_version_that_comes_late_changes_nothing() -> None:
    buffer = CandleBuffer(LIMIT)
    buffer.put(candle(0, 7))
    buffer.put(candle(0, 3))
    assert buffer.take() == [candle(0, 7)]


def test_beyond_the_limit_the_oldest_minute_goes() -> None:
    buffer = CandleBuffer(2)
    assert [buffer.put(candle(minute)) for minute in range(3)] == [None, None, candle(0)]
    assert buffer.dropped == 1
    assert buffer.take() == [candle(1), candle(2)]


def test_what_is_not_written_waits_again_before_the_others_in_its_newest_version() -> None:
    buffer = CandleBuffer(LIMIT)
    for minute in range(3):
        buffer.put(candle(minute))
    taken = buffer.take(2)
    buffer.put(candle(1, 5))
    assert not buffer.is_full
    buffer.settle(2, taken)
    assert buffer.take() == [candle(0), candle(1, 5), candle(2)]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 9)), max_size=40))
def test_of_each_minute_the_version_with_most_trades_waits(versions: list[tuple[int, int]]) -> None:
    buffer = CandleBuffer(1_000)
    for minute, trade_count in versions:
        buffer.put(candle(minute, trade_count))
    waiting = {each.timestamp: each.trade_count for each in buffer.take()}
    assert waiting == {
        START + timedelta(minutes=minute): max(count for each, count in versions if each == minute)
        for minute, _ in versions
    }
