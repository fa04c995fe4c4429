"""The questions asked of a pair's series, on top of django-timescaledb's `time_bucket` and its companions.

`time_bucket` works on every edition. `time_bucket_gapfill` and `histogram` are TimescaleDB's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn, Self

from django.db import NotSupportedError
from timescale.db.models.managers import TimescaleManager
from timescale.db.models.querysets import TimescaleQuerySet

from krakendata.types import Symbols


class SeriesQuerySet(TimescaleQuerySet):
    """Rows of one or more pairs in time."""

    def for_symbol(self, name: str) -> Self:
        """Keep one pair's rows; `name` in any spelling (BTC/USD, XBT/USD, XBTUSD, XXBTZUSD), read by rule.

        Raises UnknownSymbol. Asks the database nothing.
        """
        rows: Self = self.filter(symbol=Symbols().resolve(name))
        return rows

    def between(self, start: datetime, end: datetime) -> Self:
        """Keep the rows from `start` up to, but not at, `end`; both aware, else ValueError."""
        for moment in (start, end):
            if moment.tzinfo is None:
                raise ValueError(f"{moment!r} has no time zone; give an aware datetime, in UTC.")
        rows: Self = self.filter(timestamp__gte=start, timestamp__lt=end)
        return rows


class ReadOnlyQuerySet(SeriesQuerySet):
    """A series that is computed: every way of writing to it raises NotSupportedError."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse_writing(self.model.__name__, self.model._meta.db_table)

    update = delete = bulk_create = bulk_update = _refuse


def refuse_writing(model: str, relation: str) -> NoReturn:
    """Say why nothing is written to a computed relation, and what to write instead."""
    raise NotSupportedError(
        f"{model} cannot be written: {relation} is computed from the 1-minute candles. "
        "Import trades or 1-minute candles, and it follows."
    )


class SeriesManager(TimescaleManager):
    """The manager of the tables: `SeriesQuerySet`'s questions, asked of all rows."""

    queryset_class: type[SeriesQuerySet] = SeriesQuerySet

    def get_queryset(self) -> SeriesQuerySet:
        return self.queryset_class(self.model, using=self._db)

    def for_symbol(self, name: str) -> SeriesQuerySet:
        """See `SeriesQuerySet.for_symbol`."""
        return self.get_queryset().for_symbol(name)

    def between(self, start: datetime, end: datetime) -> SeriesQuerySet:
        """See `SeriesQuerySet.between`."""
        return self.get_queryset().between(start, end)


class ReadOnlyManager(SeriesManager):
    """The manager of the computed views."""

    queryset_class = ReadOnlyQuerySet
