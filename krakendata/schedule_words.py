"""When a task of the timetable runs, in words, and how an operator writes it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

SHORTEST, LONGEST = timedelta(seconds=10), timedelta(days=31)
# Beat writes what it ran every three minutes; less than thrice that says nothing.
OVERDUE_INTERVALS, OVERDUE_AFTER = 2, timedelta(minutes=10)
_EVERY = re.compile(r"([1-9][0-9]{0,6}) ?(s|m|h|d)")
_AT = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ANY = "*"

# How a schedule is written: what `parse_when` reads.
EXAMPLE = "30s, 5m, 1h or 2d for an interval; 04:37 for each day at that time, UTC"


def parse_when(text: str) -> timedelta | tuple[int, int]:
    """Read an interval (a number and one of s m h d) or a time of day in UTC as (hour, minute).

    Raises ValueError, whose text is a sentence for the operator.
    """
    asked = text.strip().lower()
    if found := _AT.fullmatch(asked):
        return int(found[1]), int(found[2])
    if found := _EVERY.fullmatch(asked):
        every = timedelta(**{_UNITS[found[2]]: int(found[1])})
        if SHORTEST <= every <= LONGEST:
            return every
        raise ValueError("An interval is 10 seconds at the least and 31 days at the most.")
    raise ValueError(f"Write {EXAMPLE}.")


def every_in_words(every: timedelta) -> str:
    """Say how often: every minute, every 5 minutes, every 36 hours."""
    seconds = every.total_seconds()
    for name, length in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, rest = divmod(seconds, length)
        if count and not rest:
            return f"every {name}" if count == 1 else f"every {count:g} {name}s"
    return f"every {seconds:g} seconds"


def every_as_written(every: timedelta) -> str:
    """Write it as `parse_when` reads it."""
    seconds = int(every.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and not seconds % length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def next_tick(last: datetime, every: timedelta, now: datetime) -> datetime:
    """The first moment after `now` that lies a whole number of intervals behind `last`. Times are aware.

    Beat writes down only now and then when it ran an entry, so `last` may be some intervals old.
    """
    return last + (max((now - last) // every, 0) + 1) * every


def is_overdue(last: datetime, every: timedelta, now: datetime) -> bool:
    """Whether it should have run long ago, so that probably no beat is running."""
    return now - last > max(OVERDUE_INTERVALS * every, OVERDUE_AFTER)


def crontab_in_words(
    minute: str, hour: str, day_of_month: str, month_of_year: str, day_of_week: str, zone: str
) -> str:
    """Say when, in words where it is a time of each day or of a weekday; otherwise as crontab writes it."""
    is_any_date = day_of_month == month_of_year == ANY
    if is_any_date and minute.isdigit() and hour.isdigit():
        at = f"at {int(hour):02}:{int(minute):02} {zone}"
        if day_of_week == ANY:
            return f"daily {at}"
        if day_of_week.isdigit() and int(day_of_week) <= 7:
            return f"each {DAYS[int(day_of_week) % 7]} {at}"
    if is_any_date and day_of_week == ANY and hour == ANY and minute.isdigit():
        return f"hourly, {int(minute)} minute{'' if int(minute) == 1 else 's'} past"
    return f"crontab {minute} {hour} {day_of_month} {month_of_year} {day_of_week} ({zone})"
