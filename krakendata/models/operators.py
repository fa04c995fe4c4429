"""What people did from the operator's desk."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class OperatorAction(models.Model):
    """One request of a person to change something: written before it begins, and again with what became of it.

    `who` is the login name. `action` names the deed, `target` what it was done to, `page` the address it was asked
    from; `status` is the answer's HTTP status and `said` what the operator was told. None of them holds a secret.
    """

    class Result(models.TextChoices):
        STARTED = "started"
        DONE = "done"
        REFUSED = "refused"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    who = models.TextField()
    action = models.TextField()
    target = models.TextField(default="", blank=True)
    page = models.TextField()
    result = models.TextField(choices=Result.choices, default=Result.STARTED)
    status = models.IntegerField(null=True)
    said = models.TextField(default="", blank=True)

    class Meta:
        managed = False
        db_table = "operator_actions"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.who}: {self.action} {self.target}".rstrip()
