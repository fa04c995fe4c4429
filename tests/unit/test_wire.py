"""REST answers read: rows and cursors to the last digit, and every way in which a body is no answer."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from krakendata.errors import KrakenError, RateLimited, Refused, Unavailable
from krakendata.kraken.wire import (
    check_status,
    read_candles_page,
    read_pairs,
    read_server_time,
    read_system_status,
    read_trades_page,
)

NOW = datetime(2026, 9, 25, 18, 0, tzinfo=UTC)
UNIX_NOW = int(NOW.timestamp())

ROW = '["83930.30000","0.00005100",1790359840.9392912,"s","l","",109118758]'
TRADE = ("83930.30000", "0.00005100", Decimal("1790359840.9392912"), "s", "l", "", 109118758)
CANDLE_ROW = '[1790348400,"84001.9","84075.9","83351.5","83777.5","83714.6","159.04484404",9205]'
CANDLE = (1790348400, "84001.9", "84075.9", "83351.5", "83777.5", "83714.6", "159.04484404", 9205)
PAIR = {"altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8, "status": "online"}


def body_of(result: str, error: str = "[]") -> bytes:
    return f'{{"error":{error},"result":{result}}}'.encode()


def trades_of(rows: str, last: str = '"1790359841138228746"', key: str = "XXBTZUSD") -> bytes:
    return body_of(f'{{"{key}":[{rows}],"last":{last}}}')


def error_of(*strings: str) -> KrakenError:
    """Give the error that a body with these strings is read as."""
    with pytest.raises(KrakenError) as caught:
        read_trades_page(body_of("null", json.dumps(strings)), NOW)
    return caught.value


# --- pages -------------------------------------------------------------------------------------------------


def test_a_trade_keeps_every_digit() -> None:
    assert read_trades_page(trades_of(ROW)).rows == (TRADE,)


@pytest.mark.parametrize("time", ["1790359840.939291212345678", "1790359840", "1790359840.0", "1.79e9"])
def test_a_time_keeps_more_digits_than_a_float_has(time: str) -> None:
    row = (*TRADE[:2], Decimal(time), *TRADE[3:])
    assert read_trades_page(trades_of(ROW.replace("1790359840.9392912", time))).rows == (row,)


@pytest.mark.parametrize("last", ['"1790359841138228746"', "1790359841138228746"])
def test_the_cursor_is_text_whether_it_came_as_text_or_as_a_number(last: str) -> None:
    assert read_trades_page(trades_of(ROW, last)).last == "1790359841138228746"


def test_a_cursor_that_is_missing_is_none() -> None:
    assert read_trades_page(body_of(f'{{"XXBTZUSD":[{ROW}]}}')).last is None


@pytest.mark.parametrize("last", ["null", "1.79e18", "[]", "true"])
def test_what_is_no_cursor_counts_as_missing(last: str) -> None:
    page = read_trades_page(trades_of(ROW, last))
    assert (page.rows, page.last) == ((TRADE,), None)


@pytest.mark.parametrize("key", ["XXBTZUSD", "XBTUSD", "BTC/USD"])
def test_the_pair_is_the_one_key_that_is_not_last(key: str) -> None:
    assert read_trades_page(trades_of(ROW, key=key)).rows == (TRADE,)


def test_last_may_come_first() -> None:
    assert read_trades_page(body_of(f'{{"last":"5","XXBTZUSD":[{ROW}]}}')) == ((TRADE,), "5")


@pytest.mark.parametrize("result", ['{"last":"5"}', '{"A":[],"B":[],"last":"5"}'])
def test_an_answer_about_no_pair_or_about_two_is_none(result: str) -> None:
    with pytest.raises(Unavailable, match="asked about one pair"):
        read_trades_page(body_of(result))


def test_an_empty_page_is_a_page() -> None:
    assert read_trades_page(trades_of("")) == ((), "1790359841138228746")


@pytest.mark.parametrize(
    ("odd", "read"),
    [
        (
            '["1.0","2.0",1385579841.7774,"s","l",""]',
            ("1.0", "2.0", Decimal("1385579841.7774"), "s", "l", ""),
        ),
        ('["1.0","2.0",null,"s","l","",7]', ("1.0", "2.0", None, "s", "l", "", 7)),
        ('[1.10,"2.0",5.5,"s","l","",7]', (Decimal("1.10"), "2.0", Decimal("5.5"), "s", "l", "", 7)),
        ('["1.0","2.0",5.5,"s","l","",7.0]', ("1.0", "2.0", Decimal("5.5"), "s", "l", "", Decimal("7.0"))),
        ('["1.0","2.0",5.5,"s","l","","7"]', ("1.0", "2.0", Decimal("5.5"), "s", "l", "", "7")),
        ('["1.0","2.0",1e99999999999999999999,"s"]', ("1.0", "2.0", "1e99999999999999999999", "s")),
        ('["1.0","2.0",5.5,"s","l","",7,"new"]', ("1.0", "2.0", Decimal("5.5"), "s", "l", "", 7, "new")),
        ("null", None),
        ("5.50", Decimal("5.50")),
        ('{"price":1.0}', {"price": Decimal("1.0")}),
    ],
)
def test_a_row_of_another_shape_comes_as_it_is_and_costs_the_others_nothing(odd: str, read: object) -> None:
    assert read_trades_page(trades_of(f"{ROW},{odd},{ROW}")).rows == (TRADE, read, TRADE)


def test_a_candle_keeps_every_digit_and_its_cursor_is_text() -> None:
    page = read_candles_page(body_of(f'{{"XXBTZUSD":[{CANDLE_ROW}],"last":1790355600}}'))
    assert page == ((CANDLE,), "1790355600")


def test_a_candle_of_another_shape_costs_the_others_nothing() -> None:
    page = read_candles_page(body_of(f'{{"A":[{CANDLE_ROW},[1790352000.5,1.0]],"last":1}}'))
    assert page.rows == (CANDLE, (Decimal("1790352000.5"), Decimal("1.0")))


# --- pairs, time, status -----------------------------------------------------------------------------------


def test_one_entry_that_cannot_be_read_leaves_the_other_pairs() -> None:
    entries = {"XXBTZUSD": PAIR, "ODD": {"altname": "ODD"}, "WORSE": [1], "NONE": None}
    found = read_pairs(body_of(json.dumps(entries)))
    assert [pair.symbol for pair in found.pairs] == ["BTC/USD"]
    assert list(found.unreadable) == ["ODD", "WORSE", "NONE"]
    assert "AssetPairs entry 'ODD' cannot be read" in found.unreadable["ODD"]


def test_the_time_is_aware_utc() -> None:
    assert read_server_time(body_of(f'{{"unixtime":{UNIX_NOW},"rfc1123":"…"}}')) == NOW


def test_the_status_is_the_exchanges_word() -> None:
    assert read_system_status(body_of('{"status":"maintenance","timestamp":"…"}')) == "maintenance"


@pytest.mark.parametrize("unixtime", ["null", '"5"', "1762820224000000", "1" + 30 * "0"])
def test_what_is_no_time_is_no_answer(unixtime: str) -> None:
    with pytest.raises(Unavailable):
        read_server_time(body_of(f'{{"unixtime":{unixtime}}}'))


# --- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "EQuery:Unknown asset pair",
        "EQuery:Unknown asset pair:FOOBAR",
        "EQuery:Unknown asset",
        "EGeneral:Invalid arguments",
        "EGeneral:Invalid arguments:since",
    ],
)
def test_a_wrong_question_is_refused_for_good(text: str) -> None:
    error = error_of(text)
    assert isinstance(error, Refused)
    assert not error.transient
    assert text in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "EService:Unavailable",
        "EService:Busy",
        "EGeneral:Internal error",
        "EService:Market in cancel_only mode",
        "EService:Deadline elapsed",
        "EFuture:Never heard of",
        "no severity at all",
        "",
    ],
)
def test_trouble_at_the_exchange_and_unknown_words_are_transient(text: str) -> None:
    error = error_of(text)
    assert isinstance(error, Unavailable)
    assert error.transient


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("EAPI:Rate limit exceeded", None),
        ("EGeneral:Too many requests", None),
        ("EGeneral:Temporary lockout", 900),
        (f"EService:Throttled: {UNIX_NOW + 37}", 37),
        (f"EService:Throttled:{UNIX_NOW + 37}", 37),
        (f"EService:Throttled: {UNIX_NOW - 5}", 0),
        (f"EService:Throttled: {UNIX_NOW * 1000}", None),
        ("EService:Throttled: soon", None),
        ("EService:Throttled", None),
    ],
)
def test_too_many_calls_are_limited_for_the_time_that_is_named(text: str, seconds: float | None) -> None:
    error = error_of(text)
    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


def test_without_a_clock_a_throttled_moment_is_no_wait() -> None:
    with pytest.raises(RateLimited) as caught:
        read_trades_page(body_of("null", f'["EService:Throttled: {UNIX_NOW}"]'))
    assert caught.value.retry_after is None


def test_of_several_errors_the_one_that_asks_for_most_patience_counts() -> None:
    lockout = error_of("EQuery:Unknown asset pair", "EAPI:Rate limit exceeded", "EGeneral:Temporary lockout")
    assert isinstance(lockout, RateLimited)
    assert lockout.retry_after == 900
    assert isinstance(error_of("EQuery:Unknown asset pair", "EService:Busy"), Unavailable)


def test_a_warning_is_no_error() -> None:
    page = read_trades_page(trades_of(ROW).replace(b'"error":[]', b'"error":["WGeneral:Slow down"]'))
    assert page.rows == (TRADE,)


def test_a_warning_beside_an_error_does_not_hide_it() -> None:
    assert isinstance(error_of("WGeneral:Slow down", "EQuery:Unknown asset pair"), Refused)


def test_an_error_may_come_without_a_result() -> None:
    with pytest.raises(Refused):
        read_trades_page(b'{"error":["EQuery:Unknown asset pair"]}')


WHOLE = trades_of(ROW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<!DOCTYPE html><html><body>We are down</body></html>",
        *(WHOLE[:length] for length in (1, 20, 60, len(WHOLE) - 1)),
        WHOLE + b"x",
        WHOLE.decode().encode("utf-16"),
        WHOLE.replace(b'"s"', b'"\xe9"'),
        WHOLE.replace(b'"error":[]', b'"error":null'),
        WHOLE.replace(b'"error":[],', b""),
        WHOLE.replace(b"109118758", b"NaN"),
        body_of("null"),
        body_of("[]"),
        body_of('{"XXBTZUSD":null,"last":"5"}'),
        body_of('{"XXBTZUSD":{"rows":[]},"last":"5"}'),
        body_of('{"XXBTZUSD":[' + 5000 * "[" + 5000 * "]" + '],"last":"5"}'),
    ],
)
def test_what_is_no_answer_is_transient_and_shown(body: bytes) -> None:
    with pytest.raises(Unavailable, match="no answer of the exchange's API"):
        read_trades_page(body, NOW)


# --- HTTP status -------------------------------------------------------------------------------------------


def test_a_good_status_says_nothing_about_the_body() -> None:
    check_status(200, b"<html>")


@pytest.mark.parametrize("status", [301, 403, 404, 500, 502, 503, 504, 520, 522])
def test_a_proxys_page_is_transient(status: int) -> None:
    with pytest.raises(Unavailable, match=f"^HTTP {status} .*<html>cloudflare"):
        check_status(status, b"<html>cloudflare</html>", NOW)


@pytest.mark.parametrize(
    ("status", "body", "header", "seconds"),
    [
        (429, b"", None, 60),
        (429, b"<html>", "7", 60),
        (429, b"<html>", "120", 120),
        (429, b"<html>", "Wed, 21 Oct 2026 07:28:00 GMT", 60),
        (429, b"<html>", 12 * "9", 86_400),
        (429, b'{"error":["EGeneral:Too many requests"]}', None, 60),
        (429, b'{"error":["EGeneral:Temporary lockout"]}', None, 900),
        (403, b"error code: 1015", None, 60),
        (403, b"<title>Error 1015</title>You are being rate limited", None, 60),
        (520, b'<span class="cf-error-code">1015</span>', None, 60),
    ],
)
def test_a_ban_lasts_a_minute_or_longer(status: int, body: bytes, header: str | None, seconds: float) -> None:
    with pytest.raises(RateLimited) as caught:
        check_status(status, body, NOW, header)
    assert caught.value.retry_after == seconds


def test_an_error_of_the_api_counts_whatever_the_status() -> None:
    with pytest.raises(Refused, match="Invalid arguments"):
        check_status(400, b'{"error":["EGeneral:Invalid arguments"]}', NOW)


def test_a_bad_status_is_no_success_though_the_body_is() -> None:
    with pytest.raises(Unavailable, match="^HTTP 500"):
        check_status(500, WHOLE, NOW)
