"""Frames read: every kind that Kraken sends, exact to the last digit, and whatever is none of them told as such."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from krakendata.kraken.messages import (
    CandlesHeard,
    Frame,
    Heartbeat,
    Pong,
    SubscriptionAnswer,
    SystemStatus,
    TradesHeard,
    Unknown,
    Unreadable,
    is_rate_refusal,
    ping_request,
    read_frame,
    subscription_request,
)
from krakendata.types import HistoricalCandle, Trade
from krakendata.validation import Reason, Rejection, validate_websocket_candle, validate_websocket_trade

NOW = datetime(2026, 9, 25, 18, 0, tzinfo=UTC)
TRADE = (
    '{"symbol":"BTC/USD","side":"buy","price":83744.3,"qty":0.00044780,"ord_type":"limit",'
    '"trade_id":109116693,"timestamp":"2026-09-25T17:48:26.844359Z"}'
)
CANDLE = (
    '{"symbol":"BTC/USD","open":83729.5,"high":83745.2,"low":83729.4,"close":83744.3,"trades":33,'
    '"volume":0.21155628,"vwap":83736.4,"interval_begin":"2026-09-25T17:48:00.000000000Z","interval":1,'
    '"timestamp":"2026-09-25T17:49:00.000000Z"}'
)
ANSWERED = datetime(2026, 9, 25, 17, 48, 24, 746032, tzinfo=UTC)
TIMES = '"time_in":"2026-09-25T17:48:24.745996Z","time_out":"2026-09-25T17:48:24.746032Z"'


def read(text: str | bytes) -> Frame:
    return read_frame(text.encode() if isinstance(text, str) else text, NOW)


def trades_of(*elements: str, kind: str = "update") -> TradesHeard:
    frame = read(f'{{"channel":"trade","type":"{kind}","data":[{",".join(elements)}]}}')
    assert isinstance(frame, TradesHeard)
    return frame


def judged(heard: TradesHeard) -> list[Trade | Rejection]:
    return [validate_websocket_trade(each, NOW) for each in heard.elements]


# --- what Kraken sends --------------------------------------------------------------------------------------


def test_a_trade_keeps_every_digit() -> None:
    heard = trades_of(TRADE)
    (element,) = heard.elements
    assert isinstance(element, dict)
    assert (str(element["price"]), str(element["qty"])) == ("83744.3", "0.00044780")
    assert element["trade_id"] == 109116693
    assert (heard.is_snapshot, heard.received_at) == (False, NOW)


@pytest.mark.parametrize("text", ["0.01230000", "12345678901234567890.123456789", "5.13e-05", "0.1", "1E5"])
def test_a_number_with_a_point_or_an_exponent_is_a_decimal_of_its_digits(text: str) -> None:
    (element,) = trades_of(TRADE.replace("0.00044780", text)).elements
    assert isinstance(element, dict)
    assert isinstance(element["qty"], Decimal)
    assert element["qty"].as_tuple() == Decimal(text).as_tuple()


def test_a_number_without_a_point_is_exact_too() -> None:
    (trade,) = judged(trades_of(TRADE.replace("83744.3", "83744")))
    assert isinstance(trade, Trade)
    assert trade.price == 83744


def test_a_frame_may_have_trades_of_several_symbols_and_be_a_snapshot() -> None:
    heard = trades_of(TRADE, TRADE.replace("BTC", "ETH"), kind="snapshot")
    trades = judged(heard)
    assert [each.symbol for each in trades if isinstance(each, Trade)] == ["BTC/USD", "ETH/USD"]
    assert heard.is_snapshot


def test_candles_are_given_as_sent() -> None:
    frame = read(
        f'{{"channel":"ohlc","type":"update","timestamp":"2026-09-25T17:48:26.844359566Z","data":[{CANDLE}]}}'
    )
    assert isinstance(frame, CandlesHeard)
    candle = validate_websocket_candle(frame.elements[0], NOW)
    assert isinstance(candle, HistoricalCandle)
    assert (candle.close, candle.trade_count) == (Decimal("83744.3"), 33)
    assert not frame.is_snapshot


@pytest.mark.parametrize("number", ["18125794168470749634", "0", "99999999999999999999999999999999"])
def test_a_status_has_a_connection_id_beyond_64_bits_as_text(number: str) -> None:
    about = f'{{"version":"2.0.10","system":"online","api_version":"v2","connection_id":{number}}}'
    frame = read(f'{{"channel":"status","type":"update","data":[{about}]}}')
    assert frame == SystemStatus("online", number, "2.0.10")


def test_a_heartbeat_and_a_pong_are_told_apart() -> None:
    assert read('{"channel":"heartbeat"}') == Heartbeat()
    assert read(f'{{"method":"pong","req_id":7,{TIMES}}}') == Pong(ANSWERED)


@pytest.mark.parametrize("time", ["null", '"yesterday"', '"2026-09-25T17:48:24"', "7"])
def test_a_pong_without_a_time_is_one_all_the_same(time: str) -> None:
    assert read(f'{{"method":"pong","time_out":{time}}}') == Pong(None)


def test_an_acknowledgement_names_channel_symbol_and_request() -> None:
    result = '{"channel":"trade","snapshot":false,"symbol":"BTC/USD"}'
    frame = read(f'{{"method":"subscribe","result":{result},"success":true,{TIMES},"req_id":1}}')
    assert frame == SubscriptionAnswer("subscribe", "trade", "BTC/USD", 1, None, ANSWERED)


def test_a_refusal_names_the_symbol_alone() -> None:
    error = "Currency pair not supported XBT/USD"
    frame = read(f'{{"error":"{error}","method":"subscribe","success":false,"symbol":"XBT/USD",{TIMES}}}')
    assert frame == SubscriptionAnswer("subscribe", "", "XBT/USD", None, error, ANSWERED)


@pytest.mark.parametrize(
    "text", ['{"Error":"Exceeded msg rate"}', '{"error":"Exceeded msg rate","req_id":3}']
)
def test_a_refusal_for_the_rate_is_one(text: str) -> None:
    frame = read(text)
    assert isinstance(frame, SubscriptionAnswer)
    assert frame.error is not None
    assert is_rate_refusal(frame.error)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"channel":"ticker","type":"update","data":[]}', "ticker"),
        ('{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}', "instrument"),
        ('{"method":"add_order","success":true,"result":{}}', "add_order"),
    ],
)
def test_a_channel_or_method_of_others_is_unknown(text: str, name: str) -> None:
    assert read(text) == Unknown(name, text)


# --- what nobody should send --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"\xff\xfe", b"null", b"[]", b'"text"', b"7", b"<html>", b'{"channel":"trade","data":[{"a":',
        b'{"channel":"trade","type":"update","data":{}}', b'{"channel":"trade"}', b'{"channel":"ohlc","data":7}',
        b'{"channel":"status","data":[]}', b'{"channel":"status","data":[{"system":7}]}', b"{}", b'{"channel":7}',
        b'{"method":null}', b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[" * 100_000,
        b'{"method":"subscribe","success":false}', b'{"channel":null,"error":7}',
    ],
)  # fmt: skip
def test_what_is_no_frame_is_told_with_its_text_and_never_raises(frame: bytes) -> None:
    told = read(frame)
    assert isinstance(told, Unreadable | Unknown)
    assert len(told.text) <= 10_000
    assert told.text == frame[:10_000].decode("utf-8", "backslashreplace")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (TRADE.replace("83744.3", "0"), Reason.PRICE_NOT_POSITIVE),
        (TRADE.replace("83744.3", "NaN"), Reason.NOT_A_NUMBER),
        (TRADE.replace("83744.3", "-Infinity"), Reason.INFINITE),
        (TRADE.replace("83744.3", "1e999999999999999999999"), Reason.NUMBER_OUT_OF_RANGE),
        (TRADE.replace("83744.3", "9" * 5_000), Reason.NUMBER_OUT_OF_RANGE),
        (TRADE.replace("BTC/USD", "BTC\\ud800USD"), Reason.UNKNOWN_SYMBOL),
        (TRADE.replace('"trade_id":109116693,', ""), Reason.MISSING_FIELD),
        (TRADE.replace("109116693", "0"), Reason.TRADE_ID_ZERO),
        (TRADE.replace('"2026-09-25T17:48:26.844359Z"', "null"), Reason.BAD_TIMESTAMP),
        (TRADE.replace('"buy"', "[[]]"), Reason.BAD_SIDE),
        ("null", Reason.NOT_A_RECORD),
        ('"text"', Reason.NOT_A_RECORD),
        ("[1,2]", Reason.NOT_A_RECORD),
    ],
)
def test_a_bad_trade_costs_none_of_the_others_in_its_frame(bad: str, reason: Reason) -> None:
    first, rejection, last = judged(trades_of(TRADE, bad, TRADE.replace("109116693", "109116694")))
    assert isinstance(first, Trade)
    assert isinstance(last, Trade)
    assert (first.trade_id, last.trade_id) == (109116693, 109116694)
    assert (str(first.price), str(first.volume)) == ("83744.3", "0.00044780")
    assert isinstance(rejection, Rejection)
    assert rejection.reason in (reason, Reason.MISSING_FIELD)


def test_broken_characters_in_a_trade_cost_none_of_the_others() -> None:
    bad = TRADE.replace("BTC/USD", "BTC?USD").encode().replace(b"?", b"\xff")
    frame = read(b'{"channel":"trade","type":"update","data":[' + bad + b"," + TRADE.encode() + b"]}")
    assert isinstance(frame, TradesHeard)
    rejection, trade = judged(frame)
    assert isinstance(rejection, Rejection)
    assert rejection.reason == Reason.UNKNOWN_SYMBOL
    assert isinstance(trade, Trade)


# --- recorded frames ----------------------------------------------------------------------------------------


def recorded(path: Path) -> list[str]:
    """Give the frames of a capture; the recorder of the gap wrapped them, and added notes of its own."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if '"payload":' not in lines[0]:
        return lines
    return [line.split('"payload":', 1)[1][:-1] for line in lines if '"kind":"tick"' in line]


