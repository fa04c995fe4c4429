"""Empties the tables after a test that committed, Django's too.

Django's own flush passes over ours, which are unmanaged, and writes down every permission anew, half a second a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import TransactionTestCase
from pytest_django.plugin import DjangoDbBlocker

COMMITTING_FIXTURES = {"transactional_db", "conninfo", "live_server"}

# Those that have pages, partitions among them, or chunks: truncating the hundreds that are empty takes as long again.
# Not what migrating wrote: whoever adds permissions takes them away again.
TABLES = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND (pg_relation_size(c.oid) > 0 OR EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid))
      AND c.relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission', 'auth_group',
                            'auth_group_permissions', 'platform_facts', 'retention_lines', 'rollup_watermarks')
"""
# The rollups, on Community.
AGGREGATES = """
    SELECT relname FROM pg_class c
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v' AND relname LIKE 'candles\\_%'
      AND to_regclass('rollup_watermarks') IS NULL
"""
RESET_WATERMARKS = "UPDATE rollup_watermarks SET watermark = '2000-01-03 00:00:00+00'"


@pytest.fixture(scope="session", autouse=True)
def no_flush() -> Iterator[None]:
    """Have `emptied` do what Django does after each test."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransactionTestCase, "_fixture_teardown", lambda _: None)
        yield


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
    cursor.execute(TABLES)
    tables = [name for (name,) in cursor.fetchall()]
    cursor.execute(AGGREGATES)
    aggregates = [name for (name,) in cursor.fetchall()]
    if tables:
        cursor.execute(f"TRUNCATE {', '.join(tables)} CASCADE")
    for aggregate in aggregates:
        cursor.execute(f"TRUNCATE {aggregate}")
    if not aggregates:
        cursor.execute(RESET_WATERMARKS)
