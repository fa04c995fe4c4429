"""The replay exchange on a port: REST, WebSocket, and its own paths for changing faults and the clock while it runs."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from krakendata.replay.clock import speed_of, speed_told
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.feed import Feed
from krakendata.replay.rest import RestApi
from krakendata.replay.websocket import WebSocketApi

__all__ = ["ReplayServer"]

# Calls that hang on purpose are told when the server closes; nothing else takes as long.
CLOSING_SECONDS = 2

BACKLOG = 2048


class ReplayServer:
    """Serves an exchange on `host` and `port` (0: a free one).

        async with ReplayServer(exchange) as server:    in this event loop
        with ReplayServer(exchange).in_thread() as server:    in one of its own, for code that blocks

    Inside, `rest_url` and `websocket_url` are where it is to be reached: by TLS with a `certificate` (the files of the
    certificate and of its key). Raises OSError when the port is taken or a file cannot be read.
    """

    def __init__(
        self,
        exchange: ReplayExchange,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.exchange = exchange
        self.host, self.port = host, port
        self._certificate = certificate
        self._feed = Feed(exchange)
        self._application = application(exchange, self._feed)

    @property
    def rest_url(self) -> str:
        """What stands for https://api.kraken.com."""
        return f"{'https' if self._certificate else 'http'}://{self._netloc}"

    @property
    def websocket_url(self) -> str:
        """What stands for wss://ws.kraken.com/v2."""
        return f"{'wss' if self._certificate else 'ws'}://{self._netloc}/v2"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._listener = self._listen()
        self._server = _Server(self._config())
        self._task = asyncio.create_task(self._server.serve([self._listener]))
        while not self._server.started:
            if self._task.done():
                await self._task
            await asyncio.sleep(0.001)
        self._telling = asyncio.create_task(self._feed.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.exchange.closing.set()
        self._server.should_exit = True
        await self._task
        self._telling.cancel()
        with suppress(asyncio.CancelledError):
            await self._telling
        self._listener.close()
        self.exchange.closing.clear()

    async def wait(self) -> None:
        """Return when the server has ended; raises what ended it."""
        await asyncio.wait([self._task, self._telling], return_when=asyncio.FIRST_COMPLETED)
        if self._telling.done():
            self._telling.result()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from an event loop in a thread of its own."""
        started, failures = threading.Event(), []
        loop = asyncio.new_event_loop()
        ending = asyncio.Event()

        async def serve() -> None:
            try:
                async with self:
                    started.set()
                    await ending.wait()
            except BaseException as error:
                # Raised where somebody waits for it.
                failures.append(error)
            finally:
                started.set()

        thread = threading.Thread(target=loop.run_until_complete, args=[serve()], name="replay", daemon=True)
        thread.start()
        started.wait()
        try:
            if not failures:
                yield self
        finally:
            if not failures:
                loop.call_soon_threadsafe(ending.set)
            thread.join()
            loop.close()
        if failures:
            raise failures[0]

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        return listener

    def _config(self) -> uvicorn.Config:
        certificate, key = self._certificate or (None, None)
        return uvicorn.Config(
            _with_date(self._application, self.exchange),
            lifespan="off",
            log_config=None,
            access_log=False,
            # The clock's, not the machine's.
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )


class _Server(uvicorn.Server):
    """Leaves signals to the process it runs in."""

    def capture_signals(self) -> Any:
        return nullcontext()


def application(exchange: ReplayExchange, feed: Feed) -> Starlette:
    """The exchange as an ASGI application; `feed` has to run beside it."""
    rest, sockets, control = RestApi(exchange), WebSocketApi(exchange, feed), _Control(exchange)
    return Starlette(
        routes=[
            Route("/0/public/{endpoint}", rest.answer, methods=["GET", "POST"]),
            WebSocketRoute("/v2", sockets.serve),
            Route("/replay/faults", control.faults, methods=["GET", "POST", "DELETE"]),
            Route("/replay/clock", control.clock, methods=["GET", "POST"]),
        ]
    )


class _Control:
    """The paths that Kraken does not have."""

    def __init__(self, exchange: ReplayExchange) -> None:
        self._exchange = exchange

    async def faults(self, request: Request) -> JSONResponse:
        """GET: the faults as they are. POST: change some of them, given as an object. DELETE: none any more."""
        faults = self._exchange.faults
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            try:
                faults.change(await _object(request))
            except ValueError as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse(faults.as_dict())

    async def clock(self, request: Request) -> JSONResponse:
        """GET: the exchange's time and speed. POST: set `now` (ISO 8601, with a time zone), `speed`, or both."""
        clock = self._exchange.clock
        if request.method == "POST":
            try:
                asked = await _object(request)
                now = datetime.fromisoformat(asked["now"]) if "now" in asked else clock.now
                speed = speed_of(asked["speed"]) if "speed" in asked else clock.speed
                clock.set(now)
                clock.speed = speed
            except (TypeError, ValueError) as error:
                return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"now": clock.now.isoformat(), "speed": speed_told(clock.speed)})


async def _object(request: Request) -> dict[str, Any]:
    try:
        asked = json.loads(await request.body())
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        raise ValueError('The body has to be a JSON object, such as {"html_520": 0.1}.')
    return asked


def _with_date(app: ASGIApp, exchange: ReplayExchange) -> ASGIApp:
    """Give every answer the Date of the exchange's clock."""

    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = format_datetime(exchange.clock.now, usegmt=True).encode()
                message["headers"] = [*message.get("headers", []), (b"date", date)]
            await send(message)

        await app(scope, receive, send_dated)

    return dated
