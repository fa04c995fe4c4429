"""What a seed draws for the live path: the market, the feed's settings, the exchange's faults, and what breaks when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from krakendata.replay.market import ACTIVITY_BY_HOUR, MARKET_PAIRS, MarketPair
from tests.campaign.live_market import ClosingHistory

# The process: asked to end, also while the database is away; killed anywhere, and in the middle of a flush.
# What it stands on: Redis killed, and emptied; the database restarted, and away for a while.
# The socket: dropped, and silent. The market: ten buffers of trades at once. And a second feed of the same pairs, and
# an exchange whose clock is set.
EVENTS = (
    "term", "term without database", "kill", "kill in flush",
    "redis restart", "redis flush", "database restart", "database away",
    "drop", "silence", "burst", "second feed", "step forward", "step back",
)  # fmt: skip

# A flush can be held up at any table that it writes.
TABLES = ("trades", "candles", "trade_runs", "data_sync_status", "sync_runs")

# So many trades were there before the feed begins, in seconds of the market.
PAST_SECONDS = 90

# A socket that comes back is told the last 50 trades: a hole begins beyond them.
MISSED_SECONDS = 6.0


class Event(NamedTuple):
    """What breaks, after so many seconds of trading, for how many seconds, and how: `crashes` is for the database."""

    kind: str
    after: float
    seconds: float
    crashes: bool
    table: str


@dataclass(frozen=True)
class LivePlan:
    """One run, drawn. `rate` is the market's trades a second, of which each pair has its share."""

    seed: int
    symbols: tuple[str, ...]
    shares: tuple[float, ...]
    rate: float
    speed: float
    absent_every: int
    buffer: int
    rejects_kept: int
    faults: dict[str, Any]
    is_backfilled: bool
    events: tuple[Event, ...]

    def histories(self, now: datetime) -> list[ClosingHistory]:
        """The pairs as they trade at this hour."""
        start = now - timedelta(seconds=PAST_SECONDS)
        return [
            ClosingHistory(
                pair, start, self.seed, absent_every=self.absent_every, activity=_activity(pair, self.rate * share, now)
            )
            for pair, share in zip(map(MARKET_PAIRS.__getitem__, self.symbols), self.shares, strict=True)
        ]  # fmt: skip


def draw_live_plan(seed: int, away_seconds: float | None = None) -> LivePlan:
    """Equal seeds, equal plans; `away_seconds` is how long a database is away, a few seconds unless said otherwise."""
    rng = random.Random(f"{seed}/live")
    count = rng.randint(2, 3)
    weights = [rng.uniform(0.2, 1.0) for _ in range(count)]
    return LivePlan(
        seed=seed,
        symbols=tuple(rng.sample(("BTC/USD", "ETH/USD", "DOGE/USD"), count)),
        shares=tuple(weight / sum(weights) for weight in weights),
        rate=rng.uniform(30, 100),
        speed=rng.choice((1.0, 1.0, 2.0)),
        absent_every=rng.choice((0, 0, 500, 2_000)),
        buffer=rng.choice((50, 100, 250)),
        rejects_kept=rng.choice((2, 1_000)),
        faults=_draw_faults(seed, rng),
        is_backfilled=rng.random() < 0.8,
        events=tuple(_draw_events(rng, away_seconds)),
    )


def _draw_faults(seed: int, rng: random.Random) -> dict[str, Any]:
    return {
        "seed": seed,
        "since": ("inclusive", "exclusive")[seed % 2],
        "socket_duplicate": rng.choice((0.0, 0.05, 0.3)),
        # Each costs the feed's repair some calls, at one a second: one in ten seconds, as rare as they are dear.
        "malformed_every": rng.choice((0, 397, 997)),
        "late_every": rng.choice((0, 0, 997)),
        "late_seconds": float(rng.randint(2, 15)),
        "lag_seconds": rng.choice((0.0, 0.0, 2.0)),
        "html_520": rng.choice((0.0, 0.0, 0.05)),
    }


def _draw_events(rng: random.Random, away_seconds: float | None) -> Sequence[Event]:
    return [
        Event(
            kind=kind,
            after=rng.uniform(0.3, 1.5),
            seconds=away_seconds if away_seconds and kind == "database away" else rng.uniform(0.5, 4.0),
            crashes=rng.random() < 0.5,
            table=rng.choice(TABLES),
        )
        for kind in rng.sample(EVENTS, rng.randint(3, 5))
    ]


def _activity(pair: MarketPair, per_second: float, now: datetime) -> float:
    """The multiple of a pair's own trading at which it has so many trades a second at that hour."""
    return per_second * 60 / (pair.trades_per_minute * ACTIVITY_BY_HOUR[now.hour])
