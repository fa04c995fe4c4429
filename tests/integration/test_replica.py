"""A read replica: the series are read there, and nothing is ever written or migrated there."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connections, router, transaction
from django.test.utils import CaptureQueriesContext

from krakendata.db.router import REPLICA, ReplicaRouter, reading_arguments
from krakendata.models import Candle1h, Pair, SyncRun, SyncStatus, Trade
from tests.fix_market import make_partitions, recent_hour

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture(autouse=True, scope="module")
def replica(django_db_setup: None) -> Iterator[None]:
    """A second way to the same database, called "replica"; known before a test asks which databases there are."""
    connections.databases[REPLICA] = {**connections["default"].settings_dict}
    yield
    connections[REPLICA].close()
    del connections[REPLICA]
    del connections.databases[REPLICA]


@pytest.fixture
def trade() -> Trade:
    moment = recent_hour()
    make_partitions(moment, moment)
    made: Trade = Trade.objects.create(symbol="BTC/USD", timestamp=moment, trade_id=1, price=1, volume=1)
    return made


def test_without_a_replica_everything_is_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(connections.databases, REPLICA)
    assert router.db_for_read(Trade) == "default"
    assert Trade.objects.all().db == "default"


def test_the_series_are_read_from_the_replica(trade: Trade) -> None:
    with (
        CaptureQueriesContext(connections[REPLICA]) as there,
        CaptureQueriesContext(connections["default"]) as here,
    ):
        (found,) = Trade.objects.for_symbol("XBTUSD")
        list(Candle1h.objects.for_symbol("XBTUSD"))
    assert (len(there), len(here)) == (2, 0)
    assert found._state.db == REPLICA


def test_frames_are_read_from_the_replica(trade: Trade) -> None:
    with CaptureQueriesContext(connections["default"]) as here:
        assert Trade.objects.for_symbol("XBTUSD").to_polars().height == 1
    assert not len(here)


def test_everything_else_is_read_where_it_is_written() -> None:
    for model in (Pair, SyncRun, SyncStatus):
        assert router.db_for_read(model) == "default"


def test_what_was_read_there_is_written_here(trade: Trade) -> None:
    found = Trade.objects.get(pk=trade.pk)
    with CaptureQueriesContext(connections[REPLICA]) as there:
        found.side = "sell"
        found.save()
        Trade.objects.filter(pk=trade.pk).update(side="buy")
        found.delete()
    assert not len(there)


def test_a_transaction_sees_its_own_writes(trade: Trade) -> None:
    with transaction.atomic():
        Trade.objects.filter(pk=trade.pk).update(side="sell")
        assert Trade.objects.get(pk=trade.pk).side == "sell"


def test_nothing_is_migrated_there() -> None:
    assert ReplicaRouter().allow_migrate(REPLICA, "krakendata") is False
    assert ReplicaRouter().allow_migrate("default", "krakendata") is None
    told = StringIO()
    call_command("migrate", database=REPLICA, stdout=told, interactive=False)
    assert "No migrations to apply" in told.getvalue()


def test_the_api_reads_from_the_replica() -> None:
    connections.databases[REPLICA]["HOST"] = "replica.example.com"
    try:
        assert reading_arguments()["host"] == "replica.example.com"
    finally:
        connections.databases[REPLICA]["HOST"] = connections["default"].settings_dict["HOST"]


def test_rows_of_the_two_addresses_may_be_related() -> None:
    here, there = SyncRun(), SyncRun()
    here._state.db, there._state.db = "default", REPLICA
    assert ReplicaRouter().allow_relation(here, there) is True
    there._state.db = "elsewhere"
    assert ReplicaRouter().allow_relation(here, there) is None
