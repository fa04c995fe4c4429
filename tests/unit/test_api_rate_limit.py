"""How often a caller may ask: so many a minute, evenly refilled, and without Redis as well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from krakendata.api.rate_limit import MINUTE, ROUNDING, draw


@given(st.integers(1, 500), st.lists(st.floats(0, 5), max_size=300))
def test_no_minute_has_more_than_twice_its_requests_and_none_that_keeps_the_pace_waits(
    per_minute: int, pauses: list[float]
) -> None:
    full_at, now, taken = 0.0, 1000.0, []
    for pause in pauses:
        now += pause
        full_at, drawn = draw(full_at, now, per_minute)
        if not drawn.wait:
            taken.append(now)
        else:
            assert 0 < drawn.wait <= MINUTE / per_minute + ROUNDING + 1e-6
    for begin in taken:
        # A full bucket, and what runs in meanwhile.
        assert sum(begin <= each < begin + MINUTE for each in taken) <= 2 * per_minute


@given(st.integers(1, 500))
def test_a_full_bucket_gives_a_minutes_worth_at_once(per_minute: int) -> None:
    full_at = 0.0
    left = []
    for _ in range(per_minute):
        full_at, drawn = draw(full_at, 1000.0, per_minute)
        assert not drawn.wait
        left.append(drawn.remaining)
    assert all(
        abs(found - expected) <= 1 for found, expected in zip(left, reversed(range(per_minute)), strict=True)
    )
    assert draw(full_at, 1000.0, per_minute)[1].wait > 0


@given(st.integers(1, 500))
def test_who_waits_as_told_is_let_in(per_minute: int) -> None:
    full_at, drawn = 0.0, None
    while drawn is None or not drawn.wait:
        full_at, drawn = draw(full_at, 1000.0, per_minute)
    assert not draw(full_at, 1000.0 + drawn.wait + 1e-6, per_minute)[1].wait
