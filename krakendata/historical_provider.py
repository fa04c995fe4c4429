"""Candles and trades out of the database: exact decimals, and with each answer how complete it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

from krakendata.answers import Candles, Requirement, Trades, check_coverage, checked_requirement
from krakendata.candle_reads import StoredCandles
from krakendata.candle_stream import PATIENCE, CandleStream
from krakendata.certificate import Certificate
from krakendata.columns.lines import CANDLE_COLUMNS, TRADE_COLUMNS, schema_of
from krakendata.columns.reading import (
    ROWS,
    candle_pieces,
    read_candle_columns,
    read_trade_columns,
    trade_pieces,
)
from krakendata.columns.tables import CandleColumns, TradeColumns
from krakendata.errors import IncompleteData, NotConnectedError, NotEnoughCandles, UnknownSymbol
from krakendata.fields import KRAKEN_OPENED_NS
from krakendata.filling import Fill, checked_fill
from krakendata.gaps import Coverage, Stretch
from krakendata.held_candles import held_range
from krakendata.holdings import Holding, read_certificate, read_holdings
from krakendata.intervals import any_interval_of, base_of, bucket_of, first_bucket, next_bucket
from krakendata.series_pages import candle_pages, trade_pages
from krakendata.shared_snapshot import answer_together
from krakendata.storage.columns import Digest, read_candle_digest, read_trade_digest
from krakendata.storage.editions import Edition
from krakendata.storage.pool import MAX_SIZE, MIN_SIZE, Pool
from krakendata.storage.queries import Bounds, Connection, read_bounds, read_pairs
from krakendata.storage.sessions import read_edition
from krakendata.stream_progress import StreamedCandle
from krakendata.symbol_lookup import find_symbol
from krakendata.trade_reads import StoredTrades
from krakendata.types import EPOCH, Candle, Interval, Symbols, Trade, interval_of, moment_of, ns_of

__all__ = ["Candle", "Candles", "HistoricalDataProvider", "Holding", "StreamedCandle", "Trades"]

# Where a question without a start begins.
KRAKEN_OPENED = moment_of(KRAKEN_OPENED_NS)
MINUTE, DAY = interval_of("1m"), interval_of("1d")
# A name that nobody knows has the list of pairs read again, no more often than so.
PAIRS_SECONDS = 60.0
# A piece of columns comes as one text, of which the database makes no more than a gigabyte.
MOST_ROWS = 1_000_000
# The ledger counts nanoseconds since 1970 in 64 bits, which last until 2262.
END_OF_NANOSECONDS = datetime(2262, 1, 1, tzinfo=UTC)
# The feed and its ledger are so far behind at most: a warm-up waits for what has only just closed, looking so often.
FEED_BEHIND = timedelta(seconds=10)
LOOK_AGAIN = timedelta(seconds=1)


def utc_now() -> datetime:
    """The clock of those who bring none."""
    return datetime.now(UTC)


class HistoricalDataProvider:
    """Reads candles of every interval, and trades, through a pool of connections.

        async with HistoricalDataProvider("timescale://…") as provider:
            candles = await provider.get_latest_candles("XBTUSD", "1h", 200)

    `database` is an address or psycopg's connection arguments. `symbols` are the known pairs; without them
    the table `pairs` is read once, at connect(). `clock` gives the present, which decides which candle is
    still open.

    Symbols are taken in any spelling. Intervals are names ("1h", "45m", "3d", "2w", "1mo") or minutes (60): the stored
    ones, and those in between that intervals.RULE tells, folded when they are read. Ranges are half open, in aware UTC;
    naive times raise ValueError. Each answer is of one state of the database and says how complete it is (`coverage`).

    `fill` adds the closed buckets without trades where no moment of them is missing: "flat" at the close before, where
    it is known, "null" without prices (None). They have `trade_count` 0 and are `is_synthetic`. `require` "complete"
    raises IncompleteData where there is a hole, "proven" also where archives alone tell.

    The reading methods raise NotConnectedError before connect(), UnknownSymbol, UnknownInterval and StorageError.
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
        self._database = database
        self._sizes = (min_size, max_size)
        self._symbols = symbols
        self._clock = clock
        self._pool: Pool | None = None
        self._edition: Edition | None = None
        self._connecting = asyncio.Lock()
        # None where the pairs were given.
        self._pairs_read_at: float | None = None

    async def connect(self) -> None:
        """Open the pool and read the list of pairs; once connected, do nothing."""
        async with self._connecting:
            if self._pool is not None:
                return
            pool = await Pool(self._database, *self._sizes, is_reader=True).open()
            try:
                async with pool.connection() as connection:
                    self._edition = await read_edition(connection)
                    if self._symbols is None:
                        self._symbols = Symbols(await read_pairs(connection))
                        self._pairs_read_at = time.monotonic()
            except BaseException:
                await pool.close()
                raise
            self._pool = pool

    async def close(self) -> None:
        """Close the pool; connect() opens another."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def symbols(self) -> Symbols:
        """The known pairs; of the table `pairs` once connected."""
        return self._symbols or Symbols()

    # --- candles -------------------------------------------------------------------------------------------

    async def get_candles(
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
        """The candles that start in [start, end), oldest first; without bounds all there are.

        `limit` keeps the newest. The candle that is still forming is left out unless `include_open`, and is `forming`
        then. Buckets without trades have no candle unless filled; `coverage` tells quiet ones from missing ones. Where
        `limit` cuts the answer, the coverage is that of the candles given.
        """
        pool, wanted = self._connected(), any_interval_of(interval)
        checked_requirement(require)
        asked, closed = self._asked(wanted, start, end, include_open)
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}; it has to be at least 1.")
        mode = checked_fill(fill)
        async with pool.connection() as connection:
            series = await self._series(connection, symbol, wanted)
            found = await series.answer(asked, closed, limit, mode)
        _check(found, closed, require)
        return found

    async def get_latest_candles(
        self,
        symbol: str,
        interval: str | int,
        n: int,
        include_open: bool = False,
        *,
        fill: Fill = "none",
        require: Requirement | None = None,
    ) -> Candles:
        """The newest `n` candles, oldest first; fewer where there are no more."""
        options: dict[str, Any] = {"fill": fill, "require": require}
        return await self.get_candles(symbol, interval, limit=n, include_open=include_open, **options)

    async def get_warmup_data(
        self,
        symbol: str,
        interval: str | int,
        n: int,
        *,
        fill: Fill = "none",
        require: Requirement | None = "complete",
        patience: timedelta = FEED_BEHIND,
    ) -> Candles:
        """Exactly the last `n` closed candles, oldest first: none is missing among them, nor after them.

        A candle is a bucket with trades; with `fill` every bucket counts, and the `n` have no gap between them. Fewer
        raise NotEnoughCandles, which says how many there are and how to get the rest. A hole from the first of them to
        the end of the last closed bucket raises IncompleteData, unless `require` is None; the feed's own delay, no more
        than `patience`, is waited for.
        """
        looks = max(0, patience // LOOK_AGAIN)
        while True:
            found = await self.get_candles(symbol, interval, limit=n, fill=fill)
            if len(found) < n:
                raise NotEnoughCandles(found.symbol, found.interval.name, n, len(found), _why_so_few(found))
            try:
                check_coverage(found.symbol, found.coverage, checked_requirement(require))
            except IncompleteData as error:
                is_late = error.holes and error.holes[0][0] >= found.coverage.asked.end - patience
                if not is_late or error.provisional or not looks:
                    raise
            else:
                return found
            looks -= 1
            await asyncio.sleep(LOOK_AGAIN.total_seconds())

    async def get_multi_timeframe(
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
        """What get_candles answers for each interval, by the interval's name ("1h", also where it was asked as 60).

        All of one state of the database, over as many connections of the pool as are free.
        """
        pool, wanted = self._connected(), [any_interval_of(each) for each in intervals]
        checked_requirement(require)
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}; it has to be at least 1.")
        mode = checked_fill(fill)
        questions = [(each, *self._asked(each, start, end, include_open)) for each in dict.fromkeys(wanted)]
        if not questions:
            return {}
        async with pool.connection() as connection:
            name, _ = await self._find(connection, symbol, MINUTE)
            jobs = []
            for each, asked, closed in questions:
                bounds = await read_bounds(connection, each, name)
                jobs.append(partial(self._answer, name, each, bounds, asked, closed, limit, mode))
            answers = await answer_together(pool, connection, jobs)
        for (_, _, closed), found in zip(questions, answers, strict=True):
            _check(found, closed, require)
        return {found.interval.name: found for found in answers}

    def iter_candles(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        fill: Fill = "none",
        require: Requirement | None = None,
    ) -> AsyncGenerator[Candle, None]:
        """The closed candles that start in [start, end), oldest first, in bounded memory whatever their number.

        They are read page by page, as they are consumed; no connection is held in between. Each page is of one state
        of the database: what is written meanwhile shows in the pages still to come, and not in those passed. What
        closes meanwhile is not given. With `require` the whole time is judged before the first candle, and each page
        again. An iterator left early should be closed (contextlib.aclosing).
        """
        self._connected()
        wanted = any_interval_of(interval)
        checked_requirement(require)
        mode = checked_fill(fill)
        asked, _ = self._asked(wanted, start, end, include_open=False)

        async def series(connection: Connection) -> StoredCandles:
            return await self._series(connection, symbol, wanted)

        return candle_pages(self._connected, series, asked, mode, require)

    def stream_candles(
        self,
        symbol: str,
        interval: str | int,
        history: int = 0,
        *,
        patience: timedelta | None = PATIENCE,
        forming: bool = False,
    ) -> AsyncGenerator[StreamedCandle, None]:
        """The last `history` closed candles, oldest first, then each further one once it is closed and proven.

        It never ends, and outlives a database that goes away and comes back. A candle whose time is not proven
        `patience` after its end (None: waits for ever) is given as it is; if its time becomes known later and shows
        another candle, that one is given, `is_late`. With `forming` the candle that is not final yet is given too,
        whenever it has changed.

        An iterator left early should be closed (contextlib.aclosing). A symbol of which only the database can say
        that it is unknown raises UnknownSymbol with the first candle. Calendar months raise ValueError.
        """
        self._connected()
        wanted = any_interval_of(interval)
        name = self.symbols.resolve(symbol)
        if wanted.months:
            raise ValueError(f"{wanted.name} cannot be streamed: its buckets differ in length.")
        if history < 0:
            raise ValueError(f"history is {history}; it has to be at least 0.")
        if patience is not None and patience < timedelta(0):
            raise ValueError(f"patience is {patience}; it has to be at least 0.")
        stream = CandleStream(
            self._connected,
            lambda connection: self._series(connection, symbol, wanted),
            name,
            wanted,
            self._clock,
            history=history,
            patience=patience,
            forming=forming,
        )
        return stream.candles()

    # --- trades --------------------------------------------------------------------------------------------

    async def get_trades(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        *,
        require: Requirement | None = None,
    ) -> Trades:
        """The stored trades in [start, end), by time, of one moment by id; `limit` keeps the newest.

        Those of archives without ids have negative ones. Time of which trades are stored no longer is a hole.
        """
        pool = self._connected()
        checked_requirement(require)
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}; it has to be at least 1.")
        asked = self._asked_time(start, end)
        async with pool.connection() as connection:
            series = await self._trades(connection, symbol)
            found = await series.answer(series.to_newest(asked) if end is None else asked, limit)
        check_coverage(found.symbol, found.coverage, require)
        return found

    async def get_latest_trades(self, symbol: str, n: int, start: datetime | None = None) -> Trades:
        """The newest `n` stored trades, by id, of those since `start`; archives without ids are left out."""
        pool = self._connected()
        if n < 0:
            raise ValueError(f"n is {n}; it cannot be negative.")
        since, _ = _checked_range(start, None)
        async with pool.connection() as connection:
            return await (await self._trades(connection, symbol)).newest(since, n)

    def iter_trades(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        require: Requirement | None = None,
    ) -> AsyncGenerator[Trade, None]:
        """The stored trades in [start, end), in the order of get_trades, in bounded memory whatever their number.

        Read page by page, as iter_candles.
        """
        self._connected()
        checked_requirement(require)
        asked = self._asked_time(start, end)

        async def series(connection: Connection) -> StoredTrades:
            return await self._trades(connection, symbol)

        return trade_pages(self._connected, series, asked, end is None, require)

    # --- columns, not objects ------------------------------------------------------------------------------

    async def get_candle_columns(
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
        """The candles of get_candles as columns, without an object per cell: for Arrow, Polars, pandas, NumPy.

        `columns` names those wanted, the time always among them; fewer are faster. Numbers are float64, with `exact`
        decimal128(38, 18); NotExact where one has more digits. `is_forming` marks the last row of `include_open`.
        """
        pool, wanted = self._connected(), any_interval_of(interval)
        checked_requirement(require)
        mode, schema = checked_fill(fill), schema_of(CANDLE_COLUMNS, columns, exact=exact)
        asked, closed = self._asked(wanted, start, end, include_open)
        async with pool.connection() as connection:
            found = await read_candle_columns(
                await self._series(connection, symbol, wanted), asked, mode, schema
            )
        _check(found, closed, require)
        times = found.table["timestamp"]
        # Arrow makes a datetime by way of pandas, where that is installed.
        return replace(found, is_forming=bool(len(times)) and moment_of(times[-1].value * 1_000) >= closed)

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
    ) -> AsyncGenerator[CandleColumns, None]:
        """The closed candles likewise in pieces of up to `rows`, oldest first: bounded memory whatever their number.

        Each piece is of one state of the database, and no connection is held while it is handed out. The coverages of
        the pieces make up that of the whole.
        """
        self._connected()
        wanted = any_interval_of(interval)
        checked_requirement(require)
        mode, schema = checked_fill(fill), schema_of(CANDLE_COLUMNS, columns, exact=exact)
        asked, _ = self._asked(wanted, start, end, include_open=False)

        async def series(connection: Connection) -> StoredCandles:
            return await self._series(connection, symbol, wanted)

        return candle_pieces(self._connected, series, asked, mode, require, schema, _checked_rows(rows))

    async def get_trade_columns(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        require: Requirement | None = None,
    ) -> TradeColumns:
        """The trades of get_trades as columns."""
        pool = self._connected()
        checked_requirement(require)
        schema = schema_of(TRADE_COLUMNS, columns, exact=exact)
        asked = self._asked_time(start, end)
        async with pool.connection() as connection:
            series = await self._trades(connection, symbol)
            found = await read_trade_columns(
                series, series.to_newest(asked) if end is None else asked, schema
            )
        check_coverage(found.symbol, found.coverage, require)
        return found

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
    ) -> AsyncGenerator[TradeColumns, None]:
        """The same in pieces of up to `rows`, as iter_candle_columns gives candles."""
        self._connected()
        checked_requirement(require)
        schema = schema_of(TRADE_COLUMNS, columns, exact=exact)
        asked = self._asked_time(start, end)

        async def series(connection: Connection) -> StoredTrades:
            return await self._trades(connection, symbol)

        newest = end is None
        return trade_pieces(self._connected, series, asked, newest, require, schema, _checked_rows(rows))

    async def get_candle_digest(
        self, symbol: str, interval: str | int, start: datetime | None = None, end: datetime | None = None
    ) -> Digest:
        """How many closed candles start in [start, end), a number that changes with any of them, the first one's time.

        A third of the time that reading them takes. The number is the server's: another major version of PostgreSQL
        may give another one.
        """
        pool, wanted = self._connected(), any_interval_of(interval)
        asked, _ = self._asked(wanted, start, end, include_open=False)
        async with pool.connection() as connection:
            series = await self._series(connection, symbol, wanted)
            part = series.part(asked)
            if part.start >= part.end:
                return Digest(0, 0, None)
            return await read_candle_digest(connection, await series.selection(part))

    async def get_trade_digest(
        self, symbol: str, start: datetime | None = None, end: datetime | None = None
    ) -> Digest:
        """Likewise of the stored trades in [start, end)."""
        pool, asked = self._connected(), self._asked_time(start, end)
        async with pool.connection() as connection:
            series = await self._trades(connection, symbol)
            part = series.part(series.to_newest(asked) if end is None else asked)
            return await read_trade_digest(connection, series.symbol, part)

    # --- what is held --------------------------------------------------------------------------------------

    async def get_coverage(
        self,
        symbol: str,
        interval: str | int = "1m",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Coverage:
        """How complete the closed candles are that start in [start, end): the coverage of get_candles' answer."""
        pool, wanted = self._connected(), any_interval_of(interval)
        asked, _ = self._asked(wanted, start, end, include_open=False)
        async with pool.connection() as connection:
            coverage, _ = await (await self._series(connection, symbol, wanted)).coverage(asked)
        return coverage

    async def get_data_range(self, symbol: str, interval: str | int = "1m") -> Stretch | None:
        """From the start of the oldest candle to the end of the newest, open or not; None without any.

        By the ledger: milliseconds whatever the history's length.
        """
        pool, wanted = self._connected(), any_interval_of(interval)
        async with pool.connection() as connection:
            _, bounds = await self._find(connection, symbol, wanted)
        return held_range(wanted, bounds)

    async def get_holdings(self, symbol: str | None = None) -> list[Holding]:
        """What is held of one symbol, or of each that anything was collected of."""
        asked, _ = self._asked(MINUTE, None, None, include_open=False)
        async with self._connected().connection() as connection:
            name = None if symbol is None else (await self._find(connection, symbol, MINUTE))[0]
            return await read_holdings(connection, name, asked)

    async def get_certificate(
        self, symbol: str, start: datetime | None = None, end: datetime | None = None
    ) -> Certificate:
        """Day by day what is in of one symbol, what proves it, and what is missing; of all its life without bounds.

        Days that touch [start, end), none left out, not before anything is known of the symbol unless `start` is.
        """
        life = Stretch(KRAKEN_OPENED, self._clock())
        first, until = _checked_range(start, end)
        since = None if start is None else first
        async with self._connected().connection() as connection:
            found = await read_certificate(await self._series(connection, symbol, DAY), life, since)
        return found.between(since, until)

    # --- behind it -----------------------------------------------------------------------------------------

    def _connected(self) -> Pool:
        if self._pool is None:
            raise NotConnectedError
        return self._pool

    def _asked(
        self, interval: Interval, start: datetime | None, end: datetime | None, include_open: bool
    ) -> tuple[Stretch, datetime]:
        """Whole buckets: those that start in [start, end), up to the one that is forming now; and where that starts."""
        start, end = _checked_range(start, end)
        forming = bucket_of(self._clock(), interval)
        stop = next_bucket(forming, interval) if include_open else forming
        last = stop if end is None or end >= stop else first_bucket(end, interval)
        first = last if start >= last else first_bucket(start, interval)
        return Stretch(min(first, last), last), forming

    def _asked_time(self, start: datetime | None, end: datetime | None) -> Stretch:
        """The time in which trades are asked for; without an end, up to now."""
        start, end = _checked_range(start, end)
        last = moment_of(ns_of(self._clock())) if end is None else end
        return Stretch(min(start, last), last)

    async def _answer(
        self,
        symbol: str,
        interval: Interval,
        bounds: Bounds,
        asked: Stretch,
        closed: datetime,
        limit: int | None,
        fill: Fill,
        connection: Connection,
    ) -> Candles:
        return await self._series_of(connection, symbol, interval, bounds).answer(asked, closed, limit, fill)

    async def _series(self, connection: Connection, name: str, interval: Interval) -> StoredCandles:
        symbol, bounds = await self._find(connection, name, interval)
        return self._series_of(connection, symbol, interval, bounds)

    def _series_of(
        self, connection: Connection, symbol: str, interval: Interval, bounds: Bounds
    ) -> StoredCandles:
        if self._edition is None:
            raise NotConnectedError
        return StoredCandles(connection, self._edition, symbol, interval, bounds)

    async def _trades(self, connection: Connection, name: str) -> StoredTrades:
        return StoredTrades(connection, *await self._find(connection, name, MINUTE))

    async def _find(self, connection: Connection, name: str, interval: Interval) -> tuple[str, Bounds]:
        try:
            return await find_symbol(connection, self.symbols, name, interval)
        except UnknownSymbol:
            if self._pairs_read_at is None or time.monotonic() < self._pairs_read_at + PAIRS_SECONDS:
                raise
            # The exchange may have listed it since.
            self._pairs_read_at = time.monotonic()
            self._symbols = Symbols(await read_pairs(connection))
            return await find_symbol(connection, self._symbols, name, interval)


