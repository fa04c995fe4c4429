"""A worker's heartbeat, from a thread of its main process: the desk knows by it that tasks are taken.

It says nothing of the queue: a worker that cannot reach Redis lives on, and its tasks do not begin.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from celery.signals import worker_ready, worker_shutdown

from krakendata.errors import StorageError
from krakendata.management.command import database_arguments
from krakendata.storage.sessions import connect
from krakendata.storage.workers import Connection, beat_worker, begin_worker, end_worker

logger = logging.getLogger(__name__)

# Three of them may be missing before anybody is told (attention.WORKER_SILENT_AFTER).
BEAT_SECONDS = 10.0
# A database that is away does not keep a worker from ending.
LEAVE_SECONDS = 2.0

Write = Callable[[Connection, str], Awaitable[None]]


class Heartbeat(threading.Thread):
    """Writes the worker's row every few seconds until it is ended; while the database is away it tries on."""

    def __init__(self, name: str) -> None:
        # Whatever holds it up, a worker's end waits for nobody.
        super().__init__(name="heartbeat", daemon=True)
        self._worker = name
        self._ended = threading.Event()
        self._is_away = False

    def run(self) -> None:
        self._write(begin_worker)
        while not self._ended.wait(BEAT_SECONDS):
            self._write(beat_worker)
        self._write(end_worker)

    def end(self) -> None:
        """Take the row away and stop; waits a moment for that."""
        self._ended.set()
        self.join(LEAVE_SECONDS)

    def _write(self, write: Write) -> None:
        try:
            asyncio.run(self._connect_and(write))
        except StorageError as error:
            if not self._is_away:
                logger.warning("heartbeat not written error=%s", error)
            self._is_away = True
        else:
            self._is_away = False

    async def _connect_and(self, write: Write) -> None:
        # A connection of its own each time: the pool's processes are forked at any moment, and would share an open one.
        async with connect(database_arguments()) as connection:
            await write(connection, self._worker)


_beating: list[Heartbeat] = []


def begin(sender: Any, **_: Any) -> None:
    """Beat for the worker that is ready, as it is again whenever Redis was away; `sender` is its consumer."""
    if _beating:
        return
    heartbeat = Heartbeat(str(sender.hostname))
    _beating.append(heartbeat)
    heartbeat.start()


def end(**_: Any) -> None:
    """Beat no more."""
    while _beating:
        _beating.pop().end()


worker_ready.connect(begin)
worker_shutdown.connect(end)
