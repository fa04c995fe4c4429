"""How long a trade takes from the exchange to whoever listens at /live/, and to whoever reads the database."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.processes import run
from tests.benchmarks.replayed import SYMBOLS, Busy, Replayed, replayed
from tests.benchmarks.servers import BenchServer
from tests.free_ports import free_port

# 50 trades a second in all: more than Kraken has on most days.
PAIRS, TRADES_PER_MINUTE = 20, 150.0

# Before it is listened to, for the snapshots; what comes while it is measured is made up before too.
HISTORY_DAYS, MADE_HOURS = 0.01, 1.0

MEASURED_SECONDS, LEAST_SECONDS = 60.0, 15.0

# The newest of the trades that count are given twice the writer's cycle to arrive.
ARRIVAL_SECONDS = 10.0

# Far below what is measured.
LOOK_SECONDS = 0.02

PATIENCE_SECONDS = 60.0
USER = "listener"

Key = tuple[str, int]


@dataclass(frozen=True)
class LatencyResult:
    """Seconds from the exchange's time of a trade until it was at `place`."""

    place: str
    seconds: list[float]

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[min(int(len(self.seconds) * share), len(self.seconds) - 1)]


def measure_latency(server: BenchServer, redis_url: str, scale: float) -> list[LatencyResult]:
    """The latencies of the very same trades at both places."""
    server.make_database("ours")
    symbols = SYMBOLS[:PAIRS]
    seconds = max(MEASURED_SECONDS * scale, LEAST_SECONDS)
    busy = Busy(PAIRS, HISTORY_DAYS, pace=TRADES_PER_MINUTE, made_hours=MADE_HOURS)
    with replayed(busy) as exchange, _programs(server, exchange, redis_url, symbols) as web:
        return asyncio.run(_listen(server, web, symbols, seconds))


@dataclass(frozen=True)
class _Web:
    """Where the live socket is, and a login's cookie."""

    port: int
    cookie: str


@contextmanager
def _programs(
    server: BenchServer, exchange: Replayed, redis_url: str, symbols: Sequence[str]
) -> Iterator[_Web]:
    """The feed and the web server at work."""
    port, password = free_port(), secrets.token_urlsafe()
    environment = server.environment(
        "ours",
        REDIS_URL=redis_url,
        KRAKEN_REST_URL=exchange.url,
        KRAKEN_WEBSOCKET_URL=exchange.socket_url,
        DJANGO_SUPERUSER_PASSWORD=password,
    )
    manage = [sys.executable, "manage.py"]
    run([*manage, "createsuperuser", "--no-input", f"--username={USER}", "--email="], environment)
    run([*manage, "track", *symbols], environment)
    web = [
        sys.executable,
        "-m",
        "uvicorn",
        "config.asgi:application",
        "--lifespan",
        "off",
        "--port",
        str(port),
    ]
    with ExitStack() as stack:
        for command in ([*manage, "stream_trades"], [*web, "--log-level", "warning"]):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            stack.enter_context(process)
            stack.callback(process.terminate)
        yield _Web(port, _log_in(f"http://127.0.0.1:{port}", password))


def _log_in(url: str, password: str) -> str:
    """Log in as a browser does, once the server is there; the session's cookie."""
    ends = time.monotonic() + PATIENCE_SECONDS
    with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:
        while True:
            try:
                page = client.get("/admin/login/")
                break
            except httpx.TransportError:
                if time.monotonic() > ends:
                    raise
                time.sleep(LOOK_SECONDS)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "username": USER, "password": password}
        client.post("/admin/login/", data=form)
        return f"sessionid={client.cookies['sessionid']}"


@dataclass
class _Arrivals:
    """When each trade happened, and when it was first seen at a place (seconds since the epoch)."""

    happened: dict[Key, float] = field(default_factory=dict)
    seen: dict[Key, float] = field(default_factory=dict)

    def note(self, symbol: str, trade_id: int, happened: datetime, seen: float) -> None:
        self.happened[symbol, trade_id] = happened.timestamp()
        self.seen.setdefault((symbol, trade_id), seen)

    def result(self, place: str, begin: float, end: float) -> LatencyResult:
        return LatencyResult(
            place, [self.seen[key] - at for key, at in self.happened.items() if begin <= at < end]
        )


async def _listen(
    server: BenchServer, web: _Web, symbols: Sequence[str], seconds: float
) -> list[LatencyResult]:
    """Listen at both places; trades count that happened while both were listened to, and all have to arrive."""
    told, queryable = _Arrivals(), _Arrivals()
    origin = f"http://127.0.0.1:{web.port}"
    async with connect(
        f"ws://127.0.0.1:{web.port}/live/", additional_headers={"Cookie": web.cookie, "Origin": origin}
    ) as client:
        await _subscribe(client, symbols)
        begin = time.time()
        end = begin + seconds
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            looking = asyncio.to_thread(_look, server, symbols, queryable, end + ARRIVAL_SECONDS)
            hearing = asyncio.create_task(_hear(client, told))
            await looking
            hearing.cancel()
    results = [
        told.result("a subscriber's socket", begin, end),
        queryable.result("a `SELECT`", begin, end),
    ]
    if len({len(result.seconds) for result in results}) > 1 or not results[0].seconds:
        raise AssertionError([(result.place, len(result.seconds)) for result in results])
    return results


async def _subscribe(client: ClientConnection, symbols: Sequence[str]) -> None:
    """Subscribe for the trades of all, and wait until one of them is told."""
    await client.send(
        json.dumps({"method": "subscribe", "params": {"channel": "trades", "symbol": list(symbols)}})
    )
    answered: set[str] = set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            message = json.loads(await client.recv())
            if message.get("success") is False:
                raise AssertionError(message)
            answered |= {message["result"]["symbol"]} if "result" in message else set()
            if message.get("type") == "update" and len(answered) == len(symbols):
                return


async def _hear(client: ClientConnection, told: _Arrivals) -> None:
    async for text in client:
        now = time.time()
        message = json.loads(text)
        for row in message.get("data", ()) if message.get("channel") == "trades" else ():
            told.note(message["symbol"], row["trade_id"], datetime.fromisoformat(row["timestamp"]), now)


def _look(server: BenchServer, symbols: Sequence[str], queryable: _Arrivals, until: float) -> None:
    """Read what is new in the table, again and again."""
    new = (
        "SELECT symbol, trade_id, timestamp FROM trades t JOIN unnest(%s::text[], %s::bigint[]) AS newest (name, id) "
        "ON t.symbol = newest.name WHERE t.trade_id > newest.id AND t.timestamp > %s"
    )
    newest = dict.fromkeys(symbols, 0)
    since = datetime.now(UTC) - timedelta(seconds=ARRIVAL_SECONDS)
    with server.connect("ours") as connection:
        while time.time() < until:
            values: tuple[Any, ...] = (list(newest), list(newest.values()), since)
            rows = connection.execute(new, values).fetchall()
            now = time.time()
            for symbol, trade_id, happened in rows:
                queryable.note(symbol, trade_id, happened, now)
                newest[symbol] = max(newest[symbol], trade_id)
            since = max(since, datetime.now(UTC) - timedelta(seconds=ARRIVAL_SECONDS))
            time.sleep(LOOK_SECONDS)
