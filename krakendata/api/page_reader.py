"""The provider, page by page: each in one state of the database, with its coverage, and an ETag where it is final."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from krakendata.api.cursors import Cursor
from krakendata.api.etags import IdSpan, are_whole, edge_of, etag_of
from krakendata.api.questions import CandleQuestion, CoverageQuestion, TradeQuestion
from krakendata.candle_reads import StoredCandles
from krakendata.gaps import SETTLED, Coverage, Ledger, Stretch
from krakendata.held_candles import FIRST_LOOK, FURTHER_LOOK
from krakendata.historical_provider import HistoricalDataProvider
from krakendata.intervals import bucket_of, first_bucket, longest, next_bucket
from krakendata.storage.queries import (
    LOWEST_ID,
    Row,
    SyncStatus,
    read_newest_finding,
    read_selection,
    read_sync_status,
    read_trades_after,
    read_trades_before,
)
from krakendata.trade_reads import FIRST_LOOK_AT_TRADES, StoredTrades
from krakendata.types import EPOCH, Candle, moment_of

__all__ = ["Page", "PageReader", "Unchanged"]

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, oldest first, and how complete they are; `following` is where the next page goes on, None: there is none.

    `etag` is there where the page is final (etags.py).
    """

    symbol: str
    rows: Sequence[Row]
    coverage: Coverage
    following: Cursor | None
    etag: str | None


class Unchanged(NamedTuple):
    """The asker has the page already, under this ETag."""

    etag: str


class _Reach(NamedTuple):
    """The time that a page may cover, and what else its bytes depend on.

    `is_settled`: the time will be the same when the question is asked again.
    """

    facts: tuple[object, ...]
    stretch: Stretch
    is_forward: bool
    is_settled: bool

    def part_to(self, edge: datetime) -> Stretch:
        """What a page covers that goes as far as `edge`."""
        return Stretch(self.stretch.start, edge) if self.is_forward else Stretch(edge, self.stretch.end)

    @property
    def far_edge(self) -> datetime:
        """How far the last page goes."""
        return self.stretch.end if self.is_forward else self.stretch.start

    def is_final_at(self, edge: datetime) -> bool:
        """Whether a page that goes as far as `edge` always will: it is full, or its end is settled."""
        return self.is_settled or (self.is_forward and edge != self.far_edge)


