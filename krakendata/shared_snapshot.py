"""Several questions at once, over as many connections as are free, all answered of one state of the database."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from krakendata.errors import StorageUnavailable
from krakendata.storage.pool import Pool
from krakendata.storage.queries import Connection, export_snapshot

__all__ = ["answer_together"]

_Answer = TypeVar("_Answer")


async def answer_together(
    pool: Pool, connection: Connection, jobs: Sequence[Callable[[Connection], Awaitable[_Answer]]]
) -> list[_Answer]:
    """The answer of each job, in their order. `connection` is in a transaction, whose state all of them see.

    It works itself, and whichever connections of the pool are free by then help it: a pool that others have emptied
    makes it slower and never waits for it.
    """
    if len(jobs) == 1 or pool.max_size == 1:
        return [await job(connection) for job in jobs]
    waiting = deque(enumerate(jobs))
    answers: dict[int, _Answer] = {}
    busy: set[asyncio.Task[None]] = set()
    snapshot = await export_snapshot(connection)

    async def work(one: Connection) -> None:
        while waiting:
            place, job = waiting.popleft()
            answers[place] = await job(one)

    async def help_out() -> None:
        task = asyncio.current_task()
        try:
            async with pool.connection(snapshot) as one:
                if task is not None and waiting:
                    busy.add(task)
                await work(one)
        except StorageUnavailable:
            # Without a connection it leaves the work to the others; what fails once it works is theirs to know.
            if task in busy:
                raise

    try:
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(help_out()) for _ in range(min(len(jobs), pool.max_size) - 1)]
            await work(connection)
            for helper in helpers:
                if helper not in busy:
                    # It still waits for a connection; there is nothing left to do with one.
                    helper.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [answers[place] for place in range(len(jobs))]
