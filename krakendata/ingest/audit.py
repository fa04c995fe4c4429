"""Audit: are the stored candles what they have to be? Random buckets recomputed, recent ones beside the exchange's."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random, SystemRandom
from typing import Any

from krakendata.errors import KrakenError
from krakendata.gaps import Stretch, coverage_of
from krakendata.ingest.audit_buckets import (
    Difference,
    Differences,
    Reach,
    compare_bucket,
    draw_buckets,
    reaches_of,
)
from krakendata.ingest.audit_exchange import (
    ASKED,
    FOLDED,
    ExchangeCandle,
    ask_candles,
    comparable,
    compare_with_exchange,
    exchange_differences,
    fold_exchange_candles,
    is_within,
    refused_stretches,
)
from krakendata.kraken.rest import KrakenRest
from krakendata.storage.audit import (
    BY_TRADES,
    Connection,
    FindingRow,
    advance_audit,
    count_without_parts,
    read_candle_facts,
    rebuild_bucket,
    rebuild_minutes,
    record_findings,
    sole_writer,
)
from krakendata.storage.bulk import prepare_writer
from krakendata.storage.editions import Edition
from krakendata.storage.ledger import Lines, read_lines
from krakendata.storage.pool import Pool
from krakendata.storage.queries import (
    Bounds,
    read_answers,
    read_bounds,
    read_ledger,
    read_pairs,
    read_symbols_with_data,
)
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.runs import finish_run, start_run
from krakendata.storage.sessions import connect, read_edition
from krakendata.types import EPOCH, INTERVALS, Interval, Symbols, interval_of, moment_of

# Of every interval and of each thing it can be recomputed from. A day's audits of a month meet every day of a quarter.
BUCKETS = 8

# Healed and written down together: an audit that is cut off loses no more, however much of a pair is wrong.
SETTLED_AT_ONCE = 50

RUN_KIND = "audit"
# Seeds that can be typed again.
SEEDS = 1_000_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """A candle that was not what it has to be; `fields`: stored and expected by field; `healed`: it is right now."""

    symbol: str
    interval: Interval
    timestamp: datetime
    compared_with: str
    fields: Differences
    healed: bool

    @property
    def differences(self) -> dict[str, dict[str, str | int | None]]:
        """The fields as they are recorded: decimals as their digits."""
        return {
            name: {"stored": _plain(stored), "expected": _plain(expected)}
            for name, (stored, expected) in self.fields.items()
        }


@dataclass(slots=True)
class PairAudit:
    """What was compared of one pair, and found.

    `compared` counts buckets by what they were compared with ("trades", "minutes", "exchange"). `dropped` candles
    cannot be recomputed, since retention dropped their parts; `unproven` ones of the exchange's were not compared,
    because not every trade of theirs is here. `error`: why the exchange was not asked to the end.
    """

    symbol: str
    compared: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    unproven: int = 0
    findings: list[Finding] = field(default_factory=list)
    error: str = ""
    transient: bool = False


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit did: its run, its state ("done", "stopped"), the seed that repeats its draws, and each pair.

    `left` are the pairs that a stopped audit did not begin with; the one that it was at is audited as far as it came.
    """

    run_id: int
    state: str
    seed: int
    pairs: tuple[PairAudit, ...]
    seconds: float
    left: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """Of all pairs."""
        return [finding for pair in self.pairs for finding in pair.findings]

    @property
    def compared(self) -> Counter[str]:
        """Buckets compared of all pairs, by what with."""
        return sum((pair.compared for pair in self.pairs), Counter())


@dataclass(frozen=True, slots=True)
class AuditProgress:
    """How far an audit is: steps (a pair and an interval) done of all, buckets compared, differences found."""

    symbol: str
    done: int
    total: int
    compared: int
    found: int


