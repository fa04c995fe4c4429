"""Servers for the fault campaigns."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.campaign.servers import Ground, open_ground
from tests.editions import find_place


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Give servers that may be killed: no other test is hurt."""
    environ = {name: value for name, value in os.environ.items() if name != "TEST_DATABASE_URL"}
    place = find_place(os.environ["TEST_EDITION"], environ)
    if isinstance(place, str):
        pytest.skip(f"no server of our own: {place}")
    with open_ground(place) as opened:
        yield opened
