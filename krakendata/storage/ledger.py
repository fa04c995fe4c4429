"""The ledger in memory: which ids of a symbol are held, and what of a new batch is new."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import Any

from psycopg import AsyncConnection

from krakendata.gaps import IdRange
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

    def __init__(self, runs: Iterable[HeldRun] = (), answered: Iterable[IdRange] = ()) -> None:
        self._runs = sorted(runs, key=_first_id)
        self._by_last = {run.last_id: run for run in self._runs}
        self._answered_to: dict[int, int] = {}
        self._answered_from: dict[int, int] = {}
        self.add_answers(answered)

    @property
    def trades(self) -> int:
        """How many are held."""
        return sum(run.trades for run in self._runs)

    def add(self, run: HeldRun) -> None:
        """Note a run that is being recorded; one that goes on from another's last id grows it."""
        before = self._by_last.pop(run.first_id - 1, None)
        place = bisect_left(self._runs, run.first_id, key=_first_id)
        if before is not None:
            run = replace(
                run, first_id=before.first_id, first_ns=before.first_ns, trades=before.trades + run.trades
            )
            self._runs[place - 1] = run
        else:
            self._runs.insert(place, run)
        self._by_last[run.last_id] = run

    def add_answers(self, answered: Iterable[IdRange]) -> None:
        """Note ids that are answered for without a trade: absent at the exchange, or rejected; what is held is not."""
        for first, last in (part for each in answered for part in self._not_held(*each)):
            self._answered_to[last] = min(first, self._answered_to.get(last, first))
            self._answered_from[first] = max(last, self._answered_from.get(first, last))

    def _not_held(self, first_id: int, last_id: int) -> Iterator[tuple[int, int]]:
        for run in self.overlapping(first_id, last_id):
            if first_id < run.first_id:
                yield first_id, run.first_id - 1
            first_id = run.last_id + 1
        if first_id <= last_id:
            yield first_id, last_id

    def id_before(self, trade_id: int) -> int:
        """The last id before this one that may be a trade's: those that are answered for are passed over."""
        before = trade_id - 1
        while before in self._answered_to:
            before = self._answered_to[before] - 1
        return before

    def id_behind(self, trade_id: int) -> int:
        """The first one behind it likewise."""
        behind = trade_id + 1
        while behind in self._answered_from:
            behind = self._answered_from[behind] + 1
        return behind

    def overlapping(self, first_id: int, last_id: int) -> list[HeldRun]:
        """The runs that hold an id of [first_id, last_id], in order."""
        place = bisect_left(self._runs, first_id, key=_last_id)
        end = bisect_right(self._runs, last_id, key=_first_id)
        return self._runs[place:end]

    def exact_between(self, first_ns: int, last_ns: int) -> list[HeldRun]:
        """The runs of exact ids that touch a stretch of time, both ends included."""
        return [
            run
            for run in self._runs
            if run.first_id > 0 and run.first_ns <= last_ns and run.last_ns >= first_ns
        ]

    def has_archive_between(self, first_ns: int, last_ns: int) -> bool:
        """Whether rows of an archive without ids touch a stretch of time."""
        idless = takewhile(lambda run: run.first_id < 0, self._runs)
        return any(run.first_ns <= last_ns and run.last_ns >= first_ns for run in idless)

    def ending_at(self, last_id: int) -> HeldRun | None:
        """The run whose last id this is."""
        return self._by_last.get(last_id)

    def starting_at(self, first_id: int) -> HeldRun | None:
        """The run whose first id this is."""
        place = bisect_left(self._runs, first_id, key=_first_id)
        found = self._runs[place : place + 1]
        return found[0] if found and found[0].first_id == first_id else None


def _first_id(run: HeldRun) -> int:
    return run.first_id


def _last_id(run: HeldRun) -> int:
    return run.last_id


async def read_holdings(connection: AsyncConnection[Any], symbol: str) -> Holdings:
    """Read the ledger of one symbol."""
    cursor = await connection.execute(query("trade_runs"), {"symbol": symbol})
    runs = [HeldRun(*row) for row in await cursor.fetchall()]
    cursor = await connection.execute(query("answered_ids"), {"symbol": symbol})
    return Holdings(runs, [IdRange(*row) for row in await cursor.fetchall()])


async def read_lines(connection: AsyncConnection[Any]) -> Lines:
    """Read where the two retention lines stand."""
    cursor = await connection.execute(query("retention_lines"))
    lines = dict(await cursor.fetchall())
    return Lines(trades=lines["trades"], candles=lines["candles"])
