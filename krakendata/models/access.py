"""Who may ask the HTTP API."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models.functions import Now


class ApiToken(models.Model):
    """What a program shows to be let in; the token itself is shown once and kept nowhere, only its digest.

    `owner` is the login name of who answers for it. `requests_per_minute` None: as many as the settings say.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    owner = models.TextField()
    digest = models.TextField(unique=True)
    ending = models.TextField()
    scopes = models.JSONField(default=list)
    requests_per_minute = models.IntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "api_tokens"
        ordering = ["-id"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name

    def is_valid_at(self, now: datetime) -> bool:
        """Whether it lets anybody in at that moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)
