"""Every record is a trade, a candle or a rejection with a reason: never an exception, never a guess."""

# Decimals are compared with plain whole numbers here, for the eye.
# mypy: disable-error-code="comparison-overlap"

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata import validation
from krakendata.fields import horizon_ns
from krakendata.types import HistoricalCandle, Source, Trade
from krakendata.validation import (
    Reason,
    Rejection,
    validate_archive_candle,
    validate_archive_trade,
    validate_rest_candle,
    validate_rest_trade,
    validate_websocket_candle,
    validate_websocket_trade,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)
TOMORROW = str(int((NOW + timedelta(days=1)).timestamp()))

ROW = {"timestamp": "1672531436", "price": "90.540000", "volume": "1.10448420"}
FULL_ROW = ROW | {"type": "b", "order_type": "m", "misc": "", "trade_id": "7"}
CANDLE_ROW = {
    "timestamp": "1719792000", "open": "10", "high": "12", "low": "9", "close": "11",
    "volume": "4.5", "trades": "24",
}  # fmt: skip
REST_TRADE = ["105433.60000", "0.00027625", Decimal("1762795433.9717445"), "b", "l", "", 10218208]
REST_CANDLE = [1762777020, "10", "12", "9", "11", "10.5", "2.00000000", 3]
WS_TRADE = {
    "symbol": "BTC/USD", "side": "buy", "price": Decimal("83744.3"), "qty": Decimal("0.00044780"),
    "ord_type": "limit", "trade_id": 109116693, "timestamp": "2026-09-25T17:48:26.844359Z",
}  # fmt: skip
WS_CANDLE = {
    "symbol": "BTC/USD", "open": 10, "high": 12, "low": 9, "close": 11, "trades": 3, "volume": Decimal(2),
    "vwap": Decimal("10.5"), "interval_begin": "2026-09-25T17:48:00.000000000Z", "interval": 1,
    "timestamp": "2026-09-25T17:49:00.000000Z",
}  # fmt: skip


def archive_trade(**fields: str) -> Trade | Rejection:
    return validate_archive_trade(ROW | fields, "the line", "BTC/USD", NOW)


def archive_candle(minutes: int = 5, **fields: str) -> HistoricalCandle | Rejection:
    return validate_archive_candle(CANDLE_ROW | fields, "the line", "BTC/USD", minutes, NOW)


def rest_trade(place: int, value: object) -> Trade | Rejection:
    return validate_rest_trade([*REST_TRADE[:place], value, *REST_TRADE[place + 1 :]], "BTC/USD", NOW)


def rest_candle(**places: object) -> HistoricalCandle | Rejection:
    names = ("time", "open", "high", "low", "close", "vwap", "volume", "count")
    row = dict(zip(names, REST_CANDLE, strict=True)) | places
    return validate_rest_candle(list(row.values()), "BTC/USD", 1, NOW)


def ws_trade(**fields: object) -> Trade | Rejection:
    return validate_websocket_trade(WS_TRADE | fields, NOW)


def ws_candle(**fields: object) -> HistoricalCandle | Rejection:
    return validate_websocket_candle(WS_CANDLE | fields, NOW)


def reason(answer: object) -> str:
    assert isinstance(answer, Rejection), answer
    return answer.reason.value


def trade(answer: object) -> Trade:
    assert isinstance(answer, Trade), answer
    return answer


def candle(answer: object) -> HistoricalCandle:
    assert isinstance(answer, HistoricalCandle), answer
    return answer


# --- what is good


def test_an_archive_row_of_three_columns_becomes_a_trade_without_id() -> None:
    assert archive_trade() == Trade(
        "BTC/USD", 0, 1672531436 * 10**9, Decimal("90.540000"), Decimal("1.10448420"), None, None
    )


def test_an_archive_row_of_seven_columns_becomes_a_whole_trade() -> None:
    it = trade(validate_archive_trade(FULL_ROW, "", "BTC/USD", NOW))
    assert (it.trade_id, it.side, it.order_type) == (7, "buy", "market")


def test_an_archive_row_may_call_the_side_by_its_name() -> None:
    assert trade(archive_trade(side="sell", order_type="limit")).side == "sell"


