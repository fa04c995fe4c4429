"""From what was written since the last refresh to the buckets that are folded anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

from krakendata.gaps import Stretch
from krakendata.storage.stale import MOST_STRETCHES, stale_buckets
from krakendata.types import INTERVALS

START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FRAME = Stretch(START, START + 10 * DAY)
HOURS = INTERVALS["1h"]


def test_a_moment_makes_its_bucket_stale() -> None:
    moment = START + 90 * MINUTE
    assert stale_buckets([Stretch(moment, moment)], HOURS, FRAME) == [Stretch(START + HOUR, START + 2 * HOUR)]


def test_buckets_side_by_side_are_one_stretch() -> None:
    written = [Stretch(START + n * HOUR, START + n * HOUR + MINUTE) for n in (2, 1, 5)]
    assert stale_buckets(written, HOURS, FRAME) == [
        Stretch(START + HOUR, START + 3 * HOUR),
        Stretch(START + 5 * HOUR, START + 6 * HOUR),
    ]


def test_what_lies_outside_is_cut_off() -> None:
    written = [Stretch(START - DAY, START + MINUTE), Stretch(FRAME.end - MINUTE, FRAME.end + DAY)]
    assert stale_buckets(written, HOURS, FRAME) == [
        Stretch(START, START + HOUR),
        Stretch(FRAME.end - HOUR, FRAME.end),
    ]
    assert stale_buckets([Stretch(START - DAY, START - DAY)], HOURS, FRAME) == []


def test_more_than_a_statement_takes_are_joined_over_the_shortest_distances() -> None:
    chance = Random(1)
    places = sorted(chance.sample(range(0, 240, 2), 40))
    written = [Stretch(START + place * HOUR, START + place * HOUR) for place in places]
    found = stale_buckets(written, HOURS, FRAME)
    assert len(found) == MOST_STRETCHES
    assert all(any(each.start <= moment.start < each.end for each in found) for moment in written)
    distances = sorted(b - a for a, b in zip(places, places[1:], strict=False))
    shortest_kept = min(b.start - a.end for a, b in zip(found, found[1:], strict=False)) / HOUR + 1
    assert shortest_kept >= distances[len(distances) - MOST_STRETCHES]
