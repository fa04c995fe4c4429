"""The fault campaign at a small size: some of its seeds, which between them meet all that it can break."""

from __future__ import annotations

import asyncio

import pytest

from tests.campaign.plan import COLLECTORS, HOLES, STYLES, draw_plan
from tests.campaign.run import run
from tests.campaign.servers import Ground

SEEDS = (1, 56, 77, 330)

pytestmark = [
    pytest.mark.slow,
    # A Redis that was killed and started again stays our child until it is stopped.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


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
