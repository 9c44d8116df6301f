"""The app's end of what a platform delivers: keeps what comes and answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl


@dataclass(frozen=True, slots=True)
class Received:
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


Answer = tuple[int, dict[str, str], str]
"""Status, headers, body."""
OK: Answer = (200, {}, "")


class Receiver:
    """``with Receiver() as app``: ``app.url`` is where to deliver. ``answer`` is asked for every request."""

    def __init__(self, answer: Callable[[Received], Answer] = lambda _: OK, path: str = "/slack/events") -> None:
        self.answer = answer
        self._path = path
        self.received: list[Received] = []
        receiver = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class calls it so
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
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

    def _take(self, door: BaseHTTPRequestHandler) -> None:
        body = door.rfile.read(int(door.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in door.headers.items()}
        received = Received(door.path, headers, body)
        self.received.append(received)
        status, more, text = self.answer(received)
        door.send_response(status)
        for name, value in {**more, "content-length": str(len(text.encode()))}.items():
            door.send_header(name, value)
        door.end_headers()
        door.wfile.write(text.encode())
