"""Trades read by the column equal trades read one by one: same values, same rejections, no row lost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from krakendata.ingest.doubtful_rows import named_fields
from krakendata.ingest.fields_frame import SCALE
from krakendata.ingest.trade_frame import TradeRows
from krakendata.ingest.trade_rows import read_trades
from krakendata.kraken.archive_layouts import COLUMNS, Schema
from krakendata.kraken.archives import Layout, RawBlock
from krakendata.types import Trade, archive_trade_id
from krakendata.validation import Reason, Rejection, validate_archive_trade
from tests.unit.archive_lines import (
    counts,
    cut_or_padded,
    lines_of_fields,
    numbers,
    raw_block,
    seconds,
    words,
)

NOW = datetime(2025, 11, 24, 12, 30, tzinfo=UTC)
SYMBOL = "BTC/USD"
LAYOUTS = {
    **{name: Layout("trades", COLUMNS[name], False, name) for name in ("A", "C", "D")},
    # As a header may name them: the last column may be empty, or the id come first.
    "misc last": Layout("trades", ("trade_id", "timestamp", "price", "volume", "misc"), True, "D"),
}
FIELDS = {
    "timestamp": seconds,
    "price": numbers,
    "volume": numbers,
    "side": words("b", "s", "buy", "sell"),
    "order_type": words("m", "l", "market", "limit"),
    "misc": st.sampled_from(["", "p", " ", "é"]),
    "trade_id": counts,
}
GOOD = "1700000000.5,37000.1,0.25,b,l,,11"


def layout_of(schema: Schema) -> Layout:
    return LAYOUTS[schema]


def lines_in(layout: Layout) -> st.SearchStrategy[list[str]]:
    fields = st.tuples(*(FIELDS[name] for name in layout.columns))
    return lines_of_fields(st.one_of(fields, cut_or_padded(fields)))


def assert_as_validated(lines: list[str], layout: Layout) -> None:
    """Every line has the one outcome that validation.py gives it."""
    raw = raw_block(lines)
    rows = read_trades(raw, layout, SYMBOL, NOW)
    expected = {
        number: validate_archive_trade(named_fields(text, layout), text, SYMBOL, NOW)
        for number, text in enumerate(raw.data.decode().split("\n")[:-1], raw.first_line)
        if text.strip()
    }
    trades = trades_by_line(rows)
    rejections = {placed.line: placed.rejection for placed in rows.rejections}
    assert rows.read == len(expected)
    assert sorted([*trades, *rejections]) == sorted(expected)
    assert rejections == {
        line: verdict for line, verdict in expected.items() if isinstance(verdict, Rejection)
    }
    for line, trade in trades.items():
        verdict = expected[line]
        assert isinstance(verdict, Trade)
        assert facts(trade) == facts(verdict)
    if "trade_id" in layout.columns:
        assert {line: trade.trade_id for line, trade in trades.items()} == {
            line: verdict.trade_id for line, verdict in expected.items() if isinstance(verdict, Trade)
        }


def facts(trade: Trade) -> tuple[object, ...]:
    return trade.ns, trade.price, trade.volume, trade.side, trade.order_type


def trades_by_line(rows: TradeRows) -> dict[int, Trade]:
    return {
        line: Trade(SYMBOL, trade_id, ns, Decimal(price), Decimal(volume), side, order_type)
        for line, ns, trade_id, price, volume, side, order_type, _, _ in rows.frame.iter_rows()
    }


@given(lines_in(LAYOUTS["D"]))
@example([GOOD + ",", GOOD.rpartition(",")[0]])  # one comma too many, one too few: their sum tells nothing
@example([GOOD, "", GOOD, "  ", ""])
@example([GOOD.replace("0.5,", "0.5.5,", 1)])  # two points make no number
def test_rows_with_ids_come_out_as_validation_judges_them(lines: list[str]) -> None:
    assert_as_validated(lines, LAYOUTS["D"])


@pytest.mark.parametrize("name", ["A", "C", "misc last"])
def test_rows_of_every_layout_come_out_as_validation_judges_them(name: str) -> None:
    layout = LAYOUTS[name]

    @given(lines_in(layout))
    def check(lines: list[str]) -> None:
        assert_as_validated(lines, layout)

    check()


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20))
@example([("123456789012345678.901234567891", "1")])  # more digits than decimals compute with unasked
@example([("1234567890123456.7890123456784", "1")])
def test_the_integers_that_are_summed_are_the_numbers_or_absent(pairs: list[tuple[str, str]]) -> None:
    rows = read_trades(
        raw_block([f"1700000000,{price},{volume},b,l,,{n}" for n, (price, volume) in enumerate(pairs, 1)]),
        LAYOUTS["D"], SYMBOL, NOW,
    )  # fmt: skip
    for name in ("price", "volume"):
        for text, scaled in rows.frame.select(name, f"scaled_{name}").iter_rows():
            number = Decimal(text)
            assert scaled is None or exactly(number) == scaled
            assert scaled is not None or exactly(number) is None or number >= 10**6


def exactly(number: Decimal) -> int | None:
    """The number in units of the SCALEth decimal; None if it is finer."""
    digits, denominator = number.as_integer_ratio()
    units, rest = divmod(digits * 10**SCALE, denominator)
    return None if rest else units


def test_a_good_row_is_a_trade_with_exact_digits() -> None:
    rows = read_trades(raw_block([GOOD]), LAYOUTS["D"], SYMBOL, NOW)
    assert list(trades_by_line(rows).values()) == [
        Trade(SYMBOL, 11, 1_700_000_000_500_000_000, Decimal("37000.1"), Decimal("0.25"), "buy", "limit")
    ]


def test_a_refused_row_says_its_line_its_text_and_the_id_it_named() -> None:
    bad = "1700000001,0,0.25,b,l,,12"
    (placed,) = read_trades(raw_block([GOOD, bad], first_line=41), LAYOUTS["D"], SYMBOL, NOW).rejections
    assert (placed.line, placed.rejection.raw, placed.trade_id) == (42, bad, 12)
    assert placed.rejection.reason is Reason.PRICE_NOT_POSITIVE


def test_bytes_that_are_no_text_are_refused_and_their_neighbours_kept() -> None:
    data = f"{GOOD}\n".encode() + b"1700000000,\xff\xfe,1,b,l,,12\n"
    rows = read_trades(RawBlock(data, 0, len(data), 1), LAYOUTS["D"], SYMBOL, NOW)
    assert list(trades_by_line(rows)) == [1]
    assert [placed.line for placed in rows.rejections] == [2]


# --- rows without ids


def ids_of(lines: list[str], last_id: int | None = None) -> list[int]:
    return read_trades(raw_block(lines), LAYOUTS["A"], SYMBOL, NOW, last_id).frame["trade_id"].to_list()


def test_rows_without_ids_count_within_their_second_in_file_order() -> None:
    same = "1700000000,37000,1"
    assert ids_of([same, same, "1700000001,37000,1", same.replace("000,1", "001,1")]) == [
        archive_trade_id(1700000000, 0),
        archive_trade_id(1700000000, 1),
        archive_trade_id(1700000001, 0),
        archive_trade_id(1700000000, 2),
    ]


def test_a_second_that_a_block_began_goes_on_counting_in_the_next() -> None:
    last = archive_trade_id(1700000000, 6)
    assert ids_of(["1700000000,1,1", "1700000001,1,1"], last) == [
        archive_trade_id(1700000000, 7),
        archive_trade_id(1700000001, 0),
    ]


def test_a_refused_row_takes_no_ordinal() -> None:
    assert ids_of(["1700000000,1,1", "1700000000,nan,1", "1700000000,1,1"]) == [
        archive_trade_id(1700000000, 0),
        archive_trade_id(1700000000, 1),
    ]
