"""What a backfill costs: by numbers that can be checked by hand, and what holds for every pair."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.backfill_cost import (
    CANDLE_BYTES,
    TRADE_BYTES,
    TRADE_BYTES_COMPRESSED,
    CallBudget,
    Keeping,
    NewestTrades,
    estimate_cost,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
# One trade a second: a thousand of them in the last thousand seconds.
BUSY = NewestTrades(last_id=50_000_000, count=1_000, span=timedelta(seconds=1_000))
KRAKENS = CallBudget(per_pair=1.0, per_address=5.0)
FOR_EVER = Keeping(None, None)

pairs = st.builds(
    NewestTrades,
    last_id=st.integers(0, 10**9),
    count=st.integers(0, 1_000),
    span=st.timedeltas(timedelta(0), timedelta(days=4_000)),
)
keepings = st.builds(
    Keeping,
    *[st.none() | st.timedeltas(DAY, 1_000 * DAY)] * 2,
    *[st.none() | st.timedeltas(DAY, 100 * DAY)] * 2,
)
moments = st.integers(1, 4_500).map(lambda days: NOW - days * DAY)


def test_a_day_of_a_trade_a_second_is_so_many_calls_and_seconds() -> None:
    cost = estimate_cost(BUSY, NOW - DAY, NOW, KRAKENS, FOR_EVER)
    assert (cost.trades, cost.calls, cost.duration) == (86_400, 87, timedelta(seconds=87))


def test_from_the_first_trade_on_the_newest_number_counts_them() -> None:
    cost = estimate_cost(BUSY, None, NOW, KRAKENS, FOR_EVER)
    assert (cost.trades, cost.calls) == (50_000_000, 50_000)


def test_no_more_trades_are_expected_than_there_ever_were() -> None:
    young = NewestTrades(300, 300, timedelta(minutes=5))
    assert estimate_cost(young, NOW - 1_000 * DAY, NOW, KRAKENS, FOR_EVER).trades == 300


def test_pairs_at_work_share_what_the_address_may_ask() -> None:
    shared = CallBudget(per_pair=1.0, per_address=5.0, pairs=10)
    alone = estimate_cost(BUSY, NOW - DAY, NOW, KRAKENS, FOR_EVER).duration
    assert alone is not None
    assert estimate_cost(BUSY, NOW - DAY, NOW, shared, FOR_EVER).duration == 2 * alone


@pytest.mark.parametrize(
    ("per_pair", "per_address", "a_second"), [(1, 5, 1), (0, 5, 5), (1, 0, 1), (0, 0, None), (9, 5, 5)]
)
def test_the_tighter_limit_counts_and_0_is_none(
    per_pair: float, per_address: float, a_second: float | None
) -> None:
    assert CallBudget(per_pair, per_address).a_second == a_second


@pytest.mark.parametrize(("calls", "seconds"), [([], 0), ([10], 10), ([10, 10, 10], 10), ([10] * 10, 20)])
def test_pairs_side_by_side_are_as_slow_as_the_slowest_limit(calls: list[int], seconds: int) -> None:
    assert KRAKENS.time_for(calls) == timedelta(seconds=seconds)
    assert CallBudget(0, 0).time_for(calls) is None


def test_without_a_limit_nobody_says_how_long_it_takes() -> None:
    assert estimate_cost(BUSY, None, NOW, CallBudget(0, 0), FOR_EVER).duration is None


def test_a_pair_that_was_never_traded_costs_nothing() -> None:
    cost = estimate_cost(NewestTrades(0, 0, timedelta(0)), None, NOW, KRAKENS, FOR_EVER)
    assert (cost.trades, cost.calls, cost.stored_trades, cost.disk_bytes) == (0, 0, 0, 0)


def test_trades_behind_the_retention_are_fetched_and_take_no_room_of_their_own() -> None:
    kept = Keeping(trades=90 * DAY, candles=None)
    cost = estimate_cost(BUSY, NOW - 360 * DAY, NOW, KRAKENS, kept)
    for_ever = estimate_cost(BUSY, NOW - 360 * DAY, NOW, KRAKENS, FOR_EVER)
    assert (cost.trades, cost.stored_trades) == (360 * 86_400, 90 * 86_400)
    assert for_ever.disk_bytes - cost.disk_bytes == pytest.approx(270 * 86_400 * TRADE_BYTES, abs=2)


def test_what_is_compressed_takes_as_much_as_was_measured() -> None:
    packed = Keeping(None, None, trades_compressed_after=7 * DAY)
    saved = (
        estimate_cost(BUSY, NOW - 10 * DAY, NOW, KRAKENS, FOR_EVER).disk_bytes
        - estimate_cost(BUSY, NOW - 10 * DAY, NOW, KRAKENS, packed).disk_bytes
    )
    assert saved == pytest.approx(3 * 86_400 * (TRADE_BYTES - TRADE_BYTES_COMPRESSED), abs=2)


def test_every_interval_of_a_pair_that_always_trades_has_its_candles() -> None:
    cost = estimate_cost(BUSY, NOW - 7 * DAY, NOW, KRAKENS, FOR_EVER)
    # A week of 1m 5m 15m 30m 1h 4h 12h 1d 1w.
    buckets = 7 * (1440 + 288 + 96 + 48 + 24 + 6 + 2 + 1) + 1
    candles = cost.disk_bytes - cost.trades * TRADE_BYTES
    assert candles == pytest.approx(buckets * CANDLE_BYTES, rel=0.001)


@given(pairs, moments | st.none(), keepings)
def test_the_parts_fit_together(newest: NewestTrades, since: datetime | None, keeping: Keeping) -> None:
    cost = estimate_cost(newest, since, NOW, KRAKENS, keeping)
    assert 0 <= cost.stored_trades <= cost.trades <= newest.last_id
    assert cost.trades <= 1_000 * cost.calls < cost.trades + 1_000
    assert cost.disk_bytes >= 0


@given(pairs, moments, moments, keepings)
def test_an_earlier_start_never_costs_less(
    newest: NewestTrades, one: datetime, other: datetime, keeping: Keeping
) -> None:
    starts = [max(one, other), min(one, other), None]
    costs = [estimate_cost(newest, since, NOW, KRAKENS, keeping) for since in starts]
    for later, earlier in zip(costs, costs[1:], strict=False):
        assert later.trades <= earlier.trades
        assert later.calls <= earlier.calls
        # Rounded to whole trades and bytes.
        assert later.disk_bytes <= earlier.disk_bytes + 2 * TRADE_BYTES


@given(pairs, moments, keepings)
def test_longer_keeping_never_takes_less_room(
    newest: NewestTrades, since: datetime, keeping: Keeping
) -> None:
    for_ever = Keeping(None, None, keeping.trades_compressed_after, keeping.candles_compressed_after)
    kept, all_of_it = (estimate_cost(newest, since, NOW, KRAKENS, each) for each in (keeping, for_ever))
    assert kept.disk_bytes <= all_of_it.disk_bytes + 2 * TRADE_BYTES
