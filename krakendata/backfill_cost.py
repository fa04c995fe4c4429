"""What it costs to collect a pair's past: trades, calls, time and disk, estimated from its newest trades. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, exp

from krakendata.types import INTERVALS

__all__ = ["TRADES_A_CALL", "BackfillCost", "CallBudget", "Keeping", "NewestTrades", "estimate_cost"]

# What REST Trades gives at a time (kraken-facts 1.3).
TRADES_A_CALL = 1_000

# Bytes a row with its indexes, as it is written and in the columnstore: measured, docs/performance.md (Storage).
TRADE_BYTES, TRADE_BYTES_COMPRESSED = 125.0, 18.6
CANDLE_BYTES, CANDLE_BYTES_COMPRESSED = 162.0, 26.9

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewestTrades:
    """What one page of a pair's newest trades tells.

    `last_id` is the number of the newest one, which counts them all (0: never traded); `count` of them happened in
    `span`, which ends when the page was asked for.
    """

    last_id: int
    count: int
    span: timedelta

    @property
    def a_second(self) -> float:
        """Trades a second at the pace of the page; 0 where there is none to be told."""
        return self.count / self.span.total_seconds() if self.span > timedelta(0) else 0.0


@dataclass(frozen=True, slots=True)
class CallBudget:
    """Calls a second that are allowed about one pair and in all (0 is no limit), shared by `pairs` at work."""

    per_pair: float
    per_address: float
    pairs: int = 1

    @property
    def a_second(self) -> float | None:
        """The calls a second that one of the pairs gets; None without a limit."""
        limits = [self.per_pair] * bool(self.per_pair)
        limits += [self.per_address / max(self.pairs, 1)] * bool(self.per_address)
        return min(limits, default=None)

    def time_for(self, calls: Sequence[int]) -> timedelta | None:
        """How long so many calls about each of some pairs take side by side; None without a limit."""
        if self.a_second is None:
            return None
        in_all = sum(calls) * max(self.pairs, 1) / self.per_address if self.per_address else 0.0
        one_pair = max(calls, default=0) / self.per_pair if self.per_pair else 0.0
        return timedelta(seconds=max(in_all, one_pair))


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long trades and 1-minute candles keep their rows (None: for ever), and after how long they are compressed.

    The last two are None where nothing compresses them: on the editions without a columnstore.
    """

    trades: timedelta | None
    candles: timedelta | None
    trades_compressed_after: timedelta | None = None
    candles_compressed_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class BackfillCost:
    """An estimate: `trades` to fetch in `calls`, `duration` (None: no limit of calls says how long).

    `stored_trades` of them keep their rows; the others are folded into candles. `disk_bytes` counts both.
    """

    trades: int
    calls: int
    duration: timedelta | None
    stored_trades: int
    disk_bytes: int


def estimate_cost(
    newest: NewestTrades, since: datetime | None, now: datetime, budget: CallBudget, keeping: Keeping
) -> BackfillCost:
    """The cost of all trades from `since` on (aware UTC; None: from the first one), at the pace of the newest ones."""
    life = _span_of(newest.last_id, newest.a_second)
    span = life if since is None else min(max(now - since, timedelta(0)), life)
    trades = newest.last_id if since is None else min(round(newest.a_second * _seconds(span)), newest.last_id)
    calls = ceil(trades / TRADES_A_CALL)
    stored = (
        trades if keeping.trades is None else min(trades, round(newest.a_second * _seconds(keeping.trades)))
    )
    raw, packed = _parts(_span_of(stored, newest.a_second), keeping.trades_compressed_after)
    disk = newest.a_second * (_seconds(raw) * TRADE_BYTES + _seconds(packed) * TRADE_BYTES_COMPRESSED)
    return BackfillCost(
        trades,
        calls,
        budget.time_for([calls]),
        stored,
        round(disk + _candle_bytes(newest.a_second, span, keeping)),
    )


def _candle_bytes(a_second: float, span: timedelta, keeping: Keeping) -> float:
    """The candles of every interval; only buckets in which something is traded have a row."""
    kept = span if keeping.candles is None else min(span, keeping.candles)
    raw, packed = _parts(kept, keeping.candles_compressed_after)
    minutes = _buckets(a_second, raw, MINUTE) * CANDLE_BYTES
    minutes += _buckets(a_second, packed, MINUTE) * CANDLE_BYTES_COMPRESSED
    longer = [interval.length for interval in INTERVALS.values() if interval.parent is not None]
    return minutes + CANDLE_BYTES * sum(_buckets(a_second, span, length) for length in longer)


def _buckets(a_second: float, span: timedelta, length: timedelta) -> float:
    """How many of the buckets have a trade, if trades come one by one and at random."""
    return span / length * -(exp(-a_second * _seconds(length)) - 1)


def _parts(span: timedelta, compressed_after: timedelta | None) -> tuple[timedelta, timedelta]:
    """What of the newest `span` is as it was written, and what is compressed."""
    raw = span if compressed_after is None else min(span, compressed_after)
    return raw, span - raw


def _span_of(trades: int, a_second: float) -> timedelta:
    """How long so many trades take; a pace that is next to nothing says nothing."""
    try:
        return timedelta(seconds=trades / a_second) if a_second else timedelta(0)
    except OverflowError:
        return timedelta.max


def _seconds(span: timedelta) -> float:
    return span / SECOND
