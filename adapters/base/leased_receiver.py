"""Receives for all processes in one of them, which holds a lease: what only one connection or one poll may do."""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway import logs
from gateway.domain.errors import StoreUnavailable
from gateway.ports.store import KeyValueStore

log = logs.get_logger(__name__)

Retry = Callable[[Callable[[], Awaitable[float]], str], Awaitable[float]]
"""Repeats a call that may raise DeliveryError, StoreUnavailable or Overloaded; the string is logged with the error."""


class LeasedReceiver(ABC):
    """Receives while no other process does. On an event loop of its own: it blocks for the database."""

    def __init__(self, memory: KeyValueStore, lease: str, retry: Retry, problem: str, *, lease_seconds: float) -> None:
        """``lease``: its name. ``problem``: what is logged when a step fails and is repeated."""
        self._memory = memory
        self._lease = lease
        self._retry = retry
        self._problem = problem
        self._lease_seconds = lease_seconds
        self._owner = secrets.token_hex(8)
        self._ours = False

    @abstractmethod
    async def receive(self) -> None:
        """Receives for a while; the lease is held at the start. Called again until the receiver is cancelled.

        Raises DeliveryError, StoreUnavailable, Overloaded.
        """

    async def run(self) -> None:
        """Receives until it is cancelled, then gives the lease to whoever asks for it next."""
        try:
            while True:
                pause = await self._retry(self._step, self._problem)
                await asyncio.sleep(pause)
        finally:
            with suppress(StoreUnavailable):
                self._memory.try_lock(self._lease, self._owner, 0)

    def holds_lease(self) -> bool:
        """Takes or renews the lease; returns whether this process has it. Raises StoreUnavailable."""
        ours = self._memory.try_lock(self._lease, self._owner, self._lease_seconds)
        if ours is not self._ours:
            self._ours = ours
            log.info("updates are received by this process" if ours else "updates are received by another process")
        return ours

    async def _step(self) -> float:
        """Receives, if this process holds the lease. Returns the seconds until the next step."""
        if not self.holds_lease():
            return self._lease_seconds / 5
        await self.receive()
        return 0.0
