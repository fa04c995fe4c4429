"""Following a pair's trades page by page, and telling what an answer left out from what the exchange does not have.

No I/O: the caller asks what `since` says and hands over the answer. A page may overlap the one before or, where
`since` is exclusive, begin behind it; it may be repeated, short, or lack `last`, or end inside a burst of trades of one
nanosecond (kraken-facts 1.3). So the ids alone decide. Where they jump, the same place is asked for again, and only
what two answers that show both sides of the jump leave out is the exchange's own hole. The times of trades need not be
in the order of their ids, and the ledger's may be another source's: each question about a jump goes further back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import polars as pl

from krakendata.errors import Unavailable
from krakendata.gaps import IdRange
from krakendata.ingest.doubtful_rows import PlacedRejection
from krakendata.ingest.trade_frame import TradeRows

# REST gives times as doubles, exact to 240 ns (kraken-facts 1.3): so far back the cursor surely precedes the trade.
MARGIN_NS = 1_000

# How far before the last trade the questions about one jump begin, after an answer that came to it by itself.
REACHES_NS = (MARGIN_NS, 10**6, 10**9, 10**12, 10**15)

# A question that began so much earlier surely began before what is missing: the exchange has re-timed trades by half a
# second (kraken-facts 5).
SURELY_BEFORE_NS = 10**9

# The first trade of all, by which a pair's beginning is asked for.
BEGINNING = "0"

# How many answers have to leave ids out before they count as the exchange's own hole.
SAYINGS = 2

# Answers about one jump, or without anything new, before the walk goes on without it or gives up.
PATIENCE = 5

# Answers that lead no further than any before, before the walk gives up: many, as short pages of known rows count.
STALLED = 30

# The most that the exchange puts on a page: a full one that shows nothing new may be one burst.
PAGE_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What of an answer is to be written: its rows up to where it had to be asked again, and ids the exchange lacks.

    `rows.read` counts these rows alone; the others will be read again. `is_news`: something of it was not known.
    """

    rows: TradeRows
    absent: tuple[IdRange, ...] = ()
    is_news: bool = True

    @property
    def answered(self) -> int:
        """How many ids are answered for without a trade: absent ones, and rejected ones that are known."""
        absent = sum(each.last_id - each.first_id + 1 for each in self.absent)
        return absent + len(_named(self.rows.rejections))


@dataclass(slots=True)
class _Jump:
    """Ids that answers left out: how many, how many of them are sayings, and from where to where those went.

    A saying shows the trades on both sides, and begins so early that what is missing could not lie before it.

    An answer may be an old one repeated, so two that show the very same rows are not yet two sayings.
    """

    answers: int = 0
    sayings: int = 0
    shown: set[tuple[int, int]] = field(default_factory=set)

    def note(self, ids: list[int], is_saying: bool) -> None:
        self.answers += 1
        if is_saying:
            self.sayings += 1
            self.shown.add((ids[0], ids[-1]))

    @property
    def is_open(self) -> bool:
        """Whether it is worth asking again."""
        return len(self.shown) < SAYINGS and self.answers < PATIENCE

    @property
    def is_said(self) -> bool:
        """Whether the exchange has said often enough that it does not have them."""
        return not self.is_open and self.sayings >= SAYINGS


@dataclass(frozen=True, slots=True)
class Target:
    """Where a walk ends: with the id `until_id` or with the first trade at `until_ns`, whichever comes first.

    `before_id` is the first id known beyond, `before_ns` its time: rows behind it are not wanted. Ids missing before
    trades younger than `settled_ns` may still appear, and are never called absent.
    """

    until_id: int | None = None
    until_ns: int | None = None
    before_id: int | None = None
    settled_ns: int = 0
    before_ns: int | None = None


