"""What was read becomes values of the schema's metrics: what is not known is left out, quiet is not behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.durations import Durations
from krakendata.intervals import bucket_of
from krakendata.kraken.pacing import Budget
from krakendata.metrics.samples import RedisReading, Sample, rollup_behind, samples_of
from krakendata.metrics.schema import BY_NAME
from krakendata.metrics.task_outcomes import TaskOutcomes, increments, last_success, outcomes_of
from krakendata.storage.editions import EDITIONS
from krakendata.storage.monitoring import (
    DatabaseReading,
    MonitoredFeed,
    MonitoredPair,
    RejectTotal,
    Span,
    TableSize,
)
from krakendata.types import INTERVALS, interval_of

NOW = datetime(2026, 11, 28, 12, 34, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

TOLD: dict[str, Any] = {
    "connected": True,
    "subscribed": 2,
    "seconds_behind": 0.25,
    "flushes": {"count": 3, "time": 1},
    "flush_failures": 0,
    "flush_durations": {"bounds": [0.1, 1.0], "counts": [3, 1, 0], "seconds": 0.9},
    "disconnections": 1,
    "unreadable": 0,
    "buffered": {"trades": 7, "candles": 0},
    "buffer_limits": {"trades": 10_000, "candles": 1_000},
    "trades": {"received": 12, "stored": 9, "duplicate": 1, "rejected": 2, "dropped": 0},
    "candles": {"received": 0, "stored": 0, "duplicate": 0, "rejected": 0, "dropped": 0},
}
READ = DatabaseReading(
    EDITIONS["plain"],
    [
        MonitoredPair("BTC/USD", NOW - HOUR, NOW - timedelta(seconds=2), 3, False),
        MonitoredPair("NEW/USD", None, None, None, True),
    ],
    [MonitoredFeed("feed-1", NOW, 2, TOLD), MonitoredFeed("old", None, 0, {})],
    [RejectTotal("archive", "bad_side", 4321)],
    Span(NOW - 30 * HOUR, NOW - HOUR),
    {"candles_1h": datetime(2026, 11, 28, 10, tzinfo=UTC)},
    [TableSize("trades", 1_000, 200, 4_000), TableSize("trade_runs", 80)],
)
FROM_REDIS = RedisReading(
    {
        "krakendata.tasks.upkeep": TaskOutcomes(
            {"success": 5}, Durations((1.0,), [4, 1], 3.5), NOW.timestamp()
        )
    },
    {"krakendata": 0, "krakendata.long": 4},
    Budget(1_000, 2, 0.204, 0.1, 0.0),
)


def values(*samples: Sample) -> dict[tuple[str, ...], Any]:
    """By name, without the prefix, and labels."""
    return {(each.name.removeprefix("krakendata_"), *each.labels): each.value for each in samples}


def test_everything_read_is_in_the_schema_with_its_labels_and_once() -> None:
    samples = list(samples_of(READ, FROM_REDIS, NOW))
    for sample in samples:
        assert len(sample.labels) == len(BY_NAME[sample.name].labels), sample
        assert isinstance(sample.value, Durations) == (BY_NAME[sample.name].kind == "histogram"), sample
    assert len(values(*samples)) == len(samples)


def test_every_metric_of_the_schema_is_given_when_all_is_there() -> None:
    about_the_reading = {"krakendata_reading_timestamp_seconds", "krakendata_reading_duration_seconds"}
    assert {sample.name for sample in samples_of(READ, FROM_REDIS, NOW)} == BY_NAME.keys() - about_the_reading


def test_what_does_not_answer_is_said_to_be_away_and_nothing_else_of_it() -> None:
    assert values(*samples_of(None, None, NOW)) == {("up", "database"): False, ("up", "redis"): False}
    with_redis = values(*samples_of(None, FROM_REDIS, NOW))
    assert with_redis["up", "redis"]
    assert with_redis["queue_tasks", "krakendata.long"] == 4


def test_a_quiet_pair_is_not_behind_and_an_unknown_one_says_nothing() -> None:
    found = values(*samples_of(READ, None, NOW))
    assert found["pair_behind_seconds", "BTC/USD"] == 2
    assert found["pair_newest_timestamp_seconds", "BTC/USD"] == (NOW - HOUR).timestamp()
    assert found["pair_holes", "BTC/USD"] == 3
    assert [name for name, *labels in found if labels == ["NEW/USD"]] == ["pair_failing"]


def test_a_feed_of_an_older_version_tells_what_it_tells() -> None:
    found = values(*samples_of(READ, None, NOW))
    assert found["feed_buffer_rows", "feed-1", "trades"] == 7
    assert found["feed_records_total", "feed-1", "trades", "rejected"] == 2
    assert found["feed_flush_duration_seconds", "feed-1"] == Durations((0.1, 1.0), [3, 1, 0], 0.9)
    assert [name for name, *labels in found if labels[:1] == ["old"]] == ["feed_pairs"]


def test_a_table_without_a_columnstore_does_not_tell_of_one() -> None:
    found = values(*samples_of(READ, None, NOW))
    assert found["table_bytes", "trades", "compressed"] == 200
    assert found["table_uncompressed_bytes", "trades"] == 4_000
    assert [labels for name, *labels in found if name.startswith("table_") and labels[0] == "trade_runs"] == [
        ["trade_runs", "raw"]
    ]


def test_a_rollup_is_behind_by_its_closed_buckets_with_data() -> None:
    hourly, noon = interval_of("1h"), datetime(2026, 11, 28, 12, tzinfo=UTC)
    span = Span(noon - 30 * HOUR, NOW - MINUTE)
    assert rollup_behind(hourly, noon, span, NOW) == 0
    assert rollup_behind(hourly, noon - 2 * HOUR, span, NOW) == 7200
    # The hours since the market went quiet hold nothing.
    assert rollup_behind(hourly, noon - 2 * HOUR, span._replace(newest=noon - 90 * MINUTE), NOW) == 3600
    # Nothing was ever stored: not by the age of the calendar.
    assert rollup_behind(hourly, datetime(2000, 1, 3, tzinfo=UTC), span, NOW) == 30 * 3600
    assert rollup_behind(hourly, datetime(2000, 1, 3, tzinfo=UTC), span._replace(newest=None), NOW) == 0


@given(
    name=st.sampled_from([name for name, interval in INTERVALS.items() if interval.parent]),
    stored=st.integers(0, 10**6),
    newest=st.integers(0, 10**6),
)
def test_a_rollup_that_is_stored_up_to_the_open_bucket_is_never_behind(
    name: str, stored: int, newest: int
) -> None:
    interval = interval_of(name)
    span = Span(NOW - timedelta(days=700), NOW - newest * MINUTE)
    assert rollup_behind(interval, bucket_of(NOW, interval), span, NOW) == 0
    assert rollup_behind(interval, NOW - stored * MINUTE, span, NOW) >= 0


# --- outcomes of tasks ---------------------------------------------------------------------------------------


def kept(*ends: tuple[str, str, float]) -> dict[str, str]:
    """What Redis holds after these tasks have ended."""
    fields: dict[str, float] = {}
    for task, state, seconds in ends:
        for name, amount in increments(task, state, seconds).items():
            fields[name] = fields.get(name, 0) + amount
        if state == "SUCCESS":
            fields.update([last_success(task, NOW)])
    return {name: str(value) for name, value in fields.items()}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["krakendata.tasks.a", "krakendata.tasks.b"]),
            st.sampled_from(["SUCCESS", "FAILURE", "RETRY"]),
            st.floats(0, 2_000),
        )
    )
)
def test_what_workers_left_is_read_as_it_was_said(ends: list[tuple[str, str, float]]) -> None:
    found = outcomes_of(kept(*ends))
    assert found.keys() == {task for task, _, _ in ends}
    for task, outcomes in found.items():
        mine = [(state.lower(), seconds) for name, state, seconds in ends if name == task]
        assert outcomes.states == {state: [each for each, _ in mine].count(state) for state, _ in mine}
        assert sum(outcomes.durations.counts) == len(mine)
        assert outcomes.durations.seconds == pytest.approx(sum(seconds for _, seconds in mine))
        assert (outcomes.last_success is not None) == ("success" in outcomes.states)


def test_bounds_of_another_version_count_for_nothing() -> None:
    found = outcomes_of(
        {"krakendata.tasks.a le 77.0": "3", "krakendata.tasks.a success": "3", "nonsense": "1"}
    )
    assert sum(found["krakendata.tasks.a"].durations.counts) == 0
    assert found["krakendata.tasks.a"].states == {"success": 3}
