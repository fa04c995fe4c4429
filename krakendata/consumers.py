"""Consumers of Channels: the feed's, which writes what it is handed."""

from __future__ import annotations

from typing import Any, Protocol

from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer

from krakendata.ingest.writer import DatabaseWriter
from krakendata.types import HistoricalCandle, Trade


class Announcer(Protocol):
    """Whoever tells listeners what has just happened on the exchange; never waits, never raises."""

    def announce_trades(self, trades: list[Trade]) -> None: ...
    def announce_candles(self, candles: list[HistoricalCandle]) -> None: ...


class TradeConsumer(AsyncConsumer):
    """Writes the trades and candles of its messages through the DatabaseWriter that it owns, until `feed.ended`.

    It is hosted in the feed's own process, behind a bounded queue: a worker of the channel layer would have no way to
    slow the socket, and loses what it holds when it is asked to end (docs/explanation/live.md).
    """

    # No layer of that name: messages come from the queue alone.
    channel_layer_alias = "none"

    def __init__(self, writer: DatabaseWriter, announcer: Announcer | None = None) -> None:
        self.writer = writer
        self._announcer = announcer

    async def trades_heard(self, message: dict[str, Any]) -> None:
        """Take elements of trade messages."""
        trades = await self.writer.write_trades(message["elements"])
        if self._announcer is not None:
            self._announcer.announce_trades(trades)

    async def candles_heard(self, message: dict[str, Any]) -> None:
        """Take elements of ohlc messages."""
        candles = await self.writer.write_candles(message["elements"])
        if self._announcer is not None:
            self._announcer.announce_candles(candles)

    async def feed_ended(self, message: dict[str, Any]) -> None:
        """Write what waits, and end."""
        await self.writer.close()
        raise StopConsumer