class Audit:
    """Compares stored candles with what they are made of, heals what differs, and records each difference.

    `database` is an address or psycopg's connection arguments. With `rest` (a client that is open) recent candles are
    also compared with the exchange's, of pairs that it still lists. `heal` False only records. `seed` repeats the draws
    of an earlier audit. `report` is told the progress, `should_stop` asked between intervals; `clock` gives aware UTC;
    `by` says in the run who started it.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        rest: KrakenRest | None = None,
        *,
        heal: bool = True,
        seed: int | None = None,
        by: str = "command",
        report: Callable[[AuditProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._rest = rest
        self._heal = heal
        self._seed = SystemRandom().randrange(SEEDS) if seed is None else seed
        self._by = by
        self._report = report
        self._should_stop = should_stop
        self._clock = clock

    async def run(
        self, symbols: Sequence[str] | None = None, buckets: int = BUCKETS, within: Stretch | None = None
    ) -> AuditReport:
        """Audit some pairs (any spelling), or all that anything was collected of.

        `buckets` are drawn of every interval and of each thing it can be recomputed from, of those that touch `within`
        if that is given. What the exchange refuses is told of its pair, and the others go on. Raises UnknownSymbol and
        StorageError.
        """
        started = time.monotonic()
        async with connect(self._database) as writer:
            await prepare_writer(writer)
            pairs = Symbols(await read_pairs(writer))
            names = (
                await read_symbols_with_data(writer)
                if symbols is None
                else list(dict.fromkeys(pairs.resolve(symbol) for symbol in symbols))
            )
            steps = len(names) * (len(INTERVALS) + (len(ASKED) if self._rest else 0))
            facts: dict[str, Any] = {"symbols": names, "buckets": buckets, "seed": self._seed, "by": self._by}
            if within is not None:
                facts |= {"since": within.start.isoformat(), "until": within.end.isoformat()}
            run_id = await start_run(writer, RUN_KIND, facts, steps, "steps")
            state, error = "failed", ""
            reader = await Pool(self._database, 1, 1, is_reader=True).open()
            try:
                deed = _Run(self, writer, reader, await read_edition(writer), run_id, buckets, steps, within)
                audited = [await deed.audit(name, pairs) for name in names if not self._should_stop()]
                state = "stopped" if self._should_stop() else "done"
            except asyncio.CancelledError:
                state = "stopped"
                raise
            except Exception as failure:
                error = str(failure)
                raise
            finally:
                await reader.close()
                if not writer.closed:
                    await finish_run(writer, run_id, state, error)
        left = tuple(names[len(audited) :])
        return AuditReport(run_id, state, self._seed, tuple(audited), time.monotonic() - started, left)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a pair as its audit begins; times are aware UTC."""

    data: Stretch
    now: datetime
    lines: Lines
    proven: Sequence[Stretch]
    refused: Sequence[Stretch]


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A difference, and how to look again: what its bucket is recomputed from, or the exchange's candle."""

    difference: Difference
    reach: Reach | None = None
    theirs: ExchangeCandle | None = None
    is_proven: bool = False


