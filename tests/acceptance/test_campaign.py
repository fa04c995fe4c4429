"""The fault campaign at a small size: some of its seeds, which between them meet all that it can break."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.campaign.plan import COLLECTORS, HOLES, STYLES, draw_plan
from tests.campaign.run import run
from tests.campaign.servers import Ground, open_ground
from tests.editions import find_place

SEEDS = (1, 56, 77, 330)

pytestmark = [
    pytest.mark.slow,
    # A Redis that was killed and started again stays our child until it is stopped.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Give servers that may be killed: no other test is hurt."""
    environ = {name: value for name, value in os.environ.items() if name != "TEST_DATABASE_URL"}
    place = find_place(os.environ["TEST_EDITION"], environ)
    if isinstance(place, str):
        pytest.skip(f"no server of our own: {place}")
    with open_ground(place) as opened:
        yield opened


def test_these_seeds_meet_all_that_a_campaign_has() -> None:
    plans = [draw_plan(seed) for seed in SEEDS]
    assert {plan.since for plan in plans} == {"inclusive", "exclusive", "mixed"}
    assert {plan.style for plan in plans} == {*STYLES}
    assert {plan.collector for plan in plans} == {*COLLECTORS}
    assert {plan.crashes for plan in plans if plan.restarts_database} == {True, False}
    assert any(plan.restarts_redis and plan.collector != "deeds" for plan in plans)
    for fault in (
        "malformed_every",
        "late_every",
        "repeated_page",
        "missing_last",
        "short_page",
        "truncated",
    ):
        assert any(plan.faults[fault] for plan in plans), fault
    assert any(plan.absent_every for plan in plans)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_in_the_end_everything_is_as_the_exchange_has_it(ground: Ground, seed: int) -> None:
    facts = asyncio.run(run(seed, ground))
    assert (facts.found, facts.filled, facts.holes) == (HOLES, HOLES, HOLES)
    assert facts.false_gaps == 0
    assert facts.candles > 0
