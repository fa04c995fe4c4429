"""The hub: one a process, between the channel layer and all who follow.

Two tasks run while anybody follows. One listens: it puts what the feed says where it belongs, at once. The other reads
the database again where something is missing, or may be. Both outlive whatever happens to Redis and to the database.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

from krakendata.errors import KrakenDataError, UnknownSymbol
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.live.outbox import Outbox
from krakendata.live.reading import clock_of_readers
from krakendata.live.replies import feed_state, subscribed
from krakendata.live.requests import Request, Topic, topic_of, unknown_symbol
from krakendata.live.shared import Shared, SharedCandles, SharedTrades, Tape
from krakendata.live_messages import (
    CANDLES,
    GROUP,
    PULSE,
    TRADES,
    candles_of,
    heard_at_of,
    subscribed_of,
    trades_of,
)
from krakendata.management.command import database_arguments
from krakendata.types import ns_of

logger = logging.getLogger(__name__)

# The feed writes what it holds every 5 seconds (REC-001's cycle), and a little more for the writing.
JOIN_SECONDS = 7.0
# A pulse comes every second: where two are missing, trades may be missing too.
PAUSE_SECONDS = 2.5
# From when on clients are told.
SILENT_SECONDS = 5.0
LOOK_SECONDS = 0.5
# Redis comes back within seconds, or somebody is at it.
RETRY_SECONDS = 2.0
MAX_CONNECTIONS = 4

UNKNOWN, LIVE, SILENT = "unknown", "live", "silent"


class Hub:
    """Follows the feed for all who follow here.

    `database` is psycopg's connection arguments, `layer` the channel layer. Everything of it runs in one event loop.
    """

    def __init__(self, database: Mapping[str, Any], layer: Any) -> None:
        self._database = database
        self._layer = layer
        self._provider: HistoricalDataProvider | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._guard = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._is_listening = asyncio.Event()
        self._clients: set[Outbox] = set()
        self._shared: dict[Topic, Shared] = {}
        self._by_symbol: dict[str, list[Shared]] = defaultdict(list)
        self._tape = Tape()
        # Of each feed that lives, when it was last heard (monotonic) and which symbols it named.
        self._pulses: dict[str, tuple[float, frozenset[str]]] = {}
        self._last_pulse = -math.inf
        # Since when nothing of a symbol can have been missed (monotonic): some feed that lives has named it ever since.
        self._heard_since: dict[str, float] = {}
        # Until it is heard, or was not for long enough, nobody can say how the feed is.
        self._started = 0.0
        self._state, self._state_since = UNKNOWN, datetime.now(UTC)

    # --- clients ---

    async def join(self, outbox: Outbox) -> None:
        """A client is there; it is told how the feed is, now and whenever that changes."""
        async with self._guard:
            self._clients.add(outbox)
            if not self._tasks:
                self._started = time.monotonic()
                self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._keep())]
        if self._state != UNKNOWN:
            outbox.put(feed_state(self._state, self._state_since))

    def drop(self, outbox: Outbox) -> None:
        """Tell it nothing more."""
        self._clients.discard(outbox)
        for topic in list(self._shared):
            self.unsubscribe(outbox, topic)

    async def leave(self, outbox: Outbox) -> None:
        """It is gone; when it was the last one, everything stops."""
        self.drop(outbox)
        async with self._guard:
            if not self._clients:
                await self._stop()

    async def topic(self, request: Request, name: str, *, find_closest: bool = True) -> Topic:
        """What the client means by a name, by the list of pairs; with the closest names if wanted.

        Raises BadRequest, and StorageError while the list cannot be read.
        """
        return topic_of(request, name, (await self._open()).symbols, find_closest=find_closest)

    async def subscribe(self, outbox: Outbox, topic: Topic, request: Request) -> None:
        """Have the client told of a topic: yes, then the past, then what comes.

        Raises BadRequest for a pair nobody knows, StorageError when the database cannot be read.
        """
        shared = self._shared.get(topic)
        if shared is None:
            shared = self._shared[topic] = _shared_of(topic)
            self._by_symbol[topic.symbol].append(shared)
        shared.expected += 1
        try:
            # What the feed says has to be heard before the database is read; without Redis there is nothing to hear.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_listening.wait(), RETRY_SECONDS)
            await shared.deepen(
                request.history, await self._open(), self._tape, self._late_from(topic.symbol)
            )
            await outbox.room()
            if outbox in self._clients:
                warnings = [f"Nothing of {topic.symbol} is collected yet."] if shared.is_empty else []
                outbox.put(subscribed(request, topic, warnings))
                shared.follow(outbox, request.history)
        except UnknownSymbol as error:
            raise unknown_symbol(topic.symbol, error) from error
        finally:
            shared.expected -= 1
            self._forget_unused(shared)

    def unsubscribe(self, outbox: Outbox, topic: Topic) -> bool:
        """Have the client told no more; False: it was not told."""
        shared = self._shared.get(topic)
        if shared is None or outbox not in shared.followers:
            return False
        shared.followers.discard(outbox)
        self._forget_unused(shared)
        return True

    def _forget_unused(self, shared: Shared) -> None:
        topic = shared.topic
        if shared.is_unused and self._shared.pop(topic, None) is not None:
            self._by_symbol[topic.symbol].remove(shared)
            if not self._by_symbol[topic.symbol]:
                del self._by_symbol[topic.symbol]

    async def _open(self) -> HistoricalDataProvider:
        # A lock of its own: while the database is away, clients come and go.
        async with self._opening:
            if self._provider is None:
                provider = HistoricalDataProvider(
                    self._database, min_size=1, max_size=MAX_CONNECTIONS, clock=clock_of_readers
                )
                await provider.connect()
                self._provider = provider
            return self._provider

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._is_listening.clear()
        self._heard_since.clear()
        self._pulses.clear()
        self._last_pulse = -math.inf
        self._tape = Tape()
        self._state = UNKNOWN
        provider, self._provider = self._provider, None
        if provider is not None:
            await provider.close()

    # --- what the feed says ---

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except Exception as error:
                # Whatever Redis or its client come up with.
                logger.warning("cannot hear the feed error=%r again_in=%ss", str(error), RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)

    async def _listen_once(self) -> None:
        """Listen until something breaks, or whoever runs this is cancelled."""
        channel = await self._layer.new_channel("krakendata.live.")
        try:
            await self._layer.group_add(GROUP, channel)
            self._is_listening.set()
            while True:
                self._take_safely(await self._layer.receive(channel))
        finally:
            # A Redis that is away must not turn the end of this task into one more error to go on after.
            with suppress(Exception):
                await self._layer.group_discard(GROUP, channel)

    def _take_safely(self, message: Mapping[str, Any]) -> None:
        """Take a message; one of another release, that cannot be read, is passed over."""
        try:
            self._take(message)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            logger.warning("cannot read a message of the feed error=%r", error)

    def _take(self, message: Mapping[str, Any]) -> None:
        """Put one message where it belongs; nothing here waits."""
        kind = message["type"]
        if kind == TRADES:
            self._take_trades(message)
        elif kind == CANDLES:
            for minute in candles_of(message, self._by_symbol):
                for shared in self._by_symbol[minute.symbol]:
                    if isinstance(shared, SharedCandles):
                        shared.take_minutes([minute])
        elif kind == PULSE:
            self._take_pulse(message)

    def _take_trades(self, message: Mapping[str, Any]) -> None:
        trades = trades_of(message, self._by_symbol)
        self._tape.add(trades)
        by_symbol = defaultdict(list)
        for trade in trades:
            by_symbol[trade.symbol].append(trade)
        for symbol, its_trades in by_symbol.items():
            for shared in self._by_symbol[symbol]:
                shared.take(its_trades)

    def _take_pulse(self, message: Mapping[str, Any]) -> None:
        names, heard_ns, now = subscribed_of(message), ns_of(heard_at_of(message)), time.monotonic()
        # A feed that comes back after a pause was away.
        self._judge(now)
        self._pulses[message["feed"]] = now, names
        self._last_pulse = now
        self._judge(now)
        self._tell_state(LIVE)
        for symbol in names.intersection(self._by_symbol):
            for shared in self._by_symbol[symbol]:
                if isinstance(shared, SharedCandles):
                    shared.hear(heard_ns)

    def _judge(self, now: float) -> None:
        """Find which symbols are heard, and doubt those that no feed names any more, or only from now on."""
        self._pulses = {
            feed: (at, names) for feed, (at, names) in self._pulses.items() if now - at <= PAUSE_SECONDS
        }
        heard = frozenset().union(*(names for _, names in self._pulses.values()))
        self._doubt(heard ^ self._heard_since.keys())
        self._heard_since = {symbol: self._heard_since.get(symbol, now) for symbol in heard}

    def _doubt(self, symbols: Iterable[str]) -> None:
        """Something of these may have been missed before now."""
        self._tape.pause(symbols)
        for symbol in symbols:
            for shared in self._by_symbol.get(symbol, ()):
                shared.doubt()

    def _late_from(self, symbol: str) -> float:
        return self._heard_since.get(symbol, math.inf) + JOIN_SECONDS

    def _tell_state(self, state: str) -> None:
        if state == self._state:
            return
        self._state, self._state_since = state, datetime.now(UTC)
        for outbox in self._clients:
            outbox.put(feed_state(state, self._state_since))

    # --- what is to be read again ---

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look_for_silence()
            due = [
                shared
                for shared in self._shared.values()
                if shared.is_due(shared.topic.symbol in self._heard_since)
            ]
            try:
                await self._refresh(due)
            except Exception as error:
                # Without this task nothing would ever be whole again.
                is_known = isinstance(error, KrakenDataError)
                logger.warning("cannot read what clients follow error=%r", str(error), exc_info=not is_known)
                await asyncio.sleep(RETRY_SECONDS)

    def _look_for_silence(self) -> None:
        now = time.monotonic()
        self._judge(now)
        silent_for = now - max(self._last_pulse, self._started)
        if silent_for > SILENT_SECONDS:
            self._tell_state(SILENT)
        if self._state != UNKNOWN:
            # A trade told by a feed that names its pair no more, or not yet, makes nothing whole.
            self._doubt(self._by_symbol.keys() - self._heard_since.keys())

    async def _refresh(self, due: list[Shared]) -> None:
        """Read them again, a few at a time."""
        if not due:
            return
        provider = await self._open()
        waiting = iter(due)

        async def read() -> None:
            for shared in waiting:
                if not shared.is_unused:
                    await shared.refresh(provider, self._tape, self._late_from(shared.topic.symbol))

        readers = (read() for _ in range(MAX_CONNECTIONS - 1))
        for error in await asyncio.gather(*readers, return_exceptions=True):
            if error is not None:
                raise error


def _shared_of(topic: Topic) -> Shared:
    return SharedTrades(topic) if topic.interval is None else SharedCandles(topic, topic.interval)


_HUBS: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of this process's event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _HUBS:
        _HUBS[loop] = Hub(database_arguments(), get_channel_layer())
    return _HUBS[loop]
