"""What happened on the markets: pairs, trades, 1-minute candles and the eight rollups.

Composite keys stand in the tables' order, and so does the default ordering: whoever filters by symbol reads
along the primary key. Prices and volumes are Decimals exactly as they came.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, NoReturn

from django.db import models

from krakendata.models.fields import NumericField
from krakendata.models.queries import MinuteManager, ReadOnlyManager, SeriesManager, refuse_writing


class Pair(models.Model):
    """One market of the exchange in its four spellings; the names of one that is gone may be another's today."""

    symbol = models.TextField(primary_key=True)
    key = models.TextField()
    altname = models.TextField()
    wsname = models.TextField()
    base = models.TextField()
    quote = models.TextField()
    status = models.TextField()
    price_decimals = models.IntegerField()
    volume_decimals = models.IntegerField()
    tracked = models.BooleanField(default=False)
    tracked_since = models.DateTimeField(null=True, blank=True)
    renamed_to = models.TextField(null=True, blank=True)
    candles_only = models.BooleanField(default=False)

    class Meta:
        managed = False
        db_table = "pairs"
        ordering = ["symbol"]

    def __str__(self) -> str:
        return self.symbol


class Trade(models.Model):
    """One trade; `trade_id` is Kraken's per pair, negative for a row of an archive without ids."""

    pk = models.CompositePrimaryKey("symbol", "timestamp", "trade_id")
    symbol = models.TextField()
    timestamp = models.DateTimeField()
    trade_id = models.BigIntegerField()
    price = NumericField()
    volume = NumericField()
    side = models.TextField(null=True)
    order_type = models.TextField(null=True)

    objects: ClassVar[SeriesManager] = SeriesManager()

    class Meta:
        managed = False
        db_table = "trades"
        ordering = ["symbol", "timestamp", "trade_id"]

    def __str__(self) -> str:
        return f"{self.symbol} trade {self.trade_id}"


class CandleFields(models.Model):
    """What candles of every length have in common."""

    symbol = models.TextField()
    timestamp = models.DateTimeField()
    open = NumericField()
    high = NumericField()
    low = NumericField()
    close = NumericField()
    volume = NumericField()
    turnover = NumericField(null=True)
    trade_count = models.BigIntegerField()
    first_id = models.BigIntegerField(null=True)
    last_id = models.BigIntegerField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.symbol} {self._meta.verbose_name} at {self.timestamp:%Y-%m-%d %H:%M}"


class Candle(CandleFields):
    """One minute above the fence. Minutes without trades have no row."""

    pk = models.CompositePrimaryKey("symbol", "interval_minutes", "timestamp")
    interval_minutes = models.IntegerField(default=1)

    objects: ClassVar[MinuteManager] = MinuteManager()

    class Meta:
        managed = False
        db_table = "candles"
        ordering = ["symbol", "interval_minutes", "timestamp"]

    @property
    def vwap(self) -> Decimal | None:
        """The volume-weighted average price; None where the turnover is not known or nothing was traded."""
        if self.turnover is None or not self.volume:
            return None
        average: Decimal = self.turnover / self.volume
        return average


class Rollup(CandleFields):
    """A longer candle, from the view over both sides of the fence; writing raises NotSupportedError.

    `coarse`: an archive gave this row at its own interval, and nothing finer is there to prove it.
    """

    pk = models.CompositePrimaryKey("symbol", "timestamp")
    vwap = NumericField(null=True)
    coarse = models.BooleanField()

    objects: ClassVar[ReadOnlyManager] = ReadOnlyManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse_writing(type(self).__name__, self._meta.db_table)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        refuse_writing(type(self).__name__, self._meta.db_table)


class RollupMeta:
    """The Meta of every rollup but its view's name."""

    managed = False
    ordering = ("symbol", "timestamp")


class Candle5m(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_5m"
        verbose_name = "5-minute candle"


class Candle15m(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_15m"
        verbose_name = "15-minute candle"


class Candle30m(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_30m"
        verbose_name = "30-minute candle"


class Candle1h(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_1h"
        verbose_name = "1-hour candle"


class Candle4h(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_4h"
        verbose_name = "4-hour candle"


class Candle12h(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_12h"
        verbose_name = "12-hour candle"


class Candle1d(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_1d"
        verbose_name = "1-day candle"


class Candle1w(Rollup):
    class Meta(RollupMeta):
        db_table = "all_candles_1w"
        verbose_name = "1-week candle"


# By the interval's name, shortest first.
ROLLUPS: dict[str, type[Rollup]] = {
    "5m": Candle5m,
    "15m": Candle15m,
    "30m": Candle30m,
    "1h": Candle1h,
    "4h": Candle4h,
    "12h": Candle12h,
    "1d": Candle1d,
    "1w": Candle1w,
}
