"""uvicorn's HTTP protocol with limits for slow, silent and broken clients, and errors in the gateway's form.

It overrides methods that uvicorn does not document; ``pyproject.toml`` pins the version that they are written for.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection
from itertools import chain
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.web.api import problems
from gateway.web.api.client_address import network_of
from gateway.web.api.routes import DEFAULT_HEADERS, JSON
from gateway.web.connections import Connections, Phase

KEEP_ALIVE_SECONDS = 75
"""Between two requests. Longer than common proxies keep an idle connection, so that the proxy closes it first."""
PIECE_BYTES = 4096
"""Of what a client sent at once, after which no more of it is looked at while a request waits behind another: as a
request in memory it takes a hundred times its bytes.
"""

Refusal = tuple[int, str, str]
"""Status, code and message."""

MALFORMED: Refusal = (400, "malformed_request", "This is not a valid HTTP request.")
NO_HOST: Refusal = (400, "malformed_request", "A request needs one Host header, with the name of a host.")
UNKNOWN_CODING: Refusal = (501, "unknown_transfer_coding", "The only Transfer-Encoding that is read here is chunked.")
INCOMPLETE: Refusal = (400, "incomplete_body", "The connection was closed before the body was complete.")
TIMED_OUT: Refusal = (408, "request_timeout", "The body did not arrive. Send it whole, and without pauses.")
TOO_LARGE: Refusal = (431, "headers_too_large", "The address and the headers of this request are too large.")


HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[\da-fA-Fv:.]+\])(?::\d*)?", re.ASCII)
"""RFC 9110, 7.2: the name or address of a host, and its port."""
HEADER_LINES = re.compile(rb"(?:[\w!#$%&'*+.^`|~-]+: [^\x00-\x08\n-\x1f\x7f]*\r\n)*")
"""RFC 9110, 5.1 and 5.5."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HAS_NO_BODY = frozenset({204, 304})


class _Exchange(RequestResponseCycle):
    """A request and its response, whose head is checked and written as a whole: uvicorn takes each header by itself."""

    async def send(self, message: Any) -> None:
        """Raises RuntimeError for what cannot be a header, before anything is sent."""
        is_head = message["type"] == "http.response.start" and not self.response_started
        if not is_head or self.disconnected or self.flow.write_paused:
            await super().send(message)
            return
        pairs = [*self.default_headers, *message.get("headers", ())]
        headers, status = dict(pairs), message["status"]
        if b"connection" in headers or b"transfer-encoding" in headers:
            await super().send(message)
            return
        lines = b"".join([b"%s: %s\r\n" % pair for pair in pairs])
        if HEADER_LINES.fullmatch(lines) is None or lines.count(b"\r\n") != len(pairs):
            raise RuntimeError("Invalid HTTP header.")
        self.response_started, self.waiting_for_100_continue = True, False
        self.transport.write(STATUS_LINE[status] + lines + self._framing(status, headers.get(b"content-length")))

    def _framing(self, status: int, length: bytes | None) -> bytes:
        """Notes where the body will end; returns the lines that say so, and the end of the head."""
        lines = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if length is not None:
            self.chunked_encoding, self.expected_content_length = False, int(length)
        elif self.scope["method"] != "HEAD" and status not in HAS_NO_BODY:
            self.chunked_encoding = True
            return b"transfer-encoding: chunked\r\n" + lines
        return lines


class _BodyOf:
    """Passes a request on to a protocol that has its headers already, and all later requests as they are."""

    def __init__(self, protocol: LimitedProtocol) -> None:
        self._protocol = protocol
        self._has_head = True

    def on_message_complete(self) -> None:
        self._has_head = False
        self._protocol.on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._protocol.on_body(body)

    def on_message_begin(self) -> None:
        if not self._has_head:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._has_head:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._has_head:
            self._protocol.on_headers_complete()


