"""Sends requests to the assistant's server as the SDK makes them, over the gateway's HTTP client.

The SDK knows keys, addresses (on Azure the deployment and the version are in them), headers and exceptions. It makes
the first request of a kind, which is not sent; those that are sent are made like it, at a tenth of the cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import aiohttp
import httpx2
from yarl import URL

from gateway.assistants import sdk
from gateway.assistants.request_body import encode_body
from gateway.assistants.sse import Json
from gateway.http_client import HttpClient, read_limited

CONNECT_SECONDS = 10.0
LEFT_TO_HTTP = frozenset({"host", "connection", "accept-encoding", "content-length", "cookie"})
"""Headers that depend on the connection or on the single request."""
TELEMETRY = "x-stainless-"
"""How the headers begin in which the SDK tells the versions of all that it runs on. They were half of a request's."""

MAX_ERROR_BYTES = 2**20
MOST_TEMPLATES = 500
"""Callers of ``/v1`` may name any model."""

RequestKind = tuple[str, str, object, float | None]
"""All that the SDK's request depends on: the method, the first segment of the path, the model, which on Azure is in the
URL, and the seconds without a byte."""


@lru_cache(maxsize=64)  # there are few different URLs
def _parse_url(url: str) -> URL:
    return URL(url, encoded=True)


class _Unsent(httpx2.AsyncBaseTransport):
    """Answers each request of the SDK with nothing, so that it makes requests without sending them."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, request=request)


class SdkHttpClient(httpx2.AsyncClient):
    """What the SDK is to use for HTTP. Has the client that does send, and closes it."""

    def __init__(self, http: HttpClient) -> None:
        super().__init__(transport=_Unsent())
        self.http = http

    async def aclose(self) -> None:
        await self.http.close()
        await super().aclose()


@dataclass(frozen=True, slots=True, repr=False)  # the headers hold the key
class RequestTemplate:
    """A request as the SDK made it, to make further ones that differ in path, query and body."""

    url_prefix: str
    """The URL up to the requested path; on Azure it contains the deployment."""
    url_suffix: str
    headers: Mapping[str, str]
    timeout: aiohttp.ClientTimeout

    @classmethod
    def from_request(cls, request: httpx2.Request, path: str) -> Self:
        before, _, after = str(request.url).rpartition(path)
        said = ((name, value) for name, value in request.headers.items() if not name.lower().startswith(TELEMETRY))
        headers = {name: value for name, value in said if name.lower() not in LEFT_TO_HTTP}
        seconds = request.extensions["timeout"]
        timeout = aiohttp.ClientTimeout(sock_connect=seconds["connect"], sock_read=seconds["read"])
        return cls(before, after, headers, timeout)

    def headers_of(self, body: object, more: Mapping[str, str]) -> Mapping[str, str]:
        """Returns the headers. A form brings its own type."""
        if isinstance(body, aiohttp.FormData):
            return {name: value for name, value in self.headers.items() if name != "content-type"}
        return {**self.headers, **more} if more else self.headers

    def url_for(self, path: str, query: Mapping[str, object]) -> URL:
        url = _parse_url(f"{self.url_prefix}{path}{self.url_suffix}")
        return url.extend_query({name: str(value) for name, value in query.items()}) if query else url


class Transport:
    """One per server. Is closed with the SDK's client."""

    def __init__(self, client: sdk.AsyncOpenAI, headers: Mapping[str, str]) -> None:
        """``client``: made with an SdkHttpClient. ``headers``: sent with every request."""
        below = client._client  # noqa: SLF001  # the SDK has no public access to it
        assert isinstance(below, SdkHttpClient)  # noqa: S101  # as ``connect`` made it
        self._client = client
        self._headers = dict(headers)
        self._http = below.http
        self._templates: dict[RequestKind, RequestTemplate] = {}

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Json | aiohttp.FormData | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        model: str | None = None,
        idle_seconds: float | None = None,
    ) -> aiohttp.ClientResponse:
        """Makes one attempt. Returns a response of success, to be used as one of ``HttpClient.send``.

        ``body``: JSON or a form; ``model``: that a form names. ``headers``: in lower case, instead of the usual ones.
        ``idle_seconds``: without a byte (None: the client's own limit). Raises sdk.APIStatusError for any other
        response, ValueError for a body that cannot be JSON, and what HttpClient.send raises.
        """
        of_model = body.get("model") if isinstance(body, dict) else model
        kind = (method, path.split("/", 2)[1], of_model, idle_seconds)
        template = self._templates.get(kind) or await self._make_template(kind, path)
        response = await self._http.send(
            method,
            template.url_for(path, query or {}),
            headers=template.headers_of(body, headers or {}),
            timeout=template.timeout,
            body=encode_body(body) if isinstance(body, dict) else body,
        )
        if not 200 <= response.status < 300:  # noqa: PLR2004  # what HTTP calls success
            raise await self._status_error(response, method)
        return response

    async def _make_template(self, kind: RequestKind, path: str) -> RequestTemplate:
        if len(self._templates) >= MOST_TEMPLATES:
            self._templates.clear()
        method, _, model, idle_seconds = kind
        options: Any = {"headers": self._headers}
        if idle_seconds is not None:
            options["timeout"] = httpx2.Timeout(idle_seconds, connect=CONNECT_SECONDS)
        body = {"body": {"model": model} if model else {}} if method == "POST" else {}
        make = getattr(self._client, method.lower())
        made: httpx2.Response = await make(path, cast_to=httpx2.Response, options=options, **body)
        template = self._templates[kind] = RequestTemplate.from_request(made.request, path)
        return template

    async def _status_error(self, response: aiohttp.ClientResponse, method: str) -> sdk.APIStatusError:
        """Returns the exception that the SDK has for a response."""
        content = await read_limited(response, MAX_ERROR_BYTES)
        headers = [(name, value) for name, value in response.headers.items() if name.lower() != "content-encoding"]
        request = httpx2.Request(method, str(response.url))
        said = httpx2.Response(response.status, headers=headers, content=content, request=request)
        return self._client._make_status_error_from_response(said)  # noqa: SLF001  # the SDK has no public access to it
