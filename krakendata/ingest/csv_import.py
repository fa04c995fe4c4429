"""BulkCSVImporter: Kraken's CSV archives into trades, candles and the ledger."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from krakendata.errors import ImportFileError
from krakendata.ingest.file_blocks import file_blocks
from krakendata.ingest.import_plan import ImportPlan, PlannedFile, plan_import
from krakendata.storage.bulk import BlockOutdated, Counts, prepare_writer, write_block
from krakendata.storage.import_files import imported_versions, start_or_resume_file
from krakendata.storage.ledger import Lines, read_holdings, read_lines
from krakendata.storage.queries import Connection, read_pairs
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.runs import finish_run, release_job_lock, report_sync_error, start_run, try_job_lock
from krakendata.storage.sessions import connect, read_edition
from krakendata.types import Symbols

# Two files keep both a parsing thread and the server busy; more only take memory.
PARALLEL_FILES = 2

# Rejected records kept per run and reason; what lies beyond is counted (rejected_records would outgrow the trades
# of a file of garbage).
MAX_REJECTS_KEPT = 1000

JOB_LOCK_SECONDS = 1.0

RUN_KIND = "import"


@dataclass(slots=True)
class ImportProgress:
    """How far an import is. `message` is a sentence for the operator, when there is one."""

    files: int
    bytes: int
    files_done: int = 0
    bytes_done: int = 0
    counts: Counts = field(default_factory=Counts)
    message: str = ""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; the plan's `refused` has every file that could not be read to its end.

    Seconds until every row was in, and from then until every rollup was right.
    """

    run_id: int
    counts: Counts
    plan: ImportPlan
    write_seconds: float
    refresh_seconds: float


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    state: str
    error: str = ""


