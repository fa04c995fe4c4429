"""Candles out of the database: fast rows, exact decimals, and with each answer how complete it is."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Self, overload

import pyarrow as pa

from krakendata.candle_stream import PATIENCE, CandleStream
from krakendata.candles import bucket_start
from krakendata.certificate import Certificate, certify
from krakendata.columns.lines import CANDLE_COLUMNS, TRADE_COLUMNS, schema_of
from krakendata.columns.reading import ROWS, candle_tables, trade_tables, windows
from krakendata.columns.tables import CandleColumns, TradeColumns
from krakendata.errors import NotConnectedError, UnknownSymbol
from krakendata.fields import KRAKEN_OPENED_NS
from krakendata.gaps import CandleRun, Coverage, Ledger, Stretch, coverage_of
from krakendata.held_candles import AFTER_LAST, FURTHER_LOOK, held_part, held_range, read_newest
from krakendata.intervals import first_bucket
from krakendata.storage.ledger import read_lines
from krakendata.storage.pool import MAX_SIZE, MIN_SIZE, Pool
from krakendata.storage.queries import (
    Bounds,
    Connection,
    Row,
    SyncStatus,
    read_answers,
    read_bounds,
    read_candles,
    read_day_candles,
    read_ledger,
    read_newest_trades,
    read_pairs,
    read_symbols_with_data,
    read_sync_status,
)
from krakendata.storage.selections import select_candles
from krakendata.stream_progress import StreamedCandle
from krakendata.types import Candle, Interval, Symbols, Trade, interval_of, moment_of, ns_of

__all__ = ["Candle", "Candles", "HistoricalDataProvider", "Holding", "StreamedCandle", "Trades"]

# Where a question without a start begins.
KRAKEN_OPENED = moment_of(KRAKEN_OPENED_NS)
CLOSEST_NAMED = 5
# The newest trades of a busy pair lie in minutes; further back as the candles are looked for.
FIRST_LOOK_AT_TRADES = timedelta(hours=1)


@dataclass(frozen=True, slots=True, repr=False)
class Candles(Sequence[Candle]):
    """The candles of one answer, oldest first, and how complete the answer is. A slice is a plain tuple."""

    symbol: str
    interval: Interval
    candles: tuple[Candle, ...]
    coverage: Coverage
    # What of the ledger the coverage was judged by, in the same state of the database.
    ledger: Ledger = field(default=Ledger(), compare=False)

    @overload
    def __getitem__(self, index: int) -> Candle: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Candle, ...]: ...
    def __getitem__(self, index: int | slice) -> Candle | tuple[Candle, ...]:
        return self.candles[index]

    def __len__(self) -> int:
        return len(self.candles)

    def __iter__(self) -> Iterator[Candle]:
        return iter(self.candles)

    def __repr__(self) -> str:
        asked = f"{self.coverage.asked.start:%Y-%m-%d %H:%M} to {self.coverage.asked.end:%Y-%m-%d %H:%M}"
        return f"<Candles {self.symbol} {self.interval.name}: {len(self)} from {asked}>"


@dataclass(frozen=True, slots=True, repr=False)
class Trades(Sequence[Trade]):
    """The trades of one answer that have ids of the exchange, by id, and what of the ledger tells of them."""

    symbol: str
    trades: tuple[Trade, ...]
    ledger: Ledger = field(default=Ledger(), compare=False)

    @overload
    def __getitem__(self, index: int) -> Trade: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Trade, ...]: ...
    def __getitem__(self, index: int | slice) -> Trade | tuple[Trade, ...]:
        return self.trades[index]

    def __len__(self) -> int:
        return len(self.trades)

    def __iter__(self) -> Iterator[Trade]:
        return iter(self.trades)

    def __repr__(self) -> str:
        return f"<Trades {self.symbol}: {len(self)}>"


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one symbol.

    `trades` and `candles` are the operator's summaries, None where nothing of the kind was collected.
    `archives` are the stretches that candle archives covered. `coverage` divides the time from Kraken's
    beginning to the last closed minute by what was once collected, whether it is still stored or not.
    """

    symbol: str
    trades: SyncStatus | None
    candles: SyncStatus | None
    archives: tuple[CandleRun, ...]
    coverage: Coverage


def utc_now() -> datetime:
    """The clock of those who bring none."""
    return datetime.now(UTC)


