"""The reading that all scrapers of a few seconds share: the database and Redis, each within its time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from krakendata.errors import StorageError
from krakendata.kraken.pacers import read_budget
from krakendata.management.command import database_arguments
from krakendata.metrics.cached import Cached
from krakendata.metrics.samples import RedisReading, Sample, samples_of
from krakendata.metrics.task_outcomes import KEY, outcomes_of
from krakendata.options import call_limits, rest_url
from krakendata.storage.monitoring import DatabaseReading, read_database
from krakendata.storage.pool import NETWORK_TIMEOUT
from krakendata.storage.sessions import connect

logger = logging.getLogger(__name__)

# Scrapers ask every 15 seconds or so, and there may be several of them.
KEPT_SECONDS = 5.0
# A scraper gives up after ten seconds; until then it gets what there is.
READ_SECONDS = 5.0
REDIS_SECONDS = 1.0


async def read_samples() -> Sequence[Sample]:
    """Everything, with how long it took; what does not answer in time is left out and said to be away."""
    began, now = time.monotonic(), datetime.now(UTC)
    url = redis_url()
    database, redis = await asyncio.gather(try_database(database_arguments()), try_redis(url))
    read = list(samples_of(database, redis, now, has_redis=url is not None))
    return [
        *read,
        Sample("krakendata_reading_timestamp_seconds", now.timestamp()),
        Sample("krakendata_reading_duration_seconds", time.monotonic() - began),
    ]


CACHED = Cached(read_samples, KEPT_SECONDS)


def redis_url() -> str | None:
    """The address of Redis; None in a project without one."""
    return getattr(settings, "REDIS_URL", None) or None


async def try_database(database: Mapping[str, Any]) -> DatabaseReading | None:
    """What the database tells; None where it does not within its time."""
    try:
        async with asyncio.timeout(READ_SECONDS), connect({**NETWORK_TIMEOUT, **database}) as connection:
            return await read_database(connection)
    except (StorageError, TimeoutError) as error:
        logger.warning("metrics without the database error=%s", str(error) or "time is up")
        return None


async def try_redis(url: str | None) -> RedisReading | None:
    """What Redis tells; None where it does not, or where there is none."""
    if url is None:
        return None
    client = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await _read_redis(client)
    except (RedisError, OSError, TimeoutError):
        # Its own words may repeat the address, which may hold a password.
        logger.warning("metrics without Redis")
        return None
    finally:
        await client.aclose()


async def _read_redis(client: Redis) -> RedisReading:
    queues = [queue.name for queue in getattr(settings, "CELERY_TASK_QUEUES", ())]
    async with client.pipeline(transaction=False) as asked:
        asked.hgetall(KEY)
        for queue in queues:
            # What waits for a worker is a list of the queue's name.
            asked.llen(queue)
        tasks, *waiting = await asked.execute()
    budget = await read_budget(client, call_limits(), exchange=urlsplit(rest_url()).netloc)
    return RedisReading(outcomes_of(tasks), dict(zip(queues, waiting, strict=True)), budget)
