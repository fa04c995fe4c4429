"""A period in a word is the stretch of time that people mean."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.periods import Period, period_of

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def day(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("2024", day(2024, 1, 1), day(2025, 1, 1)),
        ("2024-02", day(2024, 2, 1), day(2024, 3, 1)),
        ("2023-12", day(2023, 12, 1), day(2024, 1, 1)),
        ("2024-02-29", day(2024, 2, 29), day(2024, 3, 1)),
        (date(2024, 2, 29), day(2024, 2, 29), day(2024, 3, 1)),
        ("30d", NOW - timedelta(days=30), NOW),
        ("12h", NOW - timedelta(hours=12), NOW),
        ("4w", NOW - timedelta(weeks=4), NOW),
        (("2024", "2026"), day(2024, 1, 1), day(2026, 1, 1)),
        (["2024-01-01", "2024-06-30"], day(2024, 1, 1), day(2024, 6, 30)),
        (("2024-01-01T06:00", "2024-01-01T08:00+01:00"), day(2024, 1, 1, 6), day(2024, 1, 1, 7)),
        ((day(2024, 1, 1, 5), None), day(2024, 1, 1, 5), None),
        ((None, date(2024, 1, 2)), None, day(2024, 1, 2)),
        (
            (datetime(2024, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2025"),
            day(2024, 1, 1),
            day(2025, 1, 1),
        ),
        (None, None, None),
    ],
)
def test_a_period_is_a_half_open_stretch(
    period: Period, start: datetime | None, end: datetime | None
) -> None:
    assert period_of(period, NOW) == (start, end)


@pytest.mark.parametrize(
    ("period", "sentence"),
    [
        ("last week", "is no period, which is for example"),
        ("0d", "is no period"),
        ("2024-1", "is no period"),
        ("2024-13", "is not in the calendar"),
        ("2023-02-29", "is not in the calendar"),
        ("9999", "is not in the calendar"),
        (("2024",), "is no period"),
        (("2024", "2025", "2026"), "is no period"),
        (("2025", "2024"), "ends .* before it starts"),
        (("soon", None), "is no time"),
        ((datetime(2024, 1, 1), None), "has no time zone"),  # noqa: DTZ001
        (datetime(2024, 1, 1, tzinfo=UTC), "is no period"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(period: Period, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        period_of(period, NOW)


@given(st.dates(min_value=date(1970, 1, 1), max_value=date(9998, 12, 31)))
def test_every_day_lies_in_its_month_and_its_year(each: date) -> None:
    start, end = period_of(each, NOW)
    assert start is not None
    assert end == start + timedelta(days=1)
    for word in (f"{each:%Y-%m}", f"{each:%Y}"):
        first, last = period_of(word, NOW)
        assert first is not None
        assert last is not None
        assert first <= start < end <= last
