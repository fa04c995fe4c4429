"""One run of the live path: trades flow, things break by the seed, then all is calm and everything has to be right."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from krakendata.ingest.gap_fill import GapFiller
from krakendata.ingest.pair_list import track_pairs
from krakendata.kraken.rest import KrakenRest
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.server import ReplayServer
from tests.campaign.calm import calm_down
from tests.campaign.feeds import LOOK_SECONDS, PATIENCE_SECONDS, Feed, Feeds
from tests.campaign.hurry import hurried
from tests.campaign.live_market import ClosingHistory, made_by_the_hour
from tests.campaign.live_plan import MISSED_SECONDS, Event, LivePlan, draw_live_plan
from tests.campaign.live_truth import (
    assert_adds_up,
    assert_quiet_is_quiet,
    assert_rejects_kept,
    held_ids,
    newest_shown,
    seconds_of,
    shown_ids,
)
from tests.campaign.run import TIMEOUT_SECONDS, open_store
from tests.campaign.servers import Ground
from tests.campaign.truth import assert_nothing_lies
from tests.fix_storage import Store
from tests.fix_trading import Replay, list_pairs, no_pacer

# The exchange's clock begins so far behind ours, so that what happens in leaps does not lead it into our future: a
# trade from there is refused after a minute. Two minutes behind, the gap filler would take each tail for a gap.
BEHIND = timedelta(seconds=90)
AHEAD = timedelta(seconds=30)

# What was told has been heard after so long, and is not written yet.
HUSH_SECONDS = 0.7

# A hole that a reconnect left is closed by the feed within ten seconds on a machine that is not busy; a slower one is
# given more. Each of a pair's holes costs three calls, at one a second.
CLOSE_SECONDS = 45.0

BUFFERS_OF_A_BURST = 10
DATABASE_BURST_BUFFERS = 3


@dataclass
class LiveFacts:
    """What a run was and what it saw: seconds in which feeds left, and in which holes of reconnects were closed."""

    plan: LivePlan
    seconds: float = 0.0
    trades: int = 0
    received: int = 0
    stored: int = 0
    duplicate: int = 0
    dropped: int = 0
    rejected: int = 0
    looks: int = 0
    left_after: list[float] = field(default_factory=list)
    closed_after: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        events = ", ".join(event.kind for event in self.plan.events)
        closed = " ".join(f"{seconds:.1f}" for seconds in self.closed_after) or "none"
        left = " ".join(f"{seconds:.1f}" for seconds in self.left_after)
        return (
            f"seed {self.plan.seed}: {events}; {self.trades:,} trades, {self.stored:,} stored live, "
            f"{self.duplicate:,} duplicate, {self.dropped:,} dropped, {self.rejected:,} rejected, {self.looks} looks, "
            f"holes closed in {closed} s, feeds left in {left} s, {self.seconds:.1f} s"
        )


async def run_live(seed: int, ground: Ground, away_seconds: float | None = None) -> LiveFacts:
    """Make the run of a seed; AssertionError says what is not as it has to be."""
    plan = draw_live_plan(seed, away_seconds)
    started = time.monotonic()
    facts = LiveFacts(plan)
    now = datetime.now(UTC)
    monday = (now - timedelta(days=7 + now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    ground.clear(monday, monday)
    with made_by_the_hour(), hurried():
        clock = ReplayClock(now - BEHIND)
        market = plan.histories(clock.now)
        exchange = ReplayExchange(market, clock, faults=Faults(**plan.faults))
        with ReplayServer(exchange).in_thread() as server:
            async with AsyncExitStack() as stack:
                rest = await stack.enter_async_context(
                    KrakenRest(
                        server.rest_url, pacer=no_pacer(), timeout=TIMEOUT_SECONDS, clock=lambda: clock.now
                    )
                )
                async with open_store(ground) as store:
                    await list_pairs(store, *exchange.listed())
                replay = Replay(exchange, server, rest, store)
                with Feeds(plan, ground, replay) as feeds:
                    await _LiveRun(facts, feeds, market, random.Random(f"{seed}/live run")).go()
                facts.trades = sum(len(exchange.trades(symbol)) for symbol in plan.symbols)
    facts.seconds = time.monotonic() - started
    return facts


class _LiveRun:
    """The course of a run."""

    def __init__(
        self, facts: LiveFacts, feeds: Feeds, market: Sequence[ClosingHistory], rng: random.Random
    ) -> None:
        self._facts = facts
        self._feeds = feeds
        self._market = market
        self._rng = rng
        self._plan = feeds.plan
        self._ground = feeds.ground
        self._replay = feeds.replay
        self._exchange = feeds.replay.exchange
        self._clock = feeds.replay.exchange.clock
        self._symbols = list(feeds.plan.symbols)
        # Feeds that could not write for a while: what their buffers did not hold is for the schedule.
        self._excused: set[str] = set()

    async def go(self) -> None:
        await self._begin()
        for event in self._plan.events:
            await self._trade(event.after)
            await self._break(event)
            await self._look()
        await self._trade(self._rng.uniform(0.5, 1.5))
        await self._end()
        await self._assert_right()

    async def _begin(self) -> None:
        await track_pairs(self._ground.url, self._symbols)
        if self._plan.is_backfilled:
            async with self._looking():
                filler = GapFiller(**self._replay.deed(max_rejects_kept=self._plan.rejects_kept))
                reports = await filler.fill_all_gaps(self._symbols, before_beginning=True)
            assert all(report.state == "done" for report in reports), reports
        self._clock.speed = self._plan.speed
        await self._start()

    async def _break(self, event: Event) -> None:
        match event.kind:
            case "term":
                await self._leave(self._some())
                await self._return(self._start)
            case "term without database":
                await self._leave_without_database(event)
            case "kill":
                await asyncio.to_thread(self._feeds.kill, self._some())
                await self._return(self._start)
            case "kill in flush":
                await asyncio.to_thread(self._feeds.kill_in_flush, event.table)
                await self._look()
                await self._return(self._start)
            case "redis restart":
                await asyncio.to_thread(self._ground.restart_redis, event.seconds)
            case "redis flush":
                await asyncio.to_thread(self._ground.flush_redis)
            case "database restart":
                await self._stop_database(event)
                await asyncio.to_thread(self._ground.postgres.start)
                await self._written()
            case "database away":
                await self._take_database_away(event)
            case "drop" | "silence":
                await self._lose_socket(event.kind)
            case "burst":
                await self._leap(
                    seconds_of(self._replay, self._symbols, BUFFERS_OF_A_BURST * self._plan.buffer)
                )
                await self._written()
            case "second feed":
                await self._start()
            case "step forward":
                await self._leap(event.seconds)
            case "step back":
                self._clock.set(self._clock.now - timedelta(seconds=event.seconds))

    # --- feeds ---------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        await asyncio.to_thread(self._feeds.start)

    def _some(self) -> Feed:
        return self._rng.choice(self._feeds.alive)

    async def _leave(self, feed: Feed) -> None:
        """Ask a feed to end: it does so in time, and has written all that it heard, or says how much it could not."""
        seconds, told = await asyncio.to_thread(self._feeds.leave, feed)
        self._facts.left_after.append(seconds)
        counts = told["trades"]
        assert_adds_up(counts)
        assert_adds_up(told["candles"])
        for name in ("received", "stored", "duplicate", "dropped", "rejected"):
            setattr(self._facts, name, getattr(self._facts, name) + counts[name])
        assert not counts["dropped"] or feed.name in self._excused, f"{feed.name} dropped trades: {told}"

    async def _leave_without_database(self, event: Event) -> None:
        """A feed that cannot write leaves in time all the same, and says how much it could not write."""
        await self._stop_database(event)
        try:
            await self._trade(event.after)
            await self._leave(self._some())
        finally:
            await asyncio.to_thread(self._ground.postgres.start)
        await self._return(self._start)

    async def _stop_database(self, event: Event) -> None:
        self._excused |= {feed.name for feed in self._feeds.alive}
        how = signal.SIGQUIT if event.crashes else signal.SIGINT
        await asyncio.to_thread(self._ground.postgres.stop, how)

    async def _take_database_away(self, event: Event) -> None:
        """More comes meanwhile than the buffer holds."""
        await self._stop_database(event)
        try:
            await asyncio.sleep(event.seconds / 2)
            await self._leap(
                seconds_of(self._replay, self._symbols, DATABASE_BURST_BUFFERS * self._plan.buffer)
            )
            await asyncio.sleep(event.seconds / 2)
        finally:
            await asyncio.to_thread(self._ground.postgres.start)
        await self._written()

    # --- sockets -------------------------------------------------------------------------------------------

    async def _lose_socket(self, kind: str) -> None:
        """Drop or hush every feed's socket; what is traded until it is back is more than it is told then."""

        async def lose() -> None:
            sockets = self._exchange.calls["sockets"]
            fault = {"drop": "socket_drop", "silence": "socket_silence"}[kind]
            self._exchange.faults.change({fault: 1.0})
            await self._leap(MISSED_SECONDS)
            if kind == "silence":
                # Every feed's socket has news within so long.
                await asyncio.sleep(HUSH_SECONDS)
                self._exchange.faults.change({fault: 0.0})
            await self._until(lambda: self._exchange.calls["sockets"] > sockets, "another connection")
            self._exchange.faults.change({fault: 0.0})
            await self._until(
                lambda: self._exchange.calls["sockets"] >= sockets + len(self._feeds.alive),
                "the other connections",
            )

        await self._return(lose)

    async def _return(self, lose: Callable[[], Awaitable[None]]) -> None:
        """Measure how long a hole is open once the socket is back: nobody's help but the feed's is asked for."""
        missing = await self._missing()
        await lose()
        began = time.monotonic()
        asked = {symbol: shown_ids(self._replay, symbol) - missing[symbol] for symbol in self._symbols}

        async def is_closed() -> bool:
            async with self._looking() as store:
                for symbol in self._symbols:
                    held = await held_ids(store, symbol)
                    first = min(held, default=0)
                    if any(number > first and number not in held for number in asked[symbol]):
                        return False
            return True

        await self._until_so(is_closed, "the end of a hole", CLOSE_SECONDS)
        self._facts.closed_after.append(time.monotonic() - began)

    async def _missing(self) -> dict[str, set[int]]:
        """The ids below the newest held that are not held: holes of before, which are the schedule's."""
        async with self._looking() as store:
            missing = {}
            for symbol in self._symbols:
                held = await held_ids(store, symbol)
                newest = max(held, default=0)
                shown = shown_ids(self._replay, symbol)
                missing[symbol] = {number for number in shown if number < newest and number not in held}
            return missing

    # --- the market ----------------------------------------------------------------------------------------

    async def _trade(self, seconds: float) -> None:
        """Let the market go on; where it has come too far it takes its time."""
        if self._clock.now > datetime.now(UTC) + AHEAD:
            self._clock.speed = 1.0
        await asyncio.sleep(seconds)

    async def _leap(self, seconds: float) -> None:
        """So much time passes at once, as far as that does not lead into our future."""
        room = datetime.now(UTC) + AHEAD - self._clock.now
        self._clock.advance(max(min(timedelta(seconds=seconds), room), timedelta()))

    # --- looking -------------------------------------------------------------------------------------------

    async def _written(self) -> None:
        """Wait until something is written that was traded from now on."""
        newest = {symbol: newest_shown(self._replay, symbol) for symbol in self._symbols}

        async def is_written() -> bool:
            async with self._looking() as store:
                return any([max(await held_ids(store, name), default=0) > newest[name] for name in newest])

        await self._until_so(is_written, "a trade of now", PATIENCE_SECONDS)

    async def _look(self) -> None:
        self._feeds.assert_alive()
        async with self._looking() as store:
            await assert_nothing_lies(store)
            await assert_quiet_is_quiet(self._replay, self._symbols)
        self._facts.looks += 1

    async def _end(self) -> None:
        """Ask the feeds to end: what they have heard is written then."""
        self._exchange.faults.change({"socket_drop": 0.0, "socket_silence": 0.0})
        self._clock.speed = 0
        await asyncio.sleep(HUSH_SECONDS)
        while self._feeds.alive:
            await self._leave(self._feeds.alive[0])
        async with self._looking() as store:
            for symbol in self._symbols:
                newest = max(await held_ids(store, symbol), default=0)
                wanted = newest_shown(self._replay, symbol)
                assert newest >= wanted, (
                    f"{symbol} {wanted} was heard, and {newest} is the newest that is held"
                )
        await self._look()

    async def _assert_right(self) -> None:
        faults = self._exchange.faults
        for history in self._market:
            history.close(self._clock.ns, lambda number: faults.malformation(number) is None)
        async with self._looking() as store:
            await calm_down(self._replay, self._symbols, max_rejects_kept=self._plan.rejects_kept)
            await store.refresh(self._clock.now)
            await assert_nothing_lies(store)
            for symbol in self._symbols:
                await self._replay.assert_held(symbol)
            await assert_rejects_kept(self._replay, self._symbols, self._plan.rejects_kept)

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[Store]:
        async with open_store(self._ground) as store:
            self._replay.store = store
            yield store

    async def _until(self, is_so: Callable[[], bool], what: str) -> None:
        async def answer() -> bool:
            return is_so()

        await self._until_so(answer, what, PATIENCE_SECONDS)

    async def _until_so(self, is_so: Callable[[], Awaitable[bool]], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self._feeds.assert_alive()
            if await is_so():
                return
            if time.monotonic() > deadline:
                said = "\n".join(feed.said for feed in self._feeds.alive)
                raise AssertionError(f"{what} did not come within {seconds:.0f} s:\n{said}")
            await asyncio.sleep(LOOK_SECONDS)
