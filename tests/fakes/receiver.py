"""An HTTP server in the place of the gateway or of a program: records requests, and answers as the test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = self.json["event"]
        return event


HttpAnswer = tuple[int, dict[str, str], str]
"""Status, headers, body."""
OK: HttpAnswer = (200, {}, "")


class FakeReceiver:
    """Use ``with FakeReceiver() as app``: it serves at ``app.url``. ``answer`` is called with every request."""

    def __init__(
        self, answer: Callable[[ReceivedRequest], HttpAnswer] = lambda _: OK, path: str = "/slack/events"
    ) -> None:
        self.answer = answer
        self._path = path
        self.received: list[ReceivedRequest] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with suppress(ConnectionError):  # the sender is dead
                    receiver._take(self)

            do_GET = do_POST  # noqa: N815  # named by the base class

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # named by the base class
                """Does not log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self._path}"

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        received = ReceivedRequest(handler.path, headers, body)
        self.received.append(received)
        status, extra_headers, text = self.answer(received)
        handler.send_response(status)
        for name, value in {**extra_headers, "content-length": str(len(text.encode()))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text.encode())
