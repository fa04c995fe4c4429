"""Which whole minutes runs of exact trades cover, and so take over from archives and given candles."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence

from krakendata.gaps import TradeCheck
from krakendata.storage.ledger import HeldRun, Holdings

NS_PER_MINUTE = 60_000_000_000

# Below the fence the 5-minute bucket is the smallest thing stored, so a block may not end inside one.
UNIT_MINUTES = 5
NS_PER_UNIT = UNIT_MINUTES * NS_PER_MINUTE

Span = tuple[int, int]


def covered_minutes(
    runs: Sequence[HeldRun],
    held: Holdings,
    next_id: int | None,
    opens_ns: int | None = None,
    beside: Collection[int] = (),
) -> list[Span]:
    """The whole minutes [start, end) that runs of exact ids cover, in nanoseconds since the epoch, in order.

    `runs` are new and in order, `held` does not have them yet. Between two contiguous trades every minute is
    covered, ids that are answered for without a trade being no step. `next_id` is the id of the first row behind the
    block, in another unit of five minutes, and `beside` are ids of further such rows, on either side; `opens_ns` the
    start of a unit between which and the first row nothing was traded, as far as the exchange says.
    """
    further = () if next_id is None else (next_id,)
    neighbours = _Neighbours(runs, held, {*beside, *further}, opens_ns)
    spans = [(neighbours.start(run), neighbours.end(run)) for run in runs]
    return _joined(span for span in spans if span[0] < span[1])


class _Neighbours:
    """What lies beside runs, new ones and held ones alike."""

    def __init__(
        self,
        runs: Sequence[HeldRun],
        held: Holdings,
        beside: Collection[int] = (),
        opens_ns: int | None = None,
    ) -> None:
        self._by_last = {run.last_id: run for run in runs}
        self._by_first = {run.first_id: run for run in runs}
        self._held = held
        self._beside = beside
        self._first = runs[0] if runs else None
        self._opens_ns = opens_ns

    def start(self, run: HeldRun) -> int:
        """From when on nothing before the run's end is left out."""
        before = self._before(run)
        if before is None:
            if self._is_beginning(run):
                return run.first_ns // NS_PER_UNIT * NS_PER_UNIT
            return self._opened(run) or _ceiling(run.first_ns)
        # The minute of the trade before is whole unless what is known before it begins in it.
        minute = _floor(before.last_ns)
        first = self.earliest(before, minute)
        return minute if self.is_known_from(first, minute) else max(minute, _ceiling(first.first_ns))

    def earliest(self, run: HeldRun, minute: int) -> HeldRun:
        """The run, or where it begins in the minute one that is joined to it and begins earlier, if there is one."""
        while run.first_ns >= minute and (before := self._before(run)) is not None:
            run = before
        return run

    def is_known_from(self, first: HeldRun, minute: int) -> bool:
        """Whether nothing of the minute before the first run is left out."""
        return first.first_ns < minute or self._is_beginning(first) or self._opened(first) is not None

    def end(self, run: HeldRun) -> int:
        """Up to when nothing from the run's start on is left out."""
        behind = self._behind(run)
        if behind is None:
            unit = run.last_ns // NS_PER_UNIT * NS_PER_UNIT
            return unit + NS_PER_UNIT if self._goes_on(run) else _floor(run.last_ns)
        # Likewise the minute of the trade behind, unless what is known behind it ends in it.
        minute = _ceiling(behind.first_ns + 1)
        last = behind
        while last.last_ns < minute and (further := self._behind(last)) is not None:
            last = further
        return minute if self._goes_on(last) else min(minute, _floor(last.last_ns))

    def _before(self, run: HeldRun) -> HeldRun | None:
        last_id = self._held.id_before(run.first_id)
        return self._by_last.get(last_id) or self._held.ending_at(last_id)

    def _behind(self, run: HeldRun) -> HeldRun | None:
        first_id = self._held.id_behind(run.last_id)
        return self._by_first.get(first_id) or self._held.starting_at(first_id)

    def _is_beginning(self, run: HeldRun) -> bool:
        """Whether its five minutes begin with the run: nothing was before the pair's first trade."""
        before = self._held.id_before(run.first_id)
        return before == 0 or before in self._beside

    def _opened(self, run: HeldRun) -> int | None:
        is_known = run is self._first and self._opens_ns is not None and self._opens_ns <= run.first_ns
        return self._opens_ns if is_known else None

    def _goes_on(self, run: HeldRun) -> bool:
        return self._held.id_behind(run.last_id) in self._beside


def shared_minutes(runs: Sequence[HeldRun], held: Holdings, covered: Sequence[Span]) -> set[int]:
    """The covered minutes, counted from the epoch, of which a held run already has some trades, or all.

    Of the minute that a run ended in nobody could say whether it was whole; the trade behind it says so.
    """
    minutes = set()
    for run in runs:
        before = held.ending_at(held.id_before(run.first_id))
        behind = held.starting_at(held.id_behind(run.last_id))
        minutes |= {before.last_ns // NS_PER_MINUTE} if before is not None else set()
        minutes |= {behind.first_ns // NS_PER_MINUTE} if behind is not None else set()
    return {minute for minute in minutes if is_within(covered, minute * NS_PER_MINUTE, NS_PER_MINUTE)}


def checked_minute(held: Holdings, check: TradeCheck) -> int | None:
    """The first nanosecond of the newest trade's minute, if the check is later and nothing of it is left out.

    What is traded next would have made it whole as well; a pair may be quiet for hours.
    """
    run = held.ending_at(held.id_before(check.last_id + 1))
    if run is None or _floor(run.last_ns) + NS_PER_MINUTE > check.checked_ns:
        return None
    minute, neighbours = _floor(run.last_ns), _Neighbours((), held)
    return minute if neighbours.is_known_from(neighbours.earliest(run, minute), minute) else None


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


def _floor(ns: int) -> int:
    return ns // NS_PER_MINUTE * NS_PER_MINUTE


def _ceiling(ns: int) -> int:
    return -(-ns // NS_PER_MINUTE) * NS_PER_MINUTE
