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
from gateway.ports.store import Store
from gateway.ports.token_buckets import Rate
from gateway.web.api import client_address

COOKIE_NAME = "gateway_admin"
FORM_COOKIE = "gateway_admin_form"
"""For the sign-in form. Of another name, so that a request which came without the session does not end it."""
DEVICE_COOKIE = "gateway_admin_device"
"""For a browser in which the password was right once: wrong ones of others do not count there."""
DEVICE_SECONDS = 180 * 24 * 3600
SIGNING_KEY_NAME = "admin:key"
"""Name of the stored secret that session cookies are signed with. All processes share it."""
RATE = Rate(interval=30.0, burst=5)
"""How often a password may be tried from one network, or in one browser that is known."""
RATE_OF_ALL = Rate(interval=5.0, burst=30)
"""How often it is tried by everyone together before the log warns of it. Nobody is refused for that."""
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
        return self._read(COOKIE_NAME) or self._read(FORM_COOKIE)

    def _read(self, cookie: str) -> SessionCookie | None:
        try:
            name, signed_in, until = self._signer().loads(flask.request.cookies.get(cookie, ""))
        except (BadSignature, ValueError):
            return None
        if time.time() >= until or (signed_in and self._store.get_value(_revoked_key(name))):
            return None
        return SessionCookie(name, signed_in)

    def issue(self, response: flask.Response, *, signed_in: bool) -> SessionCookie:
        """Sets a new session cookie on the response and returns the session."""
        new = SessionCookie(secrets.token_urlsafe(18), signed_in)
        signed = self._signer().dumps([new.session_id, new.signed_in, int(time.time()) + self._max_age])
        self._set_cookie(response, COOKIE_NAME if signed_in else FORM_COOKIE, signed, self._max_age)
        if signed_in and self._known_device() is None:
            device = self._signer().dumps([DEVICE_COOKIE, secrets.token_urlsafe(18)])
            self._set_cookie(response, DEVICE_COOKIE, device, DEVICE_SECONDS)
        return new

    def _set_cookie(self, response: flask.Response, name: str, value: str, max_age: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path=_cookie_path(),
            secure=client_address.is_https(self._trusted_proxies),
            httponly=True,
            samesite="Lax",  # a link in an alert leads to its page; changes need the form's token
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
        log.info("operator signed out")

    def csrf_token(self, cookie: SessionCookie) -> str:
        """Returns the token that a form must send back, which protects against forms of other sites (CSRF)."""
        return hmac.new(self._signing_key(), f"form {cookie.session_id}".encode(), sha256).hexdigest()

    def has_valid_csrf_token(self, cookie: SessionCookie | None) -> bool:
        token = flask.request.form.get("token", "")
        return cookie is not None and hmac.compare_digest(token.encode(), self.csrf_token(cookie).encode())

    def check_password(self, password: str) -> bool:
        """Returns whether the password is right.

        Raises Overloaded after too many attempts from one network, or in one known browser, in all processes.
        """
        source = client_address.client_network(self._trusted_proxies)
        bucket = f"admin:sign-in:{self._known_device() or source}"
        if self._store.take_token(bucket, RATE, max_wait=0.0) is None:
            log.warning("sign-in refused: too many attempts", source=source)
            raise Overloaded(
                TOO_MANY_ATTEMPTS.format(math.ceil(RATE.interval)), code="rate_limited", retry_after=RATE.interval
            )
        if self._store.take_token("admin:sign-in", RATE_OF_ALL, max_wait=0.0) is None:
            log.warning("the password of the operator's pages is tried very often", source=source)
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
