"""When an answer is final: exactly when its rows have every trade of the ledger's."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from krakendata.api.etags import IdSpan, are_whole, edge_of, etag_of, etags_known
from krakendata.gaps import IdRange, Ledger, TradeRun

EDGE = datetime(2024, 1, 31, 12, tzinfo=UTC)


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[IdSpan], Ledger]:
    """A ledger of one run of ids, some of them answered without a trade, and rows that hold the rest."""
    first, count = draw(st.integers(1, 50)), draw(st.integers(3, 40))
    ids = range(first, first + count)
    # Where rows are built of trades, their first and their last id are ones.
    answered = {each for each in ids[1:-1] if draw(st.booleans())}
    traded = [each for each in ids if each not in answered]
    rows: list[list[int]] = [[traded[0]]]
    for each in traded[1:]:
        if draw(st.booleans()):
            rows.append([])
        rows[-1].append(each)
    run = TradeRun(first, ids[-1], 0, 10**9)
    ledger = Ledger((run,), tuple(IdRange(each, each) for each in sorted(answered)))
    return [IdSpan(row[0], row[-1], len(row)) for row in rows], ledger


@given(markets(), st.data())
def test_neighbouring_rows_are_whole(market: tuple[list[IdSpan], Ledger], data: st.DataObject) -> None:
    rows, ledger = market
    start = data.draw(st.integers(0, len(rows)))
    assert are_whole(rows[start : data.draw(st.integers(start, len(rows)))], ledger)


@given(markets().filter(lambda market: len(market[0]) > 2), st.data())
def test_a_row_that_is_missing_is_noticed(market: tuple[list[IdSpan], Ledger], data: st.DataObject) -> None:
    rows, ledger = market
    place = data.draw(st.integers(1, len(rows) - 2))
    assert not are_whole(rows[:place] + rows[place + 1 :], ledger)


@given(markets(), st.data())
def test_a_row_that_is_behind_is_noticed(market: tuple[list[IdSpan], Ledger], data: st.DataObject) -> None:
    rows, ledger = market
    place = data.draw(st.integers(0, len(rows) - 1))
    behind = rows[place]._replace(trades=rows[place].trades - 1)
    assert not are_whole([*rows[:place], behind, *rows[place + 1 :]], ledger)


@given(markets())
def test_a_row_told_twice_is_noticed(market: tuple[list[IdSpan], Ledger]) -> None:
    rows, ledger = market
    assert not are_whole([rows[0], *rows], ledger)


def test_rows_of_archives_without_ids_show_nothing() -> None:
    ledger = Ledger((TradeRun(-9, -5, 0, 1),))
    assert not are_whole([IdSpan(-9, -5, 5)], ledger)


def test_the_edge_stands_in_the_etag() -> None:
    etag = etag_of(["candles"], EDGE, Ledger(), 0)
    assert edge_of(etag) == EDGE
    assert etags_known(etag) == [etag]


def test_whatever_can_change_the_answer_changes_the_etag() -> None:
    ledger = Ledger((TradeRun(1, 9, 0, 1),), (IdRange(3, 3),))
    tags = {
        etag_of(["candles", 10], EDGE, ledger, 0),
        etag_of(["candles", 20], EDGE, ledger, 0),
        etag_of(["candles", 10], EDGE + timedelta(minutes=1), ledger, 0),
        etag_of(["candles", 10], EDGE, replace(ledger, answered_ids=()), 0),
        etag_of(["candles", 10], EDGE, ledger, 1),
    }
    assert len(tags) == 5


def test_new_trades_behind_the_answer_leave_the_etag() -> None:
    ledger = Ledger((TradeRun(1, 9, 0, 1),), (IdRange(3, 3),))
    grown = replace(ledger, trade_runs=(TradeRun(1, 99, 0, 5),))
    assert etag_of(["candles"], EDGE, ledger, 0) == etag_of(["candles"], EDGE, grown, 0)


@given(st.text(max_size=100))
def test_any_header_can_be_looked_at(header: str) -> None:
    for etag in etags_known(header):
        edge_of(etag)


def test_only_a_few_are_looked_at() -> None:
    assert len(etags_known(",".join(f'W/"{n}"' for n in range(100)))) == 4
