"""The desk on the live socket: one reading for all who follow it, every few seconds while anybody does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from django.db import Error

from krakendata.attention import Deed, Desk, TableFacts
from krakendata.live.outbox import Outbox
from krakendata.live.replies import desk_away, desk_update

logger = logging.getLogger(__name__)

# What people notice at once, and a database does not.
READ_SECONDS = 3.0
# Sizes are estimates that change with the next VACUUM.
TABLES_SECONDS = 60.0

# The state that the page shows, and the sentence behind it.
DATABASE_AWAY = ("database away", "The database does not answer.")
NOT_READ = ("not read", "The facts cannot be read; the server's log says why.")

Read = Callable[[Sequence[TableFacts] | None], Desk]
Render = Callable[[Desk, frozenset[Deed]], str]


class DeskBoard:
    """Reads the facts and tells them to those who follow; `read` and `render` are synchronous, and run in a thread.

    Followers who may press the same remedies get the same message, made once. Everything runs in one event loop.
    """

    def __init__(self, read: Read, render: Render) -> None:
        self._read = read
        self._render = render
        self._followers: dict[Outbox, frozenset[Deed]] = {}
        self._task: asyncio.Task[None] | None = None
        self._tables: Sequence[TableFacts] | None = None
        self._tables_read_at = 0.0
        self._is_away = False

    def follow(self, outbox: Outbox, may: frozenset[Deed]) -> None:
        """Tell a client whatever is read from now on."""
        self._followers[outbox] = may
        if self._task is None:
            self._task = asyncio.create_task(self._keep())

    def leave(self, outbox: Outbox) -> bool:
        """Tell it nothing more; False: it was not told. Without followers nothing is read."""
        was_told = self._followers.pop(outbox, None) is not None
        if not self._followers and self._task is not None:
            self._task.cancel()
            self._task = None
            self._tables = None
        return was_told

    async def _keep(self) -> None:
        while True:
            try:
                await self._tell(await database_sync_to_async(self._read_facts)())
                self._is_away = False
            except Exception as error:
                # Whatever it is, those who look are told, and the next reading may go well.
                is_away = isinstance(error, Error)
                if not self._is_away:
                    logger.warning("cannot read the desk error=%r", str(error), exc_info=not is_away)
                self._is_away = True
                self._put(desk_away(*(DATABASE_AWAY if is_away else NOT_READ)))
            await asyncio.sleep(READ_SECONDS)

    def _read_facts(self) -> Desk:
        now = time.monotonic()
        is_old = self._tables is None or now - self._tables_read_at >= TABLES_SECONDS
        desk = self._read(None if is_old else self._tables)
        if is_old:
            self._tables, self._tables_read_at = desk.tables, now
        return desk

    async def _tell(self, desk: Desk) -> None:
        made: dict[frozenset[Deed], str] = {}
        for may in set(self._followers.values()):
            html = await database_sync_to_async(self._render)(desk, may)
            made[may] = desk_update(desk, html)
        for outbox, may in list(self._followers.items()):
            # Who came while it was rendered has the next one.
            if may in made:
                outbox.put(made[may])

    def _put(self, text: str) -> None:
        for outbox in self._followers:
            outbox.put(text)


_BOARDS: WeakKeyDictionary[asyncio.AbstractEventLoop, DeskBoard] = WeakKeyDictionary()


def desk_board(read: Read, render: Render) -> DeskBoard:
    """The board of this process's event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _BOARDS:
        _BOARDS[loop] = DeskBoard(read, render)
    return _BOARDS[loop]
