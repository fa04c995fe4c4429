"""The client over real sockets: recorded answers to the last digit, broken ones as errors, pacing across processes."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from pytest_django.fixtures import Settings
from redis.asyncio import Redis

from config.env import ROOT
from krakendata.errors import KrakenError, RateLimited, Refused, Unavailable
from krakendata.kraken import pacers
from krakendata.kraken import rest as rest_module
from krakendata.kraken.pacers import LocalPacer, RedisPacer
from krakendata.kraken.pacing import Limits
from krakendata.kraken.rest import Answer, KrakenRest
from krakendata.kraken.wire import TradesPage
from krakendata.management.exchange import open_exchange
from tests.early_databases import start_redis

UNPACED = Limits(0, 0)
EMPTY_PAGE = b'{"error":[],"result":{"XXBTZUSD":[],"last":"1790359841138228746"}}'
SECOND = datetime(2026, 9, 25, 18, 0, tzinfo=UTC)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def answer_of(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Server:
    """A web server that answers every request with `raw`, and then does `afterwards`: nothing, or drop."""

    raw: bytes = answer_of(EMPTY_PAGE)
    is_dropping: bool = False
    drip: float | None = None
    requests: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    connections: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> tuple[str, dict[str, str]]:
        """The last request's path and parameters."""
        parts = urlsplit(self.requests[-1].split(" ")[1])
        return parts.path, dict(parse_qsl(parts.query))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, _, headers = head.decode().partition("\r\n")
                self.requests.append(line)
                self.headers.append(headers)
                await self.send(writer)
                if self.is_dropping:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def send(self, writer: asyncio.StreamWriter) -> None:
        if self.drip is None:
            writer.write(self.raw)
            await writer.drain()
            return
        for number in range(len(self.raw)):
            writer.write(self.raw[number : number + 1])
            await writer.drain()
            await asyncio.sleep(self.drip)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """Serve on a socket of its own, reached without the proxies of the machine."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    served = Server()
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = listening.sockets[0].getsockname()[1]
    yield served
    listening.close()
    for writer in served.connections:
        writer.close()
    await listening.wait_closed()


@pytest.fixture
async def rest(server: Server) -> AsyncIterator[KrakenRest]:
    """Give a client of the server, with short timeouts and no pacing."""
    async with client_of(server) as client:
        yield client


def client_of(server: Server, **options: Any) -> KrakenRest:
    return KrakenRest(server.url, **{"pacer": LocalPacer(UNPACED), "timeout": 10.0, **options})


# --- recorded answers --------------------------------------------------------------------------------------


def recorded(path: Path) -> dict[str, Any]:
    """What a file says, read by another reader than the client's."""
    read: dict[str, Any] = json.loads(path.read_bytes(), parse_float=Decimal)["result"]
    return read


def rows_and_last(path: Path) -> tuple[list[tuple[Any, ...]], str]:
    result = recorded(path)
    last = str(result.pop("last"))
    (rows,) = result.values()
    return [tuple(row) for row in rows], last


TRADES = {
    "trades_XBTUSDT_1000": (
        1000, ("105433.60000", "0.00027625", Decimal("1762795433.9717445"), "b", "l", "", 10218208),
    ),
    "trades_XBTUSD_2013_six_fields": (None, ("1023.82219", "0.00435995", Decimal("1385579841.7774"), "s", "l", "")),
    "trades_since_ns_2021": (5, ("53050.00000", "0.00000004", Decimal("1616666442.304882"), "b", "m", "", 33185856)),
    "trades_since_fractional_2021": (
        5,
        ("53018.10000", "0.04628248", Decimal("1616666442.2951703"), "b", "m", "", 33185849),
    ),
    "trades_3_2026-09": (3, ("83930.30000", "0.00005100", Decimal("1790359840.9392912"), "s", "l", "", 109118758)),
}  # fmt: skip


@pytest.mark.parametrize("name", TRADES)
async def test_recorded_trades_arrive_to_the_last_digit(
    server: Server, rest: KrakenRest, samples: Path, name: str
) -> None:
    path = samples / "rest" / f"{name}.json"
    server.raw = answer_of(path.read_bytes())
    page = (await rest.trades("XBTUSD")).page
    count, first = TRADES[name]
    assert page.rows[0] == first
    assert len(page.rows) == count or count is None
    assert (list(page.rows), page.last) == rows_and_last(path)


