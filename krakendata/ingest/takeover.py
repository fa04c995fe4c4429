"""Which whole minutes runs of exact trades take over from an archive without ids."""

from krakendata.storage.ledger import HeldRun, Holdings

NS_PER_MINUTE = 60_000_000_000

# Below the fence the 5-minute bucket is the smallest thing stored, so a block may not end inside one.
UNIT_MINUTES = 5
NS_PER_UNIT = UNIT_MINUTES * NS_PER_MINUTE


def covered_minutes(runs: list[HeldRun], held: Holdings, goes_on: bool) -> list[tuple[int, int]]:
    """The whole minutes [start, end) that each run of exact ids covers, in nanoseconds since the epoch.

    `runs` are new and in order, `held` does not have them yet. Between two contiguous trades every minute is
    covered; `goes_on` says that the file continues behind the last run, in another unit of five minutes.
    """
    by_last = {run.last_id: run for run in runs}
    by_first = {run.first_id: run for run in runs}
    spans = []
    for run in runs:
        before = by_last.get(run.first_id - 1) or held.ending_at(run.first_id - 1)
        behind = by_first.get(run.last_id + 1) or held.starting_at(run.last_id + 1)
        start, end = _start(run, before), _end(run, behind, goes_on=goes_on and run is runs[-1])
        if start < end:
            spans.append((start, end))
    return spans


def _start(run: HeldRun, before: HeldRun | None) -> int:
    if run.first_id == 1:
        return _floor(run.first_ns)
    if before is None:
        return _ceiling(run.first_ns)
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
