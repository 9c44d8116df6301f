"""A minimal client of /chat with one persistent connection; minimal, because its own time is part of the result."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from time import perf_counter
from urllib.parse import urlsplit

READ_BYTES = 65_536
TIMEOUT_SECONDS = 60.0
END_OF_STREAM = b"0\r\n\r\n"


class ChatCaller:
    """One caller, in one thread at a time. Blocks."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host = place.netloc
        self._socket = socket.create_connection((place.hostname, place.port), TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._thread: str | None = None

    def close(self) -> None:
        self._socket.close()

    def start_new_thread(self) -> None:
        """Makes the next message open a new thread."""
        self._thread = None

    def send(self, text: str) -> float:
        """Sends a message, reads the whole reply, and returns when it ended, by ``perf_counter``."""
        self._post({"message": text})
        body = self._read_whole()
        ended = perf_counter()
        self._thread = json.loads(body)["thread_id"]
        return ended

    def send_streaming(self, text: str) -> float:
        """Sends a message, reads the reply as an event stream, and returns when its first text arrived."""
        self._post({"message": text, "stream": True})
        read, first = bytearray(), 0.0
        while not read.endswith(END_OF_STREAM):
            read += self._receive()
            if not first and b"event: delta" in read:
                first = perf_counter()
        done = read.partition(b"event: done")[2].partition(b"data: ")[2]
        self._thread = json.loads(done.partition(b"\n")[0])["thread_id"]
        return first

    def _post(self, request: dict[str, object]) -> None:
        if self._thread is not None:
            request["thread_id"] = self._thread
        body = json.dumps(request).encode()
        head = f"POST /chat HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def _read_whole(self) -> bytes:
        read = bytearray()
        while b"\r\n\r\n" not in read:
            read += self._receive()
        head, _, body = bytes(read).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(read.decode())
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while len(body) < length:
            body += self._receive()
        return body

    def _receive(self) -> bytes:
        received = self._socket.recv(READ_BYTES)
        if not received:
            raise ConnectionError("the server closed the connection")
        return received


class RunCaller(ChatCaller):
    """A caller of the Assistants API: a run with its message, a poll until it has ended, and the reply."""

    def send(self, text: str) -> float:
        body = {"assistant_id": "default", "additional_messages": [{"role": "user", "content": text}]}
        if self._thread is None:
            self._thread = json.loads(self._call("POST", "/v1/threads", {}))["id"]
        thread = f"/v1/threads/{self._thread}"
        run = json.loads(self._call("POST", f"{thread}/runs", body))
        while run["status"] in ("queued", "in_progress"):
            run = json.loads(self._call("GET", f"{thread}/runs/{run['id']}"))
        if run["status"] != "completed":
            raise RuntimeError(f"the run {run['status']}: {run['last_error']}")
        self._call("GET", f"{thread}/messages?limit=1")
        return perf_counter()

    def _call(self, method: str, path: str, request: Mapping[str, object] | None = None) -> bytes:
        body = b"" if request is None else json.dumps(request).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return self._read_whole()
