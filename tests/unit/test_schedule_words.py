"""Schedules as operators read and write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.schedule_words import (
    LONGEST,
    SHORTEST,
    crontab_in_words,
    every_as_written,
    every_in_words,
    is_overdue,
    next_tick,
    parse_when,
)

MINUTE = timedelta(minutes=1)
NOW = datetime(2024, 1, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("30s", timedelta(seconds=30)),
        (" 5 M ", 5 * MINUTE),
        ("36h", timedelta(hours=36)),
        ("2d", timedelta(days=2)),
        ("04:37", (4, 37)),
        ("00:00", (0, 0)),
    ],
)
def test_what_operators_write_is_read(written: str, read: object) -> None:
    assert parse_when(written) == read


@pytest.mark.parametrize("written", ["", "5", "m", "0m", "-5m", "1.5h", "24:00", "4:37", "5m;", "every day"])
def test_what_cannot_be_read_is_answered_with_how_to_write_it(written: str) -> None:
    with pytest.raises(ValueError, match="30s, 5m, 1h or 2d"):
        parse_when(written)


@pytest.mark.parametrize("written", ["1s", "32d", "9999999d"])
def test_an_interval_has_limits(written: str) -> None:
    with pytest.raises(ValueError, match="10 seconds at the least"):
        parse_when(written)


@given(st.integers(int(SHORTEST.total_seconds()), int(LONGEST.total_seconds())))
def test_an_interval_is_read_as_it_is_written(seconds: int) -> None:
    every = timedelta(seconds=seconds)
    assert parse_when(every_as_written(every)) == every


@pytest.mark.parametrize(
    ("every", "words"),
    [
        (MINUTE, "every minute"),
        (5 * MINUTE, "every 5 minutes"),
        (timedelta(hours=36), "every 36 hours"),
        (timedelta(days=1), "every day"),
        (timedelta(seconds=90), "every 90 seconds"),
        (timedelta(milliseconds=1500), "every 1.5 seconds"),
    ],
)
def test_an_interval_in_words(every: timedelta, words: str) -> None:
    assert every_in_words(every) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("37", "4", "*", "*", "*"), "daily at 04:37 UTC"),
        (("0", "0", "*", "*", "1"), "each Monday at 00:00 UTC"),
        (("0", "0", "*", "*", "7"), "each Sunday at 00:00 UTC"),
        (("1", "*", "*", "*", "*"), "hourly, 1 minute past"),
        (("*/5", "*", "*", "*", "*"), "crontab */5 * * * * (UTC)"),
        (("0", "0", "1", "*", "*"), "crontab 0 0 1 * * (UTC)"),
    ],
)
def test_a_crontab_in_words(fields: tuple[str, str, str, str, str], words: str) -> None:
    assert crontab_in_words(*fields, "UTC") == words


@given(
    st.timedeltas(timedelta(seconds=10), timedelta(days=31)), st.timedeltas(timedelta(0), timedelta(days=90))
)
def test_the_next_run_is_the_first_behind_now(every: timedelta, since: timedelta) -> None:
    last = NOW - since
    following = next_tick(last, every, NOW)
    assert NOW < following <= NOW + every
    assert (following - last) % every == timedelta(0)


def test_a_clock_that_went_back_changes_nothing() -> None:
    assert next_tick(NOW + MINUTE, MINUTE, NOW) == NOW + 2 * MINUTE


def test_what_beat_has_not_written_yet_is_not_overdue() -> None:
    assert not is_overdue(NOW - 9 * MINUTE, MINUTE, NOW)
    assert is_overdue(NOW - 11 * MINUTE, MINUTE, NOW)
    assert not is_overdue(NOW - timedelta(days=1, hours=1), timedelta(days=1), NOW)
    assert is_overdue(NOW - timedelta(days=3), timedelta(days=1), NOW)
