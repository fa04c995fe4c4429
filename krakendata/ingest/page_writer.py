"""What a walk brings, written: rows, rejections and answers of one pair, a few pages in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import polars as pl

from krakendata.gaps import IdRange, TradeCheck
from krakendata.ingest.page_walk import Taken
from krakendata.ingest.takeover import NS_PER_UNIT, checked_minute
from krakendata.ingest.trade_blocks import trade_block
from krakendata.ingest.trade_frame import SCHEMA
from krakendata.ingest.trade_shapes import ShapedTrades, new_trades, shape_trades
from krakendata.storage.bulk import Block, BlockOutdated, Counts, Reject, write_block
from krakendata.storage.ledger import Holdings, Lines, read_holdings, read_lines
from krakendata.storage.writers import Writers
from krakendata.types import Source, moment_of

# Where a rejected row came from, for the operator who looks at it.
PLACE = "REST Trades"

# Rows of an unfinished unit of minutes that are kept back at most: more than the busiest five minutes known have
# (kraken-facts 6: 8,382 trades). What lies beyond is written in pieces, which merge by their ids.
MAX_CARRIED = 20_000


class PageWriter:
    """Writes one pair's pages in the order of a walk; the pair's job lock is the caller's.

    A walk's last unit of five minutes is kept back until the next pages end it: below the fence, and where an archive
    without ids is replaced, only whole units are right. Rejections are kept with a run: where there is none yet,
    `start_run` begins one for them.
    """

    def __init__(
        self,
        writers: Writers,
        symbol: str,
        run_id: int | None,
        max_rejects_kept: int,
        *,
        start_run: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self.symbol = symbol
        self.run_id = run_id
        self._writers = writers
        self._max_rejects_kept = max_rejects_kept
        self._start_run = start_run
        self._held: Holdings | None = None
        self._lines: Lines | None = None
        self._carried = pl.DataFrame(schema=SCHEMA)
        self._opens_ns: int | None = None

    def begin(self, opens_ns: int | None) -> None:
        """Begin with a walk: `opens_ns` is the start of a minute between which and its first row nothing was traded."""
        self._opens_ns = opens_ns

    async def write(self, taken: Sequence[Taken], *, is_end: bool, check: TradeCheck | None = None) -> Counts:
        """Write what was taken, in one transaction; with `is_end` also what was kept back.

        Raises StorageError; what was given is then lost to this writer, and found missing in the ledger by the next.
        """
        frame = pl.concat([self._carried, *(each.rows.frame for each in taken)])
        frame = frame if frame["trade_id"].is_sorted() else frame.sort("trade_id")
        head, self._carried = (frame, frame.clear()) if is_end else _cut_at_unit(frame)
        rejects = [
            Reject(placed.rejection, PLACE, placed.line, placed.trade_id)
            for each in taken
            for placed in each.rows.rejections
        ]
        absent = [answered for each in taken for answered in each.absent]
        if head.is_empty() and not rejects and not absent and check is None:
            return Counts()
        return await self._write(head, rejects, absent, check)

    async def _write(
        self,
        head: pl.DataFrame,
        rejects: list[Reject],
        absent: list[IdRange],
        check: TradeCheck | None,
    ) -> Counts:
        if rejects and self.run_id is None and self._start_run is not None:
            self.run_id = await self._start_run()
        while True:
            held, lines = await self._known()
            held.add_answers(_answers(rejects, absent))
            shaped = await asyncio.to_thread(self._shaped, head, held, lines)
            minute = checked_minute(held, check) if check is not None else None
            block = Block(
                self.symbol,
                lines,
                head.height + len(rejects),
                trades=trade_block(shaped, held),
                rejects=rejects,
                absent=absent,
                check=check,
                checked_minute=None if minute is None else moment_of(minute),
                advanced=_advanced(shaped, rejects, absent),
            )
            try:
                async with self._writers.connection() as connection:
                    counts = await write_block(connection, block, self.run_id, self._max_rejects_kept)
            except BlockOutdated:
                self._held = None
                continue
            if not head.is_empty():
                self._opens_ns = None
            return counts

    def _shaped(self, head: pl.DataFrame, held: Holdings, lines: Lines) -> ShapedTrades | None:
        next_id = None if self._carried.is_empty() else int(self._carried["trade_id"][0])
        return shape_trades(
            new_trades(head, held),
            self.symbol,
            held,
            lines,
            source=str(Source.REST),
            next_id=next_id,
            opens_ns=self._opens_ns,
        )

    async def _known(self) -> tuple[Holdings, Lines]:
        """The pair's ledger and the lines, as they were when this began or a block was outdated."""
        if self._held is None or self._lines is None:
            async with self._writers.connection() as connection:
                self._held = await read_holdings(connection, self.symbol)
                self._lines = await read_lines(connection)
        return self._held, self._lines


def _cut_at_unit(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The frame up to its last unit of minutes, and that unit, unless it is too large to wait for its end."""
    unit = frame["ns"] // NS_PER_UNIT
    is_in_time_order = unit.is_sorted()
    last = frame.filter(unit == unit[-1]) if is_in_time_order and not frame.is_empty() else frame.clear()
    if last.height > MAX_CARRIED:
        return frame, frame.clear()
    return frame.head(frame.height - last.height), last


def _answers(rejects: list[Reject], absent: list[IdRange]) -> list[IdRange]:
    """The ids that this block answers for without a trade."""
    rejected = (reject.trade_id for reject in rejects)
    return [*absent, *(IdRange(number, number) for number in rejected if number is not None)]


def _advanced(shaped: ShapedTrades | None, rejects: list[Reject], absent: list[IdRange]) -> int:
    """How many ids are answered for that were not before."""
    new = shaped.new if shaped is not None else 0
    rejected = sum(reject.trade_id is not None for reject in rejects)
    return new + rejected + sum(each.last_id - each.first_id + 1 for each in absent)
