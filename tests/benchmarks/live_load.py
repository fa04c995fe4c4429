"""The live path under load, in a process of its own: `python -m tests.benchmarks.live_load LOAD`, as JSON.

Trades or candles through the TradeConsumer, hosted as stream_trades hosts it, into the database that DATABASE_URL
names; prints a Loaded as JSON. Frames are decoded already: what is measured begins where the feed hands them on.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from channels.layers import get_channel_layer

from krakendata.consumers import TradeConsumer
from krakendata.ingest import writer as writing
from krakendata.ingest.live import MOST_ELEMENTS
from krakendata.ingest.writer import DatabaseWriter
from krakendata.live.announcer import Announcer
from krakendata.management.command import database_arguments
from krakendata.management.commands.stream_trades import MAX_WAITING
from tests.benchmarks.live_market import TRADES, Load, Loaded, taking

# As often a socket has something to read on a busy day.
TICK_SECONDS = 0.01


class Batch(NamedTuple):
    """One that was written: how many records, how long that took, how old the oldest was then."""

    size: int
    seconds: float
    age: float


async def put_on(load: Load) -> Loaded:
    """Host the consumer, feed it, and wait until all is written."""
    batches = recorded(load.kind)
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(DatabaseWriter(database_arguments(), facts={"feed": "load"}))
        announcer = await stack.enter_async_context(
            Announcer(get_channel_layer(), "load", lambda: (datetime.now(UTC), ()))
        )
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)
        consumer = TradeConsumer.as_asgi(writer=writer, announcer=announcer)
        consuming = asyncio.create_task(consumer({"type": "channel"}, queue.get, _say_nothing))
        if load.told_seconds:
            telling = asyncio.create_task(tell(batches, load.told_seconds))
            stack.callback(telling.cancel)
        began, cpu = time.monotonic(), time.process_time()
        offered = await offer(load, queue)
        await queue.put({"type": "feed.ended"})
        await consuming
        counts = writer.statistics.trades if load.kind == TRADES else writer.statistics.candles
        return Loaded(
            offered, counts.stored, counts.dropped, time.monotonic() - began, time.process_time() - cpu,
            [each.size for each in batches], [each.seconds for each in batches], [each.age for each in batches],
        )  # fmt: skip


async def offer(load: Load, queue: asyncio.Queue[dict[str, Any]]) -> int:
    """Put messages into the queue while the time lasts; how many records they held.

    At a rate what is late by the queue's waiting comes all the same, and its times say when it was due.
    """
    take = taking(load)
    began, offered = time.monotonic(), 0
    while (passed := time.monotonic() - began) < load.seconds:
        due = min(int(passed * load.rate) - offered, MOST_ELEMENTS) if load.rate else MOST_ELEMENTS
        if due > 0:
            elements = take(due)
            offered += len(elements)
            await queue.put({"type": f"{load.kind}.heard", "elements": elements})
        if load.rate and due < MOST_ELEMENTS:
            await asyncio.sleep(TICK_SECONDS)
    return offered


def recorded(kind: str) -> list[Batch]:
    """Have the writer's batches noted from here on."""
    batches: list[Batch] = []

    def noting(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def write_noted(connection: Any, batch: Any, *others: Any) -> Any:
            records = batch.trades if kind == TRADES else batch
            began = time.monotonic()
            answer = await write(connection, batch, *others)
            age = time.time() - records[0].timestamp.timestamp()
            batches.append(Batch(len(records), time.monotonic() - began, age))
            return answer

        return write_noted

    name = f"write_{kind}"
    setattr(writing, name, noting(getattr(writing, name)))
    return batches


async def tell(batches: list[Batch], seconds: float) -> None:
    """Print what the batches since the last line were like, and forget them."""
    while True:
        await asyncio.sleep(seconds)
        newest = batches[:]
        batches.clear()
        told = {
            "records": sum(each.size for each in newest),
            "batch_seconds": statistics.median(each.seconds for each in newest) if newest else 0.0,
            "age": max((each.age for each in newest), default=seconds),
        }
        print(json.dumps(told), flush=True)


async def _say_nothing(message: Any) -> None:
    """The consumer has nobody to answer to."""


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    print(json.dumps(asdict(asyncio.run(put_on(Load(**json.loads(sys.argv[1])))))))
