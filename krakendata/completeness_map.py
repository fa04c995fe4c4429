"""The completeness map: a pair's time in cells of one length, each judged as a read of that time is judged.

The ledger alone speaks here, through `gaps.coverage_of`; nothing is judged a second time. A cell is

    missing          a moment of it is a hole
    provisional      it has no hole, and a moment of it is only given by archives without ids
    before_listing   it ends before the pair's first trade: there was nothing to collect
    exchange_hole    proven, and the exchange itself lacks ids there: it said so twice
    proven           proven
    ahead            nothing of it can be known yet

The cell that goes on is judged up to the present, but what is younger than the tail's tolerance is not missing yet.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from krakendata.certificate import TAIL_TOLERANCE, moments_of_answers, with_candles_up_to
from krakendata.gaps import FIRST_TRADE_ID, Coverage, IdRange, Ledger, Stretch, coverage_of, islands_of
from krakendata.intervals import bucket_of, first_bucket, next_bucket
from krakendata.types import INTERVALS, Interval, moment_of

__all__ = [
    "LETTERS",
    "MOST_CELLS",
    "STEPS",
    "CellState",
    "Frame",
    "counts_of",
    "first_trade_of",
    "frame_of",
    "judge_cells",
    "judged_until",
    "run_lengths",
    "stretches_of",
]

# A day's minutes, and four years of days: about as many as a wide screen has pixels.
MOST_CELLS = 1_500

STEPS = tuple(INTERVALS[name] for name in ("1m", "5m", "1h", "1d", "1w"))


class CellState(StrEnum):
    """What is known of a cell."""

    PROVEN = "proven"
    EXCHANGE_HOLE = "exchange_hole"
    PROVISIONAL = "provisional"
    MISSING = "missing"
    BEFORE_LISTING = "before_listing"
    AHEAD = "ahead"


# By which a row of cells is written.
LETTERS = {
    CellState.PROVEN: "p",
    CellState.EXCHANGE_HOLE: "x",
    CellState.PROVISIONAL: "v",
    CellState.MISSING: "m",
    CellState.BEFORE_LISTING: "b",
    CellState.AHEAD: "a",
}
_STATES = {letter: state for state, letter in LETTERS.items()}
_RUN = re.compile(r"(.)\1*")


class Frame(NamedTuple):
    """The time that a map shows, in whole cells of `step`; aware UTC, half open."""

    start: datetime
    end: datetime
    step: Interval

    @property
    def stretch(self) -> Stretch:
        """Its time."""
        return Stretch(self.start, self.end)

    @property
    def cells(self) -> int:
        """How many there are."""
        return (self.end - self.start) // self.step.length


def frame_of(asked: Stretch) -> Frame:
    """The frame around a stretch: in the shortest cells of which there are not too many, from their own beginnings."""
    for step in STEPS:
        frame = Frame(bucket_of(asked.start, step), first_bucket(asked.end, step), step)
        if frame.end <= frame.start:
            frame = frame._replace(end=next_bucket(frame.start, step))
        if frame.cells <= MOST_CELLS:
            return frame
    # 28 years and more: cut, for nobody trades so long.
    return frame._replace(end=frame.start + MOST_CELLS * frame.step.length)


def first_trade_of(ledger: Ledger) -> datetime | None:
    """When the pair's first trade was; None where that is not known, or where it is before what the ledger tells of.

    Of a pair that was never traded, the moment when the exchange said so.
    """
    islands = islands_of(ledger)
    if islands and islands[0].first_id == FIRST_TRADE_ID:
        return moment_of(islands[0].first_ns)
    if not islands and ledger.check is not None and ledger.check.last_id < FIRST_TRADE_ID:
        return moment_of(ledger.check.checked_ns)
    return None


def judged_until(coverage: Coverage, now: datetime) -> datetime:
    """Up to when there is something to judge: the end of what was asked, or where a tail begins that is too young to
    be missing."""
    holes, end = coverage.holes, coverage.asked.end
    is_fresh = bool(holes) and holes[-1].end == end and now - holes[-1].start <= TAIL_TOLERANCE
    return holes[-1].start if is_fresh else end


def judge_cells(frame: Frame, ledger: Ledger, absent: Iterable[IdRange], now: datetime) -> str:
    """The cells of a frame, a letter each. `ledger`: what it takes to judge the frame; `absent` ids the exchange
    does not have."""
    asked = Stretch(frame.start, max(frame.start, min(frame.end, now)))
    coverage = coverage_of(asked, with_candles_up_to(ledger, frame.step.minutes))
    until = judged_until(coverage, now)
    coverage = coverage.within(Stretch(frame.start, until))
    cells = _Cells(frame, until)
    lacking = tuple(absent)
    for moment, _ in moments_of_answers(lacking, ledger) if lacking else ():
        cells.paint(CellState.EXCHANGE_HOLE, Stretch(moment, moment + timedelta.resolution))
    if (first := first_trade_of(ledger)) is not None:
        cells.paint_before(CellState.BEFORE_LISTING, first)
    for stretch in coverage.provisional:
        cells.paint(CellState.PROVISIONAL, stretch)
    for stretch in coverage.holes:
        cells.paint(CellState.MISSING, stretch)
    return cells.letters()


class _Cells:
    """A row that is painted over, the worst last."""

    def __init__(self, frame: Frame, until: datetime) -> None:
        self._frame = frame
        self._judged = self._behind(until)
        self._letters = bytearray(LETTERS[CellState.PROVEN] * self._judged, "ascii")

    def paint(self, state: CellState, stretch: Stretch) -> None:
        """Every cell that a moment of `stretch` lies in."""
        first = max(0, (stretch.start - self._frame.start) // self._frame.step.length)
        self._fill(state, first, min(self._judged, self._behind(stretch.end)))

    def paint_before(self, state: CellState, moment: datetime) -> None:
        """Every cell that ends by `moment`."""
        self._fill(state, 0, min(self._judged, (moment - self._frame.start) // self._frame.step.length))

    def letters(self) -> str:
        ahead = LETTERS[CellState.AHEAD] * (self._frame.cells - self._judged)
        return self._letters.decode("ascii") + ahead

    def _behind(self, moment: datetime) -> int:
        """The first cell that starts at `moment` or later."""
        return -((self._frame.start - moment) // self._frame.step.length)

    def _fill(self, state: CellState, first: int, behind: int) -> None:
        if first < behind:
            self._letters[first:behind] = LETTERS[state].encode("ascii") * (behind - first)


def run_lengths(cells: str) -> str:
    """A row with each run of one letter as the letter and a number: "b340p12m1"."""
    return "".join(f"{run[1]}{len(run[0])}" for run in _RUN.finditer(cells))


def stretches_of(frame: Frame, cells: str) -> Iterator[tuple[CellState, Stretch]]:
    """The same as stretches of one state, in order."""
    step = frame.step.length
    for run in _RUN.finditer(cells):
        yield _STATES[run[1]], Stretch(frame.start + run.start() * step, frame.start + run.end() * step)


def counts_of(cells: str) -> dict[CellState, int]:
    """How many cells there are of each state."""
    found = Counter(cells)
    return {state: found[letter] for state, letter in LETTERS.items()}
