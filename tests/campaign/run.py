"""One run: everything goes wrong by its seed, then the exchange is calm, and everything has to be right."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from psycopg import AsyncConnection

from krakendata.ingest.gap_fill import GapFiller
from krakendata.kraken.rest import KrakenRest
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.generated_market import THIN
from krakendata.replay.histories import History
from krakendata.replay.server import ReplayServer
from krakendata.storage.bulk import prepare_writer
from krakendata.storage.conninfo import arguments_from_url
from krakendata.storage.editions import EDITIONS
from krakendata.types import moment_of
from tests.campaign.calm import SETTLED, calm_down
from tests.campaign.collecting import TRIES, Collecting
from tests.campaign.holes import Hole, gaps_as_holes, take_out
from tests.campaign.hurry import hurried
from tests.campaign.plan import HOLES, Plan, draw_plan
from tests.campaign.servers import Ground
from tests.campaign.truth import assert_equal_to_exchange, assert_nothing_lies, gaps_held, inner_gaps
from tests.fix_storage import NOW, Store
from tests.fix_trading import Replay, as_rest_ns, list_pairs, no_pacer

# The exchange is slower to answer than this only where it says nothing at all.
TIMEOUT_SECONDS = 2.0

QUIET_LOOKS = 4
LEAST_HOLE_OF_STRETCHES = 50


@dataclass
class Facts:
    """What a run was and what it saw."""

    plan: Plan
    seconds: float = 0.0
    trades: int = 0
    calls: int = 0
    holes: int = 0
    found: int = 0
    filled: int = 0
    candles: int = 0
    false_gaps: int = 0
    broken: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        broken = "".join(f", {count} {what}" for what, count in sorted(self.broken.items()))
        return (
            f"seed {self.plan.seed}: {self.plan.since}, {self.plan.collector}, {self.plan.style}{broken}; "
            f"{self.trades:,} trades in {self.calls:,} calls, holes {self.filled}/{self.found}/{self.holes}, "
            f"{self.candles:,} candles, {self.false_gaps} false gaps, {self.seconds:.1f} s"
        )


async def run(seed: int, ground: Ground) -> Facts:
    """Make the run of a seed; AssertionError says what is not as it has to be."""
    plan = draw_plan(seed)
    started = time.monotonic()
    # Processes of their own go by the real time; without them a run is the same whenever it is made.
    clock = ReplayClock(NOW + timedelta(hours=seed) if plan.collector == "deeds" else None)
    exchange = ReplayExchange(plan.histories(clock.now), clock, faults=Faults(**plan.faults))
    ground.clear(*plan.lines(clock.now))
    facts = Facts(plan)
    with hurried(), ReplayServer(exchange).in_thread() as server:
        async with AsyncExitStack() as stack:
            rest = KrakenRest(
                server.rest_url, pacer=no_pacer(), timeout=TIMEOUT_SECONDS, clock=lambda: clock.now
            )
            await stack.enter_async_context(rest)
            async with open_store(ground) as store:
                await list_pairs(store, *exchange.listed())
            replay = Replay(exchange, server, rest, store)
            await _Run(facts, Collecting(plan, ground, replay, random.Random(f"{seed}/run"))).go()
    facts.trades = sum(len(exchange.trades(symbol)) for symbol in exchange.histories)
    facts.calls = exchange.calls["Trades"] + exchange.calls["OHLC"]
    facts.seconds = time.monotonic() - started
    return facts


@asynccontextmanager
async def open_store(ground: Ground) -> AsyncIterator[Store]:
    """The campaign's database as the tests look at it, on a connection that no restart has met."""
    arguments = arguments_from_url(ground.url)
    async with await AsyncConnection.connect(**arguments, autocommit=True) as connection:
        await prepare_writer(connection)
        yield Store(arguments, EDITIONS[ground.edition], connection)


