"""The client of the WebSocket over real sockets: everything heard once and in order, whatever the other side does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from krakendata.candles import fold_trades
from krakendata.errors import ConfigurationError
from krakendata.kraken import websocket as websocket_module
from krakendata.kraken.messages import CandlesHeard, SystemStatus, TradesHeard, Unknown, Unreadable
from krakendata.kraken.pacing import Limits
from krakendata.kraken.reconnects import MAINTENANCE_SECONDS, POLICY_SECONDS, Reconnects
from krakendata.kraken.subscriptions import Subscribed, SubscriptionRefused
from krakendata.kraken.websocket import (
    Connected,
    Disconnected,
    KrakenWebSocket,
    Message,
    Timing,
    Unreachable,
)
from krakendata.replay import websocket as replay_websocket
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.server import ReplayServer
from krakendata.types import HistoricalCandle, Trade, ns_of
from krakendata.validation import Rejection, validate_websocket_candle, validate_websocket_trade
from tests.replayed_market import BITCOIN, ETHER, NOW, START

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# Nobody waits so long for a message unless something is wrong.
PATIENCE = 10
QUICK = Timing(silence=0.4, ping=0.1, connect=0.5, close=0.2, spacing=0.01, answer=0.3)
# The replay exchange draws its market when it is first asked for it, which takes a second on a busy machine.
PATIENT = replace(QUICK, silence=3.0, connect=3.0, answer=6.0)
WATCHFUL = replace(PATIENT, silence=1.0)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

T = TypeVar("T")
Handle = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach sockets of this machine without its proxies."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close what the test opened; what is opened last is closed first."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the replay exchange's heart beat twenty times a second."""
    monkeypatch.setattr(replay_websocket, "HEARTBEAT_SECONDS", 0.05)


def an_exchange(**faults: Any) -> ReplayExchange:
    clock = ReplayClock(NOW, 0)
    return ReplayExchange([BITCOIN, ETHER], clock, faults=Faults(**faults), limits=Limits(0, 0))


async def replaying(stack: AsyncExitStack, exchange: ReplayExchange, **options: Any) -> KrakenWebSocket:
    server = await stack.enter_async_context(ReplayServer(exchange))
    return await opened(stack, server.websocket_url, **{"timing": PATIENT, **options})


async def opened(stack: AsyncExitStack, url: str, **options: Any) -> KrakenWebSocket:
    options = {"timing": QUICK, "reconnects": Reconnects(first_seconds=0.01), **options}
    return await stack.enter_async_context(KrakenWebSocket(url, **options))


async def facing(stack: AsyncExitStack, handle: Handle, **options: Any) -> KrakenWebSocket:
    """Give a client of a little server that does as told."""
    server = await stack.enter_async_context(serve(handle, "127.0.0.1", 0))
    return await opened(stack, url_of(server), **options)


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def hear(socket: KrakenWebSocket) -> Message:
    async with asyncio.timeout(PATIENCE):
        return await anext(socket)


async def hear_of(socket: KrakenWebSocket, kind: type[T]) -> T:
    """Give the next message of a kind, whatever comes before it."""
    while not isinstance(message := await hear(socket), kind):
        pass
    return message


async def hear_for(socket: KrakenWebSocket, seconds: float) -> list[Message]:
    """Give what is heard in so many seconds."""
    heard: list[Message] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                heard.append(await anext(socket))
    except TimeoutError:
        return heard


async def hear_trades(socket: KrakenWebSocket, until: Callable[[list[Trade]], bool]) -> list[Trade]:
    """Give the trades of updates until there are enough of them."""
    trades: list[Trade] = []
    while not until(trades):
        heard = await hear_of(socket, TradesHeard)
        trades += [] if heard.is_snapshot else trades_of(heard)
    return trades


async def subscribed(socket: KrakenWebSocket, count: int) -> None:
    for _ in range(count):
        await hear_of(socket, Subscribed)


