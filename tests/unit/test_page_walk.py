"""A walk over pages ends with every trade the exchange has, however the pages come."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from krakendata.errors import Unavailable
from krakendata.gaps import IdRange
from krakendata.ingest import page_walk
from krakendata.ingest.page_rows import read_page
from krakendata.ingest.page_walk import PATIENCE, Taken, Target, Walk
from krakendata.ingest.trade_frame import TradeRows

NOW = datetime(2025, 11, 24, 12, 0, tzinfo=UTC)
START_NS = 1_700_000_000_000_000_000
SETTLED = 2_000_000_000_000_000_000

Row = tuple[int, int]


@dataclass
class Answers:
    """What the exchange answers: trades as (id, ns) in order, `absent` ids left out, and how it misbehaves."""

    trades: Sequence[Row]
    inclusive: bool = True
    page: int = 1_000
    rng: random.Random = field(default_factory=random.Random)
    short: float = 0.0
    repeated: float = 0.0
    no_last: float = 0.0
    forgetful: float = 0.0
    zero_price: frozenset[int] = frozenset()
    id_zero: frozenset[int] = frozenset()
    asked: list[str] = field(default_factory=list)
    _before: tuple[list[Row], str | None] | None = None

    def to(self, since: str) -> tuple[TradeRows, str | None]:
        self.asked.append(since)
        if self._before is not None and self.rng.random() < self.repeated:
            found, last = self._before
        else:
            cursor = int(since)
            found = [row for row in self.trades if row[1] > cursor or (self.inclusive and row[1] == cursor)]
            found = found[: self.page]
            if len(found) > 1 and self.rng.random() < self.short:
                found = found[: self.rng.randint(1, len(found))]
            last = str(found[-1][1]) if found else since
            if len(found) > 2 and self.rng.random() < self.forgetful:
                gone = self.rng.randrange(1, len(found) - 1)
                found = [*found[:gone], *found[gone + 1 :]]
            self._before = found, last
        shown = None if self.rng.random() < self.no_last else last
        return self._rows(found), shown

    def _rows(self, found: Sequence[Row]) -> TradeRows:
        rows = [
            (
                "0.0" if number in self.zero_price else "100.5",
                "0.1",
                Decimal(repr(ns / 1e9)),
                "b",
                "l",
                "",
                0 if number in self.id_zero else number,
            )
            for number, ns in found
        ]
        return read_page(rows, "BTC/USD", NOW)


def shown(*numbers: int | None) -> TradeRows:
    """A page of trades a second apart; None: one without an id."""
    rows = [(number or 1_000_000, START_NS + place * 1_000_000_000) for place, number in enumerate(numbers)]
    return Answers([], id_zero=frozenset({1_000_000}))._rows(rows)


def market(rng: random.Random, count: int, absent: frozenset[int] = frozenset()) -> list[Row]:
    """Trades with ids from 1 on; steps of time from nothing (bursts of one nanosecond) to hours."""
    ns, rows = START_NS, []
    for number in range(1, count + 1):
        ns += rng.choice((0, 0, 0, 1, 500, 1_000_000, 60_000_000_000, 3_600_000_000_000))
        if number not in absent:
            rows.append((number, ns))
    return rows


def follow(walk: Walk, answers: Answers) -> list[Taken]:
    taken: list[Taken] = []
    for _ in range(100_000):
        if walk.is_done:
            return taken
        taken.append(walk.take(*answers.to(walk.since)))
    raise AssertionError("the walk does not end")


def ids(taken: list[Taken]) -> list[int]:
    return [number for each in taken for number in each.rows.frame["trade_id"].to_list()]


def rejected(taken: list[Taken]) -> list[int | None]:
    return [placed.trade_id for each in taken for placed in each.rows.rejections]


def absent(taken: list[Taken]) -> list[IdRange]:
    return [answered for each in taken for answered in each.absent]


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_every_trade_comes_in_and_only_real_holes_are_called_absent(seed: int, inclusive: bool) -> None:
    rng = random.Random(seed)
    lacking = frozenset(rng.sample(range(2, 1_500), 5))
    trades = market(rng, 1_500, lacking)
    answers = Answers(
        trades, inclusive, page=rng.choice((150, 400, 1_000)), rng=rng,
        short=rng.choice((0, 0.3)), repeated=rng.choice((0, 0.2)), no_last=rng.choice((0, 0.3)),
        forgetful=rng.choice((0, 0.1)),
    )  # fmt: skip
    walk = Walk(0, None, Target(until_id=1_500, settled_ns=SETTLED))
    taken = follow(walk, answers)
    assert set(ids(taken)) == {number for number, _ns in trades}
    named = {number for each in absent(taken) for number in range(each.first_id, each.last_id + 1)}
    assert named == lacking


@pytest.mark.parametrize("inclusive", [True, False])
def test_pages_without_faults_take_as_many_calls_as_there_are_pages(inclusive: bool) -> None:
    trades = [(number, START_NS + number * 1_000_000_000) for number in range(1, 10_001)]
    answers = Answers(trades, inclusive)
    walk = Walk(0, None, Target(until_id=10_000, settled_ns=SETTLED))
    assert sorted(set(ids(follow(walk, answers)))) == list(range(1, 10_001))
    assert len(answers.asked) <= 11


def test_a_hole_at_the_beginning_is_the_exchanges_own_once_it_was_asked_for_again() -> None:
    trades = [(number, START_NS + number * 1_000_000_000) for number in range(8, 20)]
    answers = Answers(trades)
    taken = follow(Walk(0, None, Target(until_id=19, settled_ns=SETTLED)), answers)
    assert absent(taken) == [IdRange(1, 7)]
    assert answers.asked == ["0"] * PATIENCE


def test_one_answer_that_leaves_ids_out_proves_nothing() -> None:
    trades = [(number, START_NS + number * 1_000_000_000) for number in range(1, 20)]
    answers = Answers(trades, forgetful=1.0, rng=random.Random(3))
    taken = follow(Walk(0, None, Target(until_id=19, settled_ns=SETTLED)), answers)
    missing = {number for number, _ns in trades} - {*ids(taken)}
    assert missing == {number for each in absent(taken) for number in range(each.first_id, each.last_id + 1)}


def test_a_young_hole_may_be_late_and_is_not_called_absent() -> None:
    trades = [(1, START_NS), (2, START_NS + 1_000), (4, START_NS + 2_000)]
    walk = Walk(0, None, Target(until_id=4, settled_ns=START_NS + 2_000))
    taken = follow(walk, Answers(trades))
    assert sorted({*ids(taken)}) == [1, 2, 4]
    assert absent(taken) == []


def test_rejected_trades_are_answers() -> None:
    trades = [(number, START_NS + number * 1_000_000_000) for number in range(1, 31)]
    answers = Answers(trades, zero_price=frozenset({1, 7, 30}), id_zero=frozenset({12, 13, 29}))
    taken = follow(Walk(0, None, Target(until_id=30, settled_ns=SETTLED)), answers)
    assert sorted({number for number in rejected(taken) if number}) == [1, 7, 12, 13, 29, 30]
    assert absent(taken) == []


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_each_row_without_an_id_stands_for_its_id_once_however_the_pages_come(
    seed: int, inclusive: bool
) -> None:
    rng = random.Random(seed)
    nameless = frozenset({*rng.sample(range(1, 600), 40), *range(300, 300 + rng.randrange(20))})
    answers = Answers(
        market(rng, 600),
        inclusive,
        page=rng.choice((50, 200)),
        rng=rng,
        short=0.3,
        no_last=0.2,
        id_zero=nameless,
    )
    taken = follow(Walk(0, None, Target(until_id=600, settled_ns=SETTLED)), answers)
    assert sorted(number or 0 for number in rejected(taken)) == sorted(nameless)
    assert {*ids(taken)} == {*range(1, 601)} - nameless
    assert absent(taken) == []


def test_rows_without_an_id_behind_the_last_known_one_wait_for_the_trade_that_comes_next() -> None:
    walk = Walk(0, None, Target(until_id=4, settled_ns=SETTLED))
    assert rejected([walk.take(shown(1, 2, None), None)]) == []
    assert rejected([walk.take(shown(2, None, 4), None)]) == [3]


@pytest.mark.parametrize(
    ("last_id", "page", "numbers"),
    [
        (12, (None, None, 13), []),
        (12, (None, None, 14), [13]),
        (None, (None, 5, None, 7), [6]),
    ],
)
def test_rows_without_an_id_before_the_first_known_one_are_those_that_were_not_met_before(
    last_id: int | None, page: tuple[int | None, ...], numbers: list[int]
) -> None:
    walk = Walk(last_id, START_NS, Target(until_id=20, settled_ns=SETTLED))
    assert rejected([walk.take(shown(*page), None)]) == numbers


def test_of_rows_without_an_id_beside_absent_ids_nobody_can_say_which_they_are() -> None:
    walk = Walk(0, None, Target(until_id=4, settled_ns=SETTLED))
    taken = [walk.take(shown(1, None, 4), None) for _ in range(PATIENCE)]
    assert rejected(taken) == [None]
    assert absent(taken) == [IdRange(2, 3)]


def test_more_than_a_page_of_one_nanosecond_is_passed_and_never_called_absent() -> None:
    """With either cursor the rest of the burst cannot be asked for: it stays a gap, and the walk goes on."""
    burst = [(number, START_NS) for number in range(1, 1_301)]
    after = [(number, START_NS + number) for number in range(1_301, 1_401)]
    for inclusive in (True, False):
        taken = follow(
            Walk(0, None, Target(until_id=1_400, settled_ns=SETTLED)), Answers([*burst, *after], inclusive)
        )
        assert {*range(1_301, 1_401)} <= {*ids(taken)}
        assert absent(taken) == []


def test_a_walk_ends_before_the_trade_that_is_known() -> None:
    trades = [(number, START_NS + number * 1_000_000_000) for number in range(1, 60)]
    walk = Walk(10, trades[9][1], Target(until_id=19, before_id=20, settled_ns=SETTLED))
    assert {*ids(follow(walk, Answers(trades)))} - {20} == {*range(10, 20)}


def test_ids_missing_just_before_the_known_trade_are_absent() -> None:
    trades = [(number, START_NS + number * 1_000_000_000) for number in (*range(1, 15), *range(20, 30))]
    walk = Walk(10, trades[9][1], Target(until_id=19, before_id=20, settled_ns=SETTLED))
    assert absent(follow(walk, Answers(trades))) == [IdRange(15, 19)]


def test_a_walk_to_a_time_ends_with_the_first_trade_at_or_after_it() -> None:
    trades = [(number, START_NS + number * 1_000_000_000) for number in range(1, 5_000)]
    walk = Walk(0, None, Target(until_id=4_999, until_ns=trades[1_500][1], settled_ns=SETTLED))
    found = {*ids(follow(walk, Answers(trades)))}
    assert {*range(1, 1_501)} <= found
    assert max(found) < 3_100


def test_an_exchange_that_shows_nothing_of_what_it_has_is_given_up() -> None:
    walk = Walk(10, START_NS, Target(until_id=20, settled_ns=SETTLED))
    with pytest.raises(Unavailable, match="up to 20"):
        follow(walk, Answers([(number, START_NS - 5_000_000) for number in range(1, 10)]))


def test_the_cursor_stays_text_to_the_last_digit() -> None:
    cursor = "1616666442304882029"
    walk = Walk(0, None, Target(until_id=2_000, settled_ns=SETTLED))
    rows = Answers([])._rows([(1, 1_616_666_442_304_882_029)])
    walk.take(rows, cursor)
    assert walk.since == cursor
    assert page_walk.SAYINGS == 2 < PATIENCE


SECOND, MILLISECOND = 1_000_000_000, 1_000_000


def test_ids_skipped_because_the_ledger_tells_a_later_time_are_found_further_back() -> None:
    """An archive's time of the last trade held is 100 µs later than REST's: the ids right behind it lie before."""
    trades = [(number, START_NS + number * SECOND) for number in range(1, 11)]
    trades += [(10 + step, trades[9][1] + step * 10_000) for step in range(1, 6)]
    trades += [(15 + step, trades[9][1] + step * SECOND) for step in range(1, 6)]
    walk = Walk(10, trades[9][1] + 100_000, Target(until_id=20, settled_ns=SETTLED))
    taken = follow(walk, Answers(trades))
    assert {*range(11, 21)} <= {*ids(taken)}
    assert absent(taken) == []


def test_a_trade_that_is_earlier_than_the_one_before_it_is_not_called_absent() -> None:
    trades = [(number, START_NS + number * MILLISECOND) for number in range(1, 31)]
    trades[20] = (21, trades[19][1] - 5 * MILLISECOND)
    taken = follow(
        Walk(20, trades[19][1], Target(until_id=30, settled_ns=SETTLED)),
        Answers(sorted(trades, key=lambda row: row[1])),
    )
    assert {*range(21, 31)} <= {*ids(taken)}
    assert absent(taken) == []


def test_no_jump_is_remembered_once_it_is_passed() -> None:
    trades = [(number, START_NS + number * SECOND) for number in range(1, 1_000) if number % 50]
    walk = Walk(0, None, Target(until_id=999, settled_ns=SETTLED))
    taken = follow(walk, Answers(trades))
    assert len(absent(taken)) == 19
    assert walk._jumps == {}


def test_a_long_hole_of_a_busy_pair_costs_a_few_questions() -> None:
    trades = [(number, START_NS + number * MILLISECOND) for number in range(1, 20_000) if number != 15_000]
    answers = Answers(trades)
    walk = Walk(14_999, trades[14_998][1], Target(until_id=19_999, settled_ns=SETTLED))
    assert absent(follow(walk, answers)) == [IdRange(15_000, 15_000)]
    assert len(answers.asked) <= 6 + 20


def test_ids_missing_before_a_known_trade_that_was_refused_are_absent() -> None:
    trades = [(number, START_NS + number * SECOND) for number in (*range(1, 15), *range(20, 30))]
    target = Target(until_id=19, before_id=20, settled_ns=SETTLED, before_ns=START_NS + 21 * SECOND)
    answers = Answers(trades, zero_price=frozenset({20}))
    assert absent(follow(Walk(14, trades[13][1], target), answers)) == [IdRange(15, 19)]


@pytest.mark.parametrize("before_id", [None, 7_001])
@pytest.mark.parametrize("inclusive", [True, False])
def test_thousands_of_rows_without_an_id_are_passed_once_and_stay_a_gap(
    inclusive: bool, before_id: int | None
) -> None:
    trades = [(number, START_NS + number * SECOND) for number in range(1, 7_101)]
    until = before_id - 1 if before_id else 7_100
    answers = Answers(trades, inclusive, id_zero=frozenset(range(100, 7_001)))
    taken = follow(Walk(0, None, Target(until_id=until, before_id=before_id, settled_ns=SETTLED)), answers)
    assert {*ids(taken)} == {*range(1, 100), *range(7_001, (before_id or 7_100) + 1)}
    assert (absent(taken), rejected(taken)) == ([], [])
    assert len(answers.asked) < 12
