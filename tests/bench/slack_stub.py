"""A minimal Slack stub: senders of events, and a Web API that accepts everything.

``python -m tests.bench.slack_stub`` prints its URL; then it runs the orders from stdin, one line of JSON each, and
prints the result of each as a line. Events are signed and sent over persistent connections.

Slack allows one post a second in a channel and several hundred a minute in a workspace. To measure the program and
not those limits, every message is in its own channel, and there are as many workspaces as senders, with one person each
who comes back again and again.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from time import perf_counter, time
from typing import Any

from tests.fakes.slack_events import BOT_ID, BOT_USER, event_envelope, message_event, signed_headers

SENDERS = 50
SETTLED_SECONDS = 0.5
"""Seconds without a call after which all replies count as complete."""
ANSWER_TIMEOUT_SECONDS = 120.0
CHANNEL_ID = re.compile(rb"D0(\d{7})")
TIMESTAMP = re.compile(rb'"ts": ?"([\d.]+)"')
FINAL_METHODS = {b"chat.postMessage", b"chat.update"}
READ_LIMIT = 262_144

RequestBuilder = Callable[[int, str], tuple[bytes, bytes]]
"""Builds head and body of the HTTP request that delivers the message of this number to this URL."""


@dataclass(frozen=True)
class EventOrder:
    """A number of messages to send. Each sender sends its next one when the last one is acknowledged."""

    url: str
    messages: int
    rate: float = 0.0
    """If set, messages are sent at this rate per second instead, whether or not they are acknowledged."""
    wait_for_replies: bool = False
    """Whether to wait until every message has its reply."""


@dataclass
class EventResult:
    acknowledged_seconds: float = 0.0
    """From the first event to the last acknowledgement."""
    answered_seconds: float = 0.0
    """From the first event to the last reply."""
    times: list[float] = field(default_factory=list)
    """Milliseconds to each 200; at a fixed rate, from the planned start."""
    errors: list[str] = field(default_factory=list)


class AnswerTimes:
    """When each message was answered: the time of the last call with its reply."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}
        self._numbers = count(1)

    def respond(self, method: bytes, body: bytes) -> dict[str, Any]:
        """Returns Slack's response to a call, and notes the time of a reply."""
        where = CHANNEL_ID.search(body)
        number = int(where[1]) if where else -1
        if method == b"chat.stopStream" or (method in FINAL_METHODS and marker(number).encode() in body):
            self.at[number] = perf_counter()
        given = TIMESTAMP.search(body)
        ts = given[1].decode() if given else f"{1_800_000_000 + next(self._numbers)}.000100"
        who = {"user_id": BOT_USER, "bot_id": BOT_ID, "team_id": "T0000000", "user": "bot", "team": "Acme"}
        said: dict[str, Any] = {"ts": ts, "message": {"ts": ts}, "messages": [], "channel": channel(number)}
        return {"ok": True, "url": "http://127.0.0.1/", **said, **who}


class ApiConnection(asyncio.Protocol):
    """A connection of the measured program to the Web API."""

    def __init__(self, answers: AnswerTimes) -> None:
        self._answers = answers
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            size = end + 4 + content_length(head)
            if len(self._buffer) < size:
                return
            body = bytes(self._buffer[end + 4 : size])
            del self._buffer[:size]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        method = head.split(b" ", 2)[1].partition(b"?")[0].rpartition(b"/")[2]
        said = json.dumps(self._answers.respond(method, body)).encode()
        start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(start % len(said) + said)
        if b"connection: close" in head.lower():
            self._transport.close()


