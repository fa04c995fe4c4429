"""Recent candles beside the exchange's own: what REST OHLC says of the last 720 of each interval (kraken-facts 1.4).

Its last row is still forming and is left out; empty buckets are rows there, and none here. Half days it does not
have, and its weeks start on another day than ours: both are folded from its shorter candles.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from krakendata.candles import bucket_start, fold_candles
from krakendata.gaps import IdRange, Ledger, Stretch
from krakendata.ingest.asking import ask
from krakendata.ingest.audit_buckets import Bucket, Difference, Differences, differences
from krakendata.kraken.rest import KrakenRest
from krakendata.storage.audit import CandleFacts
from krakendata.types import HistoricalCandle, Interval, interval_of, moment_of
from krakendata.validation import Rejection, validate_rest_candle

# What OHLC is asked for; the other two of ours are folded from the ones named.
ASKED = tuple(map(interval_of, ("1m", "5m", "15m", "30m", "1h", "4h", "1d")))
FOLDED = {interval_of("12h"): interval_of("4h"), interval_of("1w"): interval_of("1d")}

# A late trade can still change a candle that has just closed (kraken-facts 2.4).
GRACE = timedelta(minutes=5)

# What OHLC says exactly; its vwap is cut to the pair's decimals.
FIELDS = ("open", "high", "low", "close", "volume", "trade_count")
VWAP_PLACE = 5


@dataclass(frozen=True, slots=True)
class ExchangeCandle:
    """A closed candle of the exchange; `vwap` as it wrote it, None where it was folded."""

    candle: HistoricalCandle
    vwap: Decimal | None = None

    @property
    def facts(self) -> CandleFacts | None:
        """What it says in our words; None: an empty bucket, which has no candle here."""
        if not self.candle.trade_count:
            return None
        names = ("open", "high", "low", "close", "volume", "turnover", "trade_count", "first_id", "last_id")
        return CandleFacts(*(getattr(self.candle, name) for name in names))


async def ask_candles(
    rest: KrakenRest, altname: str, symbol: str, interval: Interval, now: datetime
) -> dict[datetime, ExchangeCandle]:
    """The closed candles that the exchange has of an interval of ASKED, by their start. Raises KrakenError."""
    answer = await ask(lambda: rest.candles(altname, interval.minutes))
    found = {}
    for row in answer.page.rows[:-1]:
        candle = validate_rest_candle(row, symbol, interval.minutes, now)
        if not isinstance(candle, Rejection) and candle.end <= now - GRACE:
            found[candle.timestamp] = ExchangeCandle(candle, _vwap(row))
    return found


def fold_exchange_candles(
    candles: dict[datetime, ExchangeCandle], interval: Interval
) -> dict[datetime, ExchangeCandle]:
    """Candles of a longer `interval`, of the buckets whose parts are all there."""
    parts: dict[datetime, list[HistoricalCandle]] = {}
    for each in candles.values():
        parts.setdefault(bucket_start(each.candle.timestamp, interval.minutes), []).append(each.candle)
    whole = [group for group in parts.values() if len(group) == interval.length // _length(group[0])]
    folded = fold_candles([candle for group in whole for candle in group], interval)
    return {candle.timestamp: ExchangeCandle(candle) for candle in folded}


def compare_with_exchange(
    interval: Interval, theirs: dict[datetime, ExchangeCandle], ours: dict[datetime, CandleFacts]
) -> list[Difference]:
    """The buckets in which our candle is not the exchange's; ours may have none where theirs is empty."""
    found = []
    for start, candle in sorted(theirs.items()):
        fields = exchange_differences(ours.get(start), candle)
        if fields:
            found.append(Difference(Bucket(interval, start), "exchange", fields))
    return found


def exchange_differences(ours: CandleFacts | None, theirs: ExchangeCandle) -> Differences:
    """The fields in which our candle is not the exchange's."""
    found = differences(ours, theirs.facts, FIELDS)
    if (
        theirs.vwap is not None
        and theirs.facts is not None
        and ours is not None
        and ours.turnover is not None
    ):
        vwap, unit = ours.turnover / ours.volume, Decimal((0, (1,), _exponent(theirs.vwap)))
        # It is cut, not rounded (kraken-facts 0.2); whichever it is, it is nearer than one unit of its last place.
        if abs(vwap - theirs.vwap) >= unit:
            found["vwap"] = (vwap.quantize(unit), theirs.vwap)
    return found


def comparable(
    theirs: dict[datetime, ExchangeCandle],
    interval: Interval,
    proven: Sequence[Stretch],
    refused: Sequence[Stretch],
) -> dict[datetime, ExchangeCandle]:
    """Those whose every trade we have: elsewhere a difference says nothing new. `proven` is sorted and apart."""
    return {
        start: candle
        for start, candle in theirs.items()
        for stretch in [Stretch(start, start + interval.length)]
        if is_within(stretch, proven) and not any(_touch(stretch, each) for each in refused)
    }


def refused_stretches(ledger: Ledger, rejected: Iterable[IdRange]) -> list[Stretch]:
    """When trades happened that we refused: between the trades on either side of them. Their candles must differ."""
    runs = sorted(run for run in ledger.trade_runs if run.is_exact)
    lasts = [run.last_id for run in runs]
    found = []
    for ids in rejected:
        place = bisect_left(lasts, ids.first_id)
        if 0 < place < len(runs):
            found.append(Stretch(moment_of(runs[place - 1].last_ns), moment_of(runs[place].first_ns)))
    return found


def is_within(stretch: Stretch, stretches: Sequence[Stretch]) -> bool:
    """Whether one of `stretches`, which are sorted and apart, holds all of `stretch`."""
    place = bisect_right(stretches, stretch.start, key=lambda each: each.start) - 1
    return place >= 0 and stretch.end <= stretches[place].end


def _touch(one: Stretch, other: Stretch) -> bool:
    return one.start <= other.end and other.start < one.end


def _length(candle: HistoricalCandle) -> timedelta:
    return timedelta(minutes=candle.interval_minutes)


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _vwap(row: object) -> Decimal | None:
    try:
        return Decimal(str(row[VWAP_PLACE])) if isinstance(row, tuple) else None
    except (InvalidOperation, IndexError):
        return None
