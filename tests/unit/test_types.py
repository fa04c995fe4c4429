"""Intervals, names of pairs, ids of archive trades, and what a candle says of itself."""

# Decimals are compared with plain whole numbers here, for the eye.
# mypy: disable-error-code="comparison-overlap"

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.errors import Refused, UnknownInterval, UnknownSymbol
from krakendata.types import (
    INTERVALS,
    HistoricalCandle,
    Pair,
    Source,
    Symbols,
    Trade,
    archive_position,
    archive_trade_id,
    bucket_start_ns,
    interval_of,
    is_symbol,
    moment_of,
    ns_of,
    pairs_from_asset_pairs,
)


@pytest.fixture(scope="module")
def pairs(samples: Path) -> list[Pair]:
    answer = json.loads((samples / "pairs" / "asset_pairs_2025-07.json").read_text())
    return pairs_from_asset_pairs(answer["result"])


# --- intervals


def test_the_intervals_and_their_minutes() -> None:
    assert {name: interval.minutes for name, interval in INTERVALS.items()} == {
        "1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "12h": 720, "1d": 1440, "1w": 10080,
    }  # fmt: skip


def test_each_interval_is_built_from_its_parent() -> None:
    assert [INTERVALS[name].parent for name in ("1m", "5m", "15m", "30m", "1h")] == [None, *["1m"] * 4]
    assert [INTERVALS[name].parent for name in ("4h", "12h", "1d", "1w")] == ["1h"] * 4


def test_relations_and_views_have_the_customers_names() -> None:
    assert (INTERVALS["1m"].relation, INTERVALS["1m"].view) == ("candles", "all_candles_1m")
    assert (INTERVALS["1w"].relation, INTERVALS["1w"].view) == ("candles_1w", "all_candles_1w")


@pytest.mark.parametrize("value", ["4h", 240, INTERVALS["4h"]])
def test_an_interval_is_found_by_name_by_minutes_and_by_itself(value: str | int) -> None:
    assert interval_of(value) is INTERVALS["4h"]


@pytest.mark.parametrize("value", ["2h", "", "1H", 7, 0, "60"])
def test_an_unknown_interval_is_refused_with_the_known_ones(value: str | int) -> None:
    with pytest.raises(UnknownInterval, match="1m, 5m, 15m, 30m, 1h, 4h, 12h, 1d, 1w"):
        interval_of(value)


# --- time


def test_nanoseconds_are_cut_to_microseconds_never_rounded_up() -> None:
    assert moment_of(1_999).microsecond == 1


def test_a_moment_survives_nanoseconds() -> None:
    moment = datetime(2026, 9, 25, 17, 48, 26, 844359, tzinfo=UTC)
    assert moment_of(ns_of(moment)) == moment


