"""An OpenID provider on loopback: authorization code flow with PKCE, and ID tokens that a test may spoil.

openid.net/specs/openid-connect-core-1_0.html, www.rfc-editor.org/rfc/rfc7636. It signs by hand, with ``cryptography``
alone, so that it shares nothing with what verifies.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fakes.receiver import FakeReceiver, HttpAnswer, ReceivedRequest

CLIENT_ID = "gateway"
CLIENT_SECRET = "the secret of the client"

Claims = dict[str, Any]


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Returns one key for each name in a test run, as making one takes long."""
    assert name
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class SignedIn:
    """What the provider remembers of a code."""

    query: dict[str, str]
    """Of the authorization request."""
    uses: int = 0


@dataclass
class FakePerson:
    """Who is signed in at the provider."""

    sub: str = "user-1"
    claims: Claims = field(default_factory=lambda: {"email": "ann@example.com", "email_verified": True})
    user_info: Claims = field(default_factory=dict)


class FakeOidcProvider:
    """Use ``with FakeOidcProvider() as provider``. Attributes may be changed between two requests."""

    def __init__(self) -> None:
        self.person = FakePerson()
        self.key_id = "key-1"
        self.change_claims: Callable[[Claims], Claims] = lambda claims: claims
        """Spoils the claims of ID tokens."""
        self.sign: Callable[[Claims], str] = self.signed
        """Makes an ID token of claims."""
        self.metadata: Claims = {}
        """Replaces what the discovery document says; None as a value leaves it out."""
        self.is_lax = False
        """Whether a code may be used again."""
        self.faults: dict[str, tuple[int, str]] = {}
        """Status and body to answer a path with instead."""
        self.requests: list[str] = []
        self.codes: dict[str, SignedIn] = {}
        self._server = FakeReceiver(self._answer, path="")

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.__exit__(*exc)

    @property
    def issuer(self) -> str:
        return self._server.url

    # ------------------------------------------------------------ a person in a browser

    def authorize(self, address: str) -> str:
        """Signs the person in, as if a browser had come to the address; returns where it is sent back to."""
        query = dict(parse_qsl(urlsplit(address).query))
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(12)
        self.codes[code] = SignedIn(query)
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    # ------------------------------------------------------------ tokens

    def signed(self, claims: Claims, key: rsa.RSAPrivateKey | None = None) -> str:
        """Returns a token signed with RS256, by the provider's own key or another one."""
        text = f"{_encoded({'alg': 'RS256', 'kid': self.key_id})}.{_encoded(claims)}"
        signature = (key or rsa_key(self.key_id)).sign(text.encode(), padding.PKCS1v15(), SHA256())
        return f"{text}.{_base64(signature)}"

    def unsigned(self, claims: Claims) -> str:
        return f"{_encoded({'alg': 'none', 'kid': self.key_id})}.{_encoded(claims)}."

    def signed_with_public_key(self, claims: Claims) -> str:
        """Returns a token whose HMAC has the published key as its secret (the confusion of RS256 and HS256)."""
        text = f"{_encoded({'alg': 'HS256', 'kid': self.key_id})}.{_encoded(claims)}"
        public = rsa_key(self.key_id).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return f"{text}.{_base64(hmac.new(public, text.encode(), hashlib.sha256).digest())}"

    # ------------------------------------------------------------ HTTP

    def _answer(self, request: ReceivedRequest) -> HttpAnswer:
        path = urlsplit(request.path).path
        self.requests.append(path)
        if path in self.faults:
            status, text = self.faults[path]
        else:
            status, found = self._found(path, request)
            text = json.dumps(found)
        return status, {"content-type": "application/json"}, text

    def _found(self, path: str, request: ReceivedRequest) -> tuple[int, Claims]:
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._discovery()
            case "/jwks":
                return 200, {"keys": [_public_jwk(self.key_id)]}
            case "/token":
                return self._token(request)
            case "/userinfo" if request.headers.get("authorization") == "Bearer access":
                return 200, {"sub": self.person.sub, **self.person.user_info}
            case _:
                return 404, {"error": "not_found"}

    def _discovery(self) -> Claims:
        paths = {"authorization": "authorize", "token": "token", "userinfo": "userinfo", "end_session": "sign-out"}
        document = {
            "issuer": self.issuer,
            **{f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in paths.items()},
            "jwks_uri": f"{self.issuer}/jwks",
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            **self.metadata,
        }
        return {name: value for name, value in document.items() if value is not None}

    def _token(self, request: ReceivedRequest) -> tuple[int, Claims]:
        form = request.form
        login = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {login}":
            return 401, {"error": "invalid_client"}
        signed_in = self.codes.get(form.get("code", ""))
        if form.get("grant_type") != "authorization_code" or signed_in is None:
            return 400, {"error": "invalid_grant"}
        signed_in.uses += 1
        challenge = _base64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        fits = (
            challenge == signed_in.query["code_challenge"] and form["redirect_uri"] == signed_in.query["redirect_uri"]
        )
        if not fits or (signed_in.uses > 1 and not self.is_lax):
            return 400, {"error": "invalid_grant", "error_description": "<b>code</b>"}
        return 200, {"token_type": "Bearer", "access_token": "access", "id_token": self._id_token(signed_in)}

    def _id_token(self, signed_in: SignedIn) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": signed_in.query["client_id"],
            "sub": self.person.sub,
            "iat": now,
            "exp": now + 300,
            "nonce": signed_in.query["nonce"],
            **self.person.claims,
        }
        return self.sign(self.change_claims(claims))


def refusal(address: str, error: str) -> str:
    """Returns where a browser is sent back to when the provider does not sign the person in."""
    query = dict(parse_qsl(urlsplit(address).query))
    return f"{query['redirect_uri']}?error={quote(error)}&state={quote(query['state'])}"


def _public_jwk(key_id: str) -> Claims:
    numbers = rsa_key(key_id).public_key().public_numbers()
    parts = {name: _base64(value.to_bytes(-(-value.bit_length() // 8), "big")) for name, value in _rsa_parts(numbers)}
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, **parts}


def _rsa_parts(numbers: rsa.RSAPublicNumbers) -> tuple[tuple[str, int], ...]:
    return ("n", numbers.n), ("e", numbers.e)


def _encoded(value: Claims) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
