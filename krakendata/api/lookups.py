"""How many strangers are looked up at a time: each takes a connection to the database of its own."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

__all__ = ["lookups"]

# Made-up tokens and sessions may wait for one another; those of them that are looked up at once are few, so that the
# feed and the workers always find a connection.
AT_ONCE = 4

_LOOKUPS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def lookups() -> asyncio.Semaphore:
    """That of this event loop."""
    return _LOOKUPS.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))
