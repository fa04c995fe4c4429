"""The audit beside the exchange's own candles, over a real socket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from krakendata.candles import bucket_start, fold_candles, fold_trades
from krakendata.gaps import Stretch
from krakendata.ingest.audit import Audit, AuditReport
from krakendata.ingest.backfill import KrakenTradesBackfill
from krakendata.replay.faults import Faults
from krakendata.storage.audit import rebuild_minutes, sole_writer
from krakendata.types import interval_of
from tests.fix_storage import NOW
from tests.fix_trading import Replay, history
from tests.integration.test_audit import tamper

pytestmark = pytest.mark.django_db(transaction=True)

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
THIN, BUSY = "BCH/EUR", "DOGE/USD"
INTERVALS_ASKED = 7


async def backfill(replay: Replay, *symbols: str) -> None:
    reports = await KrakenTradesBackfill(**replay.deed()).backfill_symbols(symbols)
    assert {each.state for each in reports} == {"done"}


async def audit(replay: Replay, *symbols: str, buckets: int = 1, **options: Any) -> AuditReport:
    return await Audit(replay.store.database, replay.rest, clock=lambda: replay.now, seed=1, **options).run(
        symbols, buckets
    )


def beside_exchange(report: AuditReport) -> list[tuple[Any, ...]]:
    return [
        (each.interval.name, each.timestamp, each.healed)
        for each in report.findings
        if each.compared_with == "exchange"
    ]


async def test_a_backfilled_pair_is_what_the_exchange_says_in_every_interval(
    replaying: Callable[..., Any],
) -> None:
    replay = await replaying(history(THIN, absent_every=300, activity=0.5))
    await backfill(replay, THIN)
    report = await audit(replay, THIN)
    assert report.findings == []
    # 12 hours of minutes, and so on up to the days since it was listed; 12 h and weeks folded.
    assert report.compared["exchange"] > 3 * 700
    assert replay.exchange.calls["OHLC"] == INTERVALS_ASKED
    (run,) = await replay.store.fetch("SELECT state, done FROM sync_runs WHERE kind = 'audit'")
    assert run == ("done", 9 + INTERVALS_ASKED)


@pytest.mark.parametrize("name", ["1m", "15m", "12h", "1w"])
async def test_what_the_exchange_contradicts_is_healed_from_trades(
    name: str, replaying: Callable[..., Any]
) -> None:
    replay = await replaying(history(BUSY, start=NOW - 22 * DAY, activity=0.02))
    await backfill(replay, BUSY)
    interval = interval_of(name)
    newest = max(
        trade.timestamp
        for trade in replay.sound(BUSY)
        if bucket_start(trade.timestamp, interval.minutes) + interval.length <= NOW - timedelta(minutes=10)
    )
    wrong = bucket_start(newest, interval.minutes)
    await tamper(replay.store, interval, wrong, "volume = volume + 1", BUSY)
    report = await audit(replay, BUSY)
    assert (name, wrong, True) in beside_exchange(report)
    assert all(each.healed for each in report.findings)
    minutes = fold_trades(replay.sound(BUSY))
    assert await replay.store.candles(name, BUSY) == (
        minutes if name == "1m" else fold_candles(minutes, interval)
    )


async def test_where_trades_contradict_the_exchange_they_stay_and_it_is_told(
    replaying: Callable[..., Any],
) -> None:
    replay = await replaying(history(BUSY, start=NOW - DAY, activity=0.05))
    await backfill(replay, BUSY)
    store = replay.store
    trade = [each for each in replay.sound(BUSY) if each.timestamp < NOW - timedelta(hours=1)][-1]
    await store.connection.execute(
        "UPDATE trades SET volume = volume + 5 WHERE symbol = %s AND trade_id = %s", [BUSY, trade.trade_id]
    )
    minute = bucket_start(trade.timestamp, 1)
    async with sole_writer(store.connection, BUSY):
        await rebuild_minutes(store.connection, BUSY, Stretch(minute, minute + MINUTE), is_proven=True)
    await store.refresh()
    report = await audit(replay, BUSY)
    assert ("1m", minute, False) in beside_exchange(report)
    assert {each.compared_with for each in report.findings} == {"exchange"}
    (found,) = [each for each in report.findings if each.interval.name == "1m"]
    stored, expected = (Decimal(str(each)) for each in found.fields["volume"])
    assert stored == expected + 5


async def test_what_is_not_all_here_is_not_compared(replaying: Callable[..., Any]) -> None:
    replay = await replaying(history(BUSY, start=NOW - 2 * DAY, activity=0.05))
    report = await audit(replay, BUSY)
    assert (report.findings, report.compared["exchange"]) == ([], 0)
    assert report.pairs[0].unproven > 100


async def test_candles_with_trades_we_refused_are_not_compared(replaying: Callable[..., Any]) -> None:
    replay = await replaying(
        history(BUSY, start=NOW - 2 * DAY, activity=0.05), faults=Faults(malformed_every=29)
    )
    await backfill(replay, BUSY)
    (rejected,) = await replay.store.fetch("SELECT count(*) FROM answered_ids WHERE answer = 'rejected'")
    assert rejected > 4
    report = await audit(replay, BUSY)
    assert report.findings == []
    assert report.compared["exchange"] > 100 < report.pairs[0].unproven


async def test_a_pair_the_exchange_does_not_know_stops_no_other(replaying: Callable[..., Any]) -> None:
    replay = await replaying(history(BUSY, start=NOW - 2 * DAY, activity=0.05))
    await backfill(replay, BUSY)
    report = await audit(replay, "NIL/USD", BUSY)
    unknown, known = report.pairs
    assert (unknown.symbol, unknown.transient, unknown.compared["exchange"]) == ("NIL/USD", False, 0)
    assert "NILUSD" in unknown.error or "Unknown asset pair" in unknown.error
    assert (known.error, known.compared["exchange"] > 100) == ("", True)
