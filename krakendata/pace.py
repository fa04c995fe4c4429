"""How fast a run is and how long it will take: an estimate where there can be one, and a word where there cannot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# The first questions and files come slower or faster than the rest: before this much a pace says nothing.
LEAST_TIME = timedelta(seconds=5)
# A run commits, and says so, every few seconds; one that has been silent this long was probably killed, or waits.
SILENT_AFTER = timedelta(minutes=2)
# An estimate beyond it says only that nobody knows.
LONGEST = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_second` in the run's unit, None where nothing was measured; `left` None where `why_not` says why."""

    per_second: float | None
    left: timedelta | None
    why_not: str = ""


def pace_of(done: int, total: int | None, started: datetime, said: datetime, now: datetime) -> Pace:
    """The pace of a run that is going on: `done` of `total` since `started`, as it `said` last. Times are aware.

    What it has done since it last spoke is not known, so the pace and what is left are those of that moment.
    """
    worked = said - started
    per_second = done / worked.total_seconds() if done > 0 and worked > timedelta(0) else None
    if now - said > SILENT_AFTER:
        return Pace(per_second, None, "it says nothing any more")
    if total is None:
        return Pace(per_second, None, "how much there is to do is not known yet")
    if done >= total:
        return Pace(per_second, None, "it is about to end")
    if per_second is None:
        return Pace(None, None, "nothing is done yet")
    if worked < LEAST_TIME:
        return Pace(per_second, None, "it has only begun")
    seconds = (total - done) / per_second
    if seconds > LONGEST.total_seconds():
        return Pace(per_second, None, "it has hardly moved yet")
    return Pace(per_second, timedelta(seconds=seconds))
