"""The Flask app: pages of the gateway and of the adapters, with the API documentation. No decisions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import flask
from flask.json.provider import DefaultJSONProvider
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from gateway.web import docs_page
from gateway.web.api import problems
from gateway.web.api.openapi import Operation
from gateway.web.api.routes import DEFAULT_HEADERS
from gateway.web.pages import MAX_BODY_BYTES


class JsonProvider(DefaultJSONProvider):
    """JSON in the order of the fields, with non-ASCII characters unescaped."""

    ensure_ascii = False
    sort_keys = False
    compact = True


def create_app(pages: Iterable[flask.Blueprint], operations: Sequence[Operation]) -> flask.Flask:
    """Builds the application. ``operations``: the documentation of all routes that are for programs."""
    app = flask.Flask("gateway", static_folder=None, template_folder="pages")
    # Set explicitly, because Flask would read some of it from the environment.
    app.config.update(DEBUG=False, TESTING=False, PROPAGATE_EXCEPTIONS=False, MAX_CONTENT_LENGTH=MAX_BODY_BYTES)
    app.json = JsonProvider(app)
    app.url_map.merge_slashes = False
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(Exception, _on_error)
    app.after_request(_add_default_headers)
    for page in pages:
        app.register_blueprint(page)
    app.register_blueprint(docs_page.blueprint(operations))
    return app


# ---------------------------------------------------------------- errors


def _on_error(exc: Exception) -> ResponseReturnValue:
    return problems.from_exception(exc, method=flask.request.method, path=flask.request.path)


def _on_http_error(exc: HTTPException) -> ResponseReturnValue:
    """Answers errors that Flask raises. Keeps their headers, such as Allow."""
    if exc.code is None or exc.response is not None:
        return exc
    if exc.code >= problems.SERVER_FAULT:
        return _on_error(exc)
    body, status, headers = _problem(exc, exc.code)
    kept = [(name, value) for name, value in exc.get_headers() if name not in {"Content-Type", *headers}]
    return body, status, [*kept, *headers.items()]


def _without_slash() -> str:
    """Returns the page that is meant by an address with a slash too many at its end; "" if there is none."""
    shorter = flask.request.path.removesuffix("/")
    adapter = flask.current_app.create_url_adapter(flask.request)
    is_meant = flask.request.url_rule is None and adapter is not None and shorter != flask.request.path
    return shorter if is_meant and adapter is not None and adapter.test(shorter, method="GET") else ""


def _problem(exc: HTTPException, status: int) -> problems.JsonResponse:
    match status:
        case 404:
            return problems.not_found(_without_slash())
        case 405:
            allowed = dict(exc.get_headers()).get("Allow", "another method")
            return problems.method_not_allowed(flask.request.method, allowed)
        case 413:
            message = "The body is larger than this address allows."
            return problems.error_response(status, "payload_too_large", message)
        case _:
            code = re.sub(r"\W+", "_", exc.name.lower())
            return problems.error_response(status, code, exc.description or exc.name)


def _add_default_headers(response: flask.Response) -> flask.Response:
    has_policy = "Content-Security-Policy" in response.headers  # which then also says who may frame it
    for name, value in DEFAULT_HEADERS.items():
        if not (has_policy and name == "X-Frame-Options"):
            response.headers.setdefault(name, value)
    return response
