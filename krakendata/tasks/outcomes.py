"""Each task's outcome, left in Redis as it ends: one message, some numbers. Whoever reads the metrics finds it there.

Workers are many and end without a word, and nobody could ask each of them; the web server can ask Redis.
"""

import logging
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

import redis
from celery import Task
from celery.signals import task_postrun, task_prerun
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from krakendata.metrics.task_outcomes import KEY, PREFIX, increments, last_success

logger = logging.getLogger(__name__)

# A task is worth more than its outcome's number.
REDIS_SECONDS = 1.0

_began: dict[str, float] = {}


def note_begin(task_id: str, task: Task, **_: Any) -> None:
    """Remember when it began."""
    if task.name.startswith(PREFIX):
        _began[task_id] = time.monotonic()


def note_end(task_id: str, task: Task, state: str | None = None, **_: Any) -> None:
    """Count it by the state it ended in; of no consequence where Redis is away."""
    began = _began.pop(task_id, None)
    if began is None or state is None:
        return
    try:
        record(task.name, state, time.monotonic() - began, datetime.now(UTC))
    except redis.RedisError as error:
        logger.info("outcome not noted task=%s error=%s", task.name, type(error).__name__)


def record(task: str, state: str, seconds: float, now: datetime) -> None:
    """Add one task's outcome to what is known; RedisError where it cannot be."""
    client = _client(getattr(settings, "REDIS_URL", None))
    if client is None:
        return
    with client.pipeline(transaction=True) as told:
        for field, amount in increments(task, state, seconds).items():
            told.hincrbyfloat(KEY, field, amount)
        if state == "SUCCESS":
            told.hset(KEY, *last_success(task, now))
        told.execute()


@cache
def _client(url: str | None) -> "redis.Redis | None":
    """One for each process: connections are made anew after a fork."""
    if not url:
        return None
    return redis.Redis.from_url(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        # At once, for a connection from before a restart of Redis.
        retry=Retry(NoBackoff(), 1),
    )


task_prerun.connect(note_begin)
task_postrun.connect(note_end)
