"""A fake that ends closes each connection, at whichever moment it came."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import pytest
from aiohttp import web

from tests.fakes.accepting import stop_accepting


async def answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


async def open_and_end(loops_between: int) -> None:
    """Ends a server so many turns of the loop after a client has connected."""
    server = web.Server(answer)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    with socket.create_connection(listener.sockets[0].getsockname()):
        for _ in range(loops_between):
            await asyncio.sleep(0)
        await stop_accepting(listener)
        await server.shutdown(0.001)


@pytest.mark.parametrize("loops_between", range(6))
def test_no_connection_stays_open_at_the_end(monkeypatch: pytest.MonkeyPatch, loops_between: int) -> None:
    left_open: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: left_open.append(found.exc_value))
    asyncio.run(open_and_end(loops_between))
    gc.collect()
    assert left_open == []
