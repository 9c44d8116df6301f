"""How a fake's HTTP server stops to accept connections, so that it can close all that it has."""

from __future__ import annotations

import asyncio

LOOPS_TO_ACCEPT = 4
"""So many turns of asyncio's loop after a connection was accepted, its protocol knows it."""


async def stop_accepting(listener: asyncio.Server) -> None:
    """Accepts no further connection; then each that was accepted is known to its protocol.

    One that is only half accepted when the listener is closed would stay open, and its ResourceWarning fail whichever
    test runs when the garbage collector finds it.
    """
    for each in listener.sockets:
        asyncio.get_running_loop().remove_reader(each.fileno())
    for _ in range(LOOPS_TO_ACCEPT):
        await asyncio.sleep(0)
    listener.close()
