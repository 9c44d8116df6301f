"""The dashboard and the alert rules use existing metrics and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has no types

from gateway.observability.metrics import Metrics
from gateway.ports.store import QueueDepth
from tests.gateway.turn_factory import all_of

MONITORING = Path(__file__).parents[3] / "gateway" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
QUERIES = [(title, target["expr"]) for title, target in TARGETS] + [(rule["alert"], rule["expr"]) for rule in RULES]

PROMETHEUS_OWN = {"job", "instance"}
"""Labels that Prometheus adds to every metric."""
METRIC = re.compile(r"\b(?:gateway|process)_\w+")
SELECTOR = re.compile(r"\b(?P<name>(?:gateway|process)_\w+)\{(?P<labels>[^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on) \((?P<labels>[^)]*)\)")
TEMPLATE_LABEL = re.compile(r"\{\{ *(?:\$labels\.)?(?P<label>\w+) *\}\}")


def labels_by_name() -> dict[str, set[str]]:
    metrics = all_of(Metrics(queue_depths=lambda: [QueueDepth("slack", 1, 1.0, {"budget": 1})]))
    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    return {sample.name: set(sample.labels) for sample in samples}


PROCESS_METRICS: dict[str, set[str]] = {"process_resident_memory_bytes": set(), "process_cpu_seconds_total": set()}
"""Process metrics of the library, which it provides on some systems only."""
KNOWN = labels_by_name() | PROCESS_METRICS


def grouped(query: str) -> set[str]:
    return {label.strip() for found in GROUPING.finditer(query) for label in found["labels"].split(",")}


# ---------------------------------------------------------------- queries


def test_every_query_asks_for_metrics_that_there_are() -> None:
    assert [title for title, query in QUERIES if not METRIC.findall(query)] == []
    assert {name for _, query in QUERIES for name in METRIC.findall(query)} <= set(KNOWN)


def test_every_query_selects_by_labels_that_its_metric_has() -> None:
    selections = [found for _, query in QUERIES for found in SELECTOR.finditer(query)]
    assert selections
    for found in selections:
        selected = {part.partition("=")[0].rstrip("!~") for part in found["labels"].split(",")}
        assert selected <= KNOWN[found["name"]] | PROMETHEUS_OWN, found.group()


def test_every_query_groups_by_labels_that_all_its_metrics_have() -> None:
    for title, query in QUERIES:
        for name in METRIC.findall(query):
            assert grouped(query) <= KNOWN[name] | PROMETHEUS_OWN, title


def test_what_only_grows_is_asked_for_as_a_rate_and_what_goes_up_and_down_is_not() -> None:
    for title, query in QUERIES:
        rated = set(re.findall(r"\b(?:rate|increase)\((\w+)", query))
        growing = {name for name in METRIC.findall(query) if name.endswith(("_total", "_bucket", "_count", "_sum"))}
        assert rated == growing, title


# ---------------------------------------------------------------- the dashboard


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for _, target in TARGETS)
    families = all_of(Metrics(queue_depths=list)).registry.collect()
    assert [f.name for f in families if f.name.startswith("gateway_") and f.name not in shown] == []


def test_a_legend_names_labels_that_are_left_in_the_result() -> None:
    for title, target in TARGETS:
        shown = {found["label"] for found in TEMPLATE_LABEL.finditer(target["legendFormat"])}
        assert shown <= grouped(target["expr"]) - {"le"}, title


def test_whoever_looks_chooses_the_data_source_and_the_platforms() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "platform"]
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    (asked,) = METRIC.findall(variables["platform"]["definition"])
    assert "platform" in KNOWN[asked]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert all(part["datasource"] == chosen for panel in PANELS for part in (panel, *panel["targets"]))


def test_the_chosen_platforms_are_heeded_wherever_they_can_be() -> None:
    for title, target in TARGETS:
        for found in METRIC.finditer(target["expr"]):
            heeded = target["expr"][found.end() :].startswith('{platform=~"$platform"')
            assert heeded == ("platform" in KNOWN[found.group()]), title


def test_panels_have_names_of_their_own_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["title"], panel["type"]) for panel in panels}) == len(panels)
    for one, other in combinations(panels, 2):
        assert not set(_cells(one["gridPos"])) & set(_cells(other["gridPos"])), (one["title"], other["title"])


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    assert place["x"] + place["w"] <= 24
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_a_dashboard_that_is_imported_is_a_new_one_everywhere() -> None:
    assert DASHBOARD["id"] is None
    assert DASHBOARD["uid"] == "chat-gateway"


# ---------------------------------------------------------------- the alerts


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_an_alert_tells_only_of_labels_that_it_has() -> None:
    for rule in RULES:
        # Without an aggregation, the labels that Prometheus adds remain.
        left = grouped(rule["expr"]) or (set() if "sum(" in rule["expr"] else PROMETHEUS_OWN)
        for text in rule["annotations"].values():
            assert {found["label"] for found in TEMPLATE_LABEL.finditer(text)} <= left, rule["alert"]


@pytest.mark.parametrize(
    "metric",
    [
        "gateway_conversations_in_hand",
        "gateway_database_up",
        "gateway_queue_age_seconds",
        "gateway_turns_failed_total",
        "gateway_turns_undeliverable_total",
        "gateway_leases_lost_total",
    ],
)
def test_there_is_an_alert_for_everything_that_a_person_must_look_after(metric: str) -> None:
    assert any(metric in rule["expr"] for rule in RULES)
