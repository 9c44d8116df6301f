"""The metrics endpoint, on the web server and on a port of its own."""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.client import HTTPConnection
from typing import cast

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from gateway.domain.errors import SettingsError
from gateway.observability.metrics import Metrics
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox
from gateway.web.api.call_limit import REFUSALS_PER_MINUTE
from gateway.web.api.openapi import document
from gateway.web.api.routes import DEFAULT_HEADERS
from gateway.web.asgi_app import create_app
from gateway.web.metrics_endpoint import MetricsServer, MetricsSettings, operations, route, serve
from tests.adapters.app_client import AppClient
from tests.gateway.turn_factory import TURN

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)  # fmt: skip
"""The Accept header of Prometheus 3."""
EXPECTED_SAMPLE = 'gateway_turns_accepted_total{platform="slack"} 1.0'


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    metrics = Metrics(["slack"])
    metrics.accepted(TURN)
    return metrics


async def ready() -> Sequence[CheckResult]:
    return ()


def client(metrics: Metrics, token: str | None = None, trusted_proxies: int = 0) -> AppClient:
    no_inbox = cast("AsyncInbox", None)  # of adapters, of which there are none
    shown = [route(metrics, token)]
    return AppClient(create_app((), no_inbox, ready, routes=shown, trusted_proxies=trusted_proxies))


# ---------------------------------------------------------------- the route


def test_metrics_are_shown_as_prometheus_text(metrics: Metrics) -> None:
    response = client(metrics).get("/metrics")
    assert response.status_code == 200
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert EXPECTED_SAMPLE in response.text
    assert "gateway_turns_accepted" in {family.name for family in plain_text(response.text)}


def test_metrics_are_shown_as_open_metrics_to_who_prefers_that(metrics: Metrics) -> None:
    response = client(metrics).get("/metrics", headers={"Accept": PROMETHEUS})
    assert response.content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = open_metrics(response.text)  # type: ignore[no-untyped-call]  # the library has no types there
    assert "gateway_turns_accepted" in {family.name for family in families}


def test_metrics_are_compressed_for_who_can_read_that(metrics: Metrics) -> None:
    response = client(metrics).get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert EXPECTED_SAMPLE in gzip.decompress(response.data).decode()


def test_only_the_named_metrics_are_shown_to_who_names_them(metrics: Metrics) -> None:
    response = client(metrics).get("/metrics?name[]=gateway_turns_accepted_total")
    assert [family.name for family in plain_text(response.text)] == ["gateway_turns_accepted"]


@pytest.mark.parametrize("accept", ["text/plain; version=abc", "application/openmetrics-text; version=1.x"])
def test_a_version_that_is_none_gets_the_plain_text(metrics: Metrics, accept: str) -> None:
    response = client(metrics).get("/metrics", headers={"Accept": accept})
    assert (response.status_code, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")


def test_other_methods_are_refused(metrics: Metrics) -> None:
    assert client(metrics).post("/metrics").status_code == 405


def test_metrics_carry_the_headers_of_every_answer(metrics: Metrics) -> None:
    headers = client(metrics).get("/metrics").headers
    assert {name: headers.get(name) for name in DEFAULT_HEADERS} == DEFAULT_HEADERS


# ---------------------------------------------------------------- the token


@pytest.mark.parametrize("shown", ["Bearer tell-me-2", "bearer  tell-me-2", "BEARER tell-me-2"])
def test_who_shows_the_token_is_let_in(metrics: Metrics, shown: str) -> None:
    assert EXPECTED_SAMPLE in client(metrics, "tell-me-2").get("/metrics", headers={"Authorization": shown}).text


@pytest.mark.parametrize(
    "shown", [None, "", "Bearer", "Bearer ", "Bearer tell-me", "Bearer tell-me-22", "Basic tell-me-2", "tell-me-2", "é"]
)
def test_who_does_not_is_told_what_to_send(metrics: Metrics, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    response = client(metrics, "tell-me-2").get("/metrics", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.json == {
        "error": {"code": "unauthorized", "message": "Send METRICS_TOKEN as Authorization: Bearer <token>."}
    }
    assert "tell-me" not in response.text


@pytest.mark.parametrize(("token", "statuses"), [(None, {"200"}), ("tell-me-2", {"200", "401", "429"})])
def test_the_documentation_tells_of_the_route(token: str | None, statuses: set[str]) -> None:
    (described,) = document("Gateway", "1", "", operations(token))["paths"]["/metrics"].values()
    assert set(described["responses"]) == statuses
    assert bool(described["security"]) == (token is not None)


# ---------------------------------------------------------------- a port of its own


@pytest.fixture(scope="module")
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    with closing(serve(metrics, 0, "tell-me-2", host="127.0.0.1")) as server:
        yield server


def get(server: MetricsServer, path: str, **headers: str) -> tuple[int, str]:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_a_process_without_a_web_server_shows_its_metrics(
    server: MetricsServer, capfd: pytest.CaptureFixture[str]
) -> None:
    status, text = get(server, "/metrics", Authorization="Bearer tell-me-2")
    assert status == 200
    assert EXPECTED_SAMPLE in text
    assert capfd.readouterr() == ("", "")


def test_the_token_is_asked_for_there_too(server: MetricsServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 401
    assert "gateway_" not in text


def test_head_gets_the_headers_only(server: MetricsServer) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("HEAD", "/metrics", headers={"Authorization": "Bearer tell-me-2"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")
        assert int(response.headers["Content-Length"]) > 0


def test_there_is_nothing_else_at_that_port(server: MetricsServer) -> None:
    assert get(server, "/", Authorization="Bearer tell-me-2")[0] == 404


def test_the_port_is_free_again_when_it_is_closed(metrics: Metrics) -> None:
    server = serve(metrics, 0, host="127.0.0.1")
    assert get(server, "/metrics")[0] == 200
    server.close()
    with socket.create_server(("127.0.0.1", server.port)):
        pass


def test_a_port_that_is_taken_is_said_by_name(metrics: Metrics) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(SettingsError, match=re.escape("METRICS_PORT: cannot listen on 127.0.0.1:")),
    ):
        serve(metrics, taken.getsockname()[1], host="127.0.0.1")


def test_wrong_tokens_are_limited_for_each_network_and_the_right_one_is_not(
    metrics: Metrics, server: MetricsServer
) -> None:
    web = client(metrics, "tell-me-2", trusted_proxies=1)
    statuses = [web.get("/metrics").status_code for _ in range(REFUSALS_PER_MINUTE + 1)]
    assert statuses == [401] * REFUSALS_PER_MINUTE + [429]
    assert web.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status_code == 401
    assert web.get("/metrics", headers={"Authorization": "Bearer tell-me-2"}).status_code == 200
    there = [get(server, "/metrics")[0] for _ in range(REFUSALS_PER_MINUTE + 1)]
    assert there[-1] == 429


# ---------------------------------------------------------------- settings


def test_metrics_are_open_and_have_no_port_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MetricsSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    settings = MetricsSettings.load()
    assert (settings.token, settings.metrics_port, settings.prometheus_multiproc_dir) == (None, 0, None)


def test_the_token_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", "tell-me-2")
    settings = MetricsSettings.load()
    assert settings.token == "tell-me-2"
    assert settings.secrets() == ("tell-me-2",)
    assert "tell-me-2" not in repr(settings)


@pytest.mark.parametrize("port", ["-1", "65536", "many"])
def test_a_port_that_is_none_is_refused(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_PORT", port)
    with pytest.raises(SettingsError, match="METRICS_PORT"):
        MetricsSettings.load()
