"""One answer for all who ask within a few seconds, and one who fetches it while the others wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Value = TypeVar("Value")


class Cached(Generic[Value]):
    """What `read` gave, for `seconds` from when it began to read. `clock` gives seconds.

    An exception is not kept: who comes next reads again.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Value]],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._seconds = seconds
        self._clock = clock
        self._kept: tuple[float, Value] | None = None
        # A lock belongs to the event loop in which somebody first waits for it.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def get(self) -> Value:
        """The newest answer."""
        async with self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if self._kept is None or self._clock() - self._kept[0] >= self._seconds:
                began = self._clock()
                self._kept = began, await self._read()
            return self._kept[1]

    def forget(self) -> None:
        """Read again, whoever asks next."""
        self._kept = None
