"""What a walk brings, written: rows, rejections and answers of one pair, a few pages in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from krakendata.gaps import IdRange, TradeCheck
from krakendata.ingest.page_walk import Taken
from krakendata.ingest.takeover import NS_PER_UNIT, checked_minute
from krakendata.ingest.trade_blocks import trade_block
from krakendata.ingest.trade_frame import SCHEMA
from krakendata.ingest.trade_shapes import ShapedTrades, new_trades, shape_trades
from krakendata.ingest.whole_units import Parted, part_units
from krakendata.storage.bulk import Block, BlockOutdated, Counts, write_block
from krakendata.storage.ledger import Holdings, Lines, read_holdings, read_lines
from krakendata.storage.rejects import Reject
from krakendata.storage.writers import Writers
from krakendata.types import Source, moment_of, ns_of

# Where a rejected row came from, for the operator who looks at it.
PLACES = {Source.REST: "REST Trades", Source.WEBSOCKET: "WebSocket trade"}

# Rows of an unfinished unit of minutes that are kept back at most: more than the busiest five minutes known have
# (kraken-facts 6: 8,382 trades). What lies beyond is written in pieces, which merge by their ids.
MAX_CARRIED = 20_000


class PageWriter:
    """Writes one pair's pages in the order of a walk; the pair's job lock is the caller's.

    A walk's last unit of five minutes is kept back until the next pages end it: below the fence, and where an archive
    without ids is replaced, only whole units are right. Behind the trades line, where nothing can be counted again, a
    unit that is not whole is not written at all; it is kept for the walks that follow, and without them remains a gap.
    Rejections are kept with a run: where there is none yet, `start_run` begins one for them.
    """

    def __init__(
        self,
        writers: Writers,
        symbol: str,
        run_id: int | None,
        max_rejects_kept: int,
        *,
        source: Source = Source.REST,
        start_run: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self.symbol = symbol
        self.run_id = run_id
        self._writers = writers
        self._max_rejects_kept = max_rejects_kept
        self._source = source
        self._start_run = start_run
        self._held: Holdings | None = None
        self._lines: Lines | None = None
        self._carried = pl.DataFrame(schema=SCHEMA)
        self._unopened: Collection[int] = ()
        self._opens_ns: int | None = None

    def begin(self, opens_ns: int | None) -> None:
        """Begin with a walk: `opens_ns` is the start of a minute between which and its first row nothing was traded."""
        self._opens_ns = opens_ns

    async def write(self, taken: Sequence[Taken], *, is_end: bool, check: TradeCheck | None = None) -> Counts:
        """Write what was taken, in one transaction; with `is_end` also what was kept back, where it may be written.

        Raises StorageError; what was given is then lost to this writer, and found missing in the ledger by the next.
        """
        frame = pl.concat([self._carried, *(each.rows.frame for each in taken)])
        frame = frame if frame["trade_id"].is_sorted() else frame.sort("trade_id")
        self._carried = frame.clear()
        head, last_unit = (frame, frame.clear()) if is_end else _cut_at_unit(frame)
        said = _Said(
            [
                Reject(placed.rejection, PLACES[self._source], placed.line, placed.trade_id)
                for each in taken
                for placed in each.rows.rejections
            ],
            _not_shown((answered for each in taken for answered in each.absent), frame["trade_id"]),
            check,
        )
        if said.rejects and self.run_id is None and self._start_run is not None:
            self.run_id = await self._start_run()
        if head.is_empty() and said.is_nothing:
            self._carried = last_unit
            return Counts()
        while (counts := await self._write(head, last_unit, said)) is None:
            self._held = None
        return counts

    async def _write(self, frame: pl.DataFrame, last_unit: pl.DataFrame, said: "_Said") -> Counts | None:
        """The same with what is known of the pair; None if that is outdated."""
        held, lines = await self._known()
        held.add_answers(said.answers)
        parted = await asyncio.to_thread(self._parted, frame, last_unit, said.check, held, lines)
        counts = Counts()
        if not (parted.head.is_empty() and said.is_nothing):
            held_trades = held.trades
            shaped = await asyncio.to_thread(self._shaped, parted, held, lines)
            minute = checked_minute(held, said.check) if said.check is not None else None
            block = Block(
                self.symbol,
                lines,
                parted.head.height + len(said.rejects),
                trades=trade_block(shaped, held),
                rejects=said.rejects,
                absent=said.absent,
                check=said.check,
                checked_minute=None if minute is None else moment_of(minute),
                advanced=_advanced(shaped, said),
                held_trades=held_trades,
            )
            try:
                async with self._writers.connection() as connection:
                    counts = await write_block(connection, block, self.run_id, self._max_rejects_kept)
            except BlockOutdated:
                return None
        if not parted.head.is_empty():
            self._opens_ns = None
        self._unopened = parted.unopened
        self._carried = pl.concat([parted.kept, last_unit])
        return counts

    def _parted(
        self,
        frame: pl.DataFrame,
        last_unit: pl.DataFrame,
        check: TradeCheck | None,
        held: Holdings,
        lines: Lines,
    ) -> Parted:
        """What may be written now; all of it where too much would have to wait."""
        next_id = None if last_unit.is_empty() else int(last_unit["trade_id"][0])
        parted = part_units(
            frame,
            held,
            ns_of(lines.trades),
            next_id=next_id,
            opens_ns=self._opens_ns,
            unopened=self._unopened,
            check=check,
        )
        if parted.kept.height <= MAX_CARRIED:
            return parted
        return Parted(frame, frame.clear(), frozenset() if next_id is None else frozenset({next_id}))

    def _shaped(self, parted: Parted, held: Holdings, lines: Lines) -> ShapedTrades | None:
        return shape_trades(
            new_trades(parted.head, held),
            self.symbol,
            held,
            lines,
            source=str(self._source),
            opens_ns=self._opens_ns,
            beside=parted.beside,
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


@dataclass(frozen=True, slots=True)
class _Said:
    """What came beside the rows that are kept: rejections, ids that are absent, and what was said of the newest."""

    rejects: list[Reject]
    absent: list[IdRange]
    check: TradeCheck | None

    @property
    def is_nothing(self) -> bool:
        return not self.rejects and not self.absent and self.check is None

    @property
    def answers(self) -> list[IdRange]:
        """The ids that are answered for without a trade."""
        rejected = (reject.trade_id for reject in self.rejects)
        return [*self.absent, *(IdRange(number, number) for number in rejected if number is not None)]


def _not_shown(absent: Iterable[IdRange], ids: pl.Series) -> list[IdRange]:
    """The ranges without these ids: what a later answer showed is not absent."""
    parts: list[IdRange] = []
    for first, last in absent:
        shown = ids.filter((ids >= first) & (ids <= last)).unique().sort().to_list()
        edges = [first - 1, *shown, last + 1]
        parts += [IdRange(low + 1, high - 1) for low, high in pairwise(edges) if low + 1 < high]
    return parts


def _advanced(shaped: ShapedTrades | None, said: _Said) -> int:
    """How many ids are answered for that were not before."""
    new = shaped.new if shaped is not None else 0
    return new + sum(each.last_id - each.first_id + 1 for each in said.answers)
