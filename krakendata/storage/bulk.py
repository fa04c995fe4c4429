"""The one door for writing: rows, ledger, rejects and progress of a block, in one transaction."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection, errors

from krakendata.gaps import IdRange, TradeCheck
from krakendata.storage.ledger import HeldRun, Lines, read_lines
from krakendata.storage.reject_decisions import (
    Replay,
    Replays,
    insert_archive_row,
    lock_archive_rejects,
    record_replays,
)
from krakendata.storage.rejects import Reject, write_rejects
from krakendata.storage.sql import query
from krakendata.types import Trade, ns_of


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows that were read: the four add up to `read`."""

    read: int = 0
    stored: int = 0
    folded: int = 0
    duplicate: int = 0
    rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.read + other.read,
            self.stored + other.stored,
            self.folded + other.folded,
            self.duplicate + other.duplicate,
            self.rejected + other.rejected,
        )

    def as_dict(self) -> dict[str, int]:
        """The counts by name, as commands print them and queries take them."""
        return {name: getattr(self, name) for name in ("read", "stored", "folded", "duplicate", "rejected")}


@dataclass(frozen=True, slots=True)
class TradeBlock:
    """New trades of one symbol, in the order of their ids. Bytes are COPY's CSV, columns as in queries.sql.

    `replaced` are the stretches of whole minutes where these exact trades take the place of an archive without ids;
    `shared` the minutes that earlier blocks have other trades of, now complete; `covered` the stretches of whole
    minutes in which exact ids leave nothing out.
    """

    trades: bytes
    candles: bytes
    runs: Sequence[HeldRun]
    new: int
    stored: int
    first: datetime
    last: datetime
    replaced: Sequence[tuple[datetime, datetime]] = ()
    shared: Sequence[datetime] = ()
    covered: Sequence[tuple[datetime, datetime]] = ()


@dataclass(frozen=True, slots=True)
class CandleBlock:
    """Candles of one symbol and interval as an archive gives them, in time order, each start once.

    `follows` is the start of the file's candle before: the stretch between them is covered by the file too.
    """

    interval_minutes: int
    candles: bytes
    rows: int
    first: datetime
    last: datetime
    follows: datetime | None = None


@dataclass(frozen=True, slots=True)
class FileProgress:
    """How far a file is in, once its block is committed."""

    path: str
    next_offset: int
    next_line: int
    is_last: bool
    last_id: int | None = None
    last_start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One block of records for the door. `read` counts every record it was made of, kept or not.

    `absent` are ids that the exchange said twice it does not have, `check` what it said its newest trade was, and
    `checked_minute` that trade's minute, if this makes it complete.
    `advanced` is by how much the run is further, in the unit of its total. `held_trades` is how many trades of the
    symbol the ledger it was shaped by had; None: nobody else records any meanwhile. `replays` are the rejected records
    that it was made of.
    """

    symbol: str
    lines: Lines
    read: int
    trades: TradeBlock | None = None
    candles: CandleBlock | None = None
    rejects: Sequence[Reject] = field(default_factory=tuple)
    absent: Sequence[IdRange] = ()
    check: TradeCheck | None = None
    checked_minute: datetime | None = None
    progress: FileProgress | None = None
    advanced: int = 0
    held_trades: int | None = None
    replays: Replays | None = None

    @property
    def touches_ledger(self) -> bool:
        """Whether it changes what is known of the symbol's trades."""
        answers = any(reject.trade_id is not None for reject in self.rejects)
        return bool(self.trades is not None or answers or self.absent or self.check)


class BlockOutdated(Exception):
    """A retention line moved since the block was shaped, or another writer has recorded its ids: shape it again."""


async def prepare_writer(connection: AsyncConnection[Any]) -> None:
    """Make a connection (in autocommit) ready for the doors: session settings and the staging tables."""
    await connection.execute(query("set_session"))
    await connection.execute(query("stage_candles"))
    await connection.execute(query("stage_trades"))


