"""Runs of exact ids cover whole minutes: up to the neighbours that are held, and no further than they know."""

from __future__ import annotations

from krakendata.ingest.takeover import covered_minutes
from krakendata.storage.ledger import HeldRun, Holdings

SECOND = 10**9


def run(first_id: int, last_id: int, first_second: int, last_second: int) -> HeldRun:
    count = last_id - first_id + 1
    return HeldRun(
        first_id, last_id, first_second * SECOND, last_second * SECOND, count, "archive", stored=True
    )


def covered(*runs: HeldRun, held: tuple[HeldRun, ...] = (), goes_on: bool = False) -> list[tuple[int, int]]:
    """The covered stretches in seconds."""
    next_id = runs[-1].last_id + 1 if goes_on else None
    spans = covered_minutes(list(runs), Holdings(held), next_id)
    return [(start // SECOND, end // SECOND) for start, end in spans]


def test_the_minutes_at_both_ends_may_not_be_whole() -> None:
    assert covered(run(5, 9, 70, 290)) == [(120, 240)]


def test_a_run_within_a_minute_covers_none() -> None:
    assert covered(run(5, 9, 70, 80)) == []


def test_nothing_was_before_the_first_trade_of_a_pair() -> None:
    assert covered(run(1, 9, 370, 590)) == [(300, 540)]


def test_a_file_that_goes_on_covers_its_last_five_minutes() -> None:
    assert covered(run(5, 9, 70, 290), goes_on=True) == [(120, 300)]


def test_a_run_goes_on_from_the_minute_of_the_trade_before() -> None:
    assert covered(run(5, 9, 400, 490), held=(run(2, 4, 10, 190),)) == [(180, 480)]


def test_a_run_before_that_begins_in_its_last_minute_leaves_that_minute_open() -> None:
    assert covered(run(5, 9, 400, 490), held=(run(2, 4, 185, 190),)) == [(240, 480)]


def test_a_run_reaches_to_the_minute_of_the_trade_behind() -> None:
    assert covered(run(5, 9, 70, 290), held=(run(10, 20, 400, 900),)) == [(120, 420)]
    assert covered(run(5, 9, 70, 290), held=(run(10, 20, 400, 410),)) == [(120, 360)]


def test_a_hole_in_the_ids_leaves_the_minutes_between_alone() -> None:
    assert covered(run(5, 9, 70, 290), run(11, 20, 1000, 1200)) == [(120, 240), (1020, 1200)]
