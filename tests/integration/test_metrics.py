"""Health and metrics as they are answered: by the whole application, of a real database and a real Redis."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import shared_task
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import AsyncClient, Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families as families
from psycopg import AsyncConnection
from pytest_django import Settings

from krakendata.durations import Durations
from krakendata.kraken.pacers import RedisPacer
from krakendata.kraken.pacing import Limits
from krakendata.metrics import readiness, reading
from krakendata.metrics.samples import database_samples
from krakendata.metrics.task_outcomes import KEY
from krakendata.models import FeedSession, Pair, RejectCount, SyncRun, SyncStatus, TradeCheck, TradeRun
from krakendata.options import rest_url
from krakendata.storage import monitoring
from krakendata.storage.monitoring import read_database
from krakendata.storage.sql import read_file, statements_by_name
from krakendata.tasks import import_watched_folder, outcomes
from krakendata.types import ns_of
from tests.fix_storage import NOW, Store

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = os.environ["METRICS_TOKEN"]
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PAGES = ["/health/live", "/health/ready", "/metrics"]
UPKEEP = "krakendata.tasks.upkeep"
# What the reading asks of any edition, Community's columnstore included.
STATEMENTS = 8


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Forget what earlier tests read, here and in Redis."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.delete(KEY)
        for each in (readiness.CACHED, reading.CACHED):
            each.forget()
        yield
        client.delete(KEY)


def database_away(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = {"host": "127.0.0.1", "port": 1, "dbname": "nowhere", "user": "me", "password": "hunter2"}
    for module in (readiness, reading):
        monkeypatch.setattr(module, "database_arguments", lambda: nowhere)


def make_pair(symbol: str, **facts: Any) -> Pair:
    key = symbol.replace("/", "")
    base, quote = symbol.split("/")
    named = {"key": key, "altname": key, "wsname": symbol, "base": base, "quote": quote, "status": "online"}
    return Pair.objects.create(symbol=symbol, **{**named, "price_decimals": 1, "volume_decimals": 8, **facts})


def values(response: Any) -> dict[tuple[str, ...], float]:
    """By name and the labels' values, in the order of their names."""
    assert response.status_code == 200
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families(response.content.decode())
        for sample in family.samples
    }


# --- health --------------------------------------------------------------------------------------------------


def test_live_answers_without_asking_anybody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    database_away(monkeypatch)
    response = client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "live"})


def test_ready_when_database_redis_and_migrations_are(client: Client) -> None:
    response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ready"})
    assert response["Cache-Control"] == "no-store"


def test_ready_names_a_database_that_is_away_and_tells_nothing_else(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    database_away(monkeypatch)
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "away", "away": {"database": "The database does not answer."}}


