"""The Flask blueprint at /admin: authentication before every page, and the headers of every response."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import flask
from flask.typing import ResponseReturnValue

from gateway import logs
from gateway.admin import filters
from gateway.admin.access.oidc_setup import oidc_client
from gateway.admin.access.oidc_values import not_allowed
from gateway.admin.access.roles import AdminUser, Identity, SignInMethod
from gateway.admin.context import AdminContext, RunChecks
from gateway.admin.pages import (
    approvals,
    assistants,
    audit,
    budgets,
    callbacks,
    conversations,
    feedback,
    handovers,
    integrations,
    overview,
    people,
    schedules,
    turns,
)
from gateway.admin.sessions import actor, oidc_pages
from gateway.admin.sessions.request_user import RequestUsers
from gateway.admin.sessions.session import AdminSession, SessionCookie
from gateway.admin.sessions.sign_in import URL_PREFIX, SignInPages, redirect_inside
from gateway.admin.ttl_cache import TtlCache
from gateway.domain.errors import GatewayError, StoreUnavailable
from gateway.ports.check import CheckResult
from gateway.web.api import problems
from gateway.web.api.call_limit import CallLimit
from gateway.web.api.cors import SAFE_METHODS
from gateway.web.api.flask_client import client_network

log = logs.get_logger(__name__)

BLUEPRINT_NAME = "admin"
MAX_FORM_BYTES = 64 * 1024
STRANGERS_PER_MINUTE = 120
"""Requests of one network for pages that need a session, without one; the sign-in form itself has no limit."""
CHECK_TTL_SECONDS = 5.0
"""Seconds for which results of checks are cached, so that reloading a page does not flood a platform with requests."""

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

OPEN_PAGES = frozenset({"sign_in", "begin_oidc", "end_oidc", "signed_out"})
"""Pages that need no session."""
VIEWER_ROLE = "You are signed in as a viewer, and viewers change nothing. An operator can do this."
INVALID_FORM = "The form does not belong to your session, or it has expired. Go back, reload the page, and try again."


def blueprint(context: AdminContext) -> flask.Blueprint:
    """Returns the operator's pages; without a way to sign in, one page that says how to set one up.

    Raises SettingsError.
    """
    made = flask.Blueprint(BLUEPRINT_NAME, __name__, url_prefix=URL_PREFIX, template_folder="../pages")
    made.after_request(_add_security_headers)
    filters.add_filters(made, context.currency)
    if not context.settings.enabled:
        made.add_url_rule("", "off", lambda: (_disabled_page(context), 403), strict_slashes=False)
        return made
    session = AdminSession(context.settings, context.store)
    sign_in = SignInPages(context, session)
    guard = AuthGuard(context, session, sign_in)
    made.before_request(guard.check_request)
    made.context_processor(guard.template_context)
    made.register_error_handler(GatewayError, guard.error_page)
    _add_sign_in(made, context, session, sign_in)
    context = replace(context, checks=_cached(context.checks))
    modules = (
        overview,
        conversations,
        handovers,
        turns,
        approvals,
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


def _add_sign_in(made: flask.Blueprint, context: AdminContext, session: AdminSession, sign_in: SignInPages) -> None:
    made.add_url_rule("/sign-in", "sign_in", sign_in.sign_in, methods=["GET", "POST"])
    made.add_url_rule("/sign-out", "sign_out", sign_in.sign_out, methods=["POST"])
    options, proxy = context.settings.oidc, context.settings.proxy
    sign_out_urls = []
    if proxy is not None:
        sign_out_urls.append(lambda: proxy.sign_out_url if proxy.is_proxy(flask.request.remote_addr or "") else "")
    if options is not None:
        pages = oidc_pages.OidcPages(context, session, sign_in, oidc_client(options))
        oidc_pages.add_routes(made, pages)
        sign_out_urls.append(pages.sign_out_url)
    if sign_out_urls:
        made.add_url_rule("/signed-out", "signed_out", lambda: _signed_out_page(sign_out_urls))


def _signed_out_page(sign_out_urls: Sequence[Callable[[], str]]) -> ResponseReturnValue:
    """Says that the session here has ended, and where the one of the proxy or provider ends."""
    cookie = actor.session()
    if cookie is not None and cookie.user is not None and cookie.user.method is not SignInMethod.PROXY:
        return redirect_inside(URL_PREFIX)  # it has not ended
    elsewhere = next(filter(None, (find() for find in sign_out_urls)), "")
    return flask.render_template("admin/signed_out.html", elsewhere=elsewhere)


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
    """Requires a session for every page, and for every change the role of an operator and a valid CSRF token."""

    def __init__(self, context: AdminContext, session: AdminSession, sign_in: SignInPages) -> None:
        self._context = context
        self._session = session
        self._sign_in = sign_in
        self._users = RequestUsers(context.settings, session)
        self._strangers = CallLimit(STRANGERS_PER_MINUTE)

    def check_request(self) -> ResponseReturnValue | None:
        """Runs before every request. A response that it returns replaces the page. Raises Overloaded."""
        flask.request.max_content_length = MAX_FORM_BYTES
        page = (flask.request.endpoint or "").removeprefix(f"{BLUEPRINT_NAME}.")
        headers = flask.request.headers
        found = self._users.find(
            flask.request.remote_addr or "", flask.request.cookies, lambda name: headers.get(name, "")
        )
        if found.refused is not None:
            return self._not_allowed(found.refused)
        if found.user is None:
            return self._admitted_stranger(page, found.cookie)
        cookie = found.cookie
        if found.is_proxied or cookie is None:
            cookie = self._proxied_session(cookie, found.user)
        actor.remember(cookie)
        if flask.request.method in SAFE_METHODS or page in OPEN_PAGES:
            return None
        return self._refused_change(cookie, page)

    def _admitted_stranger(self, page: str, cookie: SessionCookie | None) -> ResponseReturnValue | None:
        if page in OPEN_PAGES and page != "begin_oidc":
            return None
        self._strangers.check(client_network(self._context.settings.trusted_proxies))
        return None if page in OPEN_PAGES else self._sign_in.page(cookie, 401)

    def _refused_change(self, cookie: SessionCookie, page: str) -> ResponseReturnValue | None:
        if not self._session.has_valid_csrf_token(cookie):
            return flask.render_template("admin/problem.html", message=INVALID_FORM), 403
        if not actor.user().may_change and page != "sign_out":
            return flask.render_template("admin/problem.html", message=VIEWER_ROLE), 403
        return None

    # ------------------------------------------------------------ a proxy that signs people in

    def _proxied_session(self, cookie: SessionCookie | None, user: AdminUser) -> SessionCookie:
        """Returns the session of whom a proxy has signed in; its cookie is for forms only."""
        if cookie is None:
            answer = flask.make_response()
            cookie = self._session.issue(answer)
            flask.after_this_request(lambda response: _with_cookies(response, answer))
            actor.remember(replace(cookie, user=user))  # for an error of the next line
            self._sign_in.record_sign_in(user)
        return replace(cookie, user=user)

    def _not_allowed(self, identity: Identity) -> ResponseReturnValue:
        refused = not_allowed(identity)
        self._sign_in.record_refusal(SignInMethod.PROXY, refused.reason, refused.name)
        return flask.render_template("admin/problem.html", message=str(refused)), refused.status

    # ------------------------------------------------------------ what all pages show

    def template_context(self) -> dict[str, Any]:
        """Returns the variables that every template may use."""
        cookie = actor.session()
        user = cookie.user if cookie else None
        return {
            "assets": _assets_url(self._context),
            "signed_in": user is not None,
            "user": user,
            "may_change": user is not None and user.may_change,
            "token": self._session.csrf_token(cookie) if cookie else "",
            "page": flask.request.endpoint,
            "assistants": self._context.assistants(),
        }

    def error_page(self, exc: GatewayError) -> ResponseReturnValue:
        body, status, headers = problems.from_error(exc)
        message = body["error"]["message"]
        if isinstance(exc, StoreUnavailable):
            log.warning("the database failed a page", path=flask.request.path, error=str(exc))
            if actor.session() is not None:  # nobody else learns that, say, the disk is full
                message = str(exc)
        return flask.render_template("admin/problem.html", message=message), status, headers


def _with_cookies(response: flask.Response, other: flask.Response) -> flask.Response:
    for cookie in other.headers.getlist("Set-Cookie"):
        response.headers.add("Set-Cookie", cookie)
    return response