CANDLES = {
    "ohlc_XBTUSDT_1m": (721, "1762820160"),
    "ohlc_XBTUSD_1m_2017": (720, None),
    "ohlc_60m_4_2026-09": (4, "1790355600"),
}


@pytest.mark.parametrize("name", CANDLES)
async def test_recorded_candles_arrive_to_the_last_digit(
    server: Server, rest: KrakenRest, samples: Path, name: str
) -> None:
    path = samples / "rest" / f"{name}.json"
    server.raw = answer_of(path.read_bytes())
    page = (await rest.candles("XBTUSD", 1)).page
    count, last = CANDLES[name]
    assert (len(page.rows), page.last) == (count, last or page.last)
    assert (list(page.rows), page.last) == rows_and_last(path)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("rest/asset_pairs_5_2026-09", 5),
        ("rest/asset_pairs_tokenized", None),
        ("pairs/asset_pairs_2025-07", 1114),
    ],
)
async def test_recorded_pairs_arrive_each_under_its_key(
    server: Server, rest: KrakenRest, samples: Path, name: str, count: int | None
) -> None:
    path = samples / f"{name}.json"
    server.raw = answer_of(path.read_bytes())
    found = await rest.asset_pairs()
    assert found.unreadable == {}
    assert [(pair.key, pair.altname) for pair in found.pairs] == [
        (key, facts["altname"]) for key, facts in recorded(path).items()
    ]
    assert len(found.pairs) == count or count is None


async def test_the_recorded_time_and_status_arrive(server: Server, rest: KrakenRest, samples: Path) -> None:
    server.raw = answer_of((samples / "rest/server_time.json").read_bytes())
    assert await rest.server_time() == datetime(2025, 11, 11, 0, 17, 4, tzinfo=UTC)
    server.raw = answer_of((samples / "rest/system_status.json").read_bytes())
    assert await rest.system_status() == "online"


async def test_the_recorded_refusal_is_permanent(server: Server, rest: KrakenRest, samples: Path) -> None:
    server.raw = answer_of((samples / "rest/error_unknown_pair.json").read_bytes())
    with pytest.raises(Refused, match="EQuery:Unknown asset pair"):
        await rest.trades("FOOBAR")


# --- what is asked -----------------------------------------------------------------------------------------


async def test_the_cursor_goes_out_as_it_came(server: Server, rest: KrakenRest) -> None:
    last = (await rest.trades("XBTUSD", since="1616666442304882029")).page.last
    assert server.asked == ("/0/public/Trades", {"pair": "XBTUSD", "since": "1616666442304882029"})
    assert last == "1790359841138228746"


async def test_without_a_cursor_the_newest_are_asked_for(server: Server, rest: KrakenRest) -> None:
    await rest.trades("XBTUSD")
    assert server.asked == ("/0/public/Trades", {"pair": "XBTUSD"})


async def test_candles_are_asked_for_by_minutes_and_seconds(server: Server, rest: KrakenRest) -> None:
    await rest.candles("XBTUSD", 60, since=1790348400)
    assert server.asked == ("/0/public/OHLC", {"pair": "XBTUSD", "interval": "60", "since": "1790348400"})


async def test_the_client_says_who_it_is_and_keeps_its_connection(server: Server, rest: KrakenRest) -> None:
    for _ in range(3):
        await rest.trades("XBTUSD")
    assert len(server.connections) == 1
    assert all("\r\nuser-agent: krakendata/" in f"\r\n{headers.lower()}" for headers in server.headers)


async def test_an_address_may_have_a_path(server: Server) -> None:
    async with KrakenRest(f"{server.url}/kraken/", pacer=LocalPacer(UNPACED)) as client:
        await client.trades("XBTUSD")
    assert server.asked[0] == "/kraken/0/public/Trades"


async def test_proxies_are_those_of_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    async with KrakenRest("http://exchange.invalid", pacer=LocalPacer(UNPACED)) as client:
        await client.trades("XBTUSD")
    assert server.requests == ["GET http://exchange.invalid/0/public/Trades?pair=XBTUSD HTTP/1.1"]


