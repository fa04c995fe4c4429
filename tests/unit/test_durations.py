"""Durations are counted once each, by the first bound that they do not exceed."""

from __future__ import annotations

import json
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from krakendata.durations import Durations, durations_of

BOUNDS = (0.1, 1.0, 5.0)


@given(st.lists(st.floats(0, 20)))
def test_up_to_each_bound_are_those_that_took_as_long_at_most(seconds: list[float]) -> None:
    found = Durations(BOUNDS)
    for each in seconds:
        found.add(each)
    expected = [sum(each <= bound for each in seconds) for bound in BOUNDS]
    assert list(accumulate(found.counts)) == [*expected, len(seconds)]
    assert found.seconds == sum(seconds)


def test_what_is_kept_as_json_is_read_again_by_its_own_bounds() -> None:
    found = Durations((0.5,))
    found.add(0.25)
    found.add(3.0)
    assert durations_of(json.loads(json.dumps(found.as_dict()))) == found


def test_two_histograms_share_nothing() -> None:
    one, other = Durations(BOUNDS), Durations(BOUNDS)
    one.add(0.2)
    assert other.counts == [0, 0, 0, 0]
