"""Who keeps the state of pacing: one process for its own tasks, or Redis for every process on the address."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, WatchError

from krakendata.kraken.pacing import (
    Budget,
    Change,
    Limits,
    Pace,
    answer,
    block,
    blocked,
    budget,
    refuse,
    reserve,
)

logger = logging.getLogger(__name__)

# Pacing may never hold up what it paces: a Redis that says nothing for a second is away.
REDIS_SECONDS = 1.0

# A Redis that is away is not asked again for so long: each question to one that hangs costs REDIS_SECONDS.
AWAY_SECONDS = 5.0

# How long an idle counter is kept: what a refusal left behind is undone by answers long before.
KEPT_SECONDS = 3600

_paces = msgspec.json.Decoder(Pace)


class LocalPacer:
    """Paces the tasks of one process. `clock` gives seconds, `sleep` waits for them."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._sleep = sleep
        self._kept: dict[str, Pace] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def wait(self, pair: str | None) -> None:
        """Return when the call may go out; a block that begins meanwhile is waited for as well."""
        take = partial(reserve, intervals=self._limits.intervals(pair))
        while (seconds := await self._change(pair, take)) > 0:
            await self._sleep(seconds)
            if not await self._change(pair, blocked):
                return

    async def refused(self, pair: str | None, retry_after: float | None) -> None:
        """Block the pair and the address."""
        await self._change(pair, partial(refuse, retry_after=retry_after))

    async def answered(self, pair: str | None) -> None:
        """Undo a little of what refusals left behind."""
        await self._change(pair, answer)

    async def _change(self, pair: str | None, change: Change) -> float:
        """Change the counters that a call about `pair` touches; the seconds that the change gives."""
        names = counters(pair)
        changed, seconds = change([self._kept.get(name, Pace()) for name in names], self._clock())
        self._kept.update(zip(names, changed, strict=True))
        return seconds


class RedisPacer(LocalPacer):
    """Paces every process that shares a Redis, by the Redis's own clock.

    `exchange` names the counters: processes that ask another exchange (a replay) have others. While Redis is
    away each process paces its own calls; that is logged once, and Redis is tried again every few seconds.
    """

    def __init__(
        self,
        url: str,
        limits: Limits | None = None,
        *,
        exchange: str,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        super().__init__(limits, sleep=sleep)
        self._prefix = _prefix(exchange)
        # One retry, at once: a connection from before a restart of Redis fails, a new one works.
        self._redis = Redis.from_url(
            url,
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        # Tasks of one process take turns here, instead of undoing each other's transactions.
        self._turn = asyncio.Lock()
        self._is_away = False
        self._asked_again_at = 0.0

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()

    async def _change(self, pair: str | None, change: Change) -> float:
        if self._is_away and self._clock() < self._asked_again_at:
            return await super()._change(pair, change)
        try:
            async with self._turn:
                if self._is_away:
                    await self._share_blocks()
                seconds = await self._change_shared(counters(pair), change)
        except (RedisError, OSError) as error:
            self._asked_again_at = self._clock() + AWAY_SECONDS
            if not self._is_away:
                self._is_away = True
                logger.warning(
                    "Redis is away (%s): this process paces its calls by itself until it is back.", error
                )
            return await super()._change(pair, change)
        if self._is_away:
            self._is_away = False
            logger.warning("Redis is back: calls are paced together again.")
        return seconds

    async def _share_blocks(self) -> None:
        """Tell Redis what this process was refused while it was away: the others were not."""
        for name, pace in self._kept.items():
            if (seconds := pace.blocked_until - self._clock()) > 0:
                await self._change_shared([name], partial(block, seconds=seconds))

    async def _change_shared(self, names: Sequence[str], change: Change) -> float:
        keys = [f"{self._prefix}:{name}" for name in names]
        async with self._redis.pipeline() as transaction:
            while True:
                await transaction.watch(*keys)
                kept = [_paces.decode(value) if value else Pace() for value in await transaction.mget(keys)]
                seconds, microseconds = await transaction.time()
                now = seconds + microseconds / 1_000_000
                changed, wait = change(kept, now)
                if changed == kept:
                    return wait
                transaction.multi()  # type: ignore[no-untyped-call]  # redis-py leaves it so
                for key, pace in zip(keys, changed, strict=True):
                    transaction.set(key, msgspec.json.encode(pace), ex=_lifetime(pace, now))
                try:
                    await transaction.execute()
                except WatchError:
                    continue
                return wait


async def read_budget(redis: Redis, limits: Limits, *, exchange: str) -> Budget:
    """What is left for the address, of all that pace their calls by this Redis; raises RedisError where it is away."""
    value = await redis.get(f"{_prefix(exchange)}:address")
    seconds, microseconds = await redis.time()
    (interval,) = limits.intervals(None)
    return budget(_paces.decode(value) if value else Pace(), seconds + microseconds / 1_000_000, interval)


def counters(pair: str | None) -> Sequence[str]:
    """The names of the counters that a call about `pair` touches, in the order of `Limits.intervals`."""
    return ("address",) if pair is None else ("address", f"pair:{pair}")


def _prefix(exchange: str) -> str:
    return f"krakendata:pacing:{exchange}"


def _lifetime(pace: Pace, now: float) -> int:
    return KEPT_SECONDS + int(max(pace.blocked_until, *pace.reserved, now) - now)