async def write_block(
    connection: AsyncConnection[Any], block: Block, run_id: int | None, max_rejects: int
) -> Counts:
    """Write one block in one transaction and return what became of its records.

    `max_rejects` rejected records are kept per run and reason, the others counted; without a run there are none.
    Raises BlockOutdated if a retention line moved since `block.lines` was read, or if the ledger has ids of it by now;
    nothing is written then.
    """
    await _make_partitions(connection, block)
    try:
        return await _write(connection, block, run_id, max_rejects)
    except (errors.ExclusionViolation, errors.UniqueViolation) as error:
        if error.diag.table_name != "trade_runs":
            raise
        raise BlockOutdated from error


async def _write(
    connection: AsyncConnection[Any], block: Block, run_id: int | None, max_rejects: int
) -> Counts:
    async with connection.transaction():
        await connection.execute(query("share_lines"))
        if await read_lines(connection) != block.lines:
            raise BlockOutdated
        await connection.execute(query("lock_symbol"), {"symbol": block.symbol})
        await _compare_held(connection, block)
        await _compare_runs(connection, block)
        counts = Counts(read=block.read, rejected=len(block.rejects))
        if block.trades is not None:
            counts += await _write_trades(connection, block.symbol, block.trades, block.lines)
        if block.candles is not None:
            counts += await _write_candles(connection, block.symbol, block.candles, block.lines)
        counts += Counts(
            duplicate=block.read - counts.stored - counts.folded - counts.duplicate - counts.rejected
        )
        if run_id is not None:
            await write_rejects(
                connection, [(block.symbol, each) for each in block.rejects], run_id, max_rejects
            )
        await _write_answers(connection, block)
        if block.touches_ledger:
            await connection.execute(query("summarize_sync"), {"symbol": block.symbol, "kind": "trades"})
        if block.replays is not None:
            await record_replays(connection, _with_outcomes(block.replays, counts), run_id)
        await _advance(connection, block, run_id, counts)
    return counts


def _with_outcomes(replays: Replays, counts: Counts) -> Replays:
    """What became of records of which only the block knows it: a candle is a block of its own."""
    outcome = "stored" if counts.stored else "folded" if counts.folded else "duplicate"
    records = [each._replace(outcome=each.outcome or outcome) for each in replays.records]
    return replace(replays, records=records)


async def write_archive_rows(
    connection: AsyncConnection[Any],
    symbol: str,
    rows: Sequence[tuple[int, Trade]],
    replays: Replays,
    run_id: int,
) -> Counts:
    """Let rows of archives without ids in that were refused, each by its record's id, in one transaction.

    Each goes where its file had it, whatever lies there by now. `replays` says who decided so. Raises DecidedMeanwhile;
    nothing is written then.
    """
    lines = await read_lines(connection)
    for _, trade in rows:
        for relation, line in (("trades", lines.trades), ("candles", lines.candles)):
            if trade.timestamp >= line:
                span = {
                    "relation": relation,
                    "start": trade.timestamp,
                    "finish": trade.timestamp + _MICROSECOND,
                }
                await connection.execute(query("make_partitions"), span)
    done: list[Replay] = []
    async with connection.transaction():
        await connection.execute(query("share_lines"))
        await connection.execute(query("lock_symbol"), {"symbol": symbol})
        await lock_archive_rejects(connection, symbol, rows)
        for record_id, trade in rows:
            replay = await insert_archive_row(connection, record_id, trade)
            # At once: the next row may be the same line, refused by another import.
            await record_replays(connection, replace(replays, records=[replay]), run_id)
            done.append(replay)
        await connection.execute(query("summarize_sync"), {"symbol": symbol, "kind": "trades"})
        outcomes = [each.outcome for each in done]
        counts = Counts(len(done), *(outcomes.count(name) for name in ("stored", "folded", "duplicate")))
        await connection.execute(query("advance_run"), {"run": run_id, "done": len(done)} | counts.as_dict())
    return counts


