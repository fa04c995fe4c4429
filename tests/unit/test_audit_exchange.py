"""The exchange's candles in our words: folded where it has none, compared where it has."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from krakendata.gaps import IdRange, Ledger, Stretch, TradeRun
from krakendata.ingest.audit_exchange import (
    ExchangeCandle,
    comparable,
    compare_with_exchange,
    exchange_differences,
    fold_exchange_candles,
    refused_stretches,
)
from krakendata.storage.audit import CandleFacts
from krakendata.types import HistoricalCandle, Interval, interval_of, ns_of

# A Thursday: where the exchange's weeks begin.
THURSDAY = datetime(2024, 3, 7, tzinfo=UTC)
MONDAY = datetime(2024, 3, 11, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def exchange_candle(start: datetime, interval: Interval, count: int = 2, volume: str = "3") -> ExchangeCandle:
    amount = Decimal(volume) if count else Decimal(0)
    numbers = (Decimal(10), Decimal(12), Decimal(9), Decimal(11), amount, amount * 10)
    return ExchangeCandle(
        HistoricalCandle("BTC/USD", interval.minutes, start, *numbers, count), Decimal("10.0")
    )


def our_candle(turnover: str = "30", trade_count: int = 2, volume: str = "3") -> CandleFacts:
    numbers = (Decimal(10), Decimal(12), Decimal(9), Decimal(11), Decimal(volume), Decimal(turnover))
    return CandleFacts(*numbers, trade_count, 1, trade_count)


def days(start: datetime, count: int, quiet: int | None = None) -> dict[datetime, ExchangeCandle]:
    day = interval_of("1d")
    return {
        start + n * DAY: exchange_candle(start + n * DAY, day, 0 if n == quiet else 2) for n in range(count)
    }


def test_weeks_are_folded_of_days_from_monday_on_and_only_whole_ones() -> None:
    weeks = fold_exchange_candles(days(THURSDAY, 19), interval_of("1w"))
    assert list(weeks) == [MONDAY, MONDAY + 7 * DAY][: len(weeks)]
    assert len(weeks) == 2
    assert (weeks[MONDAY].candle.volume, weeks[MONDAY].candle.trade_count) == (Decimal(21), 14)
    assert weeks[MONDAY].vwap is None


def test_an_empty_day_belongs_to_its_week_and_adds_nothing() -> None:
    weeks = fold_exchange_candles(days(MONDAY, 7, quiet=0), interval_of("1w"))
    assert weeks[MONDAY].candle.trade_count == 12


def test_a_week_of_empty_days_is_no_candle() -> None:
    quiet = {start: exchange_candle(start, interval_of("1d"), 0) for start in days(MONDAY, 7)}
    assert fold_exchange_candles(quiet, interval_of("1w")) == {}


def test_equal_candles_do_not_differ() -> None:
    minute = interval_of("1m")
    theirs = {
        MONDAY: exchange_candle(MONDAY, minute),
        MONDAY + MINUTE: exchange_candle(MONDAY + MINUTE, minute, 0),
    }
    assert compare_with_exchange(minute, theirs, {MONDAY: our_candle()}) == []


def test_a_candle_in_an_empty_minute_and_none_in_a_full_one_differ() -> None:
    minute = interval_of("1m")
    theirs = {
        MONDAY: exchange_candle(MONDAY, minute, 0),
        MONDAY + MINUTE: exchange_candle(MONDAY + MINUTE, minute),
    }
    found = compare_with_exchange(minute, theirs, {MONDAY: our_candle()})
    assert [(each.bucket.start, each.fields["trade_count"]) for each in found] == [
        (MONDAY, (2, None)),
        (MONDAY + MINUTE, (None, 2)),
    ]


@pytest.mark.parametrize(
    ("turnover", "differs"), [("30.29", False), ("30.3", True), ("29.71", False), ("29.7", True)]
)
def test_the_vwap_may_differ_by_what_the_cut_takes(turnover: str, differs: bool) -> None:
    found = exchange_differences(our_candle(turnover), exchange_candle(MONDAY, interval_of("1m")))
    assert ("vwap" in found) == differs


def test_only_the_field_that_differs_is_told() -> None:
    found = exchange_differences(
        our_candle(volume="3", trade_count=3), exchange_candle(MONDAY, interval_of("1m"))
    )
    assert found == {"trade_count": (3, 2)}


def test_only_what_is_proven_to_its_end_and_without_refused_trades_is_compared() -> None:
    hour = interval_of("1h")
    theirs = {MONDAY + n * HOUR: exchange_candle(MONDAY + n * HOUR, hour) for n in range(5)}
    proven = [Stretch(MONDAY + 30 * MINUTE, MONDAY + 4 * HOUR + 30 * MINUTE)]
    refused = [Stretch(MONDAY + 2 * HOUR + MINUTE, MONDAY + 2 * HOUR + 2 * MINUTE)]
    assert list(comparable(theirs, hour, proven, refused)) == [MONDAY + HOUR, MONDAY + 3 * HOUR]


def test_a_refused_trade_lies_between_its_neighbours() -> None:
    first, behind = MONDAY + MINUTE, MONDAY + 3 * MINUTE
    runs = (TradeRun(1, 4, ns_of(MONDAY), ns_of(first)), TradeRun(6, 9, ns_of(behind), ns_of(behind + HOUR)))
    ledger = Ledger(runs)
    assert refused_stretches(ledger, [IdRange(5, 5)]) == [Stretch(first, behind)]
    # Behind the newest and before the first there is no time to tell.
    assert refused_stretches(ledger, [IdRange(10**12, 10**12), IdRange(0, 0)]) == []
