"""Columns out of the database in pieces of bounded size."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta

import pyarrow as pa

from krakendata.columns.lines import table_of
from krakendata.gaps import Stretch
from krakendata.storage.columns import BEFORE_ALL_IDS, read_candle_lines, read_trade_lines
from krakendata.storage.queries import Connection
from krakendata.types import Interval, moment_of

__all__ = ["ROWS", "candle_tables", "trade_tables", "windows"]

# A piece of so many candles is 10 MB of text and as much again in columns; larger ones are not faster.
ROWS = 100_000


def windows(stretch: Stretch, rows: int, length: timedelta) -> Iterator[Stretch]:
    """`stretch` cut into parts in which no more than `rows` candles of this length can start; at least one."""
    start = stretch.start
    # Compared as counts: so many weeks are more than a date can tell.
    while (stretch.end - start) / length > rows:
        yield Stretch(start, start + rows * length)
        start += rows * length
    yield Stretch(start, stretch.end)


async def candle_tables(
    connection: Connection, interval: Interval, symbol: str, stretch: Stretch, schema: pa.Schema, rows: int
) -> AsyncGenerator[tuple[Stretch, pa.Table], None]:
    """The candles that start in `stretch`, up to `rows` at a time, each time with the part of it that they are of."""
    for window in windows(stretch, rows, interval.length):
        lines = await read_candle_lines(connection, interval, symbol, window, schema.names)
        yield window, await _table(lines.text, schema)


async def trade_tables(
    connection: Connection, symbol: str, stretch: Stretch, schema: pa.Schema, rows: int
) -> AsyncGenerator[tuple[Stretch, pa.Table], None]:
    """The trades in `stretch` likewise, by time and id. Two parts meet at a time that both may have trades of."""
    wide = schema if "trade_id" in schema.names else schema.append(pa.field("trade_id", pa.int64()))
    after = (stretch.start, BEFORE_ALL_IDS)
    while True:
        lines = await read_trade_lines(connection, symbol, after, stretch.end, rows, wide.names)
        table = await _table(lines.text, wide)
        if lines.rows < rows:
            yield Stretch(after[0], stretch.end), table.select(schema.names)
            return
        newest = table.slice(rows - 1)
        last = moment_of(newest["timestamp"][0].value * 1_000), newest["trade_id"][0].as_py()
        yield Stretch(after[0], last[0]), table.select(schema.names)
        after = last


async def _table(text: bytes | None, schema: pa.Schema) -> pa.Table:
    """The lines as a table, made beside the event loop: Arrow works without Python's lock."""
    return schema.empty_table() if text is None else await asyncio.to_thread(table_of, text, schema)
