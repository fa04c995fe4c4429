"""Behind the trades line a unit of five minutes that is not whole waits for the rest of it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from krakendata.gaps import TradeCheck
from krakendata.ingest.whole_units import part_units
from krakendata.storage.ledger import HeldRun, Holdings

SECOND = 10**9
LINE = 10**6 * 300


def rows(*pairs: tuple[int, int]) -> pl.DataFrame:
    """Ids and seconds."""
    return pl.DataFrame(
        {"trade_id": [number for number, _ in pairs], "ns": [second * SECOND for _, second in pairs]}
    )


def waiting(frame: pl.DataFrame, *held: HeldRun, line: int = LINE, **known: Any) -> list[int]:
    """The ids that are kept back."""
    options: dict[str, Any] = {"next_id": None, "opens_ns": None, "unopened": (), "check": None}
    parted = part_units(frame, Holdings(held), line * SECOND, **{**options, **known})
    together = [*parted.head["trade_id"], *parted.kept["trade_id"]]
    assert sorted(together) == sorted(frame["trade_id"])
    return parted.kept["trade_id"].to_list()


def run(first_id: int, last_id: int, first: int, last: int) -> HeldRun:
    return HeldRun(
        first_id, last_id, first * SECOND, last * SECOND, last_id - first_id + 1, "rest", stored=False
    )


FOUR = rows((5, 100), (6, 290), (7, 310), (8, 590))


def test_the_last_unit_waits_and_the_first_does_not() -> None:
    assert waiting(FOUR) == [7, 8]


def test_what_is_stored_need_not_wait() -> None:
    assert waiting(FOUR, line=300) == []


@pytest.mark.parametrize(
    "known",
    [{"next_id": 9}, {"check": TradeCheck(8, 600 * SECOND)}],
)
def test_an_end_that_is_known_need_not_wait(known: dict[str, Any]) -> None:
    assert waiting(FOUR, **known) == []


def test_a_check_inside_the_unit_ends_nothing() -> None:
    assert waiting(FOUR, check=TradeCheck(8, 599 * SECOND)) == [7, 8]
    assert waiting(FOUR, check=TradeCheck(9, 700 * SECOND)) == [7, 8]


def test_what_joins_a_held_run_need_not_wait() -> None:
    assert waiting(FOUR, run(9, 12, 595, 900)) == []


def test_a_window_that_begins_inside_a_unit_leaves_its_first_one_for_the_window_before() -> None:
    assert waiting(FOUR, opens_ns=60 * SECOND, next_id=9) == [5, 6]
    assert waiting(FOUR, opens_ns=0, next_id=9) == []
    assert waiting(FOUR, unopened={5}, next_id=9) == [5, 6]
    assert waiting(FOUR, run(2, 4, 10, 20), unopened={5}, next_id=9) == []


def test_times_that_fall_back_take_the_whole_unit_along() -> None:
    assert waiting(rows((5, 100), (6, 301), (7, 299), (8, 310))) == [5, 6, 7, 8]
    assert waiting(rows((5, 100), (6, 610), (7, 310), (8, 620))) == [6, 7, 8]


def test_every_stretch_of_ids_has_an_end_of_its_own() -> None:
    assert waiting(rows((5, 100), (6, 310), (9, 320), (10, 700)), next_id=11) == [6]
