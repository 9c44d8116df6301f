"""The HTTP client for requests to assistants and platforms: kept connections, proxies, TLS and redirects in one place.

It names no server, and raises what aiohttp raises: each caller has a table that says what that means for its requests.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from yarl import URL

from gateway.domain.errors import SettingsError
from gateway.domain.files import ANY_BYTES, content_type_of
from gateway.http_post import MAX_BODY_BYTES, Poster

KEEPALIVE_SECONDS = 60.0
"""For which an unused connection is kept."""
HTTP_SCHEMES = frozenset({"http", "https"})
MAX_REDIRECTS = 5
SAME_METHOD = frozenset({307, 308})
"""Redirects after which the same request is sent again; after the others only a GET is."""
REDIRECTS = SAME_METHOD | {301, 302, 303}
PUBLIC_HEADERS = frozenset({"accept", "content-type", "user-agent"})
"""All that another server may see of our headers. Any other may be a key, or a customer's own."""
IN_FORMS = dict.fromkeys((*range(32), 127), "_") | {ord('"'): "%22"}
"""What cannot stand in the name of a file in a form: html.spec.whatwg.org/#multipart-form-data"""
CA_FILE, CA_FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
MAX_DIGITS = 10
"""Of a number in a header."""
TLS_OBJECT = re.compile(r" ssl:(?:<[^>]*>|\w+)")
"""How aiohttp names the TLS of a server that it cannot reach: an object in memory."""
MAX_WEBSOCKET_MESSAGE = 16 * 1024 * 1024
"""Bytes."""


class StreamedBody(aiohttp.Payload):
    """A body, or a part of a form, that is read piece by piece while it is sent. It may be sent again."""

    def __init__(self, size: int, pieces: Callable[[], AsyncIterator[bytes]], media_type: str = ANY_BYTES) -> None:
        """``size``: of all pieces, in bytes: it is sent as Content-Length. ``pieces``: called for each sending."""
        super().__init__(None, content_type=media_type)
        self._size = size
        self._pieces = pieces

    async def write(self, writer: AbstractStreamWriter) -> None:
        async for piece in self._pieces():
            await writer.write(piece)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> NoReturn:  # noqa: ARG002  # aiohttp's
        raise TypeError("a streamed body is never in memory as a whole")


Body = bytes | aiohttp.FormData | StreamedBody

UploadedFile = tuple[str, bytes | StreamedBody, str]
"""Its name, content and media type."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How a host is reached: through which proxy, and with which certificates."""

    proxy: URL | None = None
    proxy_headers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None

    @property
    def arguments(self) -> dict[str, object]:
        """Returns the arguments for aiohttp."""
        through = {"proxy": self.proxy, "proxy_headers": self.proxy_headers} if self.proxy else {}
        return {**through, **({"ssl": self.tls} if self.tls else {})}


@dataclass(frozen=True, slots=True)
class _Server:
    """What a session needs to reach a server."""

    options: Mapping[str, Any]
    """Arguments for aiohttp."""
    poster: Poster | None
    """What posts small bodies; None where the session does that too: behind a proxy, or with a login in the URL."""


