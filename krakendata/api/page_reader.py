"""The provider, page by page: each page in one state of the database, with its coverage, and its ETag where it is
final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from krakendata.api.cursors import Cursor
from krakendata.api.etags import IdSpan, are_whole, edge_of, etag_of
from krakendata.api.questions import CandleQuestion, CoverageQuestion, TradeQuestion
from krakendata.gaps import Coverage, Ledger, Stretch, coverage_of
from krakendata.held_candles import AFTER_LAST, FURTHER_LOOK, held_part, held_range, read_newest, read_oldest
from krakendata.historical_provider import (
    FIRST_LOOK_AT_TRADES,
    KRAKEN_OPENED,
    Candle,
    HistoricalDataProvider,
)
from krakendata.storage.ledger import read_lines
from krakendata.storage.queries import (
    Bounds,
    Connection,
    Row,
    TradePlace,
    read_ledger,
    read_newest_healed,
    read_trades_after,
    read_trades_before,
)
from krakendata.types import EPOCH, Interval, interval_of, moment_of

__all__ = ["Page", "PageReader", "Unchanged"]

# Before all ids of a moment: those of archives without ids are negative.
BEFORE_ALL_IDS = -(2**63)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, oldest first, and how complete they are; `following` is where the next page goes on, None: this is the
    last.

    `etag` is there where nothing but retention can change the page any more.
    """

    symbol: str
    rows: Sequence[Row]
    coverage: Coverage
    following: Cursor | None
    etag: str | None


class Unchanged(NamedTuple):
    """The asker has the page already, under this ETag."""

    etag: str


class _Question(NamedTuple):
    """What the bytes of a page depend on, and the time it may reach over.

    `is_settled`: that time will be the same when the question is asked again.
    """

    facts: tuple[object, ...]
    stretch: Stretch
    is_forward: bool
    is_settled: bool

    def part_to(self, edge: datetime) -> Stretch:
        """What of the time a page covers that reaches to `edge`."""
        if self.is_forward:
            return Stretch(self.stretch.start, edge)
        return Stretch(edge, self.stretch.end)

    def edge_of(self, part: Stretch) -> datetime:
        return part.end if self.is_forward else part.start

    @property
    def far_edge(self) -> datetime:
        """Where the last page ends."""
        return self.edge_of(self.stretch)

    def can_be_kept_to(self, edge: datetime) -> bool:
        """Whether a page that ends there ends there whenever it is asked for."""
        near_is_settled = self.is_forward or self.is_settled
        return near_is_settled and (self.is_settled or edge != self.far_edge)


