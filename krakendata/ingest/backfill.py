"""KrakenTradesBackfill: a pair's whole history, or a part of it, by REST Trades."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from krakendata.errors import StorageUnavailable
from krakendata.gaps import Gap, Stretch, gaps_of
from krakendata.ingest.csv_import import MAX_REJECTS_KEPT
from krakendata.ingest.page_writer import PageWriter
from krakendata.ingest.pair_backfill import PairBackfill, Stopped
from krakendata.ingest.pair_job import PairJob
from krakendata.kraken.rest import KrakenRest
from krakendata.storage.bulk import Counts
from krakendata.storage.queries import read_ledger, read_pairs
from krakendata.storage.writers import Writers
from krakendata.types import EPOCH, Symbols, ns_of

# Pairs side by side: the exchange counts calls by pair as well as by address (kraken-facts 1.2).
PARALLEL_PAIRS = 4

# Rows between two refreshes of the rollups on the way: a few minutes of work for the fastest exchange, so that
# a long backfill shows itself, and few enough refreshes not to slow it.
REFRESH_EVERY = 2_000_000

# A restart of the database takes seconds; who is away longer is reported, and the schedule tries again.
STORAGE_TRIES = 10
STORAGE_WAIT_SECONDS = 3.0

RUN_KIND = "backfill"


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far one pair is: ids done of those wanted (None while not known), and rows by what became of them."""

    symbol: str
    done: int
    total: int | None
    counts: Counts
    message: str = ""


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a backfill did for one pair.

    `state` is "done", "stopped", "failed" (then `error` is a sentence and `transient` tells whether another try may
    help) or "busy" (another import or backfill of the pair is at work). `calls` counts questions to the exchange,
    `left` the gaps between trades that it could not fill.
    """

    symbol: str
    state: str
    run_id: int | None = None
    counts: Counts = field(default_factory=Counts)
    error: str = ""
    transient: bool = False
    calls: int = 0
    seconds: float = 0.0
    left: int = 0


class KrakenTradesBackfill:
    """Fetches what the ledger lacks; whatever stops it, the next one goes on where the last block ended.

    `database` is an address or psycopg's connection arguments, `rest` a client that is open. `report` is told the
    progress after every block; `should_stop` is asked between pages; `clock` gives aware UTC. With `waits` False a
    pair that another job holds is left alone, and reported as "busy". `by` says in the run who started it.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        rest: KrakenRest,
        *,
        parallel_pairs: int = PARALLEL_PAIRS,
        max_rejects_kept: int = MAX_REJECTS_KEPT,
        waits: bool = True,
        by: str = "command",
        report: Callable[[BackfillProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self.rest = rest
        self.parallel_pairs = parallel_pairs
        self.max_rejects_kept = max_rejects_kept
        self.waits = waits
        self.by = by
        self.report = report
        self.should_stop = should_stop
        self.clock = clock

    async def backfill_symbol(
        self,
        symbol: str,
        since: datetime | None = None,
        until: datetime | None = None,
        newest_first: bool = False,
    ) -> BackfillReport:
        """Fetch every trade of a pair (any spelling) that is not held, from its first or from `since` on.

        Times are aware; `until` None means up to now. When it returns, every rollup shows what was written. With
        `newest_first` the newest trades come at once and the past after them. Raises UnknownSymbol.
        """
        (report,) = await self.backfill_symbols([symbol], since, until, newest_first)
        return report

    async def backfill_symbols(
        self,
        symbols: Sequence[str],
        since: datetime | None = None,
        until: datetime | None = None,
        newest_first: bool = False,
    ) -> list[BackfillReport]:
        """The same for several pairs side by side; one that fails does not stop the others."""
        async with Writers(self._database, self.parallel_pairs + 1) as writers:
            async with writers.connection() as connection:
                pairs = Symbols(await read_pairs(connection))
            names = list(dict.fromkeys(pairs.resolve(symbol) for symbol in symbols))
            places = asyncio.Semaphore(self.parallel_pairs)

            async def backfill(symbol: str) -> BackfillReport:
                async with places:
                    history = _PairHistory(self, writers, symbol, pairs, since, until, newest_first)
                    return await history.backfill()

            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(backfill(name)) for name in names]
            return [task.result() for task in running]


class _PairHistory:
    """One pair's backfill, from its lock to its report."""

    def __init__(
        self,
        deed: KrakenTradesBackfill,
        writers: Writers,
        symbol: str,
        pairs: Symbols,
        since: datetime | None,
        until: datetime | None,
        newest_first: bool,
    ) -> None:
        self._deed = deed
        self._writers = writers
        self._symbol = symbol
        self._pairs = pairs
        self._since = since
        self._until = until
        self._newest_first = newest_first
        self._job = PairJob(writers, symbol, RUN_KIND, self._facts(), deed.clock)
        self._total: int | None = None
        self._unrefreshed = 0
        self._calls = 0
        self._answered = 0
        self._left = 0

    async def backfill(self) -> BackfillReport:
        started = time.monotonic()
        outcome = await self._job.do(self._fill_patiently, self._lock)
        return BackfillReport(
            self._symbol, outcome.state, self._job.run_id, self._job.counts, outcome.error, outcome.transient,
            self._calls, time.monotonic() - started, self._left,
        )  # fmt: skip

    def _facts(self) -> dict[str, Any]:
        return {
            "symbol": self._symbol,
            "since": self._since and self._since.isoformat(),
            "until": self._until and self._until.isoformat(),
            "newest_first": self._newest_first,
            "by": self._deed.by,
        }

    async def _lock(self) -> bool:
        return await self._writers.lock_job(
            self._symbol,
            waits=self._deed.waits,
            waiting=lambda: self._tell(f"Waiting for another import or backfill of {self._symbol} to end."),
        )

    async def _fill_patiently(self) -> None:
        """Fill, and where the database went away for a moment begin again with what the ledger then lacks."""
        tries, is_again = 0, False
        while True:
            written = self._job.counts.read
            try:
                # The lock went with its connection.
                if is_again and not await self._lock():
                    raise Stopped
                await self._fill()
                return
            except StorageUnavailable as failure:
                tries = 0 if self._job.counts.read > written else tries + 1
                if tries >= STORAGE_TRIES:
                    raise
                self._tell(f"{failure} Trying again in {STORAGE_WAIT_SECONDS:.0f} s.")
                await asyncio.sleep(STORAGE_WAIT_SECONDS)
                is_again = True

    async def _fill(self) -> None:
        altname = self._pairs.altname(self._symbol)
        run_id = await self._job.run()
        gaps = await self._gaps()
        writer = PageWriter(self._writers, self._symbol, run_id, self._deed.max_rejects_kept)
        pair = PairBackfill(
            self._deed.rest,
            altname,
            writer,
            clock=self._deed.clock,
            written=self._written,
            should_stop=self._deed.should_stop,
        )
        try:
            await self._estimate(run_id, gaps, pair)
            for gap in reversed(gaps) if self._newest_first else gaps:
                await pair.fill(gap, self._since, self._until, self._newest_first)
            self._left = sum(gap.before is not None for gap in await self._gaps()) if gaps else 0
        finally:
            self._calls += pair.calls

    async def _gaps(self) -> list[Gap]:
        now = self._deed.clock()
        async with self._writers.connection() as connection:
            ledger = await read_ledger(connection, self._symbol, Stretch(EPOCH, now))
        return gaps_of(ledger, self._since, min(now, self._until or now))

    async def _estimate(self, run_id: int, gaps: list[Gap], pair: PairBackfill) -> None:
        """How many ids the gaps have: known at both ends, or asked for where they are open."""
        ids = 0
        for gap in gaps:
            first, last = gap.after, gap.before
            if first is None and self._since is not None:
                first = await pair.edge_at(self._since)
            if last is None or (self._until is not None and last.ns > ns_of(self._until)):
                last = await pair.edge_at(self._until)
            ids += max(0, (last.trade_id if last else 0) - (first.trade_id if first else 0))
        self._total = self._done + ids
        await self._writers.set_run_total(run_id, self._done, self._total)

    async def _written(self, counts: Counts, answered: int) -> None:
        self._job.counts += counts
        self._answered += answered
        self._unrefreshed += counts.read
        if self._unrefreshed >= REFRESH_EVERY:
            self._unrefreshed = 0
            await self._job.refresh()
        self._tell()

    @property
    def _done(self) -> int:
        """The ids that are answered for by now."""
        counts = self._job.counts
        return counts.stored + counts.folded + self._answered

    def _tell(self, message: str = "") -> None:
        self._deed.report(BackfillProgress(self._symbol, self._done, self._total, self._job.counts, message))
