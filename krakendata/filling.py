"""Which buckets without trades may be shown as such, and at which price: by the coverage, without any I/O.

A bucket is filled where every moment of it is covered, so that no trade of it is known to be missing. A hole is never
filled, nor is a price carried over one: the trades in it may have moved it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, get_args

from krakendata.gaps import Coverage, Stretch
from krakendata.intervals import bucket_of, whole_buckets
from krakendata.types import Interval

__all__ = ["Fill", "breaks_of", "checked_fill", "quiet_stretches"]

# "none": buckets without trades have no candle. "flat": they have one at the close before. "null": one without prices.
Fill = Literal["none", "flat", "null"]


def checked_fill(fill: str) -> Fill:
    """`fill`, if it is one; else ValueError."""
    for known in get_args(Fill):
        if fill == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"fill is {fill!r}; it has to be one of {', '.join(map(repr, get_args(Fill)))}.")


def quiet_stretches(coverage: Coverage, interval: Interval, frame: Stretch) -> tuple[Stretch, ...]:
    """The whole buckets in `frame` that the coverage leaves no hole in: those of them without a candle were quiet."""
    covered = []
    start = frame.start
    for hole in coverage.holes_in(frame):
        covered.append(Stretch(start, hole.start))
        start = hole.end
    covered.append(Stretch(start, frame.end))
    whole = [whole_buckets(each, interval) for each in covered if each.start < each.end]
    return tuple(each for each in whole if each.start < each.end)


def breaks_of(holes: Sequence[Stretch], interval: Interval) -> tuple[datetime, ...]:
    """The buckets from which on prices are known anew: each holds the end of a hole."""
    return tuple(sorted({bucket_of(hole.end, interval) for hole in holes}))