class HttpClient:
    """A pool of connections, of one event loop. Opens again after ``close``."""

    def __init__(
        self, *, max_connections: int = 0, keepalive_seconds: float = KEEPALIVE_SECONDS, keeps_cookies: bool = False
    ) -> None:
        """``max_connections``: 0 for no limit. ``keeps_cookies``: returns the cookies of a server to it. No I/O."""
        self._max_connections = max_connections
        self._keepalive_seconds = keepalive_seconds
        self._keeps_cookies = keeps_cookies
        self._session: aiohttp.ClientSession | None = None
        self._servers: dict[tuple[str, str], _Server] = {}
        """By scheme and authority, while the session is open. The environment is read once for each."""

    async def send(
        self,
        method: str,
        url: URL | str,
        *,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # several, of which one is for the connection
        body: Body | None = None,
        max_redirects: int = MAX_REDIRECTS,
    ) -> aiohttp.ClientResponse:
        """Sends a request once. Read its response to the end, or use it as an async context manager.

        Follows redirects that keep the request as it is; returns any other as it came. Another host, scheme or port
        gets none of our own headers. Raises aiohttp.ClientError, OSError; SettingsError for a proxy or certificates
        in the environment that cannot be used.
        """
        if isinstance(url, str):
            url = _parsed(url)
        for left in range(max_redirects, -1, -1):
            response = await self._send_once(method, url, headers, timeout, body)
            target = _redirect_target(method, url, response) if left and response.status in REDIRECTS else None
            if target is None:
                break
            response.release()
            if target.origin() != url.origin():
                headers = {name: value for name, value in headers.items() if name.lower() in PUBLIC_HEADERS}
            url = target
        return response

    async def open_websocket(self, url: URL | str) -> aiohttp.ClientWebSocketResponse:
        """Connects to a WebSocket. Raises as ``send`` does."""
        url = _parsed(url)
        options = options_for(url.with_scheme("https" if url.scheme == "wss" else "http").origin()).arguments
        socket: aiohttp.ClientWebSocketResponse = await self._open_session().ws_connect(
            url,
            max_msg_size=MAX_WEBSOCKET_MESSAGE,
            **options,  # type: ignore[call-overload]  # they differ
        )
        return socket

    async def close(self) -> None:
        session, self._session = self._session, None
        self._servers.clear()
        if session is not None:
            await session.close()

    async def _send_once(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # see ``send``
        body: Body | None,
    ) -> aiohttp.ClientResponse:
        session = self._session or self._open_session()
        server = self._servers.get((url.scheme, url.raw_authority)) or self._add_server(session, url)
        poster = server.poster if method == "POST" and timeout.total is None else None
        if poster is not None and isinstance(body, bytes) and len(body) <= MAX_BODY_BYTES:
            return await poster.post(url, headers, body, timeout)
        return await session.request(
            method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False, **server.options
        )

    def _add_server(self, session: aiohttp.ClientSession, url: URL) -> _Server:
        origin = _parsed(url).origin()
        options = options_for(origin)
        is_direct = options.proxy is None and url.scheme in HTTP_SCHEMES and url.raw_user is None
        poster = Poster(session, origin, options.tls) if is_direct else None
        server = self._servers[url.scheme, url.raw_authority] = _Server(options.arguments, poster)
        return server

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=self._keepalive_seconds)
            # An address may have cookies as well as a name: assistants of one's own are often reached by one.
            jar = aiohttp.CookieJar(unsafe=True) if self._keeps_cookies else aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=jar)
        return self._session


class AddressRefused(Exception):
    """A host has an address that may not be connected to."""


class AnswerTooLong(ValueError):
    """An answer has more bytes than whoever asked reads of it."""


class PostFailed(Exception):
    """No answer to a request: what happened, in a word."""


class _CheckingResolver(AbstractResolver):
    """Looks names up, and refuses those of which any address may not be connected to.

    aiohttp connects to what this returns and looks nothing up again, so what was checked is what is used.
    """

    def __init__(self, may_connect: Callable[[str], bool]) -> None:
        self._inner = aiohttp.ThreadedResolver()
        self._may_connect = may_connect

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        check_addresses(host, [each["host"] for each in found], self._may_connect)
        return found

    async def close(self) -> None:
        await self._inner.close()


def check_addresses(host: str, addresses: Sequence[str], may_connect: Callable[[str], bool]) -> None:
    """Raises AddressRefused unless every address of a host may be connected to."""
    if not all(map(may_connect, addresses)):
        raise AddressRefused(f"the host {host} has an address that is not allowed")


class GuardedClient:
    """Posts to addresses that strangers name: only where ``may_connect`` allows it, without redirects and proxies.

    Of one event loop. A proxy would look the name up again, and could be led elsewhere.
    """

    def __init__(self, may_connect: Callable[[str], bool]) -> None:
        """``may_connect``: returns whether an IP address may be connected to. No I/O."""
        self._may_connect = may_connect
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> tuple[int, float]:
        """Returns the status of the answer, and the seconds of its ``Retry-After`` (0: none). Does not read its body.

        Raises AddressRefused, PostFailed.
        """
        try:
            parsed = _parsed(url)
            host = parsed.host or ""
            if ":" in host or host.replace(".", "").isdigit():  # an address, which aiohttp does not look up
                check_addresses(host, [host], self._may_connect)
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with self._open().post(
                parsed, data=body, headers=headers, timeout=timeout, allow_redirects=False, ssl=_tls_context()
            ) as response:
                after = response.headers.get("Retry-After", "")
                return response.status, float(after) if after.isdecimal() and len(after) < MAX_DIGITS else 0.0
        except (aiohttp.ClientError, OSError, ValueError) as exc:  # TimeoutError is an OSError
            raise PostFailed(f"no answer: {type(exc).__name__}") from exc
        except SettingsError as exc:  # of the certificates
            raise PostFailed(str(exc)) from exc

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=_CheckingResolver(self._may_connect), force_close=True)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._session