def trades_of(heard: TradesHeard) -> list[Trade]:
    judged = [validate_websocket_trade(each, NOW + 30 * HOUR) for each in heard.elements]
    return [each for each in judged if isinstance(each, Trade)]


def truth(history: GeneratedHistory, start: datetime, end: datetime) -> list[tuple[Any, ...]]:
    return [told(each) for each in history.trades(ns_of(start), ns_of(end))]


def told(trade: Trade) -> tuple[Any, ...]:
    return trade.trade_id, trade.price, trade.volume, trade.side, trade.order_type


def trade_frame(trade_id: int, symbol: str = "BTC/USD", space: str = "") -> str:
    return (
        f'{{"channel":"trade","type":"update","data":[{{"symbol":"{symbol}","side":"buy","price":83744.3,'
        f'"qty":0.00044780,"ord_type":"limit","trade_id":{trade_id},"space":"{space}",'
        '"timestamp":"2026-03-03T06:00:17.844359Z"}]}'
    )


def acknowledgements(request: str) -> list[str]:
    """Give the answers to a request, one a symbol."""
    asked = json.loads(request)
    if asked["method"] == "ping":
        return ['{"method":"pong","time_out":"2026-03-03T06:00:17.5Z"}']
    results = [{"channel": asked["params"]["channel"], "symbol": each} for each in asked["params"]["symbol"]]
    return [json.dumps({"method": asked["method"], "result": each, "success": True}) for each in results]


async def answer_all(connection: ServerConnection) -> None:
    """Acknowledge whatever is asked for, until the connection ends."""
    async for request in connection:
        assert isinstance(request, str)
        for answer in acknowledgements(request):
            await connection.send(answer)


# --- what is heard ------------------------------------------------------------------------------------------


async def test_every_trade_is_heard_once_and_in_order_behind_a_snapshot(stack: AsyncExitStack) -> None:
    exchange = an_exchange()
    socket = await replaying(stack, exchange)
    socket.listen(["BTC/USD"])
    assert (await hear_of(socket, Connected)).number == 1
    assert (await hear_of(socket, SystemStatus)).system == "online"
    assert await hear_of(socket, Subscribed) == ("trade", "BTC/USD")
    snapshot = await hear_of(socket, TradesHeard)
    assert snapshot.is_snapshot
    assert [told(each) for each in trades_of(snapshot)] == truth(BITCOIN, START, NOW)[-50:]
    wanted = truth(BITCOIN, NOW, NOW + HOUR)
    exchange.clock.advance(HOUR)
    trades = await hear_trades(socket, lambda heard: len(heard) >= len(wanted))
    assert [told(each) for each in trades] == wanted


async def test_candles_are_heard_as_their_trades_make_them(stack: AsyncExitStack) -> None:
    exchange = an_exchange()
    socket = await replaying(stack, exchange)
    socket.listen([], candles=["BTC/USD"])
    assert await hear_of(socket, Subscribed) == ("ohlc", "BTC/USD")
    assert (await hear_of(socket, CandlesHeard)).is_snapshot
    exchange.clock.advance(HOUR)
    wanted = fold_trades(BITCOIN.trades(0, ns_of(NOW + HOUR)))
    found: dict[datetime, HistoricalCandle] = {}
    while found.get(wanted[-1].timestamp, wanted[0]).trade_count != wanted[-1].trade_count:
        for element in (await hear_of(socket, CandlesHeard)).elements:
            candle = validate_websocket_candle(element, NOW + HOUR)
            assert isinstance(candle, HistoricalCandle)
            found[candle.timestamp] = candle
    for candle in wanted[-len(found) + 1 :]:
        same = found[candle.timestamp]
        assert (same.open, same.close, same.volume) == (candle.open, candle.close, candle.volume)


