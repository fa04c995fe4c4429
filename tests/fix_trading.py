"""A replay exchange on a real socket, a client of it, and the truth that a store is held against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from krakendata.candles import fold_candles, fold_trades
from krakendata.gaps import Stretch, coverage_of, gaps_of
from krakendata.ingest import asking
from krakendata.ingest.pair_list import take_pairs
from krakendata.kraken.pacers import LocalPacer
from krakendata.kraken.pacing import Limits
from krakendata.kraken.rest import KrakenRest
from krakendata.kraken.wire import PairList
from krakendata.replay.clock import ReplayClock
from krakendata.replay.exchange import ReplayExchange
from krakendata.replay.faults import Faults
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS
from krakendata.replay.server import ReplayServer
from krakendata.storage.queries import read_ledger
from krakendata.types import EPOCH, INTERVALS, Interval, Pair, Trade
from tests.fix_storage import NOW, Store

# Before the fence of the store, so that a history is folded, half kept, and kept.
LISTED = datetime.fromisoformat("2025-05-28T00:00Z")

# REST may lag so long behind the moment it is asked: what is proven ends there (docs/explanation/backfill.md).
PROVEN_BUT_FOR = timedelta(seconds=11)

# The socket cuts a time to microseconds, REST's doubles may lie on the other side of one (kraken-facts 2.3).
DOUBLED = timedelta(microseconds=1)


@dataclass
class Replay:
    """The exchange as a test has set it up; `rest` asks it without pacing."""

    exchange: ReplayExchange
    server: ReplayServer
    rest: KrakenRest
    store: Store = field(repr=False)

    @property
    def now(self) -> datetime:
        return self.exchange.clock.now

    def deed(self, **options: Any) -> dict[str, Any]:
        """What a deed is made with: the database, the client and the exchange's clock."""
        return {"database": self.store.database, "rest": self.rest, "clock": lambda: self.now, **options}

    def sound(self, symbol: str) -> list[Trade]:
        """The trades as REST tells them: without the malformed, times as doubles."""
        trades = self.exchange.trades(symbol, is_sound=True)
        return [replace(trade, ns=as_rest_ns(trade.ns)) for trade in trades]

    async def assert_held(
        self, symbol: str, intervals: Sequence[Interval] = tuple(INTERVALS.values())
    ) -> None:
        """Hold the store against the exchange: trades, ledger, and every rollup."""
        trades = self.sound(symbol)
        await self._assert_trades(symbol, trades)
        await self._assert_ledger(symbol)
        folded = fold_trades(trades)
        for interval in sorted(intervals, key=lambda each: each.minutes):
            kept_from = (await self._line("candles")) if interval.minutes == 1 else None
            # Each length divides the next one: folding step by step is the same, and cheaper.
            folded = folded if interval.minutes == 1 else fold_candles(folded, interval)
            found = await self.store.candles(interval.name, symbol)
            wanted = [each for each in folded if kept_from is None or each.timestamp >= kept_from]
            assert found == wanted, f"{symbol} {interval.name}: {first_difference(found, wanted)}"

    async def _assert_trades(self, symbol: str, trades: Sequence[Trade]) -> None:
        line = await self._line("trades")
        rows = await self.store.fetch(
            "SELECT trade_id, price, volume, side, order_type, timestamp FROM trades WHERE symbol = %s "
            "ORDER BY trade_id",
            symbol,
        )
        wanted = [
            (each.trade_id, each.price, each.volume, each.side, each.order_type, each.timestamp)
            for each in trades
            if each.timestamp >= line
        ]
        rows = [
            (*row[:-1], told[-1]) if abs(row[-1] - told[-1]) <= DOUBLED else row
            for row, told in zip(rows, wanted, strict=False)
        ] + rows[len(wanted) :]
        assert rows == wanted, first_difference(rows, wanted)

    async def _assert_ledger(self, symbol: str) -> None:
        asked = Stretch(EPOCH, self.now - PROVEN_BUT_FOR)
        ledger = await read_ledger(self.store.connection, symbol, Stretch(EPOCH, self.now))
        assert gaps_of(ledger, None, self.now - PROVEN_BUT_FOR) == []
        assert coverage_of(asked, ledger).is_proven
        answers = await self.store.fetch(
            "SELECT answer, first_id, last_id FROM answered_ids WHERE symbol = %s ORDER BY first_id", symbol
        )
        found = {
            kind: {number for each, low, high in answers if each == kind for number in range(low, high + 1)}
            for kind in ("absent", "rejected")
        }
        first_ids = range(1, min(each.trade_id for each in self.exchange.trades(symbol)))
        absent = {*self.exchange.absent_ids(symbol), *first_ids}
        rejected = {*self.exchange.malformed_ids(symbol)}
        assert found["absent"] | found["rejected"] == absent | rejected
        unclear = self._unclear(absent, rejected)
        assert found["absent"] - unclear == absent - unclear
        assert found["rejected"] - unclear == rejected - unclear

    def _unclear(self, absent: set[int], rejected: set[int]) -> set[int]:
        """Ids of which nobody can tell which is absent and which was shown without its id: they lie side by side."""
        nameless = {
            number for number in rejected if self.exchange.faults.malformation(number) in ("zero_id", "no_id")
        }
        unclear: set[int] = set()
        stretch: set[int] = set()
        for number in sorted(absent | rejected):
            if number - 1 not in stretch:
                stretch = set()
            stretch.add(number)
            if stretch & absent and stretch & nameless:
                unclear |= stretch
        return unclear

    async def _line(self, kind: str) -> datetime:
        (line,) = await self.store.fetch("SELECT line FROM retention_lines WHERE kind = %s", kind)
        found: datetime = line
        return found