class PageReader(HistoricalDataProvider):
    """A provider that answers in pages.

    A question with a start has pages that go forward from it; one without, the newest rows first and then further and
    further back. Rows are oldest first in either. `known` are the ETags of answers that the asker has kept; where one
    of them still holds, the rows are not read, and Unchanged is given. `form` is the answer's media type.
    """

    async def candle_page(
        self, asked: CandleQuestion, form: str = "", known: Sequence[str] = ()
    ) -> Page | Unchanged:
        """A page of candles. Raises UnknownSymbol and StorageError."""
        async with self._connected().connection() as connection:
            series = await self._series(connection, asked.symbol, asked.interval)
            reach = self._candle_reach(asked, series.symbol, form)
            if (kept := await _kept(series, reach, known)) is not None:
                return Unchanged(kept)
            rows = await _candle_rows(series, reach, asked.limit + 1)
            following, edge = None, reach.far_edge
            if len(rows) > asked.limit:
                rows = rows[: asked.limit] if reach.is_forward else rows[-asked.limit :]
                last: datetime = (rows[-1] if reach.is_forward else rows[0])[1]
                edge = next_bucket(last, asked.interval) if reach.is_forward else last
                following = Cursor(_us_of(last))
            judged = await _judge(series, reach.part_to(edge))
            is_final = judged.is_settled and reach.is_final_at(edge)
            is_kept = is_final and _are_whole_candles(rows, judged.ledger)
            etag = await _etag(series, reach, edge, judged) if is_kept else None
        return Page(series.symbol, rows, judged.coverage, following, etag)

    async def trade_page(
        self, asked: TradeQuestion, form: str = "", known: Sequence[str] = ()
    ) -> Page | Unchanged:
        """A page of stored trades, by time and id, those of archives without ids too (their ids are negative)."""
        async with self._connected().connection() as connection:
            series = await self._trades(connection, asked.symbol)
            reach = self._trade_reach(asked, series, form)
            if (kept := await _kept(series, reach, known)) is not None:
                return Unchanged(kept)
            rows = await _trade_rows(series, asked, reach)
            following, edge = None, reach.far_edge
            if len(rows) > asked.limit:
                rows = rows[: asked.limit] if reach.is_forward else rows[-asked.limit :]
                _, trade_id, last, *_ = rows[-1] if reach.is_forward else rows[0]
                edge = last + MICROSECOND if reach.is_forward else last
                following = Cursor(_us_of(last), trade_id)
            judged = await _judge(series, reach.part_to(edge))
            is_final = judged.is_settled and reach.is_final_at(edge)
            is_kept = is_final and _are_whole_trades(rows, judged.ledger)
            etag = await _etag(series, reach, edge, judged) if is_kept else None
        return Page(series.symbol, rows, judged.coverage, following, etag)

    async def coverage_of(self, asked: CoverageQuestion) -> tuple[str, Coverage, dict[str, SyncStatus]]:
        """The symbol, how complete the candles of an interval are over the time asked for, up to the open one, and by
        kind what is held at all."""
        stretch, _ = self._asked(asked.interval, asked.start, asked.end, include_open=False)
        async with self._connected().connection() as connection:
            series = await self._series(connection, asked.symbol, asked.interval)
            coverage, _ = await series.coverage(stretch)
            statuses = await read_sync_status(connection, series.symbol)
        return series.symbol, coverage, {each.kind: each for each in statuses}

    async def check(self) -> None:
        """Ask the database for a sign of life; raises StorageError without one."""
        async with self._connected().connection():
            # The pool looks whether a connection lives before it lends it.
            pass

    def _candle_reach(self, asked: CandleQuestion, symbol: str, form: str) -> _Reach:
        interval, place = asked.interval, asked.cursor and moment_of(asked.cursor.us * 1000)
        whole, _ = self._asked(interval, asked.start, asked.end, asked.include_open)
        stretch = whole
        if place is not None and asked.is_forward:
            start = next_bucket(bucket_of(place, interval), interval)
            stretch = Stretch(min(max(whole.start, start), whole.end), whole.end)
        elif place is not None:
            end = bucket_of(place, interval)
            stretch = Stretch(whole.start, max(whole.start, min(end, whole.end)))
        # An end that lies ahead was cut to the present, which moves on.
        is_settled = asked.end is not None and whole.end == first_bucket(asked.end, interval)
        is_settled |= place is not None and not asked.is_forward
        facts = (form, "candles", symbol, interval.name, *_facts_of(asked))
        return _Reach(facts, stretch, asked.is_forward, is_settled)

    def _trade_reach(self, asked: TradeQuestion, series: StoredTrades, form: str) -> _Reach:
        place = asked.cursor and moment_of(asked.cursor.us * 1000)
        whole = self._asked_time(asked.start, asked.end)
        if asked.end is None:
            whole = series.to_newest(whole)
        start, end = whole
        if place is not None and asked.is_forward:
            start = min(max(start, place), end)
        elif place is not None:
            # Others of the same moment may be before it.
            end = max(start, min(place + MICROSECOND, end))
        is_settled = asked.end is not None and asked.end <= self._clock()
        is_settled |= place is not None and not asked.is_forward
        facts = (form, "trades", series.symbol, *_facts_of(asked))
        return _Reach(facts, Stretch(start, end), asked.is_forward, is_settled)


def _facts_of(asked: CandleQuestion | TradeQuestion) -> tuple[object, ...]:
    return asked.start, asked.end, asked.limit, asked.cursor


class _Judged(NamedTuple):
    """How complete a time is, by which ledger, and whether no trade of it can be missing.

    Not even one that bears a time a little before its predecessor's: what is settled is proven a little further.
    """

    coverage: Coverage
    ledger: Ledger
    is_settled: bool


