"""The completeness map: each cell is what a read of its time would be told, and a row is written shortly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.certificate import TAIL_TOLERANCE, moments_of_answers, with_candles_up_to
from krakendata.completeness_map import (
    LETTERS,
    MOST_CELLS,
    STEPS,
    CellState,
    Frame,
    counts_of,
    first_trade_of,
    frame_of,
    judge_cells,
    run_lengths,
    stretches_of,
)
from krakendata.gaps import CandleRun, IdRange, Ledger, Stretch, TradeCheck, TradeRun, coverage_of
from krakendata.types import INTERVALS, NS_PER_SECOND, archive_trade_id, ns_of

DAY = datetime(2024, 3, 4, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = DAY + timedelta(days=30)
BY_LETTER = {letter: state for state, letter in LETTERS.items()}


def at(minutes: float) -> datetime:
    return DAY + timedelta(minutes=minutes)


def run(first_id: int, last_id: int, start: float, end: float) -> TradeRun:
    return TradeRun(first_id, last_id, ns_of(at(start)), ns_of(at(end)))


def archive_run(start: float, end: float) -> TradeRun:
    first, last = ns_of(at(start)), ns_of(at(end))
    return TradeRun(
        archive_trade_id(first // NS_PER_SECOND, 0), archive_trade_id(last // NS_PER_SECOND, 3), first, last
    )


def frame(start: float, end: float, step: str = "5m") -> Frame:
    return Frame(at(start), at(end), INTERVALS[step])


def cells(ledger: Ledger, absent: Sequence[IdRange] = (), now: datetime = LATER) -> str:
    return judge_cells(frame(0, 60), ledger, absent, now)


def test_nothing_collected_is_missing() -> None:
    assert cells(Ledger()) == 12 * "m"


def test_a_cell_with_a_hole_in_any_moment_of_it_is_missing() -> None:
    ledger = Ledger((run(10, 20, -5, 21), run(22, 30, 22, 70)))
    assert cells(ledger) == "ppppmppppppp"


def test_before_the_first_trade_of_all_the_pair_was_not_listed() -> None:
    assert cells(Ledger((run(1, 20, 16, 70),))) == "bbbppppppppp"


def test_of_a_pair_that_was_never_traded_nothing_is_missing_up_to_the_check() -> None:
    ledger = Ledger(check=TradeCheck(0, ns_of(at(30))))
    assert cells(ledger) == "bbbbbbmmmmmm"
    assert first_trade_of(ledger) == at(30)


def test_where_the_first_trade_is_not_held_nobody_knows_of_a_listing() -> None:
    assert cells(Ledger((run(7, 20, 16, 70),))) == "mmmmpppppppp"


def test_ids_the_exchange_lacks_are_its_own_hole_where_they_would_have_been_traded() -> None:
    absent = IdRange(21, 22)
    ledger = Ledger((run(10, 20, -5, 21), run(23, 30, 33, 70)), (absent,))
    assert cells(ledger, [absent]) == "ppppxppppppp"


def test_archives_are_provisional_and_a_hole_beside_them_is_missing() -> None:
    ledger = Ledger((archive_run(10, 20), run(10, 20, 30, 70)))
    # The archive tells its last second too, so that the fifth cell is half of each.
    assert cells(ledger) == "mmvvmmpppppp"


def test_candles_tell_about_cells_that_are_as_long_and_not_about_shorter_ones() -> None:
    ledger = Ledger(candle_runs=(CandleRun(60, at(0), at(0)),))
    assert judge_cells(frame(0, 120, "1h"), ledger, (), LATER) == "vm"
    assert judge_cells(frame(0, 60), ledger, (), LATER) == 12 * "m"


def test_what_is_ahead_is_not_judged_and_the_cell_that_goes_on_is_so_far() -> None:
    ledger = Ledger((run(1, 20, 0, 32),), check=TradeCheck(20, ns_of(at(33))))
    assert cells(ledger, now=at(33)) == "pppppppaaaaa"


def test_a_tail_is_missing_once_it_is_older_than_the_tolerance() -> None:
    ledger = Ledger((run(1, 20, 0, 30),))
    assert cells(ledger, now=at(30) + TAIL_TOLERANCE) == "ppppppaaaaaa"
    assert cells(ledger, now=at(31) + TAIL_TOLERANCE) == "ppppppmaaaaa"


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(hours=1), "1m"),
        (timedelta(days=1), "1m"),
        (timedelta(days=5), "5m"),
        (timedelta(days=31), "1h"),
        (timedelta(days=366), "1d"),
        (timedelta(days=4 * 365), "1d"),
        (timedelta(days=13 * 365), "1w"),
    ],
)
def test_the_cells_are_as_short_as_a_screen_can_show(length: timedelta, step: str) -> None:
    assert frame_of(Stretch(DAY, DAY + length)).step.name == step


@given(
    st.integers(0, 6000).map(lambda hours: DAY - timedelta(days=3800) + 17 * hours * timedelta(hours=1)),
    st.timedeltas(timedelta(0), timedelta(days=40 * 365)),
)
def test_a_frame_holds_the_time_asked_for_in_whole_cells(start: datetime, length: timedelta) -> None:
    found = frame_of(Stretch(start, start + length))
    assert found.start <= start < found.end
    assert 1 <= found.cells <= MOST_CELLS
    assert found.start + found.cells * found.step.length == found.end
    if found.cells < MOST_CELLS:
        assert found.end >= start + length
    assert found.step in STEPS


MINUTES = st.integers(min_value=0, max_value=120)


@st.composite
def known(draw: st.DrawFn) -> tuple[Ledger, tuple[IdRange, ...]]:
    """A ledger of trades in runs with steps between some ids, some answered, archives anywhere, perhaps a check; and
    which of the answers are the exchange's."""
    runs, answers, absent = [], [], []
    next_id, minute = draw(st.integers(1, 2)), draw(MINUTES)
    for _ in range(draw(st.integers(0, 6))):
        missing, answered = draw(st.integers(0, 2)), draw(st.booleans())
        if missing and answered:
            answers.append(IdRange(next_id, next_id + missing - 1))
            absent += [answers[-1]] if draw(st.booleans()) else []
        next_id += missing
        trades, length, pause = draw(st.integers(1, 9)), draw(st.integers(0, 20)), draw(st.integers(0, 20))
        runs.append(run(next_id, next_id + trades - 1, minute, minute + length))
        next_id, minute = next_id + trades, minute + length + pause
    spans = draw(st.lists(st.tuples(MINUTES, MINUTES).map(sorted), max_size=3))
    archives = [archive_run(*span) for span in spans]
    candles = [CandleRun(draw(st.sampled_from([1, 5, 60])), at(a), at(b)) for a, b in spans]
    check = TradeCheck(next_id - 1, ns_of(at(minute + draw(MINUTES)))) if draw(st.booleans()) else None
    return Ledger((*archives, *runs), tuple(answers), tuple(candles), check), tuple(absent)


