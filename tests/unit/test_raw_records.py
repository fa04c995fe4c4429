"""Rejected records taken apart and put together again: what is not corrected stays as it came."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.errors import CorrectionRefused
from krakendata.fields import as_text
from krakendata.ingest.raw_records import (
    WHOLE,
    Field,
    Shape,
    corrected,
    fields_of,
    interval_of,
    judge,
    layout_of,
    named_id,
    rule_of,
    same_trade,
    shape_of,
)
from krakendata.storage.reject_decisions import KeptReject, Selection
from krakendata.types import HistoricalCandle, Trade
from krakendata.validation import Reason, Rejection

NOW = datetime(2025, 11, 24, tzinfo=UTC)
D = "timestamp,price,volume,side,order_type,misc,trade_id"

RAWS = {
    Shape.ARCHIVE_TRADE: "1700000000.5,100.1,2,B,l,,77",
    Shape.ARCHIVE_CANDLE: "1700000040,1,2,1,1,5,0",
    Shape.REST_TRADE: '["0.0", "2.5", "1700000000.123", "b", "l", "", 77]',
    Shape.REST_CANDLE: '[1700000040, "1", "2", "1", "1", "1.5", "5", -1]',
    Shape.WEBSOCKET_TRADE: (
        '{"symbol": "BTC/USD", "side": "hold", "price": "100.1", "qty": "2", "ord_type": "limit", "trade_id": 77, '
        '"timestamp": "2023-11-14T22:13:20.5Z"}'
    ),
    Shape.WEBSOCKET_CANDLE: (
        '{"symbol": "BTC/USD", "open": "1", "high": "2", "low": "1", "close": "1", "trades": -1, "volume": "5", '
        '"vwap": "1.5", "interval_begin": "2023-11-14T22:14:00Z", "interval": 1}'
    ),
}
RIGHT = {
    Shape.ARCHIVE_TRADE: {"side": "b"},
    Shape.ARCHIVE_CANDLE: {"trades": "3"},
    Shape.REST_TRADE: {"price": "100.1"},
    Shape.REST_CANDLE: {"count": "3"},
    Shape.WEBSOCKET_TRADE: {"side": "buy"},
    Shape.WEBSOCKET_CANDLE: {"trades": "3"},
}
PLACES = {
    Shape.ARCHIVE_TRADE: ("archive", "a.zip!XBTUSD.csv", D),
    Shape.ARCHIVE_CANDLE: ("archive", "XBTUSD_1.csv", "timestamp,open,high,low,close,volume,trades"),
    Shape.REST_TRADE: ("rest", "REST Trades", ""),
    Shape.REST_CANDLE: ("rest", "REST OHLC", ""),
    Shape.WEBSOCKET_TRADE: ("websocket", "WebSocket trade", ""),
    Shape.WEBSOCKET_CANDLE: ("websocket", "WebSocket ohlc", ""),
}


def kept(shape: Shape, raw: str | None = None, **facts: Any) -> KeptReject:
    source, place, layout = PLACES[shape]
    given: dict[str, Any] = {
        "symbol": "BTC/USD",
        "layout": layout,
        "raw": RAWS[shape] if raw is None else raw,
    }
    given |= {"id": 1, "source": source, "place": place, "line": 7, "trade_id": None}
    return KeptReject(**{**given, "interval_minutes": None, "follows": None, **facts})


@pytest.mark.parametrize("shape", Shape)
def test_a_record_is_known_by_its_place(shape: Shape) -> None:
    assert shape_of(kept(shape)) is shape
    assert rule_of(shape)


@pytest.mark.parametrize("shape", Shape)
def test_what_was_refused_is_refused_and_corrected_it_is_taken(shape: Shape) -> None:
    record = kept(shape)
    assert isinstance(judge(record, record.raw, NOW, None), Rejection)
    text = corrected(record, record.raw, RIGHT[shape])
    verdict = judge(record, text, NOW, None)
    assert isinstance(verdict, Trade | HistoricalCandle)
    changed = {field.name: field.text for field in fields_of(record, text)}
    before = {field.name: field.text for field in fields_of(record, record.raw)}
    assert {name for name in before if before[name] != changed[name]} == set(RIGHT[shape])


@pytest.mark.parametrize("shape", Shape)
def test_a_record_that_nobody_changes_stays_as_it_came(shape: Shape) -> None:
    record = kept(shape)
    same = {field.name: field.text for field in fields_of(record, record.raw)}
    assert corrected(record, record.raw, same) == record.raw
    assert corrected(record, record.raw, {}) == record.raw


@given(
    st.sampled_from(list(Shape)),
    st.text(max_size=60) | st.sampled_from(["[]", "{}", "[[]]", '{"a": NaN}', "1e9"]),
)
def test_no_text_is_too_strange_to_be_shown_and_judged(shape: Shape, text: str) -> None:
    record = kept(shape, as_text(text))
    fields = fields_of(record, record.raw)
    assert fields
    judge(record, record.raw, NOW, None)
    named_id(record)
    assert corrected(record, record.raw, {each.name: each.text for each in fields}) == record.raw


@given(st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([1]), max_size=10))
def test_fields_of_a_row_keep_their_kind_when_another_is_set(row: list[Any]) -> None:
    record = kept(Shape.REST_TRADE, json.dumps(row))
    text = corrected(record, record.raw, {"price": "1.5"})
    found = json.loads(text)
    assert found[0] == "1.5"
    assert found[1 : len(row)] == row[1:]


def test_a_line_that_lacks_a_field_gets_it() -> None:
    record = kept(Shape.ARCHIVE_TRADE, "1700000000,100.1,2")
    assert [field.is_there for field in fields_of(record, record.raw)] == [True] * 3 + [False] * 4
    assert corrected(record, record.raw, {"trade_id": "5"}) == "1700000000,100.1,2,,,,5"


def test_a_field_too_much_goes_when_it_is_emptied() -> None:
    record = kept(Shape.ARCHIVE_TRADE, "1700000000,100.1,2,b,l,,77,spare")
    assert fields_of(record, record.raw)[-1] == Field("field 8", "spare")
    assert corrected(record, record.raw, {"field 8": ""}) == "1700000000,100.1,2,b,l,,77"


@pytest.mark.parametrize("value", ["1,2", "1\n2", "1\r"])
def test_a_field_of_a_line_cannot_become_two(value: str) -> None:
    record = kept(Shape.ARCHIVE_TRADE)
    with pytest.raises(CorrectionRefused, match="no comma"):
        corrected(record, record.raw, {"price": value})


def test_a_field_that_is_not_there_is_refused_with_those_that_are() -> None:
    record = kept(Shape.REST_TRADE)
    with pytest.raises(CorrectionRefused, match="price, volume, time"):
        corrected(record, record.raw, {"cost": "1"})


def test_a_record_without_fields_is_corrected_as_a_whole() -> None:
    record = kept(Shape.REST_TRADE, "<html>")
    assert fields_of(record, record.raw) == [Field(WHOLE, "<html>")]
    right = '["1", "2", "1700000000", "b", "l", "", 5]'
    assert corrected(record, record.raw, {WHOLE: right}) == right


def test_a_correction_is_bounded() -> None:
    record = kept(Shape.ARCHIVE_TRADE)
    with pytest.raises(CorrectionRefused, match="characters at most"):
        corrected(record, record.raw, {"misc": "x" * 30_000})


def test_the_layout_of_an_old_record_is_told_by_its_name_and_fields() -> None:
    trade = kept(Shape.ARCHIVE_TRADE, layout="")
    assert layout_of(trade).columns == tuple(D.split(","))
    assert layout_of(kept(Shape.ARCHIVE_TRADE, "1,2,3", layout="")).columns == (
        "timestamp",
        "price",
        "volume",
    )
    candle = kept(Shape.ARCHIVE_CANDLE, layout="", place="a.zip!XBTUSD_240.csv")
    assert (shape_of(candle), interval_of(candle)) == (Shape.ARCHIVE_CANDLE, 240)


def test_the_header_of_a_file_names_the_fields() -> None:
    record = kept(Shape.ARCHIVE_TRADE, "100.1,2,1700000000,77", layout="price,volume,timestamp,trade_id")
    verdict = judge(record, record.raw, NOW, None)
    assert isinstance(verdict, Trade)
    assert (verdict.price, verdict.trade_id) == (Decimal("100.1"), 77)


def test_a_trade_is_the_one_it_was_refused_as() -> None:
    trade = Trade("BTC/USD", 77, 1, Decimal(1), Decimal(1))
    assert same_trade(kept(Shape.REST_TRADE), trade)
    assert not same_trade(kept(Shape.REST_TRADE, trade_id=78), trade)
    # An id that cannot be read is for whoever corrects it to say.
    assert same_trade(kept(Shape.REST_TRADE, '["1", "2", 1, "b", "l", "", 0]'), trade)


def test_a_symbol_that_is_not_listed_is_refused_again() -> None:
    record = kept(Shape.WEBSOCKET_TRADE)
    text = corrected(record, record.raw, {"side": "buy"})
    verdict = judge(record, text, NOW, {"ETH/USD"})
    assert isinstance(verdict, Rejection)
    assert verdict.reason is Reason.UNKNOWN_SYMBOL


def test_of_the_live_candles_only_minutes_are_kept() -> None:
    record = kept(Shape.WEBSOCKET_CANDLE)
    text = corrected(
        record, record.raw, {"trades": "3", "interval": "5", "interval_begin": "2023-11-14T22:15:00Z"}
    )
    verdict = judge(record, text, NOW, None)
    assert isinstance(verdict, Rejection)
    assert verdict.reason is Reason.UNKNOWN_INTERVAL


@pytest.mark.parametrize(
    "selection", [Selection(), Selection(ids=(1, 2)), Selection(run=3, reason="bad_side")]
)
def test_a_selection_comes_back_from_json(selection: Selection) -> None:
    assert Selection.of(json.loads(json.dumps(selection.as_dict()))) == selection
    assert asdict(selection).keys() == selection.parameters().keys()
