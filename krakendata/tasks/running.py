"""One share of a deed inside a task: ended in time, stopped with the worker, told about, tried again."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, NamedTuple, NoReturn, TypeVar

from celery import Task
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from krakendata.errors import KrakenDataError
from krakendata.management.command import database_arguments
from krakendata.options import worker_share
from krakendata.storage.runs import BEGUN, is_asked_to_stop
from krakendata.storage.sessions import connect
from krakendata.tasks.stopping import is_stopping

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Said in the runs, so that only what a worker began is gone on with by workers.
WORKER = "worker"

# Whoever watches sees a second as an instant; Redis need not hear of every page.
REPORT_SECONDS = 1.0

LOOK_SECONDS = 0.2

# Who presses Stop sees it within some seconds, and the database is not asked all the time.
LOOK_FOR_STOP_SECONDS = 2.0

# A deed that is asked to stop ends after its page; one that waits for an exchange in maintenance is cancelled then.
GRACE_SECONDS = 20.0


class Waits(NamedTuple):
    """How long to wait before a task is tried again: each wait is twice the one before."""

    first_seconds: float
    longest_seconds: float


# Doubled so often, every first wait is past the longest; 2 to the power of a week's tries is no float any more.
MOST_DOUBLINGS = 20

# 10, 20, 40 … seconds up to ten minutes: far below the visibility timeout, after which a message is delivered again.
WAITS = Waits(10.0, 600.0)

# For what another worker is at: a look for gaps is over within seconds.
WAITS_FOR_ANOTHER = Waits(2.0, 30.0)


class Share:
    """How long one task works on a long deed: until the worker ends or the share is used up."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._ends = time.monotonic() + worker_share().total_seconds()
        self._reported = float("-inf")
        # Whether somebody stopped the run from the admin: then nobody goes on with it.
        self.was_stopped = False

    def should_stop(self) -> bool:
        """Whether the deed is to stop at the next place where nothing is lost."""
        return self.was_stopped or is_stopping() or time.monotonic() >= self._ends

    async def look_for_stop(self, run_ids: Collection[int]) -> None:
        """Look whether somebody asked one of the runs to stop; a database that is away is asked another time."""
        if not run_ids or self.was_stopped:
            return
        try:
            async with connect(database_arguments()) as connection:
                self.was_stopped = await is_asked_to_stop(connection, run_ids)
        except KrakenDataError as error:
            logger.info("nobody could say whether to stop error=%s", error)

    def report(self, progress: dict[str, Any]) -> None:
        """Tell how far the deed is, as the task's state PROGRESS; at most once a second."""
        now = time.monotonic()
        if now - self._reported < REPORT_SECONDS:
            return
        self._reported = now
        try:
            self._task.update_state(state="PROGRESS", meta=progress)
        except (OperationalError, RedisError, OSError) as error:
            # The run in sync_runs has it too, and the deed is worth more than its report.
            logger.info("progress not told error=%s", error)


def run_share(
    task: Task,
    deed: Callable[[Share], Awaitable[Result]],
    grace_seconds: float = GRACE_SECONDS,
    share: Share | None = None,
) -> Result | None:
    """Run a deed until it ends or its share does; None when it had to be cancelled then.

    `share` tells afterwards whether somebody stopped it, to whoever made one.
    A transient error tries the task again later (Celery's Retry) unless its time is over by then, as the timetable
    has the next one then; a permanent error is raised.
    """
    share = share or Share(task)
    try:
        return asyncio.run(_watched(deed(share), share, grace_seconds))
    except KrakenDataError as error:
        if error.transient:
            try_again(task, str(error), expires=task.request.expires)
        raise


def try_again(
    task: Task, why: str, *, waits: Waits = WAITS, expires: str | None = None, **arguments: Any
) -> NoReturn:
    """Put the task back, to run after a wait that doubles each time; `arguments` take the place of its own.

    What it is put back for does not end with the message that brought it, unless `expires` says so.
    """
    wait = min(waits.first_seconds * 2 ** min(task.request.retries, MOST_DOUBLINGS), waits.longest_seconds)
    wait *= random.uniform(0.75, 1.0)  # noqa: S311 (a wait, not a secret)
    logger.warning("retry task=%s seconds=%.0f why=%s", task.name, wait, why)
    # Without an end: maintenance may last for hours. As an argument of retry(), None means Celery's default of three.
    task.max_retries = None
    raise task.retry(
        args=() if arguments else None, kwargs=arguments or None, countdown=wait, exc=Exception(why), expires=expires,
    )  # fmt: skip


async def _watched(deed: Awaitable[Result], share: Share, grace_seconds: float) -> Result | None:
    begun: set[int] = set()
    BEGUN.set(begun)
    running = asyncio.ensure_future(deed)
    looked = time.monotonic()
    while not running.done() and not share.should_stop():
        await asyncio.wait([running], timeout=LOOK_SECONDS)
        if time.monotonic() - looked >= LOOK_FOR_STOP_SECONDS:
            await share.look_for_stop(begun)
            looked = time.monotonic()
    await asyncio.wait([running], timeout=grace_seconds)
    if not running.done():
        running.cancel()
        await asyncio.wait([running])
    return None if running.cancelled() else await running
