"""The replay exchange's WebSocket: what Kraken's v2 says on a socket, and what it refuses (kraken-facts 2)."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress
from typing import Any, NamedTuple

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.feed import Feed
from krakendata.replay.frames import HEARTBEAT, Answering, Frame, Subscription, status_frame
from krakendata.replay.rest import OHLC_MINUTES
from krakendata.types import is_symbol

__all__ = ["WebSocketApi"]

HEARTBEAT_SECONDS = 1.0

# A socket that hears nothing is closed after a minute (kraken-facts 2.1).
IDLE_SECONDS = 60.0

# Frames that wait for a socket: more than a sweep of every pair, and a bound for who does not read. A lone frame of
# a busy second is a few hundred bytes.
MAX_WAITING = 20_000

# Who has so many waiting and takes none for so long does not read, and is closed.
SLOW_SECONDS = 1.0

CHANNELS = ("trade", "ohlc", "instrument")
PRIVATE = ("executions", "balances", "level3")

NOT_SUPPORTED = "Currency pair not supported "
NOT_ISO = "Currency pair not in ISO 4217-A3 format "
NO_CHANNEL = "Subscription name invalid"
NO_SYMBOLS = "Symbol(s) not found"
NO_INTERVAL = "Subscription ohlc interval not supported"
NOT_SUBSCRIBED = "Subscription Not Found"
IS_PRIVATE = "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"
MALFORMED = "Malformed request"

# Close codes: come again later (also for who is too slow), gone away.
TRY_AGAIN, GOING_AWAY = 1013, 1001
TOO_MANY_REQUESTS = 429


class WebSocketApi:
    """Answers on `/v2` for an exchange; `feed` tells what happens there."""

    def __init__(self, exchange: ReplayExchange, feed: Feed) -> None:
        self._exchange = exchange
        self._feed = feed

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its handshake to its end."""
        exchange = self._exchange
        address = websocket.client.host if websocket.client else ""
        exchange.calls["sockets"] += 1
        if exchange.counters.refuses_connection(address):
            exchange.calls["refused"] += 1
            await websocket.send_denial_response(Response(status_code=TOO_MANY_REQUESTS))
            return
        await websocket.accept()
        if exchange.faults.strikes("socket_refusal"):
            await websocket.close(TRY_AGAIN)
            return
        await _Socket(websocket, exchange, self._feed).live()


class Refusal(Exception):
    """A request that is refused as a whole, in Kraken's words."""


class Asked(NamedTuple):
    """A request to hear something, or no more: each symbol (empty: the channel has none), and how."""

    channel: str
    symbols: tuple[str, ...]
    minutes: int
    snapshot: bool


