"""Requests counted in Redis: for every process together, and by each alone while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.conf import settings
from redis.asyncio import Redis

from krakendata.api import rate_limit
from krakendata.api.rate_limit import RateLimit
from tests.free_ports import free_port
from tests.live_server import OwnRedis


@pytest.fixture
async def limits() -> AsyncIterator[tuple[RateLimit, RateLimit]]:
    """Give two processes' limits, on an empty Redis."""
    async with Redis.from_url(settings.REDIS_URL) as client:
        for key in await client.keys("krakendata:api:*"):
            await client.delete(key)
    both = RateLimit(settings.REDIS_URL), RateLimit(settings.REDIS_URL)
    yield both
    for each in both:
        await each.close()


async def test_two_processes_share_a_callers_bucket(limits: tuple[RateLimit, RateLimit]) -> None:
    found = [await limits[n % 2].draw("token:1", 10) for n in range(11)]
    assert [each.remaining for each in found[:10]] == list(range(9, -1, -1))
    assert 0 < found[10].wait <= 6
    assert not (await limits[0].draw("token:2", 10)).wait


async def test_no_more_are_let_in_at_once_than_the_bucket_holds(limits: tuple[RateLimit, RateLimit]) -> None:
    found = await asyncio.gather(*(limits[n % 2].draw("token:1", 20) for n in range(60)))
    assert len([each for each in found if not each.wait]) == 20


async def test_who_waits_as_told_is_let_in(limits: tuple[RateLimit, RateLimit]) -> None:
    drawn = [await limits[0].draw("token:1", 120) for _ in range(121)][-1]
    assert 0 < drawn.wait <= 0.5
    await asyncio.sleep(drawn.wait + 0.01)
    assert not (await limits[0].draw("token:1", 120)).wait


async def test_what_is_kept_in_redis_goes_by_itself(limits: tuple[RateLimit, RateLimit]) -> None:
    await limits[0].draw("token:1", 10)
    async with Redis.from_url(settings.REDIS_URL) as client:
        assert 0 < await client.pttl("krakendata:api:token:1") <= 60_000


async def test_a_redis_that_goes_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "AWAY_SECONDS", 0.0)
    redis = OwnRedis(free_port())
    redis.start()
    limit = RateLimit(redis.url)
    try:
        assert (await limit.draw("token:1", 3)).remaining == 2
        redis.stop()
        # It counts anew, by itself.
        assert [(await limit.draw("token:1", 3)).remaining for _ in range(3)] == [2, 1, 0]
        assert (await limit.draw("token:1", 3)).wait > 0
        redis.start()
        assert (await limit.draw("token:1", 3)).remaining == 2
    finally:
        await limit.close()
        redis.stop()
