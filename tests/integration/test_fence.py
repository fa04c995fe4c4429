"""The fence moves forward over closed candles, and what every timeframe answers stays the same."""

# Decimals are compared with plain whole numbers here, for the eye.
# mypy: disable-error-code="comparison-overlap"

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from krakendata.candles import fold_candles
from krakendata.types import INTERVALS, HistoricalCandle
from tests.archive_files import made_minutes
from tests.fix_storage import FENCE, NOW, TRADES_LINE, Store

DAY, MINUTE, WEEK = timedelta(days=1), timedelta(minutes=1), timedelta(weeks=1)
ROLLUPS = [name for name, interval in INTERVALS.items() if interval.parent]


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


async def write(store: Store, candles: list[HistoricalCandle]) -> tuple[int, int, int]:
    return await store.stage([staged(candle) for candle in candles])


async def coarse(store: Store, start: datetime, minutes: int, trades: int) -> None:
    async with store.connection.transaction():
        await store.connection.execute(
            "INSERT INTO staged_candles (symbol, timestamp, open, high, low, close, volume, trade_count) "
            "VALUES ('BTC/USD', %s, 3, 3, 3, 3, 1, %s)",
            [start, trades],
        )
        await store.connection.execute("SELECT merge_coarse_candles(%s)", [minutes])


async def fence_to(store: Store, line: datetime) -> None:
    """Move the fence to a Monday by the retention that puts it there."""
    await store.retain(NOW, trades_days=0, candles_days=(NOW - line).days)
    assert await store.fetch("SELECT candles_fence()") == [line]


async def assert_answers(store: Store, minutes: list[HistoricalCandle]) -> None:
    for name in ROLLUPS:
        assert await store.candles(name) == fold_candles(minutes, name), name


@pytest.mark.parametrize(
    ("days", "line"),
    [
        (0, datetime(2013, 9, 2, tzinfo=UTC)),
        (7, datetime(2025, 11, 17, tzinfo=UTC)),
        (8, datetime(2025, 11, 10, tzinfo=UTC)),
        (365, datetime(2024, 11, 18, tzinfo=UTC)),
    ],
)
async def test_a_line_is_the_monday_before_the_retention_begins(
    store: Store, days: int, line: datetime
) -> None:
    assert await store.fetch("SELECT line_for(%s, %s)", NOW, days) == [line]


async def test_a_longer_retention_never_moves_a_line_back(store: Store) -> None:
    await store.retain(NOW, trades_days=0, candles_days=5000)
    assert dict(await store.fetch("SELECT kind, line FROM retention_lines")) == {
        "trades": TRADES_LINE,
        "candles": FENCE,
    }


async def test_a_line_is_a_monday_at_midnight_by_constraint(store: Store) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await store.connection.execute("UPDATE retention_lines SET line = line + interval '1 day'")
    with pytest.raises(psycopg.errors.CheckViolation):
        await store.connection.execute("UPDATE retention_lines SET line = line - interval '7 days'")


async def test_every_timeframe_answers_the_same_after_the_move(store: Store) -> None:
    minutes = made_minutes(FENCE - 2 * WEEK, FENCE + 10 * WEEK, 37)
    await write(store, minutes)
    await store.refresh()
    await fence_to(store, FENCE + 7 * WEEK)
    await assert_answers(store, minutes)
    await store.refresh()
    await assert_answers(store, minutes)
    assert await store.candles("1m") == [each for each in minutes if each.timestamp >= FENCE + 7 * WEEK]
    (oldest,) = await store.fetch("SELECT min(timestamp) FROM candles")
    assert oldest > FENCE + 2 * WEEK


@pytest.mark.parametrize("seed", range(3))
async def test_moves_and_writes_in_any_order_leave_every_bucket_right(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    waiting = made_minutes(FENCE - WEEK, FENCE + 9 * WEEK, 53)
    chance.shuffle(waiting)
    written: list[HistoricalCandle] = []
    weeks = 0
    while waiting:
        part, waiting = waiting[:400], waiting[400:]
        await write(store, part)
        written += part
        if chance.random() < 0.5:
            weeks += chance.randrange(1, 4)
            await fence_to(store, FENCE + weeks * WEEK)
        if chance.random() < 0.7:
            await store.refresh()
    await store.refresh()
    await assert_answers(store, sorted(written, key=lambda each: each.timestamp))


async def test_a_minute_that_the_fence_passed_is_not_folded_again(store: Store) -> None:
    minutes = made_minutes(FENCE + DAY, FENCE + 2 * DAY, 7)
    await write(store, minutes)
    await fence_to(store, FENCE + 5 * WEEK)
    assert await write(store, minutes) == (0, 0, len(minutes))
    between = made_minutes(FENCE + DAY + MINUTE, FENCE + 2 * DAY, 7)
    assert await write(store, between) == (0, len(between), 0)
    await assert_answers(store, sorted([*minutes, *between], key=lambda each: each.timestamp))


async def test_the_move_makes_finer_data_take_the_place_of_coarse_rows(store: Store) -> None:
    await coarse(store, FENCE + DAY, 1440, 99)
    await coarse(store, FENCE + 2 * DAY, 1440, 77)
    minutes = made_minutes(FENCE + DAY, FENCE + 2 * DAY, 60)
    await write(store, minutes)
    await store.refresh()
    wanted = [(FENCE + DAY, sum(each.trade_count for each in minutes), False), (FENCE + 2 * DAY, 77, True)]
    days = "SELECT timestamp, trade_count, coarse FROM all_candles_1d ORDER BY timestamp"
    assert await store.fetch(days) == wanted
    await fence_to(store, FENCE + WEEK)
    assert await store.fetch(days) == wanted


async def test_nothing_below_the_fence_changes_by_a_refresh(store: Store) -> None:
    await write(store, made_minutes(FENCE - WEEK, FENCE + WEEK, 37))
    history = "SELECT xmin, * FROM candles_history ORDER BY symbol, interval_minutes, timestamp"
    before = await store.fetch(history)
    await store.refresh()
    assert await store.fetch(history) == before


async def test_the_same_retention_again_changes_nothing(store: Store) -> None:
    await write(store, made_minutes(FENCE, FENCE + 3 * WEEK, 60))
    await fence_to(store, FENCE + 2 * WEEK)
    before = await store.fetch("SELECT xmin, * FROM candles_history ORDER BY 2, 3, 4")
    await fence_to(store, FENCE + 2 * WEEK)
    assert await store.fetch("SELECT xmin, * FROM candles_history ORDER BY 2, 3, 4") == before


async def test_exact_minutes_stay_exact_below_the_fence(store: Store) -> None:
    rows = [
        ("BTC/USD", FENCE + n * MINUTE, 5, 5, 5, 5, 2, 10, 2, 2 * n + 1, 2 * n + 2, True) for n in range(60)
    ]
    await store.stage(rows)
    await fence_to(store, FENCE + WEEK)
    (hour,) = await store.candles("1h")
    assert hour.is_exact
    assert (hour.first_id, hour.last_id, hour.turnover) == (1, 120, 600)
