"""The looks that a stream of candles takes at the database, about one a second, for as long as anybody listens."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from krakendata.candle_reads import StoredCandles
from krakendata.candles import bucket_start
from krakendata.errors import StorageError
from krakendata.gaps import Stretch
from krakendata.held_candles import read_up_to_date
from krakendata.storage.pool import Pool
from krakendata.storage.queries import Connection, read_bounds
from krakendata.stream_progress import StreamedCandle, StreamProgress, widened
from krakendata.types import EPOCH, Candle, Interval

__all__ = ["PATIENCE", "CandleStream"]

logger = logging.getLogger(__name__)

# The live feed writes every five seconds at the latest: looking more often would find little earlier.
POLL_SECONDS = 1.0

# The feed and its ledger are ten seconds behind at most; who comes later is away.
PATIENCE = timedelta(seconds=60)

# A restart takes seconds, an update minutes. Thrown dice keep many streams from coming back at one moment.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0

Find = Callable[[Connection], Awaitable[StoredCandles]]


class CandleStream:
    """One stream of one symbol's candles.

    `connected` gives the pool or raises NotConnectedError; `find` gives the stored series, or raises UnknownSymbol.
    A connection is borrowed for a look and given back before anything is handed out.
    """

    def __init__(
        self,
        connected: Callable[[], Pool],
        find: Find,
        symbol: str,
        interval: Interval,
        clock: Callable[[], datetime],
        *,
        history: int,
        patience: timedelta | None,
        forming: bool,
    ) -> None:
        self._connected = connected
        self._find = find
        self._symbol = symbol
        self._interval = interval
        self._clock = clock
        self._history = history
        self._patience = patience
        self._forming = forming
        # Neither before the first look.
        self._series: StoredCandles | None = None
        self._progress: StreamProgress | None = None
        self._is_away = False

    async def candles(self) -> AsyncGenerator[StreamedCandle, None]:
        """Look, hand out what there is, wait; without an end."""
        while True:
            for each in await self._look_until_answered():
                yield each
            has_more = self._progress is not None and self._progress.has_more
            await asyncio.sleep(0 if has_more else POLL_SECONDS)

    async def _look_until_answered(self) -> list[StreamedCandle]:
        waits = wait_seconds()
        while True:
            try:
                if self._series is None or self._progress is None:
                    given = await self._begin()
                else:
                    given = await self._look(self._series, self._progress)
            except StorageError as error:
                if not error.transient:
                    raise
                if not self._is_away:
                    told = (self._symbol, self._interval.name, error)
                    logger.warning("wait stream symbol=%s interval=%s error=%s", *told)
                self._is_away = True
                await asyncio.sleep(next(waits))
                continue
            if self._is_away:
                logger.info("resume stream symbol=%s interval=%s", self._symbol, self._interval.name)
            self._is_away = False
            return given

    async def _begin(self) -> list[StreamedCandle]:
        """The first look: what is past, and from where on to wait."""
        now = self._clock()
        closed = bucket_start(now, self._interval.minutes)
        async with self._connected().connection() as connection:
            series = await self._find(connection)
            if not self._history:
                self._series = series
                self._progress = StreamProgress(self._interval, closed, self._patience)
                return []
            # The past is given as it is, whatever the patience; what has only just closed may still be written.
            waited = PATIENCE if self._patience is None else self._patience
            surely = bucket_start(now - waited, self._interval.minutes)
            progress = StreamProgress(self._interval, surely, self._patience)
            coverage, _ = await series.coverage(widened(Stretch(surely, closed)))
            reached = progress.reach(now, coverage)
            candles = await self._read_history(series, reached)
            start = candles[0].timestamp if candles else reached
            progress.position = start
            coverage, _ = await series.coverage(widened(Stretch(start, reached)))
        self._series, self._progress = series, progress
        return progress.go_on(reached, coverage, candles)

    async def _look(self, before: StoredCandles, progress: StreamProgress) -> list[StreamedCandle]:
        pool, now = self._connected(), self._clock()
        if self._is_away:
            progress.be_patient_from(now)
        wanted = progress.wanted(now, self._forming)
        if wanted is None:
            return []
        async with pool.connection() as connection:
            # One state of the database: the ledger that proves the candles is theirs.
            bounds = await read_bounds(connection, self._interval, self._symbol)
            series = replace(before, connection=connection, bounds=bounds)
            coverage, _ = await series.coverage(widened(wanted))
            doubtful = progress.reconsidered(coverage)
            reached = progress.reach(now, coverage)
            again: list[Candle] = []
            for stretch in doubtful:
                again += await self._read(series, stretch)
            candles = await self._read(series, Stretch(progress.position, reached))
            forming: list[Candle] = []
            if self._forming:
                bucket = Stretch(reached, reached + self._interval.length)
                forming = await self._read(series, bucket)
        late = progress.reconsider(doubtful, coverage, again)
        passed = progress.go_on(reached, coverage, candles)
        return [*late, *passed, *(each for candle in forming for each in progress.form(candle))]

    async def _read_history(self, series: StoredCandles, end: datetime) -> list[Candle]:
        """The newest `history` candles before `end`, oldest first, as get_latest_candles gives them."""
        part = series.part(Stretch(EPOCH, end))
        return list(Candle.from_rows(await series.newest_rows(part, "none", self._history)))

    async def _read(self, series: StoredCandles, stretch: Stretch) -> list[Candle]:
        fence = series.bounds.fence
        rows = await read_up_to_date(series.connection, self._interval, self._symbol, stretch, fence)
        return list(Candle.from_rows(rows))


def wait_seconds() -> Iterator[float]:
    """The waits between tries, each up to twice as long as the one before, and a little at random."""
    longest = FIRST_WAIT
    while True:
        yield longest * random.uniform(0.5, 1.0)  # noqa: S311 (a wait, not a secret)
        longest = min(2 * longest, LONGEST_WAIT)
