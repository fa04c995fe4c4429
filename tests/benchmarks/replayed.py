"""A replay exchange in a process of its own, so that its work is not taken for that of whom it answers."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from krakendata.kraken.pacing import Limits
from krakendata.replay import histories as histories_made
from krakendata.replay.exchange import NO_LIMITS, ReplayExchange
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MarketPair
from krakendata.replay.server import ReplayServer
from krakendata.types import NS_PER_MINUTE, ns_of
from tests.benchmarks.processes import cpu_seconds

# A busy pair's pace: XBTUSD has had up to so many on its average day.
TRADES_PER_MINUTE = 60.0

SYMBOLS = tuple(
    f"{base}/{quote}"
    for quote in ("USD", "EUR")
    for base in ("BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LTC", "LINK", "AVAX", "ATOM", "ALGO")
)


# So much of a history is made up at a time, unless said otherwise (krakendata/replay/histories.py).
WEEK_HOURS = 7 * 24.0


@dataclass(frozen=True)
class Busy:
    """What is traded: the first `pairs` of SYMBOLS, each at `pace` trades a minute, since `days` ago.

    What is traded from now on is made up too, until `made_hours` after the beginning, or a multiple of that.
    """

    pairs: int
    days: float
    limits: Limits = NO_LIMITS
    pace: float = TRADES_PER_MINUTE
    made_hours: float = WEEK_HOURS

    @property
    def symbols(self) -> Sequence[str]:
        return SYMBOLS[: self.pairs]


@dataclass
class Replayed:
    """An exchange that answers; `calls`, by endpoint and those "refused", are known when it has ended."""

    url: str
    pid: int
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def socket_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/v2"

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


@contextmanager
def replayed(busy: Busy) -> Iterator[Replayed]:
    """Start it, with all of its history made up already, and end it."""
    command = [sys.executable, "-m", "tests.benchmarks.replayed", json.dumps(asdict(busy))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        exchange = Replayed(process.stdout.readline().strip(), process.pid)
        try:
            yield exchange
        finally:
            process.stdin.close()
            exchange.calls = json.loads(process.stdout.read())


async def _serve(busy: Busy) -> None:
    now = datetime.now(UTC)
    histories_made.CHUNK_NS = int(busy.made_hours * 60 * NS_PER_MINUTE)
    histories = [_history(symbol, now - timedelta(days=busy.days), busy.pace) for symbol in busy.symbols]
    for history in histories:
        history.ids(0, ns_of(now) + 1)
    exchange = ReplayExchange(histories, limits=busy.limits)
    async with ReplayServer(exchange) as server:
        print(server.rest_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(exchange.calls))


def _history(symbol: str, start: datetime, pace: float) -> GeneratedHistory:
    return GeneratedHistory(MarketPair(symbol, "", Decimal(1000), 1, 0.05, 8, pace), start)


def _read(text: str) -> Busy:
    given: dict[str, Any] = json.loads(text)
    return Busy(**given | {"limits": Limits(**given["limits"])})


if __name__ == "__main__":
    asyncio.run(_serve(_read(sys.argv[1])))
