"""HTTP as clients speak it that are slow, silent, broken or hostile: a small application behind the real server."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.web import server
from gateway.web.api.routes import Receive, Scope, Send
from gateway.web.connections import Limits
from gateway.web.http_protocol import LimitedProtocol
from gateway.web.server import AsgiApp, HttpServer
from tests.waiting import until_async

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Client]]

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
LONGEST_WAIT = 20.0


class App:
    """Answers with the length of the body; ``/early`` before it is read, ``/held`` when the gate opens."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.scopes: list[Scope] = []
        self.disconnected = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/early":
            await _answer(send, b"early")
            return
        body, message = b"", await receive()
        while message["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
            message = await receive()
        else:
            self.disconnected += 1
            return
        if scope["path"] == "/held":
            await self.gate.wait()
        await _answer(send, str(len(body)).encode())

    def headers(self) -> dict[bytes, bytes]:
        return dict(self.scopes[-1]["headers"])


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(app: AsgiApp, **limits: Any) -> AsyncIterator[Connect]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    running = HttpServer(app, Limits(**limits))
    await running.start(listener)
    opened: list[Client] = []

    async def connect() -> Client:
        opened.append(await asyncio.open_connection("127.0.0.1", port))
        return opened[-1]

    try:
        yield connect
    finally:
        for _, writer in opened:
            writer.transport.abort()
        await running.stop(5.0)


@pytest.fixture(autouse=True)
def frequent_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TICK_SECONDS", 0.02)


async def head_and_body(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Reads one response; returns its status and its body."""
    async with asyncio.timeout(LONGEST_WAIT):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None, head
        return int(head.split()[1]), await reader.readexactly(int(length[1]))


async def exchange(client: Client, *sent: bytes) -> tuple[int, bytes]:
    for part in sent:
        client[1].write(part)
    return await head_and_body(client[0])


async def rest(client: Client) -> bytes:
    """Reads until the server closes the connection."""
    async with asyncio.timeout(LONGEST_WAIT):
        try:
            return await client[0].read()
        except ConnectionResetError:
            return b""


# ---------------------------------------------------------------- what is no request


@pytest.mark.parametrize(
    "request_bytes",
    [
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        POST + b"Content-Length: 1_0\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /?q=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x, y:80:90\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"nonsense\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_400_in_our_form_and_nothing_in_the_log(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    async with serving(app) as connect:
        client = await connect()
        with capture_logs() as logs:
            status, body = await exchange(client, request_bytes)
        assert (status, json.loads(body)["error"]["code"]) == (400, "malformed_request")
        assert await rest(client) == b""
        assert (await exchange(await connect(), GET))[0] == 200
    assert logs == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n",
        b"GET / HTTP/1.1\r\nHost: a_b.example:\r\n",
        POST + b"Transfer-Encoding:  Chunked \r\n\r\n0\r\n",
    ],
)
async def test_what_is_http_is_answered(head: bytes) -> None:
    async with serving(App()) as connect:
        assert await exchange(await connect(), head + b"\r\n") == (200, b"0")


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity, chunked", b"gzip\r\nTransfer-Encoding: chunked"])
async def test_a_coding_of_the_body_that_is_not_read_here_is_a_501(coding: bytes) -> None:
    app = App()
    async with serving(app) as connect:
        client = await connect()
        status, body = await exchange(client, POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n")
        assert (status, json.loads(body)["error"]["code"]) == (501, "unknown_transfer_coding")
        assert await rest(client) == b""
    assert app.scopes == []


async def test_who_ends_its_side_after_its_request_gets_the_answer() -> None:
    app = App()
    async with serving(app, half_closed=0.05) as connect:
        client = await connect()
        client[1].write(GET.replace(b"/", b"/held", 1))
        client[1].write_eof()
        for _ in range(2):
            assert await client[0].readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        app.gate.set()
        assert (await rest(client)).endswith(b"connection: close\r\n\r\n0")


async def test_who_ends_its_side_while_an_answer_is_streamed_is_gone() -> None:
    gone = asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"] == "/"
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    async with serving(stream) as connect:
        client = await connect()
        client[1].write(GET)
        await client[0].readuntil(b"begun")
        client[1].write_eof()
        async with asyncio.timeout(LONGEST_WAIT):
            await gone.wait()


async def test_who_ends_its_side_after_several_requests_gets_all_answers() -> None:
    async with serving(App()) as connect:
        client = await connect()
        client[1].write(GET + GET + POST + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000)
        client[1].write_eof()
        assert [await head_and_body(client[0]) for _ in range(3)] == [(200, b"0"), (200, b"0"), (200, b"5000")]
        assert await rest(client) == b""


async def test_a_body_that_ends_before_its_length_is_a_400() -> None:
    app = App()
    async with serving(app) as connect:
        client = await connect()
        client[1].write(POST + b"Content-Length: 10\r\n\r\nabc")
        client[1].write_eof()
        status, body = await head_and_body(client[0])
        assert (status, json.loads(body)["error"]["code"]) == (400, "incomplete_body")
        assert await rest(client) == b""
    assert app.disconnected == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n\r\n",
        GET[:-2] + b"A: " + b"x" * 3000 + b"\r\n\r\n",
        GET[:-2] + b"".join(b"A%d: x\r\n" % number for number in range(20)) + b"\r\n",
    ],
)
async def test_too_much_before_the_body_is_a_431_in_our_form(head: bytes) -> None:
    app = App()
    async with serving(app, head_bytes=2000, headers=10) as connect:
        client = await connect()
        status, body = await exchange(client, head)
        assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
        assert await rest(client) == b""
    assert app.scopes == []


@pytest.mark.parametrize(
    "begun",
    [GET[:-2] + b"A: ", POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: "],
    ids=["a header", "what follows a body in chunks"],
)
async def test_what_does_not_end_is_a_431_before_all_of_it_is_kept(begun: bytes) -> None:
    async with serving(App(), head_bytes=2000) as connect:
        client = await connect()
        status, body = await exchange(client, begun, b"x" * 2**20)
        assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
        assert await rest(client) == b""


async def test_what_follows_a_body_in_chunks_is_no_header() -> None:
    app = App()
    async with serving(app) as connect:
        late = b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Late: 1\r\n\r\n"
        assert await exchange(await connect(), POST + late) == (200, b"2")
    assert b"x-late" not in app.headers()


async def test_what_a_header_says_of_the_client_is_not_believed() -> None:
    app = App()
    lies = b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=9.9.9.9\r\nScript-Name: /a\r\n"
    async with serving(app) as connect:
        assert (await exchange(await connect(), GET[:-2] + lies + b"SCRIPT_NAME: /a\r\nX_Real: b\r\n\r\n"))[0] == 200
    scope = app.scopes[0]
    assert (scope["client"][0], scope["scheme"], scope["root_path"]) == ("127.0.0.1", "http", "")
    assert not any(b"_" in name for name in app.headers())


async def test_a_request_to_upgrade_is_answered_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(App()) as connect:
        for kind in (b"h2c", b"websocket"):
            upgrade = b"Connection: Upgrade\r\nUpgrade: %s\r\n" % kind
            for client in (await connect(), await connect()):
                for _ in "ab":  # a connection goes on after it
                    post = POST + upgrade + b"Content-Length: 2\r\n\r\n"
                    assert await exchange(client, post, b"hi") == (200, b"2")
                    chunked = POST + upgrade + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                    assert await exchange(client, chunked) == (200, b"3")
                    assert await exchange(client, GET[:-2] + upgrade + b"\r\n") == (200, b"0")
                    assert await exchange(client, GET) == (200, b"0")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


# ---------------------------------------------------------------- who is slow or silent


async def test_who_says_nothing_or_half_a_head_is_sent_away() -> None:
    async with serving(App(), first_byte=0.1, head=0.1) as connect:
        silent, half, again = await connect(), await connect(), await connect()
        half[1].write(GET[:10])
        assert await exchange(again, GET) == (200, b"0")
        again[1].write(GET[:10])
        for client in (silent, half, again):
            assert await rest(client) == b""


async def test_a_body_that_does_not_come_is_a_408() -> None:
    app = App()
    async with serving(app, body=0.1) as connect:
        client = await connect()
        status, body = await exchange(client, POST + b"Content-Length: 10\r\n\r\nabc")
        assert (status, json.loads(body)["error"]["code"]) == (408, "request_timeout")
        assert await rest(client) == b""
    assert app.disconnected == 1


async def test_who_waits_for_an_answer_is_not_timed_out() -> None:
    app = App()
    async with serving(app, first_byte=0.05, head=0.05, body=0.05, linger=0.05) as connect:
        client = await connect()
        client[1].write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.3)
        app.gate.set()
        assert await head_and_body(client[0]) == (200, b"0")


async def test_silent_connections_beyond_the_places_do_not_keep_others_out() -> None:
    app = App()
    async with serving(app, connections=20) as connect:
        held = await connect()
        held[1].write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        crowd = [await connect() for _ in range(60)]
        assert await exchange(await connect(), GET) == (200, b"0")
        assert await rest(crowd[0]) == b""
        app.gate.set()
        assert await head_and_body(held[0]) == (200, b"0")


async def test_half_requests_beyond_the_places_do_not_keep_others_out() -> None:
    async with serving(App(), connections=20) as connect:
        for number in range(60):
            (await connect())[1].write(GET[:10] if number % 2 else POST + b"Content-Length: 9\r\n\r\nab")
        assert await exchange(await connect(), GET) == (200, b"0")


# ---------------------------------------------------------------- one connection, several requests


async def test_an_answer_before_the_body_comes_through_and_the_connection_goes_on() -> None:
    async with serving(App()) as connect:
        client = await connect()
        client[1].write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
        assert await head_and_body(client[0]) == (200, b"early")
        client[1].write(b"x" * 200_000)
        assert await exchange(client, GET) == (200, b"0")


async def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever() -> None:
    async with serving(App(), linger=0.1) as connect:
        client = await connect()
        status, _ = await exchange(client, b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\nabc")
        assert status == 200
        assert await rest(client) == b""


async def test_more_of_a_body_that_is_answered_already_wins_no_time() -> None:
    async with serving(App(), linger=0.3, body=60.0) as connect:
        client = await connect()
        await exchange(client, b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\nabc")
        client[1].write(b"more")
        assert await rest(client) == b""


async def test_an_empty_line_between_two_requests_is_the_start_of_one() -> None:
    async with serving(App(), head=0.2) as connect:
        client = await connect()
        assert await exchange(client, GET) == (200, b"0")
        client[1].write(b"\r\n")
        assert await rest(client) == b""


async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    app = App()
    async with serving(app, first_byte=0.1, head=0.1, body=0.3, linger=0.1) as connect:
        client = await connect()
        client[1].write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n" + GET + POST + b"Content-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.5)
        app.gate.set()
        assert await head_and_body(client[0]) == (200, b"0")
        assert await head_and_body(client[0]) == (200, b"0")
        assert await exchange(client, b"cd") == (200, b"4")
        assert await exchange(client, GET) == (200, b"0")


async def test_of_many_requests_that_come_at_once_few_are_kept() -> None:
    """A request takes a hundred times the memory of its bytes; one client could send them faster than they go."""
    app, many = App(), 10_000
    async with serving(app) as connect:
        reader, writer = await connect()
        writer.write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n" + GET * many)
        await until_async(lambda: app.scopes)
        kept = [_requests_in_memory()]
        app.gate.set()
        for number in range(many + 1):
            assert await head_and_body(reader) == (200, b"0")
            if not number % 1000:
                kept.append(_requests_in_memory())
        assert max(kept) < 1000
        assert len(app.scopes) == many + 1


async def test_a_body_behind_many_requests_is_read_whole() -> None:
    body = b"GET / HTTP/1.1\r\n\r\n" * 10_000
    async with serving(App()) as connect:
        reader, writer = await connect()
        writer.write(GET * 1000 + POST + b"Content-Length: %d\r\n\r\n" % len(body) + body + GET)
        answers = [await head_and_body(reader) for _ in range(1002)]
        assert answers[1000:] == [(200, str(len(body)).encode()), (200, b"0")]


def _requests_in_memory() -> int:
    return sum(isinstance(each, RequestResponseCycle) for each in gc.get_objects())


async def test_nonsense_behind_a_request_is_no_second_answer_within_the_first() -> None:
    app = App()
    async with serving(app) as connect:
        client = await connect()
        client[1].write(b"GET /held HTTP/1.1\r\nHost: x\r\n\r\n")
        client[1].write(b"nonsense\r\n\r\n")
        assert await rest(client) == b""
        app.gate.set()


# ---------------------------------------------------------------- the head of a response


class Written:
    """Answers with the head and the body that a test gives it."""

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]], *body: bytes) -> None:
        self._head = {"type": "http.response.start", "status": status, "headers": headers}
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(self._head)
        for part in self._body:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


LENGTH, TWO_COOKIES = (b"content-length", b"2"), [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


@pytest.mark.parametrize(
    ("app", "request_line", "lines", "body"),
    [
        (Written(200, [LENGTH], b"ab"), b"GET / HTTP/1.1", [b"content-length: 2"], b"ab"),
        (Written(200, [LENGTH], b"ab"), b"GET / HTTP/1.0", [b"content-length: 2", b"connection: close"], b"ab"),
        (Written(200, [LENGTH], b"ab"), b"HEAD / HTTP/1.1", [b"content-length: 2"], b""),
        (
            Written(200, TWO_COOKIES, b"ab", b"c"),
            b"GET / HTTP/1.1",
            [b"transfer-encoding: chunked"],
            b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        (Written(200, []), b"HEAD / HTTP/1.1", [], b""),
        (Written(204, []), b"GET / HTTP/1.1", [], b""),
        (Written(304, []), b"GET / HTTP/1.1", [], b""),
        (
            Written(200, [LENGTH, (b"connection", b"close")], b"ab"),
            b"GET / HTTP/1.1",
            [b"content-length: 2", b"connection: close"],
            b"ab",
        ),
    ],
)
async def test_a_head_says_where_the_body_ends(
    app: Written, request_line: bytes, lines: Sequence[bytes], body: bytes
) -> None:
    async with serving(app) as connect:
        reader, writer = await connect()
        writer.write(request_line + b"\r\nHost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[1:-2]
        framing = [line for line in head if line.startswith((b"content-length", b"transfer-encoding", b"connection"))]
        assert framing == lines
        writer.write_eof()
        assert await rest((reader, writer)) == body


async def test_a_header_that_comes_twice_is_sent_twice() -> None:
    async with serving(Written(200, [*TWO_COOKIES, LENGTH], b"ab")) as connect:
        reader, writer = await connect()
        writer.write(GET)
        assert b"set-cookie: a=1\r\nset-cookie: b=2\r\n" in await reader.readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(
    "header",
    [
        (b"x-name", b"a\r\nset-cookie: b=2"),
        (b"x-name", b"a\nb"),
        (b"x-name", b"a\rb"),
        (b"x-name", b"a\0b"),
        (b"x-name: a\r\nset-cookie", b"b=2"),
        (b"x name", b"a"),
        (b"", b"a"),
    ],
)
async def test_what_cannot_be_a_header_is_not_sent(header: tuple[bytes, bytes]) -> None:
    async with serving(Written(200, [header, LENGTH], b"ab")) as connect:
        client = await connect()
        client[1].write(GET)
        answer = await rest(client)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"b" not in answer.split(b"\r\n")
        assert b"set-cookie" not in answer


# ---------------------------------------------------------------- uvicorn


def test_uvicorn_is_the_version_whose_undocumented_methods_are_overridden() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f'"uvicorn=={version("uvicorn")}"' in project
    own = {"address", "end", "time_out", "finish", "phase"}
    overridden = {name for name in vars(LimitedProtocol) if not name.startswith("_")} - own
    assert overridden <= set(dir(HttpToolsProtocol))
