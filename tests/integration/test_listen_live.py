"""The client of docs/how-to/listen-live.md, as it stands there."""

import asyncio
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from config import env
from krakendata.types import Trade, bucket_start_ns, ns_of
from tests.live_server import PASSWORD, PATIENCE_SECONDS, USER, Feed, LiveServer, live_server

pytestmark = pytest.mark.slow

SECOND = 10**9


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server("krakendata_listen_live") as started:
        yield started


def trade(trade_id: int, ns: int, price: str) -> Trade:
    return Trade("BTC/USD", trade_id, ns, Decimal(price), Decimal(1), "sell", "market")


def program_text() -> str:
    text = (env.ROOT / "docs/how-to/listen-live.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(program)


async def test_it_connects_again_and_after_4401_logs_in_again() -> None:
    program: dict[str, Any] = {}
    exec(program_text().rsplit("asyncio.run(", 1)[0], program)  # noqa: S102 (our own documentation)
    logins: list[str] = []

    def log_in(url: str, name: str, password: str) -> str:
        logins.append(name)
        return f"sessionid={len(logins)}"

    program["log_in"] = log_in
    codes, cookies, is_there = [1012, 4401], [], asyncio.Event()

    async def answer(connection: ServerConnection) -> None:
        assert connection.request is not None
        cookies.append(connection.request.headers["Cookie"])
        await connection.recv()
        if codes:
            await connection.close(codes.pop(0))
        else:
            is_there.set()
            await connection.wait_closed()

    async with serve(answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        listening = asyncio.create_task(
            program["listen"](f"http://127.0.0.1:{port}", USER, PASSWORD, "BTC/USD")
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            await is_there.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert cookies == ["sessionid=1", "sessionid=1", "sessionid=2"]


async def test_it_prints_the_candles_as_they_close(server: LiveServer, tmp_path: Path) -> None:
    path = tmp_path / "listen.py"
    path.write_text(program_text(), encoding="utf-8")
    start = bucket_start_ns(ns_of(datetime.now(UTC)), 1) - 120 * SECOND
    await server.write([trade(1, start, "100"), trade(2, start + 61 * SECOND, "101")])
    listening = await asyncio.create_subprocess_exec(
        *[sys.executable, str(path), server.url, USER, PASSWORD, "XBTUSD", "nonsense"],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = listening.stdout
    assert output is not None
    async with asyncio.timeout(PATIENCE_SECONDS), Feed(server.redis.url).beating() as feed:
        lines = [(await output.readline()).decode(), (await output.readline()).decode()]
        await feed.tell(trade(3, start + 122 * SECOND, "102"))
        lines.append((await output.readline()).decode())
    listening.kill()
    await listening.communicate()
    assert any("BTC/USD" in line and "100 closed" in line for line in lines), lines
    assert any("Unknown symbol 'nonsense'" in line for line in lines), lines
    assert any("101 closed" in line for line in lines), lines
