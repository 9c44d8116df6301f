"""uvicorn's HTTP protocol with limits for slow, silent and broken clients, and errors in the gateway's form.

It overrides methods that uvicorn does not document; ``pyproject.toml`` pins the version that they are written for.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.web.api import problems
from gateway.web.api.client_address import network_of
from gateway.web.api.routes import DEFAULT_HEADERS, JSON
from gateway.web.connections import Connections, Phase

KEEP_ALIVE_SECONDS = 75
"""Between two requests. Longer than common proxies keep an idle connection, so that the proxy closes it first."""

MALFORMED = (400, "malformed_request", "This is not a valid HTTP request.")
INCOMPLETE = (400, "incomplete_body", "The connection was closed before the body was complete.")
TIMED_OUT = (408, "request_timeout", "The body did not arrive. Send it whole, and without pauses.")
TOO_LARGE = (431, "headers_too_large", "The address and the headers of this request are too large.")


class HeadTooLargeError(Exception):
    """Ends the parsing of a request."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Config, state: ServerState, connections: Connections) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.address = ""
        self._table = connections
        self._head_bytes = 0
        self._in_request = False
        """Whether a request has begun that is not complete."""
        self._refused = False

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.address = network_of(self.client[0]) if self.client else ""
        self._table.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._table.closed(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._table.phase_of(self) in (Phase.OPENED, Phase.IDLE):
            self._table.waits(self, Phase.HEAD)
        super().data_received(data)

    def eof_received(self) -> None:
        if self._in_request and self._table.phase_of(self) is Phase.BODY:
            self._refuse(*INCOMPLETE)

    def end(self) -> None:
        self.transport.abort()

    def time_out(self) -> None:
        if self._table.phase_of(self) is Phase.BODY:
            self._refuse(*TIMED_OUT)
        else:
            self.transport.abort()

    def finish(self) -> None:
        """Closes the connection after the response that is being sent; at once if nothing was ever sent or asked."""
        if self._table.phase_of(self) is Phase.IDLE:
            self.transport.close()
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    # ------------------------------------------------------------ one request, as the parser finds it

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_request = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        if len(self.headers) >= self._table.limits.headers:
            raise HeadTooLargeError
        if b"_" not in name:  # WSGI could not tell it from the one with hyphens, which a proxy may have checked
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._table.stopping:
            self.cycle.keep_alive = False
        if self._is_answering():
            self._table.waits(self, Phase.BODY)

    def on_message_complete(self) -> None:
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
        next_is_here = not self.cycle.response_complete
        if next_is_here and (self.pipeline or not self._in_request):
            self._table.works(self)
        elif self._in_request:
            self._table.waits(self, Phase.BODY if next_is_here else Phase.LINGERING)
        else:
            self._table.waits(self, Phase.IDLE)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # of uvicorn, which says no more than ours
        too_large = self._head_bytes > self._table.limits.head_bytes or len(self.headers) >= self._table.limits.headers
        self._refuse(*(TOO_LARGE if too_large else MALFORMED))

    # ------------------------------------------------------------ refusing

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._table.limits.head_bytes:
            raise HeadTooLargeError

    def _is_answering(self) -> bool:
        """Returns whether the newest request is the one that is being answered, not one that waits behind it."""
        return not any(cycle is self.cycle for cycle, _ in self.pipeline)

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answers a request that never became complete, and reads no further one."""
        self._refused = True
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering and (cycle.response_started or not self._in_request or not self._is_answering()):
            self.transport.close()  # in the middle of another response
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
