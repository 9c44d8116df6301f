"""What befalls the processes, at random: they are killed, told to stop, or stand still for longer than a lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from gateway.app import LEASE_SECONDS
from tests.soak.books import Books
from tests.soak.fleet import Fleet, Process

Kind = Literal["kill -9", "SIGTERM", "freeze"]

KINDS: dict[Kind, int] = {"kill -9": 5, "SIGTERM": 2, "freeze": 3}
"""How often each, in proportion."""
BETWEEN = (4.0, 12.0)
"""Seconds from one to the next."""
OVER_THE_LEASE = (2.0, 6.0)
"""Seconds that a process stands still beyond its lease."""


@dataclass(frozen=True, slots=True)
class Blow:
    kind: Kind
    at: float
    """Seconds since the epoch."""
    orphans: Sequence[str] = ()
    """The turns that a process had in hand when it was killed."""
    wrong: str = ""
    """What the process should not have done."""


class Fate:
    """Strikes one process after another; those that are down or frozen at the time may be several."""

    def __init__(self, fleet: Fleet, books: Books, dice: Random, tell: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._books = books
        self._dice = dice
        self._tell = tell
        self._down: set[str] = set()
        self.blows: list[Blow] = []

    async def strike_until(self, over: asyncio.Event) -> None:
        """All of them work again when this returns. Raises what a start raises."""
        async with asyncio.TaskGroup() as blows:
            while not over.is_set():
                await _either(over, self._dice.uniform(*BETWEEN))
                standing = [process for process in self._fleet.victims if process.name not in self._down]
                if standing and not over.is_set():
                    blows.create_task(self._strike(self._dice.choice(standing)))

    def check(self) -> None:
        """Raises RuntimeError when a process died that nobody struck."""
        for process in self._fleet.processes:
            if process.name not in self._down and process.died:
                raise RuntimeError(f"{process.name} died by itself:\n{process.told()}")

    async def _strike(self, process: Process) -> None:
        kind = self._dice.choices(list(KINDS), list(KINDS.values()))[0]
        frozen = LEASE_SECONDS + self._dice.uniform(*OVER_THE_LEASE)
        self._down.add(process.name)
        self._tell(f"{kind}: {process.name}")
        match kind:
            case "kill -9":
                blow = await asyncio.to_thread(self._kill, process)
            case "SIGTERM":
                blow = await asyncio.to_thread(self._stop, process)
            case "freeze":
                blow = await self._freeze(process, frozen)
        self.blows.append(blow)
        self._down.discard(process.name)

    def _kill(self, process: Process) -> Blow:
        at, pid = time.time(), process.pid
        process.kill()
        orphans = self._books.held_by(pid)
        process.start()
        return Blow("kill -9", at, orphans)

    @staticmethod
    def _stop(process: Process) -> Blow:
        at, status = time.time(), process.stop()
        process.start()
        return Blow(
            "SIGTERM", at, wrong=f"{process.name} ended with {status} when it was told to stop" if status else ""
        )

    @staticmethod
    async def _freeze(process: Process, seconds: float) -> Blow:
        at = time.time()
        process.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            process.thaw()
        return Blow("freeze", at)


async def _either(over: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until it is over."""
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        pass
