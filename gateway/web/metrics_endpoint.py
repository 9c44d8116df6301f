"""The metrics endpoint: a route of the web server, or a port of its own in processes without one."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import flask
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, make_wsgi_app, start_wsgi_server
from pydantic import Field

from gateway.domain.errors import SettingsError, Unauthenticated
from gateway.observability.metrics import Metrics
from gateway.settings import EnvironmentSettings
from gateway.settings.values import OwnKey
from gateway.web.api import problems
from gateway.web.api.call_limit import RefusalLimit
from gateway.web.api.openapi import Operation, ResponseDoc

PATH = "/metrics"


class MetricsSettings(EnvironmentSettings):
    """Settings of metrics."""

    prefixes = ("METRICS_",)
    environment_only = frozenset({"prometheus_multiproc_dir"})

    metrics_token: OwnKey | None = None
    """When set, ``/metrics`` requires it as a bearer token."""
    metrics_port: int = Field(0, ge=0, le=65535)
    """Port on which ``worker`` serves its metrics; 0: none."""
    prometheus_multiproc_dir: Path | None = None
    """A folder that the processes of one machine share, so that each shows the sum of all. Must be in the real
    environment, not in a file."""

    @property
    def token(self) -> str | None:
        return self.metrics_token.get_secret_value() if self.metrics_token else None


def blueprint(metrics: Metrics, token: str | None, trusted_proxies: int = 0) -> flask.Blueprint:
    """Returns the route. The library negotiates text or OpenMetrics, gzip, and ``name[]`` to select metrics.

    With a ``token``, requests without it as a bearer token get 401. ``trusted_proxies``: see ``client_ip``.
    """
    routes = flask.Blueprint("metrics", __name__)
    metrics_app, refusals = make_wsgi_app(metrics.registry), RefusalLimit(trusted_proxies)

    @routes.get(PATH)
    def expose() -> ResponseReturnValue:
        if token is not None and not _is_authorised(token):
            refusal = Unauthenticated("Send METRICS_TOKEN as Authorization: Bearer <token>.")
            sent = flask.request
            forwarded_for = sent.headers.get("X-Forwarded-For", "")
            return problems.from_error(refusals.count(refusal, sent.remote_addr or "", forwarded_for))
        environ = flask.request.environ | {"REQUEST_METHOD": "GET"}  # Flask drops the body of HEAD itself
        try:
            return flask.Response.from_app(metrics_app, environ)
        except TypeError:  # the library fails on a version in Accept that is not a number
            return flask.Response.from_app(metrics_app, environ | {"HTTP_ACCEPT": ""})

    return routes


def _is_authorised(token: str) -> bool:
    scheme, _, sent = flask.request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode("latin-1"), token.encode())


def operations(token: str | None) -> Sequence[Operation]:
    """Returns the route's entry in the API documentation."""
    about = "Metrics in Prometheus' text format, or as OpenMetrics if Accept prefers it."
    secured = token is not None
    operation = Operation(
        "metrics",
        "GET",
        PATH,
        about,
        {200: ResponseDoc("The metrics.")},
        (401, 429) if secured else (),
        requires_api_key=secured,
    )
    return (operation,)


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """HTTP server for metrics only, running until ``close``."""

    server: WSGIServer

    @property
    def port(self) -> int:
        return self.server.server_port

    def close(self) -> None:
        """Stops the server. Running requests finish; the port is free on return."""
        self.server.shutdown()
        self.server.server_close()


def serve(metrics: Metrics, port: int, token: str | None = None, *, host: str = "0.0.0.0") -> MetricsServer:  # noqa: S104  # Prometheus must reach it
    """Serves only metrics on a port; 0 picks a free one. Raises SettingsError when the port is in use."""
    app = flask.Flask("metrics", static_folder=None)
    app.config.update(DEBUG=False, TESTING=False, PROPAGATE_EXCEPTIONS=False)  # else Flask reads the environment
    app.register_blueprint(blueprint(metrics, token))
    try:
        server, _ = start_wsgi_server(port, host, CollectorRegistry())  # the app follows below
    except OSError as exc:
        raise SettingsError(
            f"METRICS_PORT: cannot listen on {host}:{port}: {exc.strerror}. Set it to a free port."
        ) from exc
    server.set_app(app)
    return MetricsServer(server)