def multipart(fields: Mapping[str, str], files: Mapping[str, UploadedFile]) -> aiohttp.FormData:
    """Returns a form with files by field. File names are sent in UTF-8, as browsers do."""
    form = aiohttp.FormData(fields, quote_fields=False)
    for name, (file_name, content, media_type) in files.items():
        kind = content_type_of(media_type)
        form.add_field(name, content, filename=file_name.translate(IN_FORMS), content_type=kind)
    return form


async def read_limited(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Returns a response's body, and closes the response. Raises AnswerTooLong as soon as it exceeds ``max_bytes``."""
    content, body = response.content, bytearray()
    try:
        while len(body) <= max_bytes and not content.at_eof():
            body += await content.readany()
    except BaseException:
        response.close()
        raise
    if len(body) > max_bytes:
        response.close()
        raise AnswerTooLong(f"the answer is longer than {max_bytes} bytes")
    return bytes(body)  # at its last byte aiohttp has the connection back


def reason_of(exc: Exception) -> str:
    """Returns the text of an exception that a request raised, without what only aiohttp can read in it."""
    return TLS_OBJECT.sub("", str(exc))


def _parsed(url: URL | str) -> URL:
    """Raises aiohttp.InvalidURL for one that has no scheme or no host."""
    try:
        parsed = URL(url)
        parsed.origin()
    except ValueError:
        raise aiohttp.InvalidUrlClientError(url) from None
    return parsed


def _redirect_target(method: str, url: URL, response: aiohttp.ClientResponse) -> URL | None:
    """Returns where the same request is to be sent next; None for any answer that is no such redirect."""
    location = response.headers.get("Location")
    if not location or response.status not in (REDIRECTS if method == "GET" else SAME_METHOD):
        return None
    try:
        target = url.join(URL(location))
        target.origin()
    except ValueError:
        return None
    return target if target.scheme in HTTP_SCHEMES else None


def options_for(url: URL) -> ConnectionOptions:
    """Returns the proxy that the environment names for a URL, and the certificates to trust. Raises SettingsError."""
    host = url.host or ""
    # NO_PROXY may name a port; an IPv6 address reads like one.
    with_port = host if ":" in host else f"{host}:{url.port}"
    named = None if proxy_bypass(with_port) else _environment_proxy(url.scheme)
    proxy = URL(named) if named else None
    tls = _tls_context() if url.scheme == "https" or (proxy and proxy.scheme == "https") else None
    if proxy is None:
        return ConnectionOptions(tls=tls)
    # aiohttp would quote the password in errors if it stood in the URL.
    login = aiohttp.encode_basic_auth(proxy.user, proxy.password or "") if proxy.user else None
    return ConnectionOptions(proxy.with_user(None), {"Proxy-Authorization": login} if login else {}, tls)


def _environment_proxy(scheme: str) -> str | None:
    """Returns what HTTP_PROXY, HTTPS_PROXY or ALL_PROXY says, with its scheme. Raises SettingsError."""
    proxies = getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    if not named:
        return None
    named = named if "://" in named else f"http://{named}"
    try:
        if URL(named).scheme in HTTP_SCHEMES and URL(named).host:
            return named
    except ValueError:
        pass
    raise SettingsError(
        f"The proxy for {scheme} in the environment must be a URL that begins with http:// or https://."
    )


_contexts: dict[tuple[str | None, str | None], ssl.SSLContext] = {}


def _tls_context() -> ssl.SSLContext:
    """Returns one context per process, as it takes 20 ms to make. Raises SettingsError.

    Trusts what SSL_CERT_FILE and SSL_CERT_DIR name, and nothing else then; or the certificates of the system, and
    where it has none those of Mozilla.
    """
    # The names that OpenSSL has for them; nothing else of ours reads them.
    named = os.environ.get(CA_FILE) or None, os.environ.get(CA_FOLDER) or None  # noqa: TID251  # no setting of ours
    if named not in _contexts:
        try:
            _contexts[named] = _load_certificates(*named)
        except OSError as exc:
            raise SettingsError(f"{CA_FILE} or {CA_FOLDER} names certificates that cannot be read: {exc}") from exc
    return _contexts[named]


def _load_certificates(file: str | None, folder: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=file, capath=folder)
    if not (file or folder) and not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
