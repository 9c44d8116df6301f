"""The web server: gunicorn's threaded worker, run in this process, with no other process above it."""

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
from gateway.errors import SettingsError

KEEPALIVE_SECONDS = 75
"""Longer than the proxies in front keep an idle connection, so that it is they who close it."""
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
READ_SECONDS = 30
"""How long one read from a caller may take; a caller who falls silent in mid-request loses the thread."""
UNREAD_SECONDS = 60
"""How long a caller may leave unread what is sent to it, before the connection counts as dead."""
BACKLOG = 2048
GARBAGE = 10_000
"""New objects after which the youngest are looked through; Python's own 700 is made for small programs."""
OPEN_FILES = 65_536
FOR_REQUESTS, FOR_ANSWERS = 0.8, 0.9
"""Shares of the grace time: until when requests may run, and until when what is left of them may be sent."""
PAUSE_WITHOUT_ROOM = 0.05
FIRST_BYTES_WHEN_STOPPING = 0.5

log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """What is served, and how it is told to stop. All of it is called in the main thread."""

    app: WSGIApplication
    begin_stop: Callable[[float], None]
    """The process was told to stop: no new requests come, those that run have so many seconds. Returns at once."""
    end_stop: Callable[[float], None]
    """The last request is answered, or time is up; so many seconds are left for everything else."""


def serve(
    make_site: Callable[[], Site],
    *,
    host: str,
    port: int,
    threads: int,
    grace_seconds: float,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; then let running requests finish within ``grace_seconds``, and return.

    The port is taken before ``make_site`` is called, and ``on_ready`` is told the URL once it answers. A second
    Ctrl-C ends the process at once. Main thread only. Raises SettingsError when the port cannot be taken, and
    whatever ``make_site`` raises.
    """
    _raise_file_limit()
    with closing(_listen(host, port)) as listener:
        _Worker(listener, make_site, threads=threads, grace_seconds=grace_seconds, on_ready=on_ready).serve()


class _Worker(ThreadWorker):  # type: ignore[misc]  # without types
    """gunicorn's worker without gunicorn's master: one process, so that a kill is the end of all of it."""

    def __init__(
        self,
        listener: socket.socket,
        make_site: Callable[[], Site],
        *,
        threads: int,
        grace_seconds: float,
        on_ready: Callable[[str], None],
    ) -> None:
        config = _config(threads, grace_seconds)
        super().__init__(1, os.getppid(), [listener], None, 0, config, _Log(config))
        self._make_site = make_site
        self._on_ready = on_ready
        self._grace = grace_seconds
        self._stop_by: float | None = None

    def serve(self) -> None:
        self.init_process()
        self._begin_stop()
        self._site.end_stop(max(0.0, (self._stop_by or 0.0) - time.monotonic()))
        if self.nr_conns > 0:  # the interpreter would wait for the threads of these requests, however long they take
            log.warning("requests cut off", count=self.nr_conns)
            _exit_now(0)

    def load_wsgi(self) -> None:
        self._site = self._make_site()
        self.wsgi = self._site.app
        _settle_memory()
        self._on_ready(_url(*self.sockets[0].getsockname()[:2]))

    def init_signals(self) -> None:
        ignored = [number for number in STOPS if signal.getsignal(number) is signal.SIG_IGN]
        super().init_signals()
        for number in STOPS:  # what was ignored stays so: nohup, or a shell's background job
            signal.signal(number, signal.SIG_IGN if number in ignored else self.handle_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.alive:
            self.method_queue.defer(self._stop)
        elif sig == signal.SIGINT:
            _exit_now(128 + sig)
        super().handle_exit(sig, frame)

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, and wait for its first bytes here in the loop; gunicorn would spend a thread on it."""
        try:
            client, address = listener.accept()
        except BlockingIOError:
            return
        except OSError as exc:  # out of descriptors: it waits in the backlog; gunicorn's loop would end
            log.warning("no room for a connection", error=str(exc))
            time.sleep(PAUSE_WITHOUT_ROOM)
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.set_timeout()
        self.pending_conns.append(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def get_thread_pool(self) -> ThreadPoolExecutor:
        return _Pool(self.cfg.threads, thread_name_prefix="web")

    def is_parent_alive(self) -> bool:
        return True  # nobody is above it that it should die with

    def _begin_stop(self) -> None:
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self._grace
            self._site.begin_stop(self._grace * FOR_REQUESTS)

    def _stop(self) -> None:
        """Refuse new connections, but take those that the kernel has accepted already."""
        self._begin_stop()
        self.set_accept_enabled(False)
        for listener in self.sockets:
            before = -1
            while before < self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
        for connection in self.pending_conns:  # they have said nothing so far
            connection.timeout = time.monotonic() + FIRST_BYTES_WHEN_STOPPING


class _Pool(ThreadPoolExecutor):
    """Makes do with the threads that it has when the host allows no more; gunicorn's loop would end."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


class _Log(Logger):  # type: ignore[misc]  # without types
    """gunicorn's log as a part of ours: warnings and errors, and nothing of callers who fall silent or stop reading."""

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        self.error_log.propagate = True

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        if not isinstance(sys.exc_info()[1], BlockingIOError | TimeoutError):
            super().exception(msg, *args, **kwargs)


def _config(threads: int, grace_seconds: float) -> Config:
    config = Config()
    config.set("threads", threads)
    config.set("worker_connections", 2 * threads)
    config.set("keepalive", KEEPALIVE_SECONDS)
    config.set("graceful_timeout", math.ceil(grace_seconds * FOR_ANSWERS))
    config.set("errorlog", None)
    config.set("loglevel", "warning")
    return config


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; the connections it accepts have its options. Raises SettingsError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as exc:
        reason = "the port is in use" if exc.errno == errno.EADDRINUSE else exc.strerror
        raise SettingsError(f"Cannot listen on {host}:{port}: {reason}. Set HOST and PORT to what is free.") from exc
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_SECONDS, 0))
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
    return listener


def _url(host: str, port: int) -> str:
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> None:
    """Every waiting caller holds a connection here and one to the backend; the usual limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _settle_memory() -> None:
    """What is there by now is there for good. Each full collection would look through all of it, for 0.1 s and more,
    while every turn waits; and a turn's own objects come and go by the thousand, mostly without cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 20)


def _exit_now(status: int) -> NoReturn:
    """End the process without waiting for its threads. What has to last is on disk already."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)
