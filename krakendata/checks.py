"""The system checks: what would go wrong later, said at the start, with what to do about it.

    E001 the edition is not the one recorded          W001 the database does not answer
    E002 TimescaleDB is too old                       W002 migrations are not applied
    E003 PostgreSQL is too old                        W003 Redis does not answer
    E004 retention and windows contradict             W004 no Redis is configured
    E005 the server has not loaded TimescaleDB        W005 too few background workers
                                                      W006 too few locks
                                                      W007 the policies are not those of the settings
                                                      W008 nobody may read the metrics

They run with `manage.py check` and before most commands; `manage.py doctor` runs them too and takes W001,
W002 and W003 for errors. W008 is told by `check --deploy` alone: who tries things out needs no metrics. The ids are
stable.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from krakendata.options import metrics_networks, metrics_token, upkeep_settings
from krakendata.storage.editions import EDITIONS, edition_named
from krakendata.storage.sql import query
from krakendata.types import INTERVALS

TAG = "krakendata"
ERRORS_TO_THE_DOCTOR = frozenset({"krakendata.W001", "krakendata.W002", "krakendata.W003"})
# Before 2.18 the columnstore had other names and aggregates on aggregates could not be refreshed together.
OLDEST_TIMESCALE = (2, 18)
OLDEST_POSTGRES = 15
# Eight refreshes, two compressions, one retention; TimescaleDB's own housekeeping wants one or two more.
BACKGROUND_WORKERS = 16
# Those, a scheduler per database and PostgreSQL's own: with 8, eight of twelve jobs did not start.
WORKER_PROCESSES = BACKGROUND_WORKERS + 8
# One lock per partition and index that an unbounded read touches: weekly partitions of several years.
LOCKS = 256
REDIS_SECONDS = 2.0
MIDDLEWARE = "krakendata.metrics.middleware.machines"
# TimescaleDB refuses a refresh policy whose window is shorter.
LEAST_WINDOW_BUCKETS = 2


@dataclass(frozen=True)
class ServerFacts:
    """What the server says of itself; None where there is no TimescaleDB."""

    postgres: int
    timescale: str | None
    worker_processes: int
    background_workers: int | None
    locks: int


def register_all() -> None:
    """Register the checks; called once, when the apps are loaded."""
    for check in (check_windows, check_database, check_redis):
        register(check, TAG)
    register(check_metrics, TAG, deploy=True)


def check_windows(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Compare the settings with one another."""
    return [
        Error(problem, hint="Change it in the environment or in .env.", id="krakendata.E004")
        for problem in window_problems(getattr(settings, "KRAKENDATA", {}))
    ]


def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Ask the database what it is and how far it has been migrated."""
    try:
        # Databases are named by `migrate`, which is about to apply what is missing.
        later = [] if databases else [*_migration_messages(), *_policy_messages()]
        return [*_server_messages(), *later]
    except DatabaseError as error:
        # The first line only, for brevity; libpq's messages never carry the password.
        reason = str(error).partition("\n")[0]
        hint = "Start the server, or correct DATABASE_URL."
        return [Warning(f"The database does not answer: {reason}", hint=hint, id="krakendata.W001")]


def check_redis(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Ask Redis whether it is there; a project without the setting REDIS_URL is not asked for one."""
    if not hasattr(settings, "REDIS_URL"):
        return []
    if not settings.REDIS_URL:
        hint = "Set REDIS_URL for tasks by schedule and the live fan-out; imports and reads do without."
        return [Warning("No Redis is configured.", hint=hint, id="krakendata.W004")]
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    )
    try:
        client.ping()
    except redis.RedisError:
        # Its own words may repeat the address, which may hold a password.
        hint = "Start Redis, or correct REDIS_URL."
        return [Warning("Redis does not answer.", hint=hint, id="krakendata.W003")]
    finally:
        client.close()
    return []