async def test_bad_trades_come_in_their_place_for_validation_to_refuse(stack: AsyncExitStack) -> None:
    exchange = an_exchange(malformed_every=5)
    socket = await replaying(stack, exchange, snapshot=False)
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    exchange.clock.advance(HOUR)
    wanted = BITCOIN.trades(ns_of(NOW), ns_of(NOW + HOUR))
    elements: list[object] = []
    while len(elements) < len(wanted):
        elements += (await hear_of(socket, TradesHeard)).elements
    judged = [validate_websocket_trade(each, NOW + HOUR) for each in elements]
    bad = [each.trade_id % 5 == 0 for each in wanted]
    assert [isinstance(each, Rejection) for each in judged] == bad


async def test_frames_that_come_twice_are_given_twice(stack: AsyncExitStack) -> None:
    exchange = an_exchange(socket_duplicate=1)
    socket = await replaying(stack, exchange, snapshot=False)
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    exchange.clock.advance(HOUR)
    first, second = await hear_of(socket, TradesHeard), await hear_of(socket, TradesHeard)
    assert first.elements == second.elements


async def test_what_is_no_frame_is_told_and_the_next_one_heard(stack: AsyncExitStack) -> None:
    async def handle(connection: ServerConnection) -> None:
        for frame in ("{", b"\xff", '{"channel":"ticker","data":[]}', trade_frame(7)):
            await connection.send(frame)
        await answer_all(connection)

    socket = await facing(stack, handle)
    kinds = [type(await hear(socket)) for _ in range(5)]
    assert kinds == [Connected, Unreadable, Unreadable, Unknown, TradesHeard]


# --- subscribing --------------------------------------------------------------------------------------------


async def test_what_is_wanted_changes_on_the_living_connection(stack: AsyncExitStack) -> None:
    exchange = an_exchange()
    socket = await replaying(stack, exchange, snapshot=False)
    socket.listen(["BTC/USD"], candles=["BTC/USD"])
    await subscribed(socket, 2)
    socket.listen(["ETH/USD"])
    assert await hear_of(socket, Subscribed) == ("trade", "ETH/USD")
    await hear_for(socket, 0.1)
    exchange.clock.advance(HOUR)
    trades = await hear_trades(socket, lambda heard: len(heard) >= 20)
    assert {each.symbol for each in trades} == {"ETH/USD"}
    assert exchange.calls["sockets"] == 1


async def test_a_refused_symbol_is_told_and_hurts_no_other(stack: AsyncExitStack) -> None:
    socket = await replaying(stack, an_exchange(), snapshot=False)
    socket.listen(["XBT/USD", "BTC/USD", "ETHUSD"])
    heard = [message for message in await hear_for(socket, 1) if not isinstance(message, SystemStatus)]
    assert [type(each) for each in heard[1:]] == [SubscriptionRefused, Subscribed, SubscriptionRefused]
    assert heard[1] == SubscriptionRefused(
        "trade", "XBT/USD", "The exchange answered: Currency pair not supported XBT/USD."
    )


async def test_many_symbols_are_asked_for_by_the_hundred_and_not_at_once(stack: AsyncExitStack) -> None:
    requests: list[tuple[float, int]] = []

    async def handle(connection: ServerConnection) -> None:
        async for request in connection:
            asked = json.loads(request)
            if asked["method"] == "subscribe":
                requests.append((time.monotonic(), len(asked["params"]["symbol"])))
            for answer in acknowledgements(str(request)):
                await connection.send(answer)

    timing = Timing(spacing=0.1)
    socket = await facing(stack, handle, timing=timing)
    socket.listen([f"A{number}/USD" for number in range(250)])
    await subscribed(socket, 250)
    assert [count for _, count in requests] == [100, 100, 50]
    assert requests[1][0] - requests[0][0] >= 0.09
    assert requests[2][0] - requests[1][0] >= 0.09


async def test_an_answer_that_never_comes_is_asked_for_again_and_then_told(stack: AsyncExitStack) -> None:
    requests: list[str] = []

    async def handle(connection: ServerConnection) -> None:
        async def note(request: str) -> None:
            requests.append(request)

        await take_subscriptions(connection, note)

    socket = await facing(stack, handle)
    socket.listen(["BTC/USD"])
    refusal = await hear_of(socket, SubscriptionRefused)
    assert refusal == ("trade", "BTC/USD", "The exchange did not answer 2 requests for it.")
    assert len(requests) == 2