class EventSender:
    """Sends the events of one order over several connections."""

    def __init__(
        self, order: EventOrder, numbers: list[int], answers: AnswerTimes, build_request: RequestBuilder
    ) -> None:
        self._order = order
        self._answers = answers
        self._remaining = iter([(number, *build_request(number, order.url)) for number in numbers])
        self._numbers = numbers
        self._result = EventResult()

    async def send_all(self) -> EventResult:
        start = perf_counter()
        crowd = self._at_fixed_rate(start) if self._order.rate else (self._sender() for _ in range(SENDERS))
        await asyncio.gather(*crowd)
        self._result.acknowledged_seconds = perf_counter() - start
        if self._order.wait_for_replies:
            self._result.answered_seconds = await self._last_answer() - start
        return self._result

    async def _sender(self) -> None:
        connection = await EventConnection.open(self._order.url)
        for number, head, body in self._remaining:
            await self._send(connection, head + body, perf_counter(), number)
        connection.close()

    def _at_fixed_rate(self, start: float) -> Iterator[Any]:
        free: list[EventConnection] = []
        for place, (number, head, body) in enumerate(self._remaining):
            yield self._send_at(start + place / self._order.rate, head + body, number, free)

    async def _send_at(self, planned: float, sent: bytes, number: int, free: list[EventConnection]) -> None:
        await asyncio.sleep(planned - perf_counter())
        connection = free.pop() if free else await EventConnection.open(self._order.url)
        await self._send(connection, sent, planned, number)
        free.append(connection)

    async def _send(self, connection: EventConnection, sent: bytes, begun: float, number: int) -> None:
        status = await connection.post(sent)
        self._result.times.append((perf_counter() - begun) * 1000)
        if status != b"200":
            self._result.errors.append(f"an event was answered with {status.decode()}")

    async def _last_answer(self) -> float:
        until = perf_counter() + ANSWER_TIMEOUT_SECONDS
        while perf_counter() < until:
            last = max(self._answers.at.values(), default=0.0)
            missing = [number for number in self._numbers if number not in self._answers.at]
            if not missing and perf_counter() - last > SETTLED_SECONDS:
                return last
            await asyncio.sleep(0.05)
        self._result.errors += [f"{len(missing)} messages were not answered within {ANSWER_TIMEOUT_SECONDS:g} s"]
        return perf_counter()


class EventConnection:
    """A persistent HTTP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, url: str) -> EventConnection:
        host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=READ_LIMIT))

    async def post(self, sent: bytes) -> bytes:
        """Sends a request and returns the status of the response."""
        self._writer.write(sent)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if b"chunked" in head.lower():
            await self._reader.readuntil(b"0\r\n\r\n")
        else:
            await self._reader.readexactly(content_length(head))
        return head.split(b" ", 2)[1]

    def close(self) -> None:
        self._writer.close()


def content_length(head: bytes) -> int:
    _, named, rest = head.lower().partition(b"content-length:")
    return int(rest.split(None, 1)[0]) if named else 0


def marker(number: int) -> str:
    """Returns a word that is in the message and so in its reply."""
    return f"ask{number}end"


def channel(number: int) -> str:
    return f"D0{number:07}"


def build_event(number: int, url: str) -> tuple[bytes, bytes]:
    """Builds head and body of a message event."""
    place, _, path = url.removeprefix("http://").partition("/")
    person = workspace = number % SENDERS
    ts = f"{int(time())}.{number % 1_000_000:06}"
    text = f"What is the weather like in Reykjavik today, {marker(number)}"
    event = message_event(text, user=f"U{person:07}", channel=channel(number), ts=ts)
    body = json.dumps(event_envelope(event, team=f"T{workspace:07}", event_id=f"Ev{number:09}")).encode()
    lines = [f"{name}: {value}" for name, value in signed_headers(body).items()]
    head = "\r\n".join([f"POST /{path} HTTP/1.1", f"host: {place}", *lines, f"content-length: {len(body)}"])
    return f"{head}\r\n\r\n".encode(), body


async def run_orders(answers: AnswerTimes, build_request: RequestBuilder) -> None:
    """Runs orders until stdin ends."""
    numbers = count()
    server = await asyncio.get_running_loop().create_server(
        lambda: ApiConnection(answers), "127.0.0.1", 0, backlog=4096
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = EventOrder(**json.loads(line))
        result = await EventSender(
            order, [next(numbers) for _ in range(order.messages)], answers, build_request
        ).send_all()
        print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    asyncio.run(run_orders(AnswerTimes(), build_event))