def test_an_empty_side_is_not_known_but_the_trade_is() -> None:
    assert trade(archive_trade(side="", order_type=" ")).side is None


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1672531436", 1672531436000000000),
        ("1672531436.0", 1672531436000000000),
        ("1775001600.123456789", 1775001600123456789),
        ("1775001600.1234567899", 1775001600123456789),
        ("1.672531436e9", 1672531436000000000),
        ("1.6725314365E+9", 1672531436500000000),
        (" 1672531436\t", 1672531436000000000),
    ],
)
def test_times_in_text_become_exact_nanoseconds(text: str, ns: int) -> None:
    assert trade(archive_trade(timestamp=text)).ns == ns


@pytest.mark.parametrize("time", ["1762795433.9717445", Decimal("1762795433.9717445"), 1762795433.9717445])
def test_a_rest_time_is_taken_at_its_decimal_text(time: object) -> None:
    assert trade(rest_trade(2, time)).ns == 1762795433971744500


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-09-25T17:48:26Z", 1790358506000000000),
        ("2026-09-25T17:48:26.844359Z", 1790358506844359000),
        ("2026-09-25T17:48:26.844359566Z", 1790358506844359566),
        ("2026-09-25T19:48:26.844359566+02:00", 1790358506844359566),
        ("2026-09-25T12:18:26.844359566-05:30", 1790358506844359566),
    ],
)
def test_rfc_3339_times_become_exact_nanoseconds(text: str, ns: int) -> None:
    assert trade(ws_trade(timestamp=text)).ns == ns


@pytest.mark.parametrize("price", ["1.188e-05", "4.944399E+7", "602211.3999999999", "122", ".5", "5.", "+1"])
def test_prices_are_exact_in_every_notation(price: str) -> None:
    assert trade(archive_trade(price=price)).price == Decimal(price)


def test_an_archive_row_becomes_a_candle_without_turnover_and_ids() -> None:
    it = candle(archive_candle())
    assert (it.open, it.high, it.low, it.close, it.volume, it.trade_count) == (
        10,
        12,
        9,
        11,
        Decimal("4.5"),
        24,
    )
    assert (it.turnover, it.first_id, it.last_id) == (None, None, None)
    assert it.timestamp == datetime(2024, 7, 1, tzinfo=UTC)


def test_a_rest_candle_has_an_approximate_turnover() -> None:
    assert (candle(rest_candle()).turnover, candle(rest_candle()).vwap) == (21, Decimal("10.5"))


def test_an_empty_rest_candle_is_known_to_be_empty() -> None:
    it = candle(rest_candle(high="10", low="10", close="10", vwap="0.0", volume="0.00000000", count=0))
    assert (it.trade_count, it.volume, it.turnover) == (0, 0, 0)


def test_a_vwap_cut_to_nothing_leaves_the_turnover_unknown() -> None:
    assert candle(rest_candle(vwap="0.0")).turnover is None


def test_a_websocket_trade_is_read() -> None:
    it = trade(ws_trade())
    assert (it.symbol, it.trade_id, it.side, it.order_type) == ("BTC/USD", 109116693, "buy", "limit")
    assert (it.price, it.volume) == (Decimal("83744.3"), Decimal("0.00044780"))


def test_a_websocket_candle_starts_at_its_interval_begin() -> None:
    it = candle(ws_candle())
    assert (it.timestamp, it.interval_minutes) == (datetime(2026, 9, 25, 17, 48, tzinfo=UTC), 1)


def test_fields_the_exchange_adds_later_are_ignored() -> None:
    assert trade(validate_rest_trade([*REST_TRADE, "new"], "BTC/USD", NOW))
    assert trade(ws_trade(new="field"))


def test_our_clock_may_be_a_little_behind() -> None:
    assert trade(archive_trade(timestamp=str(int(NOW.timestamp()) + 60)))


# --- what is not

