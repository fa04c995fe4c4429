"""The replay exchange's WebSocket over its socket: what is heard is what was traded, and faults are faults."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from math import inf
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

from krakendata.candles import fold_candles, fold_trades, vwap_truncated
from krakendata.errors import StorageUnavailable
from krakendata.kraken.pacing import Limits
from krakendata.replay import feed, websocket
from krakendata.replay.call_counters import CONNECTIONS
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.frames import Frame, trades_frame
from krakendata.replay.generated_market import GENERATED_PAIRS
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.server import ReplayServer
from krakendata.types import ns_of
from tests.replayed_market import BITCOIN, ETHER, NOW, START

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# Nobody waits so long for a frame unless something is wrong.
PATIENCE = 30


def an_exchange(*, speed: float = 0, limits: Limits | None = None, **faults: Any) -> ReplayExchange:
    clock = ReplayClock(NOW, speed)
    return ReplayExchange([BITCOIN, ETHER], clock, faults=Faults(**faults), limits=limits or Limits(0, 0))


class Socket:
    """A client's side: frames as objects, numbers as exact decimals."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            frame: dict[str, Any] = json.loads(await self.connection.recv(), parse_float=Decimal)
            return frame

    async def hear_of(self, channel: str) -> dict[str, Any]:
        """Give the next frame of a channel, whatever comes before it."""
        while (frame := await self.hear()).get("channel") != channel:
            pass
        return frame

    async def hear_all(
        self, channel: str, until: Callable[[list[dict[str, Any]]], bool]
    ) -> list[dict[str, Any]]:
        """Give the data of a channel's updates until there is enough of them."""
        heard: list[dict[str, Any]] = []
        while not until(heard):
            heard += (await self.hear_of(channel))["data"]
        return heard

    async def ask(self, method: str, **params: Any) -> None:
        request = {"method": method, "req_id": 7} | ({"params": params} if params else {})
        await self.connection.send(json.dumps(request))

    async def subscribe(self, channel: str, *symbols: str, **params: Any) -> list[dict[str, Any]]:
        """Subscribe, and give the answers, one a symbol."""
        named = {"symbol": list(symbols)} if symbols else {}
        await self.ask("subscribe", channel=channel, **named, **params)
        answers: list[dict[str, Any]] = []
        while len(answers) < max(1, len(symbols)):
            frame = await self.hear()
            if frame.get("method") == "subscribe":
                answers.append(frame)
        return answers


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Any]]:
    """Give what serves an exchange and opens a socket to it, until the test ends."""
    async with AsyncExitStack() as stack:
        servers: dict[int, ReplayServer] = {}

        async def serve(exchange: ReplayExchange) -> Socket:
            if id(exchange) not in servers:
                servers[id(exchange)] = await stack.enter_async_context(ReplayServer(exchange))
            url = servers[id(exchange)].websocket_url
            socket = Socket(await stack.enter_async_context(connect(url, proxy=None, close_timeout=0.5)))
            assert (await socket.hear())["channel"] == "status"
            return socket

        yield serve


