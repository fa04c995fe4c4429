"""The metrics, all of them: names and units after Prometheus's conventions, labels with few values each.

docs/reference/metrics.md shows this table, and tests hold the alert rules and the dashboard to it.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]

# What Prometheus adds to the name of each kind.
SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "gauge": ("",),
    "counter": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}


@dataclass(frozen=True)
class Metric:
    """One metric: `labels` in their order, `sentence` what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    sentence: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which its series are queried."""
        return tuple(self.name + suffix for suffix in SUFFIXES[self.kind])


METRICS = (
    # The reading itself.
    Metric(
        "krakendata_edition_info", "gauge", ("edition",), "1; the label says which edition the database is."
    ),
    Metric(
        "krakendata_up",
        "gauge",
        ("part",),
        "1 where the database or Redis answered this reading, else 0: then what it would tell is missing.",
    ),
    Metric(
        "krakendata_reading_timestamp_seconds",
        "gauge",
        (),
        "When this reading was made; for some seconds the same one is given.",
    ),
    Metric("krakendata_reading_duration_seconds", "gauge", (), "How long it took."),
    # Pairs.
    Metric("krakendata_tracked_pairs", "gauge", (), "Pairs that are kept complete."),
    Metric(
        "krakendata_pair_newest_timestamp_seconds",
        "gauge",
        ("symbol",),
        "When the newest trade that is held was traded (of a pair kept by its candles: when its "
        "newest candle begins).",
    ),
    Metric(
        "krakendata_pair_behind_seconds",
        "gauge",
        ("symbol",),
        "How long ago it was last known that nothing newer is missing; quiet is not behind.",
    ),
    Metric(
        "krakendata_pair_holes",
        "gauge",
        ("symbol",),
        "Holes between the trades that are held; missing where rows without ids leave it unknown.",
    ),
    Metric("krakendata_pair_failing", "gauge", ("symbol",), "1 where the last try to collect failed."),
    # Feeds.
    Metric("krakendata_feeds", "gauge", (), "Feeds that said within 15 seconds that they live."),
    Metric("krakendata_feed_connected", "gauge", ("feed",), "1 where it is connected to the exchange."),
    Metric("krakendata_feed_pairs", "gauge", ("feed",), "Pairs that it listens to."),
    Metric(
        "krakendata_feed_subscribed_pairs",
        "gauge",
        ("feed",),
        "Those of them that the exchange has agreed to tell of.",
    ),
    Metric("krakendata_feed_heard_timestamp_seconds", "gauge", ("feed",), "When it last heard anything."),
    Metric(
        "krakendata_feed_behind_seconds",
        "gauge",
        ("feed",),
        "How old the oldest trade is that it has not written yet.",
    ),
    Metric(
        "krakendata_feed_buffer_rows", "gauge", ("feed", "kind"), "Trades or candles that wait to be written."
    ),
    Metric(
        "krakendata_feed_buffer_limit_rows",
        "gauge",
        ("feed", "kind"),
        "How many may wait; beyond it the oldest are dropped.",
    ),
    Metric(
        "krakendata_feed_records_total",
        "counter",
        ("feed", "kind", "outcome"),
        "What became of trades and candles: stored, duplicate, rejected, dropped.",
    ),
    Metric(
        "krakendata_feed_flushes_total",
        "counter",
        ("feed", "trigger"),
        "Batches written, by what called for them: count, time, demand, close.",
    ),
    Metric(
        "krakendata_feed_flush_failures_total",
        "counter",
        ("feed",),
        "Batches that the database did not take.",
    ),
    Metric(
        "krakendata_feed_flush_duration_seconds",
        "histogram",
        ("feed",),
        "How long the batches took that were written.",
    ),
    Metric(
        "krakendata_feed_disconnections_total",
        "counter",
        ("feed",),
        "Connections to the exchange that were lost.",
    ),
    Metric("krakendata_feed_unreadable_frames_total", "counter", ("feed",), "Frames that could not be read."),
    # The exchange's REST API.
    Metric(
        "krakendata_rest_calls_total",
        "counter",
        (),
        "Calls let go by all processes that share the Redis, where their number is limited.",
    ),
    Metric(
        "krakendata_rest_refusals_total", "counter", (), "Calls that the exchange refused for their rate."
    ),
    Metric(
        "krakendata_rest_interval_seconds",
        "gauge",
        (),
        "How far calls are apart at the least now; refusals widen it.",
    ),
    Metric(
        "krakendata_rest_wait_seconds", "gauge", (), "How long a call that came now would wait for its turn."
    ),
    Metric("krakendata_rest_blocked_seconds", "gauge", (), "How long no call goes out, after a refusal."),
    # Rejected records.
    Metric(
        "krakendata_rejected_records_total",
        "counter",
        ("source", "reason"),
        "Records that were rejected, also those beyond the number of records kept.",
    ),
    # Rollups.
    Metric(
        "krakendata_rollup_behind_seconds",
        "gauge",
        ("interval",),
        "How much of what is collected lies in closed buckets that are not stored in the rollup "
        "yet; reads fold it.",
    ),
    Metric("krakendata_rollup_bucket_seconds", "gauge", ("interval",), "How long a bucket is."),
    # Storage.
    Metric(
        "krakendata_table_bytes",
        "gauge",
        ("table", "form"),
        "Bytes on disk, indexes included: raw rows, and compressed ones (Community).",
    ),
    Metric(
        "krakendata_table_uncompressed_bytes",
        "gauge",
        ("table",),
        "What the compressed rows took before (Community).",
    ),
    # Workers.
    Metric(
        "krakendata_task_runs_total",
        "counter",
        ("task", "outcome"),
        "Tasks that ended, by Celery's state: success, failure, retry, …",
    ),
    Metric("krakendata_task_duration_seconds", "histogram", ("task",), "How long they took."),
    Metric("krakendata_task_last_success_timestamp_seconds", "gauge", ("task",), "When one last ended well."),
    Metric("krakendata_queue_tasks", "gauge", ("queue",), "Tasks that wait for a worker."),
)

BY_NAME = {metric.name: metric for metric in METRICS}