REFUSED = [
    ("price_not_positive", lambda: archive_trade(price="0")),
    ("price_not_positive", lambda: archive_trade(price="-1.5")),
    ("price_not_positive", lambda: archive_candle(low="0.0")),
    ("price_not_positive", lambda: rest_trade(0, "0.00000")),
    ("price_not_positive", lambda: rest_candle(vwap="-1")),
    ("price_not_positive", lambda: ws_trade(price=0)),
    ("volume_not_positive", lambda: archive_trade(volume="0e-8")),
    ("volume_not_positive", lambda: archive_candle(volume="0.0", trades="0")),
    ("volume_not_positive", lambda: rest_trade(1, "-0.1")),
    ("volume_not_positive", lambda: rest_candle(volume="0")),
    ("volume_not_positive", lambda: rest_candle(volume="-1")),
    ("volume_not_positive", lambda: ws_trade(qty=Decimal(0))),
    ("not_a_number", lambda: archive_trade(price="abc")),
    ("not_a_number", lambda: archive_trade(price="NaN")),
    ("not_a_number", lambda: archive_trade(price="1_000")),
    ("not_a_number", lambda: archive_trade(price="1,5")),
    ("not_a_number", lambda: archive_trade(price="١٢")),
    ("not_a_number", lambda: rest_trade(0, [])),
    ("not_a_number", lambda: rest_trade(0, True)),
    ("not_a_number", lambda: ws_trade(price=float("nan"))),
    ("not_a_number", lambda: ws_trade(price=Decimal("sNaN"))),
    ("infinite", lambda: archive_trade(price="inf")),
    ("infinite", lambda: archive_trade(volume="-Infinity")),
    ("infinite", lambda: ws_trade(qty=float("inf"))),
    ("infinite", lambda: ws_trade(qty=Decimal("Infinity"))),
    ("number_out_of_range", lambda: archive_trade(price="1e999999999")),
    ("number_out_of_range", lambda: archive_trade(price="1e99999999999999999999")),
    ("number_out_of_range", lambda: archive_trade(price="1e-99999999999999999999")),
    ("number_out_of_range", lambda: archive_trade(price="1" * 5000)),
    ("number_out_of_range", lambda: archive_trade(trade_id="9223372036854775808")),
    ("number_out_of_range", lambda: ws_trade(price=10**5000)),
    ("missing_field", lambda: archive_trade(price="")),
    ("missing_field", lambda: archive_trade(timestamp=" ")),
    ("missing_field", lambda: archive_trade(trade_id="")),
    ("missing_field", lambda: validate_archive_trade({}, "", "BTC/USD", NOW)),
    ("missing_field", lambda: validate_rest_trade(REST_TRADE[:6], "BTC/USD", NOW)),
    ("missing_field", lambda: validate_rest_candle([], "BTC/USD", 1, NOW)),
    ("missing_field", lambda: ws_trade(timestamp=None)),
    ("missing_field", lambda: ws_trade(symbol="")),
    ("extra_field", lambda: archive_trade(eighth="1")),
    ("extra_field", lambda: archive_candle(vwap="1")),
    ("not_a_record", lambda: validate_rest_trade("row", "BTC/USD", NOW)),
    ("not_a_record", lambda: validate_rest_candle({"time": 1}, "BTC/USD", 1, NOW)),
    ("not_a_record", lambda: validate_websocket_trade([1, 2], NOW)),
    ("not_a_record", lambda: validate_websocket_candle(None, NOW)),
    ("bad_timestamp", lambda: archive_trade(timestamp="2023-01-01")),
    ("bad_timestamp", lambda: archive_trade(timestamp="inf")),
    ("bad_timestamp", lambda: archive_trade(timestamp="1e400")),
    ("bad_timestamp", lambda: archive_candle(timestamp="1719792001")),
    ("bad_timestamp", lambda: archive_candle(minutes=10080, timestamp="1719446400")),
    ("bad_timestamp", lambda: ws_trade(timestamp=1790358506)),
    ("bad_timestamp", lambda: ws_trade(timestamp="2026-09-25T17:48:26")),
    ("bad_timestamp", lambda: ws_trade(timestamp="2026-02-30T17:48:26Z")),
    ("bad_timestamp", lambda: ws_trade(timestamp="2026-09-25T17:48:60Z")),
    ("before_kraken", lambda: archive_trade(timestamp="1377993599")),
    ("before_kraken", lambda: archive_trade(timestamp="-5")),
    ("before_kraken", lambda: ws_trade(timestamp="0001-01-01T00:00:00+23:59")),
    ("in_future", lambda: archive_trade(timestamp=TOMORROW)),
    ("in_future", lambda: archive_trade(timestamp="1672531436000")),
    ("in_future", lambda: rest_trade(2, 9e18)),
    ("in_future", lambda: ws_trade(timestamp="9999-12-31T23:59:59-23:59")),
    ("high_low_inconsistent", lambda: archive_candle(high="10.5")),
    ("high_low_inconsistent", lambda: archive_candle(low="10.5")),
    ("high_low_inconsistent", lambda: rest_candle(close="12.1")),
    ("high_low_inconsistent", lambda: ws_candle(high=8)),
    ("unknown_symbol", lambda: ws_trade(symbol="XBTUSD")),
    ("unknown_symbol", lambda: ws_trade(symbol=5)),
    ("unknown_symbol", lambda: validate_websocket_trade(WS_TRADE, NOW, known={"ETH/USD"})),
    ("unknown_interval", lambda: ws_candle(interval=7)),
    ("unknown_interval", lambda: ws_candle(interval=Decimal("1.5"))),
    ("trade_id_zero", lambda: archive_trade(trade_id="0")),
    ("trade_id_zero", lambda: rest_trade(6, 0)),
    ("trade_id_zero", lambda: ws_trade(trade_id=0)),
    ("bad_trade_id", lambda: archive_trade(trade_id="-1")),
    ("bad_trade_id", lambda: archive_trade(trade_id="1.5")),
    ("negative_count", lambda: archive_candle(trades="-1")),
    ("bad_count", lambda: archive_candle(trades="1.5")),
    ("bad_count", lambda: rest_candle(count=0)),
    ("bad_side", lambda: archive_trade(type="x")),
    ("bad_side", lambda: rest_trade(3, "B")),
    ("bad_side", lambda: ws_trade(side=["buy"])),
    ("bad_order_type", lambda: archive_trade(order_type="stop")),
    ("bad_order_type", lambda: ws_trade(ord_type=1)),
]


