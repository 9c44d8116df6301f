"""Pages that lead to the OpenID provider and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask
from flask.typing import ResponseReturnValue

from gateway.admin.access.oidc_values import OidcAttempt, SignInFailed, not_allowed
from gateway.admin.access.roles import AdminUser, SignInMethod
from gateway.admin.context import AdminContext
from gateway.admin.sessions.session import AdminSession
from gateway.admin.sessions.sign_in import URL_PREFIX, SignInPages, is_admin_page, redirect_inside
from gateway.domain.errors import Overloaded
from gateway.web.api import problems

if TYPE_CHECKING:  # needs the extra ``oidc``
    from gateway.admin.access.oidc import OidcClient


class OidcPages:
    def __init__(self, context: AdminContext, session: AdminSession, sign_in: SignInPages, client: OidcClient) -> None:
        self._run = context.run
        self._lists = context.settings.role_lists
        self._session = session
        self._sign_in = sign_in
        self._client = client

    def begin(self) -> ResponseReturnValue:
        """Sends the browser to the provider."""
        asked = flask.request.args.get("next", "")
        attempt = OidcAttempt.begin(asked if is_admin_page(asked) else URL_PREFIX)
        try:
            address = self._run(self._client.authorization_url(attempt))
        except SignInFailed as exc:
            return self._failed(exc)
        response = flask.Response("", 303, {"Location": address})
        self._session.keep_attempt(response, attempt)
        return response

    def end(self) -> ResponseReturnValue:
        """Signs in whom the provider has sent back."""
        try:
            attempt = self._session.load_attempt()
            user = self._user_of(attempt)
        except SignInFailed as exc:
            return self._failed(exc)
        except Overloaded as exc:
            _, status, headers = problems.from_error(exc)
            return self._sign_in.page(None, status, str(exc)), headers
        response = redirect_inside(attempt.next_page)
        self._session.end_attempt(response)
        return self._sign_in.admit(response, user)

    def _user_of(self, attempt: OidcAttempt) -> AdminUser:
        """Returns who has signed in at the provider. Raises SignInFailed."""
        identity = self._run(self._client.identity(attempt, flask.request.args))
        role = self._lists.role_of(identity)
        if role is None:
            raise not_allowed(identity)
        self._session.use_attempt(attempt)
        return AdminUser(identity.label, role, SignInMethod.OIDC)

    def _failed(self, exc: SignInFailed) -> flask.Response:
        self._sign_in.record_refusal(SignInMethod.OIDC, exc.reason, exc.name, exc.detail)
        response = self._sign_in.page(None, exc.status, str(exc))
        self._session.end_attempt(response)
        return response

    def sign_out_url(self) -> str:
        """Returns where the session at the provider ends; empty when that is not known."""
        try:
            return self._run(self._client.sign_out_url())
        except SignInFailed:  # the session here has ended all the same
            return ""


def add_routes(blueprint: flask.Blueprint, pages: OidcPages) -> None:
    blueprint.add_url_rule("/oidc", "begin_oidc", pages.begin)
    blueprint.add_url_rule("/oidc/callback", "end_oidc", pages.end)
