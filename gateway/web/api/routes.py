"""Native routes: what a route that runs on the event loop is given and returns. Knows no web framework."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs

from gateway.domain.errors import MalformedRequest
from gateway.json_text import encode_json
from gateway.ports.inbox import AsyncInbox
from gateway.web.api.cors import Cors
from gateway.web.api.problems import JsonResponse

AsgiMessage = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
"""The types of ASGI: asgi.readthedocs.io/en/latest/specs/www.html"""

JSON = "application/json"
DEFAULT_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""What every response has, native or of Flask, unless it says otherwise."""


class ClientDisconnected(Exception):
    """The client closed the connection before it had sent its whole request. Nobody is left to answer."""


class HttpRequest:
    """A request to a native route. Header names are lower case, and values Latin-1, as WSGI has them too."""

    __slots__ = ("_query", "_query_values", "_receive", "headers", "method", "path", "path_values", "peer")

    def __init__(self, scope: Scope, receive: Receive, path_values: Mapping[str, str]) -> None:
        """``path_values``: the parts of the path for the placeholders of the route."""
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = headers_of(scope)
        self.path_values = path_values
        self.peer: str = scope["client"][0] if scope.get("client") else ""
        """The address of the other end of the connection, which may be a proxy; "" for a Unix socket."""
        self._query: bytes = scope["query_string"]
        self._query_values: Mapping[str, Sequence[str]] | None = None
        self._receive = receive

    @property
    def query(self) -> str:
        """What follows ``?`` in the address."""
        return self._query.decode("latin-1")

    def query_value(self, name: str) -> str:
        """Returns the first value of a query parameter; "" if there is none."""
        values = self.query_values(name)
        return values[0] if values else ""

    def query_values(self, name: str) -> Sequence[str]:
        if self._query_values is None:
            self._query_values = parse_qs(self.query)
        return self._query_values.get(name, [])

    def body_pieces(self, max_bytes: int) -> AsyncIterator[bytes]:
        """Yields the body as it arrives. Raises MalformedRequest (``payload_too_large``), ClientDisconnected."""
        return body_pieces(self._receive, self.headers, max_bytes)

    async def read_body(self, max_bytes: int) -> bytes:
        """Returns the whole body. Raises MalformedRequest (``payload_too_large``), ClientDisconnected."""
        return await read_body(self._receive, self.headers, max_bytes)

    async def wait_until_disconnected(self) -> None:
        """Returns once the client has closed the connection. Called after ``read_body``."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The answer of a native route."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[str | bytes] | None = None
    """Sent instead of ``body``, each item at once."""
    on_close: Callable[[], None] = lambda: None
    """Called when the response is sent, or when it can no longer be sent."""


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One native route. ``path`` is written as in Flask: ``/things/<thing_id>``."""

    method: str
    path: str
    handle: Handler
    """Runs on the event loop and must not block it. Raises GatewayError, ClientDisconnected."""


def _as_it_is(response: JsonResponse, _: Exception | None) -> JsonResponse:
    return response


def _no_name() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Api:
    """Native routes below one path: everything else below it does not exist, in Flask neither."""

    prefix: str
    routes: Sequence[Route]
    cors: Cors
    """Which pages of other origins may call it."""
    also_at: Sequence[str] = ()
    """Other paths below which the same routes are, the longest first."""
    error_form: Callable[[JsonResponse, Exception | None], JsonResponse] = _as_it_is
    """Gives an error, as ``gateway.web.api.problems`` makes it, the form of this API. It is also given what was raised,
    unless all APIs refuse that alike.
    """
    load: Callable[[], Sequence[Route]] | None = None
    """Returns further routes. Called once, in a thread, when the first request below the path comes."""
    name_request: Callable[[], str] = _no_name
    """Returns a name for a request, for the log and for ``X-Request-Id`` of its answer; "" for none."""


@runtime_checkable
class HasApi(Protocol):
    """An adapter with native routes."""

    def api(self, inbox: AsyncInbox) -> Api: ...


def json_response(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Returns a response with a JSON body, non-ASCII characters unescaped."""
    return HttpResponse(encode_json(body) + b"\n", status, {"Content-Type": JSON, **(headers or {})})


def headers_of(scope: Scope) -> dict[str, str]:
    """Returns the headers of a request; those that come several times are joined by commas."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


async def read_body(receive: Receive, headers: Mapping[str, str], max_bytes: int) -> bytes:
    """Returns a request's whole body. Raises MalformedRequest (``payload_too_large``), ClientDisconnected."""
    _check_head(headers, max_bytes)
    pieces: list[bytes] = []
    size, more = 0, True
    while more:  # not by ``body_pieces``, as most bodies are one piece, and a generator costs more than to read that
        piece, more = await _next_piece(receive, size, max_bytes)
        size += len(piece)
        pieces.append(piece)
    return b"".join(pieces)


async def body_pieces(receive: Receive, headers: Mapping[str, str], max_bytes: int) -> AsyncIterator[bytes]:
    """Yields a request's body as it arrives. Raises MalformedRequest (``payload_too_large``), ClientDisconnected.

    Refuses a body as soon as its declared or its received length is above ``max_bytes``, and one that is compressed
    (``unsupported_media_type``), as its size is not known before it is read.
    """
    _check_head(headers, max_bytes)
    size, more = 0, True
    while more:
        piece, more = await _next_piece(receive, size, max_bytes)
        size += len(piece)
        yield piece


def _check_head(headers: Mapping[str, str], max_bytes: int) -> None:
    """Raises MalformedRequest for a body that is not to be read at all."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        explanation = "The body is compressed or encoded. Send it as it is, without Content-Encoding."
        raise MalformedRequest(explanation, code="unsupported_media_type")
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise _too_large(max_bytes)


async def _next_piece(receive: Receive, size: int, max_bytes: int) -> tuple[bytes, bool]:
    """Returns a piece of a body of which ``size`` bytes have come, and whether there are more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    piece = message.get("body", b"")
    if size + len(piece) > max_bytes:
        raise _too_large(max_bytes)
    return piece, message.get("more_body", False)


def _too_large(max_bytes: int) -> MalformedRequest:
    return MalformedRequest(f"The body is larger than {max_bytes} bytes.", code="payload_too_large")
