"""What readers ask of the database: thin functions over the statements of sql/reads.sql, one each.

`connection` is any open one; times are aware UTC; candle rows are in `types.Candle`'s order.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.sql import SQL, Composed, Identifier

from krakendata.gaps import CandleRun, IdRange, Ledger, Stretch, TradeCheck, TradeRun
from krakendata.intervals import base_of
from krakendata.storage.pairs import TrackedPair
from krakendata.storage.selections import Selection, select_candles
from krakendata.storage.sql import query
from krakendata.types import Interval, Pair, ns_of

Connection = AsyncConnection[Any]
Row = tuple[Any, ...]

# Below every id there is: a bigint's least.
LOWEST_ID = -(2**63)


class Bounds(NamedTuple):
    """Where the ledger of a symbol begins and ends for an interval; None where it holds nothing.

    No minutes are stored below `fence`, no trades before `trades_line`. `has_coarse`: an archive has given candles of
    the interval itself.
    """

    first_ns: int | None
    last_ns: int | None
    first_start: datetime | None
    last_end: datetime | None
    fence: datetime
    trades_line: datetime
    has_coarse: bool


class SyncStatus(NamedTuple):
    """One row of data_sync_status: what was collected of a symbol and a kind ("trades", "candles")."""

    symbol: str
    kind: str
    oldest: datetime | None
    newest: datetime | None
    collected: int
    stored: int
    holes: int | None
    last_success: datetime | None
    last_error: str


class KnownLedger(NamedTuple):
    """A symbol's ledger around a stretch, and of its answered ids which are absent and which were rejected."""

    ledger: Ledger = Ledger()
    absent: tuple[IdRange, ...] = ()
    rejected: tuple[IdRange, ...] = ()


async def read_selection(connection: Connection, selection: Selection) -> list[Row]:
    """The rows of a selection, in its order."""
    cursor = await connection.execute(selection.statement, selection.parameters)
    return await cursor.fetchall()


async def read_prepared(connection: Connection, name: str, parameters: Mapping[str, Any]) -> list[Row]:
    """The rows of a statement that is the same whichever time it asks for: parsed once a connection.

    Not for partitioned tables: a plan made once for all times would look into every chunk.
    """
    cursor = await connection.execute(query(name), parameters, prepare=True)
    return await cursor.fetchall()


async def read_candles(
    connection: Connection, interval: Interval, symbol: str, stretch: Stretch, limit: int | None = None
) -> Sequence[Row]:
    """The candles that start in `stretch` as last refreshed, oldest first; with `limit` the newest of them."""
    is_cut = limit is not None
    rows = await read_selection(
        connection, select_candles(interval, symbol, stretch, limit=limit, newest_first=is_cut)
    )
    return rows[::-1] if is_cut else rows


async def read_folded_candles(
    connection: Connection, interval: Interval, symbol: str, stretch: Stretch
) -> Sequence[Row]:
    """The same above the fence, folded from the minutes, which the rollups may be behind until the next refresh."""
    return await read_selection(connection, select_candles(interval, symbol, stretch, stale=[stretch]))


async def read_oldest_trades(
    connection: Connection, symbol: str, stretch: Stretch, limit: int
) -> Sequence[Row]:
    """The first trades in `stretch` that have ids: id, time, price and volume as text, side, order type."""
    return await _read_trades(connection, "oldest_trades", symbol, stretch, limit)


async def read_newest_trades(
    connection: Connection, symbol: str, stretch: Stretch, limit: int
) -> Sequence[Row]:
    """The last ones, oldest first."""
    return (await _read_trades(connection, "newest_trades", symbol, stretch, limit))[::-1]


async def read_trades(
    connection: Connection, symbol: str, stretch: Stretch, limit: int | None = None
) -> Sequence[Row]:
    """The trades in `stretch`, with ids or without, by time and id; with `limit` the newest. Columns as above."""
    if limit is None:
        return await _read_trades(connection, "trades_between", symbol, stretch, 0)
    return (await _read_trades(connection, "newest_trades_between", symbol, stretch, limit))[::-1]


async def read_trades_after(
    connection: Connection, symbol: str, stretch: Stretch, after: tuple[datetime, int] | None, limit: int
) -> Sequence[Row]:
    """The first of them behind the one of time and id `after`; None: from the beginning."""
    start, trade_id = after or (stretch.start, LOWEST_ID)
    parameters = {
        "symbol": symbol,
        "start": max(start, stretch.start),
        "end": stretch.end,
        "after": start,
        "after_id": trade_id,
        "limit": limit,
    }
    cursor = await connection.execute(query("trades_after"), parameters)
    return await cursor.fetchall()


async def read_trades_before(
    connection: Connection, symbol: str, stretch: Stretch, before: tuple[datetime, int], limit: int
) -> Sequence[Row]:
    """The last of them before the one of time and id `before`, oldest first."""
    moment, trade_id = before
    parameters = {
        "symbol": symbol,
        "start": stretch.start,
        "end": stretch.end,
        "before": moment,
        "before_id": trade_id,
        "limit": limit,
    }
    cursor = await connection.execute(query("trades_before"), parameters)
    return (await cursor.fetchall())[::-1]


