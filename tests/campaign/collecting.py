"""Fetching under fire: deeds in this process, commands that are killed, workers that are killed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import psycopg

from krakendata.errors import StorageUnavailable
from krakendata.ingest.backfill import BackfillReport, KrakenTradesBackfill
from krakendata.ingest.gap_fill import GapFiller, GapReport
from tests.campaign.plan import Plan
from tests.campaign.servers import Ground
from tests.fix_trading import Replay
from tests.workers import LONG, SHORT, Workshop

# Whoever needs more tries than this gets nowhere.
TRIES = 40
LOOK_SECONDS = 0.05
PAUSE_SECONDS = 0.2
# Nobody waits so long, however busy the machine is, unless something is wrong.
PROCESS_SECONDS = 300

# Of a worker's log, when it does not get on.
LINES_SHOWN = 40

# Rows that a process reads before something happens to it, at most.
MOST_ROWS = 3_000

# Blocks that a deed of this process writes before the database is restarted, at most.
MOST_BLOCKS = 12

# Refusals for the rate are seconds that a process of its own would really wait.
RATE_FAULTS = ("rate_limit", "too_many_requests", "throttled", "lockout")

UNPACED = {"KRAKEN_CALLS_PER_SECOND": "0", "KRAKEN_CALLS_PER_SECOND_PER_PAIR": "0"}

ROWS_READ = "SELECT coalesce(sum(read), 0) FROM sync_runs"


class Reported(Protocol):
    """What the reports of both deeds have in common."""

    @property
    def state(self) -> str:
        """How it ended."""

    @property
    def error(self) -> str:
        """Why it failed."""

    @property
    def transient(self) -> bool:
        """Whether another try may help."""


Report = TypeVar("Report", bound=Reported)


@dataclass
class Collecting:
    """One run's collecting: by which plan, where, from which exchange; `facts` counts what was broken."""

    plan: Plan
    ground: Ground
    replay: Replay
    rng: random.Random
    facts: dict[str, int] = field(default_factory=dict)
    _is_cancelled: bool = False
    _restart_in: int = 0
    _restarting: asyncio.Task[None] | None = None

    @property
    def symbols(self) -> list[str]:
        return list(self.replay.exchange.histories)

    # --- processes of their own -----------------------------------------------------------------------------

    async def begin(self) -> None:
        """The part in which processes are killed, if the plan has one."""
        try:
            if self.plan.collector == "commands":
                await asyncio.to_thread(self._run_killed_commands)
            elif self.plan.collector == "worker":
                await asyncio.to_thread(self._run_killed_workers)
        except asyncio.CancelledError:
            # The thread goes on until it looks.
            self._is_cancelled = True
            raise

    def _run_killed_commands(self) -> None:
        with self._without_rate_faults():
            for _ in range(self.plan.kills):
                with self.ground.installation.start(*self._command(), **self._settings()) as process:
                    try:
                        self._let_it_work(lambda process=process: process.poll() is None)  # type: ignore[misc]
                        self._break_something()
                    finally:
                        if process.poll() is None:
                            process.kill()
                            self._note("kills")
                        process.communicate()

    def _command(self) -> list[str]:
        if self.plan.fills_first:
            return ["fill_gaps", "--before-beginning", *self.symbols]
        order = ["--newest-first"] if self.plan.style == "newest first" else []
        return ["backfill", *order, *self.symbols]

    def _run_killed_workers(self) -> None:
        with psycopg.connect(**self.replay.store.database, autocommit=True) as connection:
            connection.execute("UPDATE pairs SET tracked = true")
        url = self.replay.server.rest_url
        shop = Workshop(
            self.ground.installation, self.ground.redis_url, url, self.ground.home, self._settings()
        )
        with self._without_rate_faults(), shop:
            try:
                self._kill_workers(shop)
            except AssertionError as failure:
                states = {symbol: shop.states(symbol) for symbol in self.symbols}
                waiting = {queue: shop.waiting(queue) for queue in (LONG, SHORT)}
                said = "\n".join(shop.workers[-1].said.splitlines()[-LINES_SHOWN:])
                raise AssertionError(
                    f"{failure}: {states}, waiting {waiting}, the worker said:\n{said}"
                ) from failure

    def _kill_workers(self, shop: Workshop) -> None:
        for _ in range(self.plan.kills):
            worker = shop.start_worker()
            for symbol in self.symbols:
                newest_first = self.plan.style == "newest first"
                shop.send("backfill", LONG, symbol=symbol, newest_first=newest_first)
            self._let_it_work(lambda: not self._is_collected(shop))
            self._break_something()
            worker.kill()
            self._note("kills")
        shop.start_worker()
        self._wait_until(lambda: self._is_collected(shop), "the end of the workers' backfills")

    def _is_collected(self, shop: Workshop) -> bool:
        return all("done" in shop.states(symbol) for symbol in self.symbols)

    def _let_it_work(self, works: Callable[[], bool]) -> None:
        """Until a drawn number of rows is read, or it ends by itself."""
        rows = self._rows_read() + self.rng.randint(1, MOST_ROWS)
        self._wait_until(lambda: self._rows_read() >= rows or not works(), "rows")
        time.sleep(self.rng.uniform(0, LOOK_SECONDS))

    def _break_something(self) -> None:
        if self.plan.restarts_redis:
            self.ground.restart_redis()
            self._note("redis restarts")
        if self.plan.restarts_database:
            self._restart_database()
            time.sleep(self.rng.uniform(0, 1))

    def _restart_database(self) -> None:
        self.ground.postgres.restart(self.plan.crashes)
        self._note("database restarts")

    def _wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PROCESS_SECONDS
        while not is_so():
            assert time.monotonic() < deadline and not self._is_cancelled, f"{what} did not come"
            time.sleep(LOOK_SECONDS)

    def _rows_read(self) -> int:
        with psycopg.connect(**self.replay.store.database) as connection:
            row = connection.execute(ROWS_READ).fetchone()
        return int(row[0]) if row else 0

    def _settings(self) -> dict[str, str]:
        url = self.replay.server.rest_url
        return {"REDIS_URL": self.ground.redis_url, "KRAKEN_REST_URL": url, **UNPACED}

    @contextmanager
    def _without_rate_faults(self) -> Iterator[None]:
        faults = self.replay.exchange.faults
        before = {name: getattr(faults, name) for name in RATE_FAULTS}
        faults.change(dict.fromkeys(RATE_FAULTS, 0))
        yield
        faults.change(before)

    # --- deeds of this process ------------------------------------------------------------------------------

    async def backfill(
        self, since: datetime | None = None, until: datetime | None = None, newest_first: bool = False
    ) -> None:
        """Backfill every pair, and again until each is done."""

        async def once() -> list[BackfillReport]:
            deed = KrakenTradesBackfill(**self.replay.deed(report=self._count_block))
            return await deed.backfill_symbols(self.symbols, since, until, newest_first)

        await self._insist(once)

    async def fill_gaps(self) -> None:
        """Fill every pair's gaps, and again until each is done."""

        async def once() -> list[GapReport]:
            filler = GapFiller(**self.replay.deed(report=self._count_block))
            return await filler.fill_all_gaps(self.symbols, before_beginning=True)

        await self._insist(once)

    async def _insist(self, once: Callable[[], Awaitable[Sequence[Report]]]) -> None:
        self._restart_in = self.rng.randint(1, MOST_BLOCKS) if self.plan.restarts_database else 0
        failed: Sequence[Report] = ()
        for _ in range(TRIES):
            try:
                failed = [report for report in await once() if report.state != "done"]
            except StorageUnavailable:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            finally:
                await self._restarted()
            if not failed:
                return
            for report in failed:
                assert report.state == "failed" and report.transient, report
        raise AssertionError(f"{TRIES} tries failed, the last: {failed}")

    def _count_block(self, _progress: Any) -> None:
        self._restart_in -= 1
        if self._restart_in == 0:
            self._restarting = asyncio.create_task(asyncio.to_thread(self._restart_database))

    async def _restarted(self) -> None:
        if self._restarting is not None:
            await self._restarting
            self._restarting = None

    def _note(self, what: str) -> None:
        self.facts[what] = self.facts.get(what, 0) + 1
