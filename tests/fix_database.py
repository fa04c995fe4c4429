"""Fixtures about the database under test: its edition and how psycopg reaches it."""

import os
from typing import Any

import pytest
from django.db import connection

from krakendata.storage.conninfo import connection_arguments
from tests.early_databases import STARTED

EDITIONS_OF_MARKER = {"plain": {"plain"}, "community": {"community"}, "timescale": {"community", "apache"}}


@pytest.fixture(scope="session")
def edition() -> str:
    """Name the edition under test: plain, community or apache."""
    return os.environ[STARTED]


@pytest.fixture
def conninfo(transactional_db: None) -> dict[str, Any]:
    """Give psycopg's arguments for the test's own database, which is emptied afterwards."""
    return connection_arguments(connection.settings_dict)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked for other editions than the one under test."""
    for marker, editions in EDITIONS_OF_MARKER.items():
        if item.get_closest_marker(marker) and os.environ[STARTED] not in editions:
            pytest.skip(f"for {' and '.join(sorted(editions))}, not {os.environ[STARTED]}")
