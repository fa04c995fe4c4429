"""The live socket as it is served: a uvicorn, with a database and a Redis of its own, and the feed's part played."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.contrib.auth.hashers import make_password
from websockets.asyncio.client import ClientConnection, connect

from config import env
from krakendata.ingest.csv_import import BulkCSVImporter
from krakendata.live_messages import GROUP, pulse_message, trades_message
from krakendata.storage.conninfo import arguments_from_url
from krakendata.types import Trade
from tests.archive_files import write_trades
from tests.early_databases import REDIS_START_SECONDS, redis_command
from tests.free_ports import free_port
from tests.installations import Installation, installed

USER, PASSWORD = "operator", "for these tests only"
START_SECONDS = 30
# What is due comes within this, on a busy machine too.
PATIENCE_SECONDS = 20


@dataclass
class OwnRedis:
    """A Redis that can be stopped and started again at the same port."""

    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = redis_command(self.port, Path(tempfile.gettempdir()))
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port, REDIS_START_SECONDS)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class LiveServer:
    """Where it is, its process, and a session's cookie."""

    installation: Installation
    redis: OwnRedis
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/live/"

    def cookie(self, user: str = USER) -> str:
        """Log in once, as a browser does; give the session's cookie."""
        if user not in self.cookies:
            with httpx.Client(base_url=self.url, timeout=30) as client:
                page = client.get("/admin/login/")
                token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
                assert token is not None
                form = {"csrfmiddlewaretoken": token[1], "username": user, "password": PASSWORD}
                client.post("/admin/login/", data=form)
                self.cookies[user] = client.cookies["sessionid"]
        return f"sessionid={self.cookies[user]}"

    @asynccontextmanager
    async def client(self, user: str = USER, **options: Any) -> AsyncIterator[LiveClient]:
        headers = {"Cookie": self.cookie(user)}
        async with connect(
            self.socket_url, additional_headers=headers, max_size=None, **options
        ) as connection:
            yield LiveClient(connection)

    async def write(self, trades: Sequence[Trade]) -> None:
        """Have them in the database, with the ledger, as a flush of the feed would."""
        with tempfile.TemporaryDirectory() as folder:
            for symbol in sorted({trade.symbol for trade in trades}):
                path = Path(folder, f"{symbol.replace('/', '')}.csv")
                write_trades(path, [trade for trade in trades if trade.symbol == symbol])
            database = arguments_from_url(self.installation.url)
            await BulkCSVImporter(database).import_directory(Path(folder))

    def memory(self) -> int:
        """Bytes of the server's memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


@dataclass
class LiveClient:
    """A client that keeps what it was told."""

    connection: ClientConnection
    patience: float = PATIENCE_SECONDS
    told: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, method: str, **asked: Any) -> None:
        req_id = asked.pop("req_id", None)
        message: dict[str, Any] = {"method": method}
        message |= {"params": asked} if asked else {}
        message |= {"req_id": req_id} if req_id is not None else {}
        await self.connection.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(self.patience):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        self.told.append(message)
        return message

    async def receive_until(self, wanted: Any) -> dict[str, Any]:
        """Give the first message for which `wanted` is true; the patience is for all of them together."""
        async with asyncio.timeout(self.patience):
            while True:
                message = await self.receive()
                if wanted(message):
                    return message

    async def subscribe(self, *symbols: str, channel: str = "candles", **asked: Any) -> list[dict[str, Any]]:
        """Subscribe and give the snapshots."""
        await self.send("subscribe", channel=channel, symbol=list(symbols), **asked)
        return [await self.receive_until(is_kind("snapshot")) for _ in symbols]


def is_kind(kind: str) -> Any:
    return lambda message: message.get("type") == kind


# The pairs that are used up one by one, each by a test of its own, and those that are the same everywhere.
OWN_SYMBOLS = tuple(f"T{chr(65 + n // 26)}{chr(65 + n % 26)}/USD" for n in range(26 * 26))
SYMBOLS = frozenset({"BTC/USD", "ETH/USD", *OWN_SYMBOLS})


class Feed:
    """Plays the feed: pulses every second while `is_heard`, of `symbols`, and trades when told to."""

    def __init__(
        self, redis_url: str, name: str = "feed-1", symbols: frozenset[str] | set[str] = SYMBOLS
    ) -> None:
        self._layer = RedisPubSubChannelLayer(hosts=[{"address": redis_url, "socket_timeout": None}])
        self.name = name
        self.symbols = symbols
        self.is_heard = True

    async def tell(self, *trades: Trade) -> None:
        await self._layer.group_send(GROUP, trades_message(self.name, trades))

    async def send(self, message: dict[str, Any]) -> None:
        await self._layer.group_send(GROUP, message)

    async def beat(self) -> None:
        while True:
            if self.is_heard:
                try:
                    pulse = pulse_message(self.name, datetime.now(UTC), self.symbols)
                    await self._layer.group_send(GROUP, pulse)
                except Exception:
                    # Redis is away for a test's purposes.
                    await asyncio.sleep(0.2)
            await asyncio.sleep(1)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[Feed]:
        task = asyncio.create_task(self.beat())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._layer.flush()


@contextmanager
def feed_in_thread(redis_url: str) -> Iterator[Callable[..., None]]:
    """A feed beside a test that has no event loop of its own; gives what tells trades."""
    loop = asyncio.new_event_loop()

    def live() -> None:
        loop.run_forever()
        # The channel layer has something to run when its loop is closed, for which there must be no other.
        loop.close()

    thread = threading.Thread(target=live)
    thread.start()

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_SECONDS)

    feed = Feed(redis_url)
    beating = feed.beating()
    try:
        asyncio.run_coroutine_threadsafe(beating.__aenter__(), loop).result(PATIENCE_SECONDS)
        yield lambda *trades: run(feed.tell(*trades))
        run_exit = asyncio.run_coroutine_threadsafe(beating.__aexit__(None, None, None), loop)
        run_exit.result(PATIENCE_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def wait_for_port(port: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens at port {port}"
            time.sleep(0.05)
        else:
            return


@contextmanager
def live_server(name: str) -> Iterator[LiveServer]:
    """A server on a new database of this name, with the users that `make_users` makes."""
    redis = OwnRedis(free_port())
    with installed(name) as installation, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        redis.start()
        stack.callback(redis.stop)
        make_users(installation)
        log, port = Path(folder, "log"), free_port()
        process = serve(installation, redis, port, log)
        stack.callback(end, process)
        wait_for_port(port, START_SECONDS)
        yield LiveServer(installation, redis, port, process, log)
        print(log.read_text(encoding="utf-8"))  # noqa: T201 (shown where a test failed)


def make_users(installation: Installation) -> None:
    """A superuser, and two of the staff without any permission, with one password."""
    password = make_password(PASSWORD)
    with installation.connect() as connection:
        for name in (USER, "clerk", "stranger"):
            connection.execute(
                "INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name, last_name, "
                "email, date_joined) VALUES (%s, %s, %s, true, true, '', '', '', now())",
                [name, password, name == USER],
            )


def serve(installation: Installation, redis: OwnRedis, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start uvicorn as the Makefile does."""
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--lifespan", "off"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, "--port", str(port), "--log-level", "warning"],
            cwd=env.ROOT,
            env={**os.environ, "DATABASE_URL": installation.url, "REDIS_URL": redis.url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """End it in good order, or else."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
