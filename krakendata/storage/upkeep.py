"""What keeps a database in shape: policies on Community, the same deeds by schedule on the other editions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection, errors

from krakendata.storage.editions import Edition
from krakendata.storage.rollups import refresh_rollups
from krakendata.storage.sql import query
from krakendata.types import INTERVALS

# Dropping chunks can meet a reader that locks them in another order; the database then asks to try again.
RETENTION_TRIES = 5

# Live rows must find their partition: plain PostgreSQL gets those of the next weeks ahead.
PARTITIONS_AHEAD = timedelta(days=35)


@dataclass(frozen=True)
class Refresh:
    """The window and rhythm of one aggregate's refresh policy."""

    start: timedelta
    end: timedelta
    every: timedelta


@dataclass(frozen=True)
class UpkeepSettings:
    """What the operator decides (REC-009); days of 0 mean for ever."""

    trades_days: int = 90
    candles_days: int = 365
    compress_trades_after: timedelta = timedelta(days=7)
    compress_candles_after: timedelta = timedelta(days=30)
    refresh: Mapping[str, Refresh] | None = None
    scheduled: bool = True

    def as_json(self) -> str:
        """The settings as the SQL functions of upkeep/ read them, intervals in seconds."""
        refresh = {
            interval.relation: _refresh_json(
                (self.refresh or {}).get(interval.name) or default_refresh(interval.length)
            )
            for interval in INTERVALS.values()
            if interval.parent is not None
        }
        return json.dumps(
            {
                "trades_days": self.trades_days,
                "candles_days": self.candles_days,
                "compress_after": {
                    "trades": _seconds(self.compress_trades_after),
                    "candles": _seconds(self.compress_candles_after),
                },
                "refresh": refresh,
                "scheduled": self.scheduled,
            }
        )


def default_refresh(width: timedelta) -> Refresh:
    """The customer's 5-minute policy (1 hour, 5 minutes, every 5 minutes), in proportion; at least once an hour."""
    return Refresh(start=12 * width, end=width, every=min(width, timedelta(hours=1)))


async def run_upkeep(
    connection: AsyncConnection[Any], edition: Edition, settings: UpkeepSettings, now: datetime
) -> None:
    """Everything that is due: partitions ahead, rollups, retention. `connection` is in autocommit; `now` is aware UTC.

    On Community the policies do the same by themselves; doing it twice changes nothing.
    """
    for relation in ("trades", "candles"):
        await connection.execute(
            query("make_partitions"), {"relation": relation, "start": now, "finish": now + PARTITIONS_AHEAD}
        )
    await apply_retention(connection, settings, now)
    await refresh_rollups(connection, edition, now)


async def apply_retention(connection: AsyncConnection[Any], settings: UpkeepSettings, now: datetime) -> None:
    """Move both lines to where the settings put them and drop what lies behind, in one transaction."""
    lines = {"now": now, "trades_days": settings.trades_days, "candles_days": settings.candles_days}
    for attempt in range(RETENTION_TRIES):
        try:
            await connection.execute(query("apply_retention"), lines)
            return
        except (errors.DeadlockDetected, errors.LockNotAvailable):
            if attempt == RETENTION_TRIES - 1:
                raise


def _refresh_json(refresh: Refresh) -> dict[str, str]:
    return {"start": _seconds(refresh.start), "end": _seconds(refresh.end), "every": _seconds(refresh.every)}


def _seconds(duration: timedelta) -> str:
    return f"{int(duration.total_seconds())} seconds"
