"""DatabaseWriter: live records, buffered and written a batch at a time; nothing is dropped in silence (REC-001)."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import inf
from types import TracebackType
from typing import Any, NamedTuple, Self

from krakendata.durations import Durations
from krakendata.errors import StorageError, StorageRefused
from krakendata.gaps import TradeCheck
from krakendata.ingest.buffer import Buffer, CandleBuffer
from krakendata.ingest.csv_import import MAX_REJECTS_KEPT
from krakendata.ingest.page_walk import Taken
from krakendata.ingest.page_writer import PLACES, PageWriter
from krakendata.ingest.trade_frame import TradeRows, frame_of
from krakendata.storage.bulk import Counts
from krakendata.storage.live import (
    LiveBatch,
    Partitions,
    SymbolOutcome,
    read_newest_ids,
    record_checks,
    write_candles,
    write_trades,
)
from krakendata.storage.pool import NETWORK_TIMEOUT
from krakendata.storage.rejects import Reject
from krakendata.storage.writers import Writers
from krakendata.types import HistoricalCandle, Source, Trade
from krakendata.validation import Rejection, validate_websocket_candle, validate_websocket_trade

logger = logging.getLogger(__name__)

RUN_KIND = "live"
CANDLE_PLACE = "WebSocket ohlc"

# The connection that writes, and one for what takes more care.
CONNECTIONS = 2

# A server that restarts is back by then; after that records are taken on without it.
AWAY_SECONDS = 3.0

# For a symbol that another transaction writes: blocks take so long.
BUSY_SECONDS = 0.05

# How long a process that is asked to end works at what it has, a repair included. A service manager kills it after ten
# seconds; the pool's end, the goodbyes and the interpreter's own end take two of them on a busy machine.
CLOSE_SECONDS = 4.0

# A batch takes ten to a hundred milliseconds (docs/performance.md); five seconds is when a feed falls behind.
FLUSH_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class BufferLimits(NamedTuple):
    """The customer's numbers (design.md section 6): how much may wait, and how much of it calls for a flush."""

    trades: int = 10_000
    candles: int = 1_000
    flush_trades: int = 100
    flush_candles: int = 10
    flush_seconds: float = 5.0