async def _compare_held(connection: AsyncConnection[Any], block: Block) -> None:
    """Raise BlockOutdated where another writer's trades may complete a minute that has a candle of another kind.

    Elsewhere minutes merge by their ids, whoever else writes them.
    """
    if block.trades is None or block.held_trades is None:
        return
    span = {"symbol": block.symbol, "start": block.trades.first, "finish": block.trades.last}
    cursor = await connection.execute(query("held_trades_beside_others"), span)
    (held,) = await _one_row(cursor)
    if held is not None and held != block.held_trades:
        raise BlockOutdated


async def _compare_runs(connection: AsyncConnection[Any], block: Block) -> None:
    """Raise BlockOutdated where the ledger has ids of the block by now.

    A feed writes beside whoever fetches. Its rows may differ from REST's in the seventh decimal of their time, and
    then meet in the ledger, or may not, and meet in the table, where nobody could tell them from a defect.
    """
    if block.trades is None:
        return
    spans = {
        "symbol": block.symbol,
        "first_ids": [run.first_id for run in block.trades.runs],
        "last_ids": [run.last_id for run in block.trades.runs],
    }
    cursor = await connection.execute(query("has_ids_of_runs"), spans)
    if await _one_row(cursor) == (True,):
        raise BlockOutdated


async def _make_partitions(connection: AsyncConnection[Any], block: Block) -> None:
    """Ahead and in a transaction of their own: made while rows are written they deadlock."""
    spans = []
    if block.trades is not None:
        spans += [("trades", max(block.trades.first, block.lines.trades), block.trades.last)]
        spans += [("candles", max(block.trades.first, block.lines.candles), block.trades.last)]
    if block.candles is not None and block.candles.interval_minutes == 1:
        spans += [("candles", max(block.candles.first, block.lines.candles), block.candles.last)]
    for relation, first, last in spans:
        if first <= last:
            await connection.execute(
                query("make_partitions"),
                {"relation": relation, "start": first, "finish": last + _MICROSECOND},
            )


_MICROSECOND = datetime.resolution


async def _write_trades(
    connection: AsyncConnection[Any], symbol: str, block: TradeBlock, lines: Lines
) -> Counts:
    for start, finish in block.replaced:
        await connection.execute(
            query("drop_archive_trades"), {"symbol": symbol, "start": start, "finish": finish}
        )
    await _copy(connection, "copy_trades", block.trades)
    await _copy(connection, "copy_staged_candles", block.candles)
    await connection.execute(query("merge_staged_candles"))
    for minute in block.shared:
        await connection.execute(query("rebuild_minute"), {"symbol": symbol, "minute": minute})
    await _drop_given_candles(connection, symbol, block, lines.candles)
    async with connection.cursor() as cursor:
        await cursor.executemany(
            query("record_trade_run"), [{"symbol": symbol, **asdict(run)} for run in block.runs]
        )
    ids = {"symbol": symbol, "first_id": block.runs[0].first_id, "last_id": block.runs[-1].last_id}
    await connection.execute(query("forget_answered_ids"), ids)
    return Counts(stored=block.stored, folded=block.new - block.stored)


async def _drop_given_candles(
    connection: AsyncConnection[Any], symbol: str, block: TradeBlock, fence: datetime
) -> None:
    """Where trades are complete, minutes (below the fence, five at once) that were given and have none go."""
    for start, finish in block.covered:
        span = {"symbol": symbol, "start": start, "finish": finish}
        cursor = await connection.execute(query("has_given_minutes"), span)
        if await cursor.fetchone() == (True,):
            parameters = {**span, "shared": list(block.shared)}
            await connection.execute(query("drop_given_minutes"), parameters)
            if start < fence:
                await connection.execute(query("drop_given_history"), parameters)


