"""The matrix's proxies close what they have open at the end: a later test would pay for a socket that stays."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import pytest

from tests.faults.matrix.proxy import TcpProxy


async def open_and_close(target: int, loops_between: int) -> None:
    """Closes a proxy so many turns of the loop after a client has connected."""
    proxy = TcpProxy(asyncio.get_running_loop(), target)
    await proxy.open()
    with socket.create_connection(("127.0.0.1", proxy.port)):
        for _ in range(loops_between):
            await asyncio.sleep(0)
        await proxy.close()


@pytest.mark.parametrize("loops_between", range(12))
def test_no_connection_stays_open_at_the_end(monkeypatch: pytest.MonkeyPatch, loops_between: int) -> None:
    left_open: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: left_open.append(found.exc_value))
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        loop.run_until_complete(open_and_close(silent.getsockname()[1], loops_between))
        loop.close()  # as at the end of a cell: nothing is awaited that is left
    gc.collect()
    assert left_open == []
