"""The time of an export cut into the parts that become a file each. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum

from krakendata.gaps import Stretch

__all__ = ["By", "parts_of"]


class By(StrEnum):
    """How long a part is."""

    YEAR = "year"
    MONTH = "month"
    ALL = "all"


def parts_of(stretch: Stretch, by: By) -> Iterator[tuple[str, Stretch]]:
    """The calendar's years or months that touch `stretch`, in UTC, each with its name ("2024", "2024-03") and uncut.

    The last part of an export today is a whole one next year: cut to what was asked for it would be another file.
    """
    if by is By.ALL:
        yield "all", stretch
        return
    start = datetime(stretch.start.year, stretch.start.month if by is By.MONTH else 1, 1, tzinfo=UTC)
    while start < stretch.end:
        end = _next(start, by)
        yield f"{start:%Y-%m}" if by is By.MONTH else f"{start:%Y}", Stretch(start, end)
        start = end


def _next(start: datetime, by: By) -> datetime:
    if by is By.YEAR:
        return start.replace(year=start.year + 1)
    return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
