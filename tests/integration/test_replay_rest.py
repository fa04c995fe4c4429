"""The replay exchange over its socket: shaped like the recorded answers, limited, and wrong when told to be."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from krakendata.candles import fold_candles, fold_trades, vwap_truncated
from krakendata.errors import KrakenError, RateLimited, Refused, Unavailable
from krakendata.kraken.pacing import Limits
from krakendata.kraken.rest import KrakenRest
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.generated_market import generated_market
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS
from krakendata.replay.server import ReplayServer
from krakendata.types import NS_PER_SECOND, ns_of
from tests.fix_trading import no_pacer

START = datetime(2026, 3, 2, tzinfo=UTC)
NOW = START + timedelta(hours=30, seconds=17)
HISTORY = GeneratedHistory(MARKET_PAIRS["BTC/USD"], START, seed=1, absent_every=3_000)
PAIR = "XBTUSD"


def an_exchange(*, limits: Limits | None = None, **faults: Any) -> ReplayExchange:
    clock = ReplayClock(NOW, speed=0)
    return ReplayExchange([HISTORY], clock, faults=Faults(**faults), limits=limits or Limits(0, 0))


class Open:
    """A served exchange, asked plainly and through the client."""

    def __init__(self, server: ReplayServer, web: httpx.AsyncClient, rest: KrakenRest) -> None:
        self.server, self.exchange, self.web, self.rest = server, server.exchange, web, rest

    async def ask(self, endpoint: str, **asked: Any) -> Any:
        """Give the whole answer, numbers as exact decimals."""
        response = await self.web.get(f"/0/public/{endpoint}", params=asked)
        assert response.status_code == 200
        return json.loads(response.text, parse_float=Decimal)

    async def result(self, endpoint: str, **asked: Any) -> Any:
        answer = await self.ask(endpoint, **asked)
        assert answer["error"] == []
        return answer["result"]


@pytest.fixture
async def opened() -> AsyncIterator[Callable[[ReplayExchange], Any]]:
    """Give what serves an exchange until the test ends."""
    async with AsyncExitStack() as stack:

        async def serve(exchange: ReplayExchange) -> Open:
            server = await stack.enter_async_context(ReplayServer(exchange))
            web = await stack.enter_async_context(
                httpx.AsyncClient(base_url=server.rest_url, trust_env=False)
            )
            rest = KrakenRest(server.rest_url, pacer=no_pacer(), timeout=5)
            await stack.enter_async_context(rest)
            return Open(server, web, rest)

        yield serve


@pytest.fixture
async def market(opened: Any) -> Open:
    """Give the exchange without faults or limits."""
    served: Open = await opened(an_exchange())
    return served


async def walk(rest: KrakenRest, since: str = "0") -> list[Any]:
    """Give the rows of all pages, as a client that asks from `last` to `last` sees them."""
    rows: list[Any] = []
    while True:
        page = (await rest.trades(PAIR, since)).page
        rows += page.rows
        if page.last in (None, since):
            return rows
        since = str(page.last)


# --- Trades -------------------------------------------------------------------------------------------------


async def test_pages_hold_exactly_the_trades(market: Open) -> None:
    rows = await walk(market.rest)
    truth = market.exchange.trades(PAIR)
    by_id = {row[6]: row for row in rows}
    assert list(by_id) == [trade.trade_id for trade in truth]
    for trade, row in zip(truth, by_id.values(), strict=True):
        price, volume, time, side, order_type, misc, _ = row
        assert (Decimal(str(price)), Decimal(str(volume))) == (trade.price, trade.volume)
        assert (side, order_type, misc) == (str(trade.side)[0], str(trade.order_type)[0], "")
        # A double of nanoseconds, divided into a double of seconds, written as short as it can be read back.
        assert abs(Decimal(str(time)) * NS_PER_SECOND - trade.ns) < 370


async def test_a_page_is_written_as_the_recorded_ones(market: Open) -> None:
    text = (await market.web.get("/0/public/Trades", params={"pair": PAIR, "since": "0"})).text
    result = json.loads(text, parse_float=Decimal)["result"]
    assert list(result) == ["XXBTZUSD", "last"]
    rows = result["XXBTZUSD"]
    assert len(rows) == 1_000
    price, volume, time, *_ = rows[0]
    assert (len(price.split(".")[1]), len(volume.split(".")[1])) == (5, 8)
    assert str(time) == repr(float(time))
    truth = market.exchange.trades(PAIR)
    assert result["last"] == str(truth[999].ns)


async def test_the_newest_are_given_unless_asked_since_when(market: Open) -> None:
    rows = (await market.result("Trades", pair=PAIR, count=7))["XXBTZUSD"]
    assert [row[6] for row in rows] == [trade.trade_id for trade in market.exchange.trades(PAIR)[-7:]]


async def test_nothing_new_echoes_the_cursor(market: Open) -> None:
    cursor = str(ns_of(NOW))
    assert await market.result("Trades", pair=PAIR, since=cursor) == {"XXBTZUSD": [], "last": cursor}


@pytest.mark.parametrize(("since", "place"), [("inclusive", 500), ("exclusive", 501)])
async def test_since_begins_with_or_behind_the_cursor(opened: Any, since: str, place: int) -> None:
    served = await opened(an_exchange(since=since))
    truth = HISTORY.trades(0, ns_of(NOW))
    lone = next(n for n in range(500, 5_000) if truth[n - 1].ns < truth[n].ns < truth[n + 1].ns)
    rows = (await served.result("Trades", pair=PAIR, since=truth[lone].ns))["XXBTZUSD"]
    assert rows[0][6] == truth[lone + place - 500].trade_id


async def test_seconds_are_coarse(market: Open) -> None:
    trade = market.exchange.trades(PAIR)[700]
    second = trade.ns // NS_PER_SECOND
    whole = await market.result("Trades", pair=PAIR, since=second)
    assert whole == await market.result("Trades", pair=PAIR, since=f"{second}.999")
    assert whole == await market.result("Trades", pair=PAIR, since=second * NS_PER_SECOND)


@pytest.mark.parametrize("name", ["XBTUSD", "XXBTZUSD", "BTC/USD"])
async def test_a_pair_is_answered_under_its_key_or_as_base_and_quote(market: Open, name: str) -> None:
    result = await market.result("Trades", pair=name, count=1)
    assert list(result)[0] == ("BTC/USD" if "/" in name else "XXBTZUSD")


@pytest.mark.parametrize(
    ("endpoint", "asked", "error"),
    [
        ("Trades", {"pair": "NOPE"}, "EQuery:Unknown asset pair"),
        ("Trades", {"pair": "XBT/USD"}, "EQuery:Unknown asset pair"),
        ("Trades", {}, "EGeneral:Invalid arguments"),
        ("Trades", {"pair": PAIR, "since": "yesterday"}, "EGeneral:Invalid arguments"),
        ("Trades", {"pair": PAIR, "count": "0"}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": PAIR, "interval": "720"}, "EGeneral:Invalid arguments"),
        ("OHLC", {"pair": PAIR, "interval": "one"}, "EGeneral:Invalid arguments"),
        ("AssetPairs", {"pair": "XBTUSD,NOPE"}, "EQuery:Unknown asset pair"),
        ("AssetPairs", {"info": "everything"}, "EGeneral:Invalid arguments"),
        ("Assets", {"asset": "NOPE"}, "EQuery:Unknown asset"),
        ("Depth", {"pair": PAIR}, "EGeneral:Unknown method"),
    ],
)
async def test_wrong_questions_are_refused_in_its_words(
    market: Open, endpoint: str, asked: dict[str, str], error: str
) -> None:
    assert (await market.ask(endpoint, **asked))["error"] == [error]


# --- OHLC ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [1, 5, 60, 1440])
async def test_candles_are_those_of_the_trades(market: Open, minutes: int) -> None:
    result = await market.result("OHLC", pair=PAIR, interval=minutes)
    rows = result["XXBTZUSD"]
    candles = fold_candles(fold_trades(market.exchange.trades(PAIR)), minutes) if minutes > 1 else None
    wanted = candles if candles is not None else fold_trades(market.exchange.trades(PAIR))
    told = {
        int(each.timestamp.timestamp()): (
            *(each.open, each.high, each.low, each.close, vwap_truncated(each, 1)), each.volume, each.trade_count,
        )
        for each in wanted
    }  # fmt: skip
    for time, *values in (row for row in rows if row[7]):
        assert (*map(Decimal, values[:6]), values[6]) == told[time]
    assert {row[0] for row in rows if row[7]} == {time for time in told if time >= rows[0][0]}
    assert result["last"] == rows[-2][0]


async def test_at_most_720_candles_and_the_forming_one_without_gaps(market: Open) -> None:
    rows = (await market.result("OHLC", pair=PAIR))["XXBTZUSD"]
    assert len(rows) == 721
    assert [row[0] for row in rows] == list(range(rows[0][0], rows[0][0] + 721 * 60, 60))
    assert rows[-1][0] == int(NOW.timestamp()) // 60 * 60


async def test_a_minute_without_trades_repeats_the_close_before(market: Open) -> None:
    rows = (await market.result("OHLC", pair=PAIR))["XXBTZUSD"]
    empty = [place for place, row in enumerate(rows) if place and not row[7]]
    assert empty
    for place in empty:
        close = rows[place - 1][4]
        assert rows[place][1:] == [close, close, close, close, "0.0", "0.00000000", 0]


async def test_before_the_first_trade_there_are_no_candles(market: Open) -> None:
    rows = (await market.result("OHLC", pair=PAIR, interval=1440))["XXBTZUSD"]
    assert [row[0] for row in rows] == [int(START.timestamp()), int(START.timestamp()) + 86_400]


async def test_since_cuts_candles_but_reaches_no_further_back(market: Open) -> None:
    all_rows = (await market.result("OHLC", pair=PAIR))["XXBTZUSD"]
    rows = (await market.result("OHLC", pair=PAIR, since=all_rows[700][0]))["XXBTZUSD"]
    assert rows == all_rows[700:]
    assert (await market.result("OHLC", pair=PAIR, since=0))["XXBTZUSD"] == all_rows


# --- lists, clock, state ------------------------------------------------------------------------------------


async def test_only_what_is_listed_now_is_known(opened: Any) -> None:
    exchange = ReplayExchange(generated_market(START, NOW), ReplayClock(START + timedelta(hours=1), speed=0))
    served = await opened(exchange)
    first = {pair.symbol for pair in (await served.rest.asset_pairs()).pairs}
    exchange.clock.set(NOW)
    second = {pair.symbol for pair in (await served.rest.asset_pairs()).pairs}
    assert first - second == {"LUNA/USD"}
    assert second - first == {"PEPE/USD"}
    assert (await served.ask("Trades", pair="LUNAUSD"))["error"] == ["EQuery:Unknown asset pair"]


async def test_the_pair_list_is_what_the_platform_reads(market: Open) -> None:
    (pair,) = (await market.rest.asset_pairs()).pairs
    assert pair == HISTORY.pair
    fees = await market.result("AssetPairs", pair=PAIR, info="fees")
    assert fees == {"XXBTZUSD": {"fees": [], "fees_maker": [], "fee_volume_currency": "ZUSD"}}


async def test_assets_are_told_by_id_and_asked_for_by_either_name(market: Open) -> None:
    assets = await market.result("Assets")
    assert {key: (each["altname"], each["decimals"]) for key, each in assets.items()} == {
        "XXBT": ("XBT", 10),
        "ZUSD": ("USD", 4),
    }
    assert list(await market.result("Assets", asset="USD,XXBT")) == ["ZUSD", "XXBT"]


async def test_the_clock_is_everywhere_the_same(market: Open) -> None:
    response = await market.web.get("/0/public/Time")
    whole = NOW.replace(microsecond=0)
    assert parsedate_to_datetime(response.headers["Date"]) == whole
    assert response.json()["result"] == {
        "unixtime": int(NOW.timestamp()),
        "rfc1123": "Tue, 03 Mar 26 06:00:17 +0000",
    }
    assert (await market.rest.trades(PAIR)).answered_at == whole
    assert (await market.result("SystemStatus"))["timestamp"] == "2026-03-03T06:00:17Z"


async def test_the_ticker_sums_up_today_and_the_last_day(market: Open) -> None:
    entry = (await market.result("Ticker", pair=PAIR))["XXBTZUSD"]
    trades = market.exchange.trades(PAIR)
    last_day = [trade for trade in trades if trade.ns >= ns_of(NOW - timedelta(days=1))]
    today = [trade for trade in trades if trade.timestamp.date() == NOW.date()]
    assert entry["t"] == [len(today), len(last_day)]
    assert list(map(Decimal, entry["v"])) == [sum(each.volume for each in part) for part in (today, last_day)]
    assert list(map(Decimal, entry["h"])) == [max(each.price for each in part) for part in (today, last_day)]
    assert Decimal(entry["o"]) == today[0].price
    assert Decimal(entry["c"][0]) == trades[-1].price


# --- the rate limit -----------------------------------------------------------------------------------------


async def test_who_calls_too_often_is_refused_and_counted(opened: Any) -> None:
    served = await opened(an_exchange(limits=Limits(per_pair=0.01, per_address=0)))
    with pytest.raises(RateLimited):
        for _ in range(5):
            await served.rest.trades(PAIR)
    assert served.exchange.calls["refused"] == 1
    assert served.exchange.calls["Trades"] == 4
    assert await served.rest.system_status() == "online"


async def test_the_whole_address_is_refused_with_429(opened: Any) -> None:
    served = await opened(an_exchange(limits=Limits(per_pair=0, per_address=0.01)))
    answers = [await served.web.get("/0/public/Time") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json() == {"error": ["EGeneral:Too many requests"]}


# --- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rate_limit", RateLimited), ("too_many_requests", RateLimited), ("throttled", RateLimited),
        ("lockout", RateLimited), ("html_520", Unavailable), ("unavailable", Unavailable),
        ("internal_error", Unavailable), ("truncated", Unavailable),
    ],
)  # fmt: skip
async def test_each_fault_is_the_error_it_stands_for(
    opened: Any, fault: str, error: type[KrakenError]
) -> None:
    served = await opened(an_exchange(limits=None, **{fault: 1}))
    with pytest.raises(error):
        await served.rest.trades(PAIR)
    served.exchange.faults.clear()
    assert (await served.rest.trades(PAIR)).page.rows


async def test_throttled_names_a_moment_of_its_own_clock(opened: Any) -> None:
    served = await opened(an_exchange(throttled=1, throttled_seconds=7))
    with pytest.raises(RateLimited) as raised:
        await served.rest.trades(PAIR)
    assert raised.value.retry_after == pytest.approx(8, abs=1)


async def test_a_time_out_says_nothing_and_does_not_hold_up_the_end(opened: Any) -> None:
    served = await opened(an_exchange(timeout=1, timeout_seconds=600))
    with pytest.raises(httpx.ReadTimeout):
        await served.web.get("/0/public/Time", timeout=0.2)
    waiting = asyncio.create_task(served.web.get("/0/public/Time", timeout=60))
    while served.exchange.calls["Time"] < 2:  # noqa: ASYNC110 (the counter wakes nobody)
        await asyncio.sleep(0.01)
    served.exchange.closing.set()
    assert (await waiting).status_code == 524


async def test_maintenance_is_told_and_answers_nothing_else(opened: Any) -> None:
    served = await opened(an_exchange(maintenance=True))
    assert await served.rest.system_status() == "maintenance"
    with pytest.raises(Unavailable):
        await served.rest.trades(PAIR)


async def test_pages_come_short_repeat_and_lack_their_cursor(opened: Any) -> None:
    served = await opened(an_exchange(short_page=1))
    assert 0 < len((await served.rest.trades(PAIR, "0")).page.rows) < 1_000
    served.exchange.faults.change({"short_page": 0, "missing_last": 1})
    assert (await served.rest.trades(PAIR, "0")).page.last is None
    served.exchange.faults.change({"missing_last": 0})
    first = (await served.rest.trades(PAIR, "0")).page
    served.exchange.faults.change({"repeated_page": 1})
    assert (await served.rest.trades(PAIR, first.last)).page == first


async def test_malformed_trades_are_those_it_says(opened: Any) -> None:
    served = await opened(an_exchange(malformed_every=50))
    rows = (await served.result("Trades", pair=PAIR, since=0))["XXBTZUSD"]
    truth = served.exchange.trades(PAIR)[:1_000]
    bad = {
        trade.trade_id
        for trade, row in zip(truth, rows, strict=True)
        if len(row) < 7 or not row[6] or row[2] is None or not Decimal(row[0])
    }
    assert bad == {number for number in served.exchange.malformed_ids(PAIR) if number <= truth[-1].trade_id}
    assert len(bad) == 20
    sound = served.exchange.trades(PAIR, is_sound=True)
    assert {trade.trade_id for trade in sound}.isdisjoint(bad)


async def test_late_trades_are_missing_for_a_while_from_pages_and_candles(opened: Any) -> None:
    served = await opened(an_exchange(late_every=3, late_seconds=600))
    truth = served.exchange.trades(PAIR)
    late = {
        trade.trade_id for trade in truth
        if trade.trade_id % 3 == 0 and trade.ns >= ns_of(NOW - timedelta(seconds=600))
    }  # fmt: skip
    assert late
    assert {row[6] for row in await walk(served.rest)} == {trade.trade_id for trade in truth} - late
    counted = await served.result("OHLC", pair=PAIR, interval=1440)
    assert sum(row[7] for row in counted["XXBTZUSD"]) == len(truth) - len(late)
    before = ns_of(NOW)
    served.exchange.clock.advance(timedelta(seconds=601))
    later = {row[6] for row in await walk(served.rest, str(before - 700 * NS_PER_SECOND))}
    assert late <= later


async def test_rest_may_lag_behind(opened: Any) -> None:
    served = await opened(an_exchange(lag_seconds=3600))
    newest = (await served.rest.trades(PAIR)).page.rows[-1]
    assert newest[6] == HISTORY.trades(0, ns_of(NOW - timedelta(hours=1)))[-1].trade_id


# --- its own paths ------------------------------------------------------------------------------------------


async def test_faults_are_read_changed_and_cleared_while_it_runs(market: Open) -> None:
    changed = await market.web.post("/replay/faults", json={"html_520": 1, "since": "exclusive"})
    assert (changed.json()["html_520"], changed.json()["since"]) == (1, "exclusive")
    assert (await market.web.get("/0/public/Time")).status_code == 520
    cleared = await market.web.delete("/replay/faults")
    assert cleared.json() == Faults().as_dict()
    assert (await market.web.get("/0/public/Time")).status_code == 200


@pytest.mark.parametrize("body", ['{"html_250": 1}', "[]", "faults", '{"html_520": 2}'])
async def test_what_is_no_fault_is_refused_with_a_sentence(market: Open, body: str) -> None:
    refused = await market.web.post("/replay/faults", content=body)
    assert refused.status_code == 400
    assert refused.json()["error"].endswith(".")


async def test_the_clock_is_read_and_set_while_it_runs(market: Open) -> None:
    assert (await market.web.get("/replay/clock")).json() == {"now": NOW.isoformat(), "speed": 0}
    later = NOW + timedelta(hours=1)
    await market.web.post("/replay/clock", json={"now": later.isoformat()})
    assert await market.rest.server_time() == later.replace(microsecond=0)
    for body in ('{"now": "2026-03-02T00:00"}', '{"speed": -1}', '{"speed": []}', "{"):
        assert (await market.web.post("/replay/clock", content=body)).status_code == 400


# --- serving ------------------------------------------------------------------------------------------------


def test_a_thread_of_its_own_serves_code_that_blocks() -> None:
    with ReplayServer(an_exchange()).in_thread() as server:
        answer = httpx.get(f"{server.rest_url}/0/public/Time", trust_env=False)
        assert answer.json()["result"]["unixtime"] == int(NOW.timestamp())


def test_a_taken_port_is_an_error_in_the_thread_that_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = ReplayServer(an_exchange(), port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"), server.in_thread():
            pass


async def test_a_permanent_error_is_one_to_the_client(market: Open) -> None:
    with pytest.raises(Refused):
        await market.rest.trades("NOPE")