# --- answers that are none ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        answer_of(b"<html>cloudflare</html>", "520 Unknown", "Content-Type: text/html"),
        answer_of(b"<html>we are down</html>", "200 OK", "Content-Type: text/html"),
        answer_of(EMPTY_PAGE[:40]),
        answer_of(b""),
        answer_of(EMPTY_PAGE.decode().encode("utf-16"), "200 OK", "Content-Type: application/json; charset=utf-8"),
        answer_of(b"no gzip", "200 OK", "Content-Encoding: gzip"),
        answer_of(b"", "302 Found", "Location: /elsewhere"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + EMPTY_PAGE,
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
    ids=["520", "html", "truncated", "empty", "utf-16", "gzip", "redirect", "dropped", "gibberish", "silent drop"],
)  # fmt: skip
async def test_what_is_no_answer_is_transient(server: Server, rest: KrakenRest, raw: bytes) -> None:
    server.raw, server.is_dropping = raw, True
    with pytest.raises(Unavailable):
        await rest.trades("XBTUSD")
    server.raw, server.is_dropping = answer_of(EMPTY_PAGE), False
    assert (await rest.trades("XBTUSD")).page == TradesPage((), "1790359841138228746")


async def test_the_charset_of_the_header_does_not_matter(server: Server, rest: KrakenRest) -> None:
    server.raw = answer_of(
        EMPTY_PAGE.replace(b"[]", '["WGeneral:…"]'.encode(), 1), "200 OK", "Content-Type: text/plain; charset=latin-1"
    )  # fmt: skip
    assert (await rest.trades("XBTUSD")).page.rows == ()


async def test_a_compressed_answer_is_read(server: Server, rest: KrakenRest) -> None:
    server.raw = answer_of(gzip.compress(EMPTY_PAGE), "200 OK", "Content-Encoding: gzip")
    assert (await rest.trades("XBTUSD")).page.rows == ()


async def test_a_server_that_says_nothing_is_left(server: Server) -> None:
    server.raw = b""
    async with client_of(server, timeout=0.1) as client:
        with pytest.raises(Unavailable, match="gave no answer .*ReadTimeout"):
            await client.trades("XBTUSD")


async def test_a_server_that_speaks_by_drops_is_left(server: Server) -> None:
    server.raw, server.drip = answer_of(5000 * b" "), 0.02
    async with client_of(server, timeout=0.2) as client:
        with pytest.raises(Unavailable, match="gave no answer .*TimeoutError"):
            await client.trades("XBTUSD")


async def test_a_server_that_is_not_there_is_unavailable(server: Server) -> None:
    async with KrakenRest("http://127.0.0.1:1", pacer=LocalPacer(UNPACED)) as client:
        with pytest.raises(Unavailable, match="gave no answer .*ConnectError"):
            await client.trades("XBTUSD")


async def test_a_body_without_end_is_not_taken_in(
    server: Server, rest: KrakenRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_module, "MAX_BODY_BYTES", 100_000)
    server.raw = answer_of(1_000_000 * b" ")
    with pytest.raises(Unavailable, match="more than 100,000 bytes"):
        await rest.trades("XBTUSD")


# --- times and pacing --------------------------------------------------------------------------------------


