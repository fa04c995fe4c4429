"""Intervals, stored and in between: their names, what they are made of, where their buckets start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.candles import bucket_start
from krakendata.errors import UnknownInterval
from krakendata.gaps import Stretch
from krakendata.intervals import (
    any_interval_of,
    base_of,
    bucket_of,
    bucket_starts,
    first_bucket,
    longest,
    next_bucket,
    whole_buckets,
)
from krakendata.types import INTERVALS, interval_of
from tests.reference_reads import BASES, after, start_of

moments = st.datetimes(datetime(2013, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
names = st.sampled_from(sorted(BASES))


@pytest.mark.parametrize("name", INTERVALS)
def test_a_stored_interval_is_itself_by_name_and_by_minutes(name: str) -> None:
    stored = INTERVALS[name]
    assert any_interval_of(name) is stored
    assert any_interval_of(stored.minutes) is stored
    assert any_interval_of(stored) is stored
    assert base_of(stored) is stored


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("60m", "1h"), ("24h", "1d"), ("7d", "1w"), ("120m", "2h"), (120, "2h"), ("36h", None), ("48h", "2d"),
        ("14d", "2w"), ("21d", "3w"), (45, "45m"), ("480m", "8h"), ("1mo", "1mo"), ("6mo", "6mo"),
    ],
)  # fmt: skip
def test_equal_lengths_are_one_interval(asked: str | int, name: str | None) -> None:
    if name is None:
        with pytest.raises(UnknownInterval):
            any_interval_of(asked)
    else:
        assert any_interval_of(asked).name == name


@pytest.mark.parametrize(
    "asked",
    ["7m", "1M", "0m", "0", "", "m", "1y", "5h", "25h", "400d", "5mo", "24mo", "01m", "1 m", "-1m", "1.5h"]
    + ["٣m", "99999999m", 0, -1, 7, 1441, 10**12],
)
def test_other_lengths_are_refused_with_the_rule(asked: str | int) -> None:
    with pytest.raises(
        UnknownInterval, match="1m, 5m, .* divides a day .* A minute is 1m, a month 1mo"
    ) as refused:
        any_interval_of(asked)
    assert refused.value.name == asked


@pytest.mark.parametrize(("name", "minutes"), BASES.items())
def test_one_in_between_is_made_of_the_longest_stored_one(name: str, minutes: int) -> None:
    interval = any_interval_of(name)
    assert base_of(interval) is interval_of(minutes)
    assert interval.view == base_of(interval).view
    assert interval.is_stored == (interval.name in INTERVALS)


def test_a_month_has_no_minutes_and_no_length() -> None:
    month = any_interval_of("1mo")
    assert (month.minutes, month.months) == (0, 1)
    with pytest.raises(ValueError, match="months differ"):
        _ = month.length
    assert longest(month) == timedelta(days=31)


@given(names, moments)
def test_buckets_are_the_references(name: str, moment: datetime) -> None:
    interval = any_interval_of(name)
    start = bucket_of(moment, interval)
    assert start == start_of(moment, name)
    assert next_bucket(start, interval) == after(start, name)
    assert start <= moment < next_bucket(start, interval) <= start + longest(interval)


@given(names, moments)
def test_the_first_bucket_starts_at_the_moment_or_next(name: str, moment: datetime) -> None:
    interval = any_interval_of(name)
    first = first_bucket(moment, interval)
    assert bucket_of(first, interval) == first
    assert moment <= first <= next_bucket(bucket_of(moment, interval), interval)


@given(st.sampled_from(sorted(INTERVALS)), moments)
def test_stored_buckets_are_those_of_the_candles(name: str, moment: datetime) -> None:
    interval = INTERVALS[name]
    assert bucket_of(moment, interval) == bucket_start(moment, interval.minutes)


@given(names, moments, moments)
def test_whole_buckets_leave_no_more_than_a_bucket_at_either_end(
    name: str, one: datetime, other: datetime
) -> None:
    interval = any_interval_of(name)
    stretch = Stretch(min(one, other), max(one, other))
    whole = whole_buckets(stretch, interval)
    if whole.start < whole.end:
        assert stretch.start <= whole.start < stretch.start + longest(interval)
        assert stretch.end - longest(interval) < whole.end <= stretch.end
    else:
        assert stretch.end - stretch.start < 2 * longest(interval)


def test_the_starts_of_months_are_listed_one_after_the_other() -> None:
    year = Stretch(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    starts = list(bucket_starts(year, any_interval_of("2mo")))
    assert [start.month for start in starts] == [1, 3, 5, 7, 9, 11]


def test_naive_moments_are_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        first_bucket(datetime(2024, 3, 4), any_interval_of("1mo"))  # noqa: DTZ001
