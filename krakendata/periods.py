"""Stretches of time in a word: a year, a month, a day, the last so many days. Pure, in UTC; `now` is an argument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from krakendata.gaps import Stretch
from krakendata.types import moment_of, ns_of

__all__ = ["Moment", "Period", "period_of"]

# A year, a month, a day, or an aware time.
Moment = str | date | datetime
# One of these words, a time back from now ("30d"), or two moments, either of which may be None.
Period = Moment | Sequence[Moment | None] | None

_WORD = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?", re.ASCII)
_BACK = re.compile(r"([1-9][0-9]{0,4})([hdw])", re.ASCII)
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
EXAMPLES = '"2024", "2024-03", "2024-03-01", "30d" or ("2024-01-01", "2024-07-01")'


def period_of(period: Period, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The start and the end of a period, half open, in UTC; None where it has none.

    A year, a month or a day is itself; "12h", "30d" and "4w" end at `now`. Of two moments the first is in and the
    second out, so that ("2024", "2026") are two years. ValueError, with examples, for what is none of these.
    """
    if period is None:
        return None, None
    if isinstance(period, str) and (back := _BACK.fullmatch(period)):
        until = moment_of(ns_of(now))
        return until - timedelta(**{_UNITS[back[2]]: int(back[1])}), until
    if isinstance(period, str | date):
        return _stretch(period)
    if len(period) != 2:
        raise ValueError(f"{period!r} is no period, which is for example {EXAMPLES}.")
    start, end = [None if each is None else _start(each) for each in period]
    if start is not None and end is not None and start > end:
        raise ValueError(f"The period ends ({end:%Y-%m-%d %H:%M}) before it starts ({start:%Y-%m-%d %H:%M}).")
    return start, end


def _start(moment: Moment) -> datetime:
    if isinstance(moment, datetime):
        return moment_of(ns_of(moment))
    if isinstance(moment, str) and _WORD.fullmatch(moment) is None:
        return _time(moment)
    return _stretch(moment).start


def _time(text: str) -> datetime:
    """A time such as 2024-03-01T15:00: UTC unless it says otherwise."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time, which is for example 2024-03-01T15:00.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _stretch(word: Moment) -> Stretch:
    """The year, the month or the day that is meant."""
    text = f"{word:%Y-%m-%d}" if isinstance(word, date) and not isinstance(word, datetime) else word
    match = _WORD.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{word!r} is no period, which is for example {EXAMPLES}.")
    year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    try:
        start = datetime(year, month, day, tzinfo=UTC)
        if match[3]:
            return Stretch(start, start + timedelta(days=1))
        if match[2]:
            return Stretch(start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))
        return Stretch(start, datetime(year + 1, 1, 1, tzinfo=UTC))
    except (ValueError, OverflowError):
        raise ValueError(f"{word!r} is not in the calendar.") from None
