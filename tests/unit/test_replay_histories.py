"""The made-up histories: they follow from their seed, and have what makes real ones hard to fetch."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from krakendata.candles import fold_trades, vwap_truncated
from krakendata.replay.generated_market import DELISTED, GENERATED_PAIRS, THIN, generated_market
from krakendata.replay.histories import Bar, GeneratedHistory, Row
from krakendata.types import NS_PER_MINUTE, HistoricalCandle, ns_of

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
END_NS = ns_of(START + 9 * DAY)
BITCOIN = GENERATED_PAIRS["BTC/USD"]


def history_of(seed: int = 1, **options: Any) -> GeneratedHistory:
    return GeneratedHistory(BITCOIN, START, seed, **options)


@pytest.fixture(scope="module")
def bitcoin() -> GeneratedHistory:
    """Give nine days of a busy pair with holes in its ids; it is only read."""
    return history_of(absent_every=2_000, first_id=7)


def rows_of(history: GeneratedHistory, from_ns: int = 0, before_ns: int = END_NS) -> list[Row]:
    return list(asyncio.run(history.oldest(from_ns, before_ns, 10**9)))


def times_of(history: GeneratedHistory, end: datetime) -> list[int]:
    return [row.ns for row in rows_of(history, before_ns=ns_of(end))]


def test_equal_seeds_give_equal_trades_and_others_do_not(bitcoin: GeneratedHistory) -> None:
    assert rows_of(history_of(absent_every=2_000, first_id=7)) == rows_of(bitcoin)
    assert rows_of(history_of(seed=2))[:5] != rows_of(history_of())[:5]


def test_it_does_not_matter_how_far_is_asked_first(bitcoin: GeneratedHistory) -> None:
    other = history_of(absent_every=2_000, first_id=7)
    rows_of(other, before_ns=ns_of(START + DAY))
    rows_of(other, before_ns=ns_of(START + 30 * DAY))
    assert rows_of(other) == rows_of(bitcoin)


def test_times_never_go_back_and_ids_rise(bitcoin: GeneratedHistory) -> None:
    rows = rows_of(bitcoin)
    assert len(rows) > 100_000
    assert [row.ns for row in rows] == sorted(row.ns for row in rows)
    assert [row.trade_id for row in rows] == sorted({row.trade_id for row in rows})
    assert rows[0].trade_id == 7
    assert ns_of(START) <= rows[0].ns < rows[-1].ns < END_NS


def test_absent_ids_are_exactly_those_between(bitcoin: GeneratedHistory) -> None:
    ids = [row.trade_id for row in rows_of(bitcoin)]
    absent = bitcoin.absent_ids(END_NS)
    assert len(absent) > 20
    assert sorted([*ids, *absent]) == list(range(7, ids[-1] + 1))
    assert history_of().absent_ids(END_NS) == []


def test_an_order_may_sweep_the_book_within_a_nanosecond_but_fits_on_a_page(
    bitcoin: GeneratedHistory,
) -> None:
    moments = Counter(row.ns for row in rows_of(bitcoin))
    assert 100 < max(moments.values()) < 1_000
    assert sum(count > 1 for count in moments.values()) > len(moments) / 10


def test_pages_end_between_trades_of_one_nanosecond(bitcoin: GeneratedHistory) -> None:
    rows = rows_of(bitcoin)
    assert any(rows[place - 1].ns == rows[place].ns for place in range(1_000, len(rows), 1_000))


def test_there_are_bursts_and_silent_hours() -> None:
    history = GeneratedHistory(BITCOIN, START, activity=0.1)
    hours = Counter(number // (60 * NS_PER_MINUTE) for number in times_of(history, START + 60 * DAY))
    assert len(hours) < 60 * 24
    assert max(hours.values()) > 3 * sum(hours.values()) / len(hours)


@pytest.mark.parametrize("symbol", GENERATED_PAIRS)
def test_numbers_are_those_of_the_pair(symbol: str) -> None:
    pair = GENERATED_PAIRS[symbol]
    rows = rows_of(GeneratedHistory(pair, START), before_ns=ns_of(START + 3 * DAY))
    for row in rows:
        price, volume = Decimal(row.price), Decimal(row.volume)
        assert pair.price / 3 < price < pair.price * 3
        assert price == round(price, pair.price_decimals)
        assert volume == round(volume, pair.volume_decimals) > 0
    assert {row.side for row in rows} <= {"b", "s"}
    assert {row.order_type for row in rows} <= {"m", "l"}


def test_a_pair_without_decimals_is_written_as_rest_writes_it() -> None:
    pair = GENERATED_PAIRS["BTC/USD"].__class__("ABC/USD", "ABCUSD", Decimal(12), 0, 5.0, 0, 1.0)
    history = GeneratedHistory(pair, START)
    row = rows_of(history)[0]
    assert (row.price[-6:], row.volume[-9:]) == (".00000", ".00000000")
    (bar, *_) = asyncio.run(history.bars(1440, 0, END_NS))
    assert bar.open.isdecimal()


@pytest.mark.parametrize("cut", [timedelta(0), timedelta(hours=5, minutes=3, seconds=17)])
def test_bars_are_the_candles_of_the_trades(bitcoin: GeneratedHistory, cut: timedelta) -> None:
    end = ns_of(START + 8 * DAY + cut)
    candles = fold_trades(bitcoin.trades(0, end))
    bars = asyncio.run(bitcoin.bars(1, 0, end))
    assert [bar_of(candle) for candle in candles] == [exact(bar) for bar in bars]


def test_bars_leave_out_what_they_are_told_to(bitcoin: GeneratedHistory) -> None:
    end = ns_of(START + 8 * DAY)
    trades = bitcoin.trades(0, end)
    without = asyncio.run(bitcoin.oldest(0, end, len(trades)))[::50]
    left_out = {row.trade_id for row in without}
    kept = fold_trades(trade for trade in trades if trade.trade_id not in left_out)
    bars = asyncio.run(bitcoin.bars(1, 0, end, without))
    assert [bar_of(candle) for candle in kept] == [exact(bar) for bar in bars]


def bar_of(candle: HistoricalCandle) -> tuple[object, ...]:
    prices = candle.open, candle.high, candle.low, candle.close
    sums = candle.volume, candle.trade_count, candle.turnover
    return ns_of(candle.timestamp), *prices, vwap_truncated(candle, 1), *sums


def exact(bar: Bar) -> tuple[object, ...]:
    return bar.start_ns, *map(Decimal, bar[1:7]), bar.trade_count, Decimal(bar.turnover)


def test_weeks_begin_where_the_exchange_has_them_begin(bitcoin: GeneratedHistory) -> None:
    (first, *_) = asyncio.run(bitcoin.bars(10080, 0, END_NS))
    assert datetime.fromtimestamp(first.start_ns / 1e9, UTC).strftime("%A") == "Thursday"


# --- the market ----------------------------------------------------------------------------------------------


def test_the_market_has_a_pair_that_comes_one_that_goes_and_a_thin_one() -> None:
    start, end = START, START + 40 * DAY
    histories = {history.pair.symbol: history for history in generated_market(start, end)}
    assert (
        histories["PEPE/USD"].listed_ns == histories[DELISTED.symbol].delisted_ns == ns_of(start + 20 * DAY)
    )
    assert rows_of(histories[DELISTED.symbol], ns_of(start + 20 * DAY), ns_of(end)) == []
    assert 60 < len(rows_of(histories[THIN.symbol], before_ns=ns_of(end))) < 180
    assert histories["DOGE/USD"].pair.key == "XDGUSD"
    assert histories["BTC/USD"].pair.key == "XXBTZUSD"
