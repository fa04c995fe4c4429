"""Querying the series through the models: pleasant, exact, and along the keys whatever the tables' size."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from django.db import connection
from django.db.models import Count, F, Max, Sum
from django.test.utils import CaptureQueriesContext

from krakendata.models import ROLLUPS, Candle, Candle1h, Candle5m, SyncStatus, Trade
from krakendata.storage.editions import EDITIONS
from tests.fix_market import SYMBOL, make_partitions, recent_hour

pytestmark = pytest.mark.django_db

WEEK = timedelta(days=7)
# Trades of two pairs over many partitions: 100,000 rows and more.
WEEKS, TRADES_A_WEEK = 52, 1_000
MINUTES_A_WEEK = 1_000


# --- latest_n -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 3, 249, 250, 1000])
def test_the_latest_are_the_newest_oldest_first(n: int, minutes: list[Candle]) -> None:
    found = list(Candle.objects.for_symbol("XBTUSD").latest_n(n))
    assert [each.timestamp for each in found] == [
        each.timestamp for each in minutes[len(minutes) - min(n, 250) :]
    ]


@pytest.mark.parametrize("n", [1, 7, 10, 15, 250])
def test_of_trades_of_one_moment_the_latest_are_those_of_the_highest_ids(n: int, trades: list[Trade]) -> None:
    found = Trade.objects.for_symbol(SYMBOL).latest_n(n)
    assert [each.trade_id for each in found] == list(range(250 - n + 1, 251))


def test_the_latest_may_be_chosen_among_some(minutes: list[Candle]) -> None:
    start = minutes[0].timestamp
    found = Candle.objects.for_symbol(SYMBOL).between(start, minutes[100].timestamp).latest_n(5)
    assert [each.timestamp for each in found] == [each.timestamp for each in minutes[95:100]]
    assert found.filter(open__gt=197).count() == 2


def test_the_latest_of_a_rollup(minutes: list[Candle]) -> None:
    found = list(Candle1h.objects.for_symbol(SYMBOL).latest_n(2))
    assert [each.timestamp for each in found] == [recent_hour() + timedelta(hours=n) for n in (3, 4)]


def test_the_latest_begin_where_the_ledger_ends(minutes: list[Candle]) -> None:
    newest = minutes[-1].timestamp + timedelta(seconds=30)
    SyncStatus.objects.create(symbol=SYMBOL, kind="trades", newest_timestamp=newest)
    with CaptureQueriesContext(connection) as asked:
        found = list(Candle.objects.for_symbol(SYMBOL).latest_n(10))
    assert [each.timestamp for each in found] == [each.timestamp for each in minutes[-10:]]
    # The ledger, one look, the rows.
    assert len(asked.captured_queries) == 3


def test_the_latest_of_a_pair_without_rows_are_none(minutes: list[Candle]) -> None:
    assert list(Candle.objects.for_symbol("ETH/USD").latest_n(5)) == []


def test_the_latest_want_one_pair(minutes: list[Candle]) -> None:
    with pytest.raises(ValueError, match="for_symbol first"):
        Candle.objects.between(minutes[0].timestamp, minutes[9].timestamp).latest_n(5)
    with pytest.raises(ValueError, match="cannot be negative"):
        Candle.objects.for_symbol(SYMBOL).latest_n(-1)


# --- buckets and frames -------------------------------------------------------------------------------------


def test_buckets_of_a_pair_and_a_range(minutes: list[Candle]) -> None:
    start = minutes[0].timestamp
    rows = Candle.objects.for_symbol("XBTUSD").between(start, start + timedelta(hours=2))
    buckets = rows.time_bucket("timestamp", "30 minutes").annotate(trades=Sum("trade_count"))
    assert [each["bucket"] for each in buckets] == [start + timedelta(minutes=n) for n in (90, 60, 30, 0)]
    assert buckets[3]["trades"] == sum(range(1, 31))


def test_a_frame_has_every_digit_and_the_rows_order(minutes: list[Candle]) -> None:
    frame = Candle.objects.for_symbol(SYMBOL).to_polars(exact=True)
    assert frame["timestamp"].to_list() == [each.timestamp for each in minutes]
    assert frame["low"].to_list() == [each.low for each in minutes]
    assert frame["volume"][0] == Decimal("0.00000010")
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert frame.schema["open"] == pl.Decimal(38, 18)
    assert "pk" not in frame.columns


def test_a_frame_of_floats(minutes: list[Candle]) -> None:
    frame = Candle.objects.for_symbol(SYMBOL).latest_n(3).to_polars()
    assert frame.schema["close"] == pl.Float64
    assert frame["close"].to_list() == [float(each.close) for each in minutes[-3:]]


def test_a_frame_of_chosen_columns_of_trades(trades: list[Trade]) -> None:
    frame = Trade.objects.for_symbol(SYMBOL).values("trade_id", "side").to_polars(exact=True)
    assert frame.columns == ["trade_id", "side"]
    assert frame["trade_id"].to_list() == [each.trade_id for each in trades]
    assert set(frame["side"]) == {"buy"}


def test_a_frame_of_buckets(minutes: list[Candle]) -> None:
    buckets = (
        Candle.objects.for_symbol(SYMBOL)
        .time_bucket("timestamp", "1 hour")
        .annotate(top=Max("high"), count=Count("timestamp"))
    )
    frame = buckets.to_polars(exact=True)
    assert frame.columns == ["bucket", "top", "count"]
    assert frame["count"].to_list() == [each["count"] for each in buckets]
    assert frame["top"].to_list() == [each["top"] for each in buckets]


def test_a_frame_of_a_rollup_tells_what_is_not_known(minutes: list[Candle]) -> None:
    Candle.objects.filter(timestamp__lt=minutes[60].timestamp).update(turnover=None)
    frame = Candle1h.objects.for_symbol(SYMBOL).to_polars(exact=True)
    assert frame["turnover"][0] is None
    assert frame["coarse"].to_list() == [False] * 5


def test_a_frame_without_rows_has_its_columns(db: None) -> None:
    frame = Trade.objects.for_symbol("ETH/USD").to_polars(exact=True)
    assert (frame.height, frame.schema["price"]) == (0, pl.Decimal(38, 18))
    assert (
        Candle.objects.none().to_polars(exact=True).schema
        == Candle.objects.for_symbol("ETH/USD").to_polars(exact=True).schema
    )


def test_a_frame_has_what_was_annotated(minutes: list[Candle]) -> None:
    frame = Candle.objects.for_symbol(SYMBOL).annotate(span=F("high") - F("low")).to_polars(exact=True)
    assert frame["span"].to_list() == [each.high - each.low for each in minutes]


# --- plans --------------------------------------------------------------------------------------------------


@pytest.fixture
def large(db: None) -> datetime:
    """Write a year of two pairs, 104,000 trades and as many minutes; give its first moment."""
    start = (recent_hour() - WEEKS * WEEK).replace(hour=0)
    make_partitions(start, start + (WEEKS + 1) * WEEK)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO trades "
            "SELECT symbol, %s::timestamptz + n * interval '10 minutes', n + 1, 100, 1, 'buy', 'limit' "
            "FROM unnest(ARRAY['BTC/USD', 'ETH/USD']) symbol, generate_series(0, %s - 1) n",
            [start, WEEKS * TRADES_A_WEEK],
        )
        cursor.execute(
            "INSERT INTO candles (symbol, timestamp, interval_minutes, open, high, low, close, volume, trade_count) "
            "SELECT symbol, %s::timestamptz + n * interval '10 minutes', 1, 1, 1, 1, 1, 1, 1 "
            "FROM unnest(ARRAY['BTC/USD', 'ETH/USD']) symbol, generate_series(0, %s - 1) n",
            [start, WEEKS * MINUTES_A_WEEK],
        )
        cursor.execute("ANALYZE trades")
        cursor.execute("ANALYZE candles")
    return start


def rows_read(plan: dict[str, Any]) -> int:
    """The rows that the plan's scans looked at, those they threw away included."""
    found = sum(rows_read(part) for part in plan.get("Plans", []))
    if plan["Node Type"].endswith("Scan") and not plan.get("Plans"):
        discarded = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        found += plan["Actual Loops"] * (plan["Actual Rows"] + discarded)
    return int(found)


