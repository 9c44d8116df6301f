"""Posts bodies that are small and in memory, at half of what aiohttp's session takes for them.

A session copies the headers several times, writes each body in a task of its own (before Python 3.12), and looks in
each request for what none of ours has. Connections, TLS, parsing and responses are aiohttp's here too. How they are
put together is not documented; ``pyproject.toml`` pins the version that this is written for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ssl import SSLContext

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from gateway.domain.files import ANY_BYTES

MAX_BODY_BYTES = 32 * 1024
"""Transports of asyncio ask their writer to wait from 64 KiB on. Here nobody would read an answer meanwhile."""


class Poster:
    """Posts to one server, which is reached without a proxy, over the connections of a session."""

    def __init__(self, session: aiohttp.ClientSession, origin: URL, tls: SSLContext | None) -> None:
        """``tls``: None without TLS. No I/O."""
        assert session.connector is not None  # noqa: S101  # it is open
        self._session = session
        self._connector = session.connector
        self._loop = asyncio.get_running_loop()
        headers = {"Content-Type": ANY_BYTES}
        # Never sent: the connector knows the server by it, and it has the headers that every request has.
        self._pattern = aiohttp.ClientRequest(
            "POST", origin, headers=headers, session=session, loop=self._loop, ssl=tls or True
        )

    async def post(
        self,
        url: URL,
        headers: Mapping[str, str],
        body: bytes,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # several, of which one is for the connection
    ) -> aiohttp.ClientResponse:
        """Sends a request once, and returns the response, whose body is still to be read.

        ``body``: of MAX_BODY_BYTES at most. ``timeout``: without ``total``. Raises aiohttp.ClientError, OSError.
        """
        fields = self._fields(url, headers, len(body))
        connection = await self._connect(url, timeout)
        protocol = connection.protocol
        assert protocol is not None  # noqa: S101  # as the connection is new to us
        protocol.set_response_params(read_until_eof=True, read_timeout=timeout.sock_read)
        writer = StreamWriter(protocol, self._loop)
        response = self._response(url, fields, writer)
        try:
            await writer.write_headers(f"POST {url.raw_path_qs} HTTP/1.1", fields)
            await writer.write_eof(body)
            protocol.start_timeout()
            await response.start(connection)
        except BaseException:
            response.close()
            connection.close()
            raise
        if "Set-Cookie" in response.headers:
            self._session.cookie_jar.update_cookies_from_headers(response.headers.getall("Set-Cookie"), url)
        return response

    async def _connect(self, url: URL, timeout: aiohttp.ClientTimeout) -> Connection:  # noqa: ASYNC109  # see post
        try:
            return await self._connector.connect(self._pattern, [], timeout)
        except TimeoutError as exc:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {url}") from exc

    def _fields(self, url: URL, headers: Mapping[str, str], size: int) -> CIMultiDict[str]:
        fields = self._pattern.headers.copy()
        fields.update(headers)
        fields["Content-Length"] = str(size)
        jar = self._session.cookie_jar
        if len(jar) and (cookies := jar.filter_cookies(url)):
            fields["Cookie"] = "; ".join(f"{cookie.key}={cookie.coded_value}" for cookie in cookies.values())
        return fields

    def _response(self, url: URL, fields: CIMultiDict[str], writer: StreamWriter) -> aiohttp.ClientResponse:
        return aiohttp.ClientResponse(
            "POST",
            url,
            writer=None,
            continue100=None,
            timer=None,  # type: ignore[arg-type]  # it takes none for none
            request_info=aiohttp.RequestInfo(url, "POST", CIMultiDictProxy(fields), url),
            traces=[],
            loop=self._loop,
            session=self._session,
            stream_writer=writer,
        )
