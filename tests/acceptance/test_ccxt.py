"""A client that is not ours, unmodified, on the replay exchange: ccxt, by REST and by WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest

from krakendata.candles import fold_candles, fold_trades
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.generated_market import GENERATED_PAIRS, generated_market
from krakendata.replay.server import ReplayServer
from krakendata.types import INTERVALS, HistoricalCandle, Trade, ns_of

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = START + timedelta(days=3, hours=7, seconds=17)
DAY = timedelta(days=1)
PATIENCE = 60


class Opened:
    """The exchange, and ccxt's own client of Kraken with nothing changed but the addresses."""

    def __init__(self, exchange: ReplayExchange, client: Any) -> None:
        self.exchange, self.client = exchange, client


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    histories = generated_market(START, NOW, symbols=["BTC/USD", "ETH/USD", "DOGE/USD", "WBTC/EUR"])
    exchange = ReplayExchange(histories, ReplayClock(NOW, speed=0))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(ReplayServer(exchange))
        client = ccxt.pro.kraken({"enableRateLimit": False})
        stack.push_async_callback(client.close, clean_instance_data=True)
        client.urls["api"]["public"] = server.rest_url
        client.urls["api"]["ws"]["publicV2"] = server.websocket_url
        yield Opened(exchange, client)


def ms_of(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def as_told(trade: Trade) -> tuple[Any, ...]:
    return str(trade.trade_id), trade.side, float(trade.price), float(trade.volume)


def as_heard(trade: dict[str, Any]) -> tuple[Any, ...]:
    return trade["id"], trade["side"], trade["price"], trade["amount"]


def as_row(candle: HistoricalCandle) -> list[float]:
    prices = candle.open, candle.high, candle.low, candle.close, candle.volume
    return [ms_of(candle.timestamp), *map(float, prices)]


async def test_it_lists_the_markets(opened: Opened) -> None:
    markets = await opened.client.load_markets()
    assert set(markets) == {"BTC/USD", "ETH/USD", "DOGE/USD", "WBTC/EUR"}
    bitcoin = markets["BTC/USD"]
    assert (bitcoin["id"], bitcoin["active"], bitcoin["spot"]) == ("XXBTZUSD", True, True)
    assert bitcoin["precision"]["price"] == 10 ** -GENERATED_PAIRS["BTC/USD"].price_decimals
    assert await opened.client.fetch_time() == ms_of(NOW) // 1000 * 1000


async def test_it_pages_through_a_day_of_trades(opened: Opened) -> None:
    since, until = NOW - 2 * DAY, NOW - DAY
    heard: dict[str, dict[str, Any]] = {}
    cursor = ms_of(since)
    async with asyncio.timeout(PATIENCE):
        while cursor < ms_of(until):
            page = await opened.client.fetch_trades("BTC/USD", since=cursor, limit=1000)
            heard |= {each["id"]: each for each in page}
            cursor = page[-1]["timestamp"]
    truth = opened.exchange.trades("BTC/USD", ns_of(since), ns_of(until))
    assert len(truth) > 3_000
    within = [each for each in heard.values() if ms_of(since) <= each["timestamp"] < ms_of(until)]
    found = {as_heard(each) for each in within}
    # A time in milliseconds may put the first or the last of a day on either side.
    assert len({as_told(each) for each in truth} ^ found) <= 2
    assert [int(each["id"]) for each in within] == sorted(int(each["id"]) for each in within)


@pytest.mark.parametrize("name", ["1m", "15m", "1h", "1d"])
async def test_its_candles_are_those_of_the_trades(opened: Opened, name: str) -> None:
    rows = await opened.client.fetch_ohlcv("ETH/USD", name)
    minutes = fold_trades(opened.exchange.trades("ETH/USD"))
    truth = minutes if name == "1m" else fold_candles(minutes, INTERVALS[name])
    wanted = {ms_of(each.timestamp): as_row(each) for each in truth}
    traded = [row for row in rows if row[5]]
    assert len(traded) > 3
    assert traded == [wanted[row[0]] for row in traded]


async def test_it_tells_the_newest_price(opened: Opened) -> None:
    ticker = await opened.client.fetch_ticker("BTC/USD")
    assert Decimal(str(ticker["last"])) == opened.exchange.trades("BTC/USD")[-1].price


async def test_it_watches_trades(opened: Opened) -> None:
    client, exchange = opened.client, opened.exchange
    watched: set[tuple[Any, ...]] = set()

    async def watch(until: set[tuple[Any, ...]]) -> None:
        while not watched or not until <= watched:
            watched.update(as_heard(each) for each in await client.watch_trades("BTC/USD"))

    async with asyncio.timeout(PATIENCE):
        watching = asyncio.create_task(watch(set()))
        while not watching.done():
            exchange.clock.advance(timedelta(minutes=1))
            await asyncio.wait([watching], timeout=0.05)
        first = min(int(number) for number, *_ in watched)
        exchange.clock.advance(timedelta(minutes=10))
        wanted = {as_told(each) for each in exchange.trades("BTC/USD") if each.trade_id >= first}
        await watch(wanted)
    assert watched == wanted


async def test_it_watches_candles(opened: Opened) -> None:
    client, exchange = opened.client, opened.exchange
    client.newUpdates = False
    minute = 60_000
    async with asyncio.timeout(PATIENCE):
        await client.watch_ohlcv("BTC/USD", "1m")
        exchange.clock.advance(timedelta(minutes=10))
        wanted = [as_row(each) for each in fold_trades(exchange.trades("BTC/USD"))][-3:]
        heard: dict[int, list[float]] = {}
        while [heard.get(int(row[0])) for row in wanted] != wanted:
            # ccxt takes the field `timestamp`, a candle's end, for its time, and leaves numbers as texts.
            for end, *values in await client.watch_ohlcv("BTC/USD", "1m"):
                heard[end - minute] = [end - minute, *map(float, values[:5])]
    assert len(heard) > 10


async def test_it_understands_refusals(opened: Opened) -> None:
    opened.exchange.faults.change({"rate_limit": 1})
    with pytest.raises(ccxt.DDoSProtection):
        await opened.client.fetch_time()
    opened.exchange.faults.change({"rate_limit": 0, "unavailable": 1})
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await opened.client.fetch_time()
