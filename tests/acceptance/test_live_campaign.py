"""The live campaign at a small size: some of its seeds, which between them meet all that it can break."""

from __future__ import annotations

import asyncio

import pytest

from tests.campaign.live_plan import EVENTS, draw_live_plan
from tests.campaign.live_run import run_live
from tests.campaign.servers import Ground

SEEDS = (6, 52, 99, 217)

pytestmark = [
    pytest.mark.slow,
    # A Redis that was killed and started again stays our child until it is stopped.
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
]


def test_these_seeds_meet_all_that_a_live_campaign_has() -> None:
    plans = [draw_live_plan(seed) for seed in SEEDS]
    assert {event.kind for plan in plans for event in plan.events} == {*EVENTS}
    for fault in ("socket_duplicate", "malformed_every", "late_every", "lag_seconds"):
        assert any(plan.faults[fault] for plan in plans), fault
    assert {plan.faults["since"] for plan in plans} == {"inclusive", "exclusive"}
    assert {plan.is_backfilled for plan in plans} == {True, False}
    assert any(plan.absent_every for plan in plans)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_breaks_in_the_end_the_feeds_have_what_the_exchange_traded(
    ground: Ground, seed: int
) -> None:
    facts = asyncio.run(run_live(seed, ground))
    assert facts.stored > 0
    assert facts.left_after
