"""Sessions of the operator's pages: issues and verifies cookies and the CSRF tokens of forms, checks passwords."""

from __future__ import annotations

import hmac
import json
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import flask
from itsdangerous import BadSignature, URLSafeSerializer
from pydantic import SecretStr

from gateway import logs
from gateway.admin.access.oidc_values import OidcAttempt, expired_attempt
from gateway.admin.access.roles import AdminUser, Role, SignInMethod
from gateway.admin.settings import AdminSettings
from gateway.domain.errors import Overloaded
from gateway.ports.store import Store
from gateway.ports.token_buckets import Rate
from gateway.web.api import flask_client

COOKIE_NAME = "gateway_admin"
FORM_COOKIE = "gateway_admin_form"
"""For forms without a session. Of another name, so that a request which came without the session does not end it."""
DEVICE_COOKIE = "gateway_admin_device"
"""For a browser in which the password was right once: wrong ones of others do not count there."""
ATTEMPT_COOKIE = "gateway_admin_oidc"
"""For a sign-in that was begun at the OpenID provider."""
ATTEMPT_SECONDS = 600
"""For which it may be ended."""
DEVICE_SECONDS = 180 * 24 * 3600
SIGNING_KEY_NAME = "admin:key"
"""Name of the stored secret that session cookies are signed with. All processes share it."""
RATE = Rate(interval=30.0, burst=5)
"""How often a password may be tried from one network, or in one browser that is known."""
ATTEMPT_RATE = Rate(interval=2.0, burst=30)
"""How often an answer of the OpenID provider is looked at for one network: each is a request to the provider."""
RATE_OF_ALL = Rate(interval=5.0, burst=30)
"""How often sign-ins of everyone together may fail before the log warns of it, and not every one of them is kept in the
audit trail any more. Nobody is refused for that."""
TOO_MANY_ATTEMPTS = "Too many attempts. Try again in {} seconds."

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The session of a browser. One without a ``user`` is valid for CSRF tokens of forms only."""

    session_id: str
    user: AdminUser | None = None

    @property
    def signed_in(self) -> bool:
        return self.user is not None


class AdminSession:
    """Sessions of operators and viewers. Thread-safe. Methods may raise StoreUnavailable.

    All but ``load`` work on the current Flask request.
    """

    def __init__(self, settings: AdminSettings, store: Store) -> None:
        if not settings.enabled:
            raise ValueError("there is no way to sign in, so there are no sessions")
        self._settings = settings
        self._passwords = {
            role: sha256(password.get_secret_value().encode()).digest()
            for role, password in (
                (Role.OPERATOR, settings.admin_password),
                (Role.VIEWER, settings.admin_viewer_password),
            )
            if password is not None
        }
        self._max_age = math.ceil(settings.admin_hours * 3600)
        self._trusted_proxies = settings.trusted_proxies
        self._store = store
        self._cached_signing_key: bytes | None = None

    def load(self, cookies: Mapping[str, str]) -> SessionCookie | None:
        """Returns the session from a browser's cookies, or None if it is forged, expired or revoked."""
        return self._read(cookies.get(COOKIE_NAME, "")) or self._read(cookies.get(FORM_COOKIE, ""))

    def _read(self, signed: str) -> SessionCookie | None:
        try:
            session_id, until, user = self._signer().loads(signed)
            found = SessionCookie(session_id, _user_of(user))
        except (BadSignature, ValueError, TypeError):
            return None
        if time.time() >= until or (found.signed_in and self._store.get_value(_revoked_key(session_id))):
            return None
        return found

    def issue(self, response: flask.Response, user: AdminUser | None = None) -> SessionCookie:
        """Sets a new session cookie on the response and returns the session; without a user it is for a form."""
        new = SessionCookie(secrets.token_urlsafe(18), user)
        fields = None if user is None else [user.name, user.role, user.method]
        signed = self._signer().dumps([new.session_id, int(time.time()) + self._max_age, fields])
        self._set_cookie(response, COOKIE_NAME if user else FORM_COOKIE, signed, self._max_age)
        return new

    def remember_device(self, response: flask.Response) -> None:
        """Has the browser tell from now on that the password was right in it once."""
        if self._known_device() is None:
            device = self._signer().dumps([DEVICE_COOKIE, secrets.token_urlsafe(18)])
            self._set_cookie(response, DEVICE_COOKIE, device, DEVICE_SECONDS)

    def _set_cookie(self, response: flask.Response, name: str, value: str, max_age: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path=_cookie_path(),
            secure=flask_client.is_https(self._trusted_proxies),
            httponly=True,
            samesite="Lax",  # a link in an alert leads to its page, and so does a provider; changes need a token
        )

    def _known_device(self) -> str | None:
        try:
            kind, name = self._signer().loads(flask.request.cookies.get(DEVICE_COOKIE, ""))
        except (BadSignature, ValueError):
            return None
        return str(name) if kind == DEVICE_COOKIE else None

    def revoke(self, cookie: SessionCookie, response: flask.Response) -> None:
        """Revokes a session for good, including copies of its cookie, and deletes the cookie."""
        self._store.set_value_if_absent(_revoked_key(cookie.session_id), f"{time.time():.0f}")
        response.delete_cookie(COOKIE_NAME, path=_cookie_path())

    # ------------------------------------------------------------ forms

    def csrf_token(self, cookie: SessionCookie) -> str:
        """Returns the token that a form must send back, which protects against forms of other sites (CSRF)."""
        of = f"form {cookie.session_id} {cookie.user.name if cookie.user else ''}"
        return hmac.new(self._signing_key(), of.encode(), sha256).hexdigest()

    def has_valid_csrf_token(self, cookie: SessionCookie | None) -> bool:
        token = flask.request.form.get("token", "")
        return cookie is not None and hmac.compare_digest(token.encode(), self.csrf_token(cookie).encode())

    # ------------------------------------------------------------ passwords

    def check_password(self, password: str) -> Role | None:
        """Returns the role that a password gives; None if it is wrong.

        Raises Overloaded after too many attempts from one network, or in one known browser, in all processes.
        """
        source = flask_client.client_network(self._trusted_proxies)
        self._take_attempt(f"admin:sign-in:{self._known_device() or source}", RATE)
        # Digests have equal length, so the duration reveals nothing about the password.
        given = sha256(password.encode()).digest()
        right = [role for role, known in self._passwords.items() if hmac.compare_digest(given, known)]
        return right[0] if right else None

    def may_record_refusal(self) -> bool:
        """Counts a refused sign-in, and returns whether it is one of few enough to keep each. Warns of too many."""
        if self._store.take_token("admin:sign-in", RATE_OF_ALL, max_wait=0.0) is not None:
            return True
        source = flask_client.client_network(self._trusted_proxies)
        log.warning("a sign-in to the operator's pages is tried very often", source=source)
        return False

    def _take_attempt(self, bucket: str, rate: Rate) -> None:
        if self._store.take_token(bucket, rate, max_wait=0.0) is None:
            source = flask_client.client_network(self._trusted_proxies)
            log.warning("sign-in refused: too many attempts", source=source)
            raise Overloaded(
                TOO_MANY_ATTEMPTS.format(math.ceil(rate.interval)), code="rate_limited", retry_after=rate.interval
            )

    # ------------------------------------------------------------ the OpenID provider

    def keep_attempt(self, response: flask.Response, attempt: OidcAttempt) -> None:
        """Has the browser keep a sign-in that it begins at the provider."""
        until = int(time.time()) + ATTEMPT_SECONDS
        signed = self._signer().dumps([ATTEMPT_COOKIE, until, *attempt.as_list()])
        self._set_cookie(response, ATTEMPT_COOKIE, signed, ATTEMPT_SECONDS)

    def load_attempt(self) -> OidcAttempt:
        """Returns the sign-in that the browser began.

        Raises SignInFailed if that is too long ago, or was in another browser; Overloaded after too many from one
        network.
        """
        source = flask_client.client_network(self._trusted_proxies)
        self._take_attempt(f"admin:oidc:{source}", ATTEMPT_RATE)
        try:
            kind, until, *fields = self._signer().loads(flask.request.cookies.get(ATTEMPT_COOKIE, ""))
        except (BadSignature, ValueError, TypeError):
            raise expired_attempt() from None
        if kind != ATTEMPT_COOKIE or time.time() >= until:
            raise expired_attempt()
        return OidcAttempt(*fields)

    def use_attempt(self, attempt: OidcAttempt) -> None:
        """Ends a sign-in, in all processes. Raises SignInFailed if it was ended before."""
        used = f"admin:oidc:{sha256(attempt.state.encode()).hexdigest()}"
        if not self._store.try_lock(used, secrets.token_hex(8), 2 * ATTEMPT_SECONDS):
            raise expired_attempt()

    def end_attempt(self, response: flask.Response) -> None:
        """Has the browser forget it."""
        response.delete_cookie(ATTEMPT_COOKIE, path=_cookie_path())

    # ------------------------------------------------------------ keys

    def _signer(self) -> URLSafeSerializer:
        options = {"digest_method": sha256, "key_derivation": "hmac"}
        return URLSafeSerializer(self._signing_key(), salt="admin pass", signer_kwargs=options)

    def _signing_key(self) -> bytes:
        """Derives the key from a secret in the database and who may sign in; changing either ends all sessions."""
        if self._cached_signing_key is None:
            stored = self._store.set_value_if_absent(SIGNING_KEY_NAME, secrets.token_hex(32))
            self._cached_signing_key = hmac.new(stored.encode(), _access_of(self._settings), sha256).digest()
        return self._cached_signing_key


def _access_of(settings: AdminSettings) -> bytes:
    """Returns all settings that decide who may sign in, with which role."""
    decides = ("password", "viewer_password", "operators", "viewers", "oidc_issuer", "oidc_client_id")
    values = (getattr(settings, f"admin_{name}") for name in decides)
    return json.dumps([each.get_secret_value() if isinstance(each, SecretStr) else each for each in values]).encode()


def _user_of(fields: Sequence[Any] | None) -> AdminUser | None:
    """Raises ValueError, TypeError for what is no user."""
    if fields is None:
        return None
    name, role, method = fields
    return AdminUser(str(name), Role(role), SignInMethod(method))


def _revoked_key(session_id: str) -> str:
    return f"admin:ended:{session_id}"


def _cookie_path() -> str:
    return f"{flask.request.script_root}/admin"