@dataclass(slots=True)
class Walk:
    """A walk over ids from behind `last_id` to its target; it goes forward only.

    `last_id` None: begin with whatever the first answer begins with; 0: with the pair's first trade. `last_ns` is
    the time of that trade, or of the moment to begin at.
    """

    last_id: int | None
    last_ns: int | None
    target: Target
    since: str = field(init=False)
    is_done: bool = field(init=False, default=False)
    _jumps: dict[IdRange, _Jump] = field(init=False, default_factory=dict)
    _idle: int = field(init=False, default=0)
    _reached: int = field(init=False, default=0)
    _stalled: int = field(init=False, default=0)
    _is_blind: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.since = self._place()
        self._reached = int(self.since)
        self._settle()

    def take(self, rows: TradeRows, last: str | None) -> Taken:
        """Take the answer to `since`: its rows, and its cursor as it came.

        Raises Unavailable when answer after answer shows nothing of what is known to be there.
        """
        answer, rows = rows, self._numbered(rows)
        if self.target.before_id is not None:
            rows = _before(rows, self.target.before_id + 1)
        ids = sorted(ids_of(rows))
        stop, absent = self._follow(ids, rows)
        kept = self._without_known(rows if stop is None else _before(rows, stop))
        is_news = bool(absent or kept.rejections) or self._has_new(kept)
        advanced = self._advance(ids, kept, stop)
        shows_none = not ids and not any(ids_of(answer))
        self._is_blind = not advanced and (self._is_blind or (shows_none and answer.read >= PAGE_ROWS))
        self._settle()
        self._move(advanced, stop, last, answer, is_beyond=not ids and not shows_none)
        self._jumps = {
            missing: jump for missing, jump in self._jumps.items() if missing.last_id > (self.last_id or 0)
        }
        return Taken(kept, tuple(absent), is_news)

    def _has_new(self, rows: TradeRows) -> bool:
        """Whether there are trades between the last one and the one known beyond."""
        known = {self.target.before_id}
        last_id = self.last_id or 0
        return any(number > last_id and number not in known for number in rows.frame["trade_id"].to_list())

    def _follow(self, ids: list[int], rows: TradeRows) -> tuple[int | None, list[IdRange]]:
        """The id at which the answer has to be asked for again, if any, and what is settled to be absent before it."""
        absent: list[IdRange] = []
        shown, last = {*ids}, self.last_id
        for number in ids:
            if last is not None and number > last + 1:
                if self._is_blind:
                    # Whole pages without an id lie between: no answer can show both sides, and it stays a gap.
                    last = number
                    continue
                missing = IdRange(last + 1, number - 1)
                jump = self._jumps.setdefault(missing, _Jump())
                jump.note(ids, (last in shown or last == 0) and self._begins_before(last, rows))
                if jump.is_open:
                    return number, absent
                if jump.is_said and self._is_settled(number, rows):
                    absent.append(missing)
            last = number if last is None else max(last, number)
        return None, absent

    def _begins_before(self, last: int, rows: TradeRows) -> bool:
        """Whether an answer begins before the trade `last`, so that nothing it leaves out can lie before it."""
        times = rows.frame.filter(pl.col("trade_id") == last)["ns"].to_list()
        last_ns = times[0] if times else self.last_ns
        if last_ns is None or self.since == BEGINNING:
            return self.since == BEGINNING
        first = rows.frame["ns"].min()
        is_shown = isinstance(first, int) and first < last_ns - MARGIN_NS
        return is_shown or int(self.since) <= last_ns - SURELY_BEFORE_NS

    def _is_settled(self, number: int, rows: TradeRows) -> bool:
        """Whether what is missing before a trade cannot merely be late."""
        times = rows.frame.filter(pl.col("trade_id") >= number)["ns"]
        # Where what is known beyond is a rejected trade, no sound one is left.
        ns = self.target.before_ns if times.is_empty() else int(times[0])
        return ns is not None and ns < self.target.settled_ns

    def _advance(self, ids: list[int], kept: TradeRows, stop: int | None) -> bool:
        """Move to the last id before `stop`; whether there was a new one, or a jump to ask about."""
        reached = [number for number in ids if stop is None or number < stop]
        newest = max(reached, default=None)
        if newest is None or (self.last_id is not None and newest <= self.last_id):
            return stop is not None
        self.last_id = newest
        times = kept.frame.filter(pl.col("trade_id") <= newest)["ns"]
        if not times.is_empty():
            self.last_ns = max(self.last_ns or 0, int(times[-1]))
        return True

    def _settle(self) -> None:
        has_ids = (
            self.last_id is not None
            and self.target.until_id is not None
            and self.last_id >= self.target.until_id
        )
        has_time = (
            self.target.until_ns is not None
            and self.last_ns is not None
            and self.last_ns >= self.target.until_ns
        )
        self.is_done = has_ids or has_time

    def _move(
        self, advanced: bool, stop: int | None, last: str | None, answer: TradeRows, *, is_beyond: bool
    ) -> None:
        """Set what to ask next: from before the jump, or from where the answer ended.

        An answer is idle that brings neither a new id nor the cursor forward, or is all behind the target.
        """
        ended = int(last) if last is not None and last.isdecimal() else _end_of(answer)
        goes_on = stop is None and ended > int(self.since)
        is_progress = advanced or (goes_on and answer.read > 0 and not is_beyond)
        # Whoever goes back to before the last trade, and on again, has got no further.
        self._stalled = 0 if advanced or ended > self._reached else self._stalled + 1
        self._reached = max(self._reached, ended)
        self._idle = 0 if is_progress else self._idle + 1
        if self._idle >= PATIENCE or self._stalled >= STALLED:
            end = "the newest" if self.target.until_id is None else self.target.until_id
            raise Unavailable(
                f"The exchange has trades behind id {self.last_id or 0}, up to {end}, "
                f"but answer after answer from {self.since} on showed none of them."
            )
        if stop is not None:
            self.since = self._place(self._jumps[IdRange((self.last_id or 0) + 1, stop - 1)].answers)
        elif goes_on:
            self.since = str(ended)
        elif answer.read >= PAGE_ROWS and not advanced and self.since == last:
            # A whole page of one nanosecond: further trades of it cannot be asked for, those behind it can.
            self.since = str(int(self.since) + 1)
        else:
            self.since = self._place()

    def _place(self, asked: int = 0) -> str:
        """The cursor before the last trade: just before it, further the more often it was asked."""
        if self.last_ns is None:
            return BEGINNING
        return str(max(0, self.last_ns - REACHES_NS[asked]))

    def _numbered(self, rows: TradeRows) -> TradeRows:
        """Rejected rows without an id stand for the ids that are missing in their place, where there are as many.

        Kraken has given id 0 to many trades at once, with right ids on both sides (kraken-facts 5).
        """
        nameless = [placed.line for placed in rows.rejections if placed.trade_id is None]
        if not nameless:
            return rows
        known = {**dict(rows.frame.select("line", "trade_id").iter_rows()), **_named(rows.rejections)}
        numbers = _numbers_between(known, nameless, self.last_id)
        return replace(
            rows,
            rejections=[
                replace(placed, trade_id=numbers[placed.line]) if placed.trade_id is None else placed
                for placed in rows.rejections
                if placed.trade_id is not None or placed.line in numbers
            ],
        )

    def _without_known(self, rows: TradeRows) -> TradeRows:
        """Rows of the answer before that were rejected then: once is enough, they count as duplicates now."""
        last_id = self.last_id or 0
        fresh = [placed for placed in rows.rejections if placed.trade_id is None or placed.trade_id > last_id]
        return replace(rows, rejections=fresh)


