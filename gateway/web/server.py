"""The web server: gunicorn's threaded worker in this process, without gunicorn's master process."""

from __future__ import annotations

import errno
import gc
import logging
import math
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, NoReturn
from wsgiref.types import WSGIApplication

from gunicorn.config import Config  # type: ignore[import-untyped]  # it has no types
from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # it has no types
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]  # it has no types

from gateway import logs
from gateway.domain.errors import SettingsError

KEEPALIVE_SECONDS = 75
"""Longer than common proxies keep an idle connection, so that the proxy closes it first."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
READ_TIMEOUT = 30
"""Longest time for one read of a request; a client that pauses longer is disconnected and its thread freed."""
SEND_TIMEOUT = 60
"""Longest time that sent data may stay unacknowledged before the connection counts as dead."""
BACKLOG = 2048
GC_THRESHOLD = 10_000
"""New objects that trigger a collection of the youngest generation; Python's 700 is meant for small programs."""
WANTED_OPEN_FILES = 65_536
REQUESTS_GRACE_SHARE, RESPONSES_GRACE_SHARE = 0.8, 0.9
"""Shares of the grace period until which requests may run, and until which responses may be sent."""
ACCEPT_RETRY_DELAY = 0.05
FIRST_BYTES_TIMEOUT = 0.5

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServedApp:
    """The WSGI application and its stop callbacks, which are called in the main thread."""

    app: WSGIApplication
    begin_stop: Callable[[float], None]
    """Called when the process is stopped, with the seconds left for running requests. Returns at once."""
    end_stop: Callable[[float], None]
    """Called after the last request, or when its time is up, with the seconds left for everything else."""


def serve(
    make_app: Callable[[], ServedApp],
    *,
    host: str,
    port: int,
    threads: int,
    grace_seconds: float,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves until SIGTERM, SIGINT or SIGHUP; then lets running requests finish within ``grace_seconds`` and returns.

    Binds the port before it calls ``make_app``, and calls ``on_ready`` with the URL once it answers. A second Ctrl-C
    ends the process at once. Main thread only. Raises SettingsError when the port cannot be bound, and whatever
    ``make_app`` raises.
    """
    _raise_file_limit()
    with closing(_open_listener(host, port)) as listener:
        _GunicornWorker(listener, make_app, threads=threads, grace_seconds=grace_seconds, on_ready=on_ready).serve()


class _GunicornWorker(ThreadWorker):  # type: ignore[misc]  # without types
    """gunicorn's worker without gunicorn's master: a single process, so that killing it ends everything."""

    def __init__(
        self,
        listener: socket.socket,
        make_app: Callable[[], ServedApp],
        *,
        threads: int,
        grace_seconds: float,
        on_ready: Callable[[str], None],
    ) -> None:
        config = _gunicorn_config(threads, grace_seconds)
        super().__init__(1, os.getppid(), [listener], None, 0, config, _GunicornLog(config))
        self._make_app = make_app
        self._on_ready = on_ready
        self._grace_seconds = grace_seconds
        self._stop_deadline: float | None = None

    def serve(self) -> None:
        self.init_process()
        self._begin_stop()
        self._served.end_stop(max(0.0, (self._stop_deadline or 0.0) - time.monotonic()))
        if self.nr_conns > 0:  # the interpreter would wait for these requests' threads without limit
            log.warning("requests cut off: not finished within the grace period", count=self.nr_conns)
            _exit_now(0)

    def load_wsgi(self) -> None:
        self._served = self._make_app()
        self.wsgi = self._served.app
        _freeze_gc()
        self._on_ready(_public_url(*self.sockets[0].getsockname()[:2]))

    def init_signals(self) -> None:
        ignored = [number for number in STOP_SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
        super().init_signals()
        for number in STOP_SIGNALS:  # an ignored signal stays ignored: nohup, a shell's background job
            signal.signal(number, signal.SIG_IGN if number in ignored else self.handle_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.alive:
            self.method_queue.defer(self._stop)
        elif sig == signal.SIGINT:
            _exit_now(128 + sig)
        super().handle_exit(sig, frame)

    def accept(self, listener: socket.socket) -> None:
        """Accepts a connection and waits for its first bytes in the loop, where gunicorn would occupy a thread."""
        try:
            client, address = listener.accept()
        except BlockingIOError:
            return
        except (
            OSError
        ) as exc:  # out of file descriptors: the connection stays in the backlog; gunicorn's loop would end
            log.warning("connection not accepted; retrying", error=str(exc))
            time.sleep(ACCEPT_RETRY_DELAY)
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.set_timeout()
        self.pending_conns.append(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return _TolerantThreadPool(self.cfg.threads, thread_name_prefix="web")

    def is_parent_alive(self) -> bool:
        return True  # there is no master process

    def _begin_stop(self) -> None:
        if self._stop_deadline is None:
            self._stop_deadline = time.monotonic() + self._grace_seconds
            self._served.begin_stop(self._grace_seconds * REQUESTS_GRACE_SHARE)

    def _stop(self) -> None:
        """Refuses new connections, but serves those that the kernel has accepted already."""
        self._begin_stop()
        self.set_accept_enabled(False)
        for listener in self.sockets:
            before = -1
            while before < self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
        for connection in self.pending_conns:  # these have sent nothing yet
            connection.timeout = time.monotonic() + FIRST_BYTES_TIMEOUT


class _TolerantThreadPool(ThreadPoolExecutor):
    """Thread pool that goes on with its threads when the host allows no more; gunicorn's loop would end."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


class _GunicornLog(Logger):  # type: ignore[misc]  # without types
    """Forwards gunicorn's warnings and errors to our log, except for clients that stop sending or reading."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.propagate = True

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if not isinstance(sys.exc_info()[1], BlockingIOError | TimeoutError):
            super().exception(msg, *args, **kwargs)


def _gunicorn_config(threads: int, grace_seconds: float) -> Config:
    config = Config()
    config.set("threads", threads)
    config.set("worker_connections", 2 * threads)
    config.set("keepalive", KEEPALIVE_SECONDS)
    config.set("graceful_timeout", math.ceil(grace_seconds * RESPONSES_GRACE_SHARE))
    config.set("errorlog", None)
    config.set("loglevel", "warning")
    return config


def _open_listener(host: str, port: int) -> socket.socket:
    """Returns a listening socket, whose options accepted connections inherit. Raises SettingsError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as exc:
        reason = "the port is in use" if exc.errno == errno.EADDRINUSE else exc.strerror
        raise SettingsError(f"Cannot listen on {host}:{port}: {reason}. Set HOST and PORT to a free address.") from exc
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_TIMEOUT, 0))
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_TIMEOUT * 1000)
    return listener


def _public_url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> None:
    """Raises the limit of open files, usually 1024: each waiting caller needs a connection here and to the backend."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_OPEN_FILES if hard == resource.RLIM_INFINITY else min(WANTED_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _freeze_gc() -> None:
    """Excludes all present objects from garbage collection: they stay, and each full collection would examine them for
    0.1 s and more while every turn waits. A turn's thousands of objects mostly have no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)


def _exit_now(status: int) -> NoReturn:
    """Ends the process without waiting for its threads. Everything that must survive is on disk already."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)
