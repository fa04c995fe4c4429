"""Blocks of trades become rows, minutes and runs: folded as candles.fold_trades folds, recorded as the ledger needs."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from krakendata.candles import fold_trades
from krakendata.ingest.trade_rows import read_trades
from krakendata.ingest.trade_shapes import CANDLE_COLUMNS, ShapedTrades, new_trades, shape_trades
from krakendata.kraken.archive_layouts import COLUMNS
from krakendata.kraken.archives import Layout
from krakendata.storage.ledger import HeldRun, Holdings, Lines
from krakendata.types import HistoricalCandle, Trade, archive_trade_id, ns_of
from tests.unit.archive_lines import raw_block

NOW = datetime(2025, 11, 24, tzinfo=UTC)
NOON = datetime(2025, 11, 20, 12, tzinfo=UTC)
NOON_NS = ns_of(NOON)
SECOND = 10**9
MINUTE = 60 * SECOND
SYMBOL = "BTC/USD"
D = Layout("trades", COLUMNS["D"], False, "D")
A = Layout("trades", COLUMNS["A"], False, "A")
LONG_AGO = datetime(2013, 9, 2, tzinfo=UTC)
LATER = datetime(2100, 1, 4, tzinfo=UTC)

usual = st.decimals("0.00000001", "999999", places=8)
fine = st.decimals("1e-19", "1e-9", places=19).filter(bool)
huge = st.decimals("1e17", "99999999999999999999", places=2)
odd = st.one_of(usual, fine, huge)


def trades_of(prices: st.SearchStrategy[Decimal]) -> st.SearchStrategy[list[Trade]]:
    """Trades of some minutes, the order of ids apart from that of times."""
    times = st.integers(0, 4 * MINUTE)
    row = st.tuples(st.integers(1, 10**6), times, prices, prices)
    return st.lists(row, min_size=1, max_size=25, unique_by=lambda each: each[0]).map(
        lambda rows: [
            Trade(SYMBOL, id_, NOON_NS + ns, price, volume, "buy", "limit") for id_, ns, price, volume in rows
        ]
    )


def frame_of(trades: list[Trade]) -> pl.DataFrame:
    lines = [
        f"{trade.ns // SECOND}.{trade.ns % SECOND:09},{trade.price:f},{trade.volume:f},b,l,,{trade.trade_id}"
        for trade in trades
    ]
    return read_trades(raw_block(lines), D, SYMBOL, NOW).frame


def exact(*ids_and_seconds: tuple[int, float]) -> pl.DataFrame:
    return frame_of(
        [
            Trade(SYMBOL, id_, NOON_NS + int(second * SECOND), Decimal(5), Decimal(1))
            for id_, second in ids_and_seconds
        ]
    )


def idless(*seconds: int) -> pl.DataFrame:
    lines = [f"{NOON_NS // SECOND + second},5,1" for second in seconds]
    return read_trades(raw_block(lines), A, SYMBOL, NOW).frame


def shaped(
    frame: pl.DataFrame,
    held: Holdings | None = None,
    line: datetime = LONG_AGO,
    *,
    fence: datetime = LATER,
    goes_on: bool = False,
) -> ShapedTrades:
    """Shaped below the fence, where the unit is five minutes, unless `fence` says otherwise."""
    next_id = int(frame["trade_id"].max()) + 1 if goes_on else None  # type: ignore[arg-type]
    result = shape_trades(
        frame, SYMBOL, held or Holdings(), Lines(line, fence), source="archive", follows=None, next_id=next_id
    )
    assert result is not None
    return result


def run(
    first_id: int, last_id: int, first_second: float, last_second: float, *, stored: bool = True
) -> HeldRun:
    first_ns, last_ns = (NOON_NS + int(second * SECOND) for second in (first_second, last_second))
    return HeldRun(first_id, last_id, first_ns, last_ns, last_id - first_id + 1, "archive", stored)


def candles_in(result: ShapedTrades) -> list[HistoricalCandle]:
    candles = []
    for row in csv.DictReader(io.StringIO(result.candles.decode()), CANDLE_COLUMNS):
        numbers: dict[str, Any] = {
            name: Decimal(row[name]) for name in ("open", "high", "low", "close", "volume", "turnover")
        }
        counts: dict[str, Any] = {name: int(row[name]) for name in ("trade_count", "first_id", "last_id")}
        start = datetime.fromisoformat(row["timestamp"])
        candles.append(HistoricalCandle(row["symbol"], 1, start, **numbers, **counts))
    return candles


def whole_minutes(result: ShapedTrades) -> list[bool]:
    """Whether each minute is known to be whole, in time order."""
    rows = csv.DictReader(io.StringIO(result.candles.decode()), CANDLE_COLUMNS)
    return [row["whole"] == "true" for row in sorted(rows, key=lambda row: row["timestamp"])]


# --- minutes


@pytest.mark.parametrize("prices", [usual, odd], ids=["usual numbers", "fine and huge numbers"])
def test_minutes_equal_those_of_fold_trades(prices: st.SearchStrategy[Decimal]) -> None:
    @given(trades_of(prices))
    def check(trades: list[Trade]) -> None:
        result = shaped(new_trades(frame_of(trades), Holdings()))
        assert sorted(candles_in(result), key=lambda each: each.timestamp) == fold_trades(trades)

    check()


@given(trades_of(usual))
@example([Trade(SYMBOL, 1, NOON_NS, Decimal("999999.99999999"), Decimal("1e14"), "buy", "limit")])
def test_the_sums_of_usual_numbers_are_exact(trades: list[Trade]) -> None:
    turnover = sum(
        (candle.turnover or 0 for candle in candles_in(shaped(new_trades(frame_of(trades), Holdings())))),
        Decimal(),
    )
    exactly = sum((int(trade.price * 10**8) * int(trade.volume * 10**8) for trade in trades), 0)
    assert turnover * 10**16 == exactly


def test_a_stored_time_is_cut_to_microseconds_and_never_rounded() -> None:
    result = shaped(exact((1, 0.9999999)))
    assert result.trades.decode().split(",")[1] == "2025-11-20T12:00:00.999999Z"


# --- what is new


def test_what_the_ledger_holds_is_not_new() -> None:
    held = Holdings([run(2, 3, 0, 1), run(6, 9, 5, 9)])
    frame = new_trades(exact(*((id_, id_) for id_ in range(1, 8))), held)
    assert frame["trade_id"].to_list() == [1, 4, 5]


def test_an_id_is_new_once_and_ids_come_in_order() -> None:
    frame = new_trades(exact((3, 0), (1, 1), (3, 2), (2, 3)), Holdings())
    assert frame["trade_id"].to_list() == [1, 2, 3]


def test_rows_without_ids_are_not_new_in_minutes_that_exact_trades_cover() -> None:
    held = Holdings([run(5, 6, 70, 130)])
    frame = new_trades(idless(0, 59, 60, 119, 179, 180), held)
    assert (frame["ns"] - NOON_NS).to_list() == [0, 59 * SECOND, 180 * SECOND]


def test_rows_without_ids_stay_new_between_two_stretches_of_exact_trades() -> None:
    held = Holdings([run(5, 6, 0, 30), run(90, 95, 300, 400)])
    assert new_trades(idless(100, 200), held).height == 2


def test_nothing_new_is_no_block() -> None:
    frame = new_trades(exact((1, 0)), Holdings([run(1, 1, 0, 0)]))
    assert (
        shape_trades(
            frame, SYMBOL, Holdings(), Lines(LONG_AGO, LATER), source="archive", follows=None, next_id=None
        )
        is None
    )


# --- runs


def test_contiguous_ids_are_one_run_and_a_missing_id_cuts_it() -> None:
    runs = shaped(exact((1, 0), (2, 10), (4, 20), (5, 30))).runs
    assert [(each.first_id, each.last_id, each.trades) for each in runs] == [(1, 2, 2), (4, 5, 2)]


def test_the_trades_line_cuts_a_run_in_folded_and_stored() -> None:
    result = shaped(exact((1, 0), (2, 10), (3, 20)), line=NOON + timedelta(seconds=10))
    assert [(each.first_id, each.last_id, each.stored) for each in result.runs] == [
        (1, 1, False),
        (2, 3, True),
    ]
    assert (result.new, result.stored, result.trades.count(b"\n")) == (3, 2, 2)


def test_a_run_knows_the_nanoseconds_of_its_first_and_last_trade() -> None:
    (only,) = shaped(exact((1, 0.5), (2, 61.25))).runs
    assert (only.first_ns - NOON_NS, only.last_ns - NOON_NS) == (SECOND // 2, 61 * SECOND + SECOND // 4)


def test_rows_without_ids_are_one_run_whatever_the_seconds() -> None:
    (only,) = shaped(idless(0, 0, 5, 100)).runs
    assert (only.first_id, only.trades) == (archive_trade_id(NOON_NS // SECOND, 0), 4)


def test_rows_without_ids_are_parted_by_what_is_held_between_them() -> None:
    second = NOON_NS // SECOND
    held = Holdings(
        [HeldRun(archive_trade_id(second + 5, 0), archive_trade_id(second + 9, 0), 0, 0, 2, "archive", True)]
    )
    frame = new_trades(idless(0, 1, 5, 9, 10), held)
    runs = shaped(frame, held).runs
    assert [(each.first_id, each.trades) for each in runs] == [
        (archive_trade_id(second, 0), 2),
        (archive_trade_id(second + 10, 0), 1),
    ]


@pytest.mark.parametrize(("gap", "follows"), [((), True), ((3,), False)], ids=["directly", "over a held run"])
def test_a_run_follows_the_block_before_unless_something_held_lies_between(
    gap: tuple[int, ...], follows: bool
) -> None:
    second = NOON_NS // SECOND
    before = archive_trade_id(second, 0)
    held = Holdings(
        HeldRun(archive_trade_id(second + at, 0), archive_trade_id(second + at, 0), 0, 0, 1, "archive", True)
        for at in (0, *gap)
    )
    result = shape_trades(
        idless(5), SYMBOL, held, Lines(LONG_AGO, LATER), source="archive", follows=before, next_id=None
    )
    assert result is not None
    assert result.runs[0].follows == (before if follows else None)


def test_what_is_shaped_is_held() -> None:
    held = Holdings()
    shaped(exact((1, 0), (2, 1)), held)
    assert new_trades(exact((1, 0), (2, 1), (3, 2)), held)["trade_id"].to_list() == [3]


# --- whether five minutes are whole


def test_the_units_at_the_ends_of_an_unknown_neighbourhood_are_partial() -> None:
    result = shaped(exact((7, 10), (8, 310), (9, 610)))
    assert whole_minutes(result) == [False, True, False]


def test_the_very_first_trade_of_a_pair_begins_a_whole_unit() -> None:
    assert whole_minutes(shaped(exact((1, 10), (2, 310)))) == [True, False]


def test_a_block_that_goes_on_ends_with_a_whole_unit() -> None:
    assert whole_minutes(shaped(exact((1, 10), (2, 310)), goes_on=True)) == [True, True]


def test_a_held_trade_before_in_an_earlier_unit_makes_the_first_unit_whole() -> None:
    assert whole_minutes(shaped(exact((7, 310)), Holdings([run(1, 6, 0, 299)]), goes_on=True)) == [True]


def test_a_held_trade_before_in_the_same_unit_makes_it_partial() -> None:
    assert whole_minutes(shaped(exact((7, 310)), Holdings([run(1, 6, 0, 301)]), goes_on=True)) == [False]


def test_a_held_trade_behind_in_a_later_unit_makes_the_last_unit_whole() -> None:
    assert whole_minutes(shaped(exact((1, 10), (2, 290)), Holdings([run(3, 9, 300, 400)]))) == [True, True]


def test_a_held_trade_behind_in_the_same_unit_makes_it_partial() -> None:
    assert whole_minutes(shaped(exact((1, 310), (2, 320)), Holdings([run(3, 9, 330, 400)]))) == [False]


def test_a_hole_in_the_ids_makes_the_units_on_both_sides_partial() -> None:
    assert whole_minutes(shaped(exact((1, 10), (2, 310), (4, 610), (5, 910)), goes_on=True)) == [
        True,
        False,
        False,
        True,
    ]


def test_an_id_missing_where_a_block_ends_makes_its_last_unit_partial() -> None:
    frame = exact((1, 10), (2, 310))
    result = shape_trades(
        frame, SYMBOL, Holdings(), Lines(LONG_AGO, LATER), source="archive", follows=None, next_id=4
    )
    assert result is not None
    assert whole_minutes(result) == [True, False]


def test_above_the_fence_the_unit_is_the_minute() -> None:
    assert whole_minutes(shaped(exact((7, 10), (8, 70), (9, 130)), fence=LONG_AGO)) == [False, True, False]


def test_a_minute_that_an_earlier_block_began_is_shared() -> None:
    result = shaped(exact((7, 70), (8, 130)), Holdings([run(1, 6, 0, 65)]), fence=LONG_AGO)
    assert whole_minutes(result) == [False, False]
    assert [minute * 60 - NOON_NS // SECOND for minute in result.shared] == [60]


def test_exact_trades_at_an_edge_leave_the_minute_to_an_archive_that_has_it() -> None:
    archive = HeldRun(-900, -800, NOON_NS, NOON_NS + 600 * SECOND, 90, "archive without ids", stored=True)
    result = shaped(exact((7, 10), (8, 70), (9, 130)), Holdings([archive]))
    assert [(each.first_id, each.last_id) for each in result.runs] == [(8, 8)]
    assert result.new == 1


def test_a_hole_inside_one_unit_makes_it_partial() -> None:
    assert whole_minutes(shaped(exact((1, 10), (2, 310), (4, 320), (5, 610)), goes_on=True)) == [
        True,
        False,
        True,
    ]


def test_the_trades_line_inside_a_unit_leaves_it_whole() -> None:
    result = shaped(
        exact((1, 10), (2, 310), (3, 320), (4, 610)), line=NOON + timedelta(seconds=315), goes_on=True
    )
    assert whole_minutes(result) == [True, True, True]
