"""The Celery workers that are there, and what may be done from the desk that shows them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """A worker as of `alive_at`; it writes that every few seconds, and takes its row away when it ends."""

    name = models.TextField(primary_key=True)
    started_at = models.DateTimeField(db_default=Now())
    alive_at = models.DateTimeField(db_default=Now())

    class Meta:
        managed = False
        db_table = "workers"
        ordering = ["name"]
        permissions = [
            ("fill_gaps", "Can have gaps filled and histories fetched"),
            ("restart_syncrun", "Can start a failed run again"),
            ("refresh_rollups", "Can have rollups refreshed"),
            ("forget_worker", "Can forget workers and feeds that are gone"),
        ]

    def __str__(self) -> str:
        return self.name
