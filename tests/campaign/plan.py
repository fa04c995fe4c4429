"""What a seed draws: the market, what the exchange does wrong, how it is collected, and what is broken meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from krakendata.replay.generated_market import THIN
from krakendata.replay.histories import GeneratedHistory
from krakendata.replay.market import MARKET_PAIRS

HOLES = 5

# How a history is asked for first: as a whole, or in pieces that leave holes between them.
STYLES = ("forwards", "newest first", "stretches", "since")

# Who collects first: deeds in this process, commands that are killed, a worker that is killed.
COLLECTORS = ("deeds", "commands", "worker")
COLLECTOR_WEIGHTS = (55, 35, 10)


@dataclass(frozen=True)
class Plan:
    """One run, drawn. `faults` are those of Faults; `crashes` says whether a restart of the database is a crash."""

    seed: int
    days: int
    busy_days: float
    activity: float
    absent_every: int
    faults: dict[str, Any]
    style: str
    collector: str
    kills: int
    restarts_database: bool
    crashes: bool
    restarts_redis: bool
    fills_first: bool
    trades_weeks: int
    candles_weeks: int

    @property
    def since(self) -> str:
        """How the exchange takes `since`: "inclusive", "exclusive" or "mixed"."""
        return str(self.faults["since"])

    def histories(self, now: datetime) -> list[GeneratedHistory]:
        """A busy pair, one whose ids begin late, and one with three trades a day."""
        start, busy_since = now - timedelta(days=self.days), now - timedelta(days=self.busy_days)
        busy, other = random.Random(f"{self.seed}/pairs").sample(
            [MARKET_PAIRS[name] for name in ("BTC/USD", "ETH/USD", "DOGE/USD", "BCH/EUR")], 2
        )
        per_day = 1_440 * busy.trades_per_minute, 1_440 * other.trades_per_minute
        return [
            GeneratedHistory(
                busy, busy_since, self.seed, absent_every=self.absent_every,
                activity=self.activity * 4_000 / (per_day[0] * self.busy_days),
            ),
            GeneratedHistory(
                other, start + timedelta(days=self.days / 3), self.seed, absent_every=self.absent_every, first_id=3,
                activity=self.activity * 1_500 / (per_day[1] * self.days),
            ),
            GeneratedHistory(THIN, start, self.seed),
        ]  # fmt: skip

    def lines(self, now: datetime) -> tuple[datetime, datetime]:
        """The retention lines, trades and candles: Mondays."""
        monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
        return monday - timedelta(weeks=self.trades_weeks), monday - timedelta(weeks=self.candles_weeks)


def draw_plan(seed: int) -> Plan:
    """Equal seeds, equal plans. Even seeds meet an inclusive `since`, odd ones an exclusive; one in ten has both."""
    rng = random.Random(seed)
    days = rng.randint(9, 40)
    trades_weeks = rng.randint(1, max(1, days // 7))
    # A pair of some hours is busy enough that its gaps get candles first.
    busy_days = rng.uniform(0.4, 1.2) if rng.random() < 0.4 else float(days)
    return Plan(
        seed=seed,
        days=days,
        busy_days=busy_days,
        activity=rng.uniform(0.3, 1.5),
        absent_every=rng.choice((0, 200, 1_000, 4_000)),
        faults=_draw_faults(seed, rng),
        style=rng.choice(STYLES),
        collector=rng.choices(COLLECTORS, COLLECTOR_WEIGHTS)[0],
        kills=rng.randint(1, 2),
        restarts_database=rng.random() < 0.35,
        crashes=rng.random() < 0.5,
        restarts_redis=rng.random() < 0.35,
        fills_first=rng.random() < 0.25,
        trades_weeks=trades_weeks,
        candles_weeks=trades_weeks + rng.randint(0, 3),
    )


def _draw_faults(seed: int, rng: random.Random) -> dict[str, Any]:
    def share(most: float) -> float:
        return round(rng.uniform(0, most), 3) if rng.random() < 0.6 else 0.0

    return {
        "seed": seed,
        "since": "mixed" if seed % 20 in (10, 11) else ("inclusive", "exclusive")[seed % 2],
        "rate_limit": share(0.06),
        "too_many_requests": share(0.02),
        "throttled": share(0.02),
        "throttled_seconds": 1.0,
        "html_520": share(0.06),
        "unavailable": share(0.06),
        "internal_error": share(0.03),
        "timeout": share(0.004),
        "timeout_seconds": 3.0,
        "truncated": share(0.06),
        "missing_last": share(0.3),
        "short_page": share(0.6),
        "repeated_page": share(0.15),
        "malformed_every": rng.choice((0, 0, 97, 331)),
        "late_every": rng.choice((0, 0, 13, 50)),
        "late_seconds": float(rng.randint(5, 120)),
        "lag_seconds": rng.choice((0.0, 0.0, 3.0, 8.0)),
    }
