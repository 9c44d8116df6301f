"""Who may see the operator's pages: the password, the pass that a browser carries after it, what its forms carry."""

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
from gateway.api import callers
from gateway.errors import Overloaded
from gateway.storing import Rate, Store

COOKIE = "gateway_admin"
KEY = "admin:key"
"""The fact that passes are signed with. All processes share it."""
FROM_ONE = Rate(every=30.0, burst=5)
FROM_ALL = Rate(every=5.0, burst=30)
"""How often a password may be tried: from one network, and in all."""
WAIT = "Too many attempts. Try again in {} seconds."

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a browser carries. Each has a name of its own; one that is not ``signed_in`` only fits a sign-in form."""

    name: str
    signed_in: bool


class Door:
    """Thread-safe. Every method works on the present request, and may raise StoreUnavailable."""

    def __init__(self, settings: AdminSettings, store: Store) -> None:
        if settings.admin_password is None:
            raise ValueError("There is no door without a password.")
        self._password = settings.admin_password.get_secret_value().encode()
        self._seconds = math.ceil(settings.admin_hours * 3600)
        self._proxies = settings.trusted_proxies
        self._store = store
        self._key: bytes | None = None

    def shown(self) -> Pass | None:
        """The pass that the browser carries, if it is one of ours, not too old, and was not given back."""
        try:
            name, signed_in, until = self._signer().loads(flask.request.cookies.get(COOKIE, ""))
        except (BadSignature, ValueError):
            return None
        if time.time() >= until or (signed_in and self._store.recall(_ended(name))):
            return None
        return Pass(name, signed_in)

    def hand_out(self, response: flask.Response, *, signed_in: bool) -> Pass:
        """Give the browser a new pass."""
        new = Pass(secrets.token_urlsafe(18), signed_in)
        response.set_cookie(
            COOKIE,
            self._signer().dumps([new.name, new.signed_in, int(time.time()) + self._seconds]),
            max_age=self._seconds,
            path=_path(),
            secure=callers.by_https(self._proxies),
            httponly=True,
            samesite="Strict",
        )
        return new

    def take_back(self, given: Pass, response: flask.Response) -> None:
        """It opens nothing any more, wherever else it may have got to."""
        self._store.remember(_ended(given.name), f"{time.time():.0f}")
        response.delete_cookie(COOKIE, path=_path())
        log.info("operator signed out")

    def form_token(self, given: Pass) -> str:
        """What a form has to bring back, so that no other site's can stand in for it."""
        return hmac.new(self._signing_key(), f"form {given.name}".encode(), sha256).hexdigest()

    def form_is_ours(self, given: Pass | None) -> bool:
        token = flask.request.form.get("token", "")
        return given is not None and hmac.compare_digest(token.encode(), self.form_token(given).encode())

    def try_password(self, password: str) -> bool:
        """Whether it is the right one. Raises Overloaded when it was tried too often, by whichever process."""
        source = callers.network(self._proxies)
        # First those of one network: what is refused there takes nothing from the others.
        for bucket, rate in ((f"admin:sign-in:{source}", FROM_ONE), ("admin:sign-in", FROM_ALL)):
            if self._store.reserve(bucket, rate, patience=0.0) is None:
                log.warning("sign-in refused: too many attempts", source=source)
                raise Overloaded(WAIT.format(math.ceil(rate.every)), code="rate_limited", retry_after=rate.every)
        # Digests are of one length, so the time that this takes says nothing.
        right = hmac.compare_digest(sha256(password.encode()).digest(), sha256(self._password).digest())
        tell, what = (log.info, "operator signed in") if right else (log.warning, "sign-in refused: wrong password")
        tell(what, source=source)
        return right

    def _signer(self) -> URLSafeSerializer:
        options = {"digest_method": sha256, "key_derivation": "hmac"}
        return URLSafeSerializer(self._signing_key(), salt="admin pass", signer_kwargs=options)

    def _signing_key(self) -> bytes:
        """Of the database and the password: with another one of either, no pass fits any more."""
        if self._key is None:
            self._key = hmac.new(
                self._store.remember(KEY, secrets.token_hex(32)).encode(), self._password, sha256
            ).digest()
        return self._key


def _ended(name: str) -> str:
    return f"admin:ended:{name}"


def _path() -> str:
    return f"{flask.request.script_root}/admin"
