"""WebSocket frames are written as Kraken writes them, digit by digit (the recorded ones are held beside ours)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from krakendata.candles import fold_trades, vwap_truncated
from krakendata.replay.frames import (
    Answering,
    RunningCandle,
    Subscription,
    candles_frame,
    status_frame,
    trades_frame,
)
from krakendata.replay.histories import Bar, Row
from krakendata.replay.listing import named_pair
from krakendata.types import Trade, ns_of

BITCOIN = named_pair("BTC/USD", price_decimals=1, volume_decimals=8)
MOMENT = datetime(2026, 9, 25, 17, 48, 26, 844359, tzinfo=UTC)
ROW = Row(109116693, ns_of(MOMENT) + 566, "83744.30000", "0.00044780", "b", "l")
MINUTE = datetime(2026, 9, 25, 17, 48, tzinfo=UTC)


def test_a_trade_is_written_as_the_recorded_one() -> None:
    assert trades_frame("update", BITCOIN, [(ROW, None)]).text == (
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":83744.3,'
        '"qty":0.00044780,"ord_type":"limit","trade_id":109116693,"timestamp":"2026-09-25T17:48:26.844359Z"}]}'
    )


def test_a_candle_is_written_as_the_recorded_one() -> None:
    bar = Bar(
        ns_of(MINUTE), "83729.5", "83745.2", "83729.4", "83744.3", "83736.4", "0.21155628", 33, "17714.91"
    )
    assert candles_frame("update", BITCOIN, 1, [bar], ROW.ns).text == (
        '{"channel":"ohlc","type":"update","timestamp":"2026-09-25T17:48:26.844359566Z","data":[{'
        '"symbol":"BTC/USD","open":83729.5,"high":83745.2,"low":83729.4,"close":83744.3,"trades":33,'
        '"volume":0.21155628,"vwap":83736.4,"interval_begin":"2026-09-25T17:48:00.000000000Z","interval":1,'
        '"timestamp":"2026-09-25T17:49:00.000000Z"}]}'
    )


def test_the_status_is_written_as_the_recorded_one() -> None:
    assert status_frame("online", 18125794168470749634).text == (
        '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2",'
        '"connection_id":18125794168470749634,"upcoming_maintenance":[],"emergency":[]}]}'
    )


def test_answers_are_written_as_the_recorded_ones() -> None:
    answering = Answering("subscribe", None, MOMENT, MOMENT)
    times = '"time_in":"2026-09-25T17:48:26.844359Z","time_out":"2026-09-25T17:48:26.844359Z"}'
    assert answering.acknowledged(Subscription("trade", "BTC/USD"), snapshot=False).text == (
        '{"method":"subscribe","result":{"channel":"trade","snapshot":false,"symbol":"BTC/USD"},"success":true,'
        + times
    )
    assert answering.refused("Currency pair not supported XBT/USD", "XBT/USD").text == (
        '{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",'
        + times
    )


@pytest.mark.parametrize(
    ("malformation", "said", "not_said"),
    [
        ("zero_price", '"price":0,', "83744"),
        ("null_time", '"timestamp":null', "2026-"),
        ("zero_id", '"trade_id":0,', "109116693"),
        ("no_id", '"ord_type":"limit","timestamp"', "trade_id"),
    ],
)
def test_a_malformed_trade_is_wrong_in_one_field(malformation: str, said: str, not_said: str) -> None:
    text = trades_frame("update", BITCOIN, [(ROW, malformation)]).text
    assert said in text
    assert not_said not in text


def test_old_prices_keep_their_decimals() -> None:
    row = ROW._replace(price="122.01234", volume="3.10000000")
    assert '"price":122.01234,"qty":3.10000000,' in trades_frame("update", BITCOIN, [(row, None)]).text


def test_only_news_are_news() -> None:
    assert trades_frame("update", BITCOIN, [(ROW, None)]).is_news
    assert not trades_frame("snapshot", BITCOIN, [(ROW, None)]).is_news


def test_a_running_candle_is_what_its_trades_make() -> None:
    prices = ["64000.5", "64010.0", "63990.1", "64000.2"]
    rows = [
        Row(n, ns_of(MINUTE) + n, price, f"0.0000{n}234", "b", "l") for n, price in enumerate(prices, start=1)
    ]
    trades = [Trade("BTC/USD", r.trade_id, r.ns, Decimal(r.price), Decimal(r.volume)) for r in rows]
    (candle,) = fold_trades(trades)
    running = RunningCandle(ns_of(MINUTE), None)
    running.add(rows[:1])
    running = RunningCandle(ns_of(MINUTE), running.bar(1))
    running.add(rows[1:])
    bar = running.bar(1)
    assert [Decimal(text) for text in bar[1:5]] == [candle.open, candle.high, candle.low, candle.close]
    assert (Decimal(bar.volume), Decimal(bar.turnover)) == (candle.volume, candle.turnover)
    assert (Decimal(bar.vwap), bar.trade_count) == (vwap_truncated(candle, 1), 4)