def as_rest_ns(ns: int) -> int:
    """The nanoseconds that a double of seconds tells (kraken-facts 1.3)."""
    return int(Decimal(repr(ns / 1e9)) * 1_000_000_000)


def first_difference(found: Sequence[Any], wanted: Sequence[Any]) -> str:
    for place, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one != other:
            return f"at {place}: found {one}, wanted {other}"
    return f"{len(found)} found, {len(wanted)} wanted; the last: {found[-1:]}, {wanted[-1:]}"


def history(symbol: str, seed: int = 1, *, start: datetime = LISTED, **options: Any) -> GeneratedHistory:
    return GeneratedHistory(MARKET_PAIRS[symbol], start, seed, **options)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once instead of after a second or more."""
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(asking, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(asking, "JITTER", 0.0)


@pytest.fixture
async def replaying(store: Store, impatient: None) -> AsyncIterator[Callable[..., Any]]:
    """Give what starts an exchange of some histories: at the store's NOW, its clock standing still."""
    async with AsyncExitStack() as stack:

        async def start(*histories: GeneratedHistory, faults: Faults | None = None) -> Replay:
            exchange = ReplayExchange(histories, ReplayClock(NOW, speed=0), faults=faults)
            server = await stack.enter_async_context(ReplayServer(exchange))
            rest = KrakenRest(server.rest_url, pacer=no_pacer(), timeout=5, clock=lambda: exchange.clock.now)
            await stack.enter_async_context(rest)
            await list_pairs(store, *exchange.listed())
            return Replay(exchange, server, rest, store)

        yield start


async def list_pairs(store: Store, *pairs: Pair) -> None:
    """Know these pairs as the exchange's list."""
    await take_pairs(store.database, PairList(list(pairs), {}), accept_short=True)


def no_pacer() -> LocalPacer:
    """Keep nobody waiting: penalties are real seconds, and who waits for them here moves their clock on."""
    passed = 0.0

    async def skip(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    return LocalPacer(Limits(0, 0), clock=lambda: passed, sleep=skip)