def test_ready_names_a_redis_that_is_away(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1/0"
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["away"] == {"redis": "Redis does not answer."}


def test_ready_does_without_a_redis_where_there_is_none(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = None
    assert client.get("/health/ready").status_code == 200


def test_ready_names_migrations_that_are_not_applied(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'krakendata' AND name LIKE '0001%%' RETURNING name, applied"
        )
        ((name, applied),) = cursor.fetchall()
        try:
            response = client.get("/health/ready")
        finally:
            insert = "INSERT INTO django_migrations (app, name, applied) VALUES ('krakendata', %s, %s)"
            cursor.execute(insert, [name, applied])
    assert response.status_code == 503
    assert response.json()["away"] == {"migrations": "1 migrations are not applied."}


def test_what_is_known_to_be_applied_is_what_migrate_would_do() -> None:
    executor = MigrationExecutor(connection)
    assert executor.migration_plan(executor.loader.graph.leaf_nodes()) == []
    assert readiness.known_migrations() <= executor.loader.applied_migrations.keys()


# --- who is answered, and how --------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_any_host_is_answered_and_sent_nowhere(client: Client, settings: Settings, page: str) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["data.example.com"]
    response = client.get(page, headers={**BEARER, "Host": "10.1.2.3:8000"})
    assert response.status_code == 200
    assert not response.cookies


@pytest.mark.parametrize("page", PAGES)
async def test_the_asgi_application_answers_too(async_client: AsyncClient, page: str) -> None:
    response = await async_client.get(page, headers=BEARER)
    assert response.status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_nothing_but_reading_is_allowed(client: Client, page: str) -> None:
    assert client.head(page, headers=BEARER).status_code == 200
    response = client.post(page, headers=BEARER)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


def test_without_a_setting_there_are_no_metrics(client: Client, settings: Settings) -> None:
    settings.KRAKENDATA = {
        name: value for name, value in settings.KRAKENDATA.items() if "METRICS" not in name
    }
    assert client.get("/metrics", headers=BEARER).status_code == 404


def test_who_does_not_know_the_token_learns_nothing(client: Client) -> None:
    for header in ({}, {"Authorization": "Bearer hunter2"}):
        response = client.get("/metrics", headers=header)
        assert (response.status_code, response["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
        assert b"krakendata_" not in response.content


def test_a_network_is_let_in_without_a_token(client: Client, settings: Settings) -> None:
    settings.KRAKENDATA = {"METRICS_NETWORKS": [ip_network("10.0.0.0/8")]}
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1").status_code == 403


# --- what is told --------------------------------------------------------------------------------------------


@pytest.fixture
def written(db: None) -> None:
    """Write two tracked pairs and one that is not, a feed that lives and one that does not, rejects."""
    now = timezone.now()
    quiet = now - timedelta(hours=1)
    make_pair("BTC/USD", tracked=True)
    make_pair("DOGE/USD", tracked=True, candles_only=True)
    make_pair("ETH/USD")
    for symbol in ("BTC/USD", "ETH/USD"):
        SyncStatus.objects.create(
            symbol=symbol, kind="trades", newest_timestamp=quiet, holes=2, last_success=now
        )
    SyncStatus.objects.create(
        symbol="DOGE/USD", kind="candles", newest_timestamp=now - timedelta(minutes=3), last_error_at=now
    )
    ns = ns_of(quiet)
    TradeRun.objects.create(
        symbol="BTC/USD",
        first_id=1,
        last_id=100,
        first_ns=ns,
        last_ns=ns,
        trades=100,
        source="rest",
        stored=True,
    )
    TradeCheck.objects.create(symbol="BTC/USD", last_id=100, checked_ns=ns_of(now - timedelta(seconds=5)))
    run = SyncRun.objects.create(kind="live")
    told = {
        "connected": True,
        "buffered": {"trades": 7, "candles": 0},
        "flush_durations": {"bounds": [0.1], "counts": [3, 1], "seconds": 0.5},
    }
    FeedSession.objects.create(run=run, name="feed-1", symbols=1, statistics={"connected": False})
    FeedSession.objects.create(run=run, name="feed-1", symbols=2, statistics=told)
    FeedSession.objects.create(run=run, name="gone", alive_at=now - timedelta(minutes=5), statistics=told)
    FeedSession.objects.create(run=run, name="ended", ended_at=now, statistics=told)
    for other in (run, SyncRun.objects.create(kind="import")):
        RejectCount.objects.create(run=other, source="archive", reason="bad_side", count=21)


@pytest.mark.usefixtures("written")
def test_tracked_pairs_alone_are_told_of(client: Client, edition: str) -> None:
    found = values(client.get("/metrics", headers=BEARER))
    assert [labels for name, *labels in found if name == "krakendata_pair_failing"] == [
        ["BTC/USD"],
        ["DOGE/USD"],
    ]
    assert found["krakendata_tracked_pairs",] == 2
    assert found["krakendata_edition_info", edition] == 1
    assert found["krakendata_up", "database"] == found["krakendata_up", "redis"] == 1
    assert found["krakendata_pair_holes", "BTC/USD"] == 2
    assert found["krakendata_pair_failing", "BTC/USD"] == 0
    assert found["krakendata_pair_failing", "DOGE/USD"] == 1


@pytest.mark.usefixtures("written")
def test_a_quiet_pair_is_up_to_date_until_the_exchange_was_last_heard(client: Client) -> None:
    found = values(client.get("/metrics", headers=BEARER))
    assert 5 <= found["krakendata_pair_behind_seconds", "BTC/USD"] < 60
    assert 120 <= found["krakendata_pair_behind_seconds", "DOGE/USD"] < 180


@pytest.mark.usefixtures("written")
def test_a_check_of_a_trade_that_is_not_held_proves_nothing(client: Client) -> None:
    TradeCheck.objects.update(last_id=101)
    found = values(client.get("/metrics", headers=BEARER))
    assert found["krakendata_pair_behind_seconds", "BTC/USD"] >= 3600


@pytest.mark.usefixtures("written")
def test_feeds_that_live_are_told_of_once(client: Client) -> None:
    found = values(client.get("/metrics", headers=BEARER))
    assert found["krakendata_feeds",] == 1
    assert found["krakendata_feed_connected", "feed-1"] == 1
    assert found["krakendata_feed_pairs", "feed-1"] == 2
    assert found["krakendata_feed_buffer_rows", "feed-1", "trades"] == 7
    assert found["krakendata_feed_flush_duration_seconds_bucket", "feed-1", "+Inf"] == 4
    assert not {labels for labels in found if "gone" in labels or "ended" in labels}


@pytest.mark.usefixtures("written")
def test_rejects_are_added_up_by_source_and_reason(client: Client) -> None:
    found = values(client.get("/metrics", headers=BEARER))
    assert found["krakendata_rejected_records_total", "bad_side", "archive"] == 42


@pytest.mark.usefixtures("written")
def test_the_database_away_leaves_what_redis_tells(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    database_away(monkeypatch)
    found = values(client.get("/metrics", headers=BEARER))
    assert found["krakendata_up", "database"] == 0
    assert found["krakendata_rest_blocked_seconds",] == 0
    assert not [name for name, *_ in found if name.startswith(("krakendata_pair", "krakendata_feed"))]


def test_redis_away_leaves_what_the_database_tells(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://:hunter2@127.0.0.1:1/0"
    response = client.get("/metrics", headers=BEARER)
    found = values(response)
    assert found["krakendata_up", "redis"] == 0
    assert found["krakendata_tracked_pairs",] == 0
    assert b"hunter2" not in response.content


def test_many_scrapers_cost_one_reading(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[float] = []

    async def counted(database: Any) -> None:
        read.append(time.monotonic())

    monkeypatch.setattr(reading, "try_database", counted)
    first = client.get("/metrics", headers=BEARER)
    assert client.get("/metrics", headers=BEARER).content == first.content
    assert len(read) == 1


# --- rollups and sizes, on each edition ----------------------------------------------------------------------


def hourly_behind(read: monitoring.DatabaseReading) -> float:
    (found,) = [
        sample.value
        for sample in database_samples(read, NOW)
        if sample.name == "krakendata_rollup_behind_seconds" and sample.labels == ("1h",)
    ]
    assert not isinstance(found, Durations)
    return found


async def test_a_rollup_is_behind_until_it_is_refreshed(store: Store) -> None:
    hour = NOW.replace(minute=0, second=0)
    for hours in (30, 5, 2):
        minute = hour - timedelta(hours=hours)
        await store.stage([("BTC/USD", minute, 1, 1, 1, 1, 1, 1, 1, None, None, True)])
        await store.connection.execute("SELECT record_candle_run('BTC/USD', 1, %s, %s, 1)", [minute, minute])
    await store.connection.execute("SELECT summarize_sync('BTC/USD', 'candles')")
    before = await read_database(store.connection)
    assert before.watermarks.keys() == monitoring.ROLLUPS.keys()
    # TimescaleDB may keep its watermark where a test before this one left it.
    stored = max(before.watermarks["candles_1h"], hour - timedelta(hours=30))
    assert hourly_behind(before) == max((hour - timedelta(hours=1) - stored).total_seconds(), 0)
    await store.refresh(NOW)
    assert hourly_behind(await read_database(store.connection)) == 0


async def test_every_measured_table_has_a_size(store: Store) -> None:
    await store.stage([("BTC/USD", NOW.replace(second=0), 1, 1, 1, 1, 1, 1, 1, None, None, True)])
    read = await read_database(store.connection)
    sizes = {size.table: size.rows for size in read.sizes}
    assert sizes.keys() == set(monitoring.MEASURED_TABLES)
    # Trades have no partition yet where these are the database's own.
    assert [table for table, size in sizes.items() if size == 0] in ([], ["trades"])
    assert not any(size.columnstore for size in read.sizes)


@pytest.mark.community
async def test_the_columnstore_is_told_beside_the_rows(store: Store) -> None:
    now = timezone.now()
    start = now - timedelta(days=40)
    minutes = [start.replace(second=0, microsecond=0) + timedelta(minutes=n) for n in range(3_000)]
    await store.stage([("BTC/USD", minute, 1, 1, 1, 1, 1, 1, 1, None, None, True) for minute in minutes])
    await store.connection.execute("SELECT compress_chunk(c) FROM show_chunks('candles') c")
    read = await read_database(store.connection)
    (candles,) = [size for size in read.sizes if size.table == "candles"]
    assert 0 < candles.columnstore < candles.uncompressed


async def test_no_statement_looks_at_trades_or_candles(store: Store) -> None:
    parameters = {
        "gone_seconds": 30.0,
        "most": 32,
        "relations": list(monitoring.ROLLUPS),
        "tables": list(monitoring.MEASURED_TABLES),
    }
    other = "aggregates" if store.edition.rollups == "tables" else "tables"
    for name, statement in statements_by_name(read_file("metrics.sql")).items():
        if name.endswith(f"_{other}") or (name == "columnstore_sizes" and store.edition.upkeep != "policies"):
            continue
        # No parameters, no signs to double.
        asked = parameters if "%(" in statement else None
        cursor = await store.connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", asked)
        ((plan,),) = await cursor.fetchall()
        relations = set(re.findall(r'"Relation Name": "([^"]+)"', json.dumps(plan)))
        assert not [each for each in relations if re.match(r"(trades|candles|_hyper)", each)], name


async def test_a_reading_is_a_handful_of_statements(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    execute = AsyncConnection.execute

    async def counted(self: AsyncConnection[Any], query: Any, *args: Any, **options: Any) -> Any:
        asked.append(query)
        return await execute(self, query, *args, **options)

    monkeypatch.setattr(AsyncConnection, "execute", counted)
    await read_database(store.connection)
    assert len(asked) <= STATEMENTS


# --- what others record --------------------------------------------------------------------------------------


def test_a_task_leaves_its_outcome(client: Client) -> None:
    outcomes.record(UPKEEP, "SUCCESS", 0.25, timezone.now())
    outcomes.record(UPKEEP, "SUCCESS", 20.0, timezone.now())
    outcomes.record(UPKEEP, "FAILURE", 0.01, timezone.now())
    found = values(client.get("/metrics", headers=BEARER))
    assert found["krakendata_task_runs_total", "success", UPKEEP] == 2
    assert found["krakendata_task_runs_total", "failure", UPKEEP] == 1
    assert found["krakendata_task_duration_seconds_count", UPKEEP] == 3
    assert found["krakendata_task_duration_seconds_bucket", "0.5", UPKEEP] == 2
    assert found["krakendata_task_duration_seconds_sum", UPKEEP] == pytest.approx(20.26)
    assert time.time() - found["krakendata_task_last_success_timestamp_seconds", UPKEEP] < 60


@shared_task(name="somebody.elses")  # type: ignore[untyped-decorator]
def theirs() -> None:
    """Belongs to another app of the project."""


def test_celery_tells_of_our_tasks_and_of_no_others(client: Client) -> None:
    import_watched_folder.apply()
    theirs.apply()
    found = values(client.get("/metrics", headers=BEARER))
    assert found["krakendata_task_runs_total", "success", "krakendata.tasks.import_watched_folder"] == 1
    assert not [labels for labels in found if "somebody.elses" in labels]


def test_a_redis_that_is_away_costs_a_task_nothing(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert import_watched_folder.apply().get() == {"state": "off"}


async def test_calls_to_the_exchange_are_counted_where_they_are_paced(async_client: AsyncClient) -> None:
    before = values(await async_client.get("/metrics", headers=BEARER))
    exchange = urlsplit(rest_url()).netloc
    async with RedisPacer(os.environ["REDIS_URL"], Limits(0, 1000), exchange=exchange) as pacer:
        for _ in range(3):
            await pacer.wait("XBTUSD")
        await pacer.refused("XBTUSD", 30.0)
    reading.CACHED.forget()
    after = values(await async_client.get("/metrics", headers=BEARER))
    try:
        assert after["krakendata_rest_calls_total",] - before["krakendata_rest_calls_total",] == 3
        assert after["krakendata_rest_refusals_total",] - before["krakendata_rest_refusals_total",] == 1
        assert 20 < after["krakendata_rest_blocked_seconds",] <= 30
    finally:
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            for key in client.scan_iter(f"krakendata:pacing:{exchange}:*"):
                client.delete(key)


def test_tasks_that_wait_are_counted_by_queue(client: Client) -> None:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as queues:
        queues.rpush("krakendata.long", "one", "two")
        try:
            found = values(client.get("/metrics", headers=BEARER))
        finally:
            queues.delete("krakendata.long")
    assert found["krakendata_queue_tasks", "krakendata.long"] == 2
    assert found["krakendata_queue_tasks", "krakendata"] == 0
