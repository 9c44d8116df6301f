"""Signs operators in: checks the password, issues and verifies the session cookie and the CSRF token of forms."""

from __future__ import annotations

import hmac
import math
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256

import flask
from itsdangerous import BadSignature, URLSafeSerializer

from gateway import logs
from gateway.admin.settings import AdminSettings
from gateway.domain.errors import Overloaded
from gateway.ports.store import Rate, Store
from gateway.web.api import client_address

COOKIE_NAME = "gateway_admin"
SIGNING_KEY_NAME = "admin:key"
"""Name of the stored secret that session cookies are signed with. All processes share it."""
RATE_PER_NETWORK = Rate(interval=30.0, burst=5)
RATE_OF_ALL = Rate(interval=5.0, burst=30)
"""How often a password may be tried: from one network, and by everyone together."""
TOO_MANY_ATTEMPTS = "Too many attempts. Try again in {} seconds."

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """The session of a browser. One that is not ``signed_in`` is valid only for the sign-in form's CSRF token."""

    session_id: str
    signed_in: bool


class AdminSession:
    """Operator sessions. Thread-safe. Methods work on the current request and may raise StoreUnavailable."""

    def __init__(self, settings: AdminSettings, store: Store) -> None:
        if settings.admin_password is None:
            raise ValueError("admin_password is not set, so there are no operator sessions")
        self._password = settings.admin_password.get_secret_value().encode()
        self._max_age = math.ceil(settings.admin_hours * 3600)
        self._trusted_proxies = settings.trusted_proxies
        self._store = store
        self._cached_signing_key: bytes | None = None

    def load(self) -> SessionCookie | None:
        """Returns the session from the browser's cookie, or None if it is forged, expired or revoked."""
        try:
            name, signed_in, until = self._signer().loads(flask.request.cookies.get(COOKIE_NAME, ""))
        except (BadSignature, ValueError):
            return None
        if time.time() >= until or (signed_in and self._store.get_value(_revoked_key(name))):
            return None
        return SessionCookie(name, signed_in)

    def issue(self, response: flask.Response, *, signed_in: bool) -> SessionCookie:
        """Sets a new session cookie on the response and returns the session."""
        new = SessionCookie(secrets.token_urlsafe(18), signed_in)
        response.set_cookie(
            COOKIE_NAME,
            self._signer().dumps([new.session_id, new.signed_in, int(time.time()) + self._max_age]),
            max_age=self._max_age,
            path=_cookie_path(),
            secure=client_address.is_https(self._trusted_proxies),
            httponly=True,
            samesite="Strict",
        )
        return new

    def revoke(self, cookie: SessionCookie, response: flask.Response) -> None:
        """Revokes a session for good, including copies of its cookie, and deletes the cookie."""
        self._store.set_value_if_absent(_revoked_key(cookie.session_id), f"{time.time():.0f}")
        response.delete_cookie(COOKIE_NAME, path=_cookie_path())
        log.info("operator signed out")

    def csrf_token(self, cookie: SessionCookie) -> str:
        """Returns the token that a form must send back, which protects against forms of other sites (CSRF)."""
        return hmac.new(self._signing_key(), f"form {cookie.session_id}".encode(), sha256).hexdigest()

    def has_valid_csrf_token(self, cookie: SessionCookie | None) -> bool:
        token = flask.request.form.get("token", "")
        return cookie is not None and hmac.compare_digest(token.encode(), self.csrf_token(cookie).encode())

    def check_password(self, password: str) -> bool:
        """Returns whether the password is right. Raises Overloaded after too many attempts in all processes."""
        source = client_address.client_network(self._trusted_proxies)
        # The network's limit comes first: attempts that it refuses do not use up the limit shared by all.
        for bucket, rate in ((f"admin:sign-in:{source}", RATE_PER_NETWORK), ("admin:sign-in", RATE_OF_ALL)):
            if self._store.take_token(bucket, rate, max_wait=0.0) is None:
                log.warning("sign-in refused: too many attempts", source=source)
                raise Overloaded(
                    TOO_MANY_ATTEMPTS.format(math.ceil(rate.interval)), code="rate_limited", retry_after=rate.interval
                )
        # Digests have equal length, so the duration reveals nothing about the password.
        right = hmac.compare_digest(sha256(password.encode()).digest(), sha256(self._password).digest())
        write, event = (log.info, "operator signed in") if right else (log.warning, "sign-in refused: wrong password")
        write(event, source=source)
        return right

    def _signer(self) -> URLSafeSerializer:
        options = {"digest_method": sha256, "key_derivation": "hmac"}
        return URLSafeSerializer(self._signing_key(), salt="admin pass", signer_kwargs=options)

    def _signing_key(self) -> bytes:
        """Derives the key from a secret in the database and the password; changing either ends all sessions."""
        if self._cached_signing_key is None:
            self._cached_signing_key = hmac.new(
                self._store.set_value_if_absent(SIGNING_KEY_NAME, secrets.token_hex(32)).encode(),
                self._password,
                sha256,
            ).digest()
        return self._cached_signing_key


def _revoked_key(session_id: str) -> str:
    return f"admin:ended:{session_id}"


def _cookie_path() -> str:
    return f"{flask.request.script_root}/admin"