async def take_subscriptions(connection: ServerConnection, take: Callable[[str], Awaitable[None]]) -> None:
    """Hand over each request to subscribe, heartbeats going on, until the connection ends."""

    async def receive() -> None:
        async for request in connection:
            if json.loads(request)["method"] == "subscribe":
                await take(str(request))

    async with asyncio.TaskGroup() as group:
        group.create_task(receive())
        group.create_task(beat(connection))


async def beat(connection: ServerConnection, seconds: float = 0.02) -> None:
    """Send heartbeats until the connection ends."""
    try:
        while True:
            await connection.send('{"channel":"heartbeat"}')
            await asyncio.sleep(seconds)
    except ConnectionClosed:
        return


async def test_who_asks_too_fast_asks_more_slowly(stack: AsyncExitStack) -> None:
    moments: list[float] = []

    async def handle(connection: ServerConnection) -> None:
        async for request in connection:
            if json.loads(request)["method"] == "ping":
                continue
            moments.append(time.monotonic())
            answers = acknowledgements(str(request))
            for answer in answers if len(moments) > 3 else ['{"Error":"Exceeded msg rate"}']:
                await connection.send(answer)

    socket = await facing(stack, handle, timing=Timing(spacing=0.05))
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    gaps = [after - before for before, after in zip(moments, moments[1:], strict=False)]
    assert len(gaps) == 3
    assert gaps[-1] >= 0.18


# --- connections that end -----------------------------------------------------------------------------------


async def test_a_dropped_connection_is_made_again_with_all_it_heard(stack: AsyncExitStack) -> None:
    exchange = an_exchange()
    socket = await replaying(stack, exchange)
    socket.listen(["BTC/USD", "ETH/USD"], candles=["ETH/USD"])
    await subscribed(socket, 3)
    exchange.faults.change({"socket_drop": 1})
    exchange.clock.advance(HOUR)
    lost = await hear_of(socket, Disconnected)
    exchange.faults.clear()
    assert lost.sentence.startswith("The connection ended (")
    assert lost.retry_seconds == 0
    assert (await hear_of(socket, Connected)).number == 2
    await subscribed(socket, 3)
    exchange.clock.advance(HOUR)
    of_bitcoin: list[tuple[Any, ...]] = []
    wanted = truth(BITCOIN, NOW + HOUR, NOW + 2 * HOUR)
    while len(of_bitcoin) < len(wanted):
        heard = await hear_of(socket, TradesHeard)
        of_bitcoin += [told(each) for each in trades_of(heard) if each.symbol == "BTC/USD"]
    assert [each for each in of_bitcoin if each >= wanted[0]] == wanted[: len(of_bitcoin)]


async def test_silence_is_the_end_while_something_is_subscribed(stack: AsyncExitStack, beats: None) -> None:
    exchange = an_exchange()
    socket = await replaying(stack, exchange, timing=WATCHFUL)
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    assert not any(isinstance(each, Disconnected) for each in await hear_for(socket, 1.2 * WATCHFUL.silence))
    exchange.faults.change({"socket_silence": 1})
    exchange.clock.advance(MINUTE * 10)
    began = time.monotonic()
    lost = await hear_of(socket, Disconnected)
    assert lost.sentence.startswith("The exchange has said nothing for 1.")
    assert WATCHFUL.silence - 0.1 <= time.monotonic() - began < WATCHFUL.silence + 1
    exchange.faults.clear()
    assert (await hear_of(socket, Connected)).number == 2
    await subscribed(socket, 1)


