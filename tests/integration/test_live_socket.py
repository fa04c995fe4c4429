"""The live socket from outside: a real server, Redis, database and clients; the tests play the feed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from krakendata.candles import fold_trades
from krakendata.consumers import CUT_SECONDS
from krakendata.live_messages import candles_message
from krakendata.types import HistoricalCandle, Trade, bucket_start_ns, ns_of
from tests.live_server import OWN_SYMBOLS, Feed, LiveClient, LiveServer, is_kind, live_server

pytestmark = pytest.mark.slow

SECOND = 10**9
SYMBOLS = iter(OWN_SYMBOLS)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server("krakendata_live_socket") as started:
        yield started


@pytest.fixture
async def feed(server: LiveServer) -> AsyncIterator[Feed]:
    async with Feed(server.redis.url).beating() as feed:
        yield feed


class Market:
    """Trades of a pair of its own, from some minutes before this one on.

    A minute that ended a minute ago is taken for settled; nothing may lie a minute ahead.
    """

    def __init__(self, minutes_ago: int = 2) -> None:
        self.symbol = next(SYMBOLS)
        minute = bucket_start_ns(ns_of(datetime.now(UTC)), 1)
        self.start_ns = minute - minutes_ago * 60 * SECOND

    def trade(self, trade_id: int, seconds: float, price: str = "100") -> Trade:
        ns = self.start_ns + int(seconds * SECOND)
        return Trade(self.symbol, trade_id, ns, Decimal(price), Decimal("0.5"), "buy", "limit")

    def trades(self, first: int, last: int, begin: float, step: float = 1) -> list[Trade]:
        return [self.trade(n, begin + step * (n - first), f"{100 + n % 7}.5") for n in range(first, last + 1)]


@pytest.fixture
def market() -> Market:
    return Market()


def rows_of(message: dict[str, Any]) -> list[tuple[int, int, str]]:
    return [(row["first_id"], row["last_id"], row["state"]) for row in message["data"]]


def final_rows(client: LiveClient) -> dict[str, dict[str, Any]]:
    """What the client knows of each candle in the end."""
    return {
        row["timestamp"]: row
        for message in client.told
        if message.get("channel") == "candles"
        for row in message["data"]
    }


def closings(client: LiveClient) -> dict[str, int]:
    """How often each candle was told closed."""
    counts: dict[str, int] = {}
    for message in client.told:
        for row in message.get("data", []):
            if row.get("state") == "closed":
                counts[row["timestamp"]] = counts.get(row["timestamp"], 0) + 1
    return counts


def assert_is_fold(client: LiveClient, trades: list[Trade]) -> None:
    """Hold what the client knows against the candles of all trades, each closed at most once."""
    found = final_rows(client)
    wanted = {f"{each.timestamp:%Y-%m-%dT%H:%M:%SZ}": each for each in fold_trades(trades)}
    assert sorted(found) == sorted(wanted)
    for start, candle in wanted.items():
        row = found[start]
        for name in ("open", "high", "low", "close", "volume", "turnover"):
            assert Decimal(row[name]) == getattr(candle, name), (start, name)
        assert (row["first_id"], row["last_id"]) == (candle.first_id, candle.last_id)
        assert row["trade_count"] == candle.trade_count
    assert set(closings(client).values()) <= {1}


# --- who may listen ---


async def test_a_stranger_is_turned_away_with_a_sentence(server: LiveServer) -> None:
    async with connect(server.socket_url) as connection:
        assert "Log in" in json.loads(await connection.recv())["error"]
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 4401


async def test_who_is_no_staff_is_turned_away(server: LiveServer) -> None:
    cookie = server.cookie("stranger")
    with server.installation.connect() as connection:
        connection.execute("UPDATE auth_user SET is_staff = false WHERE username = 'stranger'")
    async with connect(server.socket_url, additional_headers={"Cookie": cookie}) as live:
        assert "staff" in json.loads(await live.recv())["error"]
        with pytest.raises(ConnectionClosed):
            await live.recv()
        assert live.close_code == 4403


async def test_staff_without_the_permission_is_refused_the_channel(server: LiveServer) -> None:
    async with server.client("clerk") as client:
        await client.send("subscribe", channel="candles", symbol=["BTC/USD"])
        answer = await client.receive_until(lambda message: "success" in message)
        assert "may not view candles" in answer["error"]


async def test_a_page_of_another_site_is_turned_away(server: LiveServer) -> None:
    headers = {"Cookie": server.cookie(), "Origin": "https://elsewhere.example"}
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(server.socket_url, additional_headers=headers):
            pass
    assert refusal.value.response.status_code == 403


# --- requests ---


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "This is not JSON"),
        ("[" * 40_000, "This is not JSON"),
        (" " * 70_000, "at most 65,536 characters"),
        ("[]", "a JSON object"),
        ('{"method":"buy"}', "Unknown method 'buy'"),
        ('{"method":"subscribe"}', "params is missing"),
        ('{"method":"subscribe","params":{"channel":"book"}}', "Unknown channel 'book': candles or trades"),
        ('{"method":"subscribe","params":{"channel":"trades","symbol":[]}}', "symbol has to be a list"),
        (
            '{"method":"subscribe","params":{"channel":"candles","symbol":"BTC/USD","interval":"2m"}}',
            "Unknown interval '2m'. Known intervals: 1m, 5m",
        ),
        (
            '{"method":"subscribe","params":{"channel":"candles","symbol":"BTC/USD","history":1001}}',
            "from 0 to 1,000",
        ),
        (
            '{"method":"subscribe","params":{"channel":"candles","symbol":["no pair"]}}',
            "Unknown symbol 'no pair'",
        ),
        ('{"method":"unsubscribe","params":{"channel":"candles","symbol":["BTC/USD"]}}', "not subscribed"),
    ],
)
async def test_what_cannot_be_met_is_refused_in_a_sentence(
    server: LiveServer, text: str, sentence: str
) -> None:
    async with server.client() as client:
        await client.connection.send(text)
        answer = await client.receive_until(lambda message: "success" in message)
        assert answer["success"] is False
        assert sentence in answer["error"]


async def test_one_bad_symbol_does_not_spoil_the_others(server: LiveServer, market: Market) -> None:
    await server.write(market.trades(1, 3, 0))
    async with server.client() as client:
        await client.send("subscribe", channel="candles", symbol=["NOPE", market.symbol], req_id=7)
        bad = await client.receive_until(lambda message: message.get("success") is False)
        good = await client.receive_until(lambda message: message.get("success"))
    assert (bad["symbol"], bad["req_id"]) == ("NOPE", 7)
    assert good["result"] == {"channel": "candles", "symbol": market.symbol, "interval": "1m", "history": 100}


async def test_a_pair_in_another_spelling_is_the_same_subscription(
    server: LiveServer, market: Market
) -> None:
    await server.write(market.trades(1, 3, 0))
    async with server.client() as client:
        await client.subscribe(market.symbol)
        await client.send("subscribe", channel="candles", symbol=[market.symbol.replace("/", "")])
        answer = await client.receive_until(lambda message: message.get("success") is False)
        assert "subscribed to this already" in answer["error"]


async def test_ping_is_answered(server: LiveServer) -> None:
    async with server.client() as client:
        await client.send("ping", req_id=3)
        answer = await client.receive_until(lambda message: message.get("method") == "pong")
    assert answer["req_id"] == 3


# --- candles ---


async def test_candles_go_on_from_the_database_without_a_seam(
    server: LiveServer, feed: Feed, market: Market
) -> None:
    stored = market.trades(1, 90, 0)
    await server.write(stored)
    async with server.client() as client:
        (snapshot,) = await client.subscribe(market.symbol, history=10)
        assert rows_of(snapshot) == [(1, 60, "closed"), (61, 90, "forming")]
        live = market.trades(91, 150, 90)
        for place in range(0, len(live), 7):
            await feed.tell(*live[place : place + 7])
        await client.receive_until(lambda message: any(row[1] == 150 for row in rows_of(message)))
        assert [
            row[1] for message in client.told for row in rows_of_safely(message) if row[2] == "closed"
        ] == [60, 120]
        assert final_rows(client)[max(final_rows(client))]["complete"] is True
    assert_is_fold(client, stored + live)


def rows_of_safely(message: dict[str, Any]) -> list[tuple[int, int, str]]:
    return rows_of(message) if message.get("channel") == "candles" else []


async def test_trades_the_feed_has_not_written_yet_are_waited_for(server: LiveServer, feed: Feed) -> None:
    market = Market(minutes_ago=1)
    trades = market.trades(1, 80, 0)
    await server.write(trades[:50])
    async with server.client() as client:
        await client.subscribe(market.symbol)
        await feed.tell(*trades[60:80])
        update = await client.receive_until(is_kind("update"))
        assert {row["complete"] for row in update["data"]} == {False}
        assert not any(row["state"] == "closed" for row in update["data"])
        await server.write(trades[:70])
        await client.receive_until(
            lambda message: any(
                row["state"] != "forming" and row["complete"] and row["last_id"] == 60
                for row in message.get("data", [])
            )
        )
    assert_is_fold(client, trades)


async def test_a_quiet_candle_closes_by_the_pulse(server: LiveServer, feed: Feed, market: Market) -> None:
    await server.write(market.trades(1, 3, 0))
    async with server.client() as client:
        (snapshot,) = await client.subscribe(market.symbol)
        # It ended long ago: nothing that is not written yet can belong to it.
        assert rows_of(snapshot) == [(1, 3, "closed")]
        now = (ns_of(datetime.now(UTC)) - market.start_ns) / SECOND
        await feed.tell(market.trade(4, now))
        await client.receive_until(is_kind("update"))
        late = market.trade(5, now - 60)
        await feed.tell(late)
        update = await client.receive_until(is_kind("update"))
        assert {row["state"] for row in update["data"]} <= {"closed", "forming"}


async def test_candles_of_every_length_come_from_the_same_trades(
    server: LiveServer, feed: Feed, market: Market
) -> None:
    await server.write(market.trades(1, 20, 0))
    async with server.client() as client:
        for interval in ("1m", "5m", "1h", "1d", "1w"):
            (snapshot,) = await client.subscribe(market.symbol, interval=interval)
            assert snapshot["interval"] == interval
        await feed.tell(market.trade(21, 30))
        updates = [await client.receive_until(is_kind("update")) for _ in range(5)]
    assert {message["interval"] for message in updates} == {"1m", "5m", "1h", "1d", "1w"}
    assert all(message["data"][-1]["last_id"] == 21 for message in updates)


def list_pair(server: LiveServer, symbol: str) -> None:
    """Have the exchange list it."""
    base, quote = symbol.split("/")
    names = [symbol, base + quote, base + quote, symbol, base, quote, "online", 2, 8]
    with server.installation.connect() as connection:
        connection.execute(
            "INSERT INTO pairs (symbol, key, altname, wsname, base, quote, status, price_decimals, volume_decimals) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            names,
        )


async def test_pairs_with_candles_only_are_followed_by_their_minutes(
    server: LiveServer, feed: Feed, market: Market
) -> None:
    def minute(n: int, count: int, close: str) -> HistoricalCandle:
        start = datetime.fromtimestamp(market.start_ns / SECOND, UTC) + timedelta(minutes=n)
        prices = Decimal(100), max(Decimal(close), Decimal(100)), Decimal(100), Decimal(close)
        return HistoricalCandle(market.symbol, 1, start, *prices, Decimal(count), Decimal(101 * count), count)

    list_pair(server, market.symbol)
    async with server.client() as client:
        (snapshot,) = await client.subscribe(market.symbol)
        assert snapshot["data"] == []
        await feed.send(candles_message("feed-1", [minute(0, 1, "101")]))
        await feed.send(candles_message("feed-1", [minute(0, 2, "103")]))
        await feed.send(candles_message("feed-1", [minute(1, 1, "102")]))
        await client.receive_until(lambda message: len(final_rows(client)) == 2)
        found = list(final_rows(client).values())
    assert [(row["close"], row["trade_count"], row["vwap"]) for row in found] == [
        ("103", 2, "101"),
        ("102", 1, "101"),
    ]


async def test_nothing_collected_is_said(server: LiveServer, market: Market) -> None:
    list_pair(server, market.symbol)
    async with server.client() as client:
        await client.send("subscribe", channel="candles", symbol=[market.symbol])
        answer = await client.receive_until(lambda message: "success" in message)
    assert answer["success"], answer
    assert answer["result"]["warnings"] == [f"Nothing of {market.symbol} is collected yet."]


async def test_unsubscribing_ends_it(server: LiveServer, feed: Feed, market: Market) -> None:
    await server.write(market.trades(1, 3, 0))
    async with server.client() as client:
        await client.subscribe(market.symbol)
        await client.send("unsubscribe", channel="candles", symbol=[market.symbol], req_id=2)
        answer = await client.receive_until(lambda message: message.get("method") == "unsubscribe")
        assert answer["success"] is True
        await feed.tell(market.trade(4, 5))
        await client.send("ping")
        await client.receive_until(lambda message: message.get("method") == "pong")
    assert not any(message.get("type") == "update" for message in client.told)


# --- trades ---


async def test_trades_are_told_once_each(server: LiveServer, feed: Feed, market: Market) -> None:
    trades = market.trades(1, 20, 0)
    await server.write(trades[:10])
    async with server.client() as client:
        (snapshot,) = await client.subscribe(market.symbol, channel="trades", history=3)
        assert [row["trade_id"] for row in snapshot["data"]] == [8, 9, 10]
        await feed.tell(*trades[8:12])
        await feed.tell(*trades[10:12], trades[14])
        # 13 and 14 are lost on the way, and come from the database.
        await server.write(trades[:15])
        ids: list[int] = []
        while len(ids) < 5:
            ids += [row["trade_id"] for row in (await client.receive_until(is_kind("update")))["data"]]
    assert ids == [11, 12, 15, 13, 14]


# --- troubles ---


async def test_clients_are_told_that_the_feed_is_silent_and_that_it_is_back(
    server: LiveServer, feed: Feed
) -> None:
    async with server.client() as client:
        await client.receive_until(lambda message: message.get("state") == "live")
        feed.is_heard = False
        silent = await client.receive_until(lambda message: message.get("state") == "silent")
        feed.is_heard = True
        live = await client.receive_until(lambda message: message.get("state") == "live")
    assert silent["type"] == "feed"
    assert silent["since"] < live["since"]


async def test_an_idle_subscriber_stays_connected(server: LiveServer, market: Market) -> None:
    await server.write(market.trades(1, 3, 0))
    async with server.client() as client:
        await client.subscribe(market.symbol)
        await asyncio.sleep(8)
        await client.send("ping")
        await client.receive_until(lambda message: message.get("method") == "pong")


async def test_a_restarted_redis_loses_no_candle(server: LiveServer, feed: Feed, market: Market) -> None:
    trades = market.trades(1, 170, 0)
    await server.write(trades[:50])
    async with server.client() as client:
        await client.subscribe(market.symbol)
        await feed.tell(*trades[50:70])
        await client.receive_until(is_kind("update"))
        server.redis.stop()
        # What the feed says now reaches nobody, but is written.
        await server.write(trades[:130])
        await asyncio.sleep(1)
        server.redis.start()
        await asyncio.sleep(3)
        await feed.tell(*trades[140:])
        await server.write(trades[:150])
        await client.receive_until(
            lambda message: any(row["last_id"] == 170 and row["complete"] for row in message.get("data", []))
        )
    assert_is_fold(client, trades)


async def test_a_database_that_ends_all_connections_is_read_again(
    server: LiveServer, feed: Feed, market: Market
) -> None:
    trades = market.trades(1, 100, 0)
    await server.write(trades[:50])
    async with server.client() as client:
        await client.subscribe(market.symbol)
        with server.installation.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await feed.tell(*trades[80:])
        await server.write(trades[:90])
        await client.receive_until(
            lambda message: any(row["last_id"] == 100 and row["complete"] for row in message.get("data", []))
        )
    assert_is_fold(client, trades)


SUBSCRIBERS = 200
# What the kernels of both sides hold for a stuck client is up to 4 MB, an outbox as much: this is more.
ROUNDS, TRADES_A_ROUND = 40, 2_500
MAX_GROWTH = 60_000_000
# What the client's own kernel had taken in already.
MOST_BEFORE_A_RESET = 500_000


async def test_200_subscribers_are_served_while_one_of_them_is_stuck(server: LiveServer, feed: Feed) -> None:
    quiet, busy = Market(), Market()
    stored = quiet.trades(1, 90, 0)
    await server.write(stored + busy.trades(1, 2, 0))
    live = [quiet.trade(91 + n, 90 + n, f"{100 + n % 9}.25") for n in range(ROUNDS)]
    async with asyncio.timeout(300), AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as group:
            barrier = asyncio.Barrier(SUBSCRIBERS)
            followers = (follow(server, quiet.symbol, barrier, ROUNDS) for _ in range(SUBSCRIBERS - 1))
            listening = [group.create_task(follower) for follower in followers]
            await barrier.wait()
            # Only now: uvicorn itself lets a client go that answers no ping for 40 seconds.
            stuck = stack.enter_context(stuck_socket(server, quiet.symbol, busy.symbol))
            await is_subscribed(stuck)
            before = server.memory()
            for n, trade in enumerate(live):
                await feed.tell(trade)
                first = 3 + n * TRADES_A_ROUND
                await feed.tell(*(busy.trade(first + k, 90, "123.456789") for k in range(TRADES_A_ROUND)))
            # A feed writes what it tells; of more trades than it holds back nobody keeps the oldest.
            await server.write(stored + live)
            await is_logged(server, "let a slow client go")
        assert server.memory() - before < MAX_GROWTH
        for task in listening:
            assert_is_fold(task.result(), stored + live)
        await asyncio.sleep(CUT_SECONDS + 2)
        # Not closed in good order, behind all that the server's kernel held, but reset: nothing of it is left there.
        received = 0
        with pytest.raises(ConnectionResetError):
            while received < MOST_BEFORE_A_RESET:
                received += len(stuck.recv(1 << 16))


async def is_subscribed(stuck: socket.socket) -> None:
    """Look at what the kernel holds for it, without taking any."""
    while b'"trades","type":"snapshot"' not in await peek(stuck):  # noqa: ASYNC110 (it is the kernel's)
        await asyncio.sleep(0.1)


async def peek(stuck: socket.socket) -> bytes:
    return await asyncio.to_thread(stuck.recv, 4096, socket.MSG_PEEK)


async def is_logged(server: LiveServer, words: str) -> None:
    while words not in server.log.read_text(encoding="utf-8"):  # noqa: ASYNC110 (another process writes it)
        await asyncio.sleep(0.2)


async def follow(server: LiveServer, symbol: str, barrier: asyncio.Barrier, rounds: int) -> LiveClient:
    async with server.client(open_timeout=100, ping_timeout=None) as client:
        # Two hundred at once take the time that a small machine needs.
        client.patience = 200
        await client.subscribe(symbol, history=50)
        await barrier.wait()
        await client.receive_until(
            lambda told: any(
                row["last_id"] == 90 + rounds and row["complete"] for row in told.get("data", [])
            )
        )
        return client


def stuck_socket(server: LiveServer, *symbols: str) -> socket.socket:
    """A client that subscribes and never reads."""
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", server.port))
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /live/ HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Upgrade: websocket", "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Cookie: {server.cookie()}", "", "",
    ]  # fmt: skip
    stuck.sendall("\r\n".join(lines).encode())
    # uvicorn loses what comes in one piece with the handshake: a busy one did not hear the subscriptions.
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += stuck.recv(1)
    for channel, symbol in zip(("candles", "trades"), symbols, strict=True):
        asked = {"method": "subscribe", "params": {"channel": channel, "symbol": [symbol]}}
        stuck.sendall(masked(json.dumps(asked).encode()))
    return stuck


def masked(payload: bytes) -> bytes:
    """A text frame as clients send them; a mask of zeros changes nothing."""
    length = (
        bytes([0x80 | len(payload)])
        if len(payload) < 126
        else bytes([0x80 | 126, *len(payload).to_bytes(2, "big")])
    )
    return b"\x81" + length + bytes(4) + payload
