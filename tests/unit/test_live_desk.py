"""The desk on the live socket: one reading for all who follow, rendered once per set of permissions."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError
from django.utils.safestring import SafeString

from krakendata.attention import Deed, Desk, PairFacts, TableFacts
from krakendata.live import desk as live_desk
from krakendata.live.desk import DeskBoard
from krakendata.live.outbox import Outbox

NOW = datetime(2025, 11, 24, 12, 34, 30, tzinfo=UTC)
TABLES = [TableFacts("trades", 1, 2)]
ALL, NONE = frozenset(Deed), frozenset[Deed]()


class Facts:
    """What is read and rendered, counted; each reading is let go by `readings`."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.tables: list[Sequence[TableFacts] | None] = []
        self.rendered: list[frozenset[Deed]] = []
        self.readings = threading.Semaphore(0)

    def read(self, tables: Sequence[TableFacts] | None) -> Desk:
        assert self.readings.acquire(timeout=10)
        self.tables.append(tables)
        if self.error is not None:
            raise self.error
        return Desk(NOW, [PairFacts("ETH/USD")], tables=tables or TABLES)

    def render(self, desk: Desk, may: frozenset[Deed]) -> str:
        self.rendered.append(may)
        # What a template gives.
        return SafeString(f"<b>{len(may)}</b>")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_desk, "READ_SECONDS", 0.0)


async def told(outbox: Outbox) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for text in outbox.messages():
            message: dict[str, Any] = json.loads(text)
            return message
    raise AssertionError("the outbox was closed")


def leave(board: DeskBoard, facts: Facts, *outboxes: Outbox) -> None:
    for outbox in outboxes:
        assert board.leave(outbox)
    # A thread that waits for its reading ends.
    facts.readings.release()


async def test_one_reading_is_told_to_all_and_rendered_once_for_those_who_may_the_same() -> None:
    facts = Facts()
    board = DeskBoard(facts.read, facts.render)
    followers = [(Outbox(), ALL), (Outbox(), ALL), (Outbox(), NONE)]
    for outbox, may in followers:
        board.follow(outbox, may)
    facts.readings.release()
    messages = [await told(outbox) for outbox, _ in followers]
    assert [message["html"] for message in messages] == [f"<b>{len(may)}</b>" for _, may in followers]
    assert len(facts.tables) == 1
    assert sorted(facts.rendered, key=len) == [NONE, ALL]
    assert messages[0]["data"]["behind"] == 1
    assert messages[0]["data"]["attention"][0]["urgency"] == "stopped"
    leave(board, facts, *(outbox for outbox, _ in followers))


async def test_the_tables_are_not_read_each_time() -> None:
    facts, outbox = Facts(), Outbox()
    board = DeskBoard(facts.read, facts.render)
    board.follow(outbox, NONE)
    facts.readings.release(3)
    for _ in range(3):
        await told(outbox)
    assert facts.tables[:3] == [None, TABLES, TABLES]
    leave(board, facts, outbox)


async def test_a_database_that_is_away_is_told_and_the_next_reading_goes_well() -> None:
    facts, outbox = Facts(), Outbox()
    board = DeskBoard(facts.read, facts.render)
    facts.error = OperationalError("secret host")
    board.follow(outbox, NONE)
    facts.readings.release()
    message = await told(outbox)
    assert (message["type"], message["state"]) == ("away", "database away")
    assert message["error"] == "The database does not answer."
    facts.error = None
    facts.readings.release()
    assert (await told(outbox))["type"] == "update"
    leave(board, facts, outbox)


async def test_a_defect_is_told_without_its_words_and_ends_nothing() -> None:
    facts, outbox = Facts(), Outbox()
    board = DeskBoard(facts.read, facts.render)
    facts.error = RuntimeError("a defect")
    board.follow(outbox, NONE)
    facts.readings.release(2)
    assert [(await told(outbox))["state"] for _ in range(2)] == ["not read"] * 2
    leave(board, facts, outbox)


async def test_nothing_is_read_while_nobody_follows() -> None:
    facts, outbox = Facts(), Outbox()
    board = DeskBoard(facts.read, facts.render)
    before = asyncio.all_tasks()
    board.follow(outbox, NONE)
    facts.readings.release()
    await told(outbox)
    leave(board, facts, outbox)
    assert not board.leave(outbox)
    async with asyncio.timeout(10):
        await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
    assert len(facts.tables) <= 2
