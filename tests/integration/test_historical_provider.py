"""The provider against a real database: the right candles, in order, with what is proven of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from krakendata.candles import bucket_start
from krakendata.errors import NotConnectedError, StorageUnavailable, UnknownInterval, UnknownSymbol
from krakendata.gaps import Stretch
from krakendata.historical_provider import KRAKEN_OPENED, HistoricalDataProvider
from krakendata.types import INTERVALS
from tests.fix_history import History

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def provider(history: History) -> AsyncIterator[HistoricalDataProvider]:
    async with HistoricalDataProvider(history.database, clock=history.clock) as connected:
        yield connected


@pytest.mark.parametrize("interval", [name for name in INTERVALS if name != "1m"])
async def test_every_interval_answers_both_sides_of_the_fence(
    interval: str, provider: HistoricalDataProvider, history: History
) -> None:
    minutes = INTERVALS[interval].minutes
    forming = bucket_start(history.now, minutes)
    buckets = Counter(bucket_start(minute, minutes) for minute in history.minutes)
    candles = await provider.get_candles("BTC/USD", interval)
    assert [(candle.timestamp, candle.trade_count) for candle in candles] == [
        (start, 2 * count) for start, count in sorted(buckets.items()) if start < forming
    ]


async def test_minutes_answer_above_the_fence(provider: HistoricalDataProvider, history: History) -> None:
    candles = await provider.get_candles("BTC/USD", "1m")
    closed = Stretch(history.fence, bucket_start(history.now, 1))
    expected = [minute for minute in history.minutes if closed.start <= minute < closed.end]
    assert [candle.timestamp for candle in candles] == expected


async def test_minutes_below_the_fence_are_a_hole_and_not_quiet(
    provider: HistoricalDataProvider, history: History
) -> None:
    candles = await provider.get_candles("BTC/USD", "1m", history.fence - HOUR, history.fence + HOUR)
    assert candles.coverage.holes == (Stretch(history.fence - HOUR, history.fence),)
    assert candles.coverage.proven == (Stretch(history.fence, history.fence + HOUR),)


async def test_a_candle_has_exact_decimals_and_utc(
    provider: HistoricalDataProvider, history: History
) -> None:
    (candle,) = await provider.get_candles("BTC/USD", "1m", history.fence, history.fence + MINUTE)
    assert (candle.symbol, candle.timestamp, candle.low) == ("BTC/USD", history.fence, Decimal("99.5"))
    assert (candle.vwap, candle.turnover, candle.coarse) == (Decimal(100), Decimal(200), False)
    assert candle.timestamp.utcoffset() == timedelta(0)


@pytest.mark.parametrize("spelling", ["BTC/USD", "XBT/USD", "XBTUSD", "XXBTZUSD"])
async def test_a_symbol_is_found_by_each_of_its_spellings(
    spelling: str, provider: HistoricalDataProvider
) -> None:
    assert (await provider.get_latest_candles(spelling, "1h", 1)).symbol == "BTC/USD"


async def test_an_interval_is_also_taken_in_minutes(provider: HistoricalDataProvider) -> None:
    assert (await provider.get_latest_candles("BTC/USD", 240, 1)).interval is INTERVALS["4h"]


async def test_the_end_is_not_part_of_the_range(provider: HistoricalDataProvider, history: History) -> None:
    candles = await provider.get_candles("BTC/USD", "1h", history.fence, history.fence + 3 * HOUR)
    assert [candle.timestamp - history.fence for candle in candles] == [0 * HOUR, HOUR, 2 * HOUR]


async def test_a_start_within_a_bucket_begins_with_the_next(
    provider: HistoricalDataProvider, history: History
) -> None:
    candles = await provider.get_candles("BTC/USD", "1h", history.fence + MINUTE, history.fence + 2 * HOUR)
    assert [candle.timestamp for candle in candles] == [history.fence + HOUR]
    assert candles.coverage.asked == (history.fence + HOUR, history.fence + 2 * HOUR)


async def test_a_limit_keeps_the_newest_in_ascending_order(
    provider: HistoricalDataProvider, history: History
) -> None:
    end = history.fence + DAY
    candles = await provider.get_candles("BTC/USD", "1h", history.start, end, limit=3)
    assert [end - candle.timestamp for candle in candles] == [3 * HOUR, 2 * HOUR, HOUR]
    assert candles.coverage.asked == (end - 3 * HOUR, end)


async def test_the_latest_are_found_beyond_a_long_silence(
    provider: HistoricalDataProvider, history: History
) -> None:
    later = HistoricalDataProvider(history.database, clock=lambda: history.now + 300 * DAY)
    async with later:
        candles = await later.get_latest_candles("BTC/USD", "1h", 100)
    known = [minute for minute in history.minutes if minute.minute == 0]
    assert len(candles) == 100
    assert candles[-1].timestamp == known[-1]
    assert candles.coverage.holes[-1].end == bucket_start(history.now + 300 * DAY, 60)


async def test_more_than_there_are_gives_all_there_are(provider: HistoricalDataProvider) -> None:
    candles = await provider.get_latest_candles("BTC/USD", "4h", 10_000)
    assert list(candles) == list(await provider.get_candles("BTC/USD", "4h"))
    assert candles.coverage.asked.start == KRAKEN_OPENED


async def test_the_forming_candle_is_left_out_unless_asked_for(
    provider: HistoricalDataProvider, history: History
) -> None:
    forming = bucket_start(history.now, 60)
    assert (await provider.get_latest_candles("BTC/USD", "1h", 1))[0].timestamp == forming - HOUR
    (candle,) = await provider.get_latest_candles("BTC/USD", "1h", 1, include_open=True)
    so_far = [minute for minute in history.minutes if minute >= forming]
    assert (candle.timestamp, candle.trade_count) == (forming, 2 * len(so_far))


async def test_quiet_minutes_within_the_ids_are_proven(
    provider: HistoricalDataProvider, history: History
) -> None:
    quiet = history.start + 3600 * MINUTE
    candles = await provider.get_candles("BTC/USD", "1m", quiet, quiet + HOUR)
    assert len(candles) == 0
    assert candles.coverage.is_proven


async def test_time_before_the_oldest_trade_is_a_hole(
    provider: HistoricalDataProvider, history: History
) -> None:
    candles = await provider.get_candles("BTC/USD", "5m", history.start - HOUR, history.start + HOUR)
    assert candles.coverage.holes == (Stretch(history.start - HOUR, history.start + timedelta(seconds=1)),)


async def test_minutes_of_an_archive_are_provisional_at_every_interval(
    provider: HistoricalDataProvider, history: History
) -> None:
    day = Stretch(history.fence + DAY, history.fence + 2 * DAY)
    for interval in ("1m", "1h", "1d"):
        candles = await provider.get_candles("ETH/USD", interval, *day)
        assert sum(candle.trade_count for candle in candles) == 4 * 1440
        assert candles.coverage.provisional == (day,)
        assert {candle.vwap for candle in candles} == {None}


async def test_coarse_rows_answer_at_their_own_interval_alone(
    provider: HistoricalDataProvider, history: History
) -> None:
    days = await provider.get_candles("ADA/USD", "1d", history.fence - 10 * DAY, history.fence + 2 * DAY)
    assert (len(days), {day.coarse for day in days}, days.coverage.is_complete) == (12, {True}, True)
    hours = await provider.get_candles("ADA/USD", "1h", history.fence, history.fence + DAY)
    assert (len(hours), hours.coverage.holes) == (0, (Stretch(history.fence, history.fence + DAY),))


async def test_a_listed_pair_without_data_answers_with_a_hole(
    provider: HistoricalDataProvider, history: History
) -> None:
    candles = await provider.get_latest_candles("DOGE/USD", "1h", 5)
    assert (len(candles), candles.coverage.holes) == (0, (candles.coverage.asked,))
    assert await provider.get_data_range("DOGE/USD") is None


@pytest.mark.parametrize("name", ["NOPE", "BTC/EUR", "btc/usd"])
async def test_an_unknown_symbol_is_refused_with_known_ones(
    name: str, provider: HistoricalDataProvider
) -> None:
    with pytest.raises(UnknownSymbol, match="BTC/USD"):
        await provider.get_candles(name, "1h")


async def test_an_unknown_interval_is_refused_with_the_known_ones(provider: HistoricalDataProvider) -> None:
    with pytest.raises(UnknownInterval, match="1m, 5m, 15m, 30m, 1h, 4h, 12h, 1d, 1w"):
        await provider.get_candles("BTC/USD", "7m")


async def test_questions_that_make_no_sense_are_refused(
    provider: HistoricalDataProvider, history: History
) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        await provider.get_candles("BTC/USD", "1h", datetime(2024, 3, 4))  # noqa: DTZ001
    with pytest.raises(ValueError, match="at least 1"):
        await provider.get_candles("BTC/USD", "1h", limit=0)
    with pytest.raises(ValueError, match="is after end"):
        await provider.get_candles("BTC/USD", "1h", history.now, history.fence)


async def test_a_range_before_the_data_or_in_the_future_is_empty(
    provider: HistoricalDataProvider, history: History
) -> None:
    assert not await provider.get_candles("BTC/USD", "1h", end=history.start - DAY)
    assert not await provider.get_candles("BTC/USD", "1h", history.now + DAY, history.now + 2 * DAY)


async def test_the_data_range_spans_whole_buckets(provider: HistoricalDataProvider, history: History) -> None:
    hours = await provider.get_data_range("BTC/USD", "1h")
    assert hours == (history.start, bucket_start(history.now, 60) + HOUR)
    minutes = await provider.get_data_range("BTC/USD")
    assert minutes == (history.fence, history.minutes[-1] + MINUTE)
    days = await provider.get_data_range("ADA/USD", "1d")
    assert days == (history.fence - 10 * DAY, history.fence + 2 * DAY)


async def test_holdings_tell_collected_from_stored(
    provider: HistoricalDataProvider, history: History
) -> None:
    ada, btc, eth = await provider.get_holdings()
    assert btc.trades is not None
    assert (btc.trades.collected, btc.trades.stored) == (2 * len(history.minutes), 0)
    assert btc.coverage.proven == (Stretch(history.start + timedelta(seconds=1), history.minutes[-1]),)
    assert eth.coverage.provisional == (Stretch(history.fence + DAY, history.fence + 2 * DAY),)
    assert [run.interval_minutes for run in ada.archives] == [1440]
    assert await provider.get_holdings("XBTUSD") == [btc]


async def test_many_ask_at_once(provider: HistoricalDataProvider) -> None:
    answers = await asyncio.gather(*(provider.get_latest_candles("BTC/USD", name, 3) for name in INTERVALS))
    assert [answer.interval.name for answer in answers] == list(INTERVALS)


async def test_after_close_it_has_to_be_connected_again(history: History) -> None:
    provider = HistoricalDataProvider(history.database, clock=history.clock)
    await provider.connect()
    await provider.connect()
    await provider.close()
    with pytest.raises(NotConnectedError):
        await provider.get_latest_candles("BTC/USD", "1h", 1)
    async with provider:
        assert len(await provider.get_latest_candles("BTC/USD", "1h", 1)) == 1


async def test_a_server_that_is_not_there_is_unavailable_at_once() -> None:
    with pytest.raises(StorageUnavailable, match="Connection refused"):
        await HistoricalDataProvider("postgresql://nobody:secret@127.0.0.1:1/nothing").connect()
