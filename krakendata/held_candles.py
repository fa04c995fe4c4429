"""Where the candles of a symbol lie, by the ledger, and how its newest ones are found without a scan."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from krakendata.gaps import SETTLED, Stretch
from krakendata.intervals import base_of, bucket_of, first_bucket, longest
from krakendata.storage.queries import Bounds, Connection, Row, read_candles, read_folded_candles
from krakendata.types import EPOCH, Interval, moment_of

__all__ = ["held_end", "held_range", "read_newest", "read_up_to_date"]

# The newest n candles of a busy pair lie in n buckets, and a few more. Where trades are rarer, each further
# look goes this many times as far back: at most five from 200 minutes to the beginning.
FIRST_LOOK, FURTHER_LOOK = 2, 16
# Half-open: the end lies behind the newest trade by the least there is.
AFTER_LAST = timedelta(microseconds=1)


def held_range(interval: Interval, bounds: Bounds) -> Stretch | None:
    """Whole buckets, from the oldest moment in the ledger to the newest; of minutes those still stored."""
    starts = [moment_of(bounds.first_ns)] if bounds.first_ns is not None else []
    starts += [bounds.first_start] if bounds.first_start is not None else []
    end = _end(interval, bounds, AFTER_LAST)
    if not starts or end is None:
        return None
    start = max(min(starts), bounds.fence) if base_of(interval).parent is None else min(starts)
    found = Stretch(bucket_of(start, interval), end)
    return found if found.start < found.end else None


def held_end(interval: Interval, bounds: Bounds) -> datetime:
    """Behind every bucket that may have a row: the last id's moment, and a little later."""
    return _end(interval, bounds, SETTLED) or EPOCH


def _end(interval: Interval, bounds: Bounds, behind: timedelta) -> datetime | None:
    """The first bucket that starts so long behind the last trade, and not in an archive's time."""
    ends = [moment_of(bounds.last_ns) + behind] if bounds.last_ns is not None else []
    ends += [bounds.last_end] if bounds.last_end is not None else []
    return first_bucket(max(ends), interval) if ends else None


async def read_newest(
    read: Callable[[Stretch, int], Awaitable[Sequence[Row]]], interval: Interval, held: Stretch, limit: int
) -> Sequence[Row]:
    """The newest `limit` rows of `held`, oldest first, looking further back until there are enough.

    `read` gives the newest rows of a stretch, at most so many, oldest first.
    """
    rows: list[Row] = []
    end, reach = held.end, FIRST_LOOK * limit * longest(interval)
    while len(rows) < limit and held.start < end:
        # Compared as durations: far enough back there is no date to compare with.
        start = held.start if reach >= end - held.start else bucket_of(end - reach, interval)
        start = max(start, held.start)
        rows = [*await read(Stretch(start, end), limit - len(rows)), *rows]
        end, reach = start, FURTHER_LOOK * reach
    return rows


async def read_up_to_date(
    connection: Connection, interval: Interval, symbol: str, stretch: Stretch, fence: datetime
) -> list[Row]:
    """The candles that start in `stretch`; those above the fence as their minutes are, not as last refreshed."""
    line = min(max(stretch.start, first_bucket(fence, interval)), stretch.end)
    if interval.parent is None:
        line = stretch.end
    older, newer = Stretch(stretch.start, line), Stretch(line, stretch.end)
    rows = [*await read_candles(connection, interval, symbol, older)] if older.start < older.end else []
    if newer.start < newer.end:
        rows += await read_folded_candles(connection, interval, symbol, newer)
    return rows
