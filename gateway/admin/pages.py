"""The Flask blueprint at /admin: authentication before every page, and the headers of every response."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from gateway.admin import (
    assistants,
    audit,
    budgets,
    callbacks,
    conversations,
    feedback,
    filters,
    handovers,
    integrations,
    overview,
    people,
    schedules,
    turns,
)
from gateway.admin.context import AdminContext, RunChecks
from gateway.admin.session import AdminSession, SessionCookie
from gateway.admin.ttl_cache import TtlCache
from gateway.domain.errors import GatewayError, Overloaded
from gateway.ports.check import CheckResult
from gateway.web.api import problems
from gateway.web.api.call_limit import CallLimit
from gateway.web.api.client_address import client_network

BLUEPRINT_NAME = "admin"
URL_PREFIX = "/admin"
MAX_FORM_BYTES = 64 * 1024
STRANGERS_PER_MINUTE = 120
"""Requests of one network for pages that need a session, without one; the sign-in form itself has no limit."""
ADMIN_URL = re.compile(r"/admin(?:[/?][!-\[\]-~]*)?")
"""A URL path of the operator's pages: printable ASCII without a backslash."""
CHECK_TTL_SECONDS = 5.0
"""Seconds for which results of checks are cached, so that reloading a page does not flood a platform with requests."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing: www.rfc-editor.org/rfc/rfc9110#section-9.2.1"""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}

FORM_EXPIRED = "This form has expired. Please try again."
SIGN_IN_FAILED = "That is not the password."
INVALID_FORM = "The form does not belong to your session, or it has expired. Go back, reload the page, and try again."


def blueprint(context: AdminContext) -> flask.Blueprint:
    """Returns the operator's pages; without a password, one page that says how to set it."""
    made = flask.Blueprint(BLUEPRINT_NAME, __name__, url_prefix=URL_PREFIX, template_folder="../pages")
    made.after_request(_add_security_headers)
    filters.add_filters(made, context.currency)
    if not context.settings.enabled:
        made.add_url_rule("", "off", lambda: (_disabled_page(context), 403), strict_slashes=False)
        return made
    entrance = AuthGuard(context, AdminSession(context.settings, context.store))
    made.before_request(entrance.check_request)
    made.context_processor(entrance.template_context)
    made.register_error_handler(GatewayError, entrance.error_page)
    made.add_url_rule("/sign-in", "sign_in", entrance.sign_in, methods=["GET", "POST"])
    made.add_url_rule("/sign-out", "sign_out", entrance.sign_out, methods=["POST"])
    context = replace(context, checks=_cached(context.checks))
    modules = (
        overview,
        conversations,
        handovers,
        turns,
        people,
        budgets,
        feedback,
        schedules,
        callbacks,
        assistants,
        integrations,
    )
    for module in (*modules, audit):
        module.add_routes(made, context)
    return made


def _cached(checks: RunChecks) -> RunChecks:
    cache: TtlCache[Mapping[str, Sequence[CheckResult]]] = TtlCache()
    return lambda: cache.get("all", CHECK_TTL_SECONDS, checks)


def _disabled_page(context: AdminContext) -> str:
    return flask.render_template("admin/off.html", assets=_assets_url(context))


def _assets_url(context: AdminContext) -> str:
    return f"{flask.request.script_root}/{context.assets}"


def _add_security_headers(response: flask.Response) -> flask.Response:
    response.headers.update(SECURITY_HEADERS)
    return response


class AuthGuard:
    """Requires a session for every page, and a valid CSRF token for every change."""

    def __init__(self, context: AdminContext, session: AdminSession) -> None:
        self._context = context
        self._session = session
        self._strangers = CallLimit(STRANGERS_PER_MINUTE)

    def check_request(self) -> ResponseReturnValue | None:
        """Runs before every request. A response that it returns replaces the page. Raises Overloaded."""
        flask.request.max_content_length = MAX_FORM_BYTES
        cookie = self._session.load()
        entering = flask.request.endpoint == f"{BLUEPRINT_NAME}.sign_in"
        if cookie is None or not cookie.signed_in:
            return None if entering else self._refused(cookie)
        self._remember_session(cookie)
        if flask.request.method not in SAFE_METHODS and not entering and not self._session.has_valid_csrf_token(cookie):
            return flask.render_template("admin/problem.html", message=INVALID_FORM), 403
        return None

    def _refused(self, cookie: SessionCookie | None) -> flask.Response:
        self._strangers.check(client_network(self._context.settings.trusted_proxies))
        return self._sign_in_page(cookie, 401)

    def template_context(self) -> dict[str, Any]:
        """Returns the variables that every template may use."""
        cookie: SessionCookie | None = flask.g.get("cookie")
        return {
            "assets": _assets_url(self._context),
            "signed_in": cookie is not None,
            "token": flask.g.get("token", ""),
            "page": flask.request.endpoint,
            "assistants": self._context.assistants(),
        }

    def sign_in(self) -> ResponseReturnValue:
        cookie = self._session.load()
        if flask.request.method != "POST":
            return _redirect_inside(URL_PREFIX) if cookie and cookie.signed_in else self._sign_in_page(cookie, 200)
        if not self._session.has_valid_csrf_token(cookie):
            return self._sign_in_page(cookie, 403, FORM_EXPIRED)
        try:
            right = self._session.check_password(flask.request.form.get("password", ""))
        except Overloaded as exc:
            _, status, headers = problems.from_error(exc)
            return self._sign_in_page(cookie, status, str(exc)), headers
        if not right:
            return self._sign_in_page(cookie, 401, SIGN_IN_FAILED)
        response = _redirect_inside(flask.request.form.get("next", ""))
        self._session.issue(response, signed_in=True)
        return response

    def sign_out(self) -> ResponseReturnValue:
        response = _redirect_inside(f"{URL_PREFIX}/sign-in")
        self._session.revoke(flask.g.cookie, response)
        return response

    def error_page(self, exc: GatewayError) -> ResponseReturnValue:
        body, status, headers = problems.from_error(exc)
        return flask.render_template("admin/problem.html", message=body["error"]["message"]), status, headers

    def _remember_session(self, cookie: SessionCookie) -> None:
        flask.g.cookie = cookie
        flask.g.token = self._session.csrf_token(cookie)

    def _sign_in_page(self, cookie: SessionCookie | None, status: int, problem: str = "") -> flask.Response:
        """Returns the sign-in form in place of the requested page; signing in leads back to that page."""
        response = flask.make_response("", status)
        cookie = cookie or self._session.issue(response, signed_in=False)
        asked = flask.request.form.get("next") or flask.request.full_path.removesuffix("?")
        response.set_data(
            flask.render_template(
                "admin/sign_in.html",
                problem=problem,
                token=self._session.csrf_token(cookie),
                next=asked if _is_admin_page(asked) else URL_PREFIX,
            )
        )
        return response


def _is_admin_page(address: str) -> bool:
    return bool(ADMIN_URL.fullmatch(address)) and not address.startswith(
        (f"{URL_PREFIX}/sign-in", f"{URL_PREFIX}/sign-out")
    )


def _redirect_inside(address: str) -> flask.Response:
    """Redirects to the address if it is one of the operator's pages, else to the overview; never to another site."""
    inside = address if ADMIN_URL.fullmatch(address) else URL_PREFIX
    return flask.Response("", 303, {"Location": f"{flask.request.script_root}{inside}"})