def check_metrics(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Say that /metrics answers nobody, in a project that has it."""
    if MIDDLEWARE not in settings.MIDDLEWARE or metrics_token() or metrics_networks():
        return []
    hint = "Set METRICS_TOKEN, or METRICS_NETWORKS; SILENCED_SYSTEM_CHECKS where nothing is to read them."
    return [Warning("/metrics answers nobody.", hint=hint, id="krakendata.W008")]


def window_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """Say where retention, compression and refresh windows contradict one another in KRAKENDATA."""
    for kind in ("TRADES", "CANDLES"):
        kept, compressed = options.get(f"RETENTION_{kind}_DAYS"), options.get(f"COMPRESS_{kind}_AFTER_DAYS")
        if kept and compressed and compressed >= kept:
            yield (
                f"COMPRESS_{kind}_AFTER_DAYS={compressed} is never reached: RETENTION_{kind}_DAYS={kept} "
                "drops them before."
            )
    for interval in INTERVALS.values():
        name = f"REFRESH_{interval.name.upper()}"
        start, end = options.get(f"{name}_START"), options.get(f"{name}_END")
        if interval.parent is None or start is None or end is None:
            continue
        if start - end < LEAST_WINDOW_BUCKETS * interval.length:
            yield f"{name}_START must lie at least two {interval.name} buckets before {name}_END."
        kept = options.get("RETENTION_CANDLES_DAYS")
        if kept and INTERVALS[interval.parent].parent is None and start > timedelta(days=kept):
            yield (
                f"{name}_START reaches behind RETENTION_CANDLES_DAYS={kept}: a refresh there would find no "
                "1-minute candles to build from."
            )


def server_problems(facts: ServerFacts, wants_timescale: bool) -> Iterator[CheckMessage]:
    """Judge the server's version and the settings that only its administrator can change."""
    if facts.postgres < OLDEST_POSTGRES:
        hint = f"Upgrade to PostgreSQL {OLDEST_POSTGRES} or newer."
        yield Error(f"PostgreSQL {facts.postgres} is not supported.", hint=hint, id="krakendata.E003")
    if wants_timescale and facts.background_workers is None:
        hint = (
            "Add timescaledb to shared_preload_libraries in postgresql.conf and restart the server, "
            "or name it postgresql:// to do without."
        )
        yield Error("The server has not loaded TimescaleDB.", hint=hint, id="krakendata.E005")
    if facts.timescale and _version(facts.timescale) < OLDEST_TIMESCALE:
        oldest = ".".join(map(str, OLDEST_TIMESCALE))
        hint = f"Install {oldest} or newer, then run ALTER EXTENSION timescaledb UPDATE."
        yield Error(f"TimescaleDB {facts.timescale} is not supported.", hint=hint, id="krakendata.E002")
    if facts.locks < LOCKS and facts.timescale:
        hint = f"Set max_locks_per_transaction = {LOCKS} in postgresql.conf and restart the server."
        yield Warning(f"max_locks_per_transaction is {facts.locks}.", hint=hint, id="krakendata.W006")


def worker_problems(facts: ServerFacts) -> Iterator[CheckMessage]:
    """Judge whether every policy finds a worker (Community, the edition with policies)."""
    few = (facts.background_workers or 0) < BACKGROUND_WORKERS or facts.worker_processes < WORKER_PROCESSES
    if few:
        yield Warning(
            f"timescaledb.max_background_workers is {facts.background_workers} and max_worker_processes is "
            f"{facts.worker_processes}: some policies would not start.",
            hint=f"Set them to at least {BACKGROUND_WORKERS} and {WORKER_PROCESSES} and restart the server.",
            id="krakendata.W005",
        )


def _server_messages() -> Iterator[CheckMessage]:
    with connection.cursor() as cursor:
        cursor.execute(query("server_facts"))
        facts = ServerFacts(*cursor.fetchone())
        cursor.execute(query("detect_edition"))
        found = edition_named(cursor.fetchone()[0])
        recorded = None
        if "platform_facts" in connection.introspection.table_names(cursor):
            cursor.execute(query("recorded_edition"))
            row = cursor.fetchone()
            recorded = row[0] if row else None
    yield from server_problems(
        facts, wants_timescale=settings.DATABASES["default"]["ENGINE"].endswith("timescale")
    )
    if found.upkeep == "policies":
        yield from worker_problems(facts)
    if recorded not in (None, found.name):
        yield Error(
            f"The database was made on {EDITIONS[recorded].title} and runs on {found.title} now.",
            hint="Connect to the server it was made on, or migrate a new database and import again.",
            id="krakendata.E001",
        )


def _migration_messages() -> Iterator[CheckMessage]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        yield Warning(
            f"{len(plan)} migrations are not applied.", hint="Run manage.py migrate.", id="krakendata.W002"
        )


def _policy_messages() -> Iterator[CheckMessage]:
    with connection.cursor() as cursor:
        cursor.execute(query("has_policies"))
        if cursor.fetchone() != (True,):
            return
        cursor.execute(query("policy_drift"), {"policies": upkeep_settings().as_json()})
        for kind, relation, wanted, found in cursor.fetchall():
            yield Warning(
                f"The {kind} policy of {relation} is {found} in the database and {wanted} in the settings.",
                hint="Run manage.py migrate: it applies the settings.",
                id="krakendata.W007",
            )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-")[0].split(".")[:2])
