"""What has to be so of the live path: counts that add up, malformed trades kept, quiet stretches that are quiet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from krakendata.types import NS_PER_SECOND, moment_of, ns_of
from tests.fix_storage import Store
from tests.fix_trading import Replay

# Beyond the limit of a run and reason rejected records are counted, and not kept.
KEPT = """
    SELECT c.run_id, c.reason, c.count, count(r.id)
    FROM reject_counts c
    LEFT JOIN rejected_records r ON (r.run_id, r.source, r.reason) = (c.run_id, c.source, c.reason)
    GROUP BY c.run_id, c.source, c.reason, c.count
"""

HELD = "SELECT first_id, last_id FROM trade_runs WHERE symbol = %s ORDER BY first_id"


def assert_adds_up(counts: dict[str, int]) -> None:
    """What a feed received was stored, duplicate, rejected or dropped."""
    told = counts["stored"] + counts["duplicate"] + counts["rejected"] + counts["dropped"]
    assert counts["received"] == told, f"a feed's counts do not add up: {counts}"


async def held_ids(store: Store, symbol: str) -> set[int]:
    """The ids that the ledger has of a symbol."""
    runs = await store.fetch(HELD, symbol)
    return {number for first, last in runs for number in range(first, last + 1)}


def shown_ids(replay: Replay, symbol: str) -> set[int]:
    """The ids of the sound trades that the exchange shows now: on sockets, and by REST too where it does not lag."""
    faults, now = replay.exchange.faults, replay.exchange.clock.ns
    late_ns = int(faults.late_seconds * NS_PER_SECOND)
    trades = replay.exchange.trades(symbol, is_sound=True)
    return {each.trade_id for each in trades if not faults.is_late(each.trade_id) or each.ns + late_ns < now}


async def assert_quiet_is_quiet(replay: Replay, symbols: Sequence[str]) -> None:
    """Nothing was traded where a feed says so; a late trade may still come, and nobody can know of it."""
    faults = replay.exchange.faults
    for symbol, last_id, checked_ns in await replay.store.fetch(
        "SELECT symbol, last_id, checked_ns FROM trade_checks WHERE symbol = ANY(%s)", list(symbols)
    ):
        unheard = [
            each.trade_id
            for each in replay.exchange.trades(symbol, end_ns=checked_ns, is_sound=True)
            if each.trade_id > last_id and not faults.is_late(each.trade_id)
        ]
        assert not unheard, (
            f"{symbol} is said to be quiet from {last_id} to {moment_of(checked_ns)}: {unheard[:5]}"
        )


async def assert_rejects_kept(replay: Replay, symbols: Sequence[str], limit: int) -> int:
    """Every malformed trade is kept as it came, or counted where there were too many; give how many were counted."""
    counted = await replay.store.fetch(KEPT)
    for run_id, reason, count, kept in counted:
        assert kept == min(count, limit), (
            f"run {run_id}, {reason}: {kept} of {count} rejected records are kept"
        )
    if any(count > kept for _run, _reason, count, kept in counted):
        return sum(count for _run, _reason, count, _kept in counted)
    kept = [
        (symbol, json.loads(raw))
        for symbol, raw in await replay.store.fetch("SELECT symbol, raw FROM rejected_records")
    ]
    ids = {(symbol, _id_in(raw)) for symbol, raw in kept}
    moments = {(symbol, _microsecond_in(raw)) for symbol, raw in kept}
    for symbol in symbols:
        for trade in replay.exchange.trades(symbol):
            malformation = replay.exchange.faults.malformation(trade.trade_id)
            if malformation in ("zero_price", "null_time"):
                assert (symbol, trade.trade_id) in ids, (
                    f"{symbol} {trade.trade_id} was malformed, and is not kept"
                )
            elif malformation is not None:
                # A double of seconds may end on either side of a microsecond.
                near = {(symbol, trade.ns // 1_000 + step) for step in (-1, 0, 1)}
                assert near & moments, f"{symbol} {trade} was malformed, and is not kept"
    return sum(count for _run, _reason, count, _kept in counted)


def _id_in(raw: Any) -> int | None:
    """The id in an element of a socket's message, or in a row of REST."""
    number = raw.get("trade_id") if isinstance(raw, dict) else (raw[6] if len(raw) > 6 else None)
    return number if isinstance(number, int) else None


def _microsecond_in(raw: Any) -> int | None:
    """Its time, in microseconds since the epoch."""
    told = raw.get("timestamp") if isinstance(raw, dict) else raw[2]
    if told is None:
        return None
    return (
        ns_of(datetime.fromisoformat(told)) // 1_000
        if isinstance(raw, dict)
        else int(Decimal(told) * 1_000_000)
    )


def newest_shown(replay: Replay, symbol: str) -> int:
    """The newest sound trade that was told in its time; 0 where there is none."""
    faults = replay.exchange.faults
    trades = replay.exchange.trades(symbol, is_sound=True)
    return max((each.trade_id for each in trades if not faults.is_late(each.trade_id)), default=0)


def seconds_of(replay: Replay, symbols: Sequence[str], count: int) -> float:
    """How long the market takes from now on for so many trades, an hour at most."""
    begin = replay.exchange.clock.ns
    for seconds in range(1, 3_600):
        end = begin + seconds * NS_PER_SECOND
        if sum(len(replay.exchange.trades(symbol, begin, end)) for symbol in symbols) >= count:
            return float(seconds)
    return 3_600.0
