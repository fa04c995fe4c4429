"""One series and all who follow it: what happens to it becomes one message for each of them, made once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from krakendata.historical_provider import HistoricalDataProvider
from krakendata.live.outbox import Outbox
from krakendata.live.reading import read_candles
from krakendata.live.replies import candles_message, trades_message
from krakendata.live.requests import Topic
from krakendata.live_series import CandleSeries, SeriesRow, TradeSeries
from krakendata.types import NS_PER_MINUTE, HistoricalCandle, Interval, Trade, moment_of, ns_of

# While something is missing the database is read again this often, as long as it may come soon ...
SOON_SECONDS, SOON_TIMES = 1.0, 15
# ... and then, as ever, this often: what was written into the past, or lost on the way unseen, shows then.
SLOW_SECONDS = 60.0
# The forming candle, and the one before it that may be forming still.
FORMING = 2
# How many trades missing here are fetched from the database: beyond an outage of minutes nobody waits for them.
MAX_TRADES_FETCHED = 5_000
# Nor for more candles of one series: three days and a half of minutes.
MAX_CANDLES_FETCHED = 5_000


class Tape:
    """The newest live trades, of all pairs that are followed: what may not be in the database yet.

    Twice what a feed holds back at most (REC-001): what is older is in the database, or dropped by the feed as well.
    Each belongs to a stretch of listening without a pause.
    """

    MAX_TRADES = 20_000

    def __init__(self) -> None:
        self._trades: OrderedDict[tuple[str, int], tuple[Trade, int]] = OrderedDict()
        self._stretches: Counter[str] = Counter()

    def add(self, trades: Iterable[Trade]) -> None:
        """Keep these, the oldest go."""
        for trade in trades:
            self._trades.setdefault((trade.symbol, trade.trade_id), (trade, self._stretches[trade.symbol]))
        while len(self._trades) > self.MAX_TRADES:
            self._trades.popitem(last=False)

    def pause(self, symbols: Iterable[str]) -> None:
        """What comes of these from now on is not known to follow on what came."""
        self._stretches.update(symbols)

    def of(self, symbol: str) -> tuple[list[Trade], bool]:
        """The trades of a symbol, and whether one of them came since the last pause."""
        found = [kept for kept in self._trades.values() if kept[0].symbol == symbol]
        return [trade for trade, _ in found], any(stretch == self._stretches[symbol] for _, stretch in found)


class Shared:
    """What candles and trades have in common: who follows, and when the database is to be read."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.followers: set[Outbox] = set()
        # Clients that wait for the first reading; with them it is not forgotten.
        self.expected = 0
        self._depth = -1
        self._reading = asyncio.Lock()
        self._read_at = 0.0
        self._times_soon = 0

    @property
    def is_waiting(self) -> bool:
        """Something is missing that the database may have."""
        raise NotImplementedError

    @property
    def is_empty(self) -> bool:
        """Nothing of it is known, stored or live."""
        raise NotImplementedError

    @property
    def is_read(self) -> bool:
        """The database has been read once."""
        return self._depth >= 0

    @property
    def is_unused(self) -> bool:
        """Nobody follows it."""
        return not self.followers and not self.expected

    def is_due(self, is_heard: bool) -> bool:
        """Whether the database is to be read again. Without a feed that follows it nothing comes soon."""
        if not self.is_read or self._reading.locked():
            return False
        if not self.is_waiting:
            self._times_soon = 0
        is_soon = self.is_waiting and is_heard and self._times_soon < SOON_TIMES
        return time.monotonic() - self._read_at >= (SOON_SECONDS if is_soon else SLOW_SECONDS)

    async def deepen(
        self, depth: int, provider: HistoricalDataProvider, tape: Tape, late_from: float
    ) -> None:
        """Have the newest `depth` closed candles, or trades; raises the provider's errors."""
        async with self._reading:
            # Of many who come at once the first one reads.
            if depth > self._depth:
                self._read_at = time.monotonic()
                await self._read(provider, tape, late_from, depth)
                self._depth = depth

    async def refresh(self, provider: HistoricalDataProvider, tape: Tape, late_from: float) -> None:
        """Read what may have changed; raises the provider's errors."""
        async with self._reading:
            self._read_at = time.monotonic()
            self._times_soon += 1
            await self._read(provider, tape, late_from, None)

    def take(self, trades: Sequence[Trade]) -> None:
        """Take live trades."""
        raise NotImplementedError

    def doubt(self) -> None:
        """Something may have been lost on the way here: the database is read soon."""
        self._times_soon = 0

    async def _read(
        self, provider: HistoricalDataProvider, tape: Tape, late_from: float, depth: int | None
    ) -> None:
        """Read, and take it over; all from `late_from` (monotonic) on is known to hold what was said before."""
        raise NotImplementedError

    def follow(self, outbox: Outbox, history: int) -> None:
        """Give the client what there is; from here on it is told what changes, with nothing between."""
        outbox.put(self.snapshot(history))
        self.followers.add(outbox)

    def snapshot(self, history: int) -> str:
        """The newest `history` of it as a message."""
        raise NotImplementedError

    def _tell(self, text: str) -> None:
        for outbox in self.followers:
            outbox.put(text)


