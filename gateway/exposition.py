"""How metrics leave a process: the route of the web server, and a port of their own where there is none."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import flask
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, make_wsgi_app, start_wsgi_server
from pydantic import Field, SecretStr

from gateway.api import problems
from gateway.api.openapi import Operation, Reply
from gateway.errors import SettingsError, Unverified
from gateway.metrics import Metrics
from gateway.settings import Environment

PATH = "/metrics"


class MetricsSettings(Environment):
    metrics_token: SecretStr | None = None
    """When set, who collects metrics must show it as a bearer token."""
    metrics_port: int = Field(0, ge=0, le=65535)
    """Where ``worker`` shows its metrics; 0: nowhere."""
    prometheus_multiproc_dir: Path | None = None
    """A folder in which the processes of one machine keep their numbers, so that any of them tells those of all."""

    @property
    def token(self) -> str | None:
        return self.metrics_token.get_secret_value() if self.metrics_token else None


def blueprint(metrics: Metrics, token: str | None) -> flask.Blueprint:
    """The route. It negotiates as the library does: text or OpenMetrics, gzip, and ``name[]`` for some of them only.

    With a ``token``, whoever does not show it as a bearer token gets 401.
    """
    made = flask.Blueprint("metrics", __name__)
    collected = make_wsgi_app(metrics.registry)

    @made.get(PATH)
    def expose() -> ResponseReturnValue:
        if token is not None and not _shown(token):
            return problems.of_error(Unverified("Send METRICS_TOKEN as Authorization: Bearer <token>."))
        asked = flask.request.environ | {"REQUEST_METHOD": "GET"}  # for HEAD, Flask leaves the body out by itself
        try:
            return flask.Response.from_app(collected, asked)
        except TypeError:  # the library compares a version in Accept with numbers, whatever it is
            return flask.Response.from_app(collected, asked | {"HTTP_ACCEPT": ""})

    return made


def _shown(token: str) -> bool:
    scheme, _, shown = flask.request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode("latin-1"), token.encode())


def operations(token: str | None) -> Sequence[Operation]:
    """The route for the documentation."""
    about = "Metrics of this process. In Prometheus' text format, or as OpenMetrics if Accept prefers it."
    secured = token is not None
    described = Operation(
        "metrics", "GET", PATH, about, {200: Reply("The metrics.")}, (401,) if secured else (), secured=secured
    )
    return (described,)


@dataclass(frozen=True, slots=True)
class Door:
    """A port of its own for metrics, open until ``close``."""

    server: WSGIServer

    @property
    def port(self) -> int:
        return self.server.server_port

    def close(self) -> None:
        """Returns when the port is free again; who is being answered still gets it."""
        self.server.shutdown()
        self.server.server_close()


def serve(metrics: Metrics, port: int, token: str | None = None, *, host: str = "0.0.0.0") -> Door:  # noqa: S104  # Prometheus must reach it
    """Show metrics, and nothing else, on a port; 0 takes any that is free. Raises SettingsError when it is taken."""
    app = flask.Flask("metrics", static_folder=None)
    app.config.update(DEBUG=False, TESTING=False, PROPAGATE_EXCEPTIONS=False)  # or Flask asks the environment
    app.register_blueprint(blueprint(metrics, token))
    try:
        server, _ = start_wsgi_server(port, host, CollectorRegistry())  # shows nothing yet
    except OSError as exc:
        raise SettingsError(f"METRICS_PORT: cannot listen on {host}:{port}: {exc.strerror}.") from exc
    server.set_app(app)
    return Door(server)
