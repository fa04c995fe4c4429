"""From what was read to values of the metrics of `schema`; pure, `now` is the present."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from krakendata.durations import Durations, durations_of
from krakendata.intervals import bucket_of, next_bucket
from krakendata.kraken.pacing import Budget
from krakendata.metrics.task_outcomes import TaskOutcomes
from krakendata.storage.monitoring import (
    ROLLUPS,
    DatabaseReading,
    MonitoredFeed,
    MonitoredPair,
    Span,
    TableSize,
)
from krakendata.types import Interval

KINDS = ("trades", "candles")
OUTCOMES = ("stored", "duplicate", "rejected", "dropped")


class Sample(NamedTuple):
    """A value of a metric; `labels` in the order of the schema."""

    name: str
    value: float | Durations
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class RedisReading:
    """What Redis told: the outcomes of tasks, how many wait in each queue, and what is left of the calls' limit."""

    tasks: Mapping[str, TaskOutcomes]
    queues: Mapping[str, int]
    budget: Budget


def samples_of(
    database: DatabaseReading | None, redis: RedisReading | None, now: datetime, has_redis: bool = True
) -> Iterator[Sample]:
    """Everything that was read; None: it did not answer. Where there is no Redis (`has_redis`) it is not away."""
    yield Sample("krakendata_up", database is not None, ("database",))
    if has_redis:
        yield Sample("krakendata_up", redis is not None, ("redis",))
    if database:
        yield from database_samples(database, now)
    if redis:
        yield from budget_samples(redis.budget)
        yield from task_samples(redis.tasks)
        for queue, waiting in redis.queues.items():
            yield Sample("krakendata_queue_tasks", waiting, (queue,))


def database_samples(read: DatabaseReading, now: datetime) -> Iterator[Sample]:
    """Pairs, feeds, rejects, rollups, tables."""
    yield Sample("krakendata_edition_info", 1, (read.edition.name,))
    yield Sample("krakendata_tracked_pairs", len(read.pairs))
    yield Sample("krakendata_feeds", len(read.feeds))
    for pair in read.pairs:
        yield from pair_samples(pair, now)
    for feed in read.feeds:
        yield from feed_samples(feed)
    for total in read.rejects:
        yield Sample("krakendata_rejected_records_total", total.records, (total.source, total.reason))
    for relation, watermark in read.watermarks.items():
        interval = ROLLUPS[relation]
        behind = rollup_behind(interval, watermark, read.span, now)
        yield Sample("krakendata_rollup_behind_seconds", behind, (interval.name,))
        yield Sample("krakendata_rollup_bucket_seconds", interval.length.total_seconds(), (interval.name,))
    for size in read.sizes:
        yield from size_samples(size)


def pair_samples(pair: MonitoredPair, now: datetime) -> Iterator[Sample]:
    """One tracked pair; what is not known is left out."""
    labels = (pair.symbol,)
    yield Sample("krakendata_pair_failing", pair.is_failing, labels)
    if pair.holes is not None:
        yield Sample("krakendata_pair_holes", pair.holes, labels)
    if pair.newest is not None:
        yield Sample("krakendata_pair_newest_timestamp_seconds", pair.newest.timestamp(), labels)
    if pair.complete_until is not None:
        behind = max((now - pair.complete_until).total_seconds(), 0.0)
        yield Sample("krakendata_pair_behind_seconds", behind, labels)


def feed_samples(feed: MonitoredFeed) -> Iterator[Sample]:
    """One feed; facts that its version does not tell are left out."""
    told = feed.statistics
    labels = (feed.name,)
    yield Sample("krakendata_feed_pairs", feed.pairs, labels)
    if feed.heard_at is not None:
        yield Sample("krakendata_feed_heard_timestamp_seconds", feed.heard_at.timestamp(), labels)
    for name, fact in (
        ("krakendata_feed_connected", "connected"),
        ("krakendata_feed_subscribed_pairs", "subscribed"),
        ("krakendata_feed_behind_seconds", "seconds_behind"),
        ("krakendata_feed_flush_failures_total", "flush_failures"),
        ("krakendata_feed_disconnections_total", "disconnections"),
        ("krakendata_feed_unreadable_frames_total", "unreadable"),
    ):
        if fact in told:
            yield Sample(name, told[fact], labels)
    for trigger, count in told.get("flushes", {}).items():
        yield Sample("krakendata_feed_flushes_total", count, (feed.name, trigger))
    if "flush_durations" in told:
        yield Sample("krakendata_feed_flush_duration_seconds", durations_of(told["flush_durations"]), labels)
    for kind in KINDS:
        yield from _kind_samples(feed.name, kind, told)


def rollup_behind(interval: Interval, watermark: datetime, span: Span, now: datetime) -> float:
    """The seconds of closed buckets with data, as far as is known, that are not stored yet.

    Behind the newest minute nothing is to be stored, so that a quiet market does not look like a rollup that stopped.
    """
    if span.newest is None:
        return 0.0
    closed = min(bucket_of(now, interval), next_bucket(bucket_of(span.newest, interval), interval))
    return max((closed - max(watermark, span.oldest)).total_seconds(), 0.0)


def size_samples(size: TableSize) -> Iterator[Sample]:
    """One table; only one that has a columnstore tells of it."""
    yield Sample("krakendata_table_bytes", size.rows, (size.table, "raw"))
    if size.columnstore:
        yield Sample("krakendata_table_bytes", size.columnstore, (size.table, "compressed"))
        yield Sample("krakendata_table_uncompressed_bytes", size.uncompressed, (size.table,))


def budget_samples(budget: Budget) -> Iterable[Sample]:
    """What is left of the limit of calls to the exchange."""
    return (
        Sample("krakendata_rest_calls_total", budget.calls),
        Sample("krakendata_rest_refusals_total", budget.refusals),
        Sample("krakendata_rest_interval_seconds", budget.interval_seconds),
        Sample("krakendata_rest_wait_seconds", budget.wait_seconds),
        Sample("krakendata_rest_blocked_seconds", budget.blocked_seconds),
    )


def task_samples(tasks: Mapping[str, TaskOutcomes]) -> Iterator[Sample]:
    """What workers did."""
    for task, outcomes in tasks.items():
        for state, count in outcomes.states.items():
            yield Sample("krakendata_task_runs_total", count, (task, state))
        yield Sample("krakendata_task_duration_seconds", outcomes.durations, (task,))
        if outcomes.last_success is not None:
            yield Sample("krakendata_task_last_success_timestamp_seconds", outcomes.last_success, (task,))


def _kind_samples(feed: str, kind: str, told: Mapping[str, Any]) -> Iterator[Sample]:
    counts = told.get(kind, {})
    for outcome in OUTCOMES:
        if outcome in counts:
            yield Sample("krakendata_feed_records_total", counts[outcome], (feed, kind, outcome))
    for name, fact in (
        ("krakendata_feed_buffer_rows", "buffered"),
        ("krakendata_feed_buffer_limit_rows", "buffer_limits"),
    ):
        if kind in told.get(fact, {}):
            yield Sample(name, told[fact][kind], (feed, kind))
