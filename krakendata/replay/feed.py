"""What happens on the replay exchange, told to everybody who listens: one clock, one reading, any number of sockets."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple, Protocol

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
from krakendata.types import DELISTED, NS_PER_MINUTE, NS_PER_SECOND

__all__ = ["Feed", "Listener"]

logger = logging.getLogger(__name__)

# How often the clock is looked at: nobody sees a hundredth of a second, and a thousand pairs cost a core's fifth.
LOOK_SECONDS = 0.01

# After something went wrong, such as a store that did not answer.
WAIT_SECONDS = 1.0

# What a snapshot holds: trades (kraken-facts 2.2), and candles (nine were seen, 2.4).
SNAPSHOT_TRADES = 50
SNAPSHOT_CANDLES = 9

# As fast as possible the clock goes from one moment with trades to the next, by steps of this at most, and looks so
# far ahead for it: REST may know that much more than a socket has been sent.
STEP_NS = NS_PER_SECOND
AHEAD_NS = 60 * NS_PER_MINUTE


class Listener(Protocol):
    """A socket, as the feed knows it."""

    def tell(self, frame: Frame) -> None:
        """Take a frame to be sent."""

    async def room(self) -> None:
        """Return when it takes more frames, or is gone; one that sends nothing for a while is made to go."""

    async def sent(self) -> None:
        """Return when it has sent every frame, or is gone."""

    def tell_system(self, system: str) -> None:
        """The state of the system has changed."""


class _Told(NamedTuple):
    """A frame, the moment it belongs to, and who hears it."""

    ns: int
    frame: Frame
    listeners: set[Listener]


class _Late(NamedTuple):
    """A trade that is told later than it happened, at `shown_ns`."""

    shown_ns: int
    symbol: str
    row: Row


class Feed:
    """Tells listeners what the exchange's clock has passed; `run` is the loop that looks at it."""

    def __init__(self, exchange: ReplayExchange) -> None:
        self._exchange = exchange
        self._told_ns = exchange.clock.ns
        # Trades are read, and listeners added, one at a time: who comes hears everything behind his snapshot.
        self._turn = asyncio.Lock()
        self._sockets: set[Listener] = set()
        self._listeners: defaultdict[Subscription, set[Listener]] = defaultdict(set)
        # The candles that are forming, as they were told last, and what is told late.
        self._candles: dict[Subscription, RunningCandle] = {}
        self._late: list[_Late] = []
        self._system = exchange.system
        self._listed = {pair.symbol: pair for pair in exchange.listed()}

    async def run(self) -> None:
        """Tell for ever; a look that fails changes nothing, and is taken again."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                async with self._turn:
                    await self._look()
            except KrakenDataError as error:
                logger.warning("feed waits error=%s", error)
                await asyncio.sleep(WAIT_SECONDS)
                continue
            except Exception:
                logger.exception("feed failed, and goes on")
                await asyncio.sleep(WAIT_SECONDS)
                continue
            # Half of the time belongs to those who ask.
            is_busy = self._exchange.clock.is_unbound and self._heard
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
            late = self._late
            if subscription.symbol and subscription.symbol not in self._heard:
                late = self._late + await self._hidden([subscription.symbol])
            if snapshot:
                socket.tell(await self._snapshot(subscription))
            self._late = late
            self._listeners[subscription].add(socket)

    async def unsubscribe(self, socket: Listener, subscription: Subscription) -> bool:
        """Let a socket hear a channel no more; whether it heard it."""
        async with self._turn:
            heard = socket in self._listeners.get(subscription, ())
            if heard:
                self._remove(socket, subscription)
            return heard

    async def has_told(self, ns: int) -> None:
        """Return when everything that happened by `ns` is among the frames of those who hear it."""
        while True:
            async with self._turn:
                # Nobody waits for a moment from which the clock was set back.
                if self._told_ns >= min(ns, self._exchange.clock.ns):
                    return
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def _heard(self) -> set[str]:
        """The symbols that somebody hears of."""
        return {each.symbol for each in self._listeners if each.symbol}

    def _remove(self, socket: Listener, subscription: Subscription) -> None:
        listeners = self._listeners[subscription]
        listeners.discard(socket)
        if not listeners:
            del self._listeners[subscription]
            self._candles.pop(subscription, None)
            heard = self._heard
            self._late = [each for each in self._late if each.symbol in heard]

    async def _snapshot(self, subscription: Subscription) -> Frame:
        exchange, told = self._exchange, self._told_ns
        if subscription.channel == "instrument":
            return instrument_frame("snapshot", exchange.listed())
        history = exchange.histories[subscription.symbol]
        if subscription.channel == "trade":
            rows = await exchange.newest(history, SNAPSHOT_TRADES, told, told)
            return trades_frame("snapshot", history.pair, self._judged(rows))
        length = subscription.minutes * NS_PER_MINUTE
        first = (told // length - SNAPSHOT_CANDLES + 1) * length
        bars = await exchange.bars(history, subscription.minutes, first, told)
        return candles_frame("snapshot", history.pair, subscription.minutes, bars, told)

    # --- looking -------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        if self._exchange.clock.is_unbound:
            await self._step()
        now = self._exchange.clock.ns
        self._tell_system()
        await self._tell_listed()
        if now < self._told_ns or self._system != "online":
            # Set back, or nothing is told meanwhile: what is to come is seen from here.
            self._told_ns = now
            self._candles.clear()
            self._late = await self._hidden(self._heard)
            return
        if now == self._told_ns:
            return
        told, self._candles, self._late = await self._happened(now)
        self._told_ns = now
        for each in told:
            await self._tell(each.frame, each.listeners)

    async def _step(self) -> None:
        """Move the clock to where something happens next; without listeners it stands still."""
        if not self._heard:
            return
        limit = self._told_ns + AHEAD_NS
        nexts = [limit - STEP_NS, *(each.shown_ns for each in self._late)]
        for symbol in self._heard:
            rows = await self._exchange.histories[symbol].oldest(self._told_ns, limit, 1)
            nexts += [row.ns for row in rows]
        self._exchange.clock.set_ns(max(min(nexts), self._told_ns) + STEP_NS)

    async def _tell(self, frame: Frame, listeners: Iterable[Listener]) -> None:
        hearing = tuple(listeners)
        for listener in hearing:
            listener.tell(frame)
        for listener in hearing:
            await (listener.sent() if self._exchange.clock.is_unbound else listener.room())

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

    # --- what happened -------------------------------------------------------------------------------------

    async def _happened(self, now: int) -> tuple[list[_Told], dict[Subscription, RunningCandle], list[_Late]]:
        """What is to be told of the time since the last look, and the candles and late trades as they are then."""
        candles = {each: candle.copy() for each, candle in self._candles.items()}
        told: list[_Told] = []
        late: list[_Late] = []
        for symbol in sorted(self._heard):
            history = self._exchange.histories[symbol]
            rows = await self._exchange.between(history, self._told_ns, now)
            held = [each for each in self._late if each.symbol == symbol]
            held += self._to_be_late(symbol, rows)
            late += [each for each in held if each.shown_ns > now]
            due = [(each.shown_ns, [each.row], True) for each in held if each.shown_ns <= now]
            orders = [(order[0].ns, order, False) for order in _orders(self._in_time(rows))]
            for ns, order, is_late in sorted([*orders, *due], key=lambda each: each[0]):
                told += await self._told_order(history, ns, order, is_late, candles)
        told.sort(key=lambda each: each.ns)
        return told, candles, late

    async def _told_order(
        self,
        history: History,
        ns: int,
        order: Sequence[Row],
        is_late: bool,
        candles: dict[Subscription, RunningCandle],
    ) -> list[_Told]:
        told = []
        pair = history.pair
        trade = self._listeners.get(Subscription("trade", pair.symbol))
        if trade:
            told.append(_Told(ns, trades_frame("update", pair, self._judged(order)), trade))
        for subscription in self._candle_subscriptions(pair.symbol):
            candle = await self._with_order(history, subscription, ns, order, is_late, candles)
            if not candle.is_empty:
                bar = candle.bar(pair.price_decimals)
                frame = candles_frame("update", pair, subscription.minutes, [bar], order[-1].ns)
                told.append(_Told(ns, frame, self._listeners[subscription]))
        return told

    async def _with_order(
        self,
        history: History,
        subscription: Subscription,
        ns: int,
        order: Sequence[Row],
        is_late: bool,
        candles: dict[Subscription, RunningCandle],
    ) -> RunningCandle:
        """The candle of an order with its trades taken in; a late trade's is read anew, as its place is inside."""
        length = subscription.minutes * NS_PER_MINUTE
        start = order[0].ns // length * length
        candle = candles.get(subscription)
        if is_late:
            found = await self._read_candle(history, subscription, start, ns + 1)
        elif candle is not None and candle.start_ns == start:
            found = candle
        elif start >= self._told_ns:
            found = RunningCandle(start, None)
        else:
            found = await self._read_candle(history, subscription, start, order[0].ns)
        if not is_late:
            found.add(order)
        if candle is None or candle.start_ns <= start:
            candles[subscription] = found
        return found

    async def _read_candle(
        self, history: History, subscription: Subscription, start: int, now: int
    ) -> RunningCandle:
        """The candle that begins at `start` with the trades shown before `now`."""
        bars = await self._exchange.bars(history, subscription.minutes, start, now)
        return RunningCandle(start, next((bar for bar in bars if bar.start_ns == start), None))

    def _candle_subscriptions(self, symbol: str) -> list[Subscription]:
        return [each for each in self._listeners if each.channel == "ohlc" and each.symbol == symbol]

    async def _hidden(self, symbols: Iterable[str]) -> list[_Late]:
        """What has happened by the last look and is still to be told."""
        late = []
        for symbol in symbols:
            rows = await self._exchange.hidden(self._exchange.histories[symbol], self._told_ns)
            late += self._to_be_late(symbol, rows)
        return late

    def _to_be_late(self, symbol: str, rows: Sequence[Row]) -> list[_Late]:
        exchange = self._exchange
        return [_Late(exchange.shown_ns(r), symbol, r) for r in rows if exchange.faults.is_late(r.trade_id)]

    def _in_time(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if not self._exchange.faults.is_late(row.trade_id)]

    def _judged(self, rows: Iterable[Row]) -> list[tuple[Row, str | None]]:
        return [(row, self._exchange.faults.malformation(row.trade_id)) for row in rows]


def _orders(rows: Sequence[Row]) -> list[list[Row]]:
    """The fills of each taker order: of one nanosecond and one side (kraken-facts 2.3)."""
    return [list(order) for _key, order in groupby(rows, key=lambda row: (row.ns, row.side))]
