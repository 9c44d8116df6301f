"""Stopping waits for what the application does for clients that have left already."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.web.api.routes import Receive, Scope, Send
from gateway.web.connections import Limits
from gateway.web.server import HttpServer

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(("seconds", "cut_off"), [(30.0, 0), (0.05, 1)])
async def test_a_request_whose_client_has_left_is_waited_for(seconds: float, cut_off: int) -> None:
    answered, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok", "more_body": True})
        answered.set()
        await go_on.wait()

    server = HttpServer(app, Limits(connections=10))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.start(listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(REQUEST)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        stopping = asyncio.ensure_future(server.stop(seconds))
        done, _ = await asyncio.wait((stopping,), timeout=0.2)
        assert bool(done) is bool(cut_off)
        go_on.set()
        assert await stopping == cut_off