class _Run:
    """One audit at work."""

    def __init__(
        self,
        deed: Audit,
        writer: Connection,
        reader: Pool,
        edition: Edition,
        run_id: int,
        buckets: int,
        steps: int,
        within: Stretch | None,
    ) -> None:
        self._deed = deed
        self._writer = writer
        self._reader = reader
        self._edition = edition
        self._run_id = run_id
        self._buckets = buckets
        self._steps = steps
        self._within = within
        self._done = self._compared = self._found = 0

    async def audit(self, symbol: str, pairs: Symbols) -> PairAudit:
        audited = PairAudit(symbol)
        # By its name too: a pair's draws do not depend on which others are audited.
        chance = Random(f"{self._deed._seed} {symbol}")  # noqa: S311  # drawing lots, no secrets
        known = await self._known(symbol, audited)
        doubts: list[_Doubt] = []
        for interval in INTERVALS.values():
            if self._deed._should_stop():
                break
            doubts += await self._recompute(symbol, interval, known, audited, chance)
            await self._step(symbol, len(doubts))
        is_listed = (pair := pairs.pair(symbol)) is None or not pair.is_gone
        if self._deed._rest is not None and is_listed and not self._deed._should_stop():
            doubts += await self._ask_exchange(self._deed._rest, pairs, symbol, known, audited)
        for place in range(0, len(doubts), SETTLED_AT_ONCE):
            some = doubts[place : place + SETTLED_AT_ONCE]
            audited.findings += await self._settle(symbol, some, known.lines)
        self._found += len(audited.findings)
        return audited

    async def _known(self, symbol: str, audited: PairAudit) -> _Known:
        now = self._deed._clock()
        async with self._reader.connection() as connection:
            lines = await read_lines(connection)
            bounds = await read_bounds(connection, interval_of("1d"), symbol)
            ledger = await read_ledger(connection, symbol, Stretch(EPOCH, now))
            rejected = (await read_answers(connection, symbol))["rejected"]
            audited.dropped = await count_without_parts(connection, symbol, lines)
        coverage = coverage_of(Stretch(EPOCH, now), ledger)
        data = _part_of(_data_of(bounds, now), self._within)
        return _Known(data, now, lines, coverage.proven, refused_stretches(ledger, rejected))

    async def _recompute(
        self, symbol: str, interval: Interval, known: _Known, audited: PairAudit, chance: Random
    ) -> list[_Doubt]:
        doubts: list[_Doubt] = []
        if known.data.start > known.data.end:
            return doubts
        # One state of the database: trades, minutes and rollups are of the same moment.
        async with self._reader.connection() as connection:
            for reach in reaches_of(interval, known.data, known.now, known.lines):
                drawn = await draw_buckets(connection, symbol, interval, reach, self._buckets, chance)
                for bucket in drawn:
                    is_proven = reach.parts == BY_TRADES and is_within(bucket.stretch, known.proven)
                    found = await compare_bucket(connection, symbol, bucket, reach, is_proven=is_proven)
                    if found is not None:
                        doubts.append(_Doubt(found, reach, is_proven=is_proven))
                audited.compared[reach.compared_with] += len(drawn)
                self._compared += len(drawn)
        return doubts

    async def _ask_exchange(
        self, rest: KrakenRest, pairs: Symbols, symbol: str, known: _Known, audited: PairAudit
    ) -> list[_Doubt]:
        """Compare what the exchange says of each interval; its error is the pair's, and no difference."""
        doubts: list[_Doubt] = []
        try:
            altname = pairs.altname(symbol)
            for interval in ASKED:
                theirs = await ask_candles(rest, altname, symbol, interval, self._deed._clock())
                for each, candles in [(interval, theirs)] + [
                    (longer, fold_exchange_candles(theirs, longer))
                    for longer, shorter in FOLDED.items()
                    if shorter == interval
                ]:
                    doubts += await self._compare(symbol, each, candles, known, audited)
                await self._step(symbol, len(doubts))
                if self._deed._should_stop():
                    break
        except KrakenError as failure:
            audited.error, audited.transient = str(failure), failure.transient
        return doubts

    async def _compare(
        self,
        symbol: str,
        interval: Interval,
        theirs: dict[datetime, ExchangeCandle],
        known: _Known,
        audited: PairAudit,
    ) -> list[_Doubt]:
        usable = comparable(theirs, interval, known.proven, known.refused)
        # Minutes below the fence are not stored.
        if interval.parent is None:
            usable = {start: each for start, each in usable.items() if start >= known.lines.candles}
        audited.unproven += len(theirs) - len(usable)
        audited.compared["exchange"] += len(usable)
        self._compared += len(usable)
        if not usable:
            return []
        stretch = Stretch(min(usable), max(usable) + interval.length)
        async with self._reader.connection() as connection:
            ours = await read_candle_facts(connection, interval, symbol, stretch)
        return [
            _Doubt(found, theirs=usable[found.bucket.start], is_proven=True)
            for found in compare_with_exchange(interval, usable, ours)
        ]

    async def _settle(self, symbol: str, doubts: list[_Doubt], lines: Lines) -> list[Finding]:
        """Look again where nothing moves, heal what is still different, and write it down.

        What a refresh makes right was no difference, only a rollup that had not been told yet.
        """
        async with sole_writer(self._writer, symbol):
            await self._refresh()
            if await read_lines(self._writer) != lines:
                # Retention has moved: what was drawn may have lost its parts. The next audit draws again.
                logger.info("audit skipped symbol=%s differences=%d: retention moved", symbol, len(doubts))
                return []
            found = [(doubt, again) for doubt in doubts if (again := await self._look(symbol, doubt))]
            if self._deed._heal:
                for doubt, _ in found:
                    await self._mend(symbol, doubt, lines)
                await self._refresh()
            findings = [
                Finding(
                    symbol, difference.bucket.interval, difference.bucket.start, difference.compared_with,
                    difference.fields, healed=self._deed._heal and not await self._look(symbol, doubt),
                )
                for doubt, difference in found
            ]  # fmt: skip
            await record_findings(self._writer, self._run_id, map(_row_of, findings))
        return findings

    async def _look(self, symbol: str, doubt: _Doubt) -> Difference | None:
        bucket = doubt.difference.bucket
        async with self._reader.connection() as connection:
            if doubt.reach is not None:
                return await compare_bucket(
                    connection, symbol, bucket, doubt.reach, is_proven=doubt.is_proven
                )
            ours = await read_candle_facts(connection, bucket.interval, symbol, bucket.stretch)
        if doubt.theirs is None:
            return None
        fields = exchange_differences(ours.get(bucket.start), doubt.theirs)
        return Difference(bucket, doubt.difference.compared_with, fields) if fields else None

    async def _mend(self, symbol: str, doubt: _Doubt, lines: Lines) -> None:
        bucket = doubt.difference.bucket
        if bucket.start >= max(lines.trades, lines.candles):
            await rebuild_minutes(self._writer, symbol, bucket.stretch, is_proven=doubt.is_proven)
        if bucket.interval.parent is not None:
            await rebuild_bucket(self._writer, self._edition, symbol, bucket.interval, bucket.stretch, lines)

    async def _refresh(self) -> None:
        await refresh_rollups(self._writer, self._edition, self._deed._clock())

    async def _step(self, symbol: str, doubts: int) -> None:
        self._done += 1
        await advance_audit(self._writer, self._run_id, 1)
        self._deed._report(
            AuditProgress(symbol, self._done, self._steps, self._compared, self._found + doubts)
        )


def _part_of(data: Stretch, within: Stretch | None) -> Stretch:
    """What of the data, whose end is its last moment, lies within; it starts after its end where nothing does."""
    if within is None:
        return data
    return Stretch(max(data.start, within.start), min(data.end, within.end - timedelta.resolution))


def _data_of(bounds: Bounds, now: datetime) -> Stretch:
    """From the first thing held to the last; empty where nothing is."""
    starts = [moment_of(bounds.first_ns)] if bounds.first_ns is not None else []
    starts += [bounds.first_start] if bounds.first_start is not None else []
    ends = [moment_of(bounds.last_ns)] if bounds.last_ns is not None else []
    ends += [bounds.last_end] if bounds.last_end is not None else []
    return Stretch(min(starts, default=now), max(ends, default=now))


def _row_of(finding: Finding) -> FindingRow:
    return FindingRow(
        finding.symbol,
        finding.interval.minutes,
        finding.timestamp,
        finding.compared_with,
        finding.differences,
        finding.healed,
    )


def _plain(value: Decimal | int | None) -> str | int | None:
    return f"{value:f}" if isinstance(value, Decimal) else value
