"""Holes made honestly: trades, their ids in the ledger and their candles are taken out in one transaction.

What is left is what a backfill that never met these trades would have left, so nothing lies.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from krakendata.gaps import Gap
from tests.fix_storage import Store

MOST_TRADES = 1_500
TAIL_SHARE = 0.2

RUNS = """
    DELETE FROM trade_runs WHERE symbol = %s AND first_id <= %s AND last_id >= %s
    RETURNING first_id, last_id, first_ns, last_ns, source, stored
"""
TRADES = """
    WITH gone AS (DELETE FROM trades WHERE symbol = %s AND trade_id BETWEEN %s AND %s RETURNING timestamp)
    SELECT DISTINCT date_trunc('minute', timestamp) FROM gone
"""
EMPTIED_MINUTES = """
    DELETE FROM candles c WHERE symbol = %s AND timestamp = ANY(%s) AND NOT EXISTS (
        SELECT FROM trades t WHERE t.symbol = c.symbol AND t.timestamp >= c.timestamp
                               AND t.timestamp < c.timestamp + INTERVAL '1 minute')
"""
TOUCHED_MINUTES = """
    SELECT rebuild_minute(%s, minute), mark_dirty(%s, minute, minute + INTERVAL '1 minute') FROM unnest(%s) AS minute
"""


class Hole(NamedTuple):
    """The ids from the first to the last trade that is missing."""

    symbol: str
    first_id: int
    last_id: int

    def is_in(self, gaps: Sequence[Gap]) -> bool:
        """Whether one of the gaps holds all of it."""
        return any(self._is_after(gap) and self._is_before(gap) for gap in gaps)

    def touches(self, gaps: Sequence[Gap]) -> bool:
        """Whether one of the gaps holds an id of it."""
        return any(
            (gap.after is None or gap.after.trade_id < self.last_id)
            and (gap.before is None or gap.before.trade_id > self.first_id)
            for gap in gaps
        )

    def _is_after(self, gap: Gap) -> bool:
        return gap.after is None or gap.after.trade_id < self.first_id

    def _is_before(self, gap: Gap) -> bool:
        return gap.before is None or gap.before.trade_id > self.last_id


def gaps_as_holes(symbol: str, gaps: Sequence[Gap]) -> list[Hole]:
    """The gaps between trades that are held."""
    return [
        Hole(symbol, gap.after.trade_id + 1, gap.before.trade_id - 1)
        for gap in gaps
        if gap.after is not None and gap.after.trade_id and gap.before is not None
    ]


async def take_out(
    store: Store, times: Mapping[str, Mapping[int, int]], count: int, rng: random.Random
) -> list[Hole]:
    """Make so many holes above the retention; `times` are the nanoseconds of each pair's trades, as REST tells them."""
    holes: list[Hole] = []
    symbols = sorted(times)
    for place in range(count):
        symbol = symbols[place % len(symbols)]
        hole = await _choose(store, symbol, holes, rng)
        if hole is None:
            symbol = max(symbols, key=lambda each: len(times[each]))
            hole = await _choose(store, symbol, holes, rng)
        assert hole is not None, "no room for a hole"
        await _take_out(store, hole, times[symbol])
        holes.append(hole)
    return holes


async def _choose(store: Store, symbol: str, holes: Sequence[Hole], rng: random.Random) -> Hole | None:
    """Some trades in a row, with a trade that is held between them and every other hole."""
    ids: list[int] = await store.fetch("SELECT trade_id FROM trades WHERE symbol = %s ORDER BY 1", symbol)
    most = min(MOST_TRADES, len(ids) // 2)
    for _ in range(100) if most else ():
        # Many small ones, some of more than a page.
        length = 1 + int(most * rng.random() ** 3)
        end = len(ids) if rng.random() < TAIL_SHARE else rng.randint(length, len(ids))
        start = end - length
        if start < 1:
            continue
        first, last = ids[start], ids[end - 1]
        around = ids[start - 1], ids[end] if end < len(ids) else last + 1
        others = [each for each in holes if each.symbol == symbol]
        if not any(each.first_id <= around[1] and each.last_id >= around[0] for each in others):
            return Hole(symbol, first, last)
    return None


async def _take_out(store: Store, hole: Hole, times: Mapping[int, int]) -> None:
    symbol, first, last = hole
    span = [symbol, first, last]
    async with store.connection.transaction():
        minutes = await store.fetch(TRADES, *span)
        for run_first, run_last, first_ns, last_ns, source, stored in await store.fetch(
            RUNS, symbol, last, first
        ):
            assert stored, hole
            if run_first < first:
                await _keep_run(store, symbol, run_first, first - 1, first_ns, times[first - 1], source)
            if run_last > last:
                await _keep_run(store, symbol, last + 1, run_last, times[last + 1], last_ns, source)
        await store.connection.execute(
            "DELETE FROM answered_ids WHERE symbol = %s AND first_id >= %s AND last_id <= %s", span
        )
        await store.connection.execute(EMPTIED_MINUTES, [symbol, minutes])
        await store.connection.execute(TOUCHED_MINUTES, [symbol, symbol, minutes])
        await store.connection.execute("SELECT summarize_sync(%s, 'trades')", [symbol])


async def _keep_run(
    store: Store, symbol: str, first_id: int, last_id: int, first_ns: int, last_ns: int, source: str
) -> None:
    await store.connection.execute(
        "INSERT INTO trade_runs VALUES (%s, %s, %s, %s, %s, %s, %s, true)",
        [symbol, first_id, last_id, first_ns, last_ns, last_id - first_id + 1, source],
    )
