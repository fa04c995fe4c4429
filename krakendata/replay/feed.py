"""What happens on the replay exchange, told to everybody who listens: one clock, one reading, any number of sockets."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from krakendata.errors import KrakenDataError
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.frames import (
    Frame,
    RunningCandle,
    Subscription,
    candles_frame,
    instrument_frame,
    trades_frame,
)
from krakendata.replay.histories import History, Row
from krakendata.types import DELISTED, NS_PER_MINUTE, NS_PER_SECOND, Pair

__all__ = ["Feed", "Listener"]

logger = logging.getLogger(__name__)

# How often the clock is looked at: nobody sees a hundredth of a second, and a thousand pairs cost a core's fifth.
LOOK_SECONDS = 0.01

# After the store that is replayed did not answer.
WAIT_SECONDS = 1.0

# What a snapshot holds: trades (kraken-facts 2.2), and candles (nine were seen, 2.4).
SNAPSHOT_TRADES = 50
SNAPSHOT_CANDLES = 9

# As fast as possible the clock goes from one moment with trades to the next, by steps of this at most, and looks so
# far ahead for it: REST may know that much more than a socket has heard.
STEP_NS = NS_PER_SECOND
AHEAD_NS = 60 * NS_PER_MINUTE


class Listener(Protocol):
    """A socket, as the feed knows it."""

    async def tell(self, frame: Frame, waits: bool) -> None:
        """Take a frame to be sent; `waits`: return when there is room, where one too slow would be dropped."""

    def tell_system(self, system: str) -> None:
        """The state of the system has changed."""


class Feed:
    """Tells listeners what the exchange's clock has passed; `run` is the loop that looks at it."""

    def __init__(self, exchange: ReplayExchange) -> None:
        self._exchange = exchange
        self._told_ns = exchange.clock.ns
        # Trades are read, and listeners added, one at a time: who comes hears everything behind his snapshot.
        self._turn = asyncio.Lock()
        self._sockets: set[Listener] = set()
        self._listeners: defaultdict[Subscription, set[Listener]] = defaultdict(set)
        self._candles: dict[Subscription, RunningCandle] = {}
        self._late: list[tuple[int, int, str, Row]] = []
        self._system = exchange.system
        self._listed = {pair.symbol: pair for pair in exchange.listed()}

    async def run(self) -> None:
        """Tell for ever."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                async with self._turn:
                    await self._look()
            except KrakenDataError as error:
                logger.warning("feed waits error=%s", error)
                await asyncio.sleep(WAIT_SECONDS)
            # Half of the time belongs to those who ask.
            is_busy = self._exchange.clock.is_unbound and self._listeners
            await asyncio.sleep(0 if is_busy else max(LOOK_SECONDS, loop.time() - started))

    # --- listeners -----------------------------------------------------------------------------------------

    def enter(self, socket: Listener) -> None:
        """A socket is there, and is told of the system."""
        self._sockets.add(socket)

    async def leave(self, socket: Listener) -> None:
        """A socket is gone."""
        self._sockets.discard(socket)
        async with self._turn:
            for subscription, listeners in list(self._listeners.items()):
                if socket in listeners:
                    self._remove(socket, subscription)

    async def subscribe(self, socket: Listener, subscription: Subscription, snapshot: bool) -> None:
        """Let a socket hear a channel, from a snapshot on if it wants one."""
        async with self._turn:
            if snapshot:
                await socket.tell(await self._snapshot(subscription), waits=True)
            if subscription not in self._listeners:
                await self._begin(subscription)
            self._listeners[subscription].add(socket)

    async def unsubscribe(self, socket: Listener, subscription: Subscription) -> bool:
        """Let a socket hear a channel no more; whether it heard it."""
        async with self._turn:
            heard = socket in self._listeners.get(subscription, ())
            if heard:
                self._remove(socket, subscription)
            return heard

    def _remove(self, socket: Listener, subscription: Subscription) -> None:
        listeners = self._listeners[subscription]
        listeners.discard(socket)
        if not listeners:
            del self._listeners[subscription]
            self._candles.pop(subscription, None)

    async def _snapshot(self, subscription: Subscription) -> Frame:
        exchange, told = self._exchange, self._told_ns
        if subscription.channel == "instrument":
            return instrument_frame("snapshot", exchange.listed())
        history = exchange.histories[subscription.symbol]
        if subscription.channel == "trade":
            rows = await exchange.newest(history, SNAPSHOT_TRADES, told)
            return trades_frame("snapshot", history.pair, self._judged(rows))
        length = subscription.minutes * NS_PER_MINUTE
        first = (told // length - SNAPSHOT_CANDLES + 1) * length
        bars = await exchange.bars(history, subscription.minutes, first, told)
        return candles_frame("snapshot", history.pair, subscription.minutes, bars, told)

    async def _begin(self, subscription: Subscription) -> None:
        """What is to be known before a channel is heard for the first time."""
        channel, symbol, _minutes = subscription
        if channel == "ohlc":
            await self._restart(subscription, self._told_ns, self._told_ns)
        if channel != "instrument" and not self._is_heard(symbol):
            history = self._exchange.histories[symbol]
            for row in await self._exchange.hidden(history, self._told_ns):
                self._hold(history.pair, row)

    def _is_heard(self, symbol: str) -> bool:
        return any(each.symbol == symbol for each in self._listeners)

    # --- telling -------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        clock = self._exchange.clock
        if clock.is_unbound:
            await self._step()
        now = clock.ns
        self._tell_system()
        await self._tell_listed()
        if now < self._told_ns:
            # The clock was set back: what is told again would not be news.
            self._candles.clear()
        elif now > self._told_ns and self._system == "online":
            for frame, listeners in await self._frames(now):
                await self._tell(frame, listeners)
        self._told_ns = now

    async def _step(self) -> None:
        """Move the clock to where something happens next; without listeners it stands still."""
        symbols = {each.symbol for each in self._listeners if each.symbol}
        if not symbols:
            return
        limit = self._told_ns + AHEAD_NS
        nexts = [limit - STEP_NS, *(due for due, *_ in self._late[:1])]
        for symbol in symbols:
            rows = await self._exchange.histories[symbol].oldest(self._told_ns, limit, 1)
            nexts += [row.ns for row in rows]
        self._exchange.clock.set_ns(max(min(nexts), self._told_ns) + STEP_NS)

    async def _tell(self, frame: Frame, listeners: Iterable[Listener]) -> None:
        waits = self._exchange.clock.is_unbound
        for listener in tuple(listeners):
            await listener.tell(frame, waits)

    def _tell_system(self) -> None:
        if self._system != self._exchange.system:
            self._system = self._exchange.system
            for socket in self._sockets:
                socket.tell_system(self._system)

    async def _tell_listed(self) -> None:
        listed = {pair.symbol: pair for pair in self._exchange.listed()}
        if listed == self._listed:
            return
        gone = [
            replace(pair, status=DELISTED) for symbol, pair in self._listed.items() if symbol not in listed
        ]
        new = [pair for symbol, pair in listed.items() if symbol not in self._listed]
        self._listed = listed
        await self._tell(
            instrument_frame("update", [*new, *gone]), self._listeners.get(Subscription("instrument"), ())
        )

    async def _frames(self, now: int) -> list[tuple[Frame, set[Listener]]]:
        """What happened since the last look, in the order in which it is to be told."""
        told: list[tuple[int, Frame, set[Listener]]] = []
        for symbol in sorted({each.symbol for each in self._listeners if each.symbol}):
            history = self._exchange.histories[symbol]
            rows = await self._exchange.between(history, self._told_ns, now)
            for order in _orders(self._without_late(history.pair, rows)):
                told += self._tell_order(history, order[-1].ns, order, await self._running(history, order))
        while self._late and self._late[0][0] <= now:
            when, _number, symbol, row = heapq.heappop(self._late)
            told += await self._tell_late(self._exchange.histories[symbol], when, row, now)
        told.sort(key=lambda each: each[0])
        return [(frame, listeners) for _when, frame, listeners in told]

    def _without_late(self, pair: Pair, rows: Sequence[Row]) -> list[Row]:
        """The rows that are told in time; the others are held."""
        faults = self._exchange.faults
        if not faults.late_every:
            return list(rows)
        for row in rows:
            if faults.is_late(row.trade_id):
                self._hold(pair, row)
        return [row for row in rows if not faults.is_late(row.trade_id)]

    def _hold(self, pair: Pair, row: Row) -> None:
        heapq.heappush(self._late, (self._exchange.shown_ns(row), row.trade_id, pair.symbol, row))

    def _tell_order(
        self, history: History, when: int, rows: Sequence[Row], candles: Sequence[Subscription]
    ) -> list[tuple[int, Frame, set[Listener]]]:
        told = []
        trade = self._listeners.get(Subscription("trade", history.pair.symbol))
        if trade:
            told.append((when, trades_frame("update", history.pair, self._judged(rows)), trade))
        for subscription in candles:
            bar = self._candles[subscription].bar(history.pair.price_decimals)
            frame = candles_frame("update", history.pair, subscription.minutes, [bar], rows[-1].ns)
            told.append((when, frame, self._listeners[subscription]))
        return told

    async def _tell_late(
        self, history: History, when: int, row: Row, now: int
    ) -> list[tuple[int, Frame, set[Listener]]]:
        """A trade that comes late changes the candle of its own time, as a whole."""
        candles = self._candle_subscriptions(history)
        running = {each: self._candles.get(each) for each in candles}
        for subscription in candles:
            await self._restart(subscription, row.ns, now)
        told = self._tell_order(history, when, [row], candles)
        for subscription, candle in running.items():
            if candle is not None and candle.start_ns > self._candles[subscription].start_ns:
                self._candles[subscription] = candle
        return told

    async def _running(self, history: History, rows: Sequence[Row]) -> list[Subscription]:
        """The candles that are listened to, with the trades of an order taken in."""
        candles = self._candle_subscriptions(history)
        for subscription in candles:
            length = subscription.minutes * NS_PER_MINUTE
            start = rows[0].ns // length * length
            candle = self._candles.get(subscription)
            if start >= self._told_ns and (candle is None or candle.start_ns < start):
                self._candles[subscription] = RunningCandle(start, None)
            elif candle is None or candle.start_ns != start:
                await self._restart(subscription, start, rows[0].ns)
            self._candles[subscription].add(rows)
        return candles

    async def _restart(self, subscription: Subscription, ns: int, now: int) -> None:
        """Begin the candle of the time `ns` with what there is of it before `now`."""
        length = subscription.minutes * NS_PER_MINUTE
        start = ns // length * length
        history = self._exchange.histories[subscription.symbol]
        bars = await self._exchange.bars(history, subscription.minutes, start, now)
        self._candles[subscription] = RunningCandle(
            start, next((b for b in bars if b.start_ns == start), None)
        )

    def _candle_subscriptions(self, history: History) -> list[Subscription]:
        symbol = history.pair.symbol
        return [each for each in self._listeners if each.channel == "ohlc" and each.symbol == symbol]

    def _judged(self, rows: Iterable[Row]) -> list[tuple[Row, str | None]]:
        return [(row, self._exchange.faults.malformation(row.trade_id)) for row in rows]


def _orders(rows: Sequence[Row]) -> list[list[Row]]:
    """The fills of each taker order: of one nanosecond and one side (kraken-facts 2.3)."""
    return [list(order) for _key, order in groupby(rows, key=lambda row: (row.ns, row.side))]
