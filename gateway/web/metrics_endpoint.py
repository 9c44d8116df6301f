"""The metrics endpoint: a route of the web server, or a port of its own in processes without one."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app, start_wsgi_server
from pydantic import Field

from gateway.domain.errors import SettingsError, Unauthenticated
from gateway.observability.metrics import Metrics
from gateway.settings import EnvironmentSettings
from gateway.settings.values import OwnKey
from gateway.web.api import problems
from gateway.web.api.api_keys import bearer_token
from gateway.web.api.call_limit import RefusalLimit
from gateway.web.api.openapi import Operation, ResponseDoc
from gateway.web.api.routes import DEFAULT_HEADERS, HttpRequest, HttpResponse, Route, json_response

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


class ShownMetrics:
    """The metrics as whoever may see them gets them. Any thread; reads the database."""

    def __init__(self, metrics: Metrics, token: str | None) -> None:
        """``token``: without it as a bearer token nobody may; None: everybody may."""
        self._library: WSGIApplication = make_wsgi_app(metrics.registry)
        self._token = token

    def answer(self, headers: Mapping[str, str], query: str) -> HttpResponse:
        """Raises Unauthenticated. The library negotiates text or OpenMetrics, gzip, and ``name[]`` to select metrics.

        ``headers``: by names in small letters.
        """
        if self._token is not None and not _is_authorised(headers.get("authorization", ""), self._token):
            raise Unauthenticated("Send METRICS_TOKEN as Authorization: Bearer <token>.")
        sent = {"REQUEST_METHOD": "GET", "PATH_INFO": PATH, "QUERY_STRING": query}
        sent["HTTP_ACCEPT_ENCODING"] = headers.get("accept-encoding", "")
        try:
            return _response_of(self._library, {**sent, "HTTP_ACCEPT": headers.get("accept", "")})
        except TypeError:  # the library fails on a version in Accept that is not a number
            return _response_of(self._library, {**sent, "HTTP_ACCEPT": ""})


def _response_of(application: WSGIApplication, environ: WSGIEnvironment) -> HttpResponse:
    begun: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Any:
        begun.append((status, headers))

    body = b"".join(application(environ, start_response))
    status, headers = begun[-1]
    return HttpResponse(body, int(status.partition(" ")[0]), dict(headers))


def _is_authorised(shown: str, token: str) -> bool:
    return hmac.compare_digest(bearer_token(shown).strip().encode("latin-1"), token.encode())


def route(metrics: Metrics, token: str | None) -> Route:
    """Returns the route. With a ``token``, requests without it as a bearer token get 401."""
    shown, thread = ShownMetrics(metrics, token), ThreadPoolExecutor(1, thread_name_prefix="metrics")

    async def expose(request: HttpRequest) -> HttpResponse:
        return await asyncio.get_running_loop().run_in_executor(thread, shown.answer, request.headers, request.query)

    return Route("GET", PATH, expose)


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
    try:
        server, _ = start_wsgi_server(port, host, CollectorRegistry())  # the app follows below
    except OSError as exc:
        raise SettingsError(
            f"METRICS_PORT: cannot listen on {host}:{port}: {exc.strerror}. Set it to a free port."
        ) from exc
    server.set_app(_application(ShownMetrics(metrics, token)))
    return MetricsServer(server)


def _application(shown: ShownMetrics) -> WSGIApplication:
    """Returns what is served at that port: the metrics, and nothing else."""
    refusals = RefusalLimit(trusted_proxies=0)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = _answer(shown, environ)
        except Unauthenticated as exc:
            response = json_response(*problems.from_error(refusals.count(exc, environ.get("REMOTE_ADDR", ""), "")))
        except Exception as exc:  # noqa: BLE001  # the last resort, which logs it
            where = {"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"]}
            response = json_response(*problems.from_exception(exc, **where))
        headers = {**DEFAULT_HEADERS, **response.headers, "Content-Length": str(len(response.body))}
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", [*headers.items()])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    return serve


def _answer(shown: ShownMetrics, environ: WSGIEnvironment) -> HttpResponse:
    """Raises Unauthenticated."""
    if environ["PATH_INFO"] != PATH:
        return json_response(*problems.not_found())
    if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
        return json_response(*problems.method_not_allowed(environ["REQUEST_METHOD"], "GET, HEAD"))
    names = {"authorization", "accept", "accept-encoding"}
    headers = {name: environ.get(f"HTTP_{name.upper().replace('-', '_')}", "") for name in names}
    return shown.answer(headers, environ.get("QUERY_STRING", ""))