async def _judge(series: StoredCandles | StoredTrades, stretch: Stretch) -> _Judged:
    start = stretch.start - SETTLED
    if series.kept_from is not None and stretch.start >= series.kept_from:
        start = max(start, series.kept_from)
    wide, ledger = await series.coverage(Stretch(start, stretch.end + SETTLED))
    return _Judged(wide.within(stretch), ledger, wide.is_proven)


async def _etag(series: StoredCandles | StoredTrades, reach: _Reach, edge: datetime, judged: _Judged) -> str:
    """The ETag of a settled page that goes as far as `edge`."""
    finding = await read_newest_finding(series.connection, series.symbol)
    return etag_of(reach.facts, edge, judged.ledger, finding)


async def _kept(series: StoredCandles | StoredTrades, reach: _Reach, known: Sequence[str]) -> str | None:
    """Which of the ETags an answer would be given again, byte for byte; None: none, or nobody can say."""
    for etag in known:
        edge = edge_of(etag)
        if (
            edge is None
            or not reach.stretch.start <= edge <= reach.stretch.end
            or not reach.is_final_at(edge)
        ):
            continue
        judged = await _judge(series, reach.part_to(edge))
        if judged.is_settled and etag == await _etag(series, reach, edge, judged):
            return etag
    return None


async def _candle_rows(series: StoredCandles, reach: _Reach, limit: int) -> Sequence[Row]:
    part = series.part(reach.stretch)
    if reach.is_forward:
        return await _oldest_rows(series, part, limit)
    return await series.newest_rows(part, "none", limit)


async def _oldest_rows(series: StoredCandles, part: Stretch, limit: int) -> Sequence[Row]:
    """The oldest `limit` candles of `part`, looking further ahead until there are enough."""
    rows: list[Row] = []
    start, reach = part.start, FIRST_LOOK * limit * longest(series.interval)
    while len(rows) < limit and start < part.end:
        # Compared as durations: far enough ahead there is no date to compare with.
        is_last = reach >= part.end - start
        look = Stretch(start, part.end if is_last else bucket_of(start + reach, series.interval))
        selection = await series.selection(look, limit=limit - len(rows))
        rows += await read_selection(series.connection, selection)
        start, reach = look.end, FURTHER_LOOK * reach
    return rows


async def _trade_rows(series: StoredTrades, asked: TradeQuestion, reach: _Reach) -> list[Row]:
    """One row more than asked for, if there are so many: looked for in longer and longer parts of the time."""
    start, end = series.part(reach.stretch)
    place = (reach.stretch.start if reach.is_forward else reach.stretch.end, LOWEST_ID)
    if asked.cursor is not None:
        place = (moment_of(asked.cursor.us * 1000), asked.cursor.trade_id)
    rows: list[Any] = []
    limit, step = asked.limit + 1, FIRST_LOOK_AT_TRADES
    while len(rows) < limit and start < end:
        wanted, width = limit - len(rows), min(step, end - start)
        if reach.is_forward:
            look = Stretch(start, start + width)
            rows += await read_trades_after(series.connection, series.symbol, look, place, wanted)
            start = look.end
        else:
            look = Stretch(end - width, end)
            found = await read_trades_before(series.connection, series.symbol, look, place, wanted)
            rows = [*found, *rows]
            end = look.start
        step *= FURTHER_LOOK
    return [
        (series.symbol, trade_id, moment, Decimal(price), Decimal(volume), side, order_type)
        for trade_id, moment, price, volume, side, order_type in rows
    ]


def _are_whole_candles(rows: Sequence[Row], ledger: Ledger) -> bool:
    candles = Candle.from_rows(rows)
    spans = [
        IdSpan(each.first_id, each.last_id, each.trade_count)
        for each in candles
        if each.first_id is not None and each.last_id is not None
    ]
    return len(spans) == len(candles) and are_whole(spans, ledger)


def _are_whole_trades(rows: Sequence[Row], ledger: Ledger) -> bool:
    return are_whole([IdSpan(each, each, 1) for each in sorted(row[1] for row in rows)], ledger)


def _us_of(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
