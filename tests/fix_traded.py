"""A hundred stored trades of one pair, and two without ids, behind a connected provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from krakendata.historical_provider import HistoricalDataProvider
from tests.fix_storage import TRADES_LINE, Store

DAY = timedelta(days=1)
# Than a second, by no round number of milliseconds.
A_LITTLE_MORE = timedelta(seconds=1, microseconds=997)


async def record_ids(store: Store, first_id: int, last_id: int, start: datetime) -> None:
    """Tell the ledger of a run from `start` on, a second a trade."""
    await store.connection.execute(
        "SELECT record_trade_run('BTC/USD', %s, %s, (extract(epoch FROM %s::timestamptz) * 1000000000)::bigint, "
        "(extract(epoch FROM %s::timestamptz) * 1000000000)::bigint, %s, 'rest', true, NULL)",
        [first_id, last_id, start, start + timedelta(seconds=last_id - first_id), last_id - first_id + 1],
    )


@pytest.fixture
async def traded(store: Store) -> AsyncIterator[HistoricalDataProvider]:
    """A hundred trades from the line on, a little more than a second apart, forty at one time; and two without ids."""
    if store.edition.partitions == "native":
        await store.connection.execute(
            "SELECT make_partitions('trades', %s, %s)", [TRADES_LINE, TRADES_LINE + DAY]
        )
    rows = [
        (
            "BTC/USD",
            TRADES_LINE + min(n, 60) * A_LITTLE_MORE,
            n + 1,
            Decimal(n) / 8 + 1,
            Decimal("0.00000001"),
        )
        for n in range(100)
    ]
    words = [(*row, "buy", "market") for row in rows]
    archived = [
        ("BTC/USD", TRADES_LINE, -5, 7, 1, None, None),
        ("BTC/USD", TRADES_LINE, -4, 7, 2, None, None),
    ]
    async with store.connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO trades VALUES (%s, %s, %s, %s, %s, %s, %s)", [*words, *archived]
        )
    await record_ids(store, 1, 100, TRADES_LINE)
    async with HistoricalDataProvider(store.database, clock=lambda: TRADES_LINE + DAY) as provider:
        yield provider