@pytest.mark.parametrize(("code", "validate"), REFUSED)
def test_a_bad_record_is_rejected_for_its_reason(code: str, validate: Any) -> None:
    assert reason(validate()) == code


def test_every_reason_is_reached() -> None:
    # What is out of order is told by the rows around it, in ingest/trade_rows.py.
    assert {code for code, _ in REFUSED} == {member.value for member in Reason} - {"out_of_order"}


@pytest.mark.parametrize("member", Reason)
def test_every_reason_is_its_code_and_has_a_sentence(member: Reason) -> None:
    assert str(member) == member.value == member.name.lower()
    assert member.sentence[0].isupper()
    assert member.sentence.endswith(".")


# --- what a rejection tells


def test_a_rejection_names_source_field_value_and_the_raw_record() -> None:
    assert archive_trade(price="abc") == Rejection(
        Source.ARCHIVE, Reason.NOT_A_NUMBER, "price 'abc' is not a number.", "the line"
    )


def test_the_raw_record_of_the_exchange_is_kept_as_json() -> None:
    answer = ws_trade(price=Decimal("-1.50"))
    assert isinstance(answer, Rejection)
    assert (answer.source, json.loads(answer.raw)["price"]) == (Source.WEBSOCKET, "-1.50")


def test_what_postgresql_cannot_store_is_escaped() -> None:
    answer = validate_archive_trade(ROW | {"price": "\x00\udcff"}, "1,\x00\udcff", "BTC/USD", NOW)
    assert isinstance(answer, Rejection)
    assert answer.raw == "1,\\x00\\udcff"
    answer.detail.encode()


def test_a_long_value_is_quoted_short() -> None:
    answer = archive_trade(price="x" * 10_000)
    assert isinstance(answer, Rejection)
    assert len(answer.detail) < 120


