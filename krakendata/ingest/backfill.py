"""KrakenTradesBackfill: a pair's whole history, or a part of it, by REST Trades."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from krakendata.errors import KrakenDataError, StorageUnavailable
from krakendata.gaps import Gap, Stretch, gaps_of
from krakendata.ingest.csv_import import MAX_REJECTS_KEPT
from krakendata.ingest.page_writer import PageWriter
from krakendata.ingest.pair_backfill import PairBackfill, Stopped
from krakendata.kraken.rest import KrakenRest
from krakendata.storage.bulk import Counts
from krakendata.storage.queries import read_ledger, read_pairs
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.sessions import read_edition
from krakendata.storage.writers import Writers
from krakendata.types import EPOCH, Symbols

# Pairs side by side: the exchange counts calls by pair as well as by address (kraken-facts 1.2).
PARALLEL_PAIRS = 4

# Rows between two refreshes of the rollups on the way: a few minutes of work for the fastest exchange, so that
# a long backfill shows itself, and few enough refreshes not to slow it.
REFRESH_EVERY = 2_000_000

JOB_LOCK_SECONDS = 1.0

# A restart of the database takes seconds; who is away longer is reported, and the schedule tries again.
STORAGE_TRIES = 10
STORAGE_WAIT_SECONDS = 3.0

RUN_KIND = "backfill"

logger = logging.getLogger(__name__)


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
    help) or "busy" (another import or backfill of the pair is at work). `calls` counts questions to the exchange.
    """

    symbol: str
    state: str
    run_id: int | None = None
    counts: Counts = field(default_factory=Counts)
    error: str = ""
    transient: bool = False
    calls: int = 0
    seconds: float = 0.0


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
        self._rest = rest
        self._parallel_pairs = parallel_pairs
        self._max_rejects_kept = max_rejects_kept
        self._waits = waits
        self._by = by
        self._report = report
        self._should_stop = should_stop
        self._clock = clock

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
        async with Writers(self._database, self._parallel_pairs + 1) as writers:
            async with writers.connection() as connection:
                pairs = Symbols(await read_pairs(connection))
            names = list(dict.fromkeys(pairs.resolve(symbol) for symbol in symbols))
            places = asyncio.Semaphore(self._parallel_pairs)

            async def backfill(symbol: str) -> BackfillReport:
                async with places:
                    job = _Job(self, writers, symbol, pairs.altname(symbol), since, until, newest_first)
                    return await job.run()

            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(backfill(name)) for name in names]
            return [task.result() for task in running]