@given(
    known(),
    st.sampled_from(["1m", "5m", "1h"]),
    st.integers(-2, 4),
    st.integers(1, 60),
    st.integers(-60, 400),
)
def test_the_map_of_a_range_is_the_coverage_of_each_of_its_cells(
    found: tuple[Ledger, tuple[IdRange, ...]], step: str, first: int, count: int, now_minute: int
) -> None:
    ledger, absent = found
    interval, now = INTERVALS[step], at(now_minute) + timedelta(seconds=7)
    start = DAY + first * interval.length
    asked = Frame(start, start + count * interval.length, interval)
    letters = judge_cells(asked, ledger, absent, now)
    assert len(letters) == count
    told = with_candles_up_to(ledger, interval.minutes)
    so_far = max(start, min(asked.end, now))
    tail = coverage_of(Stretch(start, so_far), told).holes[-1:]
    is_fresh = bool(tail) and tail[0].end == so_far and now - tail[0].start <= TAIL_TOLERANCE
    until = tail[0].start if is_fresh else so_far
    lacking = [moment for moment, _ in moments_of_answers(absent, ledger)]
    listed = first_trade_of(ledger)
    for place, letter in enumerate(letters):
        cell = Stretch(start + place * interval.length, start + (place + 1) * interval.length)
        judged = Stretch(cell.start, min(cell.end, until))
        coverage = coverage_of(judged, told)
        if judged.start >= judged.end:
            wanted = CellState.AHEAD
        elif coverage.holes:
            wanted = CellState.MISSING
        elif coverage.provisional:
            wanted = CellState.PROVISIONAL
        elif listed is not None and cell.end <= listed:
            wanted = CellState.BEFORE_LISTING
        elif any(cell.start <= moment < cell.end for moment in lacking):
            wanted = CellState.EXCHANGE_HOLE
        else:
            wanted = CellState.PROVEN
        assert BY_LETTER[letter] == wanted, cell


@given(st.text(alphabet="".join(BY_LETTER), max_size=200))
def test_a_row_is_written_as_runs_and_read_again(row: str) -> None:
    written = run_lengths(row)
    read = "".join(
        letter * int(number)
        for letter, number in zip(
            [each for each in written if each.isalpha()],
            "".join(each if each.isdigit() else " " for each in written).split(),
            strict=True,
        )
    )
    assert read == row
    assert sum(counts_of(row).values()) == len(row)
    shown = frame(0, 5 * len(row))
    stretches = list(stretches_of(shown, row))
    assert [each.start for _, each in stretches[1:]] == [each.end for _, each in stretches[:-1]]
    assert (
        "".join(LETTERS[state] * ((each.end - each.start) // (5 * MINUTE)) for state, each in stretches)
        == row
    )
