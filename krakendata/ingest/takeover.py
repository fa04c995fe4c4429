"""Which whole minutes runs of exact trades cover, and so take over from archives and given candles."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from krakendata.storage.ledger import HeldRun, Holdings

NS_PER_MINUTE = 60_000_000_000

# Below the fence the 5-minute bucket is the smallest thing stored, so a block may not end inside one.
UNIT_MINUTES = 5
NS_PER_UNIT = UNIT_MINUTES * NS_PER_MINUTE

Span = tuple[int, int]


def covered_minutes(
    runs: Sequence[HeldRun], held: Holdings, next_id: int | None, opens_ns: int | None = None
) -> list[Span]:
    """The whole minutes [start, end) that runs of exact ids cover, in nanoseconds since the epoch, in order.

    `runs` are new and in order, `held` does not have them yet. Between two contiguous trades every minute is
    covered. `next_id` is the id of the first row behind the block, in another unit of five minutes; `opens_ns` the
    start of a unit between which and the first row nothing was traded, as far as the exchange says.
    """
    by_last = {run.last_id: run for run in runs}
    by_first = {run.first_id: run for run in runs}
    spans = []
    for run in runs:
        before = by_last.get(run.first_id - 1) or held.ending_at(run.first_id - 1)
        behind = by_first.get(run.last_id + 1) or held.starting_at(run.last_id + 1)
        opened = opens_ns if run is runs[0] else None
        start, end = _start(run, before, opened), _end(run, behind, goes_on=next_id == run.last_id + 1)
        if start < end:
            spans.append((start, end))
    return _joined(spans)


def shared_minutes(runs: Sequence[HeldRun], held: Holdings, covered: Sequence[Span]) -> set[int]:
    """The covered minutes, counted from the epoch, of which a held run already has some trades."""
    shared = set()
    for run in runs:
        before, behind = held.ending_at(run.first_id - 1), held.starting_at(run.last_id + 1)
        if before is not None and before.last_ns // NS_PER_MINUTE == run.first_ns // NS_PER_MINUTE:
            shared.add(run.first_ns // NS_PER_MINUTE)
        if behind is not None and behind.first_ns // NS_PER_MINUTE == run.last_ns // NS_PER_MINUTE:
            shared.add(run.last_ns // NS_PER_MINUTE)
    return {minute for minute in shared if is_within(covered, minute * NS_PER_MINUTE, NS_PER_MINUTE)}


def is_whole(minute: int, covered: Sequence[Span], shared: set[int], fence_ns: int) -> bool:
    """Whether a block has every trade of the minute's unit: the minute itself, below the fence its five minutes."""
    if minute * NS_PER_MINUTE >= fence_ns:
        return minute not in shared and is_within(covered, minute * NS_PER_MINUTE, NS_PER_MINUTE)
    first = minute // UNIT_MINUTES * UNIT_MINUTES
    return shared.isdisjoint(range(first, first + UNIT_MINUTES)) and is_within(
        covered, first * NS_PER_MINUTE, NS_PER_UNIT
    )


def is_within(spans: Sequence[Span], start: int, length: int) -> bool:
    """Whether [start, start + length) lies within one of the spans, which are in order and apart."""
    place = bisect_right(spans, start, key=lambda span: span[0]) - 1
    return place >= 0 and start + length <= spans[place][1]


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _start(run: HeldRun, before: HeldRun | None, opens_ns: int | None) -> int:
    if run.first_id == 1:
        # Nothing was before the pair's first trade: its five minutes begin with it.
        return run.first_ns // NS_PER_UNIT * NS_PER_UNIT
    if before is None:
        return opens_ns if opens_ns is not None and opens_ns <= run.first_ns else _ceiling(run.first_ns)
    # The minute of the trade before is whole unless the run before begins in it.
    return max(_floor(before.last_ns), 0 if before.first_id == 1 else _ceiling(before.first_ns))


def _end(run: HeldRun, behind: HeldRun | None, goes_on: bool) -> int:
    if behind is not None:
        # Likewise the minute of the trade behind, unless the run behind ends in it.
        return min(_ceiling(behind.first_ns + 1), _floor(behind.last_ns))
    if goes_on:
        return run.last_ns // NS_PER_UNIT * NS_PER_UNIT + NS_PER_UNIT
    return _floor(run.last_ns)


def _floor(ns: int) -> int:
    return ns // NS_PER_MINUTE * NS_PER_MINUTE


def _ceiling(ns: int) -> int:
    return -(-ns // NS_PER_MINUTE) * NS_PER_MINUTE
