"""What has to be so at the end of a run, and what has to be so at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from krakendata.gaps import Gap, Stretch, gaps_of
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH, INTERVALS, HistoricalCandle
from tests.fix_storage import Store
from tests.fix_trading import PROVEN_BUT_FOR, Replay

# What REST's OHLC has; its weeks begin on Thursdays and are compared with our days.
REST_MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10_080)
WEEK = timedelta(weeks=1)

# At any moment, whatever was killed: the rows and the ledger tell the same.
LIES = """
    SELECT r.symbol, r.first_id, r.last_id, r.trades, count(t.trade_id)
    FROM trade_runs r LEFT JOIN trades t ON t.symbol = r.symbol AND t.trade_id BETWEEN r.first_id AND r.last_id
    WHERE r.stored GROUP BY r.symbol, r.first_id HAVING count(t.trade_id) <> r.trades
    UNION ALL
    SELECT t.symbol, min(t.trade_id), max(t.trade_id), 0, count(*) FROM trades t
    WHERE NOT EXISTS (SELECT FROM trade_runs r
                      WHERE r.symbol = t.symbol AND t.trade_id BETWEEN r.first_id AND r.last_id)
    GROUP BY t.symbol
"""
# As many trades in the minutes as the ledger has, folded ones included. Where a minute is still one of OHLC's, for only
# some of its trades have come, these are counted instead.
MINUTES_LIE = """
    SELECT r.symbol, r.trades, c.trades FROM
        (SELECT symbol, sum(trades) AS trades FROM trade_runs GROUP BY symbol) r
        JOIN LATERAL (
            SELECT coalesce(sum(trade_count), 0) AS trades FROM (
                SELECT CASE WHEN first_id IS NOT NULL THEN trade_count ELSE (
                    SELECT count(*) FROM trades t WHERE t.symbol = k.symbol AND t.timestamp >= k.timestamp
                                                        AND t.timestamp < k.timestamp + INTERVAL '1 minute') END
                    AS trade_count
                FROM candles k
                WHERE symbol = r.symbol AND timestamp >= (SELECT line FROM retention_lines WHERE kind = 'candles')
                UNION ALL
                SELECT trade_count FROM candles_history
                WHERE symbol = r.symbol AND interval_minutes = 5 AND NOT coarse) m) c ON true
    WHERE r.trades <> c.trades
"""


async def assert_nothing_lies(store: Store) -> None:
    """Hold rows, minutes and ledger against each other, as after a kill."""
    lies = await store.fetch(LIES)
    assert lies == [], f"ledger and rows differ: {lies[:3]}"
    lies = await store.fetch(MINUTES_LIE)
    assert lies == [], f"ledger and minutes differ: {lies[:3]}"


async def gaps_held(store: Store, symbol: str, now: datetime) -> list[Gap]:
    """The gaps of a pair by its ledger, from its first trade to `now`."""
    return gaps_of(await read_ledger(store.connection, symbol, Stretch(EPOCH, now)), None, now)


async def inner_gaps(store: Store, symbol: str, now: datetime) -> list[Gap]:
    """Those that cannot be told from missing trades: all but an open end."""
    return [gap for gap in await gaps_held(store, symbol, now) if gap.before is not None]


async def assert_equal_to_exchange(replay: Replay, symbols: Sequence[str]) -> int:
    """Everything: trades, ledger, each rollup, and REST's OHLC at each interval; gives the candles compared."""
    await assert_nothing_lies(replay.store)
    compared = 0
    for symbol in symbols:
        await replay.assert_held(symbol)
        assert await gaps_held(replay.store, symbol, replay.now - PROVEN_BUT_FOR) == []
        faults = replay.exchange.faults
        trades = replay.exchange.trades(symbol) if faults.malformed_every else []
        malformed = [each.timestamp for each in trades if faults.malformation(each.trade_id) is not None]
        for minutes in REST_MINUTES:
            compared += await _assert_rest_candles(replay, symbol, minutes, malformed)
    return compared


async def _assert_rest_candles(
    replay: Replay, symbol: str, minutes: int, malformed: Sequence[datetime]
) -> int:
    """Compare with the exchange's closed candles, but for those with a malformed trade: ours lack it."""
    pair = replay.exchange.histories[symbol].pair
    (_, *rows) = reversed((await replay.rest.candles(pair.altname, minutes)).page.rows)
    ours = {candle.timestamp: candle for candle in await _ours(replay, symbol, minutes)}
    spoiled = {_start(moment, minutes) for moment in malformed}
    compared = 0
    fence = await replay.store.fetch("SELECT line FROM retention_lines WHERE kind = 'candles'")
    for row in rows:
        assert isinstance(row, tuple)
        (epoch, *prices, vwap, volume, count) = map(Decimal, map(str, row))
        start = EPOCH + timedelta(seconds=int(epoch))
        if start in spoiled or (minutes == 1 and start < fence[0]):
            continue
        candle = ours.get(start)
        if not count:
            assert candle is None, f"{symbol} {minutes}m {start}: {candle} where the exchange has none"
            continue
        assert candle is not None, f"{symbol} {minutes}m {start}: missing"
        theirs = [*prices, volume, count]
        found = [candle.open, candle.high, candle.low, candle.close, candle.volume, candle.trade_count]
        assert found == theirs, f"{symbol} {minutes}m {start}: found {found}, the exchange has {theirs}"
        assert candle.turnover is not None
        unit = Decimal(1).scaleb(-pair.price_decimals)
        cut = (candle.turnover / candle.volume).quantize(unit, ROUND_DOWN)
        assert cut == vwap, f"{symbol} {minutes}m {start}: vwap {cut}, the exchange has {vwap}"
        compared += 1
    return compared


async def _ours(replay: Replay, symbol: str, minutes: int) -> list[HistoricalCandle]:
    by_minutes = {interval.minutes: interval for interval in INTERVALS.values()}
    if minutes < WEEK // timedelta(minutes=1):
        return await replay.store.candles(by_minutes[minutes].name, symbol)
    days = await replay.store.candles("1d", symbol)
    return [
        week
        for start in sorted({_start(day.timestamp, minutes) for day in days})
        for week in _folded([day for day in days if start <= day.timestamp < start + WEEK], start)
    ]


def _folded(days: Sequence[HistoricalCandle], start: datetime) -> list[HistoricalCandle]:
    """One candle of some days, whatever day its week begins on."""
    return [
        HistoricalCandle(
            days[0].symbol, 10_080, start, days[0].open, max(each.high for each in days),
            min(each.low for each in days), days[-1].close, sum((each.volume for each in days), Decimal()),
            sum((each.turnover or Decimal() for each in days), Decimal()),
            sum(each.trade_count for each in days), days[0].first_id, days[-1].last_id,
        )
    ]  # fmt: skip


def _start(moment: datetime, minutes: int) -> datetime:
    """The start of the bucket on REST's grid, which begins at the epoch."""
    length = timedelta(minutes=minutes)
    return EPOCH + (moment - EPOCH) // length * length
