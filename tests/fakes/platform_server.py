"""Base of the fake platforms: an HTTP server on loopback, on an event loop in its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar

from aiohttp import web

from tests.fakes.accepting import stop_accepting
from tests.fakes.change_signal import ChangeSignal
from tests.fakes.platform_faults import PlatformFaults

Value = TypeVar("Value")

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Limit for a request body."""


class FakePlatformServer:
    """Server of a fake platform. Every method may be called from any thread while it runs.

    A subclass handles requests in ``_handle``, starts in ``_on_start``, stops in ``_on_stop``, and describes its state
    in ``_describe`` for the error of a wait that timed out.
    """

    def __init__(self, changes: ChangeSignal, faults: PlatformFaults, port: int) -> None:
        self.port = port
        self.faults = faults
        self._changes = changes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_requested: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # ------------------------------------------------------------ waiting

    def wait_until(self, predicate: Callable[[], Value], timeout: float = 20.0) -> Value:
        """Returns the first truthy value of ``predicate``, called at every change. Raises AssertionError on timeout."""
        value: Value = self._changes.wait(predicate, timeout, self._describe)
        return value

    async def wait_until_async(self, predicate: Callable[[], Value], timeout: float = 20.0) -> Value:  # noqa: ASYNC109  # mirrors wait
        """``wait_until`` for async tests."""
        return await asyncio.to_thread(self.wait_until, predicate, timeout)

    # ------------------------------------------------------------ running

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the server. After ``stop``: on the same port, with the same state."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise TimeoutError(f"{type(self).__name__} did not start")

    def stop(self) -> None:
        """Stops the server: closes every connection and abandons requests in progress."""
        if self._loop is not None and self._stop_requested is not None and self._thread is not None:
            self.faults.release()
            self._loop.call_soon_threadsafe(self._stop_requested.set)
            self._thread.join(10)
            self._loop = None

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_requested = asyncio.Event()
        server = web.Server(self._handle, request_factory=_make_request, access_log=None)
        listener = await self._loop.create_server(server, "127.0.0.1", self.port, backlog=4096)
        self.port = listener.sockets[0].getsockname()[1]
        await self._on_start()
        ready.set()
        await self._stop_requested.wait()
        await stop_accepting(listener)
        await self._on_stop()
        await server.shutdown(0.001)  # zero would wait for ever

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raise NotImplementedError

    async def _on_start(self) -> None:
        raise NotImplementedError

    async def _on_stop(self) -> None:
        raise NotImplementedError

    def _describe(self) -> str:
        raise NotImplementedError


def _make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """Returns a request that allows bodies as large as a file."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)