async def test_nothing_of_an_old_connection_comes_behind_a_new_one(stack: AsyncExitStack) -> None:
    ids = iter(range(1, 1_000))

    async def handle(connection: ServerConnection) -> None:
        await connection.recv()
        for _ in range(20):
            await connection.send(trade_frame(next(ids)))

    socket = await facing(stack, handle)
    socket.listen(["BTC/USD"])
    heard: list[Any] = []
    while len(heard) < 66:
        message = await hear(socket)
        heard += trades_of(message) if isinstance(message, TradesHeard) else [type(message)]
    shown = [each.trade_id if isinstance(each, Trade) else each for each in heard]
    assert shown == [
        each
        for number in range(3)
        for each in (Connected, *range(20 * number + 1, 20 * number + 21), Disconnected)
    ]


@pytest.mark.parametrize(
    ("code", "least"),
    [
        (1000, 0),
        (1001, 0),
        (1011, 0),
        (1012, MAINTENANCE_SECONDS),
        (1013, MAINTENANCE_SECONDS),
        (1008, POLICY_SECONDS),
    ],
)
async def test_the_code_of_a_goodbye_says_how_long_to_stay_away(
    stack: AsyncExitStack, code: int, least: float
) -> None:
    async def handle(connection: ServerConnection) -> None:
        await connection.close(code, "because")

    socket = await facing(stack, handle)
    lost = await hear_of(socket, Disconnected)
    assert str(code) in lost.sentence
    assert "because" in lost.sentence
    assert least <= lost.retry_seconds <= 1.5 * least


async def test_while_in_maintenance_attempts_are_five_seconds_apart(stack: AsyncExitStack) -> None:
    exchange = an_exchange()
    server = await stack.enter_async_context(ReplayServer(exchange))
    socket = await opened(stack, server.websocket_url, snapshot=False, timing=PATIENT)
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    exchange.faults.change({"maintenance": True})
    assert (await hear_of(socket, SystemStatus)).system == "maintenance"
    exchange.closing.set()
    lost = await hear_of(socket, Disconnected)
    assert MAINTENANCE_SECONDS <= lost.retry_seconds <= 1.5 * MAINTENANCE_SECONDS


async def test_maintenance_is_heard_until_it_is_over(stack: AsyncExitStack, beats: None) -> None:
    exchange = an_exchange(maintenance=True)
    socket = await replaying(stack, exchange, snapshot=False)
    socket.listen(["BTC/USD"])
    assert (await hear_of(socket, SystemStatus)).system == "maintenance"
    exchange.faults.clear()
    assert (await hear_of(socket, SystemStatus)).system == "online"
    exchange.faults.change({"socket_drop": 1})
    exchange.clock.advance(HOUR)
    assert (await hear_of(socket, Disconnected)).retry_seconds == 0


async def test_a_new_connection_that_is_closed_at_once_is_not_hammered(stack: AsyncExitStack) -> None:
    exchange = an_exchange(socket_refusal=1)
    socket = await replaying(stack, exchange)
    lost = await hear_of(socket, Disconnected)
    assert lost.sentence.startswith("The exchange asks to come again later (")
    assert lost.retry_seconds >= MAINTENANCE_SECONDS
    assert await hear_for(socket, 0.3) == []
    assert exchange.calls["sockets"] == 1


@pytest.mark.parametrize(
    ("status", "header", "least"),
    [(429, {}, 60), (429, {"Retry-After": "300"}, 300), (503, {}, 5), (502, {}, 0), (403, {}, 0)],
)
async def test_a_refused_handshake_says_how_long_to_stay_away(
    stack: AsyncExitStack, status: int, header: dict[str, str], least: float
) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(HTTPStatus(status), "no")
        response.headers.update(header)
        return response

    server = await stack.enter_async_context(serve(answer_all, "127.0.0.1", 0, process_request=refuse))
    socket = await opened(stack, url_of(server))
    failed = await hear(socket)
    assert isinstance(failed, Unreachable)
    assert str(status) in failed.sentence
    assert least <= failed.retry_seconds <= 1.5 * least


