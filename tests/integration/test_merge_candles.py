"""Which minute wins, above and below the fence; and that a minute is folded once."""

# Decimals are compared with plain whole numbers here, for the eye.
# mypy: disable-error-code="comparison-overlap"

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.fix_storage import FENCE, Store

ABOVE, BELOW = FENCE + timedelta(days=8), FENCE - timedelta(days=8)
SIDES = pytest.mark.parametrize("start", [ABOVE, BELOW], ids=["above the fence", "below it"])
MINUTE = timedelta(minutes=1)


def given(start: datetime, trades: int, price: int = 5) -> tuple[Any, ...]:
    """A minute as an archive of candles gives it."""
    return ("BTC/USD", start, price, price, price, price, trades, None, trades, None, None, True)


def built(
    start: datetime, first_id: int, last_id: int, price: int = 7, *, whole: bool = True
) -> tuple[Any, ...]:
    """A minute built from trades of contiguous ids, each of volume 1."""
    count = last_id - first_id + 1
    return (
        "BTC/USD",
        start,
        price,
        price,
        price,
        price,
        count,
        count * price,
        count,
        first_id,
        last_id,
        whole,
    )


async def five_minutes(store: Store, start: datetime) -> tuple[Any, ...]:
    """Give open, high, low, close, volume, turnover, count and ids of the only candle, read at five minutes."""
    (row,) = await store.fetch(
        "SELECT open, high, low, close, volume, turnover, trade_count, first_id, last_id, coarse "
        "FROM all_candles_5m WHERE timestamp = %s",
        start,
    )
    return tuple(row)


GIVEN_2 = (5, 5, 5, 5, 2, None, 2, None, None, False)
EXACT_3 = (7, 7, 7, 7, 3, 21, 3, 10, 12, False)
IDLESS_3 = (7, 7, 7, 7, 3, 21, 3, -12, -10, False)


@SIDES
async def test_built_from_trades_replaces_given(store: Store, start: datetime) -> None:
    await store.stage([given(start, 2)])
    counts = await store.stage([built(start, 10, 12)])
    assert await five_minutes(store, start) == EXACT_3
    assert sum(counts) == 1
    assert counts[2] == 0


@SIDES
async def test_given_never_replaces_built_from_trades(store: Store, start: datetime) -> None:
    await store.stage([built(start, 10, 12)])
    assert await store.stage([given(start, 99)]) == (0, 0, 1)
    assert await five_minutes(store, start) == EXACT_3


@SIDES
async def test_exact_replaces_an_archive_without_ids(store: Store, start: datetime) -> None:
    await store.stage([built(start, -20, -11, price=6)])
    await store.stage([built(start, 10, 12)])
    assert await five_minutes(store, start) == EXACT_3


@SIDES
async def test_an_archive_without_ids_never_replaces_exact(store: Store, start: datetime) -> None:
    await store.stage([built(start, 10, 12)])
    await store.stage([built(start, -99, -11, price=6)])
    assert await five_minutes(store, start) == EXACT_3


@SIDES
async def test_a_partial_exact_minute_leaves_the_fuller_one(store: Store, start: datetime) -> None:
    await store.stage([built(start, -12, -10)])
    await store.stage([built(start, 10, 11, price=6, whole=False)])
    assert await five_minutes(store, start) == IDLESS_3


@SIDES
async def test_a_partial_exact_minute_never_replaces_however_many_trades(
    store: Store, start: datetime
) -> None:
    await store.stage([given(start, 2)])
    await store.stage([built(start, 10, 12, whole=False)])
    assert await five_minutes(store, start) == GIVEN_2


@SIDES
@pytest.mark.parametrize("whole", [True, False])
async def test_minutes_of_two_kinds_share_a_bucket(store: Store, start: datetime, whole: bool) -> None:
    minutes = [given(start + n * MINUTE, 10) for n in range(4)]
    exact = built(start + 4 * MINUTE, 10, 14, whole=False)
    for rows in (minutes, [exact]) if whole else ([exact], minutes):
        await store.stage(rows)
    bucket = await five_minutes(store, start)
    assert bucket[6] == 45
    assert bucket[7:9] == (None, None)


async def test_a_given_minute_never_replaces_one_built_without_ids(store: Store) -> None:
    await store.stage([built(ABOVE, -12, -10)])
    assert await store.stage([given(ABOVE, 9, price=6)]) == (0, 0, 1)
    assert await five_minutes(store, ABOVE) == IDLESS_3


@SIDES
@pytest.mark.parametrize("sign", [1, -1], ids=["exact", "without ids"])
async def test_trades_of_one_minute_merge_open_and_close_by_id(
    store: Store, start: datetime, sign: int
) -> None:
    first, second = (10, 12), (13, 14)
    if sign < 0:
        first, second = (-14, -12), (-11, -10)
    await store.stage([built(start, *second, price=9)])
    await store.stage([built(start, *first, price=7)])
    assert await five_minutes(store, start) == (7, 9, 7, 9, 5, 39, 5, first[0], second[1], False)