def test_every_recorded_frame_is_read(samples: Path) -> None:
    frames = [read(text) for text in recorded(samples / "ws_v2" / "capture_2026-09-25.jsonl")]
    assert [type(each) for each in frames] == [
        SystemStatus, SubscriptionAnswer, Unknown, TradesHeard, CandlesHeard, *[SubscriptionAnswer] * 3,
    ]  # fmt: skip
    assert frames[0] == SystemStatus("online", "18125794168470749634", "2.0.10")
    errors = [each.error for each in frames if isinstance(each, SubscriptionAnswer)]
    assert errors[0] is None
    assert errors[1] == "Currency pair not supported XBT/USD"


def test_the_recorded_list_of_instruments_is_read(samples: Path) -> None:
    frame = read((samples / "ws_v2" / "instrument_excerpt_2026-09-19.json").read_bytes())
    assert isinstance(frame, Unknown)
    assert frame.name == "instrument"


def test_the_trades_lost_in_a_recorded_reconnect_show_in_the_ids(samples: Path) -> None:
    frames = map(read, recorded(samples / "ws_v2" / "capture_reconnect_gap_2026-09-08.jsonl"))
    trades = [each for frame in frames if isinstance(frame, TradesHeard) for each in judged(frame)]
    ids = [each.trade_id for each in trades if isinstance(each, Trade)]
    assert ids == [107165168, 107165169, 107165170, 107165173]
    assert isinstance(trades[1], Trade)
    assert trades[1].volume == Decimal("0.0000513")


# --- requests -----------------------------------------------------------------------------------------------


def test_requests_are_what_kraken_reads() -> None:
    trades = json.loads(subscription_request("subscribe", "trade", ["BTC/USD", "ETH/USD"], 1, True))
    assert trades == {
        "method": "subscribe",
        "params": {"channel": "trade", "symbol": ["BTC/USD", "ETH/USD"], "snapshot": True},
        "req_id": 1,
    }
    candles = json.loads(subscription_request("unsubscribe", "ohlc", ["BTC/USD"], 2, True))
    assert candles["params"] == {"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 1}
    assert json.loads(ping_request(3)) == {"method": "ping", "req_id": 3}
