"""How often a caller may ask: a bucket that fills up evenly, one for each caller, in Redis for every web process.

While Redis is away each process counts for itself, so that a caller may ask each of them as often as all: what can
be read is not worth refusing everybody. That is logged once, and Redis is tried again every few seconds.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

# Counting may never hold up what it counts.
REDIS_SECONDS = 0.5
# A Redis that is away is not asked again for so long: each question to one that hangs costs REDIS_SECONDS.
AWAY_SECONDS = 5.0
# Of more callers than these within a minute, the one that asked least lately is forgotten.
MAX_CALLERS_COUNTED = 10_000
MINUTE = 60.0
# Sums of fractions of a second are not exact.
ROUNDING = 0.001

# `full_at` is when the bucket will be full again; each request puts that off by what one costs. The same as `draw`.
SCRIPT = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local depth = tonumber(ARGV[2])
local cost = depth / ARGV[1]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + cost
local wait = full_at - now - depth
if wait > 0.001 then
    return {0, tostring(wait)}
end
redis.call('SET', KEYS[1], string.format('%.6f', full_at), 'PX', math.ceil((full_at - now) * 1000))
return {math.max(0, math.floor((depth - (full_at - now)) / cost)), '0'}
"""


class Draw(NamedTuple):
    """What became of a request: how many more may follow at once, and for how many seconds it has to wait (0: it
    may go).
    """

    remaining: int
    wait: float


def draw(full_at: float, now: float, count: int, seconds: float = MINUTE) -> tuple[float, Draw]:
    """Take one request out of a bucket of `count` that fills up in `seconds`.

    Gives when the bucket will be full, and what became of the request.
    """
    cost = seconds / count
    drawn = max(full_at, now) + cost
    wait = drawn - now - seconds
    if wait > ROUNDING:
        return full_at, Draw(0, wait)
    return drawn, Draw(max(0, int((seconds - (drawn - now)) / cost)), 0.0)


class RateLimit:
    """Counts the requests of all callers. `url` is Redis's address; without one each process counts for itself."""

    def __init__(self, url: str | None) -> None:
        # One retry, at once: a connection from before a restart of Redis fails, a new one works.
        self._redis = url and Redis.from_url(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._own: OrderedDict[str, float] = OrderedDict()
        self._is_away = False
        self._asked_again_at = 0.0

    async def draw(self, caller: str, per_minute: int) -> Draw:
        """Take one request of the caller's; never raises."""
        now = time.monotonic()
        if self._redis and now >= self._asked_again_at:
            try:
                found = await self._redis.eval(SCRIPT, 1, f"krakendata:api:{caller}", per_minute, MINUTE)
            except (RedisError, OSError) as error:
                self._asked_again_at = now + AWAY_SECONDS
                if not self._is_away:
                    self._is_away = True
                    logger.warning("Redis is away (%s): this process counts requests by itself.", error)
            else:
                if self._is_away:
                    self._is_away = False
                    logger.warning("Redis is back: requests are counted together again.")
                return Draw(int(found[0]), float(found[1]))
        return self._draw_here(caller, per_minute, now)

    async def close(self) -> None:
        """Close the connections."""
        if self._redis:
            await self._redis.aclose()

    def _draw_here(self, caller: str, per_minute: int, now: float) -> Draw:
        self._own[caller], drawn = draw(self._own.get(caller, 0.0), now, per_minute)
        self._own.move_to_end(caller)
        if len(self._own) > MAX_CALLERS_COUNTED:
            self._own.popitem(last=False)
        return drawn
