"""Candles come out right whatever the order, the split and the way up; and equal the exchange's own."""

# Decimals are compared with plain whole numbers here, for the eye.
# mypy: disable-error-code="comparison-overlap"

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.candles import bucket_start, fold_candles, fold_trades, merge, vwap_truncated
from krakendata.types import INTERVALS, HistoricalCandle, Trade, archive_trade_id, moment_of, ns_of
from krakendata.validation import validate_rest_candle, validate_rest_trade

NOW = datetime(2026, 11, 1, tzinfo=UTC)
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)

prices = st.decimals("0.0000000001", "999999", places=10)
volumes = st.decimals("0.00000001", "99999999", places=8)


@st.composite
def trade_lists(draw: st.DrawFn, minutes: int, max_size: int = 30) -> list[Trade]:
    """Trades of one pair within `minutes` from a Monday, ids apart from the times' order."""
    ids = draw(st.lists(st.integers(1, 10**9), unique=True, min_size=1, max_size=max_size))
    times = st.integers(0, minutes * 60 * 10**9 - 1)
    start = ns_of(MONDAY)
    return [Trade("BTC/USD", id_, start + draw(times), draw(prices), draw(volumes)) for id_ in ids]


def trade(trade_id: int, seconds: int, price: str, volume: str = "1", symbol: str = "BTC/USD") -> Trade:
    return Trade(
        symbol, trade_id, ns_of(MONDAY + timedelta(seconds=seconds)), Decimal(price), Decimal(volume)
    )


def candle(minute: int, price: str = "5", minutes: int = 1, **facts: Any) -> HistoricalCandle:
    one = Decimal(price)
    whole = HistoricalCandle(
        "BTC/USD", minutes, MONDAY + timedelta(minutes=minute), one, one, one, one, Decimal(2), 2 * one, 1,
        first_id=minute + 1, last_id=minute + 1,
    )  # fmt: skip
    return replace(whole, **facts)


# --- buckets


@pytest.mark.parametrize(
    ("minutes", "start"),
    [
        (1, "2026-09-25T17:48"),
        (5, "2026-09-25T17:45"),
        (240, "2026-09-25T16:00"),
        (720, "2026-09-25T12:00"),
        (1440, "2026-09-25T00:00"),
        (10080, "2026-09-21T00:00"),
    ],
)
def test_a_bucket_starts_on_its_grid_and_a_week_on_monday(minutes: int, start: str) -> None:
    moment = datetime(2026, 9, 25, 17, 48, 26, 844359, tzinfo=UTC)
    assert bucket_start(moment, minutes) == datetime.fromisoformat(f"{start}:00+00:00")


def test_a_naive_moment_has_no_bucket() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        bucket_start(datetime(2026, 1, 1), 1)  # noqa: DTZ001


# --- trades to minutes


def test_open_and_close_go_by_id_not_by_time() -> None:
    (it,) = fold_trades([trade(2, 1, "20"), trade(1, 2, "10"), trade(3, 0, "15")])
    assert (it.open, it.high, it.low, it.close, it.first_id, it.last_id) == (10, 20, 10, 15, 1, 3)


def test_a_minute_adds_up_its_trades_exactly() -> None:
    (it,) = fold_trades(
        [trade(1, 0, "0.1", "0.00000001"), trade(2, 1, "99999999999.9", "12345678901.12345678")]
    )
    assert it.volume == Decimal("12345678901.12345679")
    assert it.turnover == Decimal("1234567890111111110109.887654323")
    assert (it.trade_count, it.is_exact) == (2, True)


def test_quiet_minutes_have_no_row() -> None:
    assert [it.timestamp.minute for it in fold_trades([trade(1, 0, "1"), trade(2, 185, "1")])] == [0, 3]


def test_pairs_do_not_mix() -> None:
    folded = fold_trades([trade(1, 0, "1"), trade(1, 0, "2", symbol="ETH/USD")])
    assert [(it.symbol, it.open) for it in folded] == [("BTC/USD", 1), ("ETH/USD", 2)]


