"""Decisions about rejected records by the ORM's own connection: what a page decides at once, for one record or a few.

The statements are those of storage/reject_decisions.py; in bulk, workers decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction

from krakendata.models.runs import RejectDecision, RejectedRecord
from krakendata.storage.reject_decisions import KeptReject
from krakendata.storage.sql import query


def kept_reject(record: RejectedRecord, decisions: Iterable[RejectDecision] = ()) -> KeptReject:
    """The record as the rules of replaying take it; `decisions` are its own, the oldest first."""
    corrections = [each.corrected for each in decisions if each.corrected is not None]
    return KeptReject(
        record.pk, record.source, record.place, record.line, record.symbol, record.trade_id, record.layout,
        record.interval_minutes, record.follows, record.raw, corrections[-1] if corrections else None,
    )  # fmt: skip


def correct(record: RejectedRecord, corrected: str, by: str, why: str) -> bool:
    """Keep how a waiting record is to be read; False where it waits no more. The caller has judged the text."""
    parameters = {"id": record.pk, "corrected": corrected, "by": by, "why": why, "run": None}
    return bool(_written("correct_reject", parameters))


def dismiss(records: Sequence[int], by: str, why: str) -> int:
    """Dismiss those of the records that wait; give how many did."""
    return _written("dismiss_rejects", {"ids": list(records), "by": by, "why": why, "run": None})


def _written(name: str, parameters: dict[str, Any]) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(query(name), parameters)
        return len(cursor.fetchall())
