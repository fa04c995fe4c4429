"""Columns out of the database in pieces of bounded size."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

import pyarrow as pa

from krakendata.columns.lines import table_of
from krakendata.gaps import Stretch
from krakendata.intervals import bucket_starts
from krakendata.storage.columns import BEFORE_ALL_IDS, read_candle_lines, read_trade_lines
from krakendata.storage.queries import Connection
from krakendata.storage.selections import Selection
from krakendata.types import Interval, moment_of

__all__ = ["ROWS", "candle_tables", "trade_tables", "windows"]

# A piece of so many candles is 10 MB of text and as much again in columns; larger ones are not faster.
ROWS = 100_000


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


async def candle_tables(
    connection: Connection,
    select: Callable[[Stretch], Selection],
    parts: Iterable[Stretch],
    schema: pa.Schema,
) -> AsyncGenerator[tuple[Stretch, pa.Table], None]:
    """The candles of each of the parts of a stretch, with the part that they are of."""
    for part in parts:
        lines = await read_candle_lines(connection, select(part), schema.names)
        yield part, await _table(lines.text, schema)


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