class HistoricalDataProvider:
    """Reads candles of every interval through a pool of connections.

        async with HistoricalDataProvider("timescale://…") as provider:
            candles = await provider.get_latest_candles("XBTUSD", "1h", 200)

    `database` is an address or psycopg's connection arguments. `symbols` are the known pairs; without them
    the table `pairs` is read once, at connect(). `clock` gives the present, which decides which candle is
    still open.

    Symbols are taken in any spelling, intervals by name ("1h") or minutes (60). Ranges are half open; naive
    times raise ValueError. The reading methods raise NotConnectedError before connect(), UnknownSymbol,
    UnknownInterval and StorageError.
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

    async def connect(self) -> None:
        """Open the pool and read the list of pairs; once connected, do nothing."""
        if self._pool is not None:
            return
        pool = await Pool(self._database, *self._sizes, is_reader=True).open()
        try:
            if self._symbols is None:
                async with pool.connection() as connection:
                    self._symbols = Symbols(await read_pairs(connection))
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

    async def get_candles(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        include_open: bool = False,
    ) -> Candles:
        """The candles that start in [start, end), oldest first; without bounds all there are.

        `limit` keeps the newest. The candle that is still forming is left out unless `include_open`. Buckets
        without trades have no candle; `coverage` tells quiet ones from missing ones. Where `limit` cuts the
        answer, the coverage is that of the candles given.
        """
        pool, wanted = self._connected(), interval_of(interval)
        asked = self._asked(wanted, start, end, include_open)
        if limit is not None and limit < 1:
            raise ValueError(f"limit is {limit}; it has to be at least 1.")
        async with pool.connection() as connection:
            # One state of the database: the ledger that is judged is the one of these candles.
            name, bounds = await self._find(connection, symbol, wanted)
            held = held_part(wanted, bounds, asked)
            if limit is None:
                rows = await read_candles(connection, wanted, name, held)
            else:
                rows = await read_newest(connection, wanted, name, held, limit)
            candles = tuple(map(Candle.from_row, rows))
            if limit is not None and len(candles) == limit:
                asked = asked._replace(start=candles[0].timestamp)
            ledger = await read_ledger(connection, name, asked)
        kept_from = bounds.fence if wanted.parent is None else None
        return Candles(name, wanted, candles, coverage_of(asked, ledger, wanted.minutes, kept_from), ledger)

    async def get_latest_candles(
        self, symbol: str, interval: str | int, n: int, include_open: bool = False
    ) -> Candles:
        """The newest `n` candles, oldest first; fewer where there are no more."""
        return await self.get_candles(symbol, interval, limit=n, include_open=include_open)

    async def get_latest_trades(self, symbol: str, n: int, start: datetime | None = None) -> Trades:
        """The newest `n` stored trades, by id, of those since `start`; archives without ids are left out."""
        pool, minute = self._connected(), interval_of(1)
        if n < 0:
            raise ValueError(f"n is {n}; it cannot be negative.")
        since = KRAKEN_OPENED if start is None else moment_of(ns_of(start))
        async with pool.connection() as connection:
            name, bounds = await self._find(connection, symbol, minute)
            newest = since if bounds.last_ns is None else moment_of(bounds.last_ns)
            asked = Stretch(since, max(since, newest + AFTER_LAST))
            rows = await _read_newest_trades(connection, name, asked, n) if n else []
            # Without trades to show, the newest run tells from where new ones go on.
            told = Stretch(max(since, min([newest, *(row[1] for row in rows)])), asked.end)
            ledger = await read_ledger(connection, name, told)
        trades = (
            Trade(name, trade_id, ns_of(timestamp), Decimal(price), Decimal(volume), side, order_type)
            for trade_id, timestamp, price, volume, side, order_type in rows
        )
        return Trades(name, tuple(sorted(trades, key=lambda trade: trade.trade_id)), ledger)

    async def get_candle_columns(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        include_open: bool = False,
    ) -> CandleColumns:
        """The candles that start in [start, end) as columns: for Arrow, Polars, pandas, NumPy.

        The rows of get_candles without an object per cell. `columns` names those wanted, the time always among them;
        fewer are faster. Numbers are float64, with `exact` decimal128(38, 18); NotExact where one has more digits.
        """
        pool, wanted = self._connected(), interval_of(interval)
        schema = schema_of(CANDLE_COLUMNS, columns, exact=exact)
        asked = self._asked(wanted, start, end, include_open)
        async with pool.connection() as connection:
            whole, held = await self._candle_columns(connection, symbol, wanted, asked, schema)
            select = partial(select_candles, wanted, whole.symbol)
            pieces = candle_tables(connection, select, windows(held, wanted, ROWS), schema)
            tables = [table async for _, table in pieces]
        return replace(whole, table=pa.concat_tables(tables))

    async def iter_candle_columns(
        self,
        symbol: str,
        interval: str | int,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        include_open: bool = False,
        rows: int = ROWS,
    ) -> AsyncGenerator[CandleColumns, None]:
        """The same in pieces of up to `rows` candles, of one state of the database: any length in bounded memory.

        The coverages of the pieces make up that of the whole. It holds a connection as long as it runs: an iterator
        left early should be closed (contextlib.aclosing).
        """
        pool, wanted = self._connected(), interval_of(interval)
        schema = schema_of(CANDLE_COLUMNS, columns, exact=exact)
        asked = self._asked(wanted, start, end, include_open)
        async with pool.connection() as connection:
            whole, held = await self._candle_columns(connection, symbol, wanted, asked, schema)
            select = partial(select_candles, wanted, whole.symbol)
            parts = windows(held, wanted, _checked(rows))
            begin = asked.start
            async for part, table in candle_tables(connection, select, parts, schema):
                reached = asked.end if part.end == held.end else part.end
                yield replace(whole, table=table, coverage=whole.coverage.within(Stretch(begin, reached)))
                begin = reached

    async def get_trade_columns(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
    ) -> TradeColumns:
        """The stored trades of [start, end) as columns, by time and, within one time, by id; up to now without an end.

        `columns` and `exact` as above. What retention has dropped is a hole in their coverage.
        """
        pool = self._connected()
        schema = schema_of(TRADE_COLUMNS, columns, exact=exact)
        asked = self._asked_time(start, end)
        async with pool.connection() as connection:
            whole, held = await self._trade_columns(connection, symbol, asked, schema)
            pieces = trade_tables(connection, whole.symbol, held, schema, ROWS)
            tables = [table async for _, table in pieces]
        return replace(whole, table=pa.concat_tables(tables))

    async def iter_trade_columns(
        self,
        symbol: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        columns: Sequence[str] | None = None,
        exact: bool = False,
        rows: int = ROWS,
    ) -> AsyncGenerator[TradeColumns, None]:
        """The same in pieces of up to `rows` trades, as iter_candle_columns gives candles."""
        pool = self._connected()
        schema = schema_of(TRADE_COLUMNS, columns, exact=exact)
        asked = self._asked_time(start, end)
        async with pool.connection() as connection:
            whole, held = await self._trade_columns(connection, symbol, asked, schema)
            begin = asked.start
            async for part, table in trade_tables(connection, whole.symbol, held, schema, _checked(rows)):
                yield replace(whole, table=table, coverage=whole.coverage.within(Stretch(begin, part.end)))
                begin = part.end

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
        that it is unknown raises UnknownSymbol with the first candle.
        """
        self._connected()
        wanted = interval_of(interval)
        name = (self._symbols or Symbols()).resolve(symbol)
        if history < 0:
            raise ValueError(f"history is {history}; it has to be at least 0.")
        if patience is not None and patience < timedelta(0):
            raise ValueError(f"patience is {patience}; it has to be at least 0.")
        stream = CandleStream(
            self._connected,
            lambda connection: self._find(connection, symbol, wanted),
            name,
            wanted,
            self._clock,
            history=history,
            patience=patience,
            forming=forming,
        )
        return stream.candles()

    async def get_data_range(self, symbol: str, interval: str | int = "1m") -> Stretch | None:
        """From the start of the oldest candle to the end of the newest, open or not; None without any.

        By the ledger: milliseconds whatever the history's length.
        """
        pool, wanted = self._connected(), interval_of(interval)
        async with pool.connection() as connection:
            _, bounds = await self._find(connection, symbol, wanted)
        return held_range(wanted, bounds)

    async def get_holdings(self, symbol: str | None = None) -> list[Holding]:
        """What is held of one symbol, or of each that anything was collected of."""
        minute = interval_of(1)
        asked = self._asked(minute, None, None, include_open=False)
        async with self._connected().connection() as connection:
            name = None if symbol is None else (await self._find(connection, symbol, minute))[0]
            statuses = {(each.symbol, each.kind): each for each in await read_sync_status(connection, name)}
            names = sorted({found for found, _ in statuses} | ({name} if name else set()))
            holdings = []
            for each in names:
                ledger = await read_ledger(connection, each, asked)
                summaries = statuses.get((each, "trades")), statuses.get((each, "candles"))
                holdings.append(Holding(each, *summaries, ledger.candle_runs, coverage_of(asked, ledger)))
        return holdings

    async def get_certificate(
        self, symbol: str, start: datetime | None = None, end: datetime | None = None
    ) -> Certificate:
        """Day by day what is in of one symbol, what proves it, and what is missing; of all its life without bounds.

        Days that touch [start, end), none left out, not before anything is known of the symbol unless `start` is.
        """
        now = self._clock()
        since = None if start is None else moment_of(ns_of(start))
        until = None if end is None else moment_of(ns_of(end))
        async with self._connected().connection() as connection:
            # One state of the database: the ledger and the candles are judged by one another.
            name, _ = await self._find(connection, symbol, interval_of(1))
            ledger = await read_ledger(connection, name, Stretch(KRAKEN_OPENED, now))
            answers = await read_answers(connection, name)
            candles = await read_day_candles(connection, name)
        found = certify(name, ledger, candles, answers["absent"], answers["rejected"], now, since)
        return found.between(since, until)

    def _connected(self) -> Pool:
        if self._pool is None:
            raise NotConnectedError
        return self._pool

    def _asked(
        self, interval: Interval, start: datetime | None, end: datetime | None, include_open: bool
    ) -> Stretch:
        """Whole buckets: those that start in [start, end), up to the one that is forming now."""
        if start is not None and end is not None and start > end:
            raise ValueError(f"start ({start}) is after end ({end}).")
        forming = bucket_start(self._clock(), interval.minutes)
        stop = forming + interval.length if include_open else forming
        last = stop if end is None else min(first_bucket(end, interval), stop)
        first = first_bucket(start or KRAKEN_OPENED, interval)
        return Stretch(min(first, last), last)

    def _asked_time(self, start: datetime | None, end: datetime | None) -> Stretch:
        """[start, end) to the microsecond; from Kraken's beginning, up to now."""
        if start is not None and end is not None and start > end:
            raise ValueError(f"start ({start}) is after end ({end}).")
        last = self._clock() if end is None else moment_of(ns_of(end))
        return Stretch(min(last, KRAKEN_OPENED if start is None else moment_of(ns_of(start))), last)

    async def _candle_columns(
        self, connection: Connection, symbol: str, interval: Interval, asked: Stretch, schema: pa.Schema
    ) -> tuple[CandleColumns, Stretch]:
        """The answer without its rows, and where these can be."""
        name, bounds = await self._find(connection, symbol, interval)
        ledger = await read_ledger(connection, name, asked)
        kept_from = bounds.fence if interval.parent is None else None
        coverage = coverage_of(asked, ledger, interval.minutes, kept_from)
        whole = CandleColumns(name, coverage, schema.empty_table(), ledger, interval)
        return whole, held_part(interval, bounds, asked)

    async def _trade_columns(
        self, connection: Connection, symbol: str, asked: Stretch, schema: pa.Schema
    ) -> tuple[TradeColumns, Stretch]:
        """Likewise. Candle archives have no trades, and before a line of their own none are stored."""
        name, _ = await self._find(connection, symbol, interval_of(1))
        line = (await read_lines(connection)).trades
        ledger = replace(await read_ledger(connection, name, asked), candle_runs=())
        coverage = coverage_of(asked, ledger, kept_from=line)
        whole = TradeColumns(name, coverage, schema.empty_table(), ledger)
        return whole, Stretch(min(max(asked.start, line), asked.end), asked.end)

    async def _find(self, connection: Connection, name: str, interval: Interval) -> tuple[str, Bounds]:
        """The symbol called `name` and where its data lie; an unheard-of one raises UnknownSymbol."""
        symbols = self._symbols or Symbols()
        try:
            symbol = symbols.resolve(name)
        except UnknownSymbol as error:
            raise await self._unknown(connection, name) from error
        bounds = await read_bounds(connection, interval, symbol)
        if held_range(interval, bounds) is not None or symbols.pair(symbol) is not None:
            return symbol, bounds
        if symbol in await read_symbols_with_data(connection):
            return symbol, bounds
        raise await self._unknown(connection, name)

    async def _unknown(self, connection: Connection, name: str) -> UnknownSymbol:
        listed = {pair.symbol for pair in (self._symbols or Symbols()).pairs}
        known = sorted(listed.union(await read_symbols_with_data(connection)))
        closest = difflib.get_close_matches(name.upper(), known, n=CLOSEST_NAMED)
        return UnknownSymbol(name, closest or known[:CLOSEST_NAMED])


def _checked(rows: int) -> int:
    if rows < 1:
        raise ValueError(f"rows is {rows}; it has to be at least 1.")
    return rows


async def _read_newest_trades(
    connection: Connection, symbol: str, held: Stretch, limit: int
) -> Sequence[Row]:
    """The newest `limit` rows of `held` that have ids, oldest first."""
    rows: list[Row] = []
    end, reach = held.end, FIRST_LOOK_AT_TRADES
    while len(rows) < limit and held.start < end:
        start = held.start if reach >= end - held.start else end - reach
        rows = [*await read_newest_trades(connection, symbol, Stretch(start, end), limit - len(rows)), *rows]
        end, reach = start, FURTHER_LOOK * reach
    return rows
