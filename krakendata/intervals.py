"""Which lengths a candle can have when it is read, and where the buckets of each begin: all in UTC, without a clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from krakendata.errors import UnknownInterval
from krakendata.gaps import Stretch
from krakendata.types import INTERVALS, MINUTES_PER_WEEK, Interval, bucket_start_ns, moment_of, ns_of

__all__ = [
    "FIRST_MONDAY",
    "RULE",
    "any_interval_of",
    "base_of",
    "bucket_of",
    "bucket_starts",
    "first_bucket",
    "longest",
    "next_bucket",
    "whole_buckets",
]

MINUTES_PER_DAY = 24 * 60
MONTHS_PER_YEAR = 12
# What is longer than a year is no candle; and far beyond it, adding one to a date leaves the calendar.
MOST_DAYS = 366
LONGEST_MONTH = timedelta(days=31)

# Where weeks are counted from; all other minutes and days are counted from the epoch.
FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)

RULE = (
    "Folded when they are read: any other number of minutes that divides a day (45m, 2h), whole days up to a year "
    "(3d), whole weeks (2w), and calendar months that divide a year (1mo, 3mo). A minute is 1m, a month 1mo."
)

_UNITS = {"m": 1, "h": 60, "d": MINUTES_PER_DAY, "w": MINUTES_PER_WEEK}
_NAME = re.compile(r"([1-9][0-9]{0,5})(m|h|d|w|mo)", re.ASCII)


def any_interval_of(value: str | int | Interval) -> Interval:
    """The interval called `value`, stored or in between: a name ("1h", "45m", "3d", "2w", "1mo") or minutes (60, 45).

    Equal lengths are one interval: "60m" is "1h", "7d" is "1w" and starts on Monday. Raises UnknownInterval, with the
    rule.
    """
    if isinstance(value, Interval):
        return value
    minutes, months = (value, 0) if isinstance(value, int) else _parsed(value)
    found = _of_months(months) if months else _of_minutes(minutes)
    if found is None:
        raise UnknownInterval(value, INTERVALS, RULE)
    return found


def _parsed(name: str) -> tuple[int, int]:
    """The minutes or the months that a name tells; neither where it tells none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return 0, 0
    count, unit = int(match[1]), match[2]
    return (0, count) if unit == "mo" else (count * _UNITS[unit], 0)


@lru_cache(maxsize=256)
def _of_minutes(minutes: int) -> Interval | None:
    if not 0 < minutes <= MOST_DAYS * MINUTES_PER_DAY or (
        MINUTES_PER_DAY % minutes and minutes % MINUTES_PER_DAY
    ):
        return None
    by_length = sorted(INTERVALS.values(), key=lambda each: -each.minutes)
    base = next(each for each in by_length if minutes % each.minutes == 0)
    if base.minutes == minutes:
        return base
    unit = next(name for name, length in reversed(_UNITS.items()) if minutes % length == 0)
    return Interval(
        f"{minutes // _UNITS[unit]}{unit}", minutes, base.relation, base.view, base.name, is_stored=False
    )


@lru_cache(maxsize=256)
def _of_months(months: int) -> Interval | None:
    if months > MONTHS_PER_YEAR or MONTHS_PER_YEAR % months:
        return None
    day = INTERVALS["1d"]
    return Interval(f"{months}mo", 0, day.relation, day.view, day.name, months, is_stored=False)


def base_of(interval: Interval) -> Interval:
    """The stored interval that answers: itself, or the longest that the buckets of one in between are made of."""
    return interval if interval.is_stored else INTERVALS[interval.parent or "1m"]


def bucket_of(moment: datetime, interval: Interval) -> datetime:
    """Where the bucket that contains the aware `moment` starts."""
    if not interval.months:
        return moment_of(bucket_start_ns(ns_of(moment), interval.minutes))
    in_utc = moment_of(ns_of(moment))
    month = in_utc.year * MONTHS_PER_YEAR + in_utc.month - 1
    return _month(month - month % interval.months)


def next_bucket(start: datetime, interval: Interval) -> datetime:
    """Where the bucket after the one that starts at `start` starts."""
    if not interval.months:
        return start + interval.length
    return _month(start.year * MONTHS_PER_YEAR + start.month - 1 + interval.months)


def first_bucket(moment: datetime, interval: Interval) -> datetime:
    """The first bucket that starts at `moment` or later, in UTC; a naive moment raises ValueError."""
    in_utc = moment_of(ns_of(moment))
    floor = bucket_of(in_utc, interval)
    return floor if floor == in_utc else next_bucket(floor, interval)


def whole_buckets(stretch: Stretch, interval: Interval) -> Stretch:
    """The buckets that lie wholly in `stretch`; an empty stretch where there is none."""
    start = first_bucket(stretch.start, interval)
    return Stretch(start, max(start, bucket_of(stretch.end, interval)))


def bucket_starts(stretch: Stretch, interval: Interval) -> Iterator[datetime]:
    """The starts of the buckets from `stretch.start`, which is one, to before `stretch.end`."""
    start = stretch.start
    while start < stretch.end:
        yield start
        start = next_bucket(start, interval)


def longest(interval: Interval) -> timedelta:
    """How long a bucket is at most."""
    return interval.months * LONGEST_MONTH if interval.months else interval.length


def _month(number: int) -> datetime:
    """The beginning of the month that is `number` months after the beginning of the year 0."""
    year, month = divmod(number, MONTHS_PER_YEAR)
    return datetime(year, month + 1, 1, tzinfo=UTC)