@dataclass(slots=True)
class RecordCounts:
    """What became of the records of one kind: stored, duplicate, rejected or dropped, or they still wait."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: int = 0
    dropped: int = 0


@dataclass(slots=True)
class WriterStatistics:
    """What a writer did since it was opened.

    `flushes` counts by what called for them: "count", "time", "demand", "close"; `failures` those that the database did
    not take. `flush_seconds` is how long the newest took, `flush_durations` how long all that wrote something took.
    """

    trades: RecordCounts = field(default_factory=RecordCounts)
    candles: RecordCounts = field(default_factory=RecordCounts)
    flushes: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    flush_seconds: float = 0.0
    flush_durations: Durations = field(default_factory=lambda: Durations(FLUSH_BOUNDS))


class DatabaseWriter:
    """Takes trades and candles as the WebSocket gives them, and writes them; an async context manager.

    They are written at `flush_trades` trades or `flush_candles` candles, every `flush_seconds`, on demand and at the
    end; under load a batch is whatever has come meanwhile. A slow database makes whoever brings records wait. One that
    refuses does not: then records are taken on up to the limits, the oldest dropped, logged and counted. What was not
    written is tried again with the next cycle; what was dropped the ledger lacks, and the gap filler brings it.

    `database` is an address or psycopg's connection arguments. `symbols` are the only ones whose records are taken, if
    given. `clock` gives aware UTC. Opening raises StorageUnavailable.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        *,
        symbols: Container[str] | None = None,
        limits: BufferLimits | None = None,
        max_rejects_kept: int = MAX_REJECTS_KEPT,
        facts: Mapping[str, Any] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.limits = limits or BufferLimits()
        self.statistics = WriterStatistics()
        self._writers = Writers(database, CONNECTIONS, wait_seconds=AWAY_SECONDS, timeouts=NETWORK_TIMEOUT)
        self._symbols = symbols
        self._max_rejects_kept = max_rejects_kept
        self._facts = dict(facts or {})
        self._clock = clock
        self._trades: Buffer[Trade] = Buffer(self.limits.trades)
        self._candles = CandleBuffer(self.limits.candles)
        self._outdated = 0
        # Rejections wait with the trades; nobody can send so many that they alone fill the memory.
        self._rejects: Buffer[tuple[str, Reject]] = Buffer(self.limits.trades)
        self._partitions = Partitions()
        self._run: tuple[date, int] | None = None
        self._starting_run = asyncio.Lock()
        self._oldest_written_now: Trade | None = None
        self._is_refused = False
        # Some symbol was another's, at the newest flush.
        self._is_busy = False
        self._most_at_once: int | None = None
        self._most_candles: int | None = None
        self._flushing = asyncio.Lock()
        self._flushed = asyncio.Event()
        self._due = asyncio.Event()
        self._is_closing = False
        self._ends_at = inf
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._writers.__aenter__()
        try:
            await self.run()
        except BaseException:
            await self._writers.__aexit__(None, None, None)
            raise
        self._keeper = asyncio.create_task(self._keep_flushing())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def seconds_behind(self) -> float:
        """How old the oldest trade is that is not written yet; 0 where all are."""
        oldest = self._oldest_written_now or next(iter(self._trades), None)
        return 0.0 if oldest is None else max((self._clock() - oldest.timestamp).total_seconds(), 0.0)

    @property
    def waiting(self) -> dict[str, int]:
        """How many trades and candles are not written yet."""
        return {"trades": len(self._trades), "candles": len(self._candles)}

    @property
    def waiting_symbols(self) -> set[str]:
        """The symbols of which trades are not written yet."""
        return {trade.symbol for trade in self._trades}

    @property
    def is_refused(self) -> bool:
        """Whether the database did not take the newest batch."""
        return self._is_refused

    @property
    def seconds_left(self) -> float:
        """How long its process still works at what it has; infinite before `expect_end`."""
        return max(self._ends_at - time.monotonic(), 0.0)

    async def run(self) -> int:
        """The id of the run that counts today's records: a new one each day (UTC), with room for its rejects."""
        today = self._clock().date()
        async with self._starting_run:
            if self._run is None or self._run[0] != today:
                run_id = await self._writers.start_run(RUN_KIND, self._facts)
                before, self._run = self._run, (today, run_id)
                if before is not None:
                    await self._writers.finish_run(before[1], "done")
            return self._run[1]

    async def write_trade(self, data: object) -> Trade | None:
        """Take one element of a trade message; give the trade, or None where it is rejected."""
        taken = await self.write_trades([data])
        return taken[0] if taken else None

    async def write_trades(self, elements: Sequence[object]) -> list[Trade]:
        """Take the elements of trade messages; give the trades among them, without those that are rejected."""
        self._raise_failure()
        now = self._clock()
        taken = []
        for element in elements:
            verdict = validate_websocket_trade(element, now, self._symbols)
            self.statistics.trades.received += 1
            if isinstance(verdict, Rejection):
                self.statistics.trades.rejected += 1
                self._rejects.put((_symbol_in(element), Reject(verdict, PLACES[Source.WEBSOCKET], None)))
                continue
            if self._trades.is_full:
                await self._wait_for_room(self._trades)
            taken.append(verdict)
            if self._trades.put(verdict) is not None:
                self._note_dropped("trades", self.statistics.trades)
        if len(self._trades) >= self.limits.flush_trades:
            self._due.set()
        return taken

    async def write_candle(self, data: object) -> HistoricalCandle | None:
        """Take one element of an ohlc message; give the candle, or None where it is rejected."""
        taken = await self.write_candles([data])
        return taken[0] if taken else None

    async def write_candles(self, elements: Sequence[object]) -> list[HistoricalCandle]:
        """Take the elements of ohlc messages of one minute; give the candles among them."""
        self._raise_failure()
        now = self._clock()
        taken = []
        for element in elements:
            verdict = validate_websocket_candle(element, now, self._symbols)
            self.statistics.candles.received += 1
            if isinstance(verdict, Rejection):
                self.statistics.candles.rejected += 1
                self._rejects.put((_symbol_in(element), Reject(verdict, CANDLE_PLACE, None)))
                continue
            await self._wait_for_room(self._candles)
            taken.append(verdict)
            if self._candles.put(verdict) is not None:
                self._note_dropped("candles", self.statistics.candles)
            self._count_outdated()
        if len(self._candles) >= self.limits.flush_candles:
            self._due.set()
        return taken

    async def flush(self, trigger: str = "demand") -> bool:
        """Write what waits; whether the database took it. What it did not take waits on, in its order."""
        async with self._flushing:
            began = time.monotonic()
            try:
                wrote = await self._write_waiting()
            except StorageError as error:
                self._note_refusal(error)
                return False
            finally:
                self._tell_flushed()
            if self._is_refused:
                logger.info("The database takes records again.")
                # Only a part was tried.
                self._due.set()
            self._is_refused, self._most_at_once, self._most_candles = False, None, None
            if wrote:
                self.statistics.flushes[trigger] += 1
                self.statistics.flush_seconds = time.monotonic() - began
                self.statistics.flush_durations.add(self.statistics.flush_seconds)
            return True

    async def read_newest_ids(self) -> dict[str, int]:
        """The highest id that is held of each symbol."""
        async with self._writers.connection() as connection:
            return await read_newest_ids(connection)

    async def record_checks(self, checks: Mapping[str, TradeCheck]) -> None:
        """Record until when no newer trade was heard of, of symbols whose trades are all written."""
        waiting = self.waiting_symbols
        ready = sorted((symbol, check) for symbol, check in checks.items() if symbol not in waiting)
        if ready:
            async with self._writers.connection() as connection:
                await record_checks(connection, ready)

    def expect_end(self) -> None:
        """The process is to end: what is taken and written from now on, `close` included, has CLOSE_SECONDS in all.

        Whoever waits for room then waits no longer, and what the buffer does not hold is dropped and counted.
        """
        self._ends_at = min(self._ends_at, time.monotonic() + CLOSE_SECONDS)
        self._tell_flushed()

    async def close(self) -> None:
        """Write what waits, within a service manager's patience, and let go of the database."""
        if self._keeper is None:
            return
        keeper, self._keeper = self._keeper, None
        self._is_closing = True
        self._due.set()
        self.expect_end()
        try:
            async with asyncio.timeout(self.seconds_left):
                await keeper
                await self._flush_all()
                if self._run is not None:
                    await self._writers.finish_run(self._run[1], "stopped")
        except (TimeoutError, StorageError) as error:
            logger.error(
                "The feed ends with unwritten records trades=%d candles=%d why=%s",
                len(self._trades),
                len(self._candles),
                str(error) or "the time is up",
            )
            self.statistics.trades.dropped += len(self._trades)
            self.statistics.candles.dropped += len(self._candles)
        finally:
            keeper.cancel()
            with suppress(StorageError):
                await self._writers.__aexit__(None, None, None)

    async def _flush_all(self) -> None:
        """Flush until nothing waits any more; whoever calls ends it in time."""
        while self._has_waiting:
            # The transaction that keeps a symbol busy tells nobody of its end, nor does a database that is back.
            if not await self.flush("close") or self._has_waiting:
                await asyncio.sleep(BUSY_SECONDS)

    def _raise_failure(self) -> None:
        """Pass on a defect that has ended the flushing: nobody would write any more."""
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()

    @property
    def _has_waiting(self) -> bool:
        return bool(len(self._trades) or len(self._candles) or len(self._rejects))

    async def _keep_flushing(self) -> None:
        """Flush when so much waits that it is due, and at least every few seconds; after a refusal not before then."""
        while not self._is_closing:
            trigger = "count"
            try:
                async with asyncio.timeout(self.limits.flush_seconds):
                    await self._due.wait()
            except TimeoutError:
                trigger = "time"
            self._due.clear()
            if not await self.flush(trigger) and not self._is_closing:
                await self._pause()
            elif self._is_busy:
                # What waits for another transaction may call for a flush at once again.
                await asyncio.sleep(BUSY_SECONDS)

    async def _pause(self) -> None:
        ends = time.monotonic() + self.limits.flush_seconds
        while not self._is_closing and time.monotonic() < ends:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(ends - time.monotonic(), 0)):
                    await self._due.wait()
            self._due.clear()

    async def _wait_for_room(self, buffer: "Buffer[Trade] | CandleBuffer") -> None:
        """Wait while the buffer is full and the database at work, not while it refuses."""
        while buffer.is_full and not self._is_refused and not self._is_closing:
            seconds = self.seconds_left
            if not seconds:
                return
            self._due.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds if seconds < inf else None):
                    await self._flushed.wait()

    def _tell_flushed(self) -> None:
        """Let those who wait for room look again."""
        self._flushed.set()
        self._flushed.clear()

    async def _write_waiting(self) -> bool:
        """Write all that waits in one go, or after a refusal a part; whether there was anything."""
        if not self._has_waiting:
            return False
        run_id = await self.run()
        self._is_busy = False
        if len(self._trades) or len(self._rejects):
            try:
                await self._write_trades(run_id)
            except StorageRefused as error:
                self._try_fewer_trades(error)
                raise
        if len(self._candles):
            try:
                await self._write_candles(run_id)
            except StorageRefused as error:
                self._try_fewer_candles(error)
                raise
        return True

    async def _write_trades(self, run_id: int) -> None:
        taken, rejects = self._trades.take(self._most_at_once), self._rejects.take()
        left: list[Trade] = taken
        left_rejects = rejects
        self._oldest_written_now = taken[0] if taken else None
        try:
            unique = list({(trade.symbol, trade.trade_id): trade for trade in taken}.values())
            async with self._writers.connection() as connection:
                outcomes = await write_trades(
                    connection, LiveBatch(unique, rejects), self._partitions, run_id, self._max_rejects_kept
                )
            left_rejects = []
            by_symbol = {each.symbol: each for each in outcomes}
            left = [trade for trade in unique if by_symbol[trade.symbol].outcome != "written"]
            self._count(outcomes, len(taken) - len(unique))
            self._is_busy = any(each.outcome == "busy" for each in outcomes)
            for symbol in [each.symbol for each in outcomes if each.outcome == "involved"]:
                await self._write_involved(symbol, [each for each in left if each.symbol == symbol], run_id)
                left = [each for each in left if each.symbol != symbol]
        finally:
            self._oldest_written_now = None
            # What is left comes back before what has come meanwhile, whatever ended this.
            self._trades.settle(len(taken), left)
            self._rejects.settle(len(rejects), left_rejects)

    async def _write_involved(self, symbol: str, trades: list[Trade], run_id: int) -> None:
        """One symbol's trades where candles or archives without ids are in the way: with a page's care."""
        rows = TradeRows(frame_of(list(enumerate(trades, 1))), [], len(trades))
        writer = PageWriter(self._writers, symbol, run_id, self._max_rejects_kept, source=Source.WEBSOCKET)
        counts = await writer.write([Taken(rows)], is_end=True)
        found = self.statistics.trades
        found.stored += counts.stored + counts.folded
        found.duplicate += counts.duplicate
        # Behind the trades line only whole units are written: the rest is for REST to bring.
        if unwritten := len(trades) - counts.read:
            found.dropped += unwritten
            logger.warning("trades left to REST symbol=%s trades=%d", symbol, unwritten)

    async def _write_candles(self, run_id: int) -> None:
        taken = self._candles.take(self._most_candles)
        left: list[HistoricalCandle] = taken
        try:
            # A minute without trades is no record (kraken-facts 0.3).
            traded = [candle for candle in taken if candle.trade_count]
            counts, busy = Counts(), frozenset[str]()
            if traded:
                async with self._writers.connection() as connection:
                    counts, busy = await write_candles(connection, traded, self._partitions, run_id)
            left = [candle for candle in traded if candle.symbol in busy]
            self._is_busy |= bool(busy)
            self.statistics.candles.stored += counts.stored
            self.statistics.candles.duplicate += len(taken) - len(left) - counts.stored
        finally:
            self._candles.settle(len(taken), left)
            self._count_outdated()

    def _count(self, outcomes: Sequence[SymbolOutcome], repeated: int) -> None:
        written = [each for each in outcomes if each.outcome == "written"]
        duplicate = sum(each.duplicate for each in written)
        self.statistics.trades.stored += sum(each.read for each in written) - duplicate
        self.statistics.trades.duplicate += duplicate + repeated

    def _note_refusal(self, error: StorageError) -> None:
        """Log it, and try a part first when it is tried again."""
        self.statistics.failures += 1
        self._is_refused = True
        logger.warning("flush failed waiting=%d error=%s", len(self._trades), error)
        if not (isinstance(error, StorageRefused) and error.is_about_data):
            self._most_at_once = self.limits.flush_trades

    def _try_fewer_trades(self, error: StorageRefused) -> None:
        """A record that the database will never take is found by halves, and costs nothing else."""
        if not error.is_about_data:
            return
        tried = min(self._most_at_once or len(self._trades), len(self._trades))
        self._most_at_once = max(tried // 2, 1)
        if tried == 1:
            for trade in self._trades.take(1):
                logger.error("The database refuses a trade symbol=%s id=%d", trade.symbol, trade.trade_id)
            self._trades.settle(1)
            self.statistics.trades.dropped += 1

    def _try_fewer_candles(self, error: StorageRefused) -> None:
        """Likewise."""
        if not error.is_about_data:
            return
        tried = min(self._most_candles or len(self._candles), len(self._candles))
        self._most_candles = max(tried // 2, 1)
        if tried == 1:
            for candle in self._candles.take(1):
                logger.error("The database refuses a candle symbol=%s at=%s", candle.symbol, candle.timestamp)
            self._candles.settle(1)
            self.statistics.candles.dropped += 1

    def _count_outdated(self) -> None:
        """Versions of a minute that newer ones took the place of are duplicates."""
        self.statistics.candles.duplicate += self._candles.outdated - self._outdated
        self._outdated = self._candles.outdated

    def _note_dropped(self, kind: str, counts: RecordCounts) -> None:
        """Count what was dropped for want of room; log the first, and each time it is ten times as many."""
        counts.dropped += 1
        if counts.dropped == 10 ** (len(str(counts.dropped)) - 1):
            logger.error("The buffer is full, the oldest go kind=%s dropped=%d", kind, counts.dropped)


def _symbol_in(element: object) -> str:
    """The symbol that a rejected record names; "" where none can be read."""
    symbol = element.get("symbol") if isinstance(element, Mapping) else None
    return symbol if isinstance(symbol, str) and symbol.isprintable() else ""
