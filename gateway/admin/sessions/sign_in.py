"""Pages to sign in and out, and the record of it."""

from __future__ import annotations

import re
from http import HTTPStatus

import flask
from flask.typing import ResponseReturnValue

from gateway import logs
from gateway.admin.access.roles import AdminUser, SignInMethod
from gateway.admin.context import AdminContext
from gateway.admin.sessions import actor
from gateway.admin.sessions.session import AdminSession, SessionCookie
from gateway.domain.errors import Overloaded, StoreUnavailable
from gateway.ports.audit_trail import AuditedAction
from gateway.web.api import problems
from gateway.web.api.flask_client import client_network

URL_PREFIX = "/admin"
ADMIN_URL = re.compile(r"/admin(?:[/?][!-\[\]-~]*)?")
"""A URL path of the operator's pages: printable ASCII without a backslash."""
ENTRANCES = ("/sign-in", "/sign-out", "/signed-out", "/oidc")
"""Pages that are no place to go to after a sign-in."""
FORM_EXPIRED = "This form has expired. Please try again."
NOT_RECORDED = "Nobody can sign in now, as that cannot be recorded."
WRONG_PASSWORD = "That is not the password."  # noqa: S105  # a message

log = logs.get_logger(__name__)


class SignInPages:
    """Signing in by a password, and what all ways to sign in share."""

    def __init__(self, context: AdminContext, session: AdminSession) -> None:
        self._context = context
        self._settings = context.settings
        self._session = session

    # ------------------------------------------------------------ password

    def sign_in(self) -> ResponseReturnValue:
        cookie = self._session.load(flask.request.cookies)
        if flask.request.method != "POST":
            return redirect_inside(URL_PREFIX) if cookie and cookie.signed_in else self.page(cookie, 200)
        if not self._session.has_valid_csrf_token(cookie):
            return self.page(cookie, 403, FORM_EXPIRED)
        try:
            role = self._session.check_password(flask.request.form.get("password", ""))
        except Overloaded as exc:
            _, status, headers = problems.from_error(exc)
            return self.page(cookie, status, str(exc)), headers
        if role is None:
            self.record_refusal(SignInMethod.PASSWORD, "wrong password")
            return self.page(cookie, 401, WRONG_PASSWORD)
        response = redirect_inside(flask.request.form.get("next", ""))
        self._session.remember_device(response)
        return self.admit(response, AdminUser(role.value, role, SignInMethod.PASSWORD))

    # ------------------------------------------------------------ whichever way

    def admit(self, response: flask.Response, user: AdminUser) -> flask.Response:
        """Returns a response that signs somebody in; a page that says why not when that cannot be recorded."""
        try:
            self.record_sign_in(user)
        except StoreUnavailable as exc:
            log.warning("sign-in cannot be recorded", error=str(exc))
            return self.page(None, HTTPStatus.SERVICE_UNAVAILABLE, f"{NOT_RECORDED} {exc}")
        self._session.issue(response, user)
        return response

    def record_sign_in(self, user: AdminUser) -> None:
        log.info("signed in to the operator's pages", method=user.method.value, role=user.role.value)
        detail = f"{user.role} by {user.method} from {self._source()}"
        self._context.store.audit_trail.record(user.name, AuditedAction.SIGNED_IN, "", detail)

    def record_refusal(self, method: SignInMethod, reason: str, name: str = "", detail: str = "") -> None:
        """Logs a refused sign-in, and records it if that does not happen too often."""
        source = self._source()
        about = {"detail": detail} if detail else {}
        log.warning("sign-in refused", method=method.value, reason=reason, source=source, **about)
        if self._session.may_record_refusal():
            told = f"{reason} by {method} from {source}"
            self._context.store.audit_trail.record(name or actor.NOBODY, AuditedAction.SIGN_IN_REFUSED, "", told)

    def _source(self) -> str:
        return client_network(self._settings.trusted_proxies)

    def sign_out(self) -> ResponseReturnValue:
        cookie = actor.session()
        user = actor.user()
        by_password = user.method is SignInMethod.PASSWORD
        response = redirect_inside(f"{URL_PREFIX}/{'sign-in' if by_password else 'signed-out'}")
        if cookie is not None and user.method is not SignInMethod.PROXY:
            self._session.revoke(cookie, response)
        log.info("signed out of the operator's pages", method=user.method.value)
        self._context.store.audit_trail.record(user.name, AuditedAction.SIGNED_OUT)
        return response

    def page(self, cookie: SessionCookie | None, status: int, problem: str = "") -> flask.Response:
        """Returns the sign-in form in place of the requested page; signing in leads back to that page."""
        response = flask.make_response("", status)
        if cookie is None or cookie.signed_in:
            cookie = self._session.issue(response)
        asked = flask.request.form.get("next") or flask.request.full_path.removesuffix("?")
        response.set_data(
            flask.render_template(
                "admin/sign_in.html",
                problem=problem,
                token=self._session.csrf_token(cookie),
                next=asked if is_admin_page(asked) else URL_PREFIX,
                has_password=self._settings.has_password,
                provider=self._settings.oidc and self._settings.oidc.label,
                has_proxy=self._settings.proxy is not None,
            )
        )
        return response


def is_admin_page(address: str) -> bool:
    """Returns whether an address is a page of ours to go to after a sign-in."""
    inside = address.removeprefix(URL_PREFIX)
    return bool(ADMIN_URL.fullmatch(address)) and not inside.startswith(ENTRANCES)


def redirect_inside(address: str) -> flask.Response:
    """Redirects to the address if it is one of the operator's pages, else to the overview; never to another site."""
    inside = address if ADMIN_URL.fullmatch(address) else URL_PREFIX
    return flask.Response("", 303, {"Location": f"{flask.request.script_root}{inside}"})