@dataclass
class Witness:
    """A pacer that lets everything go and remembers what it was told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    async def wait(self, pair: str | None) -> None:
        self.told.append(("wait", pair))

    async def refused(self, pair: str | None, retry_after: float | None) -> None:
        self.told.append(("refused", pair, retry_after))

    async def answered(self, pair: str | None) -> None:
        self.told.append(("answered", pair))


async def test_an_answer_says_when_it_was_asked_for_and_answered(server: Server) -> None:
    server.raw = answer_of(EMPTY_PAGE, "200 OK", "Date: Fri, 25 Sep 2026 18:00:00 GMT")
    witness = Witness()

    def clock() -> datetime:
        witness.told.append(("clock",))
        return SECOND

    async with client_of(server, pacer=witness, clock=clock) as client:
        answer: Answer[TradesPage] = await client.trades("XBTUSD")
    assert (answer.asked_at, answer.answered_at) == (SECOND, SECOND)
    assert witness.told == [("wait", "XBTUSD"), ("clock",), ("answered", "XBTUSD")]


@pytest.mark.parametrize("headers", [[], ["Date: yesterday"]])
async def test_a_server_without_a_clock_is_believed_without(
    server: Server, rest: KrakenRest, headers: list[str]
) -> None:
    server.raw = answer_of(EMPTY_PAGE, "200 OK", *headers)
    assert (await rest.trades("XBTUSD")).answered_at is None


async def test_a_refusal_is_told_to_the_pacer_by_the_exchanges_clock(server: Server) -> None:
    throttled = f'{{"error":["EService:Throttled: {int(SECOND.timestamp()) + 30}"]}}'.encode()
    server.raw = answer_of(throttled, "200 OK", "Date: Fri, 25 Sep 2026 18:00:10 GMT")
    witness = Witness()
    async with client_of(server, pacer=witness) as client:
        with pytest.raises(RateLimited) as caught:
            await client.trades("XBTUSD")
    assert caught.value.retry_after == 20
    assert witness.told == [("wait", "XBTUSD"), ("refused", "XBTUSD", 20)]


@pytest.mark.parametrize("raw", [answer_of(b"", "502 Bad Gateway"), answer_of(b'{"error":["EQuery:No"]}')])
async def test_other_errors_are_neither_refusals_of_the_rate_nor_answers(server: Server, raw: bytes) -> None:
    server.raw = raw
    witness = Witness()
    async with client_of(server, pacer=witness) as client:
        with pytest.raises(KrakenError):
            await client.asset_pairs()
    assert witness.told == [("wait", None)]


# --- one pacing for many processes -------------------------------------------------------------------------

PER_SECOND, CALLS_EACH, TASKS_EACH = 25, 40, 4

# Waits for a line, so that the processes begin together; prints the moments before the first call and after the last.
CALLER = f"""
import asyncio, sys, time
from krakendata.kraken.pacers import RedisPacer
from krakendata.kraken.pacing import Limits