async def test_an_exchange_that_is_away_is_tried_until_it_is_back(stack: AsyncExitStack) -> None:
    server = await stack.enter_async_context(serve(answer_all, "127.0.0.1", 0))
    url = url_of(server)
    server.close()
    await server.wait_closed()
    socket = await opened(stack, url)
    socket.listen(["BTC/USD"])
    failed = [await hear(socket) for _ in range(4)]
    delays = [each.retry_seconds for each in failed if isinstance(each, Unreachable)]
    assert delays[0] == 0
    assert 0 < delays[1] < delays[2] < delays[3] < 0.1
    await stack.enter_async_context(serve(answer_all, "127.0.0.1", int(url.rpartition(":")[2])))
    assert await hear_of(socket, Subscribed) == ("trade", "BTC/USD")


async def test_who_takes_the_connection_and_says_nothing_is_given_up(stack: AsyncExitStack) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await stack.enter_async_context(await asyncio.start_server(hold, "127.0.0.1", 0))
    socket = await opened(stack, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    began = time.monotonic()
    assert isinstance(await hear(socket), Unreachable)
    assert QUICK.connect <= time.monotonic() - began < QUICK.connect + 1


async def test_a_frame_beyond_every_bound_costs_the_connection(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_module, "MAX_FRAME_BYTES", 1_000)

    async def handle(connection: ServerConnection) -> None:
        await connection.send(trade_frame(1, space="x" * 1_000))
        await answer_all(connection)

    socket = await facing(stack, handle)
    assert "1009" in (await hear_of(socket, Disconnected)).sentence


async def test_the_list_of_instruments_is_no_frame_too_long(stack: AsyncExitStack) -> None:
    async def handle(connection: ServerConnection) -> None:
        await connection.send(f'{{"channel":"instrument","data":{{"assets":["{"x" * 2_000_000}"]}}}}')
        await answer_all(connection)

    socket = await facing(stack, handle)
    assert (await hear_of(socket, Unknown)).name == "instrument"


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'https://ws.kraken.com' is no address of a WebSocket"):
        KrakenWebSocket("https://ws.kraken.com")


# --- with nothing subscribed --------------------------------------------------------------------------------


async def test_who_hears_nothing_keeps_the_connection_by_pings(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_websocket, "IDLE_SECONDS", 0.3)
    exchange = an_exchange()
    socket = await replaying(stack, exchange)
    await hear_of(socket, SystemStatus)
    assert await hear_for(socket, 1) == []
    assert socket.answered_at == NOW
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    assert exchange.calls["sockets"] == 1


async def test_who_answers_no_ping_is_dead_too(stack: AsyncExitStack) -> None:
    async def handle(connection: ServerConnection) -> None:
        await connection.wait_closed()

    socket = await facing(stack, handle)
    began = time.monotonic()
    assert "said nothing" in (await hear_of(socket, Disconnected)).sentence
    assert QUICK.silence + QUICK.ping <= time.monotonic() - began < 3


# --- slow readers -------------------------------------------------------------------------------------------


async def test_a_slow_reader_slows_the_exchange_and_loses_nothing(stack: AsyncExitStack) -> None:
    sent: list[int] = []
    count, space = 3_000, "x" * 20_000

    async def handle(connection: ServerConnection) -> None:
        for trade_id in range(1, count + 1):
            await connection.send(trade_frame(trade_id, space=space))
            sent.append(trade_id)
        await answer_all(connection)

    server = await stack.enter_async_context(serve(handle, "127.0.0.1", 0, compression=None))
    socket = await opened(stack, url_of(server))
    trades = trades_of(await hear_of(socket, TradesHeard))
    await asyncio.sleep(0.5)
    waiting = len(sent)
    await asyncio.sleep(2 * QUICK.silence)
    assert len(sent) == waiting < count
    while len(trades) < count:
        message = await hear(socket)
        assert isinstance(message, TradesHeard)
        trades += trades_of(message)
    assert [each.trade_id for each in trades] == list(range(1, count + 1))


async def test_who_was_busy_takes_no_waiting_frame_for_silence(stack: AsyncExitStack) -> None:
    requests: list[str] = []

    async def handle(connection: ServerConnection) -> None:
        async def answer_late(request: str) -> None:
            requests.append(request)
            for trade_id in range(1, 41):
                await connection.send(trade_frame(trade_id))
            # Behind the trades, where it is found long after it came.
            await connection.send(acknowledgements(request)[0])

        await take_subscriptions(connection, answer_late)

    socket = await facing(stack, handle)
    socket.listen(["BTC/USD"])
    trades = trades_of(await hear_of(socket, TradesHeard))
    # Longer than silence, and than an answer may take.
    await asyncio.sleep(3 * QUICK.silence)
    heard = await hear_for(socket, 2 * QUICK.silence)
    trades += [each for message in heard if isinstance(message, TradesHeard) for each in trades_of(message)]
    assert [each.trade_id for each in trades] == list(range(1, 41))
    assert [each for each in heard if not isinstance(each, TradesHeard)] == [Subscribed("trade", "BTC/USD")]
    assert len(requests) == 1


async def test_an_event_loop_that_stood_still_is_not_silence(stack: AsyncExitStack) -> None:
    async def handle(connection: ServerConnection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(answer_all(connection))
            group.create_task(beat(connection, 0.005))

    socket = await facing(stack, handle)
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    asyncio.get_running_loop().call_later(0.1, time.sleep, 2 * QUICK.silence)
    assert await hear_for(socket, 4 * QUICK.silence) == []


async def test_requests_and_pings_go_out_while_nobody_reads(stack: AsyncExitStack) -> None:
    methods: list[str] = []

    async def handle(connection: ServerConnection) -> None:
        async for request in connection:
            methods.append(json.loads(request)["method"])

    socket = await facing(stack, handle)
    await hear_of(socket, Connected)
    socket.listen(["BTC/USD"])
    await asyncio.sleep(0.35)
    assert methods.count("subscribe") == 1
    assert methods.count("ping") >= 2


async def test_what_was_heard_last_stands_still_while_frames_wait(stack: AsyncExitStack) -> None:
    async def handle(connection: ServerConnection) -> None:
        for trade_id in range(1, 31):
            await connection.send(trade_frame(trade_id))
        async with asyncio.TaskGroup() as group:
            group.create_task(answer_all(connection))
            group.create_task(beat(connection, 0.05))

    socket = await facing(stack, handle)
    await hear_of(socket, Connected)
    assert (socket.heard, socket.answered_at) == (None, None)
    await asyncio.sleep(0.2)
    for _ in range(30):
        await hear_of(socket, TradesHeard)
    assert socket.heard is None
    before = time.monotonic()
    await hear_for(socket, 0.5)
    assert socket.heard is not None
    assert before < socket.heard.monotonic <= time.monotonic()
    assert abs(socket.heard.at - datetime.now(UTC)) < timedelta(seconds=1)
    assert socket.answered_at == datetime(2026, 3, 3, 6, 0, 17, 500_000, tzinfo=UTC)


async def test_a_wait_that_is_cancelled_loses_nothing(stack: AsyncExitStack) -> None:
    exchange = an_exchange()
    socket = await replaying(stack, exchange, snapshot=False)
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    wanted = truth(BITCOIN, NOW, NOW + HOUR)
    heard: list[tuple[Any, ...]] = []
    for _ in range(60):
        exchange.clock.advance(MINUTE)
        for message in await hear_for(socket, 0.004):
            heard += [told(each) for each in trades_of(message)] if isinstance(message, TradesHeard) else []
    while len(heard) < len(wanted):
        heard += [told(each) for each in trades_of(await hear_of(socket, TradesHeard))]
    assert heard == wanted
    assert exchange.calls["sockets"] == 1


# --- clocks and ends ----------------------------------------------------------------------------------------


async def test_a_clock_that_steps_changes_nothing_but_what_is_stamped(
    stack: AsyncExitStack, beats: None
) -> None:
    days = iter(range(10_000))

    def leaping() -> datetime:
        day = next(days)
        return NOW + timedelta(days=day if day % 2 else -day)

    exchange = an_exchange()
    socket = await replaying(stack, exchange, clock=leaping, timing=WATCHFUL)
    socket.listen(["BTC/USD"])
    await subscribed(socket, 1)
    assert not any(isinstance(each, Disconnected) for each in await hear_for(socket, 2 * WATCHFUL.silence))


# The second fills every buffer of the line, so that a request never gets out.
@pytest.mark.parametrize("symbols", [[], ["x" * 1_000_000 + str(number) for number in range(20)]])
async def test_closing_is_quick_and_leaves_nothing_behind(symbols: list[str]) -> None:
    over = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        # A peer that neither reads nor says goodbye.
        connection.transport.pause_reading()
        await over.wait()
        connection.transport.abort()

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        async with KrakenWebSocket(url_of(server), timing=QUICK) as socket:
            socket.listen(symbols)
            await hear_of(socket, Connected)
            await asyncio.sleep(0.1)
            assert len(tasks_of_clients()) == 1
            began = time.monotonic()
        assert time.monotonic() - began < 2
        assert tasks_of_clients() == []
        with pytest.raises(StopAsyncIteration):
            await anext(socket)
        over.set()


def tasks_of_clients() -> list[asyncio.Task[Any]]:
    return [each for each in asyncio.all_tasks() if "KrakenWebSocket" in repr(each)]


async def test_closing_ends_the_iteration_of_another_task(stack: AsyncExitStack) -> None:
    socket = await replaying(stack, an_exchange())

    async def iterate() -> list[type]:
        return [type(message) async for message in socket]

    reading = asyncio.create_task(iterate())
    await asyncio.sleep(0.2)
    await socket.__aexit__(None, None, None)
    async with asyncio.timeout(2):
        assert await reading == [Connected, SystemStatus]


async def test_a_reader_that_is_cancelled_leaves_nothing_behind(stack: AsyncExitStack) -> None:
    server = await stack.enter_async_context(ReplayServer(an_exchange()))

    async def read() -> None:
        async with KrakenWebSocket(server.websocket_url, timing=QUICK) as socket:
            socket.listen(["BTC/USD"])
            async for _ in socket:
                pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.3)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert tasks_of_clients() == []


# --- a recorded gap -----------------------------------------------------------------------------------------


async def test_a_recorded_reconnect_shows_what_it_lost(stack: AsyncExitStack, samples: Path) -> None:
    capture = samples / "ws_v2" / "capture_reconnect_gap_2026-09-08.jsonl"
    connections: list[list[str]] = [[]]
    for line in capture.read_text(encoding="utf-8").splitlines():
        if '"kind":"gap"' in line:
            connections.append([])
        if '"kind":"tick"' in line:
            connections[-1].append(line.split('"payload":', 1)[1][:-1])
    frames = iter(connections[:2])

    async def handle(connection: ServerConnection) -> None:
        for frame in next(frames, []):
            await connection.send(frame)

    socket = await facing(stack, handle, clock=lambda: datetime(2026, 9, 8, 17, tzinfo=UTC))
    heard: list[Any] = []
    while heard.count("lost") < 2:
        message = await hear(socket)
        if isinstance(message, TradesHeard):
            for element in message.elements:
                trade = validate_websocket_trade(element, message.received_at)
                assert isinstance(trade, Trade)
                heard.append((trade.trade_id, trade.volume))
        elif isinstance(message, Disconnected):
            heard.append("lost")
    assert heard == [
        (107165168, Decimal("0.00043459")), (107165169, Decimal("0.0000513")), (107165170, Decimal("0.00013746")),
        "lost", (107165173, Decimal("0.06813934")), "lost",
    ]  # fmt: skip
