"""Fetches what an OpenID provider publishes, and calls its endpoints. Redirects are not followed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from gateway.admin.access.oidc_values import SignInFailed
from gateway.http_client import HttpClient, read_limited, reason_of

DISCOVERY_PATH = "/.well-known/openid-configuration"
"""openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig"""
MAX_BYTES = 512 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=10.0)
DOCUMENT_SECONDS = 3600.0
"""For which a document is not fetched again."""
RELOAD_SECONDS = 30.0
"""Between two reloads of the keys because a token names one that is not known."""
ERROR = 400
"""The first HTTP status of an error."""
AWAY = "The sign-in provider does not answer. Try again in a minute."
UNREADABLE = "The sign-in provider's answer cannot be read. Its address may be wrong: see ADMIN_OIDC_ISSUER."


class ProviderMetadata(BaseModel):
    """The provider's discovery document, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    id_token_signing_alg_values_supported: list[str] = ["RS256"]
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    code_challenge_methods_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool = False

    @property
    def endpoints(self) -> Mapping[str, str]:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint")
        return {name: url for name in names if (url := getattr(self, name))}


class ProviderDocuments:
    """The provider's metadata and keys, kept for an hour. Methods raise SignInFailed."""

    def __init__(self, issuer: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._clock = clock
        self._metadata: tuple[float, ProviderMetadata] | None = None
        self._keys: tuple[float, dict[str, Any]] | None = None

    async def metadata(self) -> ProviderMetadata:
        if self._metadata is None or self._clock() > self._metadata[0] + DOCUMENT_SECONDS:
            found = read_metadata(await get_json(self._issuer.rstrip("/") + DISCOVERY_PATH), self._issuer)
            self._metadata = self._clock(), found
        return self._metadata[1]

    async def keys(self, *, is_stale: bool = False) -> dict[str, Any]:
        """Returns the set of keys (JWKS). ``is_stale``: a key was missing in the one that was returned before."""
        kept = self._keys
        if kept is None or self._clock() > kept[0] + (RELOAD_SECONDS if is_stale else DOCUMENT_SECONDS):
            kept = self._keys = self._clock(), await get_json((await self.metadata()).jwks_uri)
        return kept[1]


def read_metadata(document: Mapping[str, Any], issuer: str) -> ProviderMetadata:
    """Raises SignInFailed for a document of another issuer, or with endpoints that anybody could read along."""
    try:
        metadata = ProviderMetadata.model_validate(document)
    except ValidationError as exc:
        fields = ", ".join(str(error["loc"][0]) for error in exc.errors())
        raise SignInFailed("discovery", UNREADABLE, 502, detail=f"discovery document: {fields}") from None
    if metadata.issuer.rstrip("/") != issuer.rstrip("/"):
        raise SignInFailed("issuer", UNREADABLE, 502, detail="the discovery document is of another issuer")
    insecure = [name for name, url in metadata.endpoints.items() if not is_secure(url)]
    if insecure:
        detail = f"no https address: {', '.join(insecure)}"
        raise SignInFailed("insecure", UNREADABLE, 502, detail=detail)
    return metadata


def is_secure(url: str) -> bool:
    """Returns whether a URL is https, or http on this machine."""
    try:
        parsed = URL(url)
    except ValueError:
        return False
    if parsed.scheme == "https":
        return bool(parsed.host)
    host = parsed.host or ""
    with suppress(ValueError):
        return parsed.scheme == "http" and ip_address(host).is_loopback
    return parsed.scheme == "http" and host == "localhost"


async def get_json(url: str, bearer: str = "") -> dict[str, Any]:
    """Returns the JSON object at a URL. Raises SignInFailed."""
    headers = {"Accept": "application/json", **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
    status, found = await _request("GET", url, headers)
    if status != 200:  # noqa: PLR2004
        raise SignInFailed("provider_status", AWAY, 502, detail=f"status {status} at {URL(url).path}")
    return found


async def post_form(url: str, form: str, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Posts a form; returns the status and the JSON object of the answer. Raises SignInFailed."""
    own = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    return await _request("POST", url, {**headers, **own}, form.encode())


async def _request(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[int, dict[str, Any]]:
    http = HttpClient()  # a sign-in is rare: nothing is kept open for the next one
    try:
        sent = await http.send(method, url, headers=headers, timeout=TIMEOUT, body=body, max_redirects=0)
        async with sent as response:
            return response.status, _object(await read_limited(response, MAX_BYTES), is_error=response.status >= ERROR)
    except (aiohttp.ClientError, OSError) as exc:  # TimeoutError is an OSError
        cause = str(getattr(exc, "strerror", None) or reason_of(exc)) or type(exc).__name__
        raise SignInFailed("provider_away", AWAY, 503, detail=f"cannot be reached: {cause}") from exc
    except ValueError as exc:
        raise SignInFailed("provider_answer", UNREADABLE, 502, detail=f"no JSON at {URL(url).path}") from exc
    finally:
        await http.close()


def _object(body: bytes, *, is_error: bool) -> dict[str, Any]:
    """Returns a JSON object; an empty one for an error page. Raises ValueError."""
    with suppress(ValueError):
        found = json.loads(body)
        if isinstance(found, dict):
            return found
    if is_error:
        return {}
    raise ValueError("no JSON object")
