"""Columns out of the database in pieces of bounded size, each piece of one state of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from datetime import datetime

import pyarrow as pa

from krakendata.answers import Requirement, check_coverage
from krakendata.candle_reads import StoredCandles
from krakendata.columns.lines import table_of
from krakendata.columns.tables import CandleColumns, TradeColumns
from krakendata.filling import Fill
from krakendata.gaps import Stretch
from krakendata.intervals import bucket_starts
from krakendata.storage.columns import read_candle_lines, read_trade_lines
from krakendata.storage.pool import Pool
from krakendata.storage.queries import LOWEST_ID, Connection
from krakendata.trade_reads import StoredTrades
from krakendata.types import Interval, moment_of

__all__ = ["ROWS", "candle_pieces", "read_candle_columns", "read_trade_columns", "trade_pieces", "windows"]

# A piece of so many candles is 10 MB of text and as much again in columns; larger ones are not faster.
ROWS = 100_000


async def read_candle_columns(
    stored: StoredCandles, asked: Stretch, fill: Fill, schema: pa.Schema
) -> CandleColumns:
    """The candles that start in `asked`, whole buckets."""
    coverage, ledger = await stored.coverage(asked)
    part = stored.part(asked, fill)
    tables = [
        await _candle_table(stored, window, fill, schema) for window in windows(part, stored.interval, ROWS)
    ]
    return CandleColumns(stored.symbol, coverage, pa.concat_tables(tables), ledger, stored.interval)


async def candle_pieces(
    connected: Callable[[], Pool],
    series: Callable[[Connection], Awaitable[StoredCandles]],
    asked: Stretch,
    fill: Fill,
    require: Requirement | None,
    schema: pa.Schema,
    rows: int,
) -> AsyncGenerator[CandleColumns, None]:
    """The same up to `rows` at a time; the coverages of the pieces make up that of `asked`.

    As in series_pages.py a connection is held while a piece is read, never while it is handed out.
    """
    async with connected().connection() as connection:
        stored = await series(connection)
        coverage, _ = await stored.coverage(asked)
        check_coverage(stored.symbol, coverage, require)
        part = stored.part(asked, fill)
    begin = asked.start
    for window in windows(part, stored.interval, rows):
        reached = asked.end if window.end == part.end else window.end
        async with connected().connection() as connection:
            stored = await series(connection)
            coverage, ledger = await stored.coverage(Stretch(begin, reached))
            check_coverage(stored.symbol, coverage, require)
            table = await _candle_table(stored, window, fill, schema)
        yield CandleColumns(stored.symbol, coverage, table, ledger, stored.interval)
        begin = reached


async def read_trade_columns(stored: StoredTrades, asked: Stretch, schema: pa.Schema) -> TradeColumns:
    """The trades in `asked`, by time and id."""
    coverage, ledger = await stored.coverage(asked)
    part, tables = stored.part(asked), []
    after: tuple[datetime, int] | None = (part.start, LOWEST_ID)
    while after is not None:
        table, after = await _trade_table(stored, after, part.end, schema, ROWS)
        tables.append(table)
    return TradeColumns(stored.symbol, coverage, pa.concat_tables(tables), ledger)


async def trade_pieces(
    connected: Callable[[], Pool],
    series: Callable[[Connection], Awaitable[StoredTrades]],
    asked: Stretch,
    to_newest: bool,
    require: Requirement | None,
    schema: pa.Schema,
    rows: int,
) -> AsyncGenerator[TradeColumns, None]:
    """The same up to `rows` at a time. Two pieces meet at a time that both may have trades of."""
    async with connected().connection() as connection:
        stored = await series(connection)
        asked = stored.to_newest(asked) if to_newest else asked
        coverage, _ = await stored.coverage(asked)
        check_coverage(stored.symbol, coverage, require)
        part = stored.part(asked)
    begin, after = asked.start, (part.start, LOWEST_ID)
    while True:
        async with connected().connection() as connection:
            stored = await series(connection)
            table, following = await _trade_table(stored, after, part.end, schema, rows)
            reached = asked.end if following is None else following[0]
            coverage, ledger = await stored.coverage(Stretch(begin, reached))
            check_coverage(stored.symbol, coverage, require)
        yield TradeColumns(stored.symbol, coverage, table, ledger)
        if following is None:
            return
        begin, after = reached, following


def windows(stretch: Stretch, interval: Interval, rows: int) -> Iterator[Stretch]:
    """`stretch`, whole buckets, cut into parts of no more than `rows` buckets each; at least one part."""
    start = stretch.start
    if interval.months:
        starts = list(bucket_starts(stretch, interval))[rows::rows]
    else:
        # Counted first: so many weeks may be more than a date can tell.
        count = (stretch.end - start) // interval.length
        starts = [start + number * interval.length for number in range(rows, count, rows)]
    for end in (*starts, stretch.end):
        yield Stretch(start, end)
        start = end


async def _candle_table(stored: StoredCandles, window: Stretch, fill: Fill, schema: pa.Schema) -> pa.Table:
    if window.start >= window.end:
        return schema.empty_table()
    selection = await stored.selection(window, fill)
    return await _table((await read_candle_lines(stored.connection, selection, schema.names)).text, schema)


async def _trade_table(
    stored: StoredTrades, after: tuple[datetime, int], end: datetime, schema: pa.Schema, rows: int
) -> tuple[pa.Table, tuple[datetime, int] | None]:
    """The first trades behind a time and an id, and those of the last one; None for these where there are no more."""
    wide = schema if "trade_id" in schema.names else schema.append(pa.field("trade_id", pa.int64()))
    lines = await read_trade_lines(stored.connection, stored.symbol, after, end, rows, wide.names)
    table = await _table(lines.text, wide)
    if lines.rows < rows:
        return table.select(schema.names), None
    newest = table.slice(rows - 1)
    following = moment_of(newest["timestamp"][0].value * 1_000), newest["trade_id"][0].as_py()
    return table.select(schema.names), following


async def _table(text: bytes | None, schema: pa.Schema) -> pa.Table:
    """The lines as a table, made beside the event loop: Arrow works without Python's lock."""
    return schema.empty_table() if text is None else await asyncio.to_thread(table_of, text, schema)
