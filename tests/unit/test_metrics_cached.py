"""Many who ask cost one reading; after its seconds, or a failure, there is a new one."""

from __future__ import annotations

import asyncio

import pytest

from krakendata.metrics.cached import Cached


class Readings:
    """Counts the readings; each takes until `go`."""

    def __init__(self) -> None:
        self.count = 0
        self.now = 1000.0
        self.go = asyncio.Event()
        self.fails = False

    async def read(self) -> int:
        self.count += 1
        await self.go.wait()
        if self.fails:
            raise RuntimeError("away")
        return self.count

    def cached(self) -> Cached[int]:
        return Cached(self.read, 5.0, clock=lambda: self.now)


async def test_those_who_ask_at_once_get_one_reading() -> None:
    readings = Readings()
    cached = readings.cached()
    asking = [asyncio.create_task(cached.get()) for _ in range(20)]
    await asyncio.sleep(0)
    readings.go.set()
    assert await asyncio.gather(*asking) == [1] * 20


async def test_a_reading_serves_until_its_seconds_are_over() -> None:
    readings = Readings()
    readings.go.set()
    cached = readings.cached()
    assert await cached.get() == 1
    readings.now += 4.9
    assert await cached.get() == 1
    readings.now += 0.1
    assert await cached.get() == 2


async def test_a_failure_is_not_kept() -> None:
    readings = Readings()
    readings.go.set()
    readings.fails = True
    cached = readings.cached()
    with pytest.raises(RuntimeError):
        await cached.get()
    readings.fails = False
    assert await cached.get() == 2


async def test_one_who_gives_up_keeps_nobody_from_an_answer() -> None:
    readings = Readings()
    cached = readings.cached()
    first, second = (asyncio.create_task(cached.get()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    readings.go.set()
    assert await second == 2


def test_an_answer_outlives_the_event_loop_in_which_it_was_read() -> None:
    async def ask(cached: Cached[int]) -> int:
        return await cached.get()

    count = 0

    async def read() -> int:
        nonlocal count
        count += 1
        return count

    cached = Cached(read, 3600.0)
    assert [asyncio.run(ask(cached)) for _ in range(3)] == [1, 1, 1]
