"""One pair's gaps filled by REST Trades: forwards, or the newest first in windows that reach back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from krakendata.errors import KrakenError, Unavailable
from krakendata.fields import KRAKEN_OPENED_NS
from krakendata.gaps import Edge, Gap, TradeCheck
from krakendata.ingest.asking import ask
from krakendata.ingest.page_rows import read_page
from krakendata.ingest.page_walk import BEGINNING, MARGIN_NS, PATIENCE, Taken, Target, Walk, ids_of
from krakendata.ingest.page_writer import PageWriter
from krakendata.ingest.takeover import NS_PER_MINUTE, NS_PER_UNIT
from krakendata.ingest.trade_frame import TradeRows
from krakendata.kraken.rest import KrakenRest
from krakendata.storage.bulk import Counts
from krakendata.types import ns_of

# REST may lag a little (kraken-facts 1.3): an answer proves the time up to so long before it was asked for.
REST_LAG = timedelta(seconds=10)

# A trade missing among younger ones may still come; later its absence is the exchange's last word.
SETTLED_AFTER = timedelta(minutes=10)

# Pages that wait while one block is written: enough to keep the exchange busy, few enough to forget.
PAGES_AHEAD = 10

# Pages that come within so long are one block, as a block by itself costs as much as the rows of three.
BLOCK_SECONDS = 0.5

# A window back in time begins as an hour and is to bring between 10 and 50 pages.
FIRST_WINDOW_NS = 60 * NS_PER_MINUTE
FEW_TRADES, MANY_TRADES = 10_000, 50_000

# How far before the first moment wanted a trade is looked for, that nothing may be missing between the two.
PROBES_NS = tuple(NS_PER_MINUTE * 8**power for power in range(8))

# While the past arrives, the newest trades are asked for this often.
HEAD_SECONDS = 60.0


# The edge of a pair that was never traded.
NOTHING = Edge(0, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """A page of trades as judged; `checked_ns` is the time that it is surely not older than."""

    rows: TradeRows
    last: str | None
    checked_ns: int

    @property
    def first(self) -> Edge | None:
        """The trade with the lowest id."""
        return _first(self.rows, self.last)

    @property
    def newest(self) -> Edge | None:
        """The trade with the highest id."""
        return _last(self.rows, self.last)

    @property
    def is_empty(self) -> bool:
        """Whether it has no rows at all, not even ones that cannot be read."""
        return self.rows.read == 0


@dataclass(frozen=True, slots=True)
class Followed:
    """Where a walk led: the first trade it met, how many it met, and the last."""

    first: Edge | None
    rows: int
    last: Edge | None


class Stopped(Exception):
    """Somebody asked to stop; everything written so far stands."""


class PairBackfill:
    """Fills gaps of one pair; `writer` is where its pages go.

    Before a block with news `begin` is called. After each block `written` is told what became of its rows, and how
    many ids are answered for without a trade.

    `pair` is the altname, which the exchange is asked for. `should_stop` is looked at between pages. `calls` counts
    the answers of the exchange.
    """

    def __init__(
        self,
        rest: KrakenRest,
        pair: str,
        writer: PageWriter,
        *,
        clock: Callable[[], datetime],
        written: Callable[[Counts, int], Awaitable[None]],
        should_stop: Callable[[], bool],
        begin: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._rest = rest
        self._pair = pair
        self._writer = writer
        self._clock = clock
        self._written = written
        self._should_stop = should_stop
        self._begin = begin
        self.calls = 0
        self._head: Edge | None = None
        self._head_asked = time.monotonic()

    async def fill(
        self, gap: Gap, since: datetime | None, until: datetime | None, newest_first: bool
    ) -> None:
        """Fill one gap: its ids between `since` and `until`, as far as the exchange has them.

        Raises KrakenError, StorageError, and Stopped.
        """
        since_ns = None if since is None else ns_of(since)
        until_ns = None if until is None else ns_of(until)
        if gap.before is None and until_ns is None:
            await self._fill_tail(gap.after, since_ns, newest_first)
            return
        # The exchange may have nothing at `until`: its newest trade is an end too.
        end = gap.before
        if end is None:
            answer = await self._ask_newest()
            if answer.is_empty:
                return
            end = answer.newest
        if not newest_first or end is None:
            target = self._target(gap.before, end.trade_id if end else None, until_ns)
            await self._follow(*await self._walk_from(gap.after, since_ns, target))
        elif gap.before is not None and (until_ns is None or gap.before.ns < until_ns):
            await self._fill_backwards(gap.after, gap.before, since_ns)
        else:
            last = end.ns + 1 if until_ns is None else min(end.ns + 1, until_ns)
            await self._fill_backwards(gap.after, None, since_ns, Target(end.trade_id, last))

    async def fill_near_tail(self, after: Edge | None) -> bool:
        """Fill the tail where one page of the newest trades joins what is held; whether it did."""
        answer = await self._ask_newest()
        if not _joins(after, answer):
            return False
        await self._catch_up(after, answer)
        return True

    async def edge_at(self, moment: datetime | None) -> Edge | None:
        """The first trade at `moment` or after it, as one answer shows it; without a moment the newest."""
        if moment is None:
            return (await self._ask_newest()).newest
        return (await self.ask_since(str(ns_of(moment) - MARGIN_NS))).first

    async def ask_since(self, since: str | None) -> Answer:
        """One page; without `since` the newest trades."""
        if self._should_stop():
            raise Stopped
        answer = await ask(lambda: self._rest.trades(self._pair, since))
        self.calls += 1
        rows = await asyncio.to_thread(read_page, answer.page.rows, self._writer.symbol, self._clock())
        surely = min(answer.asked_at, answer.answered_at or answer.asked_at) - REST_LAG
        return Answer(rows, answer.page.last, ns_of(surely))

    async def _fill_tail(self, after: Edge | None, since_ns: int | None, newest_first: bool) -> None:
        """From what is held to the newest trade there is, and record when that was."""
        answer = await self._ask_newest()
        newest = answer.newest
        if newest is not None and newest_first and not _joins(after, answer):
            await self._follow(Walk(None, None, self._target(None, newest.trade_id)), answer)
            self._head = newest
            await self._fill_backwards(after, answer.first, since_ns)
            await self._catch_up(self._head)
            return
        if not _joins(after, answer):
            walk = await self._walk_from(after, since_ns, self._target_of(answer))
            after = (await self._follow(*walk)).last
            answer = await self._ask_newest()
        await self._catch_up(after, answer)

    async def _catch_up(self, after: Edge | None, answer: Answer | None = None) -> None:
        """Bring in what is newer than `after`, until an answer joins it; that answer proves the time up to it."""
        answer = answer or await self._ask_newest()
        while not _joins(after, answer):
            after = (await self._follow(self._walk_to_newest(after, answer))).last or after
            answer = await self._ask_newest()
        newest, held = answer.newest or NOTHING, after or NOTHING
        # An answer that shows less than is held is an old one, and proves nothing of now.
        is_news = newest.trade_id >= held.trade_id
        check = TradeCheck(newest.trade_id, answer.checked_ns) if is_news else None
        await self._follow(self._walk_to_newest(after, answer), answer, check=check)
        self._head = newest if is_news else held

    def _walk_to_newest(self, after: Edge | None, answer: Answer) -> Walk:
        target = self._target_of(answer)
        return Walk(after.trade_id, after.ns, target) if after is not None else Walk(0, None, target)

    def _target_of(self, answer: Answer) -> Target:
        """The newest trade that an answer names; where its rows name none, the time of it: so far there are trades."""
        newest = answer.newest
        if newest is None and not answer.is_empty:
            return self._target(None, None, answer.checked_ns)
        return self._target(None, newest.trade_id if newest else 0)

    async def _fill_backwards(
        self, after: Edge | None, before: Edge | None, since_ns: int | None, end: Target | None = None
    ) -> None:
        """Windows back from `before` to `after`, or until a trade before `since_ns` is held.

        Where no trade beyond is held, `end` says with what id and at what time the first window ends.
        """
        reached = before.ns if before is not None else (end and end.until_ns) or ns_of(self._clock())
        width = FIRST_WINDOW_NS
        while before is None or before.trade_id > 1:
            if since_ns is not None and before is not None and before.ns < since_ns:
                return
            start = (reached - width) // NS_PER_UNIT * NS_PER_UNIT
            if since_ns is not None and start < since_ns < reached:
                # From here on a single trade is looked for, in small steps that grow.
                start, width = since_ns, PROBES_NS[0] // 4
            target = end if before is None and end is not None else self._target(before, None)
            if after is not None and start <= after.ns:
                await self._follow(Walk(after.trade_id, after.ns, target))
                return
            if start < KRAKEN_OPENED_NS:
                await self._follow(Walk(0, None, target))
                return
            opens_ns = -(-start // NS_PER_MINUTE) * NS_PER_MINUTE
            followed = await self._follow(Walk(None, start, target), opens_ns=opens_ns)
            before, reached = followed.first or before, start
            if followed.rows < FEW_TRADES:
                width *= 4
            elif followed.rows > MANY_TRADES:
                width //= 2
            await self._keep_head()

    async def _keep_head(self) -> None:
        if self._head is not None and time.monotonic() - self._head_asked > HEAD_SECONDS:
            await self._catch_up(self._head)

    async def _walk_from(
        self, after: Edge | None, since_ns: int | None, target: Target
    ) -> tuple[Walk, Answer | None]:
        """A walk forwards, and its first answer where that was asked for already.

        From a time on it begins with a trade before that time, so that nothing can be missing between the two.
        """
        if after is not None:
            return Walk(after.trade_id, after.ns, target), None
        for probe in PROBES_NS if since_ns is not None else ():
            start = (since_ns or 0) - probe
            if start < KRAKEN_OPENED_NS:
                break
            answer = await self.ask_since(str(start - MARGIN_NS))
            first = answer.first
            if first is not None and first.ns < (since_ns or 0):
                return Walk(None, start, target), answer
        return Walk(0, None, target), None

    def _target(self, before: Edge | None, until_id: int | None, until_ns: int | None = None) -> Target:
        """Where a walk ends: with the id before `before`, or with `until_id`, or at a time."""
        settled_ns = ns_of(self._clock() - SETTLED_AFTER)
        if before is not None:
            return Target(before.trade_id - 1, until_ns, before.trade_id, settled_ns, before.ns)
        return Target(until_id, until_ns, None, settled_ns)

    async def _ask_newest(self) -> Answer:
        """The newest trades; that there are none counts only where there is no beginning either."""
        self._head_asked = time.monotonic()
        for _ in range(PATIENCE):
            answer = await self.ask_since(None)
            if not answer.is_empty or (await self.ask_since(BEGINNING)).is_empty:
                return answer
        raise Unavailable(f"The exchange has trades of {self._pair}, but shows no newest ones.")

    async def _follow(
        self,
        walk: Walk,
        first: Answer | None = None,
        *,
        check: TradeCheck | None = None,
        opens_ns: int | None = None,
    ) -> Followed:
        """Walk to the end; while one block is written the next pages are asked for."""
        self._writer.begin(opens_ns)
        waiting: list[Taken] = []
        writing: asyncio.Task[None] | None = None
        next_block_at = time.monotonic()
        beginning: Edge | None = None
        rows = 0
        try:
            async for taken in self._pages(walk, first):
                if beginning is None and not taken.rows.frame.is_empty():
                    beginning = _first(taken.rows, None)
                rows += taken.rows.frame.height
                waiting.append(taken)
                is_full = len(waiting) >= PAGES_AHEAD
                if writing is not None and (writing.done() or is_full):
                    await writing
                    writing = None
                if writing is None and (is_full or time.monotonic() >= next_block_at):
                    writing = asyncio.create_task(self._write(waiting, is_end=False))
                    waiting, next_block_at = [], time.monotonic() + BLOCK_SECONDS
        except (KrakenError, Stopped):
            # What came until then is as good as ever.
            if writing is not None:
                await writing
            await self._write(waiting, is_end=True)
            raise
        finally:
            if writing is not None:
                # A block that is being written is written to its end, whatever happened meanwhile; who was cancelled
                # asks no more how it ended.
                await asyncio.wait([writing])
                _ = writing.cancelled() or writing.exception()
        if writing is not None:
            await writing
        await self._write(waiting, is_end=True, check=check)
        last = Edge(walk.last_id, walk.last_ns or 0) if walk.last_id else None
        return Followed(beginning, rows, last)

    async def _pages(self, walk: Walk, first: Answer | None) -> AsyncIterator[Taken]:
        answer = first
        while not walk.is_done:
            answer = answer or await self.ask_since(walk.since)
            yield walk.take(answer.rows, answer.last)
            answer = None

    async def _write(self, taken: list[Taken], *, is_end: bool, check: TradeCheck | None = None) -> None:
        if self._begin is not None and any(each.is_news for each in taken):
            await self._begin()
        counts = await self._writer.write(taken, is_end=is_end, check=check)
        await self._written(counts, sum(each.answered for each in taken))


def _joins(after: Edge | None, answer: Answer) -> bool:
    """Whether an answer goes on where `after` ends, without a step between the two."""
    first = answer.first
    if first is None:
        return answer.is_empty
    return first.trade_id <= (after.trade_id if after is not None else 0) + 1


def _first(rows: TradeRows, last: str | None) -> Edge | None:
    """The lowest id of rows, rejected ones included, with the time of the first sound trade, or `last` without any."""
    return _edge(min(ids_of(rows), default=None), rows.frame["ns"].min(), last)


def _last(rows: TradeRows, last: str | None) -> Edge | None:
    """The highest id, with the time of the last sound trade, or `last` without any."""
    return _edge(max(ids_of(rows), default=None), rows.frame["ns"].max(), last)


def _edge(number: int | None, ns: object, last: str | None) -> Edge | None:
    if number is None:
        return None
    if isinstance(ns, int):
        return Edge(number, ns)
    return Edge(number, int(last) if last is not None and last.isdecimal() else KRAKEN_OPENED_NS)
