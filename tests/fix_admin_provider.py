"""The provider of the admin's views, closed after each test: while it is open no test database can be dropped."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_open_provider() -> Iterator[None]:
    """Close the provider if a view has opened it."""
    yield
    reading = sys.modules.get("krakendata.admin.reading")
    if reading is not None:
        reading.close_provider()
