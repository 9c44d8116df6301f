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

COOKIE = "gateway_admin"
KEY = "admin:key"
"""Name of the stored secret that session cookies are signed with. All processes share it."""
FROM_ONE = Rate(every=30.0, burst=5)
FROM_ALL = Rate(every=5.0, burst=30)
"""How often a password may be tried: from one network, and by everyone together."""
WAIT = "Too many attempts. Try again in {} seconds."

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """The session of a browser. One that is not ``signed_in`` is valid only for the sign-in form's CSRF token."""

    name: str
    signed_in: bool


class Door:
    """Operator sessions. Thread-safe. Methods work on the current request and may raise StoreUnavailable."""

    def __init__(self, settings: AdminSettings, store: Store) -> None:
        if settings.admin_password is None:
            raise ValueError("admin_password is not set, so there are no operator sessions")
        self._password = settings.admin_password.get_secret_value().encode()
        self._seconds = math.ceil(settings.admin_hours * 3600)
        self._proxies = settings.trusted_proxies
        self._store = store
        self._key: bytes | None = None

    def shown(self) -> Pass | None:
        """Returns the session from the browser's cookie, or None if it is forged, expired or revoked."""
        try:
            name, signed_in, until = self._signer().loads(flask.request.cookies.get(COOKIE, ""))
        except (BadSignature, ValueError):
            return None
        if time.time() >= until or (signed_in and self._store.recall(_ended(name))):
            return None
        return Pass(name, signed_in)

    def hand_out(self, response: flask.Response, *, signed_in: bool) -> Pass:
        """Sets a new session cookie on the response and returns the session."""
        new = Pass(secrets.token_urlsafe(18), signed_in)
        response.set_cookie(
            COOKIE,
            self._signer().dumps([new.name, new.signed_in, int(time.time()) + self._seconds]),
            max_age=self._seconds,
            path=_path(),
            secure=client_address.by_https(self._proxies),
            httponly=True,
            samesite="Strict",
        )
        return new

    def take_back(self, given: Pass, response: flask.Response) -> None:
        """Revokes a session for good, including copies of its cookie, and deletes the cookie."""
        self._store.remember(_ended(given.name), f"{time.time():.0f}")
        response.delete_cookie(COOKIE, path=_path())
        log.info("operator signed out")

    def form_token(self, given: Pass) -> str:
        """Returns the token that a form must send back, which protects against forms of other sites (CSRF)."""
        return hmac.new(self._signing_key(), f"form {given.name}".encode(), sha256).hexdigest()

    def form_is_ours(self, given: Pass | None) -> bool:
        token = flask.request.form.get("token", "")
        return given is not None and hmac.compare_digest(token.encode(), self.form_token(given).encode())

    def try_password(self, password: str) -> bool:
        """Returns whether the password is right. Raises Overloaded after too many attempts in all processes."""
        source = client_address.network(self._proxies)
        # The network's limit comes first: attempts that it refuses do not use up the limit shared by all.
        for bucket, rate in ((f"admin:sign-in:{source}", FROM_ONE), ("admin:sign-in", FROM_ALL)):
            if self._store.reserve(bucket, rate, patience=0.0) is None:
                log.warning("sign-in refused: too many attempts", source=source)
                raise Overloaded(WAIT.format(math.ceil(rate.every)), code="rate_limited", retry_after=rate.every)
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
        if self._key is None:
            self._key = hmac.new(
                self._store.remember(KEY, secrets.token_hex(32)).encode(), self._password, sha256
            ).digest()
        return self._key


def _ended(name: str) -> str:
    return f"admin:ended:{name}"


def _path() -> str:
    return f"{flask.request.script_root}/admin"