class _Job:
    """One pair's backfill, from its lock to its report."""

    def __init__(
        self,
        deed: KrakenTradesBackfill,
        writers: Writers,
        symbol: str,
        altname: str,
        since: datetime | None,
        until: datetime | None,
        newest_first: bool,
    ) -> None:
        self._deed = deed
        self._writers = writers
        self._symbol = symbol
        self._altname = altname
        self._since = since
        self._until = until
        self._newest_first = newest_first
        self._counts = Counts()
        self._total: int | None = None
        self._unrefreshed = 0
        self._calls = 0
        self._run_id: int | None = None

    async def run(self) -> BackfillReport:
        started = time.monotonic()
        if not await self._lock():
            return BackfillReport(self._symbol, "busy")
        state, error, transient = "failed", "", False
        try:
            self._run_id = await self._writers.start_run(RUN_KIND, self._parameters())
            await self._fill_patiently()
            state = "done"
        except (asyncio.CancelledError, Stopped) as stop:
            state = "stopped"
            if isinstance(stop, asyncio.CancelledError):
                raise
        except KrakenDataError as failure:
            error, transient = str(failure), failure.transient
        except Exception as failure:
            # A defect of ours: this pair's alone, but with its trace in the log.
            logger.exception("The backfill of %s failed.", self._symbol)
            error = f"{type(failure).__name__}: {failure}"
        finally:
            error = await asyncio.shield(self._finish(state, error))
        return BackfillReport(
            self._symbol, "failed" if error else state, self._run_id, self._counts, error, transient,
            self._calls, time.monotonic() - started,
        )  # fmt: skip

    def _parameters(self) -> dict[str, Any]:
        return {
            "symbol": self._symbol,
            "since": self._since and self._since.isoformat(),
            "until": self._until and self._until.isoformat(),
            "newest_first": self._newest_first,
            "by": self._deed._by,
        }

    async def _lock(self) -> bool:
        while not await self._writers.try_job_lock(self._symbol):
            if not self._deed._waits:
                return False
            self._tell(f"Waiting for another import or backfill of {self._symbol} to end.")
            await asyncio.sleep(JOB_LOCK_SECONDS)
        return True

    async def _fill_patiently(self) -> None:
        """Fill, and where the database went away for a moment begin again with what the ledger then lacks."""
        tries = 0
        while True:
            written = self._counts.read
            try:
                await self._fill()
                return
            except StorageUnavailable as failure:
                tries = 0 if self._counts.read > written else tries + 1
                if tries >= STORAGE_TRIES:
                    raise
                self._tell(f"{failure} Trying again in {STORAGE_WAIT_SECONDS:.0f} s.")
                await asyncio.sleep(STORAGE_WAIT_SECONDS)
                if not await self._lock():
                    raise Stopped from failure

    async def _fill(self) -> None:
        gaps = await self._gaps()
        writer = PageWriter(self._writers, self._symbol, self._run_id, self._deed._max_rejects_kept)
        pair = PairBackfill(
            self._deed._rest,
            self._altname,
            writer,
            clock=self._deed._clock,
            written=self._written,
            should_stop=self._deed._should_stop,
        )
        try:
            await self._estimate(gaps, pair)
            for gap in reversed(gaps) if self._newest_first else gaps:
                await pair.fill(gap, self._since, self._until, self._newest_first)
        finally:
            self._calls += pair.calls

    async def _gaps(self) -> list[Gap]:
        now = self._deed._clock()
        async with self._writers.connection() as connection:
            ledger = await read_ledger(connection, self._symbol, Stretch(EPOCH, now))
        return gaps_of(ledger, self._since, min(now, self._until or now))

    async def _estimate(self, gaps: list[Gap], pair: PairBackfill) -> None:
        """How many ids the gaps have: known at both ends, or asked for where they are open."""
        ids = 0
        for gap in gaps:
            first, last = gap.after, gap.before
            if first is None and self._since is not None:
                first = await pair.edge_at(self._since)
            if last is None:
                last = await pair.edge_at(self._until)
            ids += max(0, (last.trade_id if last else 0) - (first.trade_id if first else 0))
        done = self._counts.read
        self._total = done + ids
        if self._run_id is not None:
            await self._writers.set_run_total(self._run_id, done, self._total)

    async def _written(self, counts: Counts) -> None:
        self._counts += counts
        self._unrefreshed += counts.read
        if self._unrefreshed >= REFRESH_EVERY:
            self._unrefreshed = 0
            await self._refresh()
        self._tell()

    async def _refresh(self) -> None:
        async with self._writers.connection() as connection:
            await refresh_rollups(connection, await read_edition(connection), self._deed._clock())

    async def _finish(self, state: str, error: str) -> str:
        """Show in every rollup what was written, end the run, let the next one go on; give what went wrong."""
        try:
            if self._counts.stored or self._counts.folded:
                await self._refresh()
        except KrakenDataError as failure:
            error = f"{error}\nThe rollups are not up to date: {failure}".strip()
        try:
            if self._run_id is not None:
                await self._writers.finish_run(self._run_id, "failed" if error else state, error)
            if error:
                await self._writers.report_sync_error(self._symbol, "trades", error)
            await self._writers.release_job_lock(self._symbol)
        except StorageUnavailable as failure:
            # The run will be found without its process; the locks went with the connection.
            error = error or str(failure)
        return error

    def _tell(self, message: str = "") -> None:
        counts = self._counts
        done = counts.stored + counts.folded + counts.rejected
        self._deed._report(BackfillProgress(self._symbol, done, self._total, counts, message))
