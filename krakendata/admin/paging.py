"""Pages of a series, newest first, found by the key of the page's edge instead of an offset.

Every query names the symbol and a stretch of time, which is the primary key's order, and takes one page at
most. The stretch starts small and grows until the page is full, so that a busy pair is not read for years and
a quiet one not in a thousand empty steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from django.db.models import Q

from krakendata.models.queries import SeriesQuerySet
from krakendata.types import EPOCH

ROWS_PER_PAGE = 100

# The finest step of a stored time: a half-open stretch reaches this far beyond a row to include it.
INSTANT = timedelta(microseconds=1)

# Sixteen times wider each time: from a day to Kraken's age in four queries.
GROWTH = 16


@dataclass(frozen=True)
class Edge:
    """A row to continue from: its time and, among trades of one time, its id."""

    moment: datetime
    tie: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `str` wrote; None for anything else."""
        microseconds, _, tie = text.partition("_")
        try:
            return cls(EPOCH + timedelta(microseconds=int(microseconds)), int(tie or 0))
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        return f"{(self.moment - EPOCH) // INSTANT}_{self.tie}"


@dataclass(frozen=True)
class Series:
    """One pair's rows in [start, end); `tie` names the field that orders rows of one time, "" where none."""

    rows: SeriesQuerySet
    start: datetime
    end: datetime
    first_width: timedelta
    tie: str = ""


@dataclass(frozen=True)
class SeriesPage:
    """Rows, newest first, and the edges that lead on; None: nothing further."""

    rows: Sequence[Any]
    older: Edge | None
    newer: Edge | None


def read_page(
    series: Series, edge: Edge | None = None, upwards: bool = False, size: int = ROWS_PER_PAGE
) -> SeriesPage:
    """Read the page below `edge`, or above it when `upwards`; without an edge the newest page."""
    width = series.first_width
    while True:
        start, end = _stretch(series, edge, upwards, width)
        rows = _beyond(series.rows.between(start, end), series, edge, upwards)
        found = list(rows.order_by(*_order(series, upwards))[: size + 1])
        if len(found) > size or (end >= series.end if upwards else start <= series.start):
            break
        width *= GROWTH
    page, has_more = found[:size], len(found) > size
    if upwards:
        page.reverse()
    has_older, has_newer = (True, has_more) if upwards else (has_more, edge is not None)
    return SeriesPage(
        page,
        older=_edge(series, page[-1]) if page and has_older else None,
        newer=_edge(series, page[0]) if page and has_newer else None,
    )


def _stretch(series: Series, edge: Edge | None, upwards: bool, width: timedelta) -> tuple[datetime, datetime]:
    """Give the part of the series to look at: `width` from the edge on, the edge's own moment included."""
    if upwards and edge is not None:
        start = min(max(series.start, edge.moment), series.end)
        return start, start + min(width, series.end - start)
    end = series.end if edge is None or edge.moment >= series.end else edge.moment + INSTANT
    return end - min(width, end - series.start), end


def _beyond(rows: SeriesQuerySet, series: Series, edge: Edge | None, upwards: bool) -> SeriesQuerySet:
    """Leave out the edge itself and what lies on its other side."""
    if edge is None:
        return rows
    word = "gt" if upwards else "lt"
    beyond = Q(**{f"timestamp__{word}": edge.moment})
    if series.tie:
        beyond |= Q(**{"timestamp": edge.moment, f"{series.tie}__{word}": edge.tie})
    kept: SeriesQuerySet = rows.filter(beyond)
    return kept


def _order(series: Series, upwards: bool) -> list[str]:
    fields = ["timestamp", series.tie] if series.tie else ["timestamp"]
    return fields if upwards else [f"-{field}" for field in fields]


def _edge(series: Series, row: Any) -> Edge:
    return Edge(row.timestamp, getattr(row, series.tie) if series.tie else 0)
