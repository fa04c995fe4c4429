"""What is collected, what is still stored, and where retention has drawn its two lines.

Read here, written by the functions of storage/sql in the transaction that changes the rows.
"""

from __future__ import annotations

from django.db import models


class Kind(models.TextChoices):
    """The two kinds of data with a ledger and a retention line of their own."""

    TRADES = "trades"
    CANDLES = "candles"


class TradeRun(models.Model):
    """Contiguous trade ids that are collected; ids without `stored` were only folded into candles."""

    pk = models.CompositePrimaryKey("symbol", "first_id")
    symbol = models.TextField()
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    first_ns = models.BigIntegerField()
    last_ns = models.BigIntegerField()
    trades = models.BigIntegerField()
    source = models.TextField()
    stored = models.BooleanField()

    class Meta:
        managed = False
        db_table = "trade_runs"
        ordering = ["symbol", "first_id"]

    def __str__(self) -> str:
        return f"{self.symbol} trades {self.first_id} to {self.last_id}"


class CandleRun(models.Model):
    """A stretch of time that candle archives covered at one interval: collected, but not proven."""

    pk = models.CompositePrimaryKey("symbol", "interval_minutes", "first_start")
    symbol = models.TextField()
    interval_minutes = models.IntegerField()
    first_start = models.DateTimeField()
    last_start = models.DateTimeField()
    candles = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "candle_runs"
        ordering = ["symbol", "interval_minutes", "first_start"]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval_minutes}-minute candles from {self.first_start:%Y-%m-%d}"


class TradeCheck(models.Model):
    """At `checked_ns` the exchange's newest trade was `last_id`: since that trade nothing had happened."""

    symbol = models.TextField(primary_key=True)
    last_id = models.BigIntegerField()
    checked_ns = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "trade_checks"
        ordering = ["symbol"]

    def __str__(self) -> str:
        return f"{self.symbol} checked at {self.checked_ns}"


class AnsweredIds(models.Model):
    """Ids that are no gap: the exchange confirmed twice that it has none, or we rejected the record."""

    class Answer(models.TextChoices):
        ABSENT = "absent"
        REJECTED = "rejected"

    pk = models.CompositePrimaryKey("symbol", "first_id")
    symbol = models.TextField()
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    answer = models.TextField(choices=Answer.choices)

    class Meta:
        managed = False
        db_table = "answered_ids"
        ordering = ["symbol", "first_id"]
        verbose_name_plural = "answered ids"

    def __str__(self) -> str:
        return f"{self.symbol} ids {self.first_id} to {self.last_id}: {self.answer}"


class SyncStatus(models.Model):
    """The ledger's summary of one pair and kind. "Collected" and "stored" are two different facts."""

    pk = models.CompositePrimaryKey("symbol", "kind")
    symbol = models.TextField()
    kind = models.TextField(choices=Kind.choices)
    oldest_timestamp = models.DateTimeField(null=True)
    newest_timestamp = models.DateTimeField(null=True)
    collected = models.BigIntegerField(default=0)
    stored = models.BigIntegerField(default=0)
    # None: rows of archives without ids are held, which cannot be counted through.
    holes = models.BigIntegerField(null=True)
    cursor_ns = models.BigIntegerField(null=True)
    last_success = models.DateTimeField(null=True)
    last_error = models.TextField(default="", blank=True)
    last_error_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "data_sync_status"
        ordering = ["symbol", "kind"]
        verbose_name_plural = "sync status"

    def __str__(self) -> str:
        return f"{self.symbol} {self.kind}"

    @property
    def is_failing(self) -> bool:
        """Whether the last thing that happened was an error."""
        if self.last_error_at is None:
            return False
        return self.last_success is None or self.last_error_at > self.last_success


class RetentionLine(models.Model):
    """Where retention stands: rows before `line` are no longer stored. It moves forward only."""

    kind = models.TextField(primary_key=True, choices=Kind.choices)
    line = models.DateTimeField()
    first_line = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "retention_lines"
        ordering = ["kind"]

    def __str__(self) -> str:
        return f"{self.kind} from {self.line:%Y-%m-%d}"
