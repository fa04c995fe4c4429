"""Every bucket equals recomputation from its minutes, at once and after refreshes, whatever the order of writing."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from krakendata.candles import fold_candles
from krakendata.types import INTERVALS, HistoricalCandle
from tests.archive_files import made_minutes
from tests.fix_storage import FENCE, NOW, Store

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
ROLLUPS = [name for name, interval in INTERVALS.items() if interval.parent]
# Forces a parallel plan wherever one is possible.
PARALLEL = {
    "parallel_setup_cost": "0",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "0",
    "min_parallel_index_scan_size": "0",
    "max_parallel_workers_per_gather": "2",
    "debug_parallel_query": "on",
}


def staged(candle: HistoricalCandle) -> tuple[Any, ...]:
    facts = (
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.turnover,
        candle.trade_count,
    )
    return (candle.symbol, candle.timestamp, *facts, candle.first_id, candle.last_id, True)


async def write(store: Store, candles: list[HistoricalCandle]) -> None:
    if candles:
        await store.stage([staged(candle) for candle in candles])


async def assert_rollups(store: Store, minutes: list[HistoricalCandle], symbol: str = "BTC/USD") -> None:
    for name in ROLLUPS:
        assert await store.candles(name, symbol) == fold_candles(minutes, name), name


@pytest.mark.parametrize("seed", range(4))
async def test_random_writes_and_refreshes_leave_every_bucket_right(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    minutes = {
        each.timestamp: each
        for each in made_minutes(FENCE - 9 * DAY, FENCE + 9 * DAY, chance.randrange(20, 40))
    }
    waiting = list(minutes.values())
    chance.shuffle(waiting)
    written: list[HistoricalCandle] = []
    now = FENCE + 4 * DAY
    while waiting:
        part, waiting = waiting[: chance.randrange(1, 300)], waiting[300:]
        await write(store, part)
        written += part
        if chance.random() < 0.7:
            now = max(now, FENCE + chance.random() * 12 * DAY)
            await store.refresh(now)
            await assert_rollups(store, sorted(written, key=lambda each: each.timestamp))
    await store.refresh(now)
    await assert_rollups(store, sorted(written, key=lambda each: each.timestamp))


async def test_closed_buckets_and_the_open_one_show_at_once(store: Store) -> None:
    history = made_minutes(NOW.replace(second=0) - 2 * DAY, NOW.replace(second=0) - 2 * MINUTE)
    await write(store, history)
    await store.refresh()
    await assert_rollups(store, history)
    young = made_minutes(NOW.replace(second=0) - 2 * MINUTE, NOW.replace(second=0) + 9 * MINUTE)
    await write(store, young)
    await assert_rollups(store, [*history, *young])


async def test_a_refresh_does_not_freeze_the_open_bucket(store: Store) -> None:
    minute = NOW.replace(second=0)
    first = made_minutes(minute - 30 * MINUTE, minute)
    await write(store, first)
    for seconds in (0, 10, 20):
        await store.refresh(NOW + timedelta(seconds=seconds))
    second = made_minutes(minute, minute + 3 * MINUTE)
    await write(store, second)
    await assert_rollups(store, [*first, *second])


async def test_a_second_refresh_changes_nothing(store: Store) -> None:
    minutes = made_minutes(FENCE - DAY, FENCE + DAY, 11)
    await write(store, minutes)
    for _ in range(2):
        await store.refresh()
        await assert_rollups(store, minutes)


async def test_pairs_do_not_disturb_each_other(store: Store) -> None:
    btc = made_minutes(FENCE - DAY, FENCE + 2 * DAY, 17)
    eth = made_minutes(FENCE - 2 * DAY, FENCE + DAY, 19, symbol="ETH/USD")
    await write(store, btc)
    await store.refresh()
    await write(store, eth)
    await store.refresh()
    await assert_rollups(store, btc)
    await assert_rollups(store, eth, "ETH/USD")


async def test_weeks_start_on_monday(store: Store) -> None:
    await write(store, made_minutes(FENCE - 8 * DAY, FENCE + 8 * DAY, 120))
    await store.refresh()
    weeks = await store.candles("1w")
    assert len(weeks) == 4
    assert {week.timestamp.isoweekday() for week in weeks} == {1}


async def test_the_views_answer_the_same_with_parallel_plans(store: Store) -> None:
    """With a subquery in place of the constant fence TimescaleDB 2.29.2 lost chunks in parallel plans."""
    for symbol in ("BTC/USD", "ETH/USD"):
        await write(store, made_minutes(FENCE - 60 * DAY, FENCE + 150 * DAY, 181, symbol=symbol))
    await store.refresh()
    questions = [
        f"SELECT count(*), sum(volume), sum(trade_count), min(timestamp), max(timestamp) FROM {interval.view}"  # noqa: S608
        for interval in INTERVALS.values()
    ]
    serial = []
    await store.connection.execute("SET max_parallel_workers_per_gather = 0")
    for question in questions:
        serial += await store.fetch(question)
    for name, value in PARALLEL.items():
        await store.connection.execute(f"SET {name} = {value}")
    parallel = []
    for question in questions:
        parallel += await store.fetch(question)
    assert parallel == serial
    assert serial[0][0] > 0
    plan = "\n".join(await store.fetch(f"EXPLAIN {questions[1]}"))
    assert "Gather" in plan
