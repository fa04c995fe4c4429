"""An outbox: in order, bounded, and over when too much waits."""

from __future__ import annotations

import asyncio

from krakendata.live.outbox import Outbox


async def taken(outbox: Outbox) -> list[str]:
    return [text async for text in outbox.messages()]


async def test_messages_come_in_order_as_they_are_put() -> None:
    outbox = Outbox()
    messages = outbox.messages()
    outbox.put("a")
    outbox.put("b")
    assert [await anext(messages), await anext(messages)] == ["a", "b"]
    asyncio.get_running_loop().call_soon(outbox.put, "c")
    assert await anext(messages) == "c"


async def test_too_many_messages_are_dropped_all_and_counted() -> None:
    outbox = Outbox(max_messages=3)
    for text in "abcdef":
        outbox.put(text)
    assert await taken(outbox) == []
    assert outbox.lost == 6
    assert outbox.over.is_set()


async def test_too_long_messages_likewise() -> None:
    outbox = Outbox(max_characters=10)
    outbox.put("a" * 6)
    outbox.put("b" * 6)
    assert outbox.lost == 2


async def test_room_is_waited_for_until_most_is_read() -> None:
    outbox = Outbox()
    for _ in range(200):
        outbox.put("a")
    waiting = asyncio.create_task(outbox.room())
    messages = outbox.messages()
    for _ in range(99):
        await anext(messages)
        await asyncio.sleep(0)
        assert not waiting.done()
    await anext(messages)
    await asyncio.wait_for(waiting, 1)


async def test_nobody_waits_for_room_in_one_that_is_over() -> None:
    outbox = Outbox(max_messages=150)
    for _ in range(140):
        outbox.put("a")
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    for _ in range(20):
        outbox.put("a")
    await asyncio.wait_for(waiting, 1)


async def test_nobody_waits_for_one_that_is_closed() -> None:
    outbox = Outbox()
    for _ in range(200):
        outbox.put("a")
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    outbox.close()
    await asyncio.wait_for(waiting, 1)