async def call(pacer):
    for _ in range({CALLS_EACH // TASKS_EACH}):
        await pacer.wait("XBTUSD")
        await pacer.answered("XBTUSD")

async def main(url, exchange):
    async with RedisPacer(url, Limits({PER_SECOND}, 0), exchange=exchange) as pacer:
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.time()
        await asyncio.gather(*(call(pacer) for _ in range({TASKS_EACH})))
        print(began, time.time())

asyncio.run(main(*sys.argv[1:]))
"""


def test_two_processes_keep_one_limit_and_use_it() -> None:
    arguments = [sys.executable, "-c", CALLER, redis_url(), f"test-{uuid4()}"]
    callers = [
        subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for caller in callers:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "ready\n"
    for caller in callers:
        assert caller.stdin is not None
        caller.stdin.write("go\n")
        caller.stdin.flush()
    said = [caller.communicate()[0] for caller in callers]
    assert [caller.returncode for caller in callers] == [0, 0]
    began, ended = zip(*(map(float, line.split()) for line in said), strict=True)
    used = (2 * CALLS_EACH - 1) / (max(ended) - min(began)) / PER_SECOND
    assert 0.9 <= used <= 1


async def test_a_refusal_in_one_process_holds_the_others_back() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        async with Redis.from_url(redis_url()) as redis:
            await redis.delete(f"krakendata:pacing:{exchange}:address")

    exchange = f"test-{uuid4()}"
    async with (
        RedisPacer(redis_url(), UNPACED, exchange=exchange) as one,
        RedisPacer(redis_url(), UNPACED, exchange=exchange, sleep=sleep) as other,
    ):
        await one.refused(None, 300)
        await other.wait("XBTUSD")
    assert slept == [pytest.approx(300, abs=30)]


async def test_counters_do_not_stay_for_ever() -> None:
    exchange = f"test-{uuid4()}"
    async with RedisPacer(redis_url(), exchange=exchange) as pacer:
        await pacer.wait("XBTUSD")
    async with Redis.from_url(redis_url()) as redis:
        lifetimes = [
            await redis.ttl(f"krakendata:pacing:{exchange}:{name}") for name in ("address", "pair:XBTUSD")
        ]
    assert all(0 < lifetime <= 3600 + 10 for lifetime in lifetimes)


def redis_url() -> str:
    return str(django_settings.REDIS_URL)


@dataclass
class Gate:
    """An address of Redis that can be shut and opened, to the same server or to a new one."""

    server: asyncio.Server | None = None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0

    async def open(self, url: str) -> None:
        target = urlsplit(url)

        async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
            self.writers += [writer, far_writer]
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

        self.server = await asyncio.start_server(connect, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.close()
        self.writers.clear()
        await self.server.wait_closed()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def gate_to(url: str) -> AsyncIterator[Gate]:
    gate = Gate()
    await gate.open(url)
    yield gate
    await gate.shut()


@pytest.fixture
def asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a Redis that was away at each call."""
    monkeypatch.setattr(pacers, "AWAY_SECONDS", 0.0)


async def test_a_redis_that_hangs_is_not_asked_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacers, "AWAY_SECONDS", 3600.0)
    asked = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as hanging:
        port = hanging.sockets[0].getsockname()[1]
        async with RedisPacer(f"redis://127.0.0.1:{port}/0", Limits(0, 0), exchange="test") as pacer:
            for _ in range(50):
                await pacer.wait("XBTUSD")
    # One question, asked twice.
    assert len(asked) == 2


async def test_while_redis_is_away_a_process_paces_itself_and_returns_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asked_at_once: None
) -> None:
    caplog.set_level(logging.INFO, "krakendata.kraken.pacers")
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with gate_to(redis_url()) as gate:
        url = f"redis://127.0.0.1:{gate.port}/0"
        async with RedisPacer(url, Limits(0, 0.001), exchange=f"test-{uuid4()}", sleep=sleep) as pacer:
            await pacer.wait(None)
            await pacer.wait(None)
            assert slept == [pytest.approx(1020, abs=30)]
            await gate.shut()
            slept.clear()
            await pacer.wait(None)
            await pacer.wait(None)
            await pacer.answered(None)
            assert slept == [pytest.approx(1020, abs=30)]
            assert [record.message.split(" (")[0] for record in caplog.records] == ["Redis is away"]
            await gate.open(start_redis(tmp_path))
            slept.clear()
            await pacer.wait(None)
            await pacer.wait(None)
            assert slept == [pytest.approx(1020, abs=30)]
            assert [record.message.split(":")[0] for record in caplog.records[1:]] == ["Redis is back"]


class Waits(Exception):
    """A pacer would wait so many seconds."""


async def test_what_was_refused_while_redis_was_away_holds_for_all_when_it_is_back(
    asked_at_once: None,
) -> None:
    async def sleep(seconds: float) -> None:
        raise Waits(seconds)

    exchange = f"test-{uuid4()}"
    async with gate_to(redis_url()) as gate:
        url = f"redis://127.0.0.1:{gate.port}/0"
        async with (
            RedisPacer(url, Limits(0, 0), exchange=exchange, sleep=sleep) as pacer,
            RedisPacer(redis_url(), Limits(0, 0), exchange=exchange, sleep=sleep) as other,
        ):
            await gate.shut()
            await pacer.refused("XBTUSD", 900.0)
            await gate.open(redis_url())
            await pacer.answered(None)
            with pytest.raises(Waits) as waits:
                await other.wait("XBTUSD")
    assert waits.value.args == (pytest.approx(900, abs=30),)


# --- the exchange of the settings --------------------------------------------------------------------------


async def test_the_exchange_of_the_settings_is_paced_in_its_redis(server: Server, settings: Settings) -> None:
    settings.KRAKENDATA = {"KRAKEN_REST_URL": server.url, "KRAKEN_CALLS_PER_SECOND": 100.0}
    async with open_exchange() as exchange:
        await exchange.trades("XBTUSD")
    async with Redis.from_url(redis_url()) as redis:
        assert await redis.exists(f"krakendata:pacing:127.0.0.1:{server.port}:pair:XBTUSD")


async def test_without_redis_the_exchange_is_paced_by_the_process(server: Server, settings: Settings) -> None:
    settings.REDIS_URL = None
    settings.KRAKENDATA = {"KRAKEN_REST_URL": server.url}
    async with open_exchange() as exchange:
        assert (await exchange.trades("XBTUSD")).page.rows == ()