def test_a_naive_now_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        validate_archive_trade(ROW, "", "BTC/USD", datetime(2026, 1, 1))  # noqa: DTZ001


# --- whatever comes

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text()
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
numbers = st.from_regex(r"[+-]?[0-9]{1,12}(\.[0-9]{0,9})?([eE][+-]?[0-9]{1,20})?", fullmatch=True)
texts = numbers | st.text()


def altered(
    record: Mapping[str, object], values: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """The record with some of its fields replaced."""
    changes = st.dictionaries(st.sampled_from(sorted(record)), values, min_size=1, max_size=3)
    return changes.map(lambda changed: {**record, **changed})


def is_answer(answer: object) -> bool:
    if isinstance(answer, Rejection):
        (answer.detail + answer.raw).encode()
        return "\x00" not in answer.detail + answer.raw
    return isinstance(answer, Trade | HistoricalCandle)


@given(altered(FULL_ROW, texts) | st.dictionaries(st.text(), st.text(), max_size=5), st.text())
def test_any_archive_trade_row_has_an_answer(fields: dict[str, str], raw: str) -> None:
    assert is_answer(validate_archive_trade(fields, raw, "BTC/USD", NOW))


@given(altered(CANDLE_ROW, texts) | st.dictionaries(st.text(), st.text(), max_size=5), st.text())
def test_any_archive_candle_row_has_an_answer(fields: dict[str, str], raw: str) -> None:
    assert is_answer(validate_archive_candle(fields, raw, "BTC/USD", 5, NOW))


@given(anything | st.lists(scalars | numbers, max_size=9))
def test_any_rest_row_has_an_answer(row: object) -> None:
    assert is_answer(validate_rest_trade(row, "BTC/USD", NOW))
    assert is_answer(validate_rest_candle(row, "BTC/USD", 1, NOW))


@given(st.integers(0, 6), anything | numbers, st.integers(0, 7))
def test_any_field_of_a_rest_row_has_an_answer(place: int, value: object, other: int) -> None:
    assert is_answer(rest_trade(place, value))
    row = [*REST_CANDLE[:other], value, *REST_CANDLE[other + 1 :]]
    assert is_answer(validate_rest_candle(row, "BTC/USD", 1, NOW))


@given(anything | altered(WS_TRADE, anything | numbers))
def test_any_websocket_trade_has_an_answer(data: object) -> None:
    assert is_answer(validate_websocket_trade(data, NOW))


@given(anything | altered(WS_CANDLE, anything | numbers))
def test_any_websocket_candle_has_an_answer(data: object) -> None:
    assert is_answer(validate_websocket_candle(data, NOW))


def test_what_cannot_be_shown_is_rejected_all_the_same() -> None:
    deep: list[object] = []
    deep.append(deep)
    assert is_answer(validate_rest_trade([deep], "BTC/USD", NOW))
    assert is_answer(validate_rest_trade([10**5000], "BTC/USD", NOW))


# --- the recorded data


@pytest.mark.parametrize(("name", "minutes", "rows"), [("ETHUSD_5", 5, 52_943), ("XBTUSD_60", 60, 70_253)])
def test_every_row_of_a_recorded_archive_is_good(samples: Path, name: str, minutes: int, rows: int) -> None:
    lines = (samples / "archives" / "ohlcvt" / f"{name}.csv").read_text().splitlines()[::10]
    answers = [
        validate_archive_candle(
            dict(zip(CANDLE_ROW, line.split(","), strict=True)), line, "A/B", minutes, NOW
        )
        for line in lines
    ]
    assert len(answers) == -(-rows // 10)
    assert not [answer for answer in answers if isinstance(answer, Rejection)]


def test_every_row_of_the_recorded_trades_archive_is_good(samples: Path) -> None:
    lines = (samples / "archives" / "trades" / "BCHEUR.csv").read_text().splitlines()
    answers = [
        validate_archive_trade(dict(zip(ROW, line.split(","), strict=True)), line, "BCH/EUR", NOW)
        for line in lines
    ]
    assert len(answers) == 148
    assert {trade(answer).trade_id for answer in answers} == {0}


def test_every_recorded_candle_of_2017_is_good(samples: Path) -> None:
    answer = json.loads((samples / "rest" / "ohlc_XBTUSD_1m_2017.json").read_text())
    (rows,) = (rows for key, rows in answer["result"].items() if key != "last")
    candles = [candle(validate_rest_candle(row, "BTC/USD", 1, NOW)) for row in rows]
    assert len([it for it in candles if not it.trade_count]) == 17


def test_trades_recorded_before_ids_existed_are_rejected(samples: Path) -> None:
    answer = json.loads((samples / "rest" / "trades_XBTUSD_2013_six_fields.json").read_text())
    rows = answer["result"]["XXBTZUSD"]
    assert {reason(validate_rest_trade(row, "BTC/USD", NOW)) for row in rows} == {"missing_field"}


class LookedAtClosely(dict[str, object]):
    """What is no plain dict is read field by field."""


ODD_NUMBERS = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.decimals(places=8, min_value=0, max_value=10**6),
    st.sampled_from(
        [
            Decimal(text)
            for text in (
                "0",
                "-0",
                "1E-40",
                "1E-41",
                "1E19",
                "1E20",
                "99999999999999999999",
                "1e+5",
                "sNaN",
                "5E-8",
            )
        ]
        + [Decimal("1.") + Decimal(1).scaleb(-39), Decimal("1" * 60), Decimal("0." + "1" * 41)]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.none(),
    st.booleans(),
)
ODD_TIMES = st.one_of(
    st.sampled_from(
        [
            "2026-09-25T17:48:26.844359Z", "2026-09-25T17:48:26Z", "2026-09-25t17:48:26.8z", "2026-09-25T17:48:26.Z",
            "2026-09-25T17:48:26.1234567899Z", "2026-02-30T00:00:00.1Z", "2026-09-25T17:48:60.1Z",
            "2013-08-31T23:59:59.9Z",
            "2099-01-01T00:00:00.1Z", "2026-09-25 17:48:26.8Z", "2026-09-25T17:48:26.8+00:00", "2026-09-25T17:48:26.²Z",
            "2026-09-25T24:00:00.0Z", "0000-01-01T00:00:00.0Z", "2026-W39-5T17:48:26.0Z", "2026-09-25T17:48:26,8Z", "",
        ]
    ),
    st.text(max_size=30),
    st.none(),
    st.integers(),
)  # fmt: skip
ODD_TRADES = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.one_of(
            st.sampled_from(["BTC/USD", "btc/usd", "X/Y.d", "BTCUSD", "/"]), st.text(max_size=6), st.none()
        ),
        "side": st.sampled_from(["buy", "sell", "b", "s", "", " buy", None, 1, "BUY"]),
        "ord_type": st.sampled_from(["limit", "market", "l", "m", "", None, 2, "stop"]),
        "price": ODD_NUMBERS,
        "qty": ODD_NUMBERS,
        "trade_id": st.one_of(st.integers(-2, 2**64), ODD_NUMBERS, st.sampled_from([2**63 - 1, 2**63])),
        "timestamp": ODD_TIMES,
        "misc": st.text(max_size=3),
    },
)


@given(ODD_TRADES, st.sampled_from([None, frozenset({"BTC/USD"})]))
def test_the_quick_look_at_a_trade_finds_what_the_close_one_does(
    changed: dict[str, object], known: frozenset[str] | None
) -> None:
    for fields in (changed, WS_TRADE | changed):
        quick = validate_websocket_trade(fields, NOW, known)
        close = validate_websocket_trade(LookedAtClosely(fields), NOW, known)
        if isinstance(close, Rejection):
            assert isinstance(quick, Rejection)
            assert (quick.reason, quick.detail) == (close.reason, close.detail)
        else:
            # Equal decimals may be written in several ways; both keep the exchange's.
            assert repr(quick) == repr(close)


def test_a_trade_as_it_nearly_always_is_takes_the_quick_look() -> None:
    assert validation._usual_trade(WS_TRADE, horizon_ns(NOW), None) == validate_websocket_trade(WS_TRADE, NOW)
