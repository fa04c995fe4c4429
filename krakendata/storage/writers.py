"""A few connections to write with, and one that keeps locks: what a deed that waits for the exchange holds.

Connections to write with are lent for a block, so nobody holds one while it waits. The locks of jobs and runs belong
to a session, so one more connection keeps them all and does nothing else.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from psycopg import AsyncConnection, OperationalError
from psycopg_pool import AsyncConnectionPool

from krakendata.errors import StorageUnavailable
from krakendata.storage import runs
from krakendata.storage.bulk import prepare_writer
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.pool import CONNECT_SECONDS, WAIT_SECONDS, translated_errors
from krakendata.storage.sessions import connect
from krakendata.storage.sql import query

Connection = AsyncConnection[Any]

# A worker of the pool that is opening a connection is waited for so long; what it opens is closed all the same.
POOL_CLOSE_SECONDS = 1.0

# How often a job asks again for a lock that another holds.
JOB_LOCK_SECONDS = 1.0


class Writers:
    """Up to `size` writing connections in autocommit, and the keeper of locks; an async context manager.

    `database` is an address or psycopg's connection arguments, `timeouts` further ones where it names none. A server
    that is away is waited for as long as `wait_seconds`. After its restart connections come back by themselves; the
    locks do not: their holder asks for them again.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        size: int,
        *,
        wait_seconds: float = WAIT_SECONDS,
        timeouts: Mapping[str, int] | None = None,
    ) -> None:
        given = arguments_from_url(database) if isinstance(database, str) else dict(database)
        self._arguments = {**(timeouts or {}), **given}
        self._pool = AsyncConnectionPool(
            # The statements' plans depend on the time they are asked for: none is kept.
            kwargs={
                "connect_timeout": CONNECT_SECONDS,
                **self._arguments,
                "autocommit": True,
                "prepare_threshold": None,
            },
            min_size=0,
            max_size=size,
            timeout=wait_seconds,
            # Its waits between attempts double: who asks again begins anew, and finds a server that is back at once.
            reconnect_timeout=wait_seconds,
            configure=prepare_writer,
            check=AsyncConnectionPool.check_connection,
            name="krakendata writers",
            open=False,
        )
        self._keeper: Connection | None = None
        self._keeping = AsyncExitStack()
        self._one_at_a_time = asyncio.Lock()
        self._symbols: set[str] = set()
        self._runs: set[int] = set()

    async def __aenter__(self) -> Self:
        async with self._keeper_alone():
            await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close(POOL_CLOSE_SECONDS)
        await self._keeping.aclose()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for a block; the driver's errors become StorageErrors."""
        with translated_errors():
            async with self._pool.connection() as connection:
                yield connection

    async def try_job_lock(self, symbol: str) -> bool:
        """Try to become the only import or backfill of a symbol, until it is released or this ends.

        What was held is held no more where the server went away since; another may have got it by now.
        """
        async with self._keeper_alone() as keeper:
            if symbol in self._symbols and not await _answers(keeper):
                keeper = await self._kept_again()
            if symbol not in self._symbols and await runs.try_job_lock(keeper, symbol):
                self._symbols.add(symbol)
            return symbol in self._symbols

    async def lock_job(
        self, symbol: str, *, waits: bool = True, waiting: Callable[[], None] = lambda: None
    ) -> bool:
        """The same; with `waits` until it succeeds, and `waiting` is told once a second."""
        while not await self.try_job_lock(symbol):
            if not waits:
                return False
            waiting()
            await asyncio.sleep(JOB_LOCK_SECONDS)
        return True

    async def release_job_lock(self, symbol: str) -> None:
        """Let the next one go on."""
        async with self._keeper_alone() as keeper:
            if symbol in self._symbols:
                self._symbols.discard(symbol)
                await runs.release_job_lock(keeper, symbol)

    async def start_run(self, kind: str, parameters: dict[str, Any], unit: str = "trades") -> int:
        """Record that a deed begins, and hold its run until `finish_run`; give its id."""
        async with self._keeper_alone() as keeper:
            run_id = await runs.start_run(keeper, kind, parameters, None, unit)
            self._runs.add(run_id)
            return run_id

    async def set_run_total(self, run_id: int, done: int, total: int) -> None:
        """Record how much there is to do, and how much of it was done before."""
        async with self.connection() as connection:
            await runs.set_run_total(connection, run_id, done, total)

    async def finish_run(self, run_id: int, state: str, error: str = "") -> None:
        """Record how a run ended: `done`, `failed` or `stopped`."""
        self._runs.discard(run_id)
        async with self._keeper_alone() as keeper:
            await runs.finish_run(keeper, run_id, state, error)

    async def report_sync_error(self, symbol: str, kind: str, error: str) -> None:
        """Note an error where the operator looks first."""
        async with self.connection() as connection:
            await runs.report_sync_error(connection, symbol, kind, error)

    @asynccontextmanager
    async def _keeper_alone(self) -> AsyncIterator[Connection]:
        async with self._one_at_a_time:
            with translated_errors():
                yield await self._kept()

    async def _kept_again(self) -> Connection:
        """A new keeper for one that is gone; a server that starts again is waited for as long as the pool waits."""
        ends = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                return await self._kept()
            except StorageUnavailable:
                if time.monotonic() > ends:
                    raise
                await asyncio.sleep(JOB_LOCK_SECONDS)

    async def _kept(self) -> Connection:
        """The keeper; a new one, without the symbols' locks, where the server went away."""
        if self._keeper is None or self._keeper.closed:
            await self._keeping.aclose()
            self._keeping = AsyncExitStack()
            self._symbols.clear()
            self._keeper = await self._keeping.enter_async_context(connect(self._arguments))
            await self._keeper.execute(query("notice_lost_peer"))
            for run_id in self._runs:
                await runs.hold_run(self._keeper, run_id)
        return self._keeper


async def _answers(connection: Connection) -> bool:
    """Whether the server still knows the connection: one that nobody uses does not notice its end."""
    try:
        await connection.execute("SELECT 1")
    except OperationalError:
        return False
    return True
