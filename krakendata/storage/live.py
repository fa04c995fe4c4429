"""The live path's door: trades and candles of many symbols at once, each batch in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from krakendata.gaps import TradeCheck
from krakendata.storage.bulk import Counts
from krakendata.storage.ledger import read_lines
from krakendata.storage.rejects import Reject, write_rejects
from krakendata.storage.sql import query
from krakendata.types import HistoricalCandle, Source, Trade, moment_of

Connection = AsyncConnection[Any]

# Partitions are made this far ahead of the newest record, so that it is not done in the middle of a burst.
AHEAD = timedelta(hours=1)


class SymbolOutcome(NamedTuple):
    """What became of one symbol's trades: "written", "busy" or "involved" (sql/functions/0005_live.sql)."""

    symbol: str
    outcome: str
    read: int
    duplicate: int


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """What is written together: trades with ids, each once, and what was rejected, with the symbol it is about."""

    trades: Sequence[Trade]
    rejects: Sequence[tuple[str, Reject]] = ()


class Partitions:
    """Makes the records' partitions, in transactions of their own: made while a batch is written they deadlock."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[datetime, datetime]] = {}

    async def make(self, connection: Connection, relation: str, first: datetime, last: datetime) -> None:
        """Make those of `relation` ("trades", "candles") from `first` to `last` that this has not made yet."""
        start, finish = self._made.get(relation, (last, last))
        if relation in self._made and start <= first and last < finish:
            return
        lines = await read_lines(connection)
        line = lines.trades if relation == "trades" else lines.candles
        start, finish = max(min(first, start), line), max(last + AHEAD, finish)
        if start < finish:
            await connection.execute(
                query("make_partitions"), {"relation": relation, "start": start, "finish": finish}
            )
        self._made[relation] = start, finish


async def write_trades(
    connection: Connection, batch: LiveBatch, partitions: Partitions, run_id: int, max_rejects: int
) -> list[SymbolOutcome]:
    """Write a batch in one transaction: rows, minutes, ledger, rejections and the run's counts.

    `connection` is one of bulk.prepare_writer. Symbols that come back as "busy" or "involved" are not written at all.
    """
    if batch.trades:
        times = [trade.ns for trade in batch.trades]
        first, last = moment_of(min(times)), moment_of(max(times))
        for relation in ("trades", "candles"):
            await partitions.make(connection, relation, first, last)
    async with connection.transaction():
        outcomes: list[SymbolOutcome] = []
        if batch.trades:
            async with connection.cursor() as cursor:
                async with cursor.copy(query("copy_staged_trades")) as copy:
                    await copy.write("".join(map(_trade_line, batch.trades)))
                await cursor.execute(query("write_staged_trades"), {"source": str(Source.WEBSOCKET)})
                outcomes = [SymbolOutcome._make(row) for row in await cursor.fetchall()]
        await write_rejects(connection, batch.rejects, run_id, max_rejects)
        await _advance(connection, run_id, _counts(outcomes, len(batch.rejects)))
    return outcomes


async def write_candles(
    connection: Connection, candles: Sequence[HistoricalCandle], partitions: Partitions, run_id: int
) -> tuple[Counts, frozenset[str]]:
    """Write 1-minute candles that the exchange gave, each minute once, in one transaction.

    Those of symbols that another transaction writes are left out; the second part of the answer names these.
    """
    times = [candle.timestamp for candle in candles]
    await partitions.make(connection, "candles", min(times), max(times))
    async with connection.transaction(), connection.cursor() as cursor:
        async with cursor.copy(query("copy_staged_live_candles")) as copy:
            await copy.write("".join(map(_candle_line, candles)))
        await cursor.execute(query("write_staged_given_candles"))
        ((stored, duplicate, busy),) = await cursor.fetchall()
        counts = Counts(stored + duplicate, stored, 0, duplicate, 0)
        await _advance(connection, run_id, counts)
    return counts, frozenset(busy)


async def record_checks(connection: Connection, checks: Sequence[tuple[str, TradeCheck]]) -> int:
    """Record until when a feed heard of no newer trade, of each symbol whose newest trade is held; give how many."""
    parameters = {
        "symbols": [symbol for symbol, _ in checks],
        "last_ids": [check.last_id for _, check in checks],
        "checked_ns": [check.checked_ns for _, check in checks],
    }
    cursor = await connection.execute(query("record_trade_checks"), parameters)
    ((recorded,),) = await cursor.fetchall()
    return int(recorded)


async def read_newest_ids(connection: Connection) -> dict[str, int]:
    """The highest id that is held of each symbol."""
    cursor = await connection.execute(query("newest_ids"))
    return dict(await cursor.fetchall())


async def start_feed_session(connection: Connection, run_id: int, name: str) -> int:
    """Record that a feed begins to listen; give the session's id."""
    cursor = await connection.execute(query("start_feed_session"), {"run": run_id, "name": name})
    ((session,),) = await cursor.fetchall()
    return int(session)


async def keep_feed_session(
    connection: Connection,
    session: int,
    run_id: int,
    heard_at: datetime | None,
    symbols: int,
    statistics: dict[str, Any],
    *,
    is_end: bool = False,
) -> None:
    """Record that a feed is alive: when it heard its newest frame, of how many symbols, and what it counted."""
    await connection.execute(
        query("keep_feed_session"),
        {
            "session": session, "run": run_id, "heard_at": heard_at, "symbols": symbols,
            "statistics": Jsonb(statistics), "is_end": is_end,
        },
    )  # fmt: skip


async def _advance(connection: Connection, run_id: int, counts: Counts) -> None:
    await connection.execute(query("advance_run"), {"run": run_id, "done": counts.stored} | counts.as_dict())


def _counts(outcomes: Sequence[SymbolOutcome], rejected: int) -> Counts:
    """What was written and rejected; what is to come back is counted then."""
    written = [each for each in outcomes if each.outcome == "written"]
    read, duplicate = sum(each.read for each in written), sum(each.duplicate for each in written)
    return Counts(read + rejected, read - duplicate, 0, duplicate, rejected)


def _trade_line(trade: Trade) -> str:
    """As COPY's CSV reads it; the words are of validation.py, and hold nothing that needs a quote."""
    return (
        f"{trade.symbol},{trade.ns},{trade.trade_id},{trade.price},{trade.volume},"
        f"{trade.side or ''},{trade.order_type or ''}\n"
    )


def _candle_line(candle: HistoricalCandle) -> str:
    turnover = "" if candle.turnover is None else candle.turnover
    return (
        f"{candle.symbol},{candle.timestamp.isoformat()},{candle.open},{candle.high},{candle.low},{candle.close},"
        f"{candle.volume},{turnover},{candle.trade_count}\n"
    )
