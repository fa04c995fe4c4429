"""Runs of exact ids cover whole minutes: up to the neighbours that are held, and no further than they know."""

from __future__ import annotations

import pytest

from krakendata.gaps import IdRange, TradeCheck
from krakendata.ingest.takeover import checked_minute, covered_minutes, shared_minutes
from krakendata.storage.ledger import HeldRun, Holdings

SECOND = 10**9


def run(first_id: int, last_id: int, first_second: int, last_second: int) -> HeldRun:
    count = last_id - first_id + 1
    return HeldRun(
        first_id, last_id, first_second * SECOND, last_second * SECOND, count, "archive", stored=True
    )


def covered(
    *runs: HeldRun,
    held: tuple[HeldRun, ...] = (),
    answered: tuple[tuple[int, int], ...] = (),
    next_id: int | None = None,
) -> list[tuple[int, int]]:
    """The covered stretches in seconds."""
    holdings = Holdings(held, [IdRange(*each) for each in answered])
    return [(start // SECOND, end // SECOND) for start, end in covered_minutes(list(runs), holdings, next_id)]


def test_the_minutes_at_both_ends_may_not_be_whole() -> None:
    assert covered(run(5, 9, 70, 290)) == [(120, 240)]


def test_a_run_within_a_minute_covers_none() -> None:
    assert covered(run(5, 9, 70, 80)) == []


def test_nothing_was_before_the_first_trade_of_a_pair() -> None:
    assert covered(run(1, 9, 370, 590)) == [(300, 540)]


def test_a_file_that_goes_on_covers_its_last_five_minutes() -> None:
    assert covered(run(5, 9, 70, 290), next_id=10) == [(120, 300)]


def test_a_run_goes_on_from_the_minute_of_the_trade_before() -> None:
    assert covered(run(5, 9, 400, 490), held=(run(2, 4, 10, 190),)) == [(180, 480)]


def test_a_run_before_that_begins_in_its_last_minute_leaves_that_minute_open() -> None:
    assert covered(run(5, 9, 400, 490), held=(run(2, 4, 185, 190),)) == [(240, 480)]


def test_a_run_reaches_to_the_minute_of_the_trade_behind() -> None:
    assert covered(run(5, 9, 70, 290), held=(run(10, 20, 400, 900),)) == [(120, 420)]
    assert covered(run(5, 9, 70, 290), held=(run(10, 20, 400, 410),)) == [(120, 360)]


def test_a_hole_in_the_ids_leaves_the_minutes_between_alone() -> None:
    assert covered(run(5, 9, 70, 290), run(11, 20, 1000, 1200)) == [(120, 240), (1020, 1200)]


def test_ids_that_are_answered_for_are_no_step() -> None:
    runs = run(5, 9, 70, 290), run(11, 20, 1000, 1200)
    assert covered(*runs, answered=((10, 10),)) == [(120, 1200)]
    assert covered(runs[1], held=(runs[0],), answered=((10, 10),)) == [(240, 1200)]
    assert covered(runs[0], held=(runs[1],), answered=((10, 10),)) == [(120, 1020)]


def test_answers_of_both_kinds_side_by_side_are_passed_over_together() -> None:
    runs = run(5, 9, 70, 290), run(15, 20, 1000, 1200)
    assert covered(*runs, answered=((10, 12), (12, 12), (13, 14))) == [(120, 1200)]
    assert covered(*runs, answered=((10, 12), (14, 14))) == [(120, 240), (1020, 1200)]


def test_a_minute_of_many_answers_is_whole_where_what_lies_around_it_is_held() -> None:
    pieces = run(5, 9, 70, 130), run(11, 11, 150, 150), run(13, 13, 160, 160), run(15, 20, 190, 300)
    assert covered(*pieces, answered=((10, 10), (12, 12), (14, 14))) == [(120, 300)]
    assert covered(pieces[2], held=(*pieces[:2], pieces[3]), answered=((10, 10), (12, 12), (14, 14))) == [
        (120, 240)
    ]
    assert covered(pieces[2], held=(pieces[1], pieces[3]), answered=((10, 10), (12, 12), (14, 14))) == [
        (180, 240)
    ]


def test_a_pair_whose_first_ids_are_answered_for_begins_with_its_first_trade() -> None:
    assert covered(run(3, 9, 370, 590), answered=((1, 2),)) == [(300, 540)]


def test_a_block_goes_on_behind_ids_that_are_answered_for() -> None:
    assert covered(run(5, 9, 70, 290), answered=((10, 11),), next_id=12) == [(120, 300)]


def test_the_minute_that_a_held_run_ended_in_is_known_to_be_whole_by_the_trade_behind() -> None:
    new, before, behind = run(5, 9, 400, 490), run(2, 4, 10, 190), run(10, 19, 700, 900)
    held = Holdings([before, behind])
    assert shared_minutes([new], held, covered_minutes([new], held, None)) == {190 // 60, 700 // 60}


@pytest.mark.parametrize(
    ("held", "checked_second", "minute"),
    [
        ([run(1, 9, 70, 190)], 240, 180),
        ([run(5, 9, 70, 190)], 240, 180),
        ([run(5, 9, 70, 190)], 239, None),
        ([run(5, 9, 185, 190)], 240, None),
        ([run(1, 9, 185, 190)], 240, 180),
        ([run(5, 7, 70, 185), run(9, 9, 190, 190)], 240, 180),
        ([run(5, 6, 70, 185), run(9, 9, 190, 190)], 240, None),
        ([run(5, 8, 70, 190)], 240, None),
    ],
)
def test_a_check_makes_the_newest_minute_whole_if_all_before_is_known(
    held: list[HeldRun], checked_second: int, minute: int | None
) -> None:
    found = checked_minute(Holdings(held, [IdRange(8, 8)]), TradeCheck(9, checked_second * SECOND))
    assert found == (None if minute is None else minute * SECOND)