async def _write_candles(
    connection: AsyncConnection[Any], symbol: str, block: CandleBlock, lines: Lines
) -> Counts:
    counts, replaced = await _merge_candles(connection, symbol, block, lines)
    covered_from = block.first
    if block.follows is not None and block.follows < block.first:
        covered_from = block.follows
    await connection.execute(
        query("record_candle_run"),
        {
            "symbol": symbol,
            "interval": block.interval_minutes,
            "first": covered_from,
            "last": block.last,
            "candles": counts.stored + counts.folded - replaced,
        },
    )
    await connection.execute(query("summarize_sync"), {"symbol": symbol, "kind": "candles"})
    return counts


async def _merge_candles(
    connection: AsyncConnection[Any], symbol: str, block: CandleBlock, lines: Lines
) -> tuple[Counts, int]:
    """Straight in where nothing is in the way, else by way of the stage and the precedence rules.

    The second number says how many of those stored took the place of others.
    """
    span = {"symbol": symbol, "first": block.first, "last": block.last}
    is_exact = block.interval_minutes == 1 and await _has_exact_trades(connection, symbol, block)
    if block.interval_minutes == 1 and block.first >= lines.candles and not is_exact:
        cursor = await connection.execute(query("has_candles"), span)
        if await cursor.fetchone() == (False,):
            await _copy(connection, "copy_candles", block.candles)
            await connection.execute(query("mark_dirty"), span)
            return Counts(stored=block.rows), 0
    await _copy(connection, "copy_staged_given_candles", block.candles)
    if is_exact:
        await connection.execute(query("drop_staged_proven"))
    if block.interval_minutes == 1:
        cursor = await connection.execute(query("merge_staged_candles"))
        stored, folded, duplicate, replaced = await _one_row(cursor)
        return Counts(stored=stored, folded=folded, duplicate=duplicate), replaced
    cursor = await connection.execute(query("merge_coarse_candles"), {"interval": block.interval_minutes})
    stored, duplicate, replaced = await _one_row(cursor)
    return Counts(stored=stored, duplicate=duplicate), replaced


async def _has_exact_trades(connection: AsyncConnection[Any], symbol: str, block: CandleBlock) -> bool:
    """Whether trades with ids are held of the block's time."""
    span = {"symbol": symbol, "first_ns": ns_of(block.first), "last_ns": ns_of(block.last)}
    cursor = await connection.execute(query("has_exact_trades"), span)
    return await cursor.fetchone() == (True,)


async def _write_answers(connection: AsyncConnection[Any], block: Block) -> None:
    ids = [reject.trade_id for reject in block.rejects if reject.trade_id is not None]
    if ids:
        await connection.execute(query("record_rejected_ids"), {"symbol": block.symbol, "ids": ids})
    for absent in block.absent:
        await connection.execute(query("record_absent_ids"), {"symbol": block.symbol, **absent._asdict()})
    if block.check is not None:
        await connection.execute(
            query("record_trade_check"), {"symbol": block.symbol, **block.check._asdict()}
        )
    if block.checked_minute is not None:
        await connection.execute(
            query("rebuild_minute"), {"symbol": block.symbol, "minute": block.checked_minute}
        )


async def _advance(
    connection: AsyncConnection[Any], block: Block, run_id: int | None, counts: Counts
) -> None:
    if block.progress is not None:
        progress = block.progress
        await connection.execute(
            query("advance_import_file"),
            {
                "path": progress.path, "next_offset": progress.next_offset, "next_line": progress.next_line,
                "is_last": progress.is_last, "last_id": progress.last_id, "last_start": progress.last_start,
            }
            | counts.as_dict(),
        )  # fmt: skip
    if run_id is not None:
        await connection.execute(
            query("advance_run"), {"run": run_id, "done": block.advanced} | counts.as_dict()
        )


async def _copy(connection: AsyncConnection[Any], name: str, data: bytes) -> None:
    if data:
        async with connection.cursor() as cursor, cursor.copy(query(name)) as copy:
            await copy.write(data)


async def _one_row(cursor: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] = await cursor.fetchone()
    return row
