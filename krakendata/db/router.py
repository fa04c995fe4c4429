"""Reads of the series from a replica, where the project has one: a database called "replica" in DATABASES.

    DATABASE_ROUTERS = ["krakendata.db.router.ReplicaRouter"]

The series are what grows and what is read most: trades, candles, rollups. Everything else, and every write, stays
where it is.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import Model

from krakendata.models.series import ROLLUPS, Candle, Trade
from krakendata.storage.conninfo import connection_arguments

__all__ = ["REPLICA", "ReplicaRouter", "reading_arguments"]

REPLICA, PRIMARY = "replica", "default"
SERIES = frozenset({Trade, Candle, *ROLLUPS.values()})


class ReplicaRouter:
    """Sends readers of the series to the replica; nobody writes or migrates there."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        """The replica for a series; not within a transaction, whose own writes it would not show."""
        if model not in SERIES or not has_replica() or connections[PRIMARY].in_atomic_block:
            return None
        return REPLICA

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:
        """Never the replica, wherever a row was read."""
        return PRIMARY if model in SERIES else None

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:
        """Rows of the two are of one database, which has two addresses."""
        states = {one._state.db, other._state.db}
        return True if states <= {PRIMARY, REPLICA, None} else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Never on the replica: it follows by itself."""
        return False if db == REPLICA else None


def has_replica() -> bool:
    """Whether the project has a replica."""
    return REPLICA in connections.databases


def reading_arguments() -> dict[str, Any]:
    """psycopg's arguments for those who only read: of the replica where there is one."""
    alias = REPLICA if has_replica() else PRIMARY
    return connection_arguments(connections[alias].settings_dict)
