"""What waits for one client: so much and no more, whether it reads or not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

# At 20 messages a second and pair: a minute of one pair, three seconds of twenty.
MAX_MESSAGES = 1_000
# The texts are shared by all clients but for the first ones, which may have 300 kB each.
MAX_CHARACTERS = 4_000_000
# A client that has caught up this far is given the next pair's past.
ROOM_MESSAGES, ROOM_CHARACTERS = MAX_MESSAGES // 10, MAX_CHARACTERS // 4


class Outbox:
    """Messages in order. Once too many wait they are dropped, all of them, and no more taken; `lost` counts them."""

    def __init__(self, max_messages: int = MAX_MESSAGES, max_characters: int = MAX_CHARACTERS) -> None:
        self._limits = (max_messages, max_characters)
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self.lost = 0
        # More came than was read, or nobody reads; nothing is taken any more.
        self.over = asyncio.Event()

    def put(self, text: str) -> None:
        """Add a message, at once or not at all."""
        if self.over.is_set():
            self.lost += 1
            return
        self._waiting.append(text)
        self._characters += len(text)
        if len(self._waiting) > self._limits[0] or self._characters > self._limits[1]:
            self.lost = len(self._waiting)
            self.over.set()
            self._waiting.clear()
            self._characters = 0
            self._taken.set()
        self._changed.set()

    def close(self) -> None:
        """Nobody reads any more: take nothing more, and let nobody wait."""
        self.over.set()
        self._taken.set()
        self._changed.set()

    async def room(self) -> None:
        """Return when the client has read most of what waited, or will read no more."""
        while not self.over.is_set() and (
            len(self._waiting) > ROOM_MESSAGES or self._characters > ROOM_CHARACTERS
        ):
            self._taken.clear()
            await self._taken.wait()

    async def messages(self) -> AsyncIterator[str]:
        """Each message as it comes; ends when it is `over`."""
        while True:
            while self._waiting:
                text = self._waiting.popleft()
                self._characters -= len(text)
                self._taken.set()
                yield text
            if self.over.is_set():
                return
            self._changed.clear()
            await self._changed.wait()