def explained(rows: Any) -> tuple[int, str]:
    """How many rows a question reads, and its plan as text."""
    text = rows.explain(format="json", analyze=True)
    (told,) = json.loads(text)
    return rows_read(told["Plan"]), text


def a_range(model: Any, start: datetime) -> Any:
    return model.objects.for_symbol("XBTUSD").between(
        start + 10 * WEEK, start + 10 * WEEK + timedelta(days=2)
    )


def the_latest(model: Any, start: datetime) -> Any:
    return model.objects.for_symbol("XBTUSD").latest_n(200)


def one_row(model: Any, start: datetime) -> Any:
    return model.objects.for_symbol("XBTUSD").filter(timestamp=start + 10 * WEEK)


def the_first(model: Any, start: datetime) -> Any:
    return model.objects.for_symbol("XBTUSD")[:100]


@pytest.mark.parametrize(
    "question", [a_range, the_latest, one_row, the_first], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("model", [Trade, Candle], ids=lambda each: each.__name__)
def test_a_question_about_a_pair_reads_what_it_returns(
    question: Callable[[Any, datetime], Any], model: Any, large: datetime
) -> None:
    rows = question(model, large)
    returned = len(rows)
    assert returned
    read, plan = explained(rows)
    assert read <= 2 * returned + 10, plan


@pytest.mark.parametrize("model", [Candle5m, ROLLUPS["1d"]], ids=lambda each: each.__name__)
def test_a_question_about_a_rollup_reads_its_range_alone(model: Any, large: datetime, edition: str) -> None:
    if EDITIONS[edition].rollups == "tables":
        # What no refresh has seen yet such a rollup folds whole. Continuous aggregates fold the range asked for.
        with connection.cursor() as cursor:
            cursor.execute("SELECT refresh_rollups(now())")
    rows = model.objects.for_symbol("XBTUSD").between(large + 40 * WEEK, large + 41 * WEEK)
    assert len(rows)
    read, plan = explained(rows)
    assert read <= 4 * MINUTES_A_WEEK * 2, plan
