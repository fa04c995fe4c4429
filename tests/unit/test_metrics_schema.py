"""The metrics' names and units are Prometheus's; the reference, the alert rules and the dashboard know no others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from config import env
from krakendata.metrics.schema import BY_NAME, METRICS, Metric

DOCS = env.ROOT / "docs"
RULES = DOCS / "monitoring" / "alerts.yml"
DASHBOARD = DOCS / "monitoring" / "grafana.json"
REFERENCE = DOCS / "reference" / "metrics.md"
HOW_TO = DOCS / "how-to" / "monitor.md"

SERIES = {series: metric for metric in METRICS for series in metric.series}
# Prometheus's own, one for each target that it scrapes.
PROMETHEUS_OWN = {"up"}
# Values of a label may be as many as there are of these.
BOUNDED_LABELS = {
    "part", "edition", "symbol", "feed", "kind", "outcome", "trigger", "source", "reason", "interval", "table", "form",
    "task", "queue",
}  # fmt: skip
# Labels that Prometheus adds.
OTHER_LABELS = {"le", "job", "instance"}
UNITS = ("_seconds", "_bytes", "_rows", "_info", "_total")
# What is counted is the unit: pairs, holes, feeds, tasks; or it is 0 or 1.
COUNTED = {
    "krakendata_up", "krakendata_tracked_pairs", "krakendata_pair_holes", "krakendata_pair_failing", "krakendata_feeds",
    "krakendata_feed_connected", "krakendata_feed_pairs", "krakendata_feed_subscribed_pairs", "krakendata_queue_tasks",
}  # fmt: skip


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def panels(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in found["panels"]:
        yield panel
        yield from panel.get("panels", [])


def expressions() -> list[tuple[str, str]]:
    """Every expression of the two files, with where it is."""
    found = dashboard()
    return [
        *((rule["alert"], rule["expr"]) for rule in rules()),
        *((panel["title"], target["expr"]) for panel in panels(found) for target in panel.get("targets", [])),
        *((each["name"], each["query"]) for each in found["templating"]["list"] if each["type"] == "query"),
    ]


def names_in(expression: str) -> set[str]:
    """The series that an expression asks for: what is neither a label nor a function."""
    bare = re.sub(
        r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)',
        " ",
        expression,
    )
    words = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?!\s*\()\b", bare)
    return {word for word in words if word.startswith("krakendata_") or word in PROMETHEUS_OWN}


def labels_in(expression: str) -> set[str]:
    """The labels that it selects or groups by."""
    selected = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    grouped = re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)", expression)
    return {*selected, *(word.strip() for group in grouped for word in group.split(",") if word.strip())}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_tells_its_unit(metric: Metric) -> None:
    assert re.fullmatch(r"krakendata_[a-z][a-z_]*[a-z]", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert metric.name.endswith(UNITS) or metric.name in COUNTED
    assert set(metric.labels) <= BOUNDED_LABELS
    assert metric.sentence.endswith((".", "…"))


def test_no_two_metrics_share_a_name() -> None:
    assert len(BY_NAME) == len(METRICS)
    assert len(SERIES) == sum(len(metric.series) for metric in METRICS)


def test_the_reference_shows_the_table_as_it_is() -> None:
    lines = [
        line
        for line in REFERENCE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `krakendata_")
    ]
    assert [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines] == [
        (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.sentence)
        for each in METRICS
    ]


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_an_expression_asks_for_what_there_is(place: str, expression: str) -> None:
    names = names_in(expression)
    assert names, expression
    assert names <= SERIES.keys() | PROMETHEUS_OWN
    known = {label for name in names & SERIES.keys() for label in SERIES[name].labels}
    assert labels_in(expression) <= known | OTHER_LABELS


def test_names_and_labels_are_found_in_an_expression() -> None:
    expression = (
        'sum by (task) (rate(krakendata_nothing_total{task=~"a|b"}[5m])) > on (feed) up{job="krakendata"}'
    )
    assert names_in(expression) == {"krakendata_nothing_total", "up"}
    assert labels_in(expression) == {"task", "feed", "job"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert f"### {rule['alert']}\n" in HOW_TO.read_text(encoding="utf-8")


def test_no_alert_and_no_panel_is_there_twice() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    ids = [panel["id"] for panel in panels(dashboard())]
    assert len(set(ids)) == len(ids)


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_promtool_accepts_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on PATH")
    done = subprocess.run(
        [promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules())} rules found" in done.stdout