async def test_of_two_given_minutes_the_one_with_more_trades_wins_above_the_fence(store: Store) -> None:
    await store.stage([given(ABOVE, 2)])
    assert await store.stage([given(ABOVE, 1, price=6)]) == (0, 0, 1)
    assert await store.stage([given(ABOVE, 2, price=6)]) == (0, 0, 1)
    assert await five_minutes(store, ABOVE) == GIVEN_2
    assert await store.stage([given(ABOVE, 3, price=6)]) == (1, 0, 0)
    assert (await five_minutes(store, ABOVE))[0] == 6


async def test_a_given_minute_is_folded_once_below_the_fence(store: Store) -> None:
    assert await store.stage([given(BELOW, 2)]) == (0, 1, 0)
    assert await store.stage([given(BELOW, 2)]) == (0, 0, 1)
    assert await five_minutes(store, BELOW) == GIVEN_2


async def test_given_minutes_join_their_bucket_in_any_order_below_the_fence(store: Store) -> None:
    for n in (3, 0, 4, 1):
        assert await store.stage([given(BELOW + n * MINUTE, 1, price=5 + n)]) == (0, 1, 0)
    assert await five_minutes(store, BELOW) == (5, 9, 5, 9, 4, None, 4, None, None, False)


async def test_a_folded_minute_shows_at_every_interval_below_the_fence(store: Store) -> None:
    await store.stage([given(BELOW, 2), given(BELOW + 9 * MINUTE, 3, price=8)])
    for name in ("15m", "30m", "1h", "4h", "12h", "1d", "1w"):
        (candle,) = await store.candles(name)
        assert (candle.open, candle.high, candle.close, candle.trade_count) == (5, 8, 8, 5)


async def test_nothing_below_the_fence_is_stored_as_a_minute(store: Store) -> None:
    await store.stage([given(FENCE - MINUTE, 2), given(FENCE, 2)])
    assert await store.fetch("SELECT timestamp FROM candles") == [FENCE]
    assert [each.timestamp for each in await store.candles("1m")] == [FENCE]


# --- coarse rows


async def coarse(store: Store, start: datetime, minutes: int, trades: int, price: int = 3) -> tuple[int, int]:
    """Merge a row of an archive of longer candles; give stored and duplicate."""
    async with store.connection.transaction():
        await store.connection.execute(
            "INSERT INTO staged_candles VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            given(start, trades, price),
        )
        (counts,) = await store.fetch("SELECT stored, duplicate FROM merge_coarse_candles(%s)", minutes)
    return tuple(counts)


@SIDES
async def test_a_coarse_row_serves_where_nothing_finer_is(store: Store, start: datetime) -> None:
    assert await coarse(store, start, 1440, 9) == (1, 0)
    (candle,) = await store.candles("1d")
    assert (candle.timestamp, candle.open, candle.trade_count) == (start, 3, 9)
    assert await store.fetch("SELECT coarse FROM all_candles_1d") == [True]
    assert await store.candles("12h") == []


@SIDES
async def test_a_coarse_row_never_touches_a_bucket_that_finer_data_gave(
    store: Store, start: datetime
) -> None:
    await store.stage([given(start, 2)])
    await coarse(store, start, 1440, 99)
    assert await store.fetch("SELECT open, trade_count, coarse FROM all_candles_1d") == [(5, 2, False)]


@SIDES
async def test_finer_data_takes_the_place_of_a_coarse_row(store: Store, start: datetime) -> None:
    await coarse(store, start, 5, 99)
    await coarse(store, start, 1440, 99)
    await store.stage([given(start, 2)])
    await store.refresh()
    assert await five_minutes(store, start) == GIVEN_2
    assert await store.fetch("SELECT open, trade_count, coarse FROM all_candles_1d") == [(5, 2, False)]


async def test_a_coarse_row_with_more_trades_replaces_one_with_fewer(store: Store) -> None:
    await coarse(store, ABOVE, 60, 9)
    assert await coarse(store, ABOVE, 60, 9, price=4) == (0, 1)
    assert await coarse(store, ABOVE, 60, 10, price=4) == (1, 0)
    assert (await store.candles("1h"))[0].open == Decimal(4)


async def test_coarse_five_minutes_never_count_in_longer_candles(store: Store) -> None:
    await coarse(store, BELOW, 5, 9)
    await store.stage([given(BELOW + 5 * MINUTE, 2)])
    (hour,) = await store.candles("1h")
    assert hour.trade_count == 2
