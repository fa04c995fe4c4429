"""GapFiller: what the ledger lacks at the tail and inside, found and filled."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from krakendata.gaps import CandleRun, Gap, Stretch, gaps_of
from krakendata.ingest.asking import ask
from krakendata.ingest.candle_page import INTERVAL_MINUTES, candle_page_block
from krakendata.ingest.csv_import import MAX_REJECTS_KEPT
from krakendata.ingest.page_writer import PageWriter
from krakendata.ingest.pair_backfill import PairBackfill
from krakendata.ingest.pair_job import PairJob
from krakendata.kraken.rest import KrakenRest
from krakendata.storage.bulk import BlockOutdated, Counts, write_block
from krakendata.storage.ledger import read_lines
from krakendata.storage.pool import WAIT_SECONDS
from krakendata.storage.queries import read_ledger, read_pairs, read_tracked_pairs
from krakendata.storage.writers import Writers
from krakendata.types import EPOCH, Symbols

# The customer's word: a tail is a gap once its newest trade, or the answer that none is newer, is so old.
TAIL_DUE = timedelta(minutes=2)

# The customer's word: up to here candles come first, from here on only trades.
SHORT_GAP = timedelta(hours=12)

# REST's candles of one minute reach back no further (kraken-facts 0.1).
CANDLES_REACH = timedelta(minutes=720)

# As many ids fit on one page: trades then come as fast as candles would, and prove more.
ONE_PAGE = 1_000

CONCURRENCY = 4
RUN_KIND = "gap_fill"

Choose = Callable[[list[Gap]], list[Gap]]


@dataclass(frozen=True, slots=True)
class GapReport:
    """What became of one pair's gaps.

    `state` is "done", "stopped", "failed" (then `error` is a sentence and `transient` tells whether another try may
    help) or "busy" (an import or backfill of the pair is at work). `gaps` counts those that were due; `candles` those
    written ahead of their trades; `trades` is what became of the trades that were read. `left` counts the gaps that the
    exchange could not fill: another look asks again.
    """

    symbol: str
    state: str
    gaps: int = 0
    candles: int = 0
    trades: Counts = field(default_factory=Counts)
    error: str = ""
    transient: bool = False
    left: int = 0


@dataclass(frozen=True, slots=True)
class GapProgress:
    """How far all pairs together are: gaps filled of those found so far, and trades read."""

    symbol: str
    done: int
    found: int
    rows: int
    message: str = ""


class GapFiller:
    """Finds gaps in the ledger and asks the exchange for what is missing, up to `concurrency` pairs at a time.

    `database` is an address or psycopg's connection arguments, `rest` a client that is open. A pair that another
    import or backfill works on is left to it, unless `waits`. A run is recorded only where more than the usual tail
    was written. `report` is told the progress, `should_stop` asked between pages; `clock` gives aware UTC. A database
    that is away is waited for as long as `wait_seconds`.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        rest: KrakenRest,
        *,
        concurrency: int = CONCURRENCY,
        max_rejects_kept: int = MAX_REJECTS_KEPT,
        waits: bool = False,
        by: str = "command",
        report: Callable[[GapProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._database = database
        self._concurrency = concurrency
        self._wait_seconds = wait_seconds
        self._pass = _Pass(rest, max_rejects_kept, waits, by, report, should_stop, clock)

    async def fill_gap(self, symbol: str, start: datetime, end: datetime) -> GapReport:
        """Fill whatever is missing of a pair (any spelling) between two aware times, `end` not included.

        Raises UnknownSymbol; what the exchange or the database refuses is in the report.
        """
        (report,) = await self._fill({symbol: start}, lambda gaps: gaps, end)
        return report

    async def fill_all_gaps(
        self, symbols: Sequence[str] | None = None, *, before_beginning: bool = False
    ) -> list[GapReport]:
        """Fill the gaps of some pairs, or of all that are tracked: inside, and at the tail once it is two minutes old.

        Gaps that were never begun, from the pair's start (or the day it is tracked from) to the first trade held, are
        a backfill's, and are left to it unless `before_beginning`. Raises UnknownSymbol.
        """
        since: dict[str, datetime | None] = dict.fromkeys(symbols or ())
        return await self._fill(
            since if symbols is not None else None,
            lambda gaps: [gap for gap in gaps if self._is_due(gap, before_beginning)],
            None,
        )

    def _is_due(self, gap: Gap, before_beginning: bool) -> bool:
        if gap.before is None and self._pass.clock() - gap.stretch.start < TAIL_DUE:
            return False
        return gap.is_begun or before_beginning

    async def _fill(
        self,
        since: Mapping[str, datetime | None] | None,
        choose: Choose,
        until: datetime | None,
    ) -> list[GapReport]:
        async with Writers(self._database, self._concurrency + 1, wait_seconds=self._wait_seconds) as writers:
            async with writers.connection() as connection:
                pairs = Symbols(await read_pairs(connection))
                tracked = {pair.symbol: pair for pair in await read_tracked_pairs(connection)}
            wanted = (
                {symbol: pair.since for symbol, pair in tracked.items()}
                if since is None
                else {
                    symbol: moment or (tracked[symbol].since if symbol in tracked else None)
                    for symbol, moment in ((pairs.resolve(name), at) for name, at in since.items())
                }
            )
            places = asyncio.Semaphore(self._concurrency)

            async def fill(symbol: str, start: datetime | None) -> GapReport:
                candles_only = symbol in tracked and tracked[symbol].candles_only
                async with places:
                    gaps = (_CandleGaps if candles_only else _PairGaps)(
                        self._pass, writers, symbol, pairs, start, until, choose
                    )
                    return await gaps.fill()

            async with asyncio.TaskGroup() as tasks:
                filling = [tasks.create_task(fill(symbol, start)) for symbol, start in wanted.items()]
            return [task.result() for task in filling]


@dataclass(slots=True)
class _Pass:
    """What all pairs of one filler share."""

    rest: KrakenRest
    max_rejects_kept: int
    waits: bool
    by: str
    report: Callable[[GapProgress], None]
    should_stop: Callable[[], bool]
    clock: Callable[[], datetime]
    done: int = 0
    found: int = 0
    rows: int = 0

    def tell(self, symbol: str, message: str = "") -> None:
        self.report(GapProgress(symbol, self.done, self.found, self.rows, message))


class _PairGaps:
    """One pair's gaps, from its lock to its report."""

    def __init__(
        self,
        shared: _Pass,
        writers: Writers,
        symbol: str,
        pairs: Symbols,
        since: datetime | None,
        until: datetime | None,
        choose: Choose,
    ) -> None:
        self._shared = shared
        self._writers = writers
        self._symbol = symbol
        self._pairs = pairs
        self._since = since
        self._until = until
        self._choose = choose
        facts = {"symbol": symbol, "by": shared.by}
        self._job = PairJob(writers, symbol, RUN_KIND, facts, shared.clock)
        self._gaps = 0
        self._left = 0
        self._candles = 0
        self._is_recorded = False

    async def fill(self) -> GapReport:
        outcome = await self._job.do(self._fill_chosen, self._lock)
        return GapReport(
            self._symbol,
            outcome.state,
            self._gaps,
            self._candles,
            self._job.counts,
            outcome.error,
            outcome.transient,
            self._left,
        )

    async def _lock(self) -> bool:
        return await self._writers.lock_job(self._symbol, waits=self._shared.waits)

    async def _fill_chosen(self) -> None:
        gaps = self._choose(await self._find())
        self._gaps = len(gaps)
        self._shared.found += len(gaps)
        if not gaps:
            return
        writer = PageWriter(
            self._writers, self._symbol, None, self._shared.max_rejects_kept, start_run=self._job.run
        )

        async def begin_run() -> None:
            if self._is_recorded:
                writer.run_id = await self._job.run()

        pair = PairBackfill(
            self._shared.rest,
            self._pairs.altname(self._symbol),
            writer,
            clock=self._shared.clock,
            written=self._written,
            should_stop=self._shared.should_stop,
            begin=begin_run,
        )
        for gap in reversed(gaps):
            await self._fill_one(gap, pair)
            self._shared.done += 1
            self._shared.tell(self._symbol)
        self._left = sum(gap.before is not None for gap in self._choose(await self._find()))

    async def _find(self) -> list[Gap]:
        now = self._shared.clock()
        async with self._writers.connection() as connection:
            ledger = await read_ledger(connection, self._symbol, Stretch(EPOCH, now))
        return gaps_of(ledger, self._since, min(now, self._until or now))

    async def _fill_one(self, gap: Gap, pair: PairBackfill) -> None:
        """The usual tail in one call, unrecorded; else candles first where they reach, and the trades."""
        self._is_recorded = False
        if gap.before is None and self._until is None and await pair.fill_near_tail(gap.after):
            return
        self._is_recorded = True
        if self._wants_candles(gap):
            await self._fill_candles(gap.stretch)
        await pair.fill(gap, self._since, self._until, newest_first=False)

    def _wants_candles(self, gap: Gap) -> bool:
        is_one_page = gap.after and gap.before and gap.before.trade_id - gap.after.trade_id <= ONE_PAGE
        is_short = gap.stretch.end - gap.stretch.start < SHORT_GAP
        return is_short and not is_one_page and gap.stretch.start >= self._shared.clock() - CANDLES_REACH

    async def _fill_candles(self, stretch: Stretch) -> None:
        altname = self._pairs.altname(self._symbol)
        answer = await ask(lambda: self._shared.rest.candles(altname, INTERVAL_MINUTES))
        while True:
            async with self._writers.connection() as connection:
                lines = await read_lines(connection)
                block = candle_page_block(
                    answer.page.rows, self._symbol, stretch, lines, self._shared.clock()
                )
                if block is None:
                    return
                run_id = await self._job.run()
                try:
                    counts = await write_block(connection, block, run_id, self._shared.max_rejects_kept)
                except BlockOutdated:
                    continue
            break
        self._candles += counts.stored
        await self._job.refresh()
        self._shared.tell(
            self._symbol, f"{self._symbol}: {counts.stored} minutes at once, their trades follow."
        )

    async def _written(self, counts: Counts, _answered: int) -> None:
        self._job.counts += counts
        self._shared.rows += counts.read
        self._shared.tell(self._symbol)


class _CandleGaps(_PairGaps):
    """The same for a pair that is kept by its candles alone: from the first minute that is missing on.

    A feed hears of no minute without trades: that there were none, REST has to say.
    """

    async def _fill_chosen(self) -> None:
        now = self._shared.clock()
        reaches = now - CANDLES_REACH
        async with self._writers.connection() as connection:
            ledger = await read_ledger(connection, self._symbol, Stretch(EPOCH, now))
        minutes = [run for run in ledger.candle_runs if run.interval_minutes == INTERVAL_MINUTES]
        start = _unbroken_to(minutes, max(self._since or reaches, reaches))
        if self._until is None and now - start < TAIL_DUE:
            return
        self._gaps = 1
        self._shared.found += 1
        await self._fill_candles(Stretch(start, min(now, self._until or now)))
        self._shared.done += 1
        self._shared.tell(self._symbol)


def _unbroken_to(runs: Sequence[CandleRun], since: datetime) -> datetime:
    """The start of the last minute behind `since` up to which, from the first one that is held, none is missing.

    It may have been written while it formed.
    """
    reached = None
    for run in sorted(run for run in runs if run.last_start >= since):
        if reached is not None and run.first_start > reached + timedelta(minutes=INTERVAL_MINUTES):
            break
        reached = run.last_start
    return since if reached is None else reached