def _end_of(rows: TradeRows) -> int:
    """The cursor behind an answer that came without one: just before its last trade."""
    newest = rows.frame["ns"].max()
    return newest - MARGIN_NS if isinstance(newest, int) else 0


def ids_of(rows: TradeRows) -> Iterable[int]:
    """The ids of rows, those of rejected ones included."""
    yield from rows.frame["trade_id"].to_list()
    yield from _named(rows.rejections).values()


def _named(rejections: Iterable[PlacedRejection]) -> dict[int, int]:
    return {placed.line: placed.trade_id for placed in rejections if placed.trade_id is not None}


def _numbers_between(
    known: dict[int, int], nameless: list[int], last_id: int | None
) -> dict[int, int | None]:
    """Ids for the lines without one that lie between lines that have one; None where their number does not fit.

    Lines that are left out will be met again: those behind the last known id with the trade that comes next, those
    before the first one by whoever comes from there. Of the latter, what is not behind `last_id` was met before, and
    fewer than are missing may be the end of what the page before had.
    """
    numbers: dict[int, int | None] = {}
    group: list[int] = []
    before, is_first = last_id, True
    waiting = set(nameless)
    for line in sorted({*known, *waiting}):
        if line in waiting:
            group.append(line)
            continue
        step = known[line] - before - 1 if before is not None else 0
        if is_first:
            group = group[max(0, len(group) - step) :] if step > 0 else []
        fits = len(group) == step
        if fits or not is_first:
            numbers.update(
                (each, known[line] - len(group) + place if fits else None) for place, each in enumerate(group)
            )
        before, group, is_first = known[line], [], False
    return numbers


def _before(rows: TradeRows, stop: int) -> TradeRows:
    """The rows with ids below `stop`, and those without one that come before such a row."""
    lines = rows.frame.filter(pl.col("trade_id") < stop)["line"].to_list()
    lines += [line for line, number in _named(rows.rejections).items() if number < stop]
    cut = max(lines, default=0)

    def is_before(placed: PlacedRejection) -> bool:
        return placed.line < cut if placed.trade_id is None else placed.trade_id < stop

    frame = rows.frame.filter(pl.col("trade_id") < stop)
    rejections = [placed for placed in rows.rejections if is_before(placed)]
    return TradeRows(frame, rejections, frame.height + len(rejections))