class SharedCandles(Shared):
    """The candles of one pair and interval."""

    def __init__(self, topic: Topic, interval: Interval) -> None:
        super().__init__(topic)
        self._interval = interval
        self._series = CandleSeries(topic.symbol, interval, 0)

    @property
    def is_waiting(self) -> bool:
        return self._series.is_waiting

    @property
    def is_empty(self) -> bool:
        return self._series.is_empty

    def take(self, trades: Sequence[Trade]) -> None:
        # What comes before the first reading is on the tape.
        if self.is_read:
            self._tell_rows(self._series.take(trades))

    def take_minutes(self, minutes: Sequence[HistoricalCandle]) -> None:
        """Take live minutes, each of which is told again while it changes."""
        if self.is_read:
            self._tell_rows(self._series.take_minutes(minutes))

    def hear(self, heard_ns: int) -> None:
        """The feed heard the exchange."""
        if self.is_read:
            self._tell_rows(self._series.hear(heard_ns))

    def doubt(self) -> None:
        super().doubt()
        self._series.doubt()

    def snapshot(self, history: int) -> str:
        return candles_message("snapshot", self.topic, self._series.newest(history))

    async def _read(
        self, provider: HistoricalDataProvider, tape: Tape, late_from: float, depth: int | None
    ) -> None:
        is_late = time.monotonic() >= late_from
        self._series.depth = max(self._series.depth, depth or 0)
        found = await read_candles(
            provider,
            self.topic.symbol,
            self._interval,
            count=self._count(is_deepening=depth is not None),
            start_ns=self._series.stale_from_ns if depth is None else 0,
            by_minutes=self._series.needs_minutes,
        )
        trades, is_fresh = tape.of(self.topic.symbol)
        now_ns = ns_of(datetime.now(UTC))
        self._tell_rows(self._series.load(found, trades, now_ns, is_fresh=is_fresh, is_late=is_late))

    def _count(self, *, is_deepening: bool) -> int:
        """How many candles to read: after an outage all that may have come since, however few are kept."""
        kept, since_ns = self._series.depth + FORMING, self._series.stale_from_ns
        if is_deepening or not since_ns:
            return kept
        length_ns = self._interval.minutes * NS_PER_MINUTE
        buckets = (ns_of(datetime.now(UTC)) - since_ns) // length_ns + FORMING
        return max(kept, min(buckets, MAX_CANDLES_FETCHED))

    def _tell_rows(self, rows: list[SeriesRow]) -> None:
        if rows and self.followers:
            self._tell(candles_message("update", self.topic, rows))


class SharedTrades(Shared):
    """The trades of one pair."""

    def __init__(self, topic: Topic) -> None:
        super().__init__(topic)
        self._series = TradeSeries(topic.symbol)
        # Trades may have come that we did not hear, and none since that would show it.
        self._is_doubtful = True

    @property
    def is_waiting(self) -> bool:
        return self._is_doubtful or self._series.is_waiting

    @property
    def is_empty(self) -> bool:
        return self._series.is_empty

    def take(self, trades: Sequence[Trade]) -> None:
        if self.is_read:
            self._tell_trades(self._series.take(trades))

    def doubt(self) -> None:
        super().doubt()
        self._is_doubtful = True

    def snapshot(self, history: int) -> str:
        return trades_message("snapshot", self.topic, self._series.newest(history))

    async def _read(
        self, provider: HistoricalDataProvider, tape: Tape, late_from: float, depth: int | None
    ) -> None:
        is_late = time.monotonic() >= late_from
        if depth is not None and self.is_read:
            deeper = await provider.get_latest_trades(self.topic.symbol, depth)
            self._series.deepen(deeper.trades, depth)
            return
        self._series.depth = max(self._series.depth, depth or 0)
        # Trades of one moment may have changed places.
        since = moment_of(self._series.stale_from_ns) - timedelta(seconds=1) if self.is_read else None
        count = MAX_TRADES_FETCHED if depth is None else depth
        found = await provider.get_latest_trades(self.topic.symbol, count, since)
        heard, is_fresh = tape.of(self.topic.symbol)
        self._tell_trades(self._series.load(found.trades, found.ledger, heard))
        self._is_doubtful = self._is_doubtful and not is_late and not is_fresh

    def _tell_trades(self, trades: list[Trade]) -> None:
        if trades and self.followers:
            self._tell(trades_message("update", self.topic, trades))
