"""What a service that is to be sent requests needs: its database, its Redis, its migrations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from typing import Any

import redis.asyncio
from django.db.migrations.loader import MigrationLoader
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from krakendata.errors import StorageError
from krakendata.management.command import database_arguments
from krakendata.metrics.cached import Cached
from krakendata.metrics.reading import redis_url
from krakendata.storage.monitoring import read_applied_migrations
from krakendata.storage.pool import NETWORK_TIMEOUT
from krakendata.storage.sessions import connect

# Probes wait for a second or a few; what takes longer is away.
ANSWER_SECONDS = 2.0
# Several balancers ask, each every few seconds.
KEPT_SECONDS = 1.0

# By part, a sentence; where it is and why it does not answer is not told to everybody.
Away = Mapping[str, str]


async def read_away() -> Away:
    """What is away; empty where everything is there."""
    database, missing_redis = await asyncio.gather(
        _database_away(database_arguments()), _redis_away(redis_url())
    )
    return {**database, **missing_redis}


CACHED = Cached(read_away, KEPT_SECONDS)


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """The migrations that this version comes with, as (app, name); they do not change while a process lives."""
    return frozenset(MigrationLoader(None).graph.nodes)


async def _database_away(database: Mapping[str, Any]) -> Away:
    try:
        async with asyncio.timeout(ANSWER_SECONDS), connect({**NETWORK_TIMEOUT, **database}) as connection:
            applied = await read_applied_migrations(connection)
    except (StorageError, TimeoutError):
        return {"database": "The database does not answer."}
    missing = await asyncio.to_thread(known_migrations) - applied
    return {"migrations": f"{len(missing)} migrations are not applied."} if missing else {}


async def _redis_away(url: str | None) -> Away:
    if url is None:
        return {}
    client = redis.asyncio.Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await client.ping()
    except (RedisError, OSError, TimeoutError):
        return {"redis": "Redis does not answer."}
    finally:
        await client.aclose()
    return {}