class HeadRefused(Exception):
    """Ends the parsing of a request."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


class _PatientFlow(FlowControl):
    """Reads nothing while a request waits behind another, whatever the one that is being answered still takes."""

    def __init__(self, transport: asyncio.Transport, pipeline: Collection[object]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    # With these beside uvicorn's own a connection would have more attributes than Python keeps in a compact form.
    __slots__ = ("_head_complete", "_in_request", "_refused", "_table", "_unparsed", "_unread", "address", "phase")

    def __init__(self, config: Config, state: ServerState, connections: Connections) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.address = ""
        self.phase: Phase | None = None
        self._table = connections
        self._unparsed = b""
        """What came while a request waits behind another."""
        self._unread = 0
        """Bytes that came since the parser began a request or passed on some of its body: it keeps a header, or what
        follows a body in chunks, until it has all of it.
        """
        self._in_request = False
        """Whether a request has begun that is not complete."""
        self._head_complete = False
        """Whether the headers of the newest request are complete: then ``cycle`` is that request."""
        self._refused = False

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.flow = _PatientFlow(transport, self.pipeline)
        self.address = network_of(self.client[0]) if self.client else ""
        self._table.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._table.closed(self)

    def data_received(self, data: bytes) -> None:
        if len(data) <= PIECE_BYTES and not self.pipeline:  # as most requests are
            self._parse(data)
            return
        self._unparsed += data
        self._parse_pieces()

    def _parse_pieces(self) -> None:
        came, start = self._unparsed, 0
        while start < len(came) and not self.pipeline:
            self._parse(came[start : start + PIECE_BYTES])
            start += PIECE_BYTES
        self._unparsed = came[start:]

    def _parse(self, data: bytes) -> None:
        if self._refused:
            return
        before = self.phase
        self._unread += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            self._continue_without_upgrade(data[exc.args[0] :])
        except httptools.HttpParserError as exc:
            self._refuse(*(exc.__context__.refusal if isinstance(exc.__context__, HeadRefused) else MALFORMED))
        if not self._refused:
            self._note_incomplete(before)

    def _note_incomplete(self, before: Phase | None) -> None:
        """Notes what is missing of a request, once all that has come is read: most requests come whole."""
        phase = self.phase
        if self._in_request and self._unread > self._table.limits.head_bytes:
            self._refuse(*TOO_LARGE)
        elif self._in_request and self._head_complete:
            if phase is not Phase.BODY and self._is_answering() and not self.cycle.response_complete:
                self._table.waits(self, Phase.BODY)
        elif phase is before and phase in (Phase.OPENED, Phase.IDLE):
            self._table.waits(self, Phase.HEAD)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it
        """Returns whether the connection stays open: a client may end its side, and read its answer still."""
        if self._in_request and self.phase is Phase.BODY:
            self._refuse(*INCOMPLETE)
        if self._refused or self.cycle is None or self.cycle.response_complete:
            return False
        if self.scope["http_version"] == "1.0":
            return False  # such a client reads one response, and cannot be looked for
        if self.cycle.response_started:
            return False  # nor can one whose answer has begun: it is gone, or a stream may hold its place without end
        self.cycle.keep_alive = False
        self._look_for_client()
        return True

    def _look_for_client(self) -> None:
        """Sends what every client skips (RFC 9110, 15.2): one that is gone answers it with the end of the connection.

        What is sent next shows that, be it the response.
        """
        if not self.cycle.response_started:
            self.transport.write(CONTINUE)
        self._table.waits(self, Phase.HALF_CLOSED)

    def end(self) -> None:
        self.transport.abort()

    def time_out(self) -> None:
        if self.phase is Phase.BODY:
            self._refuse(*TIMED_OUT)
        elif self.phase is Phase.HALF_CLOSED:
            self._look_for_client()
        else:
            self.transport.abort()

    def finish(self) -> None:
        """Closes the connection after the response that is being sent; at once if nothing was ever sent or asked."""
        if self.phase is Phase.IDLE:
            self.transport.close()
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    # ------------------------------------------------------------ one request, as the parser finds it

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_request, self._head_complete = True, False
        self._unread = 0

    def on_headers_complete(self) -> None:
        limits = self._table.limits
        size = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        if size > limits.head_bytes or len(self.headers) > limits.headers:
            raise HeadRefused(TOO_LARGE)
        self._check_head()
        # WSGI could not tell a name with _ from the one with hyphens, which a proxy may have checked.
        self.headers[:] = [pair for pair in self.headers if b"_" not in pair[0]]
        super().on_headers_complete()
        self.cycle.__class__ = _Exchange  # uvicorn makes its own, and begins to answer when this has returned
        self.headers = []  # what follows a body in chunks is none of the request's headers
        self._head_complete = True
        if self._table.stopping:
            self.cycle.keep_alive = False

    def _check_head(self) -> None:
        """Raises HeadRefused for what the parser lets pass, and a proxy in front of it may read in another way."""
        hosts = [value for name, value in self.headers if name == b"host"]
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if codings and b",".join(codings).strip().lower() != b"chunked":
            raise HeadRefused(UNKNOWN_CODING)  # RFC 9112, 6.1
        is_missing = not hosts and self.parser.get_http_version() == "1.1"
        if is_missing or len(hosts) > 1 or (hosts and HOST.fullmatch(hosts[0]) is None):
            raise HeadRefused(NO_HOST)  # RFC 9112, 3.2

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the parser leaves the body to another protocol: see _continue_without_upgrade
        super().on_message_complete()
        self._in_request = False
        if self.cycle.response_complete:
            self._table.waits(self, Phase.IDLE)
        elif self._is_answering():
            self._table.works(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self._note_answered()
        self._parse_pieces()
        self.flow.resume_reading()

    def _note_answered(self) -> None:
        next_is_here = not self.cycle.response_complete
        if next_is_here and (self.pipeline or not self._in_request):
            self._table.works(self)
        elif self._in_request:
            self._table.waits(self, Phase.BODY if next_is_here else Phase.LINGERING)
        else:
            self._table.waits(self, Phase.IDLE)

    def _continue_without_upgrade(self, data: bytes) -> None:
        """Goes on with a request that offers to change the protocol, which a server may ignore: RFC 9110, 7.8.

        A new parser is given the request's length, and then its body.
        """
        framing = [pair for pair in self.scope["headers"] if pair[0] in {b"content-length", b"transfer-encoding"}]
        self.parser = httptools.HttpRequestParser(_BodyOf(self))
        head = b"".join(b"%s: %s\r\n" % pair for pair in framing)
        self._parse(b"POST / HTTP/1.1\r\n" + head + b"\r\n" + data)

    # ------------------------------------------------------------ refusing

    def _is_answering(self) -> bool:
        """Returns whether the newest request is the one that is being answered, not one that waits behind it."""
        return not self.pipeline or not any(cycle is self.cycle for cycle, _ in self.pipeline)

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answers a request that never became complete, and reads no further one."""
        self._refused = True
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        is_own = self._in_request and self._head_complete and self._is_answering()
        if answering and (cycle.response_started or not is_own):
            self.transport.close()  # an answer would be taken for the one that an earlier request waits for
            return
        if answering:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(self._problem(status, code, message))
        # Closed at once, the rest of the request would make the kernel discard the answer.
        self.transport.write_eof()
        self._table.waits(self, Phase.LINGERING)

    def _problem(self, status: int, code: str, message: str) -> bytes:
        body = json.dumps(problems.error_response(status, code, message)[0]).encode() + b"\n"
        headers = {**DEFAULT_HEADERS, "Content-Type": JSON, "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"{name}: {value}\r\n".lower() for name, value in headers.items()]
        return b"".join([STATUS_LINE[status], "".join(lines).encode(), b"\r\n", body])


def protocol_config(app: Any) -> Config:
    """Returns uvicorn's settings for an ASGI application: nothing that a client's headers say is believed."""
    config = Config(
        cast("Any", app),
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    config.load()
    return config