class PageReader(HistoricalDataProvider):
    """A provider that answers in pages.

    A question with a start has pages that go forward from it; one without, the newest rows first and then further and
    further back. Rows are oldest first in either. `known` are the ETags of answers that the asker has kept; where
    one of them still holds, the rows are not read, and Unchanged is given. `form` is the answer's media type.
    """

    async def candle_page(
        self, asked: CandleQuestion, form: str = "", known: Sequence[str] = ()
    ) -> Page | Unchanged:
        """A page of candles. Raises UnknownSymbol and StorageError."""
        pool, interval, limit = self._connected(), asked.interval, asked.limit
        async with pool.connection() as connection:
            name, bounds = await self._find(connection, asked.symbol, interval)
            question = self._candle_question(asked, name, form)
            kept_from = bounds.fence if interval.parent is None else None
            for kept in known:
                if await self._is_unchanged(connection, name, question, kept, interval, kept_from):
                    return Unchanged(kept)
            held = held_part(interval, bounds, question.stretch)
            read = read_oldest if question.is_forward else read_newest
            rows = await read(connection, interval, name, held, limit + 1)
            following = None
            edge = question.far_edge
            if len(rows) > limit:
                rows = rows[:limit] if question.is_forward else rows[-limit:]
                last: datetime = rows[-1][1] if question.is_forward else rows[0][1]
                edge = last + interval.length if question.is_forward else last
                following = Cursor(_us_of(last))
            part = question.part_to(edge)
            ledger = await read_ledger(connection, name, part)
            coverage = coverage_of(part, ledger, interval.minutes, kept_from)
            etag = None
            if (
                coverage.is_proven
                and question.can_be_kept_to(edge)
                and await _are_whole_candles(connection, name, interval, rows, part, bounds, ledger)
            ):
                etag = etag_of(question.facts, edge, ledger, await read_newest_healed(connection, name))
        return Page(name, rows, coverage, following, etag)

    async def trade_page(
        self, asked: TradeQuestion, form: str = "", known: Sequence[str] = ()
    ) -> Page | Unchanged:
        """A page of stored trades, by time and id, those of archives without ids too (their ids are negative)."""
        pool, minute = self._connected(), interval_of(1)
        async with pool.connection() as connection:
            name, bounds = await self._find(connection, asked.symbol, minute)
            line = (await read_lines(connection)).trades
            question = self._trade_question(asked, name, form)
            for kept in known:
                if await self._is_unchanged(connection, name, question, kept, minute, line):
                    return Unchanged(kept)
            rows = await _read_trade_rows(connection, name, asked, question.stretch, bounds, line)
            following, edge = None, question.far_edge
            if len(rows) > asked.limit:
                rows = rows[: asked.limit] if question.is_forward else rows[-asked.limit :]
                last: datetime = rows[-1][2] if question.is_forward else rows[0][2]
                edge = last + MICROSECOND if question.is_forward else last
                following = Cursor(_us_of(last), (rows[-1] if question.is_forward else rows[0])[1])
            part = question.part_to(edge)
            ledger = _of_trades(await read_ledger(connection, name, part))
            coverage = coverage_of(part, ledger, kept_from=line)
            etag = None
            if coverage.is_proven and question.can_be_kept_to(edge) and _are_whole_trades(rows, ledger):
                etag = etag_of(question.facts, edge, ledger, await read_newest_healed(connection, name))
        return Page(name, rows, coverage, following, etag)

    async def read_coverage(self, asked: CoverageQuestion) -> tuple[str, Coverage]:
        """The symbol, and how complete the candles of an interval are over the time asked for, up to the open one."""
        async with self._connected().connection() as connection:
            name, bounds = await self._find(connection, asked.symbol, asked.interval)
            stretch = self._asked(asked.interval, asked.start, asked.end, include_open=False)
            ledger = await read_ledger(connection, name, stretch)
        kept_from = bounds.fence if asked.interval.parent is None else None
        return name, coverage_of(stretch, ledger, asked.interval.minutes, kept_from)

    async def check(self) -> None:
        """Ask the database for a sign of life; raises StorageError without one."""
        async with self._connected().connection() as connection:
            await read_lines(connection)

    def _candle_question(self, asked: CandleQuestion, name: str, form: str) -> _Question:
        interval = asked.interval
        whole = self._asked(interval, asked.start, asked.end, asked.include_open)
        stretch = whole
        if asked.cursor is not None:
            place = moment_of(asked.cursor.us * 1000)
            if asked.is_forward:
                stretch = Stretch(min(max(whole.start, place + interval.length), whole.end), whole.end)
            else:
                stretch = Stretch(whole.start, max(whole.start, min(place, whole.end)))
        # An end that lies ahead was cut to the present, which moves on.
        is_settled = asked.end is not None and whole.end == self._asked_end(interval, asked.end)
        if not asked.is_forward:
            is_settled = is_settled or asked.cursor is not None
        facts = (
            form,
            "candles",
            name,
            interval.name,
            asked.is_forward,
            stretch.start,
            asked.end,
            asked.limit,
        )
        return _Question((*facts, asked.cursor), stretch, asked.is_forward, is_settled)

    def _asked_end(self, interval: Interval, end: datetime) -> datetime:
        # The same rounding as the provider's.
        return self._asked(interval, end, end, include_open=True).end

    def _trade_question(self, asked: TradeQuestion, name: str, form: str) -> _Question:
        now = self._clock()
        whole_start, whole_end = asked.start or KRAKEN_OPENED, now if asked.end is None else asked.end
        start, end = min(whole_start, whole_end), whole_end
        if asked.cursor is not None:
            place = moment_of(asked.cursor.us * 1000)
            if asked.is_forward:
                start = min(max(start, place), end)
            else:
                end = max(start, min(place + MICROSECOND, end))
        is_settled = asked.end is not None and asked.end <= now
        if not asked.is_forward:
            is_settled = is_settled or asked.cursor is not None
        facts = (form, "trades", name, asked.is_forward, start, asked.end, asked.limit, asked.cursor)
        return _Question(facts, Stretch(start, end), asked.is_forward, is_settled)

    async def _is_unchanged(
        self,
        connection: Connection,
        name: str,
        question: _Question,
        etag: str,
        interval: Interval,
        kept_from: datetime | None,
    ) -> bool:
        """Whether an answer that was given this ETag would be given again, byte for byte."""
        edge = edge_of(etag)
        stretch = question.stretch
        if edge is None or not stretch.start <= edge <= stretch.end or not question.can_be_kept_to(edge):
            return False
        part = question.part_to(edge)
        ledger = await read_ledger(connection, name, part)
        if question.facts[1] == "trades":
            ledger = _of_trades(ledger)
        if not coverage_of(part, ledger, interval.minutes, kept_from).is_proven:
            return False
        return etag == etag_of(question.facts, edge, ledger, await read_newest_healed(connection, name))