class _Run:
    """The course of a run."""

    def __init__(self, facts: Facts, collecting: Collecting) -> None:
        self._facts = facts
        self._collecting = collecting
        self._plan = collecting.plan
        self._replay = collecting.replay
        self._clock = collecting.replay.exchange.clock
        self._rng = collecting.rng

    async def go(self) -> None:
        await self._collecting.begin()
        await self._look()
        await self._collect()
        await self._inject_holes()
        await calm_down(self._replay, self._collecting.symbols)
        await self._stay_quiet()
        await calm_down(self._replay, self._collecting.symbols)
        async with self._looking():
            symbols = self._collecting.symbols
            self._facts.candles = await assert_equal_to_exchange(self._replay, symbols)
        self._facts.broken = self._collecting.facts

    async def _collect(self) -> None:
        begun, now = moment_of(min(each.listed_ns for each in self._histories)), self._clock.now
        match self._plan.style:
            case "stretches":
                cuts = sorted(begun + (now - begun) * self._rng.random() for _ in range(6))
                for since, until in self._rng.sample(list(zip(cuts[::2], cuts[1::2], strict=True)), 3):
                    await self._collecting.backfill(since, until, newest_first=self._rng.random() < 0.5)
                await self._fill(await self._holes_of_stretches())
            case "since":
                since = begun + (now - begun) * self._rng.random()
                await self._collecting.backfill(since, newest_first=self._rng.random() < 0.5)
        await self._collecting.backfill(newest_first=self._plan.style == "newest first")
        await self._look()

    async def _holes_of_stretches(self) -> list[Hole]:
        async with self._looking() as store:
            now = self._clock.now
            left = [
                hole
                for symbol in self._collecting.symbols
                for hole in gaps_as_holes(symbol, await gaps_held(store, symbol, now))
            ]
        return [hole for hole in left if hole.last_id - hole.first_id >= LEAST_HOLE_OF_STRETCHES][:HOLES]

    async def _inject_holes(self) -> None:
        async with self._looking() as store:
            times = {
                symbol: {each.trade_id: as_rest_ns(each.ns) for each in self._replay.exchange.trades(symbol)}
                for symbol in self._collecting.symbols
            }
            holes = await take_out(store, times, HOLES - self._facts.holes, self._rng)
            await store.refresh(self._clock.now)
            await assert_nothing_lies(store)
        self._clock.advance(SETTLED)
        await self._fill(holes)
        await self._look()

    async def _fill(self, holes: list[Hole]) -> None:
        """Find each hole in the ledger, and fill gaps until none of it is left."""
        self._facts.holes += len(holes)
        self._facts.found += len(holes) - len(await self._not_listed(holes))
        for _ in range(TRIES):
            await self._collecting.fill_gaps()
            left = await self._open(holes)
            if not left:
                break
        self._facts.filled += len(holes) - len(left)

    async def _not_listed(self, holes: list[Hole]) -> list[Hole]:
        async with self._looking() as store:
            gaps = {
                symbol: await gaps_held(store, symbol, self._clock.now) for symbol in self._collecting.symbols
            }
        return [hole for hole in holes if not hole.is_in(gaps[hole.symbol])]

    async def _open(self, holes: list[Hole]) -> list[Hole]:
        async with self._looking() as store:
            gaps = {
                symbol: await inner_gaps(store, symbol, self._clock.now)
                for symbol in self._collecting.symbols
            }
        return [hole for hole in holes if hole.touches(gaps[hole.symbol])]

    async def _stay_quiet(self) -> None:
        """Look after the pairs as the schedule does: of the thin pair no look may find anything but its tail."""
        for _ in range(QUIET_LOOKS):
            self._clock.advance(timedelta(minutes=self._rng.choice((3, 30, 200, 600))))
            async with self._looking() as store:
                self._facts.false_gaps += len(await inner_gaps(store, THIN.symbol, self._clock.now))
                runs = await store.fetch("SELECT count(*) FROM sync_runs")
                calls = self._replay.exchange.calls["Trades"]
                filler = GapFiller(**self._replay.deed())
                (report,) = await filler.fill_all_gaps([THIN.symbol])
                assert (report.state, report.gaps) == ("done", 1), report
                assert report.trades.read <= 1_000
                # A record that is refused is kept with a run; nothing else needs one.
                if not report.trades.rejected:
                    assert await store.fetch("SELECT count(*) FROM sync_runs") == runs, (
                        "a quiet tail began a run"
                    )
                assert self._replay.exchange.calls["Trades"] == calls + 1
                self._facts.false_gaps += len(await inner_gaps(store, THIN.symbol, self._clock.now))

    async def _look(self) -> None:
        async with self._looking() as store:
            await assert_nothing_lies(store)

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[Store]:
        async with open_store(self._collecting.ground) as store:
            self._replay.store = store
            yield store

    @property
    def _histories(self) -> list[History]:
        return list(self._replay.exchange.histories.values())
