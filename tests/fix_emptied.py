"""Empties our tables after a test that committed: they are unmanaged, and Django's flush passes over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

COMMITTING_FIXTURES = {"transactional_db", "conninfo", "live_server"}

# The tables' own, without partitions and what the migrations wrote; then, on Community, the rollups' rows.
OUR_TABLES = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname !~ '^(django_|auth_)'
      AND c.relname NOT IN ('platform_facts', 'retention_lines', 'rollup_watermarks')
"""
OUR_AGGREGATES = """
    SELECT relname FROM pg_class c
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v' AND relname LIKE 'candles\\_%'
      AND to_regclass('rollup_watermarks') IS NULL
"""
RESET_WATERMARKS = "UPDATE rollup_watermarks SET watermark = '2000-01-03 00:00:00+00'"


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Leave no row behind for the next test. Whoever moves a retention line moves it back."""
    yield
    marker = request.node.get_closest_marker("django_db")
    is_committing = marker is not None and marker.kwargs.get("transaction", False)
    if is_committing or COMMITTING_FIXTURES & set(request.fixturenames):
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            empty_tables(cursor)


def empty_tables(cursor: Any) -> None:
    """Truncate tables and rollups; `cursor` is Django's or psycopg's."""
    cursor.execute(OUR_TABLES)
    tables = [name for (name,) in cursor.fetchall()]
    cursor.execute(OUR_AGGREGATES)
    aggregates = [name for (name,) in cursor.fetchall()]
    if tables:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
    for aggregate in aggregates:
        cursor.execute(f"TRUNCATE {aggregate}")
    if "dirty_ranges" in tables:
        cursor.execute(RESET_WATERMARKS)
