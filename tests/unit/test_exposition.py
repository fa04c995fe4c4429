"""Prometheus's format: what is written is read again as it was, and strange labels stay labels."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from krakendata.durations import Durations
from krakendata.metrics.exposition import exposition
from krakendata.metrics.samples import Sample, samples_of
from krakendata.metrics.schema import BY_NAME
from tests.unit.test_metrics_samples import FROM_REDIS, NOW, READ

ALL = [*samples_of(READ, FROM_REDIS, NOW), Sample("krakendata_reading_duration_seconds", 0.02)]
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def test_every_sample_is_read_again_with_its_labels_and_value() -> None:
    text, content_type = exposition(ALL, "")
    assert content_type.startswith("text/plain; version=")
    read = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(text.decode())
        for sample in family.samples
    }
    for sample in ALL:
        if not isinstance(sample.value, Durations):
            labels = zip(BY_NAME[sample.name].labels, sample.labels, strict=True)
            assert read[sample.name, frozenset(labels)] == float(sample.value), sample


def test_a_histogram_counts_up_to_each_bound() -> None:
    found = Sample("krakendata_task_duration_seconds", Durations((0.5, 1.0), [2, 3, 1], 7.5), ("a",))
    lines = exposition([found], "")[0].decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'krakendata_task_duration_seconds_bucket{le="0.5",task="a"} 2.0',
        'krakendata_task_duration_seconds_bucket{le="1.0",task="a"} 5.0',
        'krakendata_task_duration_seconds_bucket{le="+Inf",task="a"} 6.0',
        'krakendata_task_duration_seconds_count{task="a"} 6.0',
        'krakendata_task_duration_seconds_sum{task="a"} 7.5',
    ]


def test_a_name_that_somebody_gave_a_feed_cannot_become_a_series() -> None:
    hostile = 'a"} 1\nkrakendata_up{part="x'
    text = exposition([Sample("krakendata_feed_connected", 1, (hostile,))], "")[0].decode()
    (family,) = families(text)
    assert [sample.labels for sample in family.samples] == [{"feed": hostile}]


def test_open_metrics_are_given_to_who_asks_for_them() -> None:
    text, content_type = exposition(ALL, OPEN_METRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    found = list(open_families(text.decode()))  # type: ignore[no-untyped-call]  # prometheus_client leaves it so
    assert len(found) == len(list(families(exposition(ALL, "")[0].decode())))


def test_a_metric_that_is_not_in_the_schema_or_has_other_labels_is_a_defect() -> None:
    with pytest.raises(KeyError):
        exposition([Sample("krakendata_invented", 1)], "")
    with pytest.raises(ValueError, match="zip"):
        exposition([Sample("krakendata_up", 1)], "")


def test_promtool_finds_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH")
    text = exposition(ALL, "")[0].decode()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
