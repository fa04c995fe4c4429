"""Questions: what an address asks for, checked, so that every refusal is a sentence its author can act upon."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime

from django.http import QueryDict

from krakendata.api.cursors import EARLIEST_US, LATEST_US, Cursor, read_cursor
from krakendata.api.problems import malformed, unmeetable
from krakendata.intervals import any_interval_of
from krakendata.types import Interval, moment_of, ns_of

__all__ = ["CandleQuestion", "CoverageQuestion", "TradeQuestion", "check_names", "moment_asked"]

# As a page, JSON of 10,000 candles has 3 MB and takes a tenth of a second.
MAX_ROWS = 10_000
DEFAULT_ROWS = 1_000

EARLIEST, LATEST = moment_of(EARLIEST_US * 1_000), moment_of(LATEST_US * 1_000)
# What datetime.fromisoformat takes and nobody means, weeks (2024-W01) say, is left out.
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?([Zz]|[ +-]\d\d:?\d\d)?", re.ASCII
)
_MOMENT_EXAMPLE = "2024-01-31T15:00:00Z"


@dataclass(frozen=True, slots=True)
class _SeriesQuestion:
    """A page of a series in [start, end): from `start` on, or, without one, the newest rows before `end`, further and
    further back. `cursor` is where the page goes on, and `binding` all that stays from page to page."""

    symbol: str
    start: datetime | None
    end: datetime | None
    limit: int
    cursor: Cursor | None
    binding: str

    @property
    def is_forward(self) -> bool:
        """Whether its pages go forward in time."""
        return self.start is not None


@dataclass(frozen=True, slots=True)
class CandleQuestion(_SeriesQuestion):
    """A page of candles."""

    interval: Interval
    include_open: bool

    @classmethod
    def of(
        cls,
        symbol: str,
        interval: str,
        start: str | None,
        end: str | None,
        limit: int,
        cursor: str | None,
        include_open: bool,
    ) -> CandleQuestion:
        """The question of an address's parameters; raises Problem and UnknownInterval."""
        wanted = any_interval_of(interval)
        first, last = _range_asked(start, end)
        binding = f"candles {symbol} {wanted.name} {first} {last} {include_open}"
        place = None if cursor is None else read_cursor(cursor, binding)
        return cls(symbol, first, last, limit, place, binding, wanted, include_open)


@dataclass(frozen=True, slots=True)
class TradeQuestion(_SeriesQuestion):
    """A page of trades."""

    @classmethod
    def of(
        cls, symbol: str, start: str | None, end: str | None, limit: int, cursor: str | None
    ) -> TradeQuestion:
        """The question of an address's parameters; raises Problem."""
        first, last = _range_asked(start, end)
        binding = f"trades {symbol} {first} {last}"
        place = None if cursor is None else read_cursor(cursor, binding)
        return cls(symbol, first, last, limit, place, binding)


@dataclass(frozen=True, slots=True)
class CoverageQuestion:
    """How complete the candles of an interval in [start, end) are."""

    symbol: str
    interval: Interval
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, symbol: str, interval: str, start: str | None, end: str | None) -> CoverageQuestion:
        """The question of an address's parameters; raises Problem and UnknownInterval."""
        return cls(symbol, any_interval_of(interval), *_range_asked(start, end))


def check_names(asked: QueryDict, known: Container[str]) -> None:
    """Refuse what would be passed over in silence: a parameter that is not known, and one that is given twice."""
    for name, values in asked.lists():
        if name not in known:
            raise malformed(f"There is no parameter {name[:80]!r} here.", name[:80])
        if len(values) > 1:
            raise malformed(f"{name} is given {len(values)} times.", name)


def moment_asked(text: str, field: str) -> datetime:
    """A moment in UTC of a text such as 2024-01-31T15:00:00Z or 2024-01-31 (a UTC midnight); raises Problem.

    A time of day without a zone is refused: nobody can say when it is.
    """
    match = _MOMENT.fullmatch(text)
    try:
        day, time, zone = match.groups() if match else ("", None, None)
        # A + that was not escaped arrives as a blank.
        written = day + (time or "") + (zone or "").replace(" ", "+").upper()
        moment = datetime.fromisoformat(written if time else day)
    except ValueError:
        raise unmeetable(f"{field} is no moment, such as {_MOMENT_EXAMPLE} or 2024-01-31.", field) from None
    if time and not zone:
        raise unmeetable(f"{field} has no time zone: write it as {_MOMENT_EXAMPLE}, in UTC.", field)
    if zone and not time:
        raise unmeetable(f"{field} is no moment, such as {_MOMENT_EXAMPLE} or 2024-01-31.", field)
    moment = moment if zone else moment.replace(tzinfo=UTC)
    if not EARLIEST <= moment <= LATEST:
        raise unmeetable(f"{field} lies before {EARLIEST:%Y} or after {LATEST:%Y}.", field)
    return moment_of(ns_of(moment))


def _range_asked(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    first = None if start is None else moment_asked(start, "start")
    last = None if end is None else moment_asked(end, "end")
    if first is not None and last is not None and first > last:
        raise unmeetable("start is after end.", "start")
    return first, last
