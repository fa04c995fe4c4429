"""A pool of connections to the database, and the one place where the driver's errors become ours."""

import select
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.sql import SQL, Literal
from psycopg_pool import AsyncConnectionPool

from krakendata.errors import StorageRefused, StorageUnavailable
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.sql import query

# REC-002's pool.
MIN_SIZE, MAX_SIZE = 2, 10
# A server that does not take what is sent to it is gone after so long; TCP by itself waits for a quarter of an hour.
NETWORK_TIMEOUT = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}

# A server on the way answers within milliseconds; what takes longer than this is away.
CONNECT_SECONDS = 10
# So often no statement is run.
NEVER_PREPARED = sys.maxsize
# How long a caller waits for one of MAX_SIZE connections that others hold.
WAIT_SECONDS = 30.0


class Pool:
    """Connections that are opened once and lent for a transaction each.

    `database` is an address (`timescale://…`, `postgresql://…`) or psycopg's connection arguments. With
    `is_reader` every transaction is read only and sees one state of the database throughout.
    """

    def __init__(
        self,
        database: str | Mapping[str, Any],
        min_size: int = MIN_SIZE,
        max_size: int = MAX_SIZE,
        is_reader: bool = False,
    ) -> None:
        arguments = arguments_from_url(database) if isinstance(database, str) else database
        # Nothing is prepared unless asked for: a plan made once for all times would look into every chunk there is.
        timeouts = {"connect_timeout": CONNECT_SECONDS, **NETWORK_TIMEOUT}
        self._arguments = {**timeouts, **arguments, "prepare_threshold": NEVER_PREPARED}
        self._is_reader = is_reader
        self._pool = _LivingPool(
            kwargs=self._arguments,
            min_size=min_size,
            max_size=max_size,
            timeout=WAIT_SECONDS,
            # The pool doubles its pauses between tries. Given up as early as its callers do, they stay below a quarter
            # of a minute: the next caller begins anew, and finds a server that is back soon, however long it was away.
            reconnect_timeout=WAIT_SECONDS,
            configure=self._configure,
            name="krakendata",
            open=False,
        )

    async def open(self) -> Self:
        """Open the first connections; raises StorageUnavailable with the server's own words."""
        with translated_errors():
            # The pool tries again in silence and in the end knows only that time is up; this one knows why.
            await (await AsyncConnection.connect(**self._arguments)).close()
            await self._pool.open(wait=True, timeout=CONNECT_SECONDS)
        return self

    async def close(self) -> None:
        """Close every connection; those lent are closed when they come back."""
        await self._pool.close()

    @property
    def max_size(self) -> int:
        """How many connections there are at most."""
        return self._pool.max_size

    @asynccontextmanager
    async def connection(self, snapshot: str | None = None) -> AsyncIterator[AsyncConnection[Any]]:
        """Lend a connection for one transaction: committed at the end, rolled back on any exception.

        A reader's, with a `snapshot` that another reader's transaction has exported, sees what that one sees.
        """
        with translated_errors():
            async with self._pool.connection() as connection:
                if snapshot is not None:
                    begin = SQL(query("begin_reading_snapshot")).format(snapshot=Literal(snapshot))
                    await connection.execute(begin)
                elif self._is_reader:
                    await connection.execute(query("begin_reading"))
                yield connection

    async def _configure(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute("SET TIME ZONE 'UTC'")
        await connection.commit()
        if self._is_reader:
            # Its transactions are begun by hand: with the lock in the same message.
            await connection.set_autocommit(True)


class _LivingPool(AsyncConnectionPool[AsyncConnection[Any]]):
    """Lends no connection that the server has closed, so that its restart goes unnoticed.

    The library's own check pauses longer and longer between two dead connections: with ten of them, half a minute.
    """

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:  # noqa: ASYNC109 (the library's own)
        # A dead one that is given back is replaced: no more than these can have died while nobody used them.
        for _ in range(self.max_size):
            connection = await super().getconn(timeout)
            try:
                await _check(connection)
                return connection
            except psycopg.OperationalError:
                await self.putconn(connection)
            except BaseException:
                await self.putconn(connection)
                raise
        return await super().getconn(timeout)


async def _check(connection: AsyncConnection[Any]) -> None:
    """Raise OperationalError for a connection that the server has closed.

    A server says nothing unasked unless it closes: only where it has is it asked, which takes a message and an answer.
    """
    watch = select.poll()
    watch.register(connection.fileno(), select.POLLIN)
    if watch.poll(0):
        await AsyncConnectionPool.check_connection(connection)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn the driver's errors into StorageUnavailable (try again later) and StorageRefused (do not)."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StorageUnavailable(f"The database is not available: {_sentence(error)}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction) as error:
        raise StorageRefused(
            f"The database is not migrated, or not to this version: {_sentence(error)}. Run manage.py migrate."
        ) from error
    except psycopg.Error as error:
        is_about_data = isinstance(error, psycopg.DataError | psycopg.IntegrityError)
        raise StorageRefused(f"The database refused: {_sentence(error)}", is_about_data) from error


def _sentence(error: psycopg.Error) -> str:
    """The server's message without the position and context lines that follow it."""
    return (error.diag.message_primary or str(error).partition("\n")[0]).strip()
