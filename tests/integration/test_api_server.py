"""The HTTP API as it is served: a uvicorn, a database and a Redis of its own, and clients as others write them."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from websockets.asyncio.client import connect

from config import env
from krakendata.api.tokens import SCOPES, digest_of, new_token
from krakendata.types import Trade, bucket_start_ns, ns_of
from tests.live_server import LiveClient, LiveServer, is_kind, live_server

pytestmark = pytest.mark.slow

SECOND = 10**9
# Enough to find what a parameter that is passed on unchecked does; a campaign of thousands finds no more.
EXAMPLES = 150
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = ["candles", "trades", "coverage", "symbols", "health"]


@dataclass(frozen=True)
class Served:
    """A server with three hours of BTC/USD, a trade every minute, and a token."""

    server: LiveServer
    token: str
    start: datetime

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def root(self) -> str:
        return f"{self.server.url}/api/v1/"


def write_token(server: LiveServer, scopes: list[str], per_minute: int | None) -> str:
    token = new_token()
    with server.installation.connect() as connection:
        connection.execute(
            "INSERT INTO api_tokens (name, owner, digest, ending, scopes, requests_per_minute) "
            "VALUES ('tests', 'tester', %s, %s, %s, %s)",
            [digest_of(token), token[-4:], Jsonb(scopes), per_minute],
        )
    return token


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with live_server("krakendata_api") as server:
        start_ns = bucket_start_ns(ns_of(datetime.now(UTC)), 60) - 4 * 3600 * SECOND
        trades = [
            Trade(
                "BTC/USD",
                n + 1,
                start_ns + n * 60 * SECOND,
                Decimal(100 + n % 7),
                Decimal("0.1"),
                "buy",
                "limit",
            )
            for n in range(180)
        ]
        asyncio.run(server.write(trades))
        token = write_token(server, list(SCOPES), 1_000_000)
        yield Served(server, token, trades[0].timestamp)


@pytest.fixture
async def client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.root, headers=served.headers, timeout=30) as client:
        yield client


async def test_it_is_served_in_pages_to_many_at_once(served: Served, client: httpx.AsyncClient) -> None:
    async def all_rows() -> list[dict[str, Any]]:
        asked: dict[str, Any] = {
            "symbol": "XBTUSD",
            "interval": "1m",
            "start": served.start.isoformat(),
            "limit": 50,
        }
        rows = []
        while True:
            page = (await client.get("candles", params=asked)).json()
            rows += page["candles"]
            if page["next"] is None:
                return rows
            asked["cursor"] = page["next"]

    answers = await asyncio.gather(*(all_rows() for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert [row["first_id"] for row in answers[0]] == list(range(1, 181))


async def test_what_is_final_is_not_sent_twice(served: Served, client: httpx.AsyncClient) -> None:
    asked = {"symbol": "BTC/USD", "interval": "1h", "start": served.start.isoformat(), "limit": "2"}
    first = await client.get("candles", params=asked)
    again = await client.get("candles", params=asked, headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


async def test_a_token_is_limited_over_every_connection(served: Served) -> None:
    # So few that none more runs in while they are asked.
    token = write_token(served.server, ["read:candles"], 2)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=served.root, headers=headers, timeout=30) as client:
        found = await asyncio.gather(*(client.get("symbols") for _ in range(8)))
    assert sorted(each.status_code for each in found) == [200] * 2 + [429] * 6


async def test_a_token_opens_the_live_socket(served: Served) -> None:
    async with connect(served.server.socket_url, additional_headers=served.headers) as connection:
        client = LiveClient(connection)
        await client.send("subscribe", channel="candles", symbol=["BTC/USD"], interval="1h", history=2)
        snapshot = await client.receive_until(is_kind("snapshot"))
    assert [row["state"] for row in snapshot["data"]][:2] == ["closed", "closed"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
# Of health there is nothing to ask.
@pytest.mark.parametrize("name", OPERATIONS[:-1])
def test_whatever_is_asked_is_answered_as_described(name: str, mode: GenerationMode, served: Served) -> None:
    schema = schemathesis.openapi.from_url(f"{served.root}openapi.json")
    operation = schema.find_operation_by_id(name)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        response = case.call(base_url=served.server.url, headers=served.headers)
        case.validate_response(response, checks=CHECKS)

    ask()


WORDS = st.sampled_from(
    ["BTC/USD", "XBTUSD", "DOGE/USD", "NOPE", "1m", "1h", "1mo", "7m", "2024-01-31", "\0", "é", "-1", "0"]
)
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
NAMES = st.sampled_from(
    ["symbol", "interval", "start", "end", "limit", "cursor", "include_open", "tracked", "other"]
)

# What a header can hold at all.
ACCEPTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.strip)


@pytest.mark.parametrize("name", OPERATIONS)
def test_nonsense_of_every_kind_has_an_answer_in_shape(name: str, served: Served) -> None:
    with httpx.Client(base_url=served.root, headers=served.headers, timeout=30) as client:

        @settings(max_examples=EXAMPLES, deadline=None)
        @given(st.dictionaries(NAMES, WORDS | MOMENTS | st.text(max_size=80)), ACCEPTS)
        def ask(asked: dict[str, str], accept: str) -> None:
            response = client.get(name, params=asked, headers={"Accept": accept})
            assert response.status_code in (200, 400, 404, 406, 422), response.text
            if response.status_code != 200:
                assert set(response.json()) <= {"error", "message", "field"}

        ask()


# --- the examples of docs/how-to/use-the-api.md -------------------------------------------------------------


def example(language: str) -> list[str]:
    text = (env.ROOT / "docs/how-to/use-the-api.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def told(command: list[str], served: Served, text: str | None = None) -> str:
    variables = {
        "KRAKENDATA": served.server.url,
        "TOKEN": served.token,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    done = subprocess.run(
        command, input=text, env=variables, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_commands_work(served: Served) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shown = example("sh")
    assert len(shown) >= 4
    for command in shown:
        output = told(["sh", "-ec", command], served)
        assert '"error"' not in output
        assert output.strip()


def test_the_javascript_works(served: Served) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    (program,) = example("js")
    rows = told([node, "--input-type=module", "-"], served, program).splitlines()
    assert json.loads(rows[-1])["count"] == 180


async def test_a_database_that_closed_every_connection_is_found_again(
    served: Served, client: httpx.AsyncClient
) -> None:
    """The last one: it breaks every connection."""
    with served.server.installation.connect() as connection:
        connection.autocommit = True
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
    response = await client.get("health")
    assert response.status_code == 200
