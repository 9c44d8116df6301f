"""The Flask app: mounts the adapters' routes, and serves errors, health and API documentation. No decisions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property
from threading import Lock
from typing import Any, Literal

import flask
from flask.json.provider import DefaultJSONProvider
from flask.typing import ResponseReturnValue
from pydantic import BaseModel, Field
from werkzeug.exceptions import ClientDisconnected, HTTPException

from gateway import logs
from gateway.domain.errors import GatewayError, MalformedRequest
from gateway.ports.check import CheckResult
from gateway.ports.inbox import Inbox
from gateway.ports.platform import Adapter, HasRoutes, HasWebhooks, Request, Webhook
from gateway.web.api import problems
from gateway.web.api.openapi import HasOperations, Operation, ResponseDoc, document

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Largest request body; a route may allow less."""
READINESS_CACHE_SECONDS = 3.0
TITLE = "Chat gateway"
VERSION = "1"
DESCRIPTION = "One assistant in all your chats. Every error is JSON and says what to do."

DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

log = logs.get_logger(__name__)


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ok", "unavailable"]
    checks: dict[str, Literal["ok", "failed"]] = Field(description="Each dependency of the gateway by name.")


HEALTH_OPERATIONS = (
    Operation("healthz", "GET", "/healthz", "Whether the process is up.", {200: ResponseDoc("It is up.", Health)}),
    Operation(
        "readyz",
        "GET",
        "/readyz",
        "Whether the gateway can answer: the database and the backend are checked at most every few seconds.",
        {200: ResponseDoc("It can.", Readiness), 503: ResponseDoc("A dependency does not answer.", Readiness)},
    ),
)


class JsonProvider(DefaultJSONProvider):
    """JSON in the order of the fields, with non-ASCII characters unescaped."""

    ensure_ascii = False
    sort_keys = False
    compact = True


def create_app(
    adapters: Iterable[Adapter],
    inbox: Inbox,
    readiness: Callable[[], Sequence[CheckResult]],
    pages: Iterable[flask.Blueprint] = (),
    operations: Sequence[Operation] = (),
    *,
    readiness_cache_seconds: float = READINESS_CACHE_SECONDS,
) -> flask.Flask:
    """Builds the web application. ``readiness`` does I/O; its result is cached for ``readiness_cache_seconds``.

    ``pages``: further routes. ``operations``: the documentation of those that are for programs.
    """
    app, adapters = _create_bare_app(), tuple(adapters)
    for adapter in adapters:
        if isinstance(adapter, HasRoutes):
            app.register_blueprint(adapter.routes(inbox))
        if isinstance(adapter, HasWebhooks):
            for webhook in adapter.webhooks(inbox):
                app.add_url_rule(webhook.path, f"webhook {webhook.path}", _webhook_view(webhook), methods=["POST"])
    described = [
        operation for adapter in adapters if isinstance(adapter, HasOperations) for operation in adapter.operations()
    ]
    app.register_blueprint(_health_blueprint(readiness, readiness_cache_seconds))
    app.register_blueprint(_documentation_blueprint((*described, *operations, *HEALTH_OPERATIONS)))
    for page in pages:
        app.register_blueprint(page)
    return app


def _webhook_view(webhook: Webhook) -> Callable[[], ResponseReturnValue]:
    def view() -> ResponseReturnValue:
        most = webhook.max_body_bytes
        flask.request.max_content_length = most + 1  # where a chunked body is cut off
        body = flask.request.get_data()
        if len(body) > most:
            raise MalformedRequest(f"The body is larger than {most} bytes.", code="payload_too_large")
        headers = {name.lower(): value for name, value in flask.request.headers.items()}
        response = webhook.handle(Request(headers, body))
        return response.body, response.status, dict(response.headers)

    return view


def _create_bare_app() -> flask.Flask:
    """Returns an app that has error handlers but no routes yet."""
    app = flask.Flask("gateway", static_folder=None, template_folder="pages")
    # Set explicitly, because Flask would read some of it from the environment.
    app.config.update(DEBUG=False, TESTING=False, PROPAGATE_EXCEPTIONS=False, MAX_CONTENT_LENGTH=MAX_BODY_BYTES)
    app.json = JsonProvider(app)
    app.url_map.merge_slashes = False
    app.register_error_handler(GatewayError, _on_gateway_error)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(ClientDisconnected, _on_client_disconnect)
    app.register_error_handler(Exception, _on_unexpected_error)
    app.after_request(_add_default_headers)
    return app


# ---------------------------------------------------------------- errors


def _on_gateway_error(exc: GatewayError) -> ResponseReturnValue:
    answer = problems.from_error(exc)
    status = answer[1]
    if status >= 500:  # noqa: PLR2004  # our fault, not the caller's
        log.warning("request failed", path=flask.request.path, status=status, code=exc.code, error=str(exc))
    return answer


