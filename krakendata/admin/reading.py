"""The provider that the admin's views ask for candles and certificates: one a process, opened by the first question."""

from __future__ import annotations

import threading

from krakendata.db.router import reading_arguments
from krakendata.sync_provider import SyncHistoricalDataProvider

# Pages of people, not of programs: who waits for a connection waits for milliseconds.
CONNECTIONS = 2

_opening = threading.Lock()
_provider: SyncHistoricalDataProvider | None = None


def provider() -> SyncHistoricalDataProvider:
    """The provider, connected; raises StorageUnavailable while the database is away."""
    global _provider
    with _opening:
        if _provider is None:
            _provider = SyncHistoricalDataProvider(reading_arguments(), min_size=1, max_size=CONNECTIONS)
        # Once connected it does nothing, and begins anew after a fork.
        _provider.connect()
        return _provider


def close_provider() -> None:
    """Close it if it is open; the next question opens another."""
    global _provider
    with _opening:
        closing, _provider = _provider, None
        if closing is not None:
            closing.close()