async def _are_whole_candles(
    connection: Connection,
    name: str,
    interval: Interval,
    rows: Sequence[Row],
    part: Stretch,
    bounds: Bounds,
    ledger: Ledger,
) -> bool:
    """Whether the rows and their neighbours prove by their ids that none is missing and none behind the ledger."""
    held = held_range(interval, bounds)
    if held is None:
        return False
    older = Stretch(held.start, max(held.start, part.start))
    newer = Stretch(min(part.end, held.end), held.end)
    before = await read_newest(connection, interval, name, older, 1)
    after = await read_oldest(connection, interval, name, newer, 1)
    spans = [_candle_span(row) for row in (*before, *rows, *after)]
    if not all(spans):
        return False
    whole = [span for span in spans if span is not None]
    first, last = whole[: len(before)], whole[len(whole) - len(after) :]
    return are_whole(
        whole[len(before) : len(whole) - len(after)],
        first[0] if first else None,
        last[0] if last else None,
        ledger,
    )


def _candle_span(row: Row) -> IdSpan | None:
    candle = Candle.from_row(row)
    if candle.first_id is None or candle.last_id is None:
        return None
    return IdSpan(candle.first_id, candle.last_id, candle.trade_count)


def _are_whole_trades(rows: Sequence[Row], ledger: Ledger) -> bool:
    """Whether no id between the first and the last row is missing. Rows and ledger are of one transaction, so that what
    the ledger proves beside them is proven."""
    spans = [IdSpan(each, each, 1) for each in sorted(row[1] for row in rows)]
    return len(spans) < 2 or are_whole(spans[1:-1], spans[0], spans[-1], ledger)


def _of_trades(ledger: Ledger) -> Ledger:
    """What it says of trades: candle archives hold none."""
    return replace(ledger, candle_runs=())


async def _read_trade_rows(
    connection: Connection, name: str, asked: TradeQuestion, stretch: Stretch, bounds: Bounds, line: datetime
) -> Sequence[Row]:
    """One row more than asked for, if there are so many: looked for in longer and longer parts of the time."""
    if bounds.first_ns is None or bounds.last_ns is None:
        return []
    start = max(stretch.start, moment_of(bounds.first_ns), line)
    end = min(stretch.end, moment_of(bounds.last_ns) + AFTER_LAST)
    if asked.cursor is not None:
        place = TradePlace(moment_of(asked.cursor.us * 1000), asked.cursor.trade_id)
    else:
        place = TradePlace(stretch.start if asked.is_forward else stretch.end, BEFORE_ALL_IDS)
    rows: list[Row] = []
    limit, reach = asked.limit + 1, FIRST_LOOK_AT_TRADES
    while len(rows) < limit and start < end:
        wanted, step = limit - len(rows), min(reach, end - start)
        if asked.is_forward:
            look = Stretch(start, start + step)
            rows += await read_trades_after(connection, name, look, place, wanted)
            start = look.end
        else:
            look = Stretch(end - step, end)
            rows = [*await read_trades_before(connection, name, look, place, wanted), *rows]
            end = look.start
        reach *= FURTHER_LOOK
    return rows


def _us_of(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
