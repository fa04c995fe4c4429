"""How fast a run is, and what is left of it, as far as that can be said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.pace import LEAST_TIME, SILENT_AFTER, pace_of

START = datetime(2024, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_what_is_left_goes_at_the_pace_so_far() -> None:
    pace = pace_of(25, 100, START, START + 10 * SECOND, START + 11 * SECOND)
    assert (pace.per_second, pace.left, pace.why_not) == (2.5, 30 * SECOND, "")


@pytest.mark.parametrize(
    ("done", "total", "said", "now", "why_not"),
    [
        (25, None, 10 * SECOND, 10 * SECOND, "how much there is to do is not known yet"),
        (0, 100, 10 * SECOND, 10 * SECOND, "nothing is done yet"),
        (25, 100, 0 * SECOND, 1 * SECOND, "nothing is done yet"),
        (25, 100, LEAST_TIME - SECOND, LEAST_TIME, "it has only begun"),
        (100, 100, 10 * SECOND, 10 * SECOND, "it is about to end"),
        (101, 100, 10 * SECOND, 10 * SECOND, "it is about to end"),
        (25, 100, 10 * SECOND, 11 * SECOND + SILENT_AFTER, "it says nothing any more"),
        (1, 10**12, 10 * SECOND, 10 * SECOND, "it has hardly moved yet"),
    ],
)
def test_where_there_is_no_estimate_it_says_why(
    done: int, total: int | None, said: timedelta, now: timedelta, why_not: str
) -> None:
    pace = pace_of(done, total, START, START + said, START + now)
    assert (pace.left, pace.why_not) == (None, why_not)


@given(
    done=st.integers(0, 10**12),
    total=st.none() | st.integers(0, 10**12),
    worked=st.timedeltas(timedelta(0), timedelta(days=30)),
    since=st.timedeltas(timedelta(0), timedelta(days=1)),
)
def test_there_is_an_estimate_or_a_reason_and_never_both(
    done: int, total: int | None, worked: timedelta, since: timedelta
) -> None:
    pace = pace_of(done, total, START, START + worked, START + worked + since)
    assert (pace.left is None) == bool(pace.why_not)
    assert pace.left is None or pace.left >= timedelta(0)


@given(done=st.integers(1, 10**6), more=st.integers(1, 10**6))
def test_who_has_more_to_do_needs_longer(done: int, more: int) -> None:
    said = START + timedelta(hours=1)
    shorter, longer = (pace_of(done, done + rest, START, said, said).left for rest in (more, more + done))
    assert shorter is None or longer is None or longer > shorter
