"""A few rows of one quiet market, written through the models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection

from krakendata.models import Candle, Trade

SYMBOL = "BTC/USD"


def recent_hour() -> datetime:
    """Give the start of an hour a day ago: above every fence, in no bucket that is still open."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)


def make_partitions(start: datetime, end: datetime) -> None:
    """Make room for rows in [start, end), which plain PostgreSQL wants beforehand."""
    with connection.cursor() as cursor:
        for relation in ("trades", "candles"):
            cursor.execute("SELECT make_partitions(%s, %s, %s)", [relation, start, end])


@pytest.fixture
def minutes(db: None) -> list[Candle]:
    """Write 250 minutes, the first of them `recent_hour`; minute n opens at 100 + n and has n + 1 trades."""
    start = recent_hour()
    make_partitions(start, start + timedelta(hours=5))
    rows = [
        Candle(
            symbol=SYMBOL,
            timestamp=start + timedelta(minutes=n),
            open=Decimal(100 + n),
            high=Decimal(102 + n),
            low=Decimal("99.50") + n,
            close=Decimal(101 + n),
            volume=Decimal("0.00000010"),
            turnover=Decimal("0.00001"),
            trade_count=n + 1,
            first_id=n * 1000 + 1,
            last_id=n * 1000 + n + 1,
        )
        for n in range(250)
    ]
    Candle.objects.bulk_create(rows)
    return rows


@pytest.fixture
def trades(db: None) -> list[Trade]:
    """Write 250 trades, ten at each moment, a second between the moments."""
    start = recent_hour()
    make_partitions(start, start + timedelta(hours=1))
    rows = [
        Trade(
            symbol=SYMBOL,
            timestamp=start + timedelta(seconds=n // 10),
            trade_id=n + 1,
            price=Decimal("0.00001188"),
            volume=Decimal("1.50"),
            side="buy",
            order_type="limit",
        )
        for n in range(250)
    ]
    Trade.objects.bulk_create(rows)
    return rows
