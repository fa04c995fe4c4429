"""Archives that came through the browser."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from krakendata.models.runs import SyncRun


class Upload(models.Model):
    """One archive on its way from a browser to an import.

    `name` is what its owner (a login name) calls it, for people alone; `file` its name in UPLOAD_DIR, of our own
    making. Of its `size` bytes the first `received` are there. `findings` is what the check before the import saw.
    """

    class State(models.TextChoices):
        RECEIVING = "receiving"
        CHECKING = "checking"
        READY = "ready"
        REFUSED = "refused"
        IMPORTING = "importing"
        DONE = "done"
        FAILED = "failed"
        DISCARDED = "discarded"

    id = models.BigAutoField(primary_key=True)
    owner = models.TextField()
    name = models.TextField()
    size = models.BigIntegerField()
    received = models.BigIntegerField(default=0)
    state = models.TextField(choices=State.choices, default=State.RECEIVING)
    file = models.TextField(default="", blank=True)
    fingerprint = models.TextField(default="", blank=True)
    symbol = models.TextField(null=True, blank=True)
    findings = models.JSONField(default=dict)
    problem = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "uploads"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    @property
    def has_file(self) -> bool:
        """Whether its bytes are kept, as far as they have come."""
        return self.state not in (self.State.REFUSED, self.State.DONE, self.State.DISCARDED)


def imports_of(paths: Iterable[str]) -> dict[str, SyncRun]:
    """The newest import of each of these files by itself, by path, in one query."""
    wanted = Q(pk__in=[])
    for path in paths:
        wanted |= Q(parameters__paths=[path])
    runs = SyncRun.objects.filter(wanted, kind="import").order_by("id")
    return {run.parameters["paths"][0]: run for run in runs}


def state_by(upload: Upload, run: SyncRun | None) -> Upload.State:
    """The state of an upload as its newest import has it; the row follows at the next upkeep."""
    state = Upload.State(upload.state)
    if run is None:
        return state
    if state == Upload.State.IMPORTING:
        # A run from before was ordered before this one.
        return state if run.started_at < upload.updated_at else _outcome_of(run)
    # One that failed may be resumed, or started again, where nobody knows of uploads: at the runs, or at the desk.
    if state == Upload.State.FAILED and (run.is_running or run.state == SyncRun.State.DONE):
        return _outcome_of(run)
    return state


def _outcome_of(run: SyncRun) -> Upload.State:
    """What an import makes of its upload. One that somebody stopped goes on once it is ordered again."""
    if run.state == SyncRun.State.DONE:
        return Upload.State.DONE
    is_stopped = not run.is_running and "stopped_by" in run.parameters
    return Upload.State.FAILED if is_stopped or run.state == SyncRun.State.FAILED else Upload.State.IMPORTING
