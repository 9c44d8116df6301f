"""The web server of a process: listens, serves on the worker's event loop, and stops in good order."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any, Protocol, TypeVar

from uvicorn.server import ServerState

from gateway import logs
from gateway.domain.errors import SettingsError
from gateway.process import exit_now, freeze_gc, raise_file_limit, stop_signals
from gateway.web.api.routes import Receive, Scope, Send
from gateway.web.connections import Connections, Limits, Phase
from gateway.web.http_protocol import LimitedProtocol, protocol_config

T = TypeVar("T")

STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
SEND_TIMEOUT = 60
"""Longest time that sent data may stay unacknowledged before the connection counts as dead."""
BACKLOG = 2048
REQUESTS_GRACE_SHARE, RESPONSES_GRACE_SHARE = 0.8, 0.9
"""Shares of the grace period until which requests may run, and until which responses may be sent."""
FIRST_BYTES_TIMEOUT = 0.5
"""After a stop, for connections that have sent nothing yet."""
TICK_SECONDS = 1.0
POLL_SECONDS = 0.05

log = logs.get_logger(__name__)


class AsgiApp(Protocol):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class RunOnLoop(Protocol):
    """Runs a coroutine on the loop that serves, and returns its result. Called from other threads."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T: ...


@dataclass(frozen=True, slots=True)
class ServedApp:
    """The application, the loop that it runs on, and its stop callbacks, which are called in the main thread."""

    app: AsgiApp
    run: RunOnLoop
    begin_stop: Callable[[float], None]
    """Called when the process is stopped, with the seconds left for running requests. Returns at once."""
    end_stop: Callable[[float], None]
    """Called after the last request, or when its time is up, with the seconds left for everything else."""


def serve(
    make_app: Callable[[], ServedApp],
    *,
    host: str,
    port: int,
    grace_seconds: float,
    behind_proxy: bool = False,
    limits: Limits | None = None,
    on_ready: Callable[[str], None] = lambda _: None,
    on_hangup: Callable[[], object] | None = None,
) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP; then lets running requests finish within ``grace_seconds`` and returns.

    Binds the port before it calls ``make_app``, and calls ``on_ready`` with the URL once it answers. A second Ctrl-C
    ends the process at once. ``behind_proxy``: all clients may have the same address. ``on_hangup``: called on SIGHUP,
    which then stops nothing. Main thread only. Raises SettingsError when the port cannot be bound, and whatever
    ``make_app`` raises.
    """
    open_files = raise_file_limit()
    limits = limits or _limits(open_files, behind_proxy=behind_proxy)
    with closing(_open_listener(host, port)) as listener:
        stops = stop_signals(STOP_SIGNALS)  # before any thread starts: they inherit it
        served = make_app()
        freeze_gc()
        server = HttpServer(served.app, limits)
        served.run(server.start(listener))
        on_ready(_public_url(*listener.getsockname()[:2]))
        while stops.wait().name == "SIGHUP" and on_hangup is not None:
            on_hangup()
        stops.end_on_second_interrupt()
        _stop(server, served, grace_seconds)


def _stop(server: HttpServer, served: ServedApp, grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    served.begin_stop(grace_seconds * REQUESTS_GRACE_SHARE)
    cut_off = served.run(server.stop(grace_seconds * RESPONSES_GRACE_SHARE))
    served.end_stop(max(0.0, deadline - time.monotonic()))
    if cut_off:  # the interpreter would wait without limit for the threads of those that run in Flask
        log.warning("requests cut off: not finished within the grace period", count=cut_off)
        exit_now(0)


class HttpServer:
    """Serves an ASGI application over HTTP/1.1. Used on one event loop."""

    def __init__(self, app: AsgiApp, limits: Limits) -> None:
        self._state = ServerState()
        self._connections = Connections(limits)
        self._config = protocol_config(app)
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accepts connections from now on, until ``stop`` closes the listener."""
        listener.settimeout(0.0)  # never blocks
        self._tick()
        self._ticking = asyncio.create_task(self._tick_each_second())
        self._listener = listener.dup()
        self._server = await asyncio.get_running_loop().create_server(
            self._new_protocol, sock=listener, backlog=BACKLOG
        )

    async def stop(self, seconds: float) -> int:
        """Accepts no more, lets requests finish for so long, and returns the number of those that did not.

        Also waits for the application where a client has left before its request was done: a page's thread that still
        sends would wait for ever on a loop that has ended.
        """
        deadline = time.monotonic() + seconds
        self._connections.stopping = True
        await self._close_listener()
        for connection in self._protocols():
            connection.finish()
        asyncio.get_running_loop().call_later(FIRST_BYTES_TIMEOUT, self._close_silent)
        tasks = self._state.tasks
        while (len(self._connections) or tasks) and time.monotonic() < deadline:  # noqa: ASYNC110  # once, at the end
            await asyncio.sleep(POLL_SECONDS)
        remaining = self._protocols()
        for connection in remaining:
            connection.end()
        if self._ticking is not None:
            self._ticking.cancel()
        await asyncio.sleep(0)  # for the transports to close
        return max(len(remaining), len(tasks))

    async def _close_listener(self) -> None:
        """Refuses new connections, but takes those that the kernel has accepted already."""
        if self._server is None or self._listener is None:
            return
        self._server.close()
        await asyncio.sleep(0)
        with closing(self._listener), suppress(OSError):  # BlockingIOError when there are no more
            for _ in range(BACKLOG):
                accepted, _ = self._listener.accept()
                await asyncio.get_running_loop().connect_accepted_socket(self._new_protocol, accepted)

    def _close_silent(self) -> None:
        for connection in self._protocols():
            if connection.phase in (Phase.OPENED, Phase.HEAD, Phase.IDLE):
                connection.end()

    def _new_protocol(self) -> LimitedProtocol:
        return LimitedProtocol(self._config, self._state, self._connections)

    def _protocols(self) -> list[LimitedProtocol]:
        return [each for each in self._connections if isinstance(each, LimitedProtocol)]

    async def _tick_each_second(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._tick()

    def _tick(self) -> None:
        self._state.default_headers[:] = [(b"date", formatdate(usegmt=True).encode())]
        self._connections.time_out()


# ---------------------------------------------------------------- the process


def _limits(open_files: int, *, behind_proxy: bool) -> Limits:
    limits = Limits(connections=open_files * 3 // 4)  # the others are for connections to other servers
    return replace(limits, waiting_per_address=None) if behind_proxy else limits


def _open_listener(host: str, port: int) -> socket.socket:
    """Returns a listening socket, whose options accepted connections inherit. Raises SettingsError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as exc:  # the latter for what can be no name of a machine
        is_taken = isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE
        reason = "the port is in use" if is_taken else getattr(exc, "strerror", None) or "this is no name of a machine"
        raise SettingsError(f"Cannot listen on {host}:{port}: {reason}. Set HOST and PORT to a free address.") from exc
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT * 1000)
    return listener


def _public_url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