class _Socket:
    """One client: what it asks, and the frames that wait to be sent to it."""

    def __init__(self, websocket: WebSocket, exchange: ReplayExchange, feed: Feed) -> None:
        self._websocket = websocket
        self._exchange = exchange
        self._feed = feed
        self._waiting: asyncio.Queue[Frame] = asyncio.Queue()
        self._is_sending = False
        # Set whenever a frame was sent, and at the end.
        self._moved = asyncio.Event()
        self._ending = asyncio.Event()
        self._close_code: int | None = None
        self._is_silent = False
        self._subscribed: set[Subscription] = set()
        # More than a signed 64-bit number holds, as the real ones.
        self._connection_id = random.getrandbits(63) + 2**63  # noqa: S311 (a name, not a secret)

    async def live(self) -> None:
        """Talk until either side ends it; without a code there is no goodbye, as when a line breaks."""
        self.tell(status_frame(self._exchange.system, self._connection_id))
        self._feed.enter(self)
        tasks = [asyncio.create_task(each) for each in (self._send(), self._receive(), self._end())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Whoever tells a frame finds the socket gone, and waits for no room in it.
            self._end_it()
            await self._feed.leave(self)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
        if self._close_code is not None:
            # The other side may have gone in the meantime.
            with suppress(WebSocketDisconnect):
                await self._websocket.close(self._close_code)

    # --- what it is told -----------------------------------------------------------------------------------

    def tell(self, frame: Frame) -> None:
        """Queue a frame. Faults strike those with news: the frame is lost with the socket, or comes twice."""
        faults = self._exchange.faults
        if frame.is_news and faults.strikes("socket_drop"):
            self._end_it()
        if frame.is_news and faults.strikes("socket_silence"):
            self._is_silent = True
        if self._ending.is_set() or self._is_silent:
            return
        if self._waiting.qsize() >= 2 * MAX_WAITING:
            # Answers and snapshots too are for those who read.
            self._close(TRY_AGAIN)
        self._waiting.put_nowait(frame)
        if frame.is_news and faults.strikes("socket_duplicate"):
            self._waiting.put_nowait(frame)

    async def room(self) -> None:
        """Return when fewer than MAX_WAITING frames wait; who sends none for SLOW_SECONDS is closed."""
        while self._waiting.qsize() >= MAX_WAITING and not self._ending.is_set():
            self._moved.clear()
            try:
                async with asyncio.timeout(SLOW_SECONDS):
                    await self._moved.wait()
            except TimeoutError:
                self._close(TRY_AGAIN)

    async def sent(self) -> None:
        """Return when no frame waits any more, however slow the other side is."""
        while (self._is_sending or not self._waiting.empty()) and not (
            self._ending.is_set() or self._is_silent
        ):
            self._moved.clear()
            await self._moved.wait()

    def tell_system(self, system: str) -> None:
        """The system is in maintenance now, or back."""
        self.tell(status_frame(system, self._connection_id))

    def _close(self, code: int) -> None:
        self._close_code = code
        self._end_it()

    def _end_it(self) -> None:
        self._ending.set()
        self._moved.set()

    async def _end(self) -> None:
        """Wait for what ends the socket from our side, the server's own end included."""
        closing = asyncio.ensure_future(self._exchange.closing.wait())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait([closing, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            ending.cancel()
        if not self._ending.is_set():
            self._close_code = GOING_AWAY

    async def _send(self) -> None:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    frame = await self._waiting.get()
            except TimeoutError:
                if not self._subscribed or self._is_silent:
                    continue
                frame = Frame(HEARTBEAT)
            self._is_sending = True
            try:
                await self._websocket.send_text(frame.text)
            except WebSocketDisconnect:
                return
            finally:
                self._is_sending = False
                self._moved.set()

    # --- what it asks --------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            try:
                async with asyncio.timeout(None if self._subscribed else IDLE_SECONDS):
                    message = await self._websocket.receive()
            except TimeoutError:
                self._close(GOING_AWAY)
                return
            if message["type"] == "websocket.disconnect":
                return
            await self._answer(message.get("text") or "")

    async def _answer(self, text: str) -> None:
        time_in = self._exchange.clock.now
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        req_id = request.get("req_id")
        answering = Answering(
            str(request.get("method", "")),
            req_id if isinstance(req_id, int) else None,
            time_in,
            self._exchange.clock.now,
        )
        answered_ns = self._exchange.clock.ns
        match request.get("method"):
            case "ping":
                # Its time tells the client that no older trade is under way.
                await self._feed.has_told(answered_ns)
                self.tell(answering.pong())
            case "subscribe" | "unsubscribe" as method:
                try:
                    asked = _read(request.get("params"))
                except Refusal as refusal:
                    self.tell(answering.refused(str(refusal)))
                    return
                change = self._subscribe if method == "subscribe" else self._unsubscribe
                for symbol in asked.symbols:
                    await change(asked, symbol, answering)
            case _:
                self.tell(answering.refused(MALFORMED))

    async def _subscribe(self, asked: Asked, symbol: str, answering: Answering) -> None:
        if symbol and not self._is_listed(symbol):
            wrong = NOT_SUPPORTED if is_symbol(symbol) else NOT_ISO
            self.tell(answering.refused(f"{wrong}{symbol}", symbol))
            return
        subscription = Subscription(asked.channel, symbol, asked.minutes)
        self.tell(answering.acknowledged(subscription, asked.snapshot))
        await self._feed.subscribe(self, subscription, asked.snapshot)
        self._subscribed.add(subscription)

    async def _unsubscribe(self, asked: Asked, symbol: str, answering: Answering) -> None:
        subscription = Subscription(asked.channel, symbol, asked.minutes)
        if not await self._feed.unsubscribe(self, subscription):
            self.tell(answering.refused(NOT_SUBSCRIBED, symbol))
            return
        self._subscribed.discard(subscription)
        self.tell(answering.acknowledged(subscription, snapshot=False))

    def _is_listed(self, symbol: str) -> bool:
        """Sockets know a pair by its symbol alone, in that very spelling."""
        history = self._exchange.find(symbol)
        return history is not None and history.pair.symbol == symbol


def _read(params: Any) -> Asked:
    """What a request asks for; raises Refusal."""
    asked: dict[str, Any] = params if isinstance(params, dict) else {}
    channel = asked.get("channel")
    if channel in PRIVATE:
        raise Refusal(IS_PRIVATE)
    if channel not in CHANNELS:
        raise Refusal(NO_CHANNEL)
    minutes = asked.get("interval", 1) if channel == "ohlc" else 0
    if channel == "ohlc" and (type(minutes) is not int or minutes not in OHLC_MINUTES):
        raise Refusal(NO_INTERVAL)
    # Trades come without a snapshot unless one is asked for, the others with one (kraken-facts 2.2).
    snapshot = asked.get("snapshot", channel != "trade") is True
    if channel == "instrument":
        return Asked(channel, ("",), 0, snapshot)
    symbols = asked.get("symbol")
    if not isinstance(symbols, list) or not symbols or not all(isinstance(each, str) for each in symbols):
        raise Refusal(NO_SYMBOLS)
    return Asked(str(channel), tuple(dict.fromkeys(symbols)), minutes, snapshot)
