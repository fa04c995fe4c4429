"""What the feed has just heard, told on the channel layer; nobody who listens can slow the feed."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from krakendata.live_messages import GROUP, candles_message, pulse_message, trades_message
from krakendata.types import HistoricalCandle, Trade

logger = logging.getLogger(__name__)

# What comes within so long is one message: far below what anyone notices, and 20 messages a second at most.
GATHER_SECONDS = 0.05

PULSE_SECONDS = 1.0

# A second of the busiest market; what a layer does not take by then is told to nobody: listeners see it by the ids, and
# read it from the database.
MOST_WAITING = 20_000

Heard = Callable[[], tuple[datetime | None, Collection[str]]]


class Announcer:
    """Tells trades and candles as they come, and each second that the exchange is heard; an async context manager.

    `layer` is a channel layer, `feed` the feed's name, `heard` gives when the exchange was last heard (None: it is not)
    and which symbols it has agreed to tell of.
    """

    def __init__(self, layer: Any, feed: str, heard: Heard) -> None:
        self.lost = 0
        self._layer = layer
        self._feed = feed
        self._heard = heard
        self._trades: list[Trade] = []
        self._candles: list[HistoricalCandle] = []
        self._has_some = asyncio.Event()
        self._is_away = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(each) for each in (self._tell_all(), self._tell_pulse())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def announce_trades(self, trades: Sequence[Trade]) -> None:
        """Tell these within an instant."""
        self._trades += trades
        self._gather()

    def announce_candles(self, candles: Sequence[HistoricalCandle]) -> None:
        """Likewise."""
        self._candles += candles
        self._gather()

    def _gather(self) -> None:
        for waiting in (self._trades, self._candles):
            if len(waiting) > MOST_WAITING:
                self.lost += len(waiting) - MOST_WAITING
                del waiting[:-MOST_WAITING]
        if self._trades or self._candles:
            self._has_some.set()

    async def _tell_all(self) -> None:
        while True:
            await self._has_some.wait()
            self._has_some.clear()
            trades, self._trades = self._trades, []
            candles, self._candles = self._candles, []
            if trades:
                await self._tell(trades_message(self._feed, trades))
            if candles:
                await self._tell(candles_message(self._feed, candles))
            await asyncio.sleep(GATHER_SECONDS)

    async def _tell_pulse(self) -> None:
        while True:
            heard_at, subscribed = self._heard()
            if heard_at is not None:
                await self._tell(pulse_message(self._feed, heard_at, subscribed))
            await asyncio.sleep(PULSE_SECONDS)

    async def _tell(self, message: dict[str, Any]) -> None:
        """Send it; while the layer is away it is lost, as whoever listens can do without it."""
        try:
            await self._layer.group_send(GROUP, message)
        except Exception as error:  # whatever a layer raises, the feed goes on
            if not self._is_away:
                logger.warning("live messages are not told why=%s", error)
            self._is_away = True
        else:
            if self._is_away:
                logger.info("live messages are told again")
            self._is_away = False
