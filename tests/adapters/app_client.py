"""A client that calls the web application without a socket, as Flask's test client does for Flask."""

from __future__ import annotations

import asyncio
import json as json_module
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, TestResponse
from werkzeug.wrappers import Request

from gateway.web.asgi_app import WebApp
from gateway.web.connections import Limits
from gateway.web.server import HttpServer

LONGEST_WAIT = 20.0
PEER = ("127.0.0.1", 40_000)
LOOP_THREAD = "app-client"


@cache
def shared_loop() -> asyncio.AbstractEventLoop:
    """Returns the loop on which applications run that have none of their own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=LOOP_THREAD, daemon=True).start()
    return loop


def run_shared(work: Coroutine[Any, Any, object]) -> None:
    asyncio.run_coroutine_threadsafe(work, shared_loop()).result(LONGEST_WAIT)


@contextmanager
def served(application: WebApp, listener: socket.socket) -> Iterator[None]:
    """Serves an application, which has no loop of its own, as a gateway does."""
    server = HttpServer(application, Limits())
    run_shared(server.start(listener))
    try:
        yield
    finally:
        run_shared(server.stop(1.0))


class AppClient:
    """``loop``: the running loop on which the application belongs. Each response is streamed as it comes."""

    def __init__(self, application: WebApp, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.application = application
        self._loop = loop or shared_loop()

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, **options)

    def post(self, path: str, **options: Any) -> TestResponse:
        return self.open(path, method="POST", **options)

    def open(
        self,
        path: str,
        *,
        method: str = "GET",
        data: bytes | Iterable[bytes] = b"",
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> TestResponse:
        """``data``: pieces that are sent without a length if it is no bytes. Returns once the response begins."""
        sent = Headers(dict(headers or {}))
        if json is not None:
            data, content_type = json_module.dumps(json).encode(), "application/json"
        if content_type is not None:
            sent["Content-Type"] = content_type
        if isinstance(data, bytes):
            sent.setdefault("Content-Length", str(len(data)))
        exchange = AppExchange(self._loop, [data] if isinstance(data, bytes) else [*data])
        builder = EnvironBuilder(path, method=method)
        exchange.begin(self.application, _scope(builder.get_environ(), method, sent))
        status, found = exchange.wait_for_head()
        return TestResponse(exchange, str(status), Headers(found), Request(builder.get_environ()))

    def go_away(self, path: str, first_bytes: bytes, **headers: str) -> list[dict[str, Any]]:
        """Sends a part of a body by POST, then disconnects; returns what the application has sent until it ended."""
        exchange = AppExchange(self._loop, [first_bytes], ends=False)
        environ = EnvironBuilder(path, method="POST").get_environ()
        exchange.begin(self.application, _scope(environ, "POST", Headers({"Content-Length": "10"} | headers)))
        exchange.close()
        return exchange.sent()

    def call_soon(self, work: Callable[[], None]) -> None:
        """Calls ``work`` on the application's loop."""
        self._loop.call_soon_threadsafe(work)


def _scope(environ: Mapping[str, Any], method: str, headers: Headers) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        "query_string": environ["QUERY_STRING"].encode(),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": PEER,
        "server": ("localhost", 80),
    }


class AppExchange:
    """One request and its response, which is iterated by the test's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pieces: list[bytes], *, ends: bool = True) -> None:
        """``ends``: whether the body is complete with these pieces."""
        self._loop = loop
        self._ends = ends
        self._pieces = pieces
        self._answers: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._gone = asyncio.Event()
        self._ended = threading.Event()

    def begin(self, application: WebApp, scope: dict[str, Any]) -> None:
        async def run() -> None:
            try:
                await application(scope, self._receive, self._send)
            finally:
                self._answers.put(None)
                self._ended.set()

        asyncio.run_coroutine_threadsafe(run(), self._loop)

    def wait_for_head(self) -> tuple[int, list[tuple[str, str]]]:
        head = self._answers.get(timeout=LONGEST_WAIT)
        assert head is not None, "the application did not answer"
        raw: list[tuple[bytes, bytes]] = head["headers"]
        return head["status"], [(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw]

    def __iter__(self) -> Iterator[bytes]:
        while (message := self._answers.get(timeout=LONGEST_WAIT)) is not None:
            if message.get("body"):
                yield message["body"]

    def sent(self) -> list[dict[str, Any]]:
        return list(iter(self._answers.get, None))

    def close(self) -> None:
        """Goes away, and waits until the application has noticed."""
        self._call(self._gone.set)
        assert self._ended.wait(LONGEST_WAIT)

    def _call(self, work: Callable[[], None]) -> None:
        if not self._ended.is_set():
            self._loop.call_soon_threadsafe(work)

    async def _receive(self) -> dict[str, Any]:
        if self._pieces:
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": not self._ends or bool(self._pieces)}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self._answers.put(dict(message))
