"""The ledger in memory: which ids of a symbol are held, and what of a new batch is new."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from krakendata.storage.sql import query


@dataclass(frozen=True, slots=True)
class HeldRun:
    """Contiguous ids of one symbol, both ends included, with the nanoseconds of the first and the last trade.

    For archives without ids (negative ones): contiguous rows of one file. `follows` names the id of the row before,
    where the run goes on with one that has been recorded.
    """

    first_id: int
    last_id: int
    first_ns: int
    last_ns: int
    trades: int
    source: str
    stored: bool
    follows: int | None = None


@dataclass(frozen=True, slots=True)
class Lines:
    """The two retention lines, aware UTC: rows before them are folded, not stored."""

    trades: datetime
    candles: datetime


class Holdings:
    """The runs of one symbol, kept in step with what its only writer records.

    Whoever writes blocks of a symbol holds its job lock, so nobody else adds runs meanwhile; the ledger's exclusion
    constraint stops whoever breaks that rule.
    """

    def __init__(self, runs: Iterable[HeldRun] = ()) -> None:
        self._runs = list(runs)

    def add(self, run: HeldRun) -> None:
        """Note a run that is being recorded; a run that continues the newest one grows it."""
        newest = self._runs[-1] if self._runs else None
        if newest is not None and run.first_id == newest.last_id + 1:
            run = HeldRun(newest.first_id, run.last_id, newest.first_ns, run.last_ns, newest.trades + run.trades,
                           run.source, run.stored)  # fmt: skip
            self._runs.pop()
        self._runs.append(run)

    def overlapping(self, first_id: int, last_id: int) -> list[HeldRun]:
        """The runs that hold an id of [first_id, last_id]."""
        return [run for run in self._runs if run.first_id <= last_id and run.last_id >= first_id]

    def exact_between(self, first_ns: int, last_ns: int) -> list[HeldRun]:
        """The runs of exact ids that touch a stretch of time, both ends included."""
        return [
            run
            for run in self._runs
            if run.first_id > 0 and run.first_ns <= last_ns and run.last_ns >= first_ns
        ]

    def has_archive_between(self, first_ns: int, last_ns: int) -> bool:
        """Whether rows of an archive without ids touch a stretch of time."""
        return any(
            run.first_id < 0 and run.first_ns <= last_ns and run.last_ns >= first_ns for run in self._runs
        )

    def ending_at(self, last_id: int) -> HeldRun | None:
        """The run whose last id this is."""
        return next((run for run in self._runs if run.last_id == last_id), None)

    def starting_at(self, first_id: int) -> HeldRun | None:
        """The run whose first id this is."""
        return next((run for run in self._runs if run.first_id == first_id), None)


async def read_holdings(connection: AsyncConnection[Any], symbol: str) -> Holdings:
    """Read the ledger of one symbol."""
    cursor = await connection.execute(query("trade_runs"), {"symbol": symbol})
    return Holdings([HeldRun(*row) for row in await cursor.fetchall()])


async def read_lines(connection: AsyncConnection[Any]) -> Lines:
    """Read where the two retention lines stand."""
    cursor = await connection.execute(query("retention_lines"))
    lines = dict(await cursor.fetchall())
    return Lines(trades=lines["trades"], candles=lines["candles"])
