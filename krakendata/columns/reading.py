"""Columns out of the database in pieces of bounded size, each question of one state of it."""

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
from krakendata.storage.columns import BEFORE_ALL_IDS, read_candle_lines, read_trade_lines
from krakendata.storage.pool import Pool
from krakendata.storage.queries import Connection
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
    tables = [
        table async for _, table in _candle_tables(stored, stored.part(asked, fill), fill, schema, ROWS)
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
    """The same up to `rows` at a time; the coverages of the pieces make up that of `asked`."""
    async with connected().connection() as connection:
        stored = await series(connection)
        coverage, ledger = await stored.coverage(asked)
        check_coverage(stored.symbol, coverage, require)
        part, begin = stored.part(asked, fill), asked.start
        async for window, table in _candle_tables(stored, part, fill, schema, rows):
            reached = asked.end if window.end == part.end else window.end
            told = coverage.within(Stretch(begin, reached))
            yield CandleColumns(stored.symbol, told, table, ledger, stored.interval)
            begin = reached


async def read_trade_columns(stored: StoredTrades, asked: Stretch, schema: pa.Schema) -> TradeColumns:
    """The trades in `asked`, by time and id."""
    coverage, ledger = await stored.coverage(asked)
    tables = [table async for _, table in _trade_tables(stored, stored.part(asked), schema, ROWS)]
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
        coverage, ledger = await stored.coverage(asked)
        check_coverage(stored.symbol, coverage, require)
        part, begin = stored.part(asked), asked.start
        async for reached, table in _trade_tables(stored, part, schema, rows):
            end = asked.end if reached is None else reached
            yield TradeColumns(stored.symbol, coverage.within(Stretch(begin, end)), table, ledger)
            begin = end


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


async def _candle_tables(
    stored: StoredCandles, part: Stretch, fill: Fill, schema: pa.Schema, rows: int
) -> AsyncGenerator[tuple[Stretch, pa.Table], None]:
    for window in windows(part, stored.interval, rows):
        text = None
        if window.start < window.end:
            selection = await stored.selection(window, fill)
            text = (await read_candle_lines(stored.connection, selection, schema.names)).text
        yield window, await _table(text, schema)


async def _trade_tables(
    stored: StoredTrades, part: Stretch, schema: pa.Schema, rows: int
) -> AsyncGenerator[tuple[datetime | None, pa.Table], None]:
    """Each time with how far it reaches; the last one, with all the rest, None."""
    wide = schema if "trade_id" in schema.names else schema.append(pa.field("trade_id", pa.int64()))
    after = (part.start, BEFORE_ALL_IDS)
    while True:
        lines = await read_trade_lines(stored.connection, stored.symbol, after, part.end, rows, wide.names)
        table = await _table(lines.text, wide)
        if lines.rows < rows:
            yield None, table.select(schema.names)
            return
        newest = table.slice(rows - 1)
        after = moment_of(newest["timestamp"][0].value * 1_000), newest["trade_id"][0].as_py()
        yield after[0], table.select(schema.names)


async def _table(text: bytes | None, schema: pa.Schema) -> pa.Table:
    """The lines as a table, made beside the event loop: Arrow works without Python's lock."""
    return schema.empty_table() if text is None else await asyncio.to_thread(table_of, text, schema)
