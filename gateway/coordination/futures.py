"""Waiting for futures and tasks that are somebody else's."""

from __future__ import annotations

import asyncio
from typing import Any


async def until_done(future: asyncio.Future[Any]) -> None:
    """Waits until a future has ended, however it ends. ``asyncio.wait`` takes three times as many steps for one.

    Who is cancelled meanwhile leaves the future as it is. Whoever awaits it itself learns of its end first.
    """
    ended = asyncio.get_running_loop().create_future()

    def end(_: object) -> None:
        if not ended.done():  # it is when who waits was cancelled
            ended.set_result(None)

    future.add_done_callback(end)
    await ended