def test_any_time_zone_becomes_utc() -> None:
    assert ns_of(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0


def test_a_naive_moment_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        ns_of(datetime(2026, 1, 1))  # noqa: DTZ001


@given(
    st.integers(0, 2**62),
    st.sampled_from([interval.minutes for interval in INTERVALS.values()]),
)
def test_a_bucket_contains_its_moment(ns: int, minutes: int) -> None:
    start = bucket_start_ns(ns, minutes)
    assert start <= ns < start + minutes * 60 * 10**9
    assert bucket_start_ns(start, minutes) == start


# --- trades


@given(st.integers(0, 2**33 - 1), st.integers(0, 2**20 - 1))
def test_an_archive_trade_id_leads_back_to_its_row(second: int, ordinal: int) -> None:
    assert archive_position(archive_trade_id(second, ordinal)) == (second, ordinal)


def test_archive_trade_ids_are_negative_and_rise_in_file_order() -> None:
    ids = [archive_trade_id(second, ordinal) for second in (1381095255, 1381095256) for ordinal in (0, 1)]
    assert ids == sorted(set(ids))
    assert ids[-1] < 0


@pytest.mark.parametrize(("second", "ordinal"), [(-1, 0), (2**33, 0), (0, -1), (0, 2**20)])
def test_no_archive_trade_id_is_made_outside_its_range(second: int, ordinal: int) -> None:
    with pytest.raises(ValueError, match="No archive trade id"):
        archive_trade_id(second, ordinal)


@pytest.mark.parametrize("trade_id", [0, 1, -(2**53) - 1])
def test_the_id_of_the_exchange_has_no_position_in_an_archive(trade_id: int) -> None:
    with pytest.raises(ValueError, match="not the id of an archive trade"):
        archive_position(trade_id)


def test_a_trade_is_frozen_and_knows_its_time() -> None:
    trade = Trade("BTC/USD", 1, 1_762_820_035_982_277_754, Decimal("1.5"), Decimal(2), "buy", "limit")
    assert trade.timestamp == datetime(2025, 11, 11, 0, 13, 55, 982277, tzinfo=UTC)
    with pytest.raises(FrozenInstanceError):
        trade.price = Decimal(1)  # type: ignore[misc]


def test_sources_are_their_words() -> None:
    assert [str(source) for source in Source] == ["archive", "rest", "websocket"]


# --- candles


def candle(opened: str = "10", high: str = "16", low: str = "8", closed: str = "12") -> HistoricalCandle:
    return HistoricalCandle(
        "BTC/USD", 60, datetime(2026, 1, 5, tzinfo=UTC),
        Decimal(opened), Decimal(high), Decimal(low), Decimal(closed),
        volume=Decimal(4), turnover=Decimal(46), trade_count=3, first_id=7, last_id=9,
    )  # fmt: skip


def test_a_candles_sizes() -> None:
    it = candle()
    assert (it.range, it.body, it.upper_wick, it.lower_wick) == (8, 2, 4, 2)


def test_a_candles_change() -> None:
    assert (candle().change, candle().change_percent) == (2, 20)


def test_a_candles_average_prices() -> None:
    it = candle()
    assert (it.vwap, it.typical_price, it.median_price, it.weighted_close) == (Decimal("11.5"), 12, 12, 12)


def test_a_candle_ends_where_the_next_begins() -> None:
    assert candle().end == datetime(2026, 1, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(("closed", "says"), [("12", "bullish"), ("9", "bearish"), ("10", "doji")])
def test_a_candle_is_bullish_bearish_or_a_doji(closed: str, says: str) -> None:
    it = candle(closed=closed)
    told = {"bullish": it.is_bullish, "bearish": it.is_bearish, "doji": it.is_doji}
    assert [word for word, true in told.items() if true] == [says]


def test_a_candle_without_turnover_or_volume_has_no_vwap() -> None:
    assert replace(candle(), turnover=None).vwap is None
    assert replace(candle(), volume=Decimal(0), turnover=Decimal(0)).vwap is None


def test_contiguous_ids_of_the_exchange_make_a_candle_exact() -> None:
    assert candle().is_exact


@pytest.mark.parametrize(("first", "last"), [(None, None), (-9, -7), (7, 10), (0, 2)])
def test_other_ids_do_not(first: int | None, last: int | None) -> None:
    assert not replace(candle(), first_id=first, last_id=last).is_exact


# --- pairs


def test_all_listed_pairs_are_read(pairs: list[Pair]) -> None:
    assert len(pairs) == len({pair.symbol for pair in pairs}) == 1114


def test_a_pair_has_four_spellings_and_its_decimals(pairs: list[Pair]) -> None:
    assert next(pair for pair in pairs if pair.key == "XXBTZUSD") == Pair(
        "BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD", "BTC", "USD", "online", 1, 8
    )


@pytest.mark.parametrize("spelling", ["symbol", "key", "altname", "wsname"])
def test_every_pair_is_found_in_the_list_by_each_spelling(pairs: list[Pair], spelling: str) -> None:
    symbols = Symbols(pairs)
    assert [symbols.resolve(getattr(pair, spelling)) for pair in pairs] == [pair.symbol for pair in pairs]


@pytest.mark.parametrize("spelling", ["symbol", "key", "altname", "wsname"])
def test_every_pair_is_found_by_rule_by_each_spelling(pairs: list[Pair], spelling: str) -> None:
    symbols = Symbols()
    assert [symbols.resolve(getattr(pair, spelling)) for pair in pairs] == [pair.symbol for pair in pairs]


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("XXBTZUSD", "BTC/USD"),
        ("XDGUSD", "DOGE/USD"),
        ("XETHXXBT", "ETH/BTC"),
        ("USDTZUSD", "USDT/USD"),
        ("XTZUSD", "XTZ/USD"),
        ("ETHPYUSD", "ETH/PYUSD"),
        ("MERLUSD", "MERL/USD"),
        ("XRPRLUSD", "XRP/RLUSD"),
        ("JPYUSD", "JPY/USD"),
        ("AUSD", "A/USD"),
        ("AAPLxUSD", "AAPLx/USD"),
        ("AAPLx/USD", "AAPLx/USD"),
        ("BTCUSD", "BTC/USD"),
        ("ETHCAD.d", "ETH/CAD.d"),
    ],
)
def test_names_that_invite_mistakes(name: str, symbol: str) -> None:
    assert Symbols().resolve(name) == symbol


@pytest.mark.parametrize("name", ["MATICUSD", "MATIC/USD"])
def test_a_name_gone_from_the_list_stays_usable(pairs: list[Pair], name: str) -> None:
    assert Symbols(pair for pair in pairs if pair.base != "MATIC").resolve(name) == "MATIC/USD"


