"""Series of any length, page by page, in bounded memory: a page is read, handed out, and then the next one is read.

A connection is held while a page is read, never while it is handed out: a slow consumer keeps nobody from the database,
and no retention line from moving. Each page is of one state of the database, and two pages may be of two.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime

from krakendata.answers import Requirement, check_coverage
from krakendata.candle_reads import StoredCandles
from krakendata.filling import Fill
from krakendata.gaps import Stretch
from krakendata.intervals import bucket_of, longest
from krakendata.storage.pool import Pool
from krakendata.storage.queries import Connection
from krakendata.trade_reads import StoredTrades
from krakendata.types import Candle, Interval, Trade

__all__ = ["candle_pages", "trade_pages"]

# A page of so many candles or trades is read in a tenth of a second and takes some ten megabytes.
PAGE = 10_000
# Where trades are rare a page spans more buckets, up to so many times as many: memory holds it if it is full after all.
WIDEST = 8


async def candle_pages(
    connected: Callable[[], Pool],
    series_of: Callable[[Connection], Awaitable[StoredCandles]],
    asked: Stretch,
    fill: Fill,
    require: Requirement | None,
) -> AsyncGenerator[Candle, None]:
    """The candles that start in `asked`, oldest first; `connected` gives the pool or raises NotConnectedError."""
    position, width, is_first = asked.start, 1, True
    while position < asked.end or is_first:
        async with connected().connection() as connection:
            series = await series_of(connection)
            part = series.part(Stretch(position, asked.end), fill)
            end = _end_of_page(part, series.interval, width * PAGE)
            # What lies before the first candle held and behind the last is judged too.
            judged = asked if is_first else Stretch(position, end if end < part.end else asked.end)
            if require is not None:
                coverage, _ = await series.coverage(judged)
                check_coverage(series.symbol, coverage, require)
            rows = await series.rows(Stretch(part.start, end), fill)
        is_first = False
        for row in rows:
            yield Candle.from_row(row)
        if end >= part.end:
            return
        position, width = end, min(2 * width, WIDEST) if 2 * len(rows) < PAGE else 1


async def trade_pages(
    connected: Callable[[], Pool],
    series_of: Callable[[Connection], Awaitable[StoredTrades]],
    asked: Stretch,
    is_open: bool,
    require: Requirement | None,
) -> AsyncGenerator[Trade, None]:
    """The trades in `asked`, by time and id; with `is_open` up to the newest that is stored when it begins."""
    after: tuple[datetime, int] | None = None
    is_first = True
    while True:
        async with connected().connection() as connection:
            series = await series_of(connection)
            if is_first and is_open:
                asked = series.to_newest(asked)
            rest = asked if after is None else Stretch(after[0], asked.end)
            if require is not None:
                coverage, _ = await series.coverage(rest)
                check_coverage(series.symbol, coverage, require)
            trades = await series.page(series.part(asked), after, PAGE)
        is_first = False
        for trade in trades:
            yield trade
        if len(trades) < PAGE:
            return
        after = trades[-1].timestamp, trades[-1].trade_id


def _end_of_page(part: Stretch, interval: Interval, buckets: int) -> datetime:
    reach = buckets * longest(interval)
    # Compared as durations: far enough on there is no date to compare with.
    return part.end if reach >= part.end - part.start else bucket_of(part.start + reach, interval)
