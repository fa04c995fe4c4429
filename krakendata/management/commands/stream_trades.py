"""`manage.py stream_trades`: the exchange's socket into the database, until it is asked to end."""

import asyncio
import gc
import logging
import os
import signal
import socket as network
from collections.abc import Collection
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from typing import Any

from channels.layers import get_channel_layer
from django.core.management.base import CommandParser

from krakendata.consumers import TradeConsumer
from krakendata.ingest.live import LiveFeed
from krakendata.ingest.writer import DatabaseWriter
from krakendata.kraken.websocket import KrakenWebSocket, Timing
from krakendata.live.announcer import Announcer, Heard
from krakendata.management.command import DeedCommand, database_arguments
from krakendata.management.exchange import open_exchange
from krakendata.options import buffer_limits, max_rejects_kept, websocket_url
from krakendata.storage.queries import read_pairs
from krakendata.storage.sessions import connect
from krakendata.types import Symbols

logger = logging.getLogger(__name__)

# Messages that wait for the consumer: each holds all that came while the one before it was handed over.
MAX_WAITING = 4

# The answer to a ping says until when nothing newer was traded, by the exchange's own clock.
PING_SECONDS = 2.0

# A line of what was heard and written.
TOLD_SECONDS = 10.0

# A service manager kills after ten seconds. Whoever writes gives up before (ingest/writer.py), but a frozen server
# neither takes nor refuses what is said to it, and no connection to it can be closed in good order.
LEAVE_SECONDS = 9.0


class Command(DeedCommand):
    help = (
        "Listen to the tracked pairs on Kraken's WebSocket, write their trades and candles, and tell them to whoever "
        "listens at /live/. Runs until Ctrl-C or SIGTERM; what was missed meanwhile is fetched by REST."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "symbols", nargs="*", metavar="SYMBOL",
            help="only these of the tracked pairs, to share them between several feeds (default: all)",
        )  # fmt: skip
        parser.add_argument("--name", help="what this feed is called (default: host and process)")

    async def run(self, **options: Any) -> dict[str, Any]:
        name = options["name"] or f"{network.gethostname()}:{os.getpid()}"
        symbols = await self._symbols(options["symbols"])
        # What is imported stays to the end, where the interpreter would look through all of it: on a busy machine for
        # three of the ten seconds that a service manager waits.
        gc.freeze()
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(
                DatabaseWriter(
                    database_arguments(),
                    limits=buffer_limits(),
                    max_rejects_kept=max_rejects_kept(),
                    facts={"feed": name},
                )  # fmt: skip
            )
            rest = await stack.enter_async_context(open_exchange())
            socket = await stack.enter_async_context(
                KrakenWebSocket(websocket_url(), timing=Timing(ping=PING_SECONDS))
            )
            queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)
            feed = LiveFeed(
                database_arguments(), socket, writer, rest, queue.put,
                name=name, symbols=symbols, max_rejects_kept=max_rejects_kept(),
            )  # fmt: skip

            announcer = await stack.enter_async_context(
                Announcer(get_channel_layer(), name, heard_by(feed, socket, queue))
            )
            consumer = TradeConsumer.as_asgi(writer=writer, announcer=announcer)
            consuming = asyncio.create_task(consumer({"type": "channel"}, queue.get, _say_nothing))
            await self._feed(feed, writer, consuming)
            # What was heard comes before the end.
            ending = asyncio.ensure_future(queue.put({"type": "feed.ended"}))
            await asyncio.wait([ending, consuming], return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            await consuming
            self.stdout.write("Stopped; what was heard is written. " + _told(feed))
            return {"name": name, **feed.facts()}

    async def _feed(self, feed: LiveFeed, writer: DatabaseWriter, consuming: asyncio.Task[None]) -> None:
        """Feed until Ctrl-C or SIGTERM; a defect on either side of the queue ends it too."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked.set)
        running = asyncio.create_task(feed.run())
        telling = asyncio.create_task(self._tell(feed))
        stopping = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait([running, stopping, consuming], return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.expect_end()
            loop.call_later(LEAVE_SECONDS, _leave, writer)
            for task in (running, telling, stopping):
                task.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            await asyncio.gather(telling, stopping, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await running
        if consuming.done():
            consuming.result()

    async def _tell(self, feed: LiveFeed) -> None:
        while True:
            await asyncio.sleep(TOLD_SECONDS)
            self.stdout.write(_told(feed))
            self.stdout.flush()

    async def _symbols(self, names: Collection[str]) -> frozenset[str] | None:
        if not names:
            return None
        async with connect(database_arguments()) as connection:
            known = Symbols(await read_pairs(connection))
        return frozenset(known.resolve(name) for name in names)


def heard_by(feed: LiveFeed, socket: KrakenWebSocket, queue: asyncio.Queue[dict[str, Any]]) -> Heard:
    """What the pulse says: until when all that was heard is on its way, and of which symbols."""
    heard_at: datetime | None = None

    def heard() -> tuple[datetime | None, Collection[str]]:
        nonlocal heard_at
        if not feed.connected or socket.heard is None:
            return None, ()
        # Candles close by it: what still waits here was heard before, and may belong to them.
        if not feed.is_behind and queue.empty():
            heard_at = socket.heard.at
        return heard_at, feed.subscribed

    return heard


def _told(feed: LiveFeed) -> str:
    facts = feed.facts()
    trades, candles = facts["trades"], facts["candles"]
    return (
        f"{len(feed.listening)} pairs, {'connected' if feed.connected else 'not connected'}: "
        f"{trades['received']:,} trades heard, {trades['stored']:,} stored, {trades['duplicate']:,} duplicate, "
        f"{trades['rejected']:,} rejected, {trades['dropped']:,} dropped; {candles['stored']:,} candles stored; "
        f"{facts['seconds_behind']:.1f} s behind."
    )


def _leave(writer: DatabaseWriter) -> None:
    """End now: what is not written is for the next feed to ask for."""
    logger.error(
        "The database does not answer: left without it, of %d pairs with unwritten trades, which are asked for at the "
        "next start.",
        len(writer.waiting_symbols),
    )
    logging.shutdown()
    os._exit(1)


async def _say_nothing(message: Any) -> None:
    """The consumer has nobody to answer to."""