async def read_newest_finding(connection: Connection, symbol: str) -> int:
    """The number of the newest finding of an audit; 0 without any."""
    cursor = await connection.execute(query("newest_finding"), {"symbol": symbol})
    ((newest,),) = await cursor.fetchall()
    return int(newest)


async def _read_trades(
    connection: Connection, name: str, symbol: str, stretch: Stretch, limit: int
) -> Sequence[Row]:
    parameters = {"symbol": symbol, "start": stretch.start, "end": stretch.end, "limit": limit}
    cursor = await connection.execute(query(name), parameters)
    return await cursor.fetchall()


async def read_finer_candles(
    connection: Connection, interval: Interval, symbol: str, stretch: Stretch
) -> dict[datetime, Row]:
    """Open, high, low, close, volume and trade count by start, of candles folded from finer data only."""
    parameters = {"symbol": symbol, "start": stretch.start, "end": stretch.end}
    cursor = await connection.execute(_from_view("finer_candles_between", interval), parameters, binary=True)
    return {start: tuple(values) for start, *values in await cursor.fetchall()}


async def read_bounds(connection: Connection, interval: Interval, symbol: str) -> Bounds:
    """Where the ledger begins and ends, from its index: never a scan."""
    parameters = {"symbol": symbol, "minutes": base_of(interval).minutes}
    (row,) = await read_prepared(connection, "data_bounds", parameters)
    return Bounds._make(row)


async def export_snapshot(connection: Connection) -> str:
    """The name under which other connections can see the state that this one's transaction sees, while it lasts."""
    cursor = await connection.execute(query("export_snapshot"))
    ((name,),) = await cursor.fetchall()
    return str(name)


async def read_ledger(connection: Connection, symbol: str, stretch: Stretch) -> Ledger:
    """What of the symbol's ledger is needed to judge `stretch`."""
    parameters = {"symbol": symbol, "start_ns": ns_of(stretch.start), "end_ns": ns_of(stretch.end)}
    return _ledger_of(await read_prepared(connection, "ledger_around", parameters))


def ledgers_statement() -> str:
    """read_ledger's statement for several symbols at once, for whoever brings a connection of his own.

    Parameters: `symbols`, a list, `start_ns`, `end_ns`. Its rows are for `ledgers_of_rows`.
    """
    return query("ledgers_around").replace(
        "{ledger}", query("ledger_around").replace("%(symbol)s", "asked.symbol")
    )


def ledgers_of_rows(rows: Iterable[Sequence[Any]]) -> dict[str, KnownLedger]:
    """By symbol, of those asked for of which anything is known."""
    by_symbol: defaultdict[str, list[Sequence[Any]]] = defaultdict(list)
    answers: defaultdict[tuple[str, str], list[IdRange]] = defaultdict(list)
    for symbol, answer, *facts in rows:
        by_symbol[symbol].append(facts)
        if answer is not None:
            answers[symbol, answer].append(IdRange(*facts[1:3]))
    return {
        symbol: KnownLedger(
            _ledger_of(found), tuple(answers[symbol, "absent"]), tuple(answers[symbol, "rejected"])
        )
        for symbol, found in by_symbol.items()
    }


def _ledger_of(rows: Iterable[Sequence[Any]]) -> Ledger:
    kinds: tuple[list[Row], ...] = ([], [], [], [])
    for kind, *facts in rows:
        kinds[kind].append(tuple(facts))
    runs, answers, archives, checks = kinds
    return Ledger(
        tuple(TradeRun(*run[:4]) for run in runs),
        tuple(IdRange(*answer[:2]) for answer in answers),
        tuple(sorted(CandleRun(archive[0], *archive[4:]) for archive in archives)),
        TradeCheck(*checks[0][:2]) if checks else None,
    )


async def read_answers(connection: Connection, symbol: str) -> dict[str, list[IdRange]]:
    """The ids that are answered for without a trade, by the answer: "absent" and "rejected"."""
    cursor = await connection.execute(query("answers"), {"symbol": symbol})
    answers: dict[str, list[IdRange]] = {"absent": [], "rejected": []}
    for first_id, last_id, answer in await cursor.fetchall():
        answers[answer].append(IdRange(first_id, last_id))
    return answers


async def read_pairs(connection: Connection) -> list[Pair]:
    """The exchange's list as the table `pairs` holds it."""
    cursor = await connection.execute(query("pairs"))
    return [Pair(*row) for row in await cursor.fetchall()]


async def read_tracked_pairs(connection: Connection) -> list[TrackedPair]:
    """The pairs that are to be kept complete, by symbol; not those that the exchange lists no more."""
    cursor = await connection.execute(query("tracked_pairs"))
    return [TrackedPair(*row) for row in await cursor.fetchall()]


async def read_symbols_with_data(connection: Connection) -> list[str]:
    """The symbols that anything was ever collected of, sorted."""
    cursor = await connection.execute(query("symbols_with_data"))
    return [symbol for (symbol,) in await cursor.fetchall()]


async def read_sync_status(connection: Connection, symbol: str | None = None) -> list[SyncStatus]:
    """The operator's summary of one symbol, or of all: by symbol, trades before candles."""
    cursor = await connection.execute(query("sync_status"), {"symbol": symbol})
    return [SyncStatus._make(row) for row in await cursor.fetchall()]


def _from_view(name: str, interval: Interval) -> Composed:
    return SQL(query(name)).format(view=Identifier(interval.view))
