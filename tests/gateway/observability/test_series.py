"""The counters and histograms of one process: they are shown as the library shows its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from gateway.observability.series import ProcessCounter, ProcessHistogram, Series

NAMES = ("platform", "code")
ABOUT = 'What a "metric" is about, with a\nline break and a \\.'
BUCKETS = (0.01, 0.5, 1.0, 20.0)
BEGINNING = re.compile(rb"(?<=_created)(\{[^}]*\}) .*")
AMOUNTS = (0.0, 0.01, 0.011, 0.5, 1, 19.999, 20.0, 20.1, 1e9)


@pytest.fixture(params=["with its beginning", "without"])
def _created(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "without":
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types
    yield
    enable_created_metrics()  # type: ignore[no-untyped-call]  # likewise


@pytest.mark.usefixtures("_created")
@pytest.mark.parametrize("expose", [generate_latest, openmetrics])
def test_a_counter_is_shown_as_the_librarys(expose: Any) -> None:
    def shown(kind: Any) -> bytes:
        registry = CollectorRegistry()
        counter = kind("gateway_any_total", ABOUT, NAMES, registry=registry)
        counter.labels("slack", "never")
        counter.labels("slack", 'a "quoted"\nname').inc()
        counter.labels("http", "é").inc(0.0000025)
        counter.labels("http", "é").inc(12345678)
        return BEGINNING.sub(rb"\1 then", expose(registry))

    assert shown(ProcessCounter) == shown(Counter)


@pytest.mark.usefixtures("_created")
@pytest.mark.parametrize("expose", [generate_latest, openmetrics])
def test_a_histogram_is_shown_as_the_librarys(expose: Any) -> None:
    def shown(kind: Any) -> bytes:
        registry = CollectorRegistry()
        histogram = kind("gateway_any_seconds", ABOUT, NAMES, registry=registry, buckets=BUCKETS)
        histogram.labels("slack", "never")
        for amount in AMOUNTS:
            histogram.labels("http", "some").observe(amount)
        return BEGINNING.sub(rb"\1 then", expose(registry))

    assert shown(ProcessHistogram) == shown(Histogram)


@pytest.mark.parametrize(
    ("own", "name"),
    [
        (lambda registry: ProcessCounter("any_total", ABOUT, NAMES, registry), "any_created"),
        (lambda registry: ProcessHistogram("any", ABOUT, NAMES, registry, buckets=BUCKETS), "any_bucket"),
    ],
)
def test_two_metrics_of_one_name_are_refused(own: Any, name: str) -> None:
    registry = CollectorRegistry()
    own(registry)
    with pytest.raises(ValueError, match=name):
        own(registry)


def test_series_are_told_of_before_they_are_made_and_only_once() -> None:
    told: list[str] = []
    registry = CollectorRegistry()
    series = Series(ProcessCounter("any_total", ABOUT, ("platform",), registry).labels, told.append)
    series["slack"].inc()
    series["slack"].inc(2)
    series.show("http")
    assert told == ["slack", "http"]
    assert registry.get_sample_value("any_total", {"platform": "slack"}) == 3
    assert registry.get_sample_value("any_total", {"platform": "http"}) == 0
