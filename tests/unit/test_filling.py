"""Which quiet buckets may be filled: those of which no moment is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from krakendata.filling import breaks_of, checked_fill, quiet_stretches
from krakendata.gaps import Coverage, Stretch
from krakendata.intervals import any_interval_of

START = datetime(2024, 3, 4, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
FRAME = Stretch(START, START + HOUR)


def covered_but(*holes: Stretch) -> Coverage:
    return Coverage(FRAME, holes=holes)


def test_all_of_a_covered_time_may_be_filled() -> None:
    assert quiet_stretches(covered_but(), any_interval_of("1m"), FRAME) == (FRAME,)


def test_a_bucket_that_a_hole_touches_may_not() -> None:
    hole = Stretch(START + 10 * MINUTE + SECOND, START + 12 * MINUTE - SECOND)
    assert quiet_stretches(covered_but(hole), any_interval_of("1m"), FRAME) == (
        Stretch(START, START + 10 * MINUTE),
        Stretch(START + 12 * MINUTE, START + HOUR),
    )


def test_a_hole_at_either_end_leaves_the_middle() -> None:
    holes = Stretch(START, START + 10 * MINUTE), Stretch(START + 40 * MINUTE + SECOND, START + HOUR)
    assert quiet_stretches(covered_but(*holes), any_interval_of("5m"), FRAME) == (
        Stretch(START + 10 * MINUTE, START + 40 * MINUTE),
    )


def test_between_holes_that_are_close_no_bucket_is_whole() -> None:
    holes = [Stretch(START + n * 7 * MINUTE, START + n * 7 * MINUTE + SECOND) for n in range(9)]
    assert quiet_stretches(covered_but(*holes), any_interval_of("10m"), FRAME) == ()


def test_a_price_is_known_anew_from_the_bucket_in_which_a_hole_ends() -> None:
    holes = (
        Stretch(START, START + MINUTE),
        Stretch(START + 7 * MINUTE, START + 8 * MINUTE),
        Stretch(START + 8 * MINUTE + SECOND, START + 9 * MINUTE),
    )
    assert breaks_of(holes, any_interval_of("5m")) == (START, START + 5 * MINUTE)


def test_an_unknown_way_to_fill_is_refused() -> None:
    assert checked_fill("flat") == "flat"
    with pytest.raises(ValueError, match="'none', 'flat', 'null'"):
        checked_fill("zero")
