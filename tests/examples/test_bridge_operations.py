"""The files of examples/bridge/: alerts and a dashboard on metrics that the bridge has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from otel_helicone.bridge.metrics import BridgeMetrics
from otel_helicone.bridge.stored import Counts

OPERATIONS = Path(__file__).parents[2] / "examples" / "bridge"
PREFIX = "otel_helicone_bridge_"
METRIC = re.compile(rf"{PREFIX}\w+")


def told() -> dict[str, set[str]]:
    """Give the names of all samples that the bridge may tell, each with its labels."""
    metrics = BridgeMetrics()
    metrics.watch(lambda: Counts(0, 0, 0, 0, 0, None), lambda: 0.0, dict, lambda: 0, lambda: 0)
    metrics.answered("200")
    metrics.refused("no-id", 1)
    metrics.sent(1, 1.0)
    metrics.failed("400")
    metrics.attempted(1.0, "200")
    names: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            names.setdefault(sample.name, set()).update(sample.labels)
    return names


def rules() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    (group,) = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text("utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((OPERATIONS / "dashboard.json").read_text("utf-8"))
    found: list[dict[str, Any]] = dashboard["panels"]
    return found


def expressions() -> Iterator[str]:
    for rule in rules():
        yield rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    names = told()
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert asked <= set(names), asked - set(names)
    # What is told and nobody looks at would be of no use to operators.
    gauges = {name for name in names if not name.endswith(("_bucket", "_sum", "_created"))}
    unseen = {name.removeprefix(PREFIX) for name in gauges - asked}
    assert unseen <= {
        *("logs_in_flight", "logs_sent_bytes_total", "retries_total"),
        *("delivery_seconds_count", "spans_refused_total", "spans_skipped_total"),
    }


def test_labels_are_those_of_the_metric() -> None:
    names = told()
    for expression in expressions():
        for name, selector in re.findall(rf"({PREFIX}\w+)\{{([^}}]*)\}}", expression):
            labels = set(re.findall(r"(\w+)=~?", selector))
            assert labels <= names[name] | {"job", "instance"}, expression


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    readme = (OPERATIONS / "README.md").read_text("utf-8")
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert f"`{rule['alert']}`" in readme


def test_panels_have_places_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels()]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in panels()}) == len(places)
    assert all(panel["title"] and panel["description"] for panel in panels())


@pytest.mark.integration
def test_promtool_finds_the_rules_right() -> None:
    promtool = os.environ.get("OTEL_HELICONE_PROMTOOL") or shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        outcome = subprocess.run(
            [promtool, *command], cwd=OPERATIONS, check=False, capture_output=True, text=True
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
