"""One series of candles as one transaction sees it: which rows to select, what is filled, how complete it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from krakendata.answers import Candles
from krakendata.filling import Fill, breaks_of, quiet_stretches
from krakendata.gaps import Coverage, Ledger, Stretch, coverage_of
from krakendata.held_candles import held_end, held_range, read_newest
from krakendata.intervals import base_of, bucket_of
from krakendata.storage.editions import Edition
from krakendata.storage.queries import Bounds, Connection, Row, read_ledger, read_selection
from krakendata.storage.selections import Filling, Selection, select_candles
from krakendata.storage.stale import read_stale
from krakendata.types import EPOCH, Candle, Interval

__all__ = ["StoredCandles"]


@dataclass(frozen=True, slots=True)
class StoredCandles:
    """The candles of one symbol and interval, read over a connection that is in one transaction.

    What is read is what the minutes say: a bucket whose rollup was written to since its last refresh is folded anew, so
    that the candles are those that the ledger, read beside them, tells of.
    """

    connection: Connection
    edition: Edition
    symbol: str
    interval: Interval
    bounds: Bounds

    def part(self, asked: Stretch, fill: Fill = "none") -> Stretch:
        """What of `asked` can have candles: from the first one held on, and unless filled, to the last."""
        held = held_range(self.interval, self.bounds)
        if held is None:
            return Stretch(asked.end, asked.end)
        start = max(asked.start, held.start)
        end = asked.end if fill != "none" else min(asked.end, held_end(self.interval, self.bounds))
        return Stretch(start, max(start, end))

    async def answer(self, asked: Stretch, closed: datetime, limit: int | None, fill: Fill) -> Candles:
        """The candles that start in `asked`; `limit` keeps the newest. One that starts at `closed` or later is forming.

        Where `limit` cuts them, the coverage is that of the candles given.
        """
        part = self.part(asked, fill)
        rows = await (self.rows(part, fill) if limit is None else self.newest_rows(part, fill, limit))
        candles = Candle.from_rows(rows)
        if limit is not None and len(candles) == limit:
            asked = asked._replace(start=candles[0].timestamp)
        coverage, ledger = await self.coverage(asked)
        forming = candles[-1] if candles and candles[-1].timestamp >= closed else None
        return Candles(self.symbol, self.interval, candles, coverage, ledger, forming)

    async def coverage(self, asked: Stretch) -> tuple[Coverage, Ledger]:
        """How complete the time is, and the ledger that says so. Minutes are not stored below the fence."""
        ledger = await read_ledger(self.connection, self.symbol, asked)
        return coverage_of(asked, ledger, base_of(self.interval).minutes, self.kept_from), ledger

    @property
    def kept_from(self) -> datetime | None:
        """Before this what is asked for is stored no longer; None: it is kept for ever."""
        return self.bounds.fence if base_of(self.interval).parent is None else None

    async def rows(self, part: Stretch, fill: Fill = "none", limit: int | None = None) -> Sequence[Row]:
        """The candles that start in `part`, oldest first; with `limit` the newest of them."""
        if part.start >= part.end:
            return []
        is_cut = limit is not None
        selection = await self.selection(part, fill, limit=limit, newest_first=is_cut)
        rows = await read_selection(self.connection, selection)
        return rows[::-1] if is_cut else rows

    async def newest_rows(self, part: Stretch, fill: Fill, limit: int) -> Sequence[Row]:
        """The newest `limit` candles of `part`, oldest first."""

        async def look(stretch: Stretch, most: int) -> Sequence[Row]:
            return await self.rows(stretch, fill, most)

        return await read_newest(look, self.interval, part, limit)

    async def selection(
        self, part: Stretch, fill: Fill = "none", *, limit: int | None = None, newest_first: bool = False
    ) -> Selection:
        """The SQL of the candles that start in `part`, a stretch of whole buckets as `part()` cuts it."""
        base = base_of(self.interval)
        frame = Stretch(max(part.start, self.bounds.fence), part.end)
        stale = await read_stale(self.connection, self.edition, base, self.symbol, frame)
        is_alone = base.parent is not None and part.start >= self.bounds.fence and not self.bounds.has_coarse
        filling = None if fill == "none" else await self._filling(part, fill)
        return select_candles(
            self.interval,
            self.symbol,
            part,
            stale=stale,
            rollup=self.edition.closed_relation(base.relation) if is_alone else None,
            filling=filling,
            limit=limit,
            newest_first=newest_first,
        )

    async def _filling(self, part: Stretch, fill: Fill) -> Filling | None:
        coverage, _ = await self.coverage(part)
        quiet = quiet_stretches(coverage, self.interval, part)
        if not quiet or fill == "none":
            return None
        if fill == "null":
            return Filling(fill, quiet)
        is_open = quiet[0].start == part.start
        close = await self._close_before(part.start) if is_open else None
        return Filling(fill, quiet, breaks_of(coverage.holes, self.interval), close)

    async def _close_before(self, moment: datetime) -> Decimal | None:
        """The price where a bucket starts: None where no trade before is known, or one in a hole may have moved it."""
        rows = await self.newest_rows(self.part(Stretch(EPOCH, moment)), "none", 1)
        if not rows:
            return None
        last = Candle.from_row(rows[0])
        coverage, _ = await self.coverage(Stretch(last.timestamp, moment))
        is_known = all(bucket_of(hole.end, self.interval) <= last.timestamp for hole in coverage.holes)
        return last.close if is_known else None
