"""The forms of an answer: the one that is accepted, and every digit in each of them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.api.formats import (
    CANDLE_COLUMNS,
    TRADE_COLUMNS,
    Format,
    as_arrow,
    as_csv,
    as_objects,
    format_asked,
)
from krakendata.api.problems import Problem

ALL = tuple(Format)
AT = datetime(2024, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
DECIMALS = st.decimals(0, 10**12, places=18) | st.decimals(0, 10**6, places=8)


def trade(price: Decimal, volume: Decimal = Decimal(1), side: str | None = "buy") -> tuple[Any, ...]:
    return ("BTC/USD", 7, AT, price, volume, side, None)


@pytest.mark.parametrize(
    ("accept", "found"),
    [
        (None, Format.JSON), ("", Format.JSON), ("*/*", Format.JSON), ("text/csv", Format.CSV),
        ("application/vnd.apache.arrow.stream", Format.ARROW), ("text/*", Format.CSV),
        ("text/csv, application/json;q=0.5", Format.CSV), ("text/csv;q=0.1, */*;q=0.2", Format.JSON),
        ("application/json;q=0, */*", Format.CSV), ("TEXT/CSV ; Q=1.0", Format.CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.JSON),
        ("text/csv;header=present;q=0.9, application/*;q=0.3", Format.CSV),
    ],
)  # fmt: skip
def test_the_form_liked_best_is_given(accept: str | None, found: Format) -> None:
    assert format_asked(accept, ALL) is found


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "application/json;q=x", "image/*", ","]
)
def test_what_is_not_given_is_406(accept: str) -> None:
    with pytest.raises(Problem, match="application/json") as refused:
        format_asked(accept, (Format.JSON,))
    assert refused.value.status == 406


@given(st.text(max_size=100))
def test_any_header_gives_a_form_or_406(accept: str) -> None:
    try:
        assert format_asked(accept, ALL) in ALL
    except Problem as refused:
        assert refused.status == 406


@given(DECIMALS, DECIMALS)
def test_json_and_csv_have_every_digit_and_no_exponent(price: Decimal, volume: Decimal) -> None:
    row = trade(price, volume)
    (as_json,) = as_objects(TRADE_COLUMNS, [row])
    (in_csv,) = csv.DictReader(io.StringIO(as_csv(TRADE_COLUMNS, [row]).decode()))
    for told in (as_json, in_csv):
        assert (Decimal(told["price"]), Decimal(told["volume"])) == (price, volume)
        assert "E" not in told["price"].upper()


@given(st.lists(DECIMALS, max_size=20))
def test_arrow_has_every_digit(prices: list[Decimal]) -> None:
    content = as_arrow(TRADE_COLUMNS, [trade(price) for price in prices], {"symbol": "BTC/USD"})
    table = pa.ipc.open_stream(content).read_all()
    assert table["price"].to_pylist() == prices
    assert table["timestamp"].to_pylist() == [AT] * len(prices)
    assert table.schema.field("price").type == pa.decimal128(38, 18)
    assert table.schema.metadata == {b"symbol": b"BTC/USD"}


def test_arrow_has_every_digit_of_more_than_128_bits_too() -> None:
    price = Decimal("0.0000000000000000001")
    content = as_arrow(TRADE_COLUMNS, [trade(price)], {})
    assert pa.ipc.open_stream(content).read_all()["price"].to_pylist() == [price]


def test_an_arrow_quotient_is_cut_to_what_the_column_holds() -> None:
    vwap = Decimal("0.00001188123456789012345678")
    row = ("BTC/USD", AT, *[Decimal(1)] * 5, vwap, 3, None, None, None, False)
    table = pa.ipc.open_stream(as_arrow(CANDLE_COLUMNS, [row], {})).read_all()
    assert table["vwap"].to_pylist() == [Decimal("0.000011881234567890")]
    assert table.schema.field("vwap").type == pa.decimal128(38, 18)


def test_what_is_not_known_is_null_or_empty() -> None:
    row = trade(Decimal(1), side=None)
    assert as_objects(TRADE_COLUMNS, [row])[0]["side"] is None
    assert (
        as_csv(TRADE_COLUMNS, [row]).decode().splitlines()[1] == "BTC/USD,7,2024-01-31T12:00:00.250000Z,1,1,,"
    )


def test_yes_and_no_are_words_in_csv() -> None:
    row = ("BTC/USD", AT, *[Decimal(1)] * 5, None, 3, None, 1, 3, True)
    assert as_csv(CANDLE_COLUMNS, [row]).decode().splitlines()[1].endswith(",true")
