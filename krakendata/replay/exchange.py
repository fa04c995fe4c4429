"""The replay exchange itself: which pairs, what they traded up to now, whom it refuses, what it does wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from krakendata.candles import fold_candles, fold_trades
from krakendata.kraken.pacing import Limits
from krakendata.replay.call_counters import CallCounters
from krakendata.replay.clock import ReplayClock
from krakendata.replay.faults import Faults
from krakendata.replay.histories import Bar, GeneratedHistory, History, Row
from krakendata.types import NS_PER_SECOND, HistoricalCandle, Interval, Pair, Trade, interval_of

__all__ = ["NO_LIMITS", "ReplayExchange"]

NO_LIMITS = Limits(0, 0)


class ReplayExchange:
    """An exchange that has traded `histories` and knows of them what has happened by its `clock`.

    Without `clock` it is now, in real time; without `limits` anybody may call as often as he likes. `calls` counts
    the calls of REST by endpoint, and those refused for their rate as "refused".
    """

    def __init__(
        self,
        histories: Iterable[History],
        clock: ReplayClock | None = None,
        *,
        faults: Faults | None = None,
        limits: Limits = NO_LIMITS,
    ) -> None:
        self.histories = {history.pair.symbol: history for history in histories}
        self.clock = clock or ReplayClock()
        self.faults = faults or Faults()
        self.counters = CallCounters(limits)
        self.calls: Counter[str] = Counter()
        self.closing = asyncio.Event()
        self._names: dict[str, History] = {}
        for history in self.histories.values():
            pair = history.pair
            self._names |= dict.fromkeys((pair.key, pair.altname, pair.symbol), history)

    # --- what is listed ------------------------------------------------------------------------------------

    def listed(self) -> list[Pair]:
        """The pairs that are listed now."""
        return [history.pair for history in self.histories.values() if self._is_listed(history)]

    def find(self, name: str) -> History | None:
        """The history of a pair listed now, by its key, its altname or its symbol, in that very spelling."""
        history = self._names.get(name)
        return history if history is not None and self._is_listed(history) else None

    def _is_listed(self, history: History) -> bool:
        until = history.delisted_ns
        return history.listed_ns <= self.clock.ns and (until is None or self.clock.ns < until)

    # --- what has happened by now --------------------------------------------------------------------------

    async def oldest(self, history: History, from_ns: int, count: int) -> Sequence[Row]:
        """The first `count` trades from `from_ns` on that REST shows now."""
        before_ns = self.rest_ns
        asked = count
        rows = await history.oldest(from_ns, before_ns, asked)
        if not self.faults.late_every:
            return rows
        shown = [row for row in rows if not self._is_hidden(row, before_ns)]
        # So that a page is full although some of its trades are not shown yet.
        while len(shown) < count and len(rows) == asked:
            asked *= 2
            rows = await history.oldest(from_ns, before_ns, asked)
            shown = [row for row in rows if not self._is_hidden(row, before_ns)]
        return shown[:count]

    async def newest(
        self, history: History, count: int, before_ns: int | None = None, now: int | None = None
    ) -> Sequence[Row]:
        """The last `count` trades before a time that are shown `now`, None: as REST sees it, oldest first."""
        now = self.rest_ns if now is None else now
        before_ns = now if before_ns is None else before_ns
        asked = count
        rows = await history.newest(history.listed_ns, before_ns, asked)
        shown = [row for row in rows if not self._is_hidden(row, now)]
        while len(shown) < count and len(rows) == asked:
            asked *= 2
            rows = await history.newest(history.listed_ns, before_ns, asked)
            shown = [row for row in rows if not self._is_hidden(row, now)]
        return shown[-count:]

    async def bars(
        self, history: History, minutes: int, from_ns: int, before_ns: int | None = None
    ) -> Sequence[Bar]:
        """The candles with trades from `from_ns` on, the one still forming included."""
        now = self.rest_ns if before_ns is None else before_ns
        return await history.bars(minutes, from_ns, now, await self.hidden(history, now))

    async def between(self, history: History, from_ns: int, before_ns: int) -> Sequence[Row]:
        """Every trade within, late ones included; for short times."""
        count = 1_000
        rows = await history.oldest(from_ns, before_ns, count)
        while len(rows) == count:
            count *= 2
            rows = await history.oldest(from_ns, before_ns, count)
        return rows

    async def hidden(self, history: History, now: int) -> list[Row]:
        """The trades that have happened by `now` and are not shown yet."""
        if not self.faults.late_every:
            return []
        rows = await self.between(history, now - self._late_ns, now)
        return [row for row in rows if self._is_hidden(row, now)]

    def shown_ns(self, row: Row) -> int:
        """When a late trade is shown at last."""
        return row.ns + self._late_ns + 1

    @property
    def rest_ns(self) -> int:
        """Up to when REST knows what happened."""
        return self.clock.ns - int(self.faults.lag_seconds * NS_PER_SECOND)

    @property
    def system(self) -> str:
        """The exchange's word for its state."""
        return "maintenance" if self.faults.maintenance else "online"

    @property
    def _late_ns(self) -> int:
        return int(self.faults.late_seconds * NS_PER_SECOND)

    def _is_hidden(self, row: Row, now: int) -> bool:
        return self.faults.is_late(row.trade_id) and self.shown_ns(row) > now

    # --- the truth, for tests ------------------------------------------------------------------------------

    def trades(
        self, pair: str, start_ns: int = 0, end_ns: int | None = None, *, is_sound: bool = False
    ) -> list[Trade]:
        """Every trade of a generated pair (any of its names) in the half-open time, up to now, late ones included.

        `is_sound`: without those that the exchange answers malformed.
        """
        history = self._generated(pair)
        trades = history.trades(start_ns, self.clock.ns if end_ns is None else end_ns)
        if not is_sound:
            return trades
        return [trade for trade in trades if self.faults.malformation(trade.trade_id) is None]

    def absent_ids(self, pair: str) -> list[int]:
        """The ids up to now that no trade of a generated pair ever had, from its first id on."""
        return self._generated(pair).absent_ids(self.clock.ns)

    def malformed_ids(self, pair: str) -> list[int]:
        """The ids up to now of trades that are answered malformed."""
        ids = self._generated(pair).ids(0, self.clock.ns)
        return [number for number in ids if self.faults.malformation(number) is not None]

    def candles(
        self, pair: str, interval: Interval | str | int = "1m", *, is_sound: bool = False
    ) -> list[HistoricalCandle]:
        """The candles of `trades` up to now, those with trades only; weeks start on Monday, as ours do."""
        minutes = fold_trades(self.trades(pair, is_sound=is_sound))
        asked = interval_of(interval)
        return minutes if asked.minutes == 1 else fold_candles(minutes, asked)

    def _generated(self, pair: str) -> GeneratedHistory:
        history = self._names[pair]
        if not isinstance(history, GeneratedHistory):
            raise TypeError(
                f"{pair} is replayed from what is stored; only made-up pairs have a truth to tell."
            )
        return history
