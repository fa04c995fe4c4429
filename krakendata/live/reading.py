"""What a series begins with: the provider's answers in the form the rules take them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from krakendata.candles import bucket_start, fold_candles
from krakendata.gaps import Stretch, islands_of
from krakendata.historical_provider import Candle, Candles, HistoricalDataProvider
from krakendata.live_series import CandleSnapshot, MinuteParts
from krakendata.types import EPOCH, HistoricalCandle, Interval, moment_of, ns_of

# A trade may be younger than our clock says (fields.CLOCK_TOLERANCE_NS): its bucket is asked for as well.
CLOCK_TOLERANCE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def clock_of_readers() -> datetime:
    """The present, as a provider has to think it that leaves no trade out."""
    return datetime.now(UTC) + CLOCK_TOLERANCE


async def read_candles(
    provider: HistoricalDataProvider,
    symbol: str,
    interval: Interval,
    *,
    count: int,
    start_ns: int,
    by_minutes: bool,
) -> CandleSnapshot:
    """The newest `count` candles of those from `start_ns` on, with what the ledger says of them."""
    start = moment_of(start_ns) if start_ns else None
    found = await provider.get_candles(symbol, interval.minutes, start, limit=count, include_open=True)
    parts = await _read_parts(provider, found) if by_minutes and found.candles else None
    newest = _newest(found)
    holes = tuple(
        Stretch(hole.start, min(hole.end, newest)) for hole in found.coverage.holes if hole.start < newest
    )
    return CandleSnapshot(
        start_ns=ns_of(found.coverage.asked.start),
        candles=tuple(_rich(candle, interval) for candle in found),
        ledger=found.ledger,
        holes=holes,
        covered_to_ns=_covered_to_ns(found),
        parts=parts,
    )


def _newest(found: Candles) -> datetime:
    """The time of the newest trade, or the start of the newest candle where it is not made of trades."""
    islands = islands_of(found.ledger)
    if islands and (not found.candles or found[-1].last_id is not None):
        return moment_of(islands[-1].last_ns)
    return found[-1].timestamp if found.candles else EPOCH


def _covered_to_ns(found: Candles) -> int:
    """Where that begins which the ledger does not cover, and which has no end."""
    asked = found.coverage.asked
    last = found.coverage.holes[-1] if found.coverage.holes else None
    return ns_of(last.start if last is not None and last.end == asked.end else asked.end)


async def _read_parts(provider: HistoricalDataProvider, found: Candles) -> MinuteParts:
    """The bucket of the newest candle: of its last hour or two the minutes, of what was before them one candle."""
    start = found[-1].timestamp
    minutes_from = max(start, bucket_start(clock_of_readers() - HOUR, 60))
    hours = await provider.get_candles(found.symbol, 60, start, minutes_from)
    minutes = await provider.get_candles(found.symbol, 1, minutes_from, include_open=True)
    before = fold_candles((_rich(each, hours.interval) for each in hours), found.interval)
    apart = {ns_of(each.timestamp): _rich(each, minutes.interval) for each in minutes}
    return MinuteParts(ns_of(start), ns_of(minutes_from), before[0] if before else None, apart)


def _rich(candle: Candle, interval: Interval) -> HistoricalCandle:
    return HistoricalCandle(
        symbol=candle.symbol,
        interval_minutes=interval.minutes,
        timestamp=candle.timestamp,
        open=candle.open,
        high=candle.high,
        low=candle.low,
        close=candle.close,
        volume=candle.volume,
        turnover=candle.turnover,
        trade_count=candle.trade_count,
        first_id=candle.first_id,
        last_id=candle.last_id,
    )
