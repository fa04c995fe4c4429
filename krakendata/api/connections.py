"""What answering needs, one set in each process's event loop: a provider over one pool, and the counters in Redis.

The live socket has a provider of its own (live/hub.py), whose clock goes a minute ahead and which is closed with
the last client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings

from krakendata.api.page_reader import PageReader
from krakendata.api.rate_limit import RateLimit
from krakendata.db.router import reading_arguments
from krakendata.errors import StorageUnavailable
from krakendata.options import pool_sizes

__all__ = ["Connections", "close_connections", "connections"]

# While the database is away each question would wait for it as long as a connection may take.
AWAY_SECONDS = 2.0


class Connections:
    """Opened with the first question. `database` is psycopg's connection arguments, `redis_url` None: no Redis."""

    def __init__(self, database: Mapping[str, Any], redis_url: str | None) -> None:
        self.rate_limit = RateLimit(redis_url)
        self._database = database
        self._reader: PageReader | None = None
        self._opening = asyncio.Lock()
        self._away_until = 0.0

    async def reader(self) -> PageReader:
        """The provider; raises StorageUnavailable, at once where it was away a moment ago."""
        if self._reader is not None:
            return self._reader
        async with self._opening:
            if self._reader is None:
                if time.monotonic() < self._away_until:
                    raise StorageUnavailable
                least, most = pool_sizes()
                reader = PageReader(self._database, min_size=least, max_size=most)
                try:
                    await reader.connect()
                except StorageUnavailable:
                    self._away_until = time.monotonic() + AWAY_SECONDS
                    raise
                self._reader = reader
            return self._reader

    async def close(self) -> None:
        """Close the pool and the connections to Redis."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
        await self.rate_limit.close()


_CONNECTIONS: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()


def connections() -> Connections:
    """Those of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _CONNECTIONS:
        _CONNECTIONS[loop] = Connections(reading_arguments(), getattr(settings, "REDIS_URL", None) or None)
    return _CONNECTIONS[loop]


async def close_connections() -> None:
    """Close those of this event loop, if any are open; the next question opens others."""
    found = _CONNECTIONS.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
