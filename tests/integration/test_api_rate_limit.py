"""Requests counted in Redis: for every process together, and by each alone while Redis is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from django.conf import settings
from redis.asyncio import Redis

from krakendata.api import rate_limit
from krakendata.api.rate_limit import RateLimit
from tests.free_ports import free_port
from tests.live_server import OwnRedis


@pytest.fixture
async def limits(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[RateLimit, RateLimit]]:
    """Give two processes' limits, on an empty Redis that is given time to answer."""
    monkeypatch.setattr(rate_limit, "REDIS_SECONDS", 10.0)
    async with Redis.from_url(settings.REDIS_URL) as client:
        for key in await client.keys("krakendata:api:*"):
            await client.delete(key)
    both = RateLimit(settings.REDIS_URL), RateLimit(settings.REDIS_URL)
    yield both
    for each in both:
        await each.close()


async def test_two_processes_share_a_callers_bucket(limits: tuple[RateLimit, RateLimit]) -> None:
    # Few a minute, so that none comes back while they are drawn, however busy the machine is.
    found = [await limits[n % 2].draw("token:1", 2) for n in range(3)]
    assert [each.remaining for each in found[:2]] == [1, 0]
    assert 0 < found[2].wait <= 30
    assert not (await limits[0].draw("token:2", 2)).wait


async def test_no_more_are_let_in_at_once_than_the_bucket_holds(limits: tuple[RateLimit, RateLimit]) -> None:
    found = await asyncio.gather(*(limits[n % 2].draw("token:1", 2) for n in range(60)))
    assert len([each for each in found if not each.wait]) == 2


async def test_who_waits_as_told_is_let_in(limits: tuple[RateLimit, RateLimit]) -> None:
    # One a second runs in: drawn until none is left, however long that takes.
    while not (drawn := await limits[0].draw("token:1", 60)).wait:
        pass
    assert drawn.wait <= 1
    await asyncio.sleep(drawn.wait + 0.01)
    assert not (await limits[0].draw("token:1", 60)).wait


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


async def test_without_redis_each_process_counts_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    limit = RateLimit("redis://127.0.0.1:1/0")
    with caplog.at_level(logging.WARNING):
        found = [await limit.draw("token:1", 3) for _ in range(4)]
    assert [each.remaining for each in found[:3]] == [2, 1, 0]
    assert found[3].wait > 0
    assert not (await limit.draw("token:2", 3)).wait
    assert len([record for record in caplog.records if "Redis is away" in record.message]) == 1
    await limit.close()
