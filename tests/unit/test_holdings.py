"""The ledger in memory finds runs by id and by time, and grows the newest."""

from __future__ import annotations

from krakendata.gaps import IdRange
from krakendata.storage.ledger import HeldRun, Holdings


def run(first_id: int, last_id: int, first_ns: int = 0, last_ns: int = 0) -> HeldRun:
    return HeldRun(first_id, last_id, first_ns, last_ns, last_id - first_id + 1, "archive", stored=True)


LOW, HIGH = run(1, 5, 100, 200), run(10, 12, 300, 400)
IDLESS = run(-90, -80, 150, 250)
HELD = Holdings([IDLESS, LOW, HIGH])


def test_runs_overlap_a_range_of_ids_at_both_ends() -> None:
    assert HELD.overlapping(5, 10) == [LOW, HIGH]
    assert HELD.overlapping(6, 9) == []


def test_exact_runs_are_found_by_time_both_ends_included() -> None:
    assert HELD.exact_between(200, 300) == [LOW, HIGH]
    assert HELD.exact_between(201, 299) == []


def test_a_run_without_ids_is_found_by_time() -> None:
    assert HELD.has_archive_between(250, 900)
    assert not HELD.has_archive_between(251, 900)


def test_runs_are_found_by_their_ends() -> None:
    assert HELD.ending_at(5) == LOW
    assert HELD.starting_at(10) == HIGH
    assert HELD.ending_at(4) is None
    assert HELD.starting_at(11) is None


def test_a_run_that_continues_the_newest_grows_it() -> None:
    held = Holdings([LOW])
    held.add(run(6, 9, 210, 290))
    assert held.overlapping(1, 9) == [run(1, 9, 100, 290)]


def test_a_run_apart_stays_apart() -> None:
    held = Holdings([LOW])
    held.add(HIGH)
    assert held.overlapping(1, 99) == [LOW, HIGH]


def test_ids_that_are_answered_for_are_passed_over_on_both_sides() -> None:
    held = Holdings([LOW, HIGH], [IdRange(6, 7)])
    assert (held.id_before(8), held.id_behind(5)) == (5, 8)
    held.add_answers([IdRange(9, 9), IdRange(8, 8)])
    assert (held.id_before(10), held.id_behind(5)) == (5, 10)
    assert (held.id_before(5), held.id_behind(10)) == (4, 11)


def test_what_is_held_is_not_answered_for() -> None:
    held = Holdings([LOW, HIGH])
    held.add_answers([IdRange(4, 14)])
    assert (held.id_before(15), held.id_before(10), held.id_behind(5), held.id_behind(2)) == (12, 5, 10, 3)