class BulkCSVImporter:
    """Imports files, folders, zips and slices of a zip; an interrupted import goes on where its last block ended.

    `database` is an address or psycopg's connection arguments. `announce` is told the plan before anything is
    written, `report` the progress after every block. `clock` gives aware UTC. `by` says in the run who started it.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        *,
        parallel_files: int = PARALLEL_FILES,
        max_rejects_kept: int = MAX_REJECTS_KEPT,
        by: str = "command",
        announce: Callable[[ImportPlan, Lines], None] = lambda plan, lines: None,
        report: Callable[[ImportProgress], None] = lambda progress: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._parallel_files = parallel_files
        self._max_rejects_kept = max_rejects_kept
        self._by = by
        self._announce = announce
        self._report = report
        self._clock = clock

    async def import_directory(self, *paths: str | Path, symbol: str | None = None) -> ImportReport:
        """Import everything under `paths`; when it returns, every rollup shows it.

        `symbol` (`BASE/QUOTE`) names the pair of files whose names do not. A file that cannot be read is refused with
        a sentence and the others go on. Raises StorageError when the database is away; running it again resumes.
        """
        async with connect(self._database) as connection:
            plan = await self._plan(connection, [Path(path) for path in paths], symbol)
            parameters = {"paths": _absolute(paths), "symbol": symbol, "by": self._by}
            run_id = await start_run(connection, RUN_KIND, parameters, plan.total_bytes)
            progress = ImportProgress(len(plan.files), plan.total_bytes)
            started = time.monotonic()
            ending = Ending("failed")
            try:
                await self._import_files(plan, run_id, progress)
                ending = Ending("done", "\n".join(map(str, plan.refused)))
            except asyncio.CancelledError:
                ending = Ending("stopped")
                raise
            except Exception as failure:
                ending = Ending("failed", str(failure))
                raise
            finally:
                written = time.monotonic()
                await asyncio.shield(self._finish(connection, run_id, ending))
        return ImportReport(run_id, progress.counts, plan, written - started, time.monotonic() - written)

    async def _finish(self, connection: Connection, run_id: int, ending: "Ending") -> None:
        """Show in every rollup what was written, also by an import that was stopped or failed, and end the run."""
        try:
            await refresh_rollups(connection, await read_edition(connection), self._clock())
        except Exception as failure:
            ending = Ending("failed", f"{ending.error}\nThe rollups are not up to date: {failure}".strip())
            raise
        finally:
            await finish_run(connection, run_id, ending.state, ending.error)

    async def _plan(self, connection: Connection, paths: Iterable[Path], symbol: str | None) -> ImportPlan:
        lines = await read_lines(connection)
        symbols = Symbols(await read_pairs(connection))
        imported = await imported_versions(connection)
        plan = await asyncio.to_thread(
            plan_import, paths, symbols, symbol and symbols.resolve(symbol), lines, imported
        )
        self._announce(plan, lines)
        return plan

    async def _import_files(self, plan: ImportPlan, run_id: int, progress: ImportProgress) -> None:
        """Pairs side by side, up to the limit; the files of one pair one after the other, the finest first."""
        places = asyncio.Semaphore(self._parallel_files)
        try:
            async with asyncio.TaskGroup() as tasks:
                for symbol, files in _by_symbol(plan.files).items():
                    tasks.create_task(
                        self._import_symbol(symbol, files, places, _Run(run_id, plan, progress))
                    )
        except ExceptionGroup as failures:
            # The first one stopped the others; callers know our errors, not groups of them.
            raise failures.exceptions[0] from None

    async def _import_symbol(
        self, symbol: str, files: list[PlannedFile], places: asyncio.Semaphore, run: "_Run"
    ) -> None:
        async with places, connect(self._database) as connection:
            await prepare_writer(connection)
            await self._wait_for_job_lock(connection, symbol, run.progress)
            for file in files:
                await self._import_file(connection, file, run)
                run.progress.files_done += 1
                self._report(run.progress)
            await release_job_lock(connection, symbol)

    async def _wait_for_job_lock(self, connection: Connection, symbol: str, progress: ImportProgress) -> None:
        while not await try_job_lock(connection, symbol):
            progress.message = f"Waiting for another import or backfill of {symbol} to end."
            self._report(progress)
            await asyncio.sleep(JOB_LOCK_SECONDS)

    async def _import_file(self, connection: Connection, file: PlannedFile, run: "_Run") -> None:
        try:
            while not await self._write_blocks(connection, file, run):
                pass
        except ImportFileError as error:
            run.plan.refused.append(error)
            await report_sync_error(connection, file.symbol, file.layout.kind, str(error))

    async def _write_blocks(self, connection: Connection, file: PlannedFile, run: "_Run") -> bool:
        """Write the file from where it stands; False if a block was outdated and the rest is to be shaped again.

        While one block is written the next is read and shaped in a thread.
        """
        member = file.member
        position = await start_or_resume_file(
            connection, file.key, member.version, file.symbol, file.layout.schema, member.size
        )
        if position is None:
            # Another import brought it in while this one waited for the job lock.
            run.progress.bytes_done += member.size
            return True
        if not position.offset and not run.has_seen(file):
            await asyncio.to_thread(member.verify)
        elif not run.has_seen(file):
            run.progress.bytes_done += position.offset
        held, lines = await read_holdings(connection, file.symbol), await read_lines(connection)
        blocks = file_blocks(file, position, held, lines, self._clock())
        shaping = asyncio.create_task(asyncio.to_thread(next, blocks, None))
        try:
            # Shielded, because a thread cannot be cancelled: it ends with its block.
            while (block := await asyncio.shield(shaping)) is not None:
                shaping = asyncio.create_task(asyncio.to_thread(next, blocks, None))
                counts = await write_block(connection, block, run.run_id, self._max_rejects_kept)
                run.progress.counts += counts
                run.progress.bytes_done += block.advanced
                self._report(run.progress)
        except BlockOutdated:
            return False
        finally:
            # Only when the thread is through may the file be closed.
            await asyncio.wait([shaping])
            blocks.close()
        return True


@dataclass(slots=True)
class _Run:
    """What the tasks of one import share."""

    run_id: int
    plan: ImportPlan
    progress: ImportProgress
    seen: set[str] = field(default_factory=set)

    def has_seen(self, file: PlannedFile) -> bool:
        """Whether this run has begun with a file before; from now on it has."""
        if file.key in self.seen:
            return True
        self.seen.add(file.key)
        return False


def _absolute(paths: Sequence[str | Path]) -> list[str]:
    """As the run keeps them: whoever starts it again may be elsewhere."""
    return [str(Path(path).absolute()) for path in paths]


def _by_symbol(files: list[PlannedFile]) -> dict[str, list[PlannedFile]]:
    groups: dict[str, list[PlannedFile]] = {}
    for file in sorted(files, key=lambda each: each.order):
        groups.setdefault(file.symbol, []).append(file)
    return groups
