"""The questions asked of a pair's series, on top of django-timescaledb's `time_bucket` and its companions.

`time_bucket` works on every edition. `time_bucket_gapfill` and `histogram` are TimescaleDB's own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Self

from django.db import NotSupportedError
from django.db.models import Max, Q
from timescale.db.models.managers import TimescaleManager
from timescale.db.models.querysets import TimescaleQuerySet

from krakendata.models.frames import frame_of
from krakendata.models.ledger import SyncStatus
from krakendata.types import Symbols

if TYPE_CHECKING:
    import polars as pl

# The newest rows are looked for this far back, and each further look this many times as far: at most five from an
# hour to the beginning.
FIRST_LOOK, FURTHER_LOOK = timedelta(hours=1), 16
# The ledger tells the moment of the highest id, and a lower one may be a little later.
NEWEST_WITHIN = timedelta(minutes=1)
# No row is older (the exchange opened in 2011).
LONGEST_LOOK = timedelta(days=365 * 30)


class SeriesQuerySet(TimescaleQuerySet):
    """Rows of one or more pairs in time.

    Rows are ordered as the key is, and the methods filter along it: with a pair and a start, a question reads what it
    returns and little else, whatever the table's size.
    """

    # What all rows of the table have in common, so that a filter by pair goes on along the key.
    constants: dict[str, int] = {}
    # The pair that was chosen, if one was.
    _symbol: str | None = None

    def for_symbol(self, name: str) -> Self:
        """Keep one pair's rows; `name` in any spelling (BTC/USD, XBT/USD, XBTUSD, XXBTZUSD), read by rule.

        Raises UnknownSymbol. Asks the database nothing.
        """
        symbol = Symbols().resolve(name)
        rows: Self = self.filter(symbol=symbol, **self.constants)
        rows._symbol = symbol
        return rows

    def between(self, start: datetime, end: datetime) -> Self:
        """Keep the rows from `start` up to, but not at, `end`; both aware, else ValueError."""
        for moment in (start, end):
            if moment.tzinfo is None:
                raise ValueError(f"{moment!r} has no time zone; give an aware datetime, in UTC.")
        rows: Self = self.filter(timestamp__gte=start, timestamp__lt=end)
        return rows

    def latest_n(self, n: int) -> Self:
        """Keep the newest `n` of these rows, oldest first; of one pair, chosen with `for_symbol` before.

        Asks the database at once where they begin, by way of the ledger: a few short looks back from the pair's
        newest row. Raises ValueError without a pair, and for a negative `n`.
        """
        if self._symbol is None:
            raise ValueError("latest_n wants one pair: choose it with for_symbol first.")
        if n < 0:
            raise ValueError(f"n is {n}; it cannot be negative.")
        newest = self._newest() if n else None
        if newest is None:
            none: Self = self.none()
            return none
        # What tells rows of one moment apart: the ids of trades.
        ties = [name for name in self.model._meta.ordering[-1:] if name != "timestamp"]
        backwards = ["-timestamp", *(f"-{name}" for name in ties)]
        reach = FIRST_LOOK
        while True:
            within: Self = self.filter(timestamp__gt=newest - reach, timestamp__lte=newest)
            nth = list(within.order_by(*backwards).values_list("timestamp", *ties)[n - 1 : n])
            if nth or reach >= LONGEST_LOOK:
                break
            reach = min(FURTHER_LOOK * reach, LONGEST_LOOK)
        if not nth:
            return within
        moment, *places = nth[0]
        rows: Self = within.filter(timestamp__gte=moment)
        for name, place in zip(ties, places, strict=True):
            rows = rows.filter(Q(timestamp__gt=moment) | Q(**{f"{name}__gte": place}))
        return rows

    def to_polars(self, *, exact: bool = False) -> pl.DataFrame:
        """These rows as a frame, in their order, without a Python object for each cell.

        Numbers are Float64, or with `exact` pl.Decimal with 18 digits behind the point, to which a vwap is rounded;
        moments are Datetime("us", "UTC"). Columns are the table's, those of `values()`, or of `time_bucket()` with its
        annotations. A number too large for 38 digits raises polars' InvalidOperationError: ask for floats.
        """
        return frame_of(self, exact=exact)

    def _newest(self) -> datetime | None:
        """When the newest row is, or later; by the ledger, or where it says nothing, by the rows."""
        statuses = SyncStatus.objects.using(self.db).filter(symbol=self._symbol)
        told: datetime | None = statuses.aggregate(newest=Max("newest_timestamp"))["newest"]
        if told is not None:
            return told + NEWEST_WITHIN
        found: datetime | None = self.order_by("-timestamp").values_list("timestamp", flat=True).first()
        return found

    def __or__(self, other: Any) -> Self:
        """The rows of both, of no one pair any more."""
        joined: Self = super().__or__(other)
        joined._symbol = self._symbol if self._symbol == getattr(other, "_symbol", None) else None
        return joined

    def _clone(self) -> Self:
        cloned: Self = super()._clone()
        cloned._symbol = self._symbol
        return cloned


class MinuteQuerySet(SeriesQuerySet):
    """The rows of the table `candles`, which are of one minute all."""

    constants = {"interval_minutes": 1}


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


class MinuteManager(SeriesManager):
    """The manager of the table `candles`."""

    queryset_class = MinuteQuerySet


class ReadOnlyManager(SeriesManager):
    """The manager of the computed views."""

    queryset_class = ReadOnlyQuerySet
