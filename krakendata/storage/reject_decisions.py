"""Decisions about rejected records: which wait, and what is written when they are replayed, refused or dismissed.

The functions that write run in the caller's transaction. A record is decided once: whoever finds that another was there
before gets DecidedMeanwhile, and nothing of the transaction remains.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from krakendata.storage.sql import query
from krakendata.types import NS_PER_SECOND, Trade, archive_trade_id

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the waiting records: those with these ids, or all of a run, source, reason and symbol (None: of any)."""

    ids: tuple[int, ...] | None = None
    run: int | None = None
    source: str | None = None
    reason: str | None = None
    symbol: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """What was chosen, by its names, fit for JSON."""
        chosen = {name: value for name, value in asdict(self).items() if value is not None}
        return chosen | ({"ids": list(self.ids)} if self.ids is not None else {})

    @classmethod
    def of(cls, chosen: dict[str, Any]) -> "Selection":
        """What `as_dict` gave."""
        ids = chosen.get("ids")
        return cls(**{**chosen, "ids": None if ids is None else tuple(ids)})

    def parameters(self) -> dict[str, Any]:
        """As queries take it."""
        return {**asdict(self), "ids": None if self.ids is None else list(self.ids)}


class KeptReject(NamedTuple):
    """A record that waits, with what its replay needs; `corrected` is its newest correction's text."""

    id: int
    source: str
    place: str
    line: int | None
    symbol: str
    trade_id: int | None
    layout: str
    interval_minutes: int | None
    follows: int | None
    raw: str
    corrected: str | None = None


class Replay(NamedTuple):
    """A record that is let in. `outcome`: "stored", "folded" or "duplicate"; "": what becomes of its block says it."""

    record_id: int
    outcome: str = ""
    trade_id: int | None = None


@dataclass(frozen=True, slots=True)
class Replays:
    """Records that a block lets in, and who decided so."""

    by: str
    records: Sequence[Replay]
    why: str = ""


class DecidedMeanwhile(Exception):
    """Another decision came before this one."""


async def newest_reject(connection: Connection) -> int:
    """The id of the record that was refused last; 0: there is none."""
    cursor = await connection.execute(query("newest_reject"))
    ((newest,),) = await cursor.fetchall()
    return int(newest)


async def count_waiting_rejects(connection: Connection, selection: Selection) -> int | None:
    """How many of a selection wait, by the counts of their runs; None where those do not tell."""
    cursor = await connection.execute(query("count_waiting_rejects"), selection.parameters())
    ((count,),) = await cursor.fetchall()
    return None if count is None else int(count)


async def read_waiting_rejects(
    connection: Connection, selection: Selection, after: int, upto: int, limit: int
) -> list[KeptReject]:
    """The first of a selection with ids above `after` and up to `upto`, in the order of their ids."""
    span = {"after": after, "upto": upto, "limit": limit}
    cursor = await connection.execute(query("waiting_rejects"), selection.parameters() | span)
    return [KeptReject._make(row) for row in await cursor.fetchall()]


async def read_listed_symbols(connection: Connection) -> frozenset[str]:
    """The symbols of the exchange's list, as far as it was taken over."""
    cursor = await connection.execute(query("listed_symbols"))
    return frozenset(symbol for (symbol,) in await cursor.fetchall())


async def dismiss_rejects(
    connection: Connection, ids: Sequence[int], by: str, why: str, run_id: int | None
) -> int:
    """Dismiss those of the records that wait; give how many did."""
    parameters = {"ids": list(ids), "by": by, "why": why, "run": run_id}
    cursor = await connection.execute(query("dismiss_rejects"), parameters)
    return len(await cursor.fetchall())


async def correct_reject(
    connection: Connection, record_id: int, corrected: str, by: str, why: str, run_id: int | None
) -> None:
    """Note how a waiting record is to be read; raises DecidedMeanwhile if it waits no more."""
    parameters = {"id": record_id, "corrected": corrected, "by": by, "why": why, "run": run_id}
    cursor = await connection.execute(query("correct_reject"), parameters)
    if await cursor.fetchone() is None:
        raise DecidedMeanwhile


async def record_replays(connection: Connection, replays: Replays, run_id: int | None) -> None:
    """Note that records are in; raises DecidedMeanwhile if one of them was decided before."""
    parameters = {
        "ids": [each.record_id for each in replays.records],
        "outcomes": [each.outcome for each in replays.records],
        "trade_ids": [each.trade_id for each in replays.records],
        "by": replays.by,
        "why": replays.why,
        "run": run_id,
    }
    cursor = await connection.execute(query("record_replays"), parameters)
    if len(await cursor.fetchall()) < len(replays.records):
        raise DecidedMeanwhile


async def record_refusals(
    connection: Connection, refusals: Sequence[tuple[int, str]], by: str, run_id: int
) -> int:
    """Note why records, by their ids, were refused again; give how many of them go on waiting."""
    parameters = {
        "ids": [record_id for record_id, _ in refusals],
        "whys": [why for _, why in refusals],
        "by": by,
        "run": run_id,
    }
    cursor = await connection.execute(query("record_refusals"), parameters)
    ((waiting,),) = await cursor.fetchall()
    counts = {"read": waiting, "stored": 0, "folded": 0, "duplicate": 0, "rejected": waiting}
    await connection.execute(query("advance_run"), {"run": run_id, "done": len(refusals)} | counts)
    return int(waiting)


async def note_dismissed(connection: Connection, count: int, run_id: int) -> None:
    """Note in the run how many records more it has dismissed."""
    counts = dict.fromkeys(("read", "stored", "folded", "duplicate", "rejected"), 0)
    await connection.execute(query("advance_run"), {"run": run_id, "done": count} | counts)


async def lock_archive_rejects(
    connection: Connection, symbol: str, rows: Sequence[tuple[int, Trade]]
) -> None:
    """Lock what `insert_archive_row` and the decisions about these rows, by their records' ids, will change."""
    seconds = [trade.ns // NS_PER_SECOND for _, trade in rows]
    parameters = {
        "symbol": symbol,
        "ids": [record_id for record_id, _ in rows],
        "first": archive_trade_id(min(seconds), 0),
        "last": archive_trade_id(max(seconds) + 1, 0) - 1,
    }
    await connection.execute(query("lock_archive_rejects"), parameters)


async def insert_archive_row(connection: Connection, record_id: int, trade: Trade) -> Replay:
    """Put a row of an archive without ids where its file had it; the caller holds the symbol and the lines."""
    parameters = {
        "record": record_id, "symbol": trade.symbol, "ns": trade.ns, "price": trade.price, "volume": trade.volume,
        "side": trade.side, "order_type": trade.order_type,
    }  # fmt: skip
    cursor = await connection.execute(query("insert_archive_row"), parameters)
    ((trade_id, outcome),) = await cursor.fetchall()
    return Replay(record_id, outcome, trade_id)
