"""The pages: whatever is no native route, in Flask, in a few threads. Loaded when the first one is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, cast

from gateway.web.api.routes import AsgiMessage, Receive, Scope, Send

if TYPE_CHECKING:
    import flask
    from a2wsgi import WSGIMiddleware
    from a2wsgi.wsgi_typing import WSGIApp

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Largest request body; a route may allow less."""
PAGE_THREADS = 8


class Pages:
    """Flask with all pages, which takes 9 MB, and which many processes never need."""

    def __init__(self, build: Callable[[], flask.Flask]) -> None:
        """``build``: called once, when the first page is asked for. It takes a quarter of a second."""
        self._build = build
        self._lock = Lock()
        self._app: flask.Flask | None = None
        self._threads: WSGIMiddleware | None = None

    @property
    def app(self) -> flask.Flask:
        """The Flask app, which is built first if it is not there yet. Any thread."""
        with self._lock:
            if self._app is None:
                self._app = self._build()
            return self._app

    async def load(self) -> None:
        """Builds the app, in a thread, unless it is there. Called before ``serve``, on the loop that serves."""
        if self._threads is None:
            threads = await asyncio.to_thread(self._started)
            self._threads = self._threads or threads

    def _started(self) -> WSGIMiddleware:
        from a2wsgi import WSGIMiddleware  # noqa: PLC0415  # with the app

        return WSGIMiddleware(cast("WSGIApp", self.app), workers=PAGE_THREADS)

    async def serve(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answers a request whose whole ``body`` is here, so that a slow client occupies no thread."""
        if self._threads is None:
            raise RuntimeError("the pages are not loaded")
        scope = _with_length(scope, len(body))
        await self._threads(scope, _replay(body, receive), _without_date(send))  # type: ignore[arg-type]  # ASGI


def _with_length(scope: Scope, length: int) -> Scope:
    """Returns the scope of a request whose body is here, however it was sent.

    Leaves out headers with ``_`` in their names: WSGI has them under the same names as those with ``-``, so
    ``X_Forwarded_Email`` of a client would pass for the header that a proxy sets and takes from clients.
    """
    replaced = {b"content-length", b"transfer-encoding"}
    headers = [(name, value) for name, value in scope["headers"] if name not in replaced and b"_" not in name]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns an ASGI ``receive`` that begins with this body."""
    messages: list[AsgiMessage] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> AsgiMessage:
        return messages.pop() if messages else await receive()

    return replayed


def _without_date(send: Send) -> Send:
    """Leaves out the header ``Date``, which Flask sets for some responses and the server for all."""

    async def forward(message: AsgiMessage) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [(name, value) for name, value in message["headers"] if name != b"date"]
        await send(message)

    return forward
