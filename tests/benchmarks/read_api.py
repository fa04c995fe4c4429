"""A thousand candles over the HTTP API, beside the provider alone."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from krakendata.api.tokens import READ_CANDLES, digest_of, new_token
from krakendata.gaps import Stretch
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.storage.embedded_redis import start_redis
from tests.benchmarks.questions import RANGE_CANDLES, STEP_MINUTES, quantile
from tests.benchmarks.read_market import SYMBOL
from tests.benchmarks.servers import BenchServer
from tests.free_ports import free_port

# One caller waits for each answer before it asks again; eight keep a process busy.
CALLERS = (1, 8)
# So many answers altogether, however many ask.
WARM_ASKS, ASKS = 50, 400

FORMS = {
    "JSON": "application/json",
    "CSV": "text/csv",
    "Arrow": "application/vnd.apache.arrow.stream",
}
START_SECONDS, LOOK_SECONDS = 60.0, 0.05
# So many that no caller is refused.
REQUESTS_PER_MINUTE = 10_000_000

Ask = Callable[[Stretch], Awaitable[None]]


@dataclass(frozen=True)
class ApiResult:
    """How often a second it answered so many callers, and the milliseconds of each answer."""

    name: str
    callers: int
    rate: float
    milliseconds: Sequence[float]

    @property
    def p99_ms(self) -> float:
        return quantile(self.milliseconds, 0.99)


def measure_api(server: BenchServer, directory: Path, years: Stretch) -> list[ApiResult]:
    """Of the database `ours`; of each number of callers the provider comes first, then the API's forms."""
    redis = start_redis(directory / "redis")
    try:
        with _served(server, redis.url) as url:
            return asyncio.run(_ask_all(server, url, years))
    finally:
        redis.release()


async def _ask_all(server: BenchServer, url: str, years: Stretch) -> list[ApiResult]:
    headers = {"Authorization": f"Bearer {_make_token(server)}"}
    results = []
    async with (
        HistoricalDataProvider(server.url_of("ours")) as provider,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=START_SECONDS) as client,
    ):

        async def ask_provider(stretch: Stretch) -> None:
            found = await provider.get_candles(SYMBOL, "1m", *stretch)
            assert len(found) == RANGE_CANDLES

        # Once beforehand, so that whoever comes first does not read from the disk for the others.
        await _measure("beforehand", max(CALLERS), ask_provider, years)
        for callers in CALLERS:
            results.append(await _measure("provider alone", callers, ask_provider, years))
            for form, kind in FORMS.items():
                results.append(await _measure(f"API, {form}", callers, _asking(client, kind), years))
    return results


def _asking(client: httpx.AsyncClient, kind: str) -> Ask:
    async def ask(stretch: Stretch) -> None:
        parameters: dict[str, Any] = {
            "symbol": SYMBOL,
            "interval": "1m",
            "start": stretch.start.isoformat(),
            "end": stretch.end.isoformat(),
            "limit": RANGE_CANDLES,
        }
        answer = await client.get("/api/v1/candles", params=parameters, headers={"Accept": kind})
        if answer.status_code != httpx.codes.OK:
            raise AssertionError(answer.text)

    return ask


async def _measure(name: str, callers: int, ask: Ask, years: Stretch) -> ApiResult:
    """Each caller takes the next range as soon as it has its answer."""
    minute = timedelta(minutes=1)
    places = (years.end - years.start) // minute - RANGE_CANDLES
    each = ASKS // callers
    ranges = iter(range(WARM_ASKS + ASKS))
    taken: list[float] = []

    async def call(count: int) -> None:
        for _ in range(count):
            start = years.start + next(ranges) * STEP_MINUTES % places * minute
            started = time.perf_counter()
            await ask(Stretch(start, start + RANGE_CANDLES * minute))
            taken.append((time.perf_counter() - started) * 1000)

    await call(WARM_ASKS)
    taken.clear()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call(each))
    return ApiResult(name, callers, len(taken) / (time.perf_counter() - started), taken)


def _make_token(server: BenchServer) -> str:
    token = new_token()
    with server.connect("ours") as connection:
        connection.execute(
            "INSERT INTO api_tokens (name, owner, digest, ending, scopes, requests_per_minute) "
            "VALUES ('benchmark', 'benchmark', %s, %s, jsonb_build_array(%s::text), %s)",
            [digest_of(token), token[-4:], READ_CANDLES, REQUESTS_PER_MINUTE],
        )
    return token


@contextmanager
def _served(server: BenchServer, redis_url: str) -> Iterator[str]:
    """One uvicorn with one worker, as `make run` starts it."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "config.asgi:application",
        "--lifespan",
        "off",
        "--port",
        str(port),
    ]
    environment = server.environment("ours", REDIS_URL=redis_url, SECRET_KEY=secrets.token_urlsafe())
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([*command, "--log-level", "warning"], env=environment) as process:
        try:
            _wait_for(f"{url}/api/v1/health")
            yield url
        finally:
            process.terminate()


def _wait_for(address: str) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(address, timeout=START_SECONDS).raise_for_status()
            return
        except httpx.TransportError:
            if time.monotonic() > ends:
                raise
            time.sleep(LOOK_SECONDS)
