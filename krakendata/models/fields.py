"""PostgreSQL's `numeric` without bounds, which Django's DecimalField insists on."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


class NumericField(models.DecimalField):  # type: ignore[type-arg]  # not subscriptable when run
    """A Decimal of any size and precision: XDG at 1.188e-05 as exact as BTC at 122 000."""

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Ask for no digits, as the column has none."""
        return models.Field.check(self, **kwargs)

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        return "numeric"
