"""RejectDeeds: rejected records replayed after a fix, or dismissed, in bulk, each decision with a name and a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from krakendata.errors import CorrectionRefused, KrakenDataError, NotDecided
from krakendata.ingest.raw_records import corrected, judge, same_trade
from krakendata.ingest.reject_blocks import UNFINISHED, candle_block, close_together, trades_block
from krakendata.storage.bulk import BlockOutdated, Counts, write_archive_rows, write_block
from krakendata.storage.ledger import read_holdings, read_lines
from krakendata.storage.reject_decisions import (
    DecidedMeanwhile,
    KeptReject,
    Replays,
    Selection,
    correct_reject,
    count_waiting_rejects,
    dismiss_rejects,
    newest_reject,
    note_dismissed,
    read_listed_symbols,
    read_waiting_rejects,
    record_refusals,
)
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.sessions import read_edition
from krakendata.storage.writers import Writers
from krakendata.types import HistoricalCandle, Source, Trade
from krakendata.validation import Rejection

logger = logging.getLogger(__name__)

REPLAY_KIND, DISMISS_KIND = "replay_rejects", "dismiss_rejects"

# Records between two looks whether to stop: a second's work or so.
BATCH_RECORDS = 500

OTHER_TRADE = "A correction does not make another trade of a record: its trade_id stays {named}."


@dataclass(slots=True)
class RejectProgress:
    """How far a deed is. `total` is None where nobody counted; `message` is a sentence, when there is one."""

    total: int | None
    done: int = 0
    counts: Counts = field(default_factory=Counts)
    message: str = ""


@dataclass(frozen=True, slots=True)
class RejectReport:
    """What a deed did: "done", "stopped", or "failed" with a sentence.

    Records up to the id `after` were tried, of those up to `upto`; those of the symbols `busy` were passed over.
    `dismissed` and `corrected` count records, `counts` those that were replayed; `counts.rejected` of them were refused
    again and go on waiting.
    """

    run_id: int
    state: str
    after: int
    upto: int
    counts: Counts = field(default_factory=Counts)
    dismissed: int = 0
    corrected: int = 0
    busy: Sequence[str] = ()
    error: str = ""
    transient: bool = False


class RejectDeeds:
    """Replays and dismisses rejected records. `by` is the name that decides, and is kept with each record.

    `database` is an address or psycopg's connection arguments. Without `waits` the records of a pair that another
    import or backfill is at are passed over. `report` is told the progress after each batch; `should_stop` is asked
    before it. `clock` gives aware UTC. Raises NotDecided where the name is empty.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        by: str,
        *,
        waits: bool = True,
        report: Callable[[RejectProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._by = by.strip()
        if not self._by:
            raise NotDecided
        self._database = database
        self._waits = waits
        self._report = report
        self._should_stop = should_stop
        self._clock = clock

    async def replay(
        self,
        selection: Selection,
        *,
        fields: Mapping[str, str] | None = None,
        why: str = "",
        after: int = 0,
        upto: int | None = None,
    ) -> RejectReport:
        """Let the waiting records of a selection in, by today's rules; when it returns, every rollup shows them.

        `fields` are set in each record first, `why` then says the reason. What is refused again goes on waiting, with
        the sentence in its history. `after` and `upto` are what a report said, to go on from there. Raises NotDecided
        for a correction without a reason, StorageError where the database is away from the start.
        """
        if fields and not why.strip():
            raise NotDecided
        facts = {"fields": dict(fields or {}), "why": why.strip()}
        return await self._run(REPLAY_KIND, selection, facts, after, upto, _Replaying)

    async def dismiss(
        self, selection: Selection, why: str, *, after: int = 0, upto: int | None = None
    ) -> RejectReport:
        """Let the waiting records of a selection rest; they are kept. Raises NotDecided without a reason."""
        if not why.strip():
            raise NotDecided
        return await self._run(DISMISS_KIND, selection, {"why": why.strip()}, after, upto, _Dismissing)

    async def _run(
        self,
        kind: str,
        selection: Selection,
        facts: Mapping[str, Any],
        after: int,
        upto: int | None,
        make_work: "Callable[[_Deed], _Work]",
    ) -> RejectReport:
        async with Writers(self._database, 1) as writers:
            async with writers.connection() as connection:
                last = await newest_reject(connection) if upto is None else upto
                total = await count_waiting_rejects(connection, selection)
            parameters = {**selection.as_dict(), **facts, "by": self._by, "after": after, "upto": last}
            run_id = await writers.start_run(kind, parameters, "records")
            if total is not None:
                await writers.set_run_total(run_id, 0, total)
            progress = RejectProgress(total)
            deed = _Deed(writers, run_id, self._by, facts, self._waits, self._clock, progress, self._report)
            work = make_work(deed)
            state, error, transient = "stopped", "", False
            try:
                while not self._should_stop():
                    async with writers.connection() as connection:
                        batch = await read_waiting_rejects(connection, selection, after, last, BATCH_RECORDS)
                    if not batch:
                        state = "done"
                        break
                    await work.take(batch)
                    after = batch[-1].id
                    progress.done += len(batch)
                    self._report(progress)
            except KrakenDataError as failure:
                state, error, transient = "failed", str(failure), failure.transient
            except Exception as failure:
                logger.exception("%s failed.", kind)
                state, error = "failed", f"{type(failure).__name__}: {failure}"
            finally:
                state, error, away = await asyncio.shield(_finish(deed, kind, state, error))
                transient = transient or away
        return RejectReport(
            run_id, state, after, last, progress.counts, deed.dismissed, deed.corrected,
            sorted(deed.busy), error, transient,
        )  # fmt: skip


async def _finish(deed: "_Deed", kind: str, state: str, error: str) -> tuple[str, str, bool]:
    """Show in every rollup what was written, and end the run, also where it was stopped or failed.

    Gives the state, the error, and whether what failed here may go well another time.
    """
    is_away = False
    try:
        # Also where this run wrote nothing: one before it may have been cut off between its last row and this.
        if kind == REPLAY_KIND:
            async with deed.writers.connection() as connection:
                await refresh_rollups(connection, await read_edition(connection), deed.clock())
    except KrakenDataError as failure:
        state, error = "failed", f"{error}\nThe rollups are not up to date: {failure}".strip()
        is_away = failure.transient
    try:
        if state == "done":
            # Some that were counted were decided meanwhile, or had been refused before this run went on.
            await deed.writers.set_run_total(deed.run_id, deed.progress.done, deed.progress.done)
        await deed.writers.finish_run(deed.run_id, state, error)
    except KrakenDataError as failure:
        state, error = "failed", error or str(failure)
    return state, error, is_away


@dataclass(slots=True)
class _Deed:
    """What the batches of one deed share."""

    writers: Writers
    run_id: int
    by: str
    facts: Mapping[str, Any]
    waits: bool
    clock: Callable[[], datetime]
    progress: RejectProgress
    report: Callable[[RejectProgress], None]
    dismissed: int = 0
    corrected: int = 0
    busy: set[str] = field(default_factory=set)

    @property
    def replays(self) -> Replays:
        return Replays(self.by, (), self.facts["why"])


class _Work:
    """What is done to each batch."""

    def __init__(self, deed: _Deed) -> None:
        self._deed = deed

    async def take(self, batch: Sequence[KeptReject]) -> None:
        raise NotImplementedError


class _Dismissing(_Work):
    async def take(self, batch: Sequence[KeptReject]) -> None:
        deed = self._deed
        async with deed.writers.connection() as connection, connection.transaction():
            ids = [record.id for record in batch]
            count = await dismiss_rejects(connection, ids, deed.by, deed.facts["why"], deed.run_id)
            await note_dismissed(connection, count, deed.run_id)
        deed.dismissed += count


@dataclass(frozen=True, slots=True)
class _Judged:
    """A record that may come in, as what."""

    record: KeptReject
    verdict: Trade | HistoricalCandle

    @property
    def symbol(self) -> str:
        return self.verdict.symbol


class _Replaying(_Work):
    def __init__(self, deed: _Deed) -> None:
        super().__init__(deed)
        self._known: frozenset[str] | None = None

    async def take(self, batch: Sequence[KeptReject]) -> None:
        if self._known is None:
            async with self._deed.writers.connection() as connection:
                self._known = await read_listed_symbols(connection)
        good, refusals, corrections = self._judge(batch)
        await self._correct(corrections)
        by_symbol: dict[str, list[_Judged]] = {}
        for each in good:
            by_symbol.setdefault(each.symbol, []).append(each)
        for symbol, records in sorted(by_symbol.items()):
            if not await self._lock(symbol):
                # By the name that its record has: a correction may have given it another pair.
                self._deed.busy.update(each.record.symbol for each in records)
                continue
            try:
                refusals += [(each, UNFINISHED) for each in await self._write(symbol, records)]
            finally:
                await self._deed.writers.release_job_lock(symbol)
        if refusals:
            deed = self._deed
            async with deed.writers.connection() as connection, connection.transaction():
                waiting = await record_refusals(connection, refusals, deed.by, deed.run_id)
            deed.progress.counts += Counts(read=waiting, rejected=waiting)

    def _judge(
        self, batch: Sequence[KeptReject]
    ) -> tuple[list[_Judged], list[tuple[int, str]], dict[int, str]]:
        """Those that may come in, why the others may not, and the new texts of those that were corrected."""
        now, fields = self._deed.clock(), self._deed.facts["fields"]
        good: list[_Judged] = []
        refusals: list[tuple[int, str]] = []
        corrections: dict[int, str] = {}
        for record in batch:
            text = record.raw if record.corrected is None else record.corrected
            try:
                mended = corrected(record, text, fields)
            except CorrectionRefused as refused:
                refusals.append((record.id, str(refused)))
                continue
            verdict = judge(record, mended, now, self._known or None)
            if isinstance(verdict, Rejection):
                refusals.append((record.id, f"{verdict.reason}: {verdict.detail}"))
            elif isinstance(verdict, Trade) and verdict.trade_id and not same_trade(record, verdict):
                refusals.append((record.id, OTHER_TRADE.format(named=record.trade_id or "what it was")))
            else:
                good.append(_Judged(record, verdict))
                if mended != text:
                    corrections[record.id] = mended
        return good, refusals, corrections

    async def _correct(self, corrections: Mapping[int, str]) -> None:
        deed = self._deed
        if not corrections:
            return
        async with deed.writers.connection() as connection:
            for record_id, text in corrections.items():
                try:
                    await correct_reject(connection, record_id, text, deed.by, deed.facts["why"], deed.run_id)
                except DecidedMeanwhile:
                    # Its replay comes too late as well.
                    continue
                deed.corrected += 1

    async def _lock(self, symbol: str) -> bool:
        deed = self._deed

        def tell() -> None:
            deed.progress.message = f"Waiting for another import or backfill of {symbol} to end."
            deed.report(deed.progress)

        is_ours = await deed.writers.lock_job(symbol, waits=deed.waits, waiting=tell)
        deed.progress.message = ""
        return is_ours

    async def _write(self, symbol: str, records: Sequence[_Judged]) -> list[int]:
        """Write one pair's records; give those that have to wait."""
        left: list[int] = []
        numbered: dict[Source, list[tuple[int, Trade]]] = {}
        unnumbered: list[tuple[int, Trade]] = []
        for each in records:
            if isinstance(each.verdict, HistoricalCandle):
                await self._write_candle(each.record, each.verdict)
            elif each.verdict.trade_id:
                trade = (each.record.id, each.verdict)
                numbered.setdefault(Source(each.record.source), []).append(trade)
            else:
                unnumbered.append((each.record.id, each.verdict))
        for source, trades in sorted(numbered.items()):
            for stretch in close_together(trades):
                left += await self._write_trades(symbol, source, stretch)
        if unnumbered:
            await self._write_unnumbered(symbol, unnumbered)
        return left

    async def _write_trades(
        self, symbol: str, source: Source, trades: Sequence[tuple[int, Trade]]
    ) -> list[int]:
        deed, left = self._deed, list[int]()

        async def write(waiting: Sequence[int]) -> Counts:
            async with deed.writers.connection() as connection:
                held, lines = await read_holdings(connection, symbol), await read_lines(connection)
                chosen = [each for each in trades if each[0] in waiting]
                block, left[:] = await asyncio.to_thread(
                    trades_block, symbol, source, chosen, held, lines, deed.replays
                )
                if block is None:
                    return Counts()
                return await write_block(connection, block, deed.run_id, 0)

        await self._until_written([record_id for record_id, _ in trades], write)
        return left

    async def _write_candle(self, record: KeptReject, candle: HistoricalCandle) -> None:
        deed = self._deed
        follows = record.follows if record.source == Source.ARCHIVE else None

        async def write(waiting: Sequence[int]) -> Counts:
            async with deed.writers.connection() as connection:
                block = candle_block(record.id, candle, follows, await read_lines(connection), deed.replays)
                return await write_block(connection, block, deed.run_id, 0)

        await self._until_written([record.id], write)

    async def _write_unnumbered(self, symbol: str, trades: Sequence[tuple[int, Trade]]) -> None:
        deed = self._deed

        async def write(waiting: Sequence[int]) -> Counts:
            async with deed.writers.connection() as connection:
                rows = [each for each in trades if each[0] in waiting]
                return await write_archive_rows(connection, symbol, rows, deed.replays, deed.run_id)

        await self._until_written([record_id for record_id, _ in trades], write)

    async def _until_written(
        self, ids: Sequence[int], write: Callable[[Sequence[int]], Awaitable[Counts]]
    ) -> None:
        """Write the records, again without those that somebody else decided about, or by the ledger as it is by now."""
        waiting = list(ids)
        while waiting:
            try:
                self._deed.progress.counts += await write(waiting)
                return
            except BlockOutdated:
                continue
            except DecidedMeanwhile:
                async with self._deed.writers.connection() as connection:
                    chosen = Selection(ids=tuple(ids))
                    still = await read_waiting_rejects(connection, chosen, 0, max(ids), len(ids))
                waiting = [record.id for record in still]