def test_rows_without_ids_of_the_exchange_fold_in_file_order() -> None:
    second = int(MONDAY.timestamp())
    rows = [trade(archive_trade_id(second, ordinal), 0, price) for ordinal, price in enumerate("312")]
    (it,) = fold_trades(reversed(rows))
    assert (it.open, it.close, it.is_exact) == (3, 2, False)


def test_no_trades_no_candles() -> None:
    assert fold_trades([]) == []


@given(trade_lists(minutes=5), st.randoms())
def test_the_order_of_trades_does_not_matter(trades: list[Trade], random: Any) -> None:
    shuffled = random.sample(trades, len(trades))
    assert fold_trades(shuffled) == fold_trades(trades)


# --- merging


@given(trade_lists(minutes=1).filter(lambda trades: len(trades) > 1), st.data())
def test_merging_any_split_equals_folding_at_once(trades: list[Trade], data: st.DataObject) -> None:
    left = data.draw(st.lists(st.booleans(), min_size=len(trades), max_size=len(trades)))
    left[0], left[1] = True, False
    (a,) = fold_trades(one for one, is_left in zip(trades, left, strict=True) if is_left)
    (b,) = fold_trades(one for one, is_left in zip(trades, left, strict=True) if not is_left)
    assert [merge(a, b)] == [merge(b, a)] == fold_trades(trades)


def test_merging_without_a_turnover_gives_none() -> None:
    assert merge(candle(0, turnover=None), candle(0, first_id=9, last_id=9)).turnover is None


@pytest.mark.parametrize("other", [candle(1), candle(0, symbol="ETH/USD"), candle(0, minutes=5)])
def test_candles_of_different_buckets_do_not_merge(other: HistoricalCandle) -> None:
    with pytest.raises(ValueError, match="one bucket"):
        merge(candle(0), other)


