"""What an address asks for: moments, parameters, cursors; each refusal names its field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from krakendata.api.cursors import EARLIEST_US, LATEST_US, Cursor, cursor_text, read_cursor
from krakendata.api.problems import Problem
from krakendata.api.questions import (
    EARLIEST,
    LATEST,
    CandleQuestion,
    TradeQuestion,
    check_names,
    moment_asked,
)
from krakendata.errors import UnknownInterval

NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
MOMENTS = st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC))
PLACES = st.builds(Cursor, st.integers(EARLIEST_US, LATEST_US), st.integers(-(2**63), 2**63 - 1))


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31T12:00:00Z", "2024-01-31T12:00Z", "2024-01-31 12:00:00Z", "2024-01-31T12:00:00.000000z",
        "2024-01-31T13:00:00+01:00", "2024-01-31T13:00:00 01:00", "2024-01-31T06:30:00-0530",
    ],
)  # fmt: skip
def test_a_moment_is_read_in_any_usual_spelling(text: str) -> None:
    assert moment_asked(text, "start") == NOON


def test_a_day_is_its_midnight_in_utc() -> None:
    assert moment_asked("2024-01-31", "start") == datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2024-W05", "20240131", "1706702400", "2024-02-30", "2024-01-31T25:00Z", "2024-01-31Z",
        "2024-01-31T12:00:00Z\n", "２０２４-01-31", "2024-01-31T12:00:00+99:00", "\0",
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="start is no moment, such as 2024-01-31T15:00:00Z") as refused:
        moment_asked(text, "start")
    assert (refused.value.status, refused.value.field) == (422, "start")


def test_a_time_of_day_without_a_zone_is_refused() -> None:
    with pytest.raises(Problem, match="end has no time zone"):
        moment_asked("2024-01-31T12:00:00", "end")


@pytest.mark.parametrize(
    "text", ["1999-12-31", "2100-01-02", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_a_moment_of_no_market_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="before 2000 or after 2100"):
        moment_asked(text, "start")


@given(MOMENTS, st.integers(-14 * 60, 14 * 60))
def test_a_moment_written_in_any_zone_comes_back_in_utc(moment: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    assert moment_asked(moment.astimezone(zone).isoformat(), "start") == moment


@given(PLACES, st.text(max_size=50))
def test_a_cursor_comes_back_to_its_question(place: Cursor, question: str) -> None:
    assert read_cursor(cursor_text(place, question), question) == place


@given(PLACES, st.text(max_size=50))
def test_a_cursor_of_another_question_is_refused(place: Cursor, question: str) -> None:
    with pytest.raises(Problem, match="not one of this question") as refused:
        read_cursor(cursor_text(place, question), question + "?")
    assert (refused.value.status, refused.value.field) == (400, "cursor")


@given(st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="not one of this question"):
        read_cursor(text, "candles BTC/USD")


def test_a_place_outside_of_all_time_is_refused() -> None:
    with pytest.raises(Problem, match="not one of this question"):
        read_cursor(cursor_text(Cursor(2**62), "q"), "q")


@pytest.mark.parametrize(
    ("query", "field"), [("symbol=BTC/USD&intervall=1h", "intervall"), ("symbol=A/B&symbol=C/D", "symbol")]
)
def test_an_unknown_or_repeated_parameter_is_refused(query: str, field: str) -> None:
    with pytest.raises(Problem) as refused:
        check_names(QueryDict(query), {"symbol", "interval"})
    assert (refused.value.status, refused.value.field) == (400, field)


def test_a_start_after_the_end_is_refused() -> None:
    with pytest.raises(Problem, match="start is after end"):
        TradeQuestion.of("BTC/USD", "2024-02-01", "2024-01-31", 10, None)


def test_an_unknown_interval_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownInterval, match="Known intervals: 1m"):
        CandleQuestion.of("BTC/USD", "7m", None, None, 10, None, False)


def test_a_cursor_may_be_used_with_another_page_size_but_not_another_range() -> None:
    asked = CandleQuestion.of("BTC/USD", "1h", "2024-01-31", None, 10, None, False)
    text = cursor_text(Cursor(EARLIEST_US), asked.binding)
    assert CandleQuestion.of("BTC/USD", "1h", "2024-01-31", None, 20, text, False).cursor is not None
    with pytest.raises(Problem):
        CandleQuestion.of("BTC/USD", "1h", "2024-01-30", None, 10, text, False)