def _on_http_error(exc: HTTPException) -> ResponseReturnValue:
    """Answers errors that Flask raises. Keeps their headers, such as Allow."""
    if exc.code is None or exc.response is not None:
        return exc
    if exc.code >= 500:  # noqa: PLR2004
        return _on_unexpected_error(exc)
    body, status, headers = problems.error_response(exc.code, *_code_and_message(exc))
    kept = [(name, value) for name, value in exc.get_headers() if name != "Content-Type"]
    return body, status, [*kept, *headers.items()]


def _code_and_message(exc: HTTPException) -> tuple[str, str]:
    match exc.code:
        case 404:
            return "not_found", "There is nothing at this address. See /docs for all addresses."
        case 405:
            allowed = dict(exc.get_headers()).get("Allow", "another method")
            return "method_not_allowed", f"This address does not take {flask.request.method}; it takes {allowed}."
        case 413:
            return "payload_too_large", "The body is larger than this address allows."
        case _:
            return re.sub(r"\W+", "_", exc.name.lower()), exc.description or exc.name


def _on_client_disconnect(_: ClientDisconnected) -> ResponseReturnValue:
    """Answers a body that ended too early, or in which the client paused for longer than the read timeout."""
    return problems.error_response(
        408, "request_timeout", "The body did not arrive. Send it whole, and without pauses."
    )


def _on_unexpected_error(exc: Exception) -> ResponseReturnValue:
    log.error("request failed unexpectedly", path=flask.request.path, method=flask.request.method, exc_info=exc)
    return problems.error_response(500, GatewayError.code, problems.INTERNAL_MESSAGE)


def _add_default_headers(response: flask.Response) -> flask.Response:
    has_policy = "Content-Security-Policy" in response.headers  # which then also says who may frame it
    for name, value in DEFAULT_HEADERS.items():
        if not (has_policy and name == "X-Frame-Options"):
            response.headers.setdefault(name, value)
    return response


# ---------------------------------------------------------------- health


class _ReadinessCache:
    """Caches the readiness checks for a few seconds, so that frequent requests do not load the backend."""

    def __init__(self, readiness: Callable[[], Sequence[CheckResult]], seconds: float) -> None:
        self._readiness = readiness
        self._seconds = seconds
        self._last_checks: Sequence[CheckResult] | None = None
        self._valid_until = 0.0
        self._lock = Lock()

    def checks(self) -> Sequence[CheckResult]:
        known = self._last_checks
        if known is not None and time.monotonic() < self._valid_until:
            return known
        # While another caller runs the checks, the last result is returned, if there is one.
        if not self._lock.acquire(blocking=known is None):
            return known or ()
        with ExitStack() as stack:
            stack.callback(self._lock.release)
            if self._last_checks is None or time.monotonic() >= self._valid_until:
                self._last_checks = tuple(self._readiness())
                self._valid_until = time.monotonic() + self._seconds
                _log_failed_checks(self._last_checks)
            return self._last_checks


def _log_failed_checks(checks: Sequence[CheckResult]) -> None:
    for check in checks:
        if not check.ok:
            log.warning("readiness check failed", check=check.name, detail=check.detail)


def _health_blueprint(readiness: Callable[[], Sequence[CheckResult]], seconds: float) -> flask.Blueprint:
    blueprint = flask.Blueprint("health", __name__)
    ready = _ReadinessCache(readiness, seconds)

    @blueprint.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return Health(status="ok").model_dump()

    @blueprint.get("/readyz")
    def readyz() -> ResponseReturnValue:
        checks = ready.checks()
        all_ok = all(check.ok for check in checks)
        # Details are for the operator only: in the log and in the output of `check`.
        by_name: dict[str, Literal["ok", "failed"]] = {check.name: "ok" if check.ok else "failed" for check in checks}
        return Readiness(status="ok" if all_ok else "unavailable", checks=by_name).model_dump(), 200 if all_ok else 503

    return blueprint


# ---------------------------------------------------------------- documentation


class _LazyDocument:
    """The OpenAPI document, created on first use."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations

    @cached_property
    def content(self) -> dict[str, Any]:
        return document(TITLE, VERSION, DESCRIPTION, self._operations)


def _documentation_blueprint(operations: Sequence[Operation]) -> flask.Blueprint:
    blueprint = flask.Blueprint("documentation", __name__)
    openapi_document = _LazyDocument(operations)

    @blueprint.get("/openapi.json")
    def openapi() -> ResponseReturnValue:
        return openapi_document.content

    @blueprint.get("/docs")
    def docs() -> ResponseReturnValue:
        return flask.render_template("docs.html", document=openapi_document.content)

    @blueprint.get("/docs.css")
    def style() -> ResponseReturnValue:
        return flask.send_from_directory("pages", "docs.css", max_age=3600)

    return blueprint