@pytest.mark.parametrize("facts", [{"first_id": None}, {"last_id": None}])
def test_candles_without_ids_do_not_merge(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no ids to merge by"):
        merge(candle(0), candle(0, **facts))


# --- small to large


def test_a_large_candle_opens_with_the_first_and_closes_with_the_last() -> None:
    (it,) = fold_candles([candle(2, "7"), candle(0, "5"), candle(1, "9"), candle(4, "6")], "5m")
    assert (it.open, it.high, it.low, it.close) == (5, 9, 5, 6)
    assert (it.volume, it.turnover, it.trade_count, it.first_id, it.last_id) == (8, 54, 4, 1, 5)
    assert (it.interval_minutes, it.timestamp, it.is_exact) == (5, MONDAY, False)


def test_what_one_part_does_not_know_the_whole_does_not_know() -> None:
    (it,) = fold_candles([candle(0), candle(1, turnover=None, first_id=None, last_id=None)], "1h")
    assert (it.turnover, it.first_id, it.last_id, it.volume) == (None, None, None, 4)


def test_weeks_start_on_monday() -> None:
    sunday, monday = candle(-60, minutes=60), candle(0, minutes=60)
    assert [it.timestamp for it in fold_candles([monday, sunday], "1w")] == [
        MONDAY - timedelta(days=7),
        MONDAY,
    ]


def test_candles_without_trades_do_not_count() -> None:
    empty = candle(1, "1", trade_count=0, volume=Decimal(0), turnover=Decimal(0))
    assert fold_candles([candle(0), empty], 5) == fold_candles([candle(0)], 5)
    assert fold_candles([empty], 5) == []


def test_a_candle_of_the_interval_itself_stays_as_it_is() -> None:
    assert fold_candles([candle(0)], "1m") == [candle(0)]


@pytest.mark.parametrize(
    "parts",
    [
        [candle(0, minutes=15)],
        [candle(0, minutes=4)],
        [candle(0, minutes=1), candle(0, minutes=5)],
        [candle(1, minutes=5)],
        [candle(0), candle(0)],
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: list[HistoricalCandle]) -> None:
    with pytest.raises(ValueError, match="do not make up|cannot start|same time"):
        fold_candles(parts, "5m")


@given(trade_lists(minutes=3 * 1440))
def test_folding_by_steps_equals_folding_at_once(trades: list[Trade]) -> None:
    minutes = fold_trades(trades)
    assert fold_candles(fold_candles(minutes, "1h"), "1d") == fold_candles(minutes, "1d")


@given(trade_lists(minutes=20 * 1440), st.sampled_from(sorted(INTERVALS)))
def test_every_interval_equals_recomputation_from_its_minutes(trades: list[Trade], name: str) -> None:
    parent, minutes = INTERVALS[name].parent or "1m", fold_trades(trades)
    assert fold_candles(fold_candles(minutes, parent), name) == fold_candles(minutes, name)


@given(trade_lists(minutes=180), st.randoms())
def test_the_order_of_candles_does_not_matter(trades: list[Trade], random: Any) -> None:
    minutes = fold_trades(trades)
    shuffled = random.sample(minutes, len(minutes))
    assert fold_candles(shuffled, "1h") == fold_candles(minutes, "1h")


# --- vwap


def test_the_vwap_is_cut_not_rounded() -> None:
    it = candle(0, volume=Decimal(3), turnover=Decimal(200))
    assert vwap_truncated(it, 1) == Decimal("66.6")


def test_without_turnover_or_volume_there_is_no_vwap_to_cut() -> None:
    assert vwap_truncated(candle(0, turnover=None), 1) is None
    assert vwap_truncated(candle(0, volume=Decimal(0)), 1) is None


# --- the exchange's own candles


@pytest.fixture(scope="module")
def folded(samples: Path) -> list[HistoricalCandle]:
    """Our candles of the recorded Trades page; its first and last minute are cut and left out."""
    page = json.loads((samples / "rest/trades_XBTUSDT_1000.json").read_text(), parse_float=Decimal)
    trades = [validate_rest_trade(row, "BTC/USDT", NOW) for row in page["result"]["XBTUSDT"]]
    return fold_trades(one for one in trades if isinstance(one, Trade))[1:-1]


@pytest.fixture(scope="module")
def recorded(samples: Path, folded: list[HistoricalCandle]) -> list[HistoricalCandle]:
    """Kraken's candles of the minutes strictly inside the page."""
    answer = json.loads((samples / "rest/ohlc_XBTUSDT_1m.json").read_text())
    candles = [validate_rest_candle(row, "BTC/USDT", 1, NOW) for row in answer["result"]["XBTUSDT"]]
    first, last = moment_of(1_762_795_433 * 10**9), moment_of(1_762_820_035 * 10**9)
    return [
        one
        for one in candles
        if isinstance(one, HistoricalCandle)
        and bucket_start(first, 1) < one.timestamp < bucket_start(last, 1)
    ]


def test_our_candles_are_krakens(folded: list[HistoricalCandle], recorded: list[HistoricalCandle]) -> None:
    def told(one: HistoricalCandle) -> tuple[object, ...]:
        return one.timestamp, one.open, one.high, one.low, one.close, one.volume, one.trade_count

    full = [one for one in recorded if one.trade_count]
    assert len(full) == 272
    assert [told(one) for one in folded] == [told(one) for one in full]


def test_our_vwap_cut_as_kraken_does_is_krakens(samples: Path, folded: list[HistoricalCandle]) -> None:
    answer = json.loads((samples / "rest/ohlc_XBTUSDT_1m.json").read_text())
    vwaps = {row[0]: Decimal(row[5]) for row in answer["result"]["XBTUSDT"]}
    assert [vwap_truncated(one, 1) for one in folded] == [
        vwaps[int(one.timestamp.timestamp())] for one in folded
    ]


def test_krakens_empty_minutes_have_no_row(
    folded: list[HistoricalCandle], recorded: list[HistoricalCandle]
) -> None:
    empty = {one.timestamp for one in recorded if not one.trade_count}
    assert len(empty) == 137
    assert not empty & {one.timestamp for one in folded}


def test_the_trades_of_the_page_prove_their_minutes(folded: list[HistoricalCandle]) -> None:
    assert all(one.is_exact for one in folded)
