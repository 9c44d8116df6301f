"""Holds turns back while a burst of messages is being accepted."""

from __future__ import annotations

import asyncio

MAX_BURST_WAIT = 1.0
"""Seconds for which turns are at most delayed while messages are being accepted."""


class Burst:
    """The messages that are being accepted just now. Entered for the time of each. Used on one loop only.

    Turns and messages compete for one CPU, and the senders of the messages wait for it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._over: asyncio.Event | None = None
        """What turns wait for, if any does."""

    def __enter__(self) -> None:
        self._count += 1

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count and self._over is not None:
            self._end(self._over)

    @property
    def holds_turns_back(self) -> bool:
        """Whether turns wait for its end."""
        return self._over is not None

    async def wait(self) -> None:
        """Returns when no message is being accepted, or ``MAX_BURST_WAIT`` seconds after turns began to wait."""
        if self._count and self._over is None:
            self._over = asyncio.Event()
            asyncio.get_running_loop().call_later(MAX_BURST_WAIT, self._end, self._over)
        if self._over is not None:
            await self._over.wait()

    def _end(self, over: asyncio.Event) -> None:
        over.set()
        if self._over is over:
            self._over = None
