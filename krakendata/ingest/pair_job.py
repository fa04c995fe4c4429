"""One pair's deed under its job lock, from the lock to the last word in its run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from krakendata.errors import KrakenDataError
from krakendata.ingest.pair_backfill import Stopped
from krakendata.storage.bulk import Counts
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.sessions import read_edition
from krakendata.storage.writers import Writers

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: "done", "stopped", "failed" with a sentence, or "busy" where the lock was another's."""

    state: str
    error: str = ""
    transient: bool = False


class PairJob:
    """The lock, the run, the counts and the rollups of what is done to one pair.

    The run is begun by the first `run()`, with `facts`; a deed that needs none leaves no trace of itself.
    """

    def __init__(
        self,
        writers: Writers,
        symbol: str,
        kind: str,
        facts: Mapping[str, Any],
        clock: Callable[[], datetime],
    ) -> None:
        self.counts = Counts()
        self.run_id: int | None = None
        self._writers = writers
        self._symbol = symbol
        self._kind = kind
        self._facts = facts
        self._clock = clock

    async def do(self, deed: Callable[[], Awaitable[None]], lock: Callable[[], Awaitable[bool]]) -> Outcome:
        """Lock, do it, show in every rollup what was written, end the run, and let the next one go on."""
        outcome = Outcome("stopped")
        try:
            if not await lock():
                return Outcome("busy")
            await deed()
            outcome = Outcome("done")
        except Stopped:
            pass
        except KrakenDataError as failure:
            outcome = Outcome("failed", str(failure), failure.transient)
        except Exception as failure:
            # A defect of ours: this pair's alone, but with its trace in the log.
            logger.exception("The %s of %s failed.", self._kind, self._symbol)
            outcome = Outcome("failed", f"{type(failure).__name__}: {failure}")
        finally:
            outcome = await asyncio.shield(self._finish(outcome))
        return outcome

    async def run(self) -> int:
        """The id of the run, which begins with the first who asks."""
        if self.run_id is None:
            self.run_id = await self._writers.start_run(self._kind, dict(self._facts))
        return self.run_id

    async def refresh(self) -> None:
        """Bring every rollup up to date."""
        async with self._writers.connection() as connection:
            await refresh_rollups(connection, await read_edition(connection), self._clock())

    async def _finish(self, outcome: Outcome) -> Outcome:
        """Whatever of it fails, for the database is away say, the rest is tried: the locks go with their connection."""
        try:
            if self.counts.stored or self.counts.folded:
                await self.refresh()
        except KrakenDataError as failure:
            error = f"{outcome.error}\nThe rollups are not up to date: {failure}".strip()
            outcome = Outcome("failed", error, outcome.transient or failure.transient)
        try:
            if self.run_id is not None:
                await self._writers.finish_run(self.run_id, outcome.state, outcome.error)
            if outcome.error:
                await self._writers.report_sync_error(self._symbol, "trades", outcome.error)
            await self._writers.release_job_lock(self._symbol)
        except KrakenDataError as failure:
            if not outcome.error:
                outcome = Outcome("failed", str(failure), failure.transient)
        return outcome