def test_a_symbol_of_any_quote_is_taken_as_it_is(pairs: list[Pair]) -> None:
    assert Symbols(pairs).resolve("ABC/XYZ") == "ABC/XYZ"


@pytest.mark.parametrize(
    "name", ["", "USD", "README", "btc/usd", "xbtusd", "../USD", "A/B/C", "BTC/", "XBT USD"]
)
def test_what_is_no_pair_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(UnknownSymbol, match="--symbol BASE/QUOTE"):
        Symbols().resolve(name)


def test_a_refusal_names_the_closest_known(pairs: list[Pair]) -> None:
    with pytest.raises(UnknownSymbol, match="XBTUSD"):
        Symbols(pairs).resolve("xbtusd")


@given(st.text())
def test_whatever_the_name_the_answer_is_a_symbol_or_the_refusal(name: str) -> None:
    try:
        assert is_symbol(Symbols().resolve(name))
    except UnknownSymbol as error:
        assert error.name == name


def test_the_list_tells_about_a_pair_by_any_spelling(pairs: list[Pair]) -> None:
    symbols = Symbols(pairs)
    found = {symbols.pair(name) for name in ("BTC/USD", "XXBTZUSD", "XBTUSD", "XBT/USD")}
    assert [pair.altname for pair in found if pair] == ["XBTUSD"]
    assert symbols.pair("ABC/XYZ") is None


def test_the_exchange_is_asked_by_the_altname_of_its_list(pairs: list[Pair]) -> None:
    symbols = Symbols(pairs)
    assert [symbols.altname(pair.symbol) for pair in pairs] == [pair.altname for pair in pairs]


def test_without_a_list_the_exchange_is_asked_by_the_name_of_the_rule(pairs: list[Pair]) -> None:
    symbols = Symbols()
    assert [symbols.altname(pair.symbol) for pair in pairs] == [pair.altname for pair in pairs]


@pytest.mark.parametrize(
    ("symbol", "altname"),
    [
        ("BTC/USD", "XBTUSD"),
        ("DOGE/BTC", "XDGXBT"),
        ("ETH/BTC.d", "ETHXBT.d"),
        ("AAPLx/USD", "AAPLxUSD"),
        ("XBT/USD", "XBTUSD"),
        ("XXBTZUSD", "XBTUSD"),
    ],
)
def test_a_pair_nobody_listed_is_asked_for_by_rule(symbol: str, altname: str) -> None:
    assert Symbols().altname(symbol) == altname


def test_what_is_no_pair_cannot_be_asked_for() -> None:
    with pytest.raises(UnknownSymbol):
        Symbols().altname("btc/usd")


def renamed_pairs() -> list[Pair]:
    """MATIC/USD gone, and its names POL/USD's; the gone one both before and behind."""
    gone = Pair("MATIC/USD", "MATICUSD", "MATICUSD", "MATIC/USD", "MATIC", "USD", "renamed", 4, 8)
    return [gone, replace(gone, symbol="POL/USD", base="POL", wsname="POL/USD", status="online"), gone]


def test_a_name_that_two_pairs_bore_is_that_of_the_listed_one() -> None:
    symbols = Symbols(renamed_pairs())
    assert symbols.resolve("MATICUSD") == "POL/USD"
    assert symbols.resolve("MATIC/USD") == "MATIC/USD"
    assert symbols.altname("POL/USD") == "MATICUSD"


def test_a_pair_whose_name_is_anothers_today_is_not_asked_for() -> None:
    with pytest.raises(Refused, match="MATICUSD is POL/USD today: ask for POL/USD"):
        Symbols(renamed_pairs()).altname("MATIC/USD")


def test_a_tokenized_asset_keeps_its_lower_case(samples: Path) -> None:
    answer = json.loads((samples / "rest" / "asset_pairs_tokenized.json").read_text())
    assert [pair.symbol for pair in pairs_from_asset_pairs(answer["result"])] == ["AAPLx/USD"]


def test_a_dark_pool_without_wsname_is_a_pair_of_its_own() -> None:
    facts = {"altname": "XBTUSD.d", "pair_decimals": 1, "lot_decimals": 8}
    (pair,) = pairs_from_asset_pairs({"XXBTZUSD.d": facts})
    assert (pair.symbol, pair.wsname, pair.status) == ("BTC/USD.d", "XBT/USD.d", "unknown")


@pytest.mark.parametrize("facts", [{}, {"altname": "XBTUSD"}, {"altname": "?", "pair_decimals": 1}])
def test_a_list_of_another_shape_is_refused_naming_the_entry(facts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="'XXBTZUSD' cannot be read"):
        pairs_from_asset_pairs({"XXBTZUSD": facts})
