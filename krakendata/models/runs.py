"""What our own work did: runs with their progress, import files, and the records that were rejected."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models.functions import Now

from krakendata.pace import Pace, pace_of
from krakendata.types import Source


class RowCounts(models.Model):
    """Every row read was stored, folded, duplicate or rejected: the four add up to `read`."""

    read = models.BigIntegerField(default=0)
    stored = models.BigIntegerField(default=0)
    folded = models.BigIntegerField(default=0)
    duplicate = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class SyncRun(RowCounts):
    """One deed from start to finish: an import, a backfill. `done` of `total` is in `unit`."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        STOPPED = "stopped"
        INTERRUPTED = "interrupted"

    id = models.BigAutoField(primary_key=True)
    kind = models.TextField()
    parameters = models.JSONField(default=dict)
    state = models.TextField(choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    unit = models.TextField(default="bytes")
    error = models.TextField(default="", blank=True)

    class Meta:
        managed = False
        db_table = "sync_runs"
        ordering = ["-id"]
        permissions = [
            ("stop_syncrun", "Can stop a run"),
            ("resume_syncrun", "Can resume a run"),
            ("edit_schedule", "Can change when tasks run"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, as far as it has said."""
        return self.state == self.State.RUNNING

    @property
    def duration(self) -> timedelta:
        """From its start to its end, or to the last it said."""
        return (self.finished_at or self.updated_at) - self.started_at

    @property
    def fraction(self) -> float | None:
        """How much is done, 0 to 1; None where the total is not known. Totals are estimates: what is done is whole."""
        if not self.total:
            return None
        return 1.0 if self.state == self.State.DONE else min(self.done / self.total, 1.0)

    @property
    def rows_per_second(self) -> float | None:
        """The rows read a second, over the whole run; None within its first instant."""
        seconds = self.duration.total_seconds()
        return self.read / seconds if seconds > 0 else None

    def pace(self, now: datetime) -> Pace:
        """How fast it is, in its unit, and what is left; see `krakendata.pace`. `now` is aware."""
        return pace_of(self.done, self.total, self.started_at, self.updated_at, now)

    @property
    def time_left(self) -> timedelta | None:
        """What was left when it last spoke; None where nothing can be said of that, or it runs no more."""
        return self.pace(self.updated_at).left if self.is_running else None


class FeedSession(models.Model):
    """One start of a feed: alive as of `alive_at`, having heard the exchange as of `heard_at`; and what it counts."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(SyncRun, models.CASCADE, related_name="feed_sessions")
    name = models.TextField()
    started_at = models.DateTimeField(db_default=Now())
    alive_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    heard_at = models.DateTimeField(null=True)
    symbols = models.IntegerField(default=0)
    statistics = models.JSONField(default=dict)

    class Meta:
        managed = False
        db_table = "feed_sessions"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} since {self.started_at:%Y-%m-%d %H:%M}"


class ImportFile(RowCounts):
    """How far one file of an archive is in: written with each block, so that an import resumes exactly."""

    path = models.TextField(primary_key=True)
    version = models.TextField()
    symbol = models.TextField()
    layout = models.TextField()
    size = models.BigIntegerField()
    next_offset = models.BigIntegerField(default=0)
    next_line = models.BigIntegerField(default=1)
    last_id = models.BigIntegerField(null=True)
    last_start = models.DateTimeField(null=True)
    done = models.BooleanField(default=False)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "import_files"
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path


class RejectedRecord(models.Model):
    """A record that was refused, with its reason and its text as it came, which nothing changes.

    Its `decisions` say what became of it. `trade_id`, `layout`, `interval_minutes` and `follows` are for its replay.
    """

    class State(models.TextChoices):
        QUARANTINED = "quarantined"
        REPLAYED = "replayed"
        DISMISSED = "dismissed"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(SyncRun, models.SET_NULL, null=True, related_name="rejected_records")
    seen_at = models.DateTimeField(db_default=Now())
    source = models.TextField(choices=[(source.value, source.value) for source in Source])
    place = models.TextField()
    line = models.BigIntegerField(null=True)
    symbol = models.TextField()
    reason = models.TextField()
    detail = models.TextField()
    raw = models.TextField()
    state = models.TextField(choices=State.choices, default=State.QUARANTINED)
    trade_id = models.BigIntegerField(null=True)
    layout = models.TextField(default="", blank=True)
    interval_minutes = models.IntegerField(null=True)
    follows = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = "rejected_records"
        ordering = ["-id"]
        permissions = [
            ("replay_rejectedrecord", "Can replay rejected records"),
            ("correct_rejectedrecord", "Can correct rejected records"),
            ("dismiss_rejectedrecord", "Can dismiss rejected records"),
        ]

    def __str__(self) -> str:
        return f"{self.place}, line {self.line}" if self.line else self.place


class RejectDecision(models.Model):
    """What somebody decided about a rejected record, or what a replay of it came to: rows are added, never changed."""

    class Action(models.TextChoices):
        CORRECTED = "corrected"
        DISMISSED = "dismissed"
        REPLAYED = "replayed"
        REFUSED = "refused"

    class Outcome(models.TextChoices):
        STORED = "stored"
        FOLDED = "folded"
        DUPLICATE = "duplicate"

    id = models.BigAutoField(primary_key=True)
    record = models.ForeignKey(RejectedRecord, models.DO_NOTHING, related_name="decisions")
    action = models.TextField(choices=Action.choices)
    decided_at = models.DateTimeField(db_default=Now())
    decided_by = models.TextField()
    why = models.TextField(default="", blank=True)
    corrected = models.TextField(null=True)
    outcome = models.TextField(choices=Outcome.choices, default="", blank=True)
    trade_id = models.BigIntegerField(null=True)
    run = models.ForeignKey(SyncRun, models.SET_NULL, null=True, related_name="reject_decisions")

    class Meta:
        managed = False
        db_table = "reject_decisions"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"record {self.record_id} {self.action} by {self.decided_by}"


class RejectCount(models.Model):
    """Every rejection of a run, counted; how many of them were kept, and what became of those."""

    pk = models.CompositePrimaryKey("run", "source", "reason")
    run = models.ForeignKey(SyncRun, models.CASCADE, related_name="reject_counts")
    source = models.TextField()
    reason = models.TextField()
    count = models.BigIntegerField()
    kept = models.BigIntegerField(default=0)
    replayed = models.BigIntegerField(default=0)
    dismissed = models.BigIntegerField(default=0)

    class Meta:
        managed = False
        db_table = "reject_counts"
        ordering = ["run", "source", "reason"]

    def __str__(self) -> str:
        return f"{self.count} × {self.reason}"

    @property
    def waiting(self) -> int:
        """How many of those kept nobody has decided about."""
        return self.kept - self.replayed - self.dismissed


class AuditFinding(models.Model):
    """A candle that was not what it has to be, by its trades, its minutes or the exchange's own candles."""

    class Against(models.TextChoices):
        TRADES = "trades"
        MINUTES = "minutes"
        EXCHANGE = "exchange"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(SyncRun, models.SET_NULL, null=True, related_name="audit_findings")
    found_at = models.DateTimeField(db_default=Now())
    symbol = models.TextField()
    interval_minutes = models.IntegerField()
    timestamp = models.DateTimeField()
    compared_with = models.TextField(choices=Against.choices)
    differences = models.JSONField()
    healed = models.BooleanField()

    class Meta:
        managed = False
        db_table = "audit_findings"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval_minutes} minutes at {self.timestamp:%Y-%m-%d %H:%M}"