def _checked_range(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime | None]:
    """Both in UTC and of a time that nanoseconds can tell; naive times and a start after the end raise ValueError."""
    first = KRAKEN_OPENED if start is None else moment_of(ns_of(start))
    last = None if end is None else moment_of(ns_of(end))
    if start is not None and last is not None and first > last:
        raise ValueError(f"start ({start}) is after end ({end}).")
    return _tellable(first), None if last is None else _tellable(last)


def _tellable(moment: datetime) -> datetime:
    return min(max(moment, EPOCH), END_OF_NANOSECONDS)


def _check(found: Candles | CandleColumns, closed: datetime, require: Requirement | None) -> None:
    """Raise IncompleteData where the closed part of the answer is less complete than required."""
    asked = found.coverage.asked
    judged = Stretch(asked.start, max(asked.start, min(asked.end, closed)))
    check_coverage(found.symbol, found.coverage.within(judged), require)


def _checked_rows(rows: int) -> int:
    if not 1 <= rows <= MOST_ROWS:
        raise ValueError(f"rows is {rows}; it has to be from 1 to {MOST_ROWS:,}.")
    return rows


def _why_so_few(found: Candles) -> str:
    oldest = f", the oldest of {found[0].timestamp:%Y-%m-%d %H:%M}" if found else ""
    is_of_minutes = base_of(found.interval).parent is None
    return oldest + (" (minutes are kept for RETENTION_CANDLES_DAYS)" if is_of_minutes else "")
