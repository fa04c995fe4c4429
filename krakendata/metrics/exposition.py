"""Prometheus's text format, and OpenMetrics for who asks for it, by prometheus-client."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from krakendata.durations import Durations
from krakendata.metrics.samples import Sample
from krakendata.metrics.schema import BY_NAME, METRICS, Metric


def exposition(samples: Iterable[Sample], accept: str) -> tuple[bytes, str]:
    """The samples in the format that `accept` (the header) prefers, and its content type.

    Raises KeyError for a metric that the schema does not have, ValueError for other labels than it has there.
    """
    registry = CollectorRegistry()
    registry.register(_Read(samples))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Read(Collector):
    """Gives what was read, in the schema's order; nothing is kept."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._by_name: defaultdict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._by_name[BY_NAME[sample.name].name].append(sample)

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            if found := self._by_name.get(metric.name):
                yield _family(metric, found)


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    # A counter's family is named without the ending that its series have.
    family = Family(metric.name.removesuffix("_total"), metric.sentence, metric.kind)
    for sample in samples:
        labels = dict(zip(metric.labels, sample.labels, strict=True))
        if isinstance(sample.value, Durations):
            _add_histogram(family, labels, sample.value)
        else:
            family.add_sample(metric.name, labels, float(sample.value))
    return family


def _add_histogram(family: Family, labels: dict[str, str], durations: Durations) -> None:
    """Each bound with the number of all that took as long at most."""
    bounds = [*(str(bound) for bound in durations.bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(durations.counts), strict=True):
        family.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    family.add_sample(f"{family.name}_count", labels, sum(durations.counts))
    family.add_sample(f"{family.name}_sum", labels, durations.seconds)
