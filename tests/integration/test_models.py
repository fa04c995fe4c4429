"""The models are the tables: same columns, same keys, and the rollups cannot be written."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import NotSupportedError, connection, models
from django.db.models import Sum

from krakendata.errors import UnknownSymbol
from krakendata.models import ROLLUPS, Candle, Candle1h, Pair, Rollup, SyncRun, Trade
from krakendata.types import INTERVALS

pytestmark = pytest.mark.django_db

MODELS = list(apps.get_app_config("krakendata").get_models())
WRITABLE = [model for model in MODELS if not issubclass(model, Rollup)]
TYPES = {
    "TextField": "text",
    "DateTimeField": "timestamp with time zone",
    "BigIntegerField": "bigint",
    "BigAutoField": "bigint",
    "ForeignKey": "bigint",
    "IntegerField": "integer",
    "DecimalField": "numeric",
    "NumericField": "numeric",
    "BooleanField": "boolean",
    "JSONField": "jsonb",
}


def columns_of(relation: str) -> dict[str, tuple[str, bool]]:
    """Give a relation's columns, their types and whether they may be NULL."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns "
            "WHERE table_schema = current_schema() AND table_name = %s",
            [relation],
        )
        return {name: (kind, nullable) for name, kind, nullable in cursor.fetchall()}


def key_of(relation: str) -> list[str]:
    """Give the columns of a table's primary key, in its order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (number, place) "
            "JOIN pg_attribute a ON a.attnum = k.number "
            "WHERE i.indrelid = %s::regclass AND a.attrelid = i.indrelid AND i.indisprimary ORDER BY k.place",
            [relation],
        )
        return [name for (name,) in cursor.fetchall()]


def fields_of(model: type[models.Model]) -> dict[str, tuple[str, bool]]:
    """Give a model's columns in the database's words."""
    return {
        str(field.column): (TYPES[type(field).__name__], field.null)
        for field in model._meta.concrete_fields
        if not isinstance(field, models.CompositePrimaryKey)
    }


@pytest.mark.parametrize("model", WRITABLE, ids=lambda model: model.__name__)
def test_a_model_has_its_tables_columns_types_and_nulls(model: type[models.Model]) -> None:
    assert fields_of(model) == columns_of(model._meta.db_table)


@pytest.mark.parametrize("model", WRITABLE, ids=lambda model: model.__name__)
def test_a_model_has_its_tables_primary_key(model: type[models.Model]) -> None:
    assert [field.column for field in model._meta.pk_fields] == key_of(model._meta.db_table)


@pytest.mark.parametrize("model", ROLLUPS.values(), ids=lambda model: model.__name__)
def test_a_rollup_has_its_views_columns_and_types(model: type[Rollup]) -> None:
    """A view's columns may all be NULL as far as PostgreSQL knows."""
    seen = {name: kind for name, (kind, _) in columns_of(model._meta.db_table).items()}
    assert {name: kind for name, (kind, _) in fields_of(model).items()} == seen


def test_every_interval_but_the_minute_has_its_rollup() -> None:
    views = {name: model._meta.db_table for name, model in ROLLUPS.items()}
    assert views == {name: interval.view for name, interval in INTERVALS.items() if interval.parent}


@pytest.mark.parametrize("model", [Trade, Candle, *ROLLUPS.values()], ids=lambda model: model.__name__)
def test_a_series_is_ordered_by_its_key(model: type[models.Model]) -> None:
    assert list(model._meta.ordering or ()) == [field.name for field in model._meta.pk_fields]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_django_never_makes_or_drops_a_table_of_ours(model: type[models.Model]) -> None:
    assert model._meta.managed is False


def test_there_are_no_migrations_to_make() -> None:
    call_command("makemigrations", "--check", "--dry-run", stdout=StringIO())


def test_a_price_comes_back_to_its_last_digit(trades: list[Trade]) -> None:
    trade = Trade.objects.get(pk=trades[0].pk)
    assert str(trade.price) == "0.00001188"
    assert str(trade.volume) == "1.50"


def test_a_candle_is_found_by_its_composite_key(minutes: list[Candle]) -> None:
    assert Candle.objects.get(pk=minutes[3].pk).open == 103


def test_a_pair_is_found_by_any_spelling(trades: list[Trade]) -> None:
    for name in ("BTC/USD", "XBT/USD", "XBTUSD", "XXBTZUSD"):
        assert Trade.objects.for_symbol(name).count() == len(trades)


def test_an_unknown_pair_is_refused() -> None:
    with pytest.raises(UnknownSymbol):
        Trade.objects.for_symbol("nonsense")


def test_between_leaves_out_its_end(minutes: list[Candle]) -> None:
    first, third = minutes[0].timestamp, minutes[2].timestamp
    found = Candle.objects.for_symbol("BTC/USD").between(first, third)
    assert [candle.timestamp for candle in found] == [first, minutes[1].timestamp]


def test_between_refuses_a_naive_moment() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Candle.objects.between(datetime(2024, 1, 1), datetime(2024, 1, 2))  # noqa: DTZ001


def test_a_rollup_folds_the_minutes(minutes: list[Candle]) -> None:
    candle = Candle1h.objects.for_symbol("XBTUSD").first()
    assert candle is not None
    assert (candle.timestamp, candle.open, candle.close) == (minutes[0].timestamp, 100, 160)
    assert (candle.high, candle.low) == (161, Decimal("99.50"))
    assert (candle.trade_count, candle.vwap, candle.coarse) == (sum(range(1, 61)), 100, False)


def test_time_bucket_works_on_every_edition(minutes: list[Candle]) -> None:
    buckets = Candle.objects.time_bucket("timestamp", "2 hours").annotate(trades=Sum("trade_count"))
    assert sum(bucket["trades"] for bucket in buckets) == sum(candle.trade_count for candle in minutes)
    assert {bucket["bucket"].hour % 2 for bucket in buckets} == {0}


@pytest.mark.parametrize("model", ROLLUPS.values(), ids=lambda model: model.__name__)
def test_a_rollup_refuses_every_way_of_writing(model: type[Rollup]) -> None:
    for write in (
        model().save,
        model().delete,
        model.objects.all().delete,
        lambda: model.objects.update(open=1),
        lambda: model.objects.create(symbol="BTC/USD"),
        lambda: model.objects.bulk_create([model()]),
    ):
        with pytest.raises(NotSupportedError, match="computed from the 1-minute candles"):
            write()


def test_the_database_fills_in_when_a_run_started() -> None:
    run = SyncRun.objects.create(kind="import")
    run.refresh_from_db()
    assert run.is_running
    assert run.duration == timedelta(0)


def test_a_run_knows_its_pace_and_what_is_left() -> None:
    start = datetime.fromisoformat("2024-01-01T00:00:00Z")
    run = SyncRun(started_at=start, updated_at=start + timedelta(seconds=10), done=25, total=100, read=1000)
    assert (run.fraction, run.rows_per_second, run.time_left) == (0.25, 100, timedelta(seconds=30))


def test_a_run_without_a_total_does_not_guess() -> None:
    start = datetime.fromisoformat("2024-01-01T00:00:00Z")
    run = SyncRun(started_at=start, updated_at=start, done=25)
    assert (run.fraction, run.rows_per_second, run.time_left) == (None, None, None)


def test_a_pair_prints_as_its_symbol() -> None:
    assert str(Pair(symbol="BTC/USD")) == "BTC/USD"
