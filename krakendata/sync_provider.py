"""HistoricalDataProvider for code that does not wait: notebooks, Django views, scripts.

Nothing is implemented twice: each method hands its arguments to the asynchronous provider, which runs on an event loop
of its own, in a thread beside.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar

from krakendata.answers import Candles, Requirement, Trades
from krakendata.candle_stream import PATIENCE
from krakendata.certificate import Certificate
from krakendata.columns.reading import ROWS
from krakendata.columns.tables import CandleColumns, TradeColumns
from krakendata.errors import NotConnectedError
from krakendata.filling import Fill
from krakendata.gaps import Coverage, Stretch
from krakendata.historical_provider import FEED_BEHIND, HistoricalDataProvider, Holding, utc_now
from krakendata.storage.columns import Digest
from krakendata.storage.pool import MAX_SIZE, MIN_SIZE
from krakendata.stream_progress import StreamedCandle
from krakendata.types import Candle, Symbols, Trade

__all__ = ["SyncHistoricalDataProvider"]

_Answer = TypeVar("_Answer")

# An iterator takes over so many items at a time: one by one the way between the threads would be most of the work.
ITEMS_AT_ONCE = 1_000


class SyncHistoricalDataProvider:
    """HistoricalDataProvider without `await`: the same methods, arguments, answers and errors.

        with SyncHistoricalDataProvider("timescale://…") as provider:
            candles = provider.get_latest_candles("XBTUSD", "1h", 200)

    Many threads may share one. It also works where an event loop is running, as in Jupyter, and holds that loop up like
    any call that waits: async code uses the asynchronous provider. Iterators are generators; one that is left early is
    closed with its last reference, or by close().

    After a fork the child has none of its threads and connections: there it is not connected, and connect() begins
    anew.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        *,
        min_size: int = MIN_SIZE,
        max_size: int = MAX_SIZE,
        symbols: Symbols | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        def provider() -> HistoricalDataProvider:
            sizes = {"min_size": min_size, "max_size": max_size}
            return HistoricalDataProvider(database, **sizes, symbols=symbols, clock=clock)

        self._make = provider
        self._provider = provider()
        self._loop: _LoopThread | None = None
        self._opening = threading.Lock()
        self._pid = os.getpid()

    def connect(self) -> None:
        """Open the pool and read the list of pairs; once connected, do nothing."""
        if self._pid != os.getpid():
            # What a fork has copied belongs to the parent, the lock in whichever state it was.
            self._provider, self._loop, self._opening = self._make(), None, threading.Lock()
            self._pid = os.getpid()
        with self._opening:
            if self._loop is not None:
                return
            loop = _LoopThread()
            try:
                loop.run(self._provider.connect())
            except BaseException:
                loop.stop()
                raise
            self._loop = loop
            # A connection that is open when the interpreter ends would be complained about.
            atexit.register(self.close)

    def close(self) -> None:
        """Close the pool and end the thread; connect() opens another."""
        if self._pid != os.getpid():
            return
        with self._opening:
            loop, self._loop = self._loop, None
            if loop is not None:
                atexit.unregister(self.close)
                try:
                    loop.run(self._provider.close())
                finally:
                    loop.stop()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def symbols(self) -> Symbols:
        """The known pairs; of the table `pairs` once connected."""
        return self._provider.symbols

    def get_candles(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        include_open: bool = False,
        *,
        fill: Fill = "none",
        require: Requirement | None = None,
    ) -> Candles:
        """HistoricalDataProvider.get_candles."""
        asked = symbol, interval, start, end, limit, include_open
        return self._run(lambda: self._provider.get_candles(*asked, fill=fill, require=require))

    def get_latest_candles(
        self,
        symbol: str,
        interval: str | int,
        n: int,
        include_open: bool = False,
        *,
        fill: Fill = "none",
        require: Requirement | None = None,
    ) -> Candles:
        """HistoricalDataProvider.get_latest_candles."""
        asked = symbol, interval, n, include_open
        return self._run(lambda: self._provider.get_latest_candles(*asked, fill=fill, require=require))

    def get_warmup_data(
        self,
        symbol: str,
        interval: str | int,
        n: int,
        *,
        fill: Fill = "none",
        require: Requirement | None = "complete",
        patience: timedelta = FEED_BEHIND,
    ) -> Candles:
        """HistoricalDataProvider.get_warmup_data."""
        return self._run(
            lambda: self._provider.get_warmup_data(
                symbol, interval, n, fill=fill, require=require, patience=patience
            )
        )

    def get_multi_timeframe(
        self,
        symbol: str,
        intervals: Iterable[str | int],
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        include_open: bool = False,
        *,
        fill: Fill = "none",
        require: Requirement | None = None,
    ) -> dict[str, Candles]:
        """HistoricalDataProvider.get_multi_timeframe."""
        asked = symbol, intervals, start, end, limit, include_open
        return self._run(lambda: self._provider.get_multi_timeframe(*asked, fill=fill, require=require))

    def iter_candles(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        fill: Fill = "none",
        require: Requirement | None = None,
    ) -> Generator[Candle, None, None]:
        """HistoricalDataProvider.iter_candles."""
        asked = symbol, interval, start, end
        return self._iterate(
            lambda: self._provider.iter_candles(*asked, fill=fill, require=require), ITEMS_AT_ONCE
        )

    def stream_candles(
        self,
        symbol: str,
        interval: str | int,
        history: int = 0,
        *,
        patience: timedelta | None = PATIENCE,
        forming: bool = False,
    ) -> Generator[StreamedCandle, None, None]:
        """HistoricalDataProvider.stream_candles."""
        asked = symbol, interval, history
        return self._iterate(
            lambda: self._provider.stream_candles(*asked, patience=patience, forming=forming), at_once=1
        )

    def get_trades(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        *,
        require: Requirement | None = None,
    ) -> Trades:
        """HistoricalDataProvider.get_trades."""
        return self._run(lambda: self._provider.get_trades(symbol, start, end, limit, require=require))

    def get_latest_trades(self, symbol: str, n: int, start: datetime | None = None) -> Trades:
        """HistoricalDataProvider.get_latest_trades."""
        return self._run(lambda: self._provider.get_latest_trades(symbol, n, start))

    def iter_trades(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        require: Requirement | None = None,
    ) -> Generator[Trade, None, None]:
        """HistoricalDataProvider.iter_trades."""
        return self._iterate(
            lambda: self._provider.iter_trades(symbol, start, end, require=require), ITEMS_AT_ONCE
        )

    def get_candle_columns(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        include_open: bool = False,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        fill: Fill = "none",
        require: Requirement | None = None,
    ) -> CandleColumns:
        """HistoricalDataProvider.get_candle_columns."""
        asked = symbol, interval, start, end, include_open
        form: dict[str, Any] = {"columns": columns, "exact": exact, "fill": fill, "require": require}
        return self._run(lambda: self._provider.get_candle_columns(*asked, **form))

    def iter_candle_columns(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        fill: Fill = "none",
        require: Requirement | None = None,
        rows: int = ROWS,
    ) -> Generator[CandleColumns, None, None]:
        """HistoricalDataProvider.iter_candle_columns."""
        asked = symbol, interval, start, end
        form: dict[str, Any] = {
            "columns": columns,
            "exact": exact,
            "fill": fill,
            "require": require,
            "rows": rows,
        }
        return self._iterate(lambda: self._provider.iter_candle_columns(*asked, **form), at_once=1)

    def get_trade_columns(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        require: Requirement | None = None,
    ) -> TradeColumns:
        """HistoricalDataProvider.get_trade_columns."""
        form: dict[str, Any] = {"columns": columns, "exact": exact, "require": require}
        return self._run(lambda: self._provider.get_trade_columns(symbol, start, end, **form))

    def iter_trade_columns(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        require: Requirement | None = None,
        rows: int = ROWS,
    ) -> Generator[TradeColumns, None, None]:
        """HistoricalDataProvider.iter_trade_columns."""
        form: dict[str, Any] = {"columns": columns, "exact": exact, "require": require, "rows": rows}
        return self._iterate(lambda: self._provider.iter_trade_columns(symbol, start, end, **form), at_once=1)

    def get_candle_digest(
        self, symbol: str, interval: str | int, start: datetime | None = None, end: datetime | None = None
    ) -> Digest:
        """HistoricalDataProvider.get_candle_digest."""
        return self._run(lambda: self._provider.get_candle_digest(symbol, interval, start, end))

    def get_trade_digest(
        self, symbol: str, start: datetime | None = None, end: datetime | None = None
    ) -> Digest:
        """HistoricalDataProvider.get_trade_digest."""
        return self._run(lambda: self._provider.get_trade_digest(symbol, start, end))

    def get_coverage(
        self,
        symbol: str,
        interval: str | int = "1m",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Coverage:
        """HistoricalDataProvider.get_coverage."""
        return self._run(lambda: self._provider.get_coverage(symbol, interval, start, end))

    def get_data_range(self, symbol: str, interval: str | int = "1m") -> Stretch | None:
        """HistoricalDataProvider.get_data_range."""
        return self._run(lambda: self._provider.get_data_range(symbol, interval))

    def get_holdings(self, symbol: str | None = None) -> list[Holding]:
        """HistoricalDataProvider.get_holdings."""
        return self._run(lambda: self._provider.get_holdings(symbol))

    def get_certificate(
        self, symbol: str, start: datetime | None = None, end: datetime | None = None
    ) -> Certificate:
        """HistoricalDataProvider.get_certificate."""
        return self._run(lambda: self._provider.get_certificate(symbol, start, end))

    def _connected(self) -> _LoopThread:
        if self._loop is None or self._pid != os.getpid():
            raise NotConnectedError(NOT_CONNECTED)
        return self._loop

    def _run(self, ask: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        return self._connected().run(ask())

    def _iterate(
        self, ask: Callable[[], AsyncGenerator[_Answer, None]], at_once: int
    ) -> Generator[_Answer, None, None]:
        loop = self._connected()
        # Asked here and not with the first item, so that a question that makes no sense is refused by the call.
        return _items(loop, ask(), at_once)


NOT_CONNECTED = "SyncHistoricalDataProvider not connected. Call provider.connect() first; after a fork again."


class _LoopThread:
    """An event loop that runs in a thread of its own until it is stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        # Nothing is handed to a loop that is about to stop: nobody would answer. A thread takes it twice where a
        # forgotten iterator is collected while it hands something over: closing that one is handed over too.
        self._handing = threading.RLock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="krakendata reader", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, _Answer]) -> _Answer:
        """What the coroutine returns or raises; a KeyboardInterrupt while it is waited for cancels it."""
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("This thread runs the event loop: await the asynchronous provider instead.")
        if self._pid != os.getpid():
            coroutine.close()
            raise NotConnectedError(NOT_CONNECTED)
        with self._handing:
            if self._is_stopped:
                coroutine.close()
                raise NotConnectedError(NOT_CONNECTED)
            asked = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return asked.result()
        except CancelledError:
            # Another thread closed the provider.
            raise NotConnectedError(NOT_CONNECTED) from None
        except BaseException:
            asked.cancel()
            raise

    def stop(self) -> None:
        """End what still runs, and the thread."""
        with self._handing:
            self._is_stopped = True
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _items(
    loop: _LoopThread, items: AsyncGenerator[_Answer, None], at_once: int
) -> Generator[_Answer, None, None]:
    try:
        while True:
            batch, error = loop.run(_next_items(items, at_once))
            yield from batch
            if error is not None:
                raise error
            if not batch:
                return
    finally:
        # Of a loop that is gone the items are, too; one that was interrupted is still ending its own.
        with suppress(NotConnectedError, RuntimeError):
            loop.run(items.aclose())


async def _next_items(
    items: AsyncGenerator[_Answer, None], at_once: int
) -> tuple[list[_Answer], Exception | None]:
    """The next items, at most so many, and what went wrong behind them."""
    batch: list[_Answer] = []
    try:
        async for item in items:
            batch.append(item)
            if len(batch) >= at_once:
                break
    except Exception as error:
        return batch, error
    return batch, None
