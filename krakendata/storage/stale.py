"""Where a rollup may be behind its minutes: written to since the last refresh, by the database's own word.

A late trade below a rollup's watermark is in its minute and in the ledger at once, in the rollup with the next refresh.
Whoever reads such a bucket folds its minutes instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from krakendata.gaps import Stretch
from krakendata.intervals import bucket_of, next_bucket
from krakendata.storage.editions import Edition
from krakendata.storage.queries import Connection, read_prepared
from krakendata.types import Interval, moment_of, ns_of

__all__ = ["read_stale", "stale_buckets"]

# Each stretch is a part of the statement that has to be planned, some milliseconds; more of them are joined over the
# shortest distances between them.
MOST_STRETCHES = 8


async def read_stale(
    connection: Connection, edition: Edition, interval: Interval, symbol: str, stretch: Stretch
) -> list[Stretch]:
    """The buckets of `stretch`, which lies above the fence, that a stored interval's rollup may be behind for."""
    if interval.parent is None or stretch.start >= stretch.end:
        return []
    start_us, end_us = ns_of(stretch.start) // 1_000, ns_of(stretch.end) // 1_000
    parameters = {"relation": interval.relation, "symbol": symbol, "start_us": start_us, "end_us": end_us}
    rows = await read_prepared(connection, f"stale_{edition.rollups}", parameters)
    written = [Stretch(moment_of(low * 1_000), moment_of(high * 1_000)) for low, high in rows]
    return stale_buckets(written, interval, stretch)


def stale_buckets(written: Iterable[Stretch], interval: Interval, frame: Stretch) -> list[Stretch]:
    """The buckets that hold any moment of `written`, whose ends belong to them, as few stretches within `frame`."""
    spans = sorted(
        (
            max(bucket_of(each.start, interval), frame.start),
            min(next_bucket(bucket_of(each.end, interval), interval), frame.end),
        )
        for each in written
    )
    joined: list[Stretch] = []
    for start, end in spans:
        if joined and start <= joined[-1].end:
            joined[-1] = Stretch(joined[-1].start, max(joined[-1].end, end))
        elif start < end:
            joined.append(Stretch(start, end))
    return _fewer(joined)


def _fewer(stretches: list[Stretch]) -> list[Stretch]:
    distances = sorted(
        range(1, len(stretches)), key=lambda place: stretches[place].start - stretches[place - 1].end
    )
    kept = set(distances[len(stretches) - MOST_STRETCHES :]) if len(stretches) > MOST_STRETCHES else None
    if kept is None:
        return stretches
    fewer: list[Stretch] = []
    for place, each in enumerate(stretches):
        if fewer and place not in kept:
            fewer[-1] = Stretch(fewer[-1].start, each.end)
        else:
            fewer.append(each)
    return fewer