def trades_between(history: GeneratedHistory, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    """Give the truth: id, price, volume, side, order type."""
    trades = history.trades(ns_of(start), ns_of(end))
    return [(each.trade_id, each.price, each.volume, each.side, each.order_type) for each in trades]


def told(data: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(d["trade_id"], d["price"], d["qty"], d["side"], d["ord_type"]) for d in data]


# --- what is heard ------------------------------------------------------------------------------------------


async def test_every_trade_of_a_time_is_heard_once_and_in_order(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    (answer,) = await socket.subscribe("trade", "BTC/USD")
    assert (answer["success"], answer["req_id"]) == (True, 7)
    assert answer["result"] == {"channel": "trade", "snapshot": False, "symbol": "BTC/USD"}
    wanted = trades_between(BITCOIN, NOW, NOW + HOUR)
    for _ in range(6):
        exchange.clock.advance(HOUR / 6)
        await asyncio.sleep(0.05)
    data = await socket.hear_all("trade", lambda heard: len(heard) >= len(wanted))
    assert told(data) == wanted


async def test_a_frame_has_all_fills_of_one_order(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    exchange.clock.advance(HOUR)
    frame = await socket.hear_of("trade")
    while len(frame["data"]) == 1:
        frame = await socket.hear_of("trade")
    assert len({(each["timestamp"], each["side"]) for each in frame["data"]}) == 1


async def test_a_snapshot_has_the_last_fifty_and_joins_what_follows(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.ask("subscribe", channel="trade", symbol=["BTC/USD"], snapshot=True)
    snapshot = await socket.hear_of("trade")
    assert snapshot["type"] == "snapshot"
    assert told(snapshot["data"]) == trades_between(BITCOIN, START, NOW)[-50:]
    exchange.clock.advance(HOUR)
    wanted = trades_between(BITCOIN, NOW, NOW + HOUR)
    assert told(await socket.hear_all("trade", lambda heard: len(heard) >= len(wanted))) == wanted


async def test_many_sockets_hear_the_same(opened: Any) -> None:
    exchange = an_exchange(speed=600)
    sockets = [await opened(exchange) for _ in range(5)]
    for socket in sockets:
        await socket.subscribe("trade", "BTC/USD", "ETH/USD")
    heard = await asyncio.gather(*(s.hear_all("trade", lambda data: len(data) >= 150) for s in sockets))
    of_bitcoin = [[d for d in data if d["symbol"] == "BTC/USD"] for data in heard]
    first = max(data[0]["trade_id"] for data in of_bitcoin)
    last = min(data[-1]["trade_id"] for data in of_bitcoin)
    parts = [[d for d in data if first <= d["trade_id"] <= last] for data in of_bitcoin]
    assert len(parts[0]) > 20
    assert all(part == parts[0] for part in parts)


@pytest.mark.parametrize("minutes", [1, 5, 60])
async def test_candles_end_as_their_trades_make_them(opened: Any, minutes: int) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    (answer,) = await socket.subscribe("ohlc", "BTC/USD", interval=minutes, snapshot=False)
    assert answer["result"]["interval"] == minutes
    assert answer["result"]["warnings"] == ["timestamp is deprecated, use interval_begin"]
    end = NOW + 3 * HOUR
    for _ in range(9):
        exchange.clock.advance(HOUR / 3)
        await asyncio.sleep(0.03)
    folded = fold_trades(BITCOIN.trades(0, ns_of(end)))
    wanted = folded if minutes == 1 else fold_candles(folded, minutes_name(minutes))
    last = wanted[-1]
    is_last = f"{last.timestamp:%Y-%m-%dT%H:%M:%S}.000000000Z"

    def is_over(heard: list[dict[str, Any]]) -> bool:
        return any(d["interval_begin"] == is_last and d["trades"] == last.trade_count for d in heard)

    data = await socket.hear_all("ohlc", is_over)
    final = {each["interval_begin"]: each for each in data}
    begin = (NOW - timedelta(minutes=minutes)).timestamp()
    wanted = [each for each in wanted if each.timestamp.timestamp() > begin]
    assert len(final) == len(wanted)
    for candle, frame in zip(wanted, final.values(), strict=True):
        assert frame["interval_begin"] == f"{candle.timestamp:%Y-%m-%dT%H:%M:%S}.000000000Z"
        assert [frame[name] for name in ("open", "high", "low", "close", "volume")] == [
            candle.open, candle.high, candle.low, candle.close, candle.volume,
        ]  # fmt: skip
        assert (frame["trades"], frame["vwap"]) == (candle.trade_count, vwap_truncated(candle, 1))


def minutes_name(minutes: int) -> str:
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h"


async def test_a_snapshot_of_candles_has_the_forming_one_last(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.ask("subscribe", channel="ohlc", symbol=["BTC/USD"], interval=5)
    frame = await socket.hear_of("ohlc")
    wanted = fold_candles(fold_trades(BITCOIN.trades(0, ns_of(NOW))), "5m")[-9:]
    assert frame["type"] == "snapshot"
    assert [(each["open"], each["trades"]) for each in frame["data"]] == [
        (each.open, each.trade_count) for each in wanted
    ]


async def test_instruments_come_as_one_object_and_change_when_a_pair_goes(opened: Any) -> None:
    leaving = GeneratedHistory(GENERATED_PAIRS["ETH/USD"], START, 1, until=NOW + MINUTE)
    exchange = ReplayExchange([BITCOIN, leaving], ReplayClock(NOW, 0))
    socket = await opened(exchange)
    await socket.ask("subscribe", channel="instrument")
    data = (await socket.hear_of("instrument"))["data"]
    assert {each["symbol"] for each in data["pairs"]} == {"BTC/USD", "ETH/USD"}
    assert {each["id"] for each in data["assets"]} == {"BTC", "ETH", "USD"}
    exchange.clock.advance(2 * MINUTE)
    update = await socket.hear_of("instrument")
    assert update["type"] == "update"
    assert [(each["symbol"], each["status"]) for each in update["data"]["pairs"]] == [("ETH/USD", "delisted")]


async def test_as_fast_as_possible_nothing_is_left_out(opened: Any) -> None:
    exchange = an_exchange(speed=inf)
    socket = await opened(exchange)
    assert exchange.clock.now == NOW
    await socket.subscribe("trade", "BTC/USD", "ETH/USD")
    data = await socket.hear_all("trade", lambda heard: len(heard) > 2_000)
    for history in (BITCOIN, ETHER):
        symbol = history.pair.symbol
        heard = told([each for each in data if each["symbol"] == symbol])
        assert heard == trades_between(history, NOW, NOW + 24 * HOUR)[: len(heard)]
    assert exchange.clock.now > NOW + 30 * MINUTE


async def test_a_ping_is_answered_and_silence_is_filled_with_heartbeats(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.05)
    socket = await opened(an_exchange())
    await socket.ask("ping")
    pong = await socket.hear()
    assert (pong["method"], pong["req_id"]) == ("pong", 7)
    await socket.subscribe("trade", "BTC/USD")
    assert await socket.hear() == {"channel": "heartbeat"}


async def test_an_answer_to_a_ping_comes_behind_the_trades_of_its_time(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads its time as "nothing older is under way" would otherwise call a busy minute quiet."""
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    between = exchange.between

    async def slow(history: Any, *times: int) -> Any:
        await asyncio.sleep(0.3)
        return await between(history, *times)

    monkeypatch.setattr(exchange, "between", slow)
    exchange.clock.advance(20 * MINUTE)
    await socket.ask("ping")
    heard: list[dict[str, Any]] = []
    while (frame := await socket.hear()).get("method") != "pong":
        heard += frame.get("data", [])
    assert told(heard) == trades_between(BITCOIN, NOW, exchange.clock.now)


async def test_who_subscribes_to_nothing_is_closed(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "IDLE_SECONDS", 0.1)
    socket = await opened(an_exchange())
    with pytest.raises(ConnectionClosed) as closed:
        await socket.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


# --- what is refused ----------------------------------------------------------------------------------------


async def test_one_bad_symbol_does_not_spoil_the_others(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    answers = await socket.subscribe("trade", "XBT/USD", "BTC/USD", "XBTUSD", "btc/usd")
    assert [(each["success"], each.get("error")) for each in answers] == [
        (False, "Currency pair not supported XBT/USD"),
        (True, None),
        (False, "Currency pair not in ISO 4217-A3 format XBTUSD"),
        (False, "Currency pair not in ISO 4217-A3 format btc/usd"),
    ]
    exchange.clock.advance(HOUR)
    assert (await socket.hear_of("trade"))["data"][0]["symbol"] == "BTC/USD"


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"channel": "balances"}, "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"),
        ({"channel": "moon", "symbol": ["BTC/USD"]}, "Subscription name invalid"),
        ({"channel": "trade"}, "Symbol(s) not found"),
        ({"channel": "trade", "symbol": "BTC/USD"}, "Symbol(s) not found"),
        ({"channel": "ohlc", "symbol": ["BTC/USD"], "interval": 2}, "Subscription ohlc interval not supported"),
        ({"channel": "ohlc", "symbol": ["BTC/USD"], "interval": True}, "Subscription ohlc interval not supported"),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_refused_with_a_sentence(
    opened: Any, params: dict[str, Any], error: str
) -> None:
    socket = await opened(an_exchange())
    await socket.ask("subscribe", **params)
    answer = await socket.hear()
    assert (answer["success"], answer["error"], answer["method"]) == (False, error, "subscribe")


@pytest.mark.parametrize("text", ["moon", "[]", '{"method":"dance"}', "1"])
async def test_nonsense_is_answered_and_hurts_nobody(opened: Any, text: str) -> None:
    socket = await opened(an_exchange())
    await socket.connection.send(text)
    assert (await socket.hear())["error"] == "Malformed request"
    (answer,) = await socket.subscribe("trade", "BTC/USD")
    assert answer["success"]


async def test_unsubscribing_ends_what_is_heard(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD", "ETH/USD")
    await socket.ask("unsubscribe", channel="trade", symbol=["BTC/USD", "LUNA/USD"])
    answers = [await socket.hear(), await socket.hear()]
    assert [each["success"] for each in answers] == [True, False]
    exchange.clock.advance(HOUR)
    wanted = trades_between(ETHER, NOW, NOW + HOUR)
    data = await socket.hear_all("trade", lambda heard: len(heard) >= len(wanted))
    assert told(data) == wanted


async def test_too_many_connections_are_refused_before_they_open(opened: Any) -> None:
    exchange = an_exchange(limits=Limits(1, 5))
    exchange.counters._connections["127.0.0.1"].extend([exchange.counters._now()] * (CONNECTIONS - 1))
    await opened(exchange)
    with pytest.raises(InvalidStatus) as refused:
        await opened(exchange)
    assert refused.value.response.status_code == 429


# --- what goes wrong ----------------------------------------------------------------------------------------


async def test_a_dropped_socket_loses_its_frame_and_says_no_goodbye(opened: Any) -> None:
    exchange = an_exchange(socket_drop=1)
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    exchange.clock.advance(HOUR)
    with pytest.raises(ConnectionClosed) as closed:
        await socket.hear_of("trade")
    assert closed.value.rcvd is None
    exchange.faults.clear()
    again = await opened(exchange)
    await again.subscribe("trade", "BTC/USD")
    exchange.clock.advance(HOUR)
    first = (await again.hear_of("trade"))["data"][0]["trade_id"]
    assert first == trades_between(BITCOIN, NOW + HOUR, NOW + 2 * HOUR)[0][0]


async def test_a_silent_socket_stays_open_and_says_nothing(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.01)
    exchange = an_exchange(socket_silence=1)
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    exchange.clock.advance(HOUR)
    # What was on its way may still come; then there is nothing, not even an answer.
    with pytest.raises(TimeoutError):
        while True:
            async with asyncio.timeout(1):
                await socket.connection.recv()
    await socket.ask("ping")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await socket.connection.recv()
    assert socket.connection.state is State.OPEN


async def test_a_frame_may_come_twice(opened: Any) -> None:
    exchange = an_exchange(socket_duplicate=1)
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    exchange.clock.advance(HOUR)
    assert await socket.hear_of("trade") == await socket.hear_of("trade")


async def test_late_trades_are_heard_once_by_who_comes_again(opened: Any) -> None:
    exchange = an_exchange(late_every=1, late_seconds=600)
    socket = await opened(exchange)
    for _ in range(3):
        await socket.subscribe("trade", "BTC/USD")
        await socket.ask("unsubscribe", channel="trade", symbol=["BTC/USD"])
        assert (await socket.hear())["success"]
    await socket.subscribe("trade", "BTC/USD")
    exchange.clock.advance(HOUR)
    wanted = [each[0] for each in trades_between(BITCOIN, NOW - HOUR / 6, NOW + HOUR - HOUR / 6)]
    data = await socket.hear_all("trade", lambda heard: len(heard) >= len(wanted) - 1)
    ids = [each["trade_id"] for each in data]
    assert ids == sorted(set(ids))
    assert set(wanted[1:]) - set(ids) <= {wanted[-1]}


async def test_behind_a_clock_that_is_set_back_all_is_heard_again(opened: Any) -> None:
    exchange = an_exchange(late_every=10, late_seconds=60)
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    wanted = {each[0] for each in trades_between(BITCOIN, NOW, NOW + HOUR - 2 * MINUTE)}
    for _ in range(2):
        exchange.clock.set(NOW + HOUR)
        data = await socket.hear_all("trade", lambda heard: wanted <= {each["trade_id"] for each in heard})
        assert len({each["trade_id"] for each in data}) == len(data)
        exchange.clock.set(NOW)
        await asyncio.sleep(0.1)


async def test_late_trades_that_are_hidden_again_hurt_nobody(opened: Any) -> None:
    thin = GeneratedHistory(GENERATED_PAIRS["BCH/EUR"], START, 1)
    exchange = ReplayExchange([thin], ReplayClock(NOW, 0), faults=Faults(late_every=1, late_seconds=30))
    socket = await opened(exchange)
    await socket.subscribe("ohlc", "BCH/EUR", snapshot=False)
    for _ in range(60):
        exchange.clock.advance(MINUTE)
        exchange.faults.change({"late_seconds": 600})
        await asyncio.sleep(0.02)
        exchange.faults.change({"late_seconds": 30})
    exchange.faults.clear()
    exchange.clock.advance(HOUR)
    assert (await socket.hear_of("ohlc"))["data"][0]["trades"] > 0


async def test_a_read_that_fails_is_taken_again_and_counts_nothing_twice(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WAIT_SECONDS", 0.01)
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("ohlc", "BTC/USD", interval=60, snapshot=False)
    await socket.subscribe("trade", "ETH/USD")
    fails = iter([StorageUnavailable(), ValueError("a defect")])
    between = exchange.between

    async def failing(history: Any, *times: int) -> Any:
        if history is ETHER and (error := next(fails, None)):
            raise error
        return await between(history, *times)

    monkeypatch.setattr(exchange, "between", failing)
    exchange.clock.advance(20 * MINUTE)
    (wanted,) = fold_candles(
        fold_trades(BITCOIN.trades(ns_of(NOW.replace(minute=0, second=0)), exchange.clock.ns)), "1h"
    )
    data = await socket.hear_all(
        "ohlc", lambda heard: bool(heard) and heard[-1]["trades"] >= wanted.trade_count
    )
    assert (data[-1]["trades"], data[-1]["volume"]) == (wanted.trade_count, wanted.volume)


async def test_late_trades_are_heard_late_and_change_their_candle(opened: Any) -> None:
    exchange = an_exchange(late_every=10, late_seconds=90)
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    await socket.subscribe("ohlc", "BTC/USD", snapshot=False)
    for _ in range(24):
        exchange.clock.advance(HOUR / 12)
        await asyncio.sleep(0.02)
    wanted = trades_between(BITCOIN, NOW, NOW + 2 * HOUR - timedelta(seconds=91))
    heard: dict[int, int] = {}
    candles: dict[str, dict[str, Any]] = {}
    while not {each[0] for each in wanted} <= heard.keys():
        frame = await socket.hear()
        if frame.get("channel") == "trade":
            for each in frame["data"]:
                heard[each["trade_id"]] = len(heard)
        if frame.get("channel") == "ohlc":
            candles |= {each["interval_begin"]: each for each in frame["data"]}
    late = [number for number in heard if number % 10 == 0 and number < wanted[-1][0] - 300]
    assert len(late) > 20
    assert all(heard[number] > heard[number + 1] for number in late if number + 1 in heard)
    settled = fold_trades(
        BITCOIN.trades(ns_of(NOW + 5 * MINUTE) // (60 * 10**9) * 60 * 10**9, ns_of(NOW + HOUR))
    )
    for candle in settled[:-1]:
        assert candles[f"{candle.timestamp:%Y-%m-%dT%H:%M:%S}.000000000Z"]["trades"] == candle.trade_count


async def test_malformed_trades_come_with_the_others(opened: Any) -> None:
    exchange = an_exchange(malformed_every=5)
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    exchange.clock.advance(HOUR)
    wanted = trades_between(BITCOIN, NOW, NOW + HOUR)
    data = await socket.hear_all("trade", lambda heard: len(heard) >= len(wanted))
    wrong = [each for each in data if not (each.get("trade_id") and each["timestamp"] and each["price"])]
    assert len(wrong) == sum(number % 5 == 0 for number, *_ in wanted)


async def test_maintenance_is_told_and_nothing_is_heard_while_it_lasts(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    exchange.faults.change({"maintenance": True})
    assert (await socket.hear_of("status"))["data"][0]["system"] == "maintenance"
    exchange.clock.advance(HOUR)
    await asyncio.sleep(0.1)
    exchange.faults.clear()
    assert (await socket.hear_of("status"))["data"][0]["system"] == "online"
    exchange.clock.advance(HOUR)
    first = (await socket.hear_of("trade"))["data"][0]["trade_id"]
    assert first == trades_between(BITCOIN, NOW + HOUR, NOW + 2 * HOUR)[0][0]


async def test_candles_after_maintenance_have_what_was_traded_meanwhile(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("ohlc", "BTC/USD", interval=1440, snapshot=False)
    exchange.clock.advance(10 * MINUTE)
    await socket.hear_of("ohlc")
    exchange.faults.change({"maintenance": True})
    await socket.hear_of("status")
    exchange.clock.advance(HOUR)
    await asyncio.sleep(0.1)
    exchange.faults.clear()
    await socket.hear_of("status")
    exchange.clock.advance(HOUR)
    day = NOW.replace(hour=0, minute=0, second=0)
    count = len(BITCOIN.trades(ns_of(day), exchange.clock.ns))
    data = await socket.hear_all("ohlc", lambda heard: bool(heard) and heard[-1]["trades"] >= count)
    assert data[-1]["trades"] == count


async def test_new_connections_may_be_closed_at_once(opened: Any) -> None:
    exchange = an_exchange(socket_refusal=1)
    with pytest.raises(ConnectionClosed):
        await opened(exchange)


async def test_who_reads_is_never_dropped_however_much_comes_at_once(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_WAITING", 10)
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    exchange.clock.advance(12 * HOUR)
    wanted = trades_between(BITCOIN, NOW, NOW + 12 * HOUR)
    assert told(await socket.hear_all("trade", lambda heard: len(heard) >= len(wanted))) == wanted


async def test_who_does_not_read_is_closed_and_keeps_nobody_waiting(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_WAITING", 10)
    monkeypatch.setattr(websocket, "SLOW_SECONDS", 0.2)
    exchange = an_exchange()
    reader, slow = await opened(exchange), await opened(exchange)
    for each in (reader, slow):
        await each.subscribe("trade", "BTC/USD")
    # More than lies in the buffers of any line.
    monkeypatch.setattr(feed, "trades_frame", long_frame)
    exchange.clock.advance(3 * HOUR)
    wanted = trades_between(BITCOIN, NOW, NOW + 3 * HOUR)
    assert told(await reader.hear_all("trade", lambda heard: len(heard) >= len(wanted))) == wanted
    with pytest.raises(ConnectionClosed):
        await slow.hear_all("trade", lambda heard: False)


def long_frame(*arguments: Any) -> Frame:
    """A trade's frame with a hundred kilobytes of space in it, which no compression makes small."""
    text, is_news = trades_frame(*arguments)
    return Frame(f'{{"space":"{secrets.token_urlsafe(75_000)}",{text[1:]}', is_news)


async def test_faults_and_clock_are_changed_over_its_own_paths(opened: Any) -> None:
    exchange = an_exchange()
    socket = await opened(exchange)
    await socket.subscribe("trade", "BTC/USD")
    host = socket.connection.remote_address
    async with httpx.AsyncClient(base_url=f"http://{host[0]}:{host[1]}", trust_env=False) as web:
        assert (await web.post("/replay/faults", json={"socket_duplicate": 1})).status_code == 200
        moved = await web.post("/replay/clock", json={"now": (NOW + HOUR).isoformat(), "speed": "max"})
        assert moved.json()["speed"] == "max"
    assert await socket.hear_of("trade") == await socket.hear_of("trade")
