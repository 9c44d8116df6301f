"""Disturbs processes at random: kills them, stops them, or freezes them for longer than a lease."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from gateway.app import LEASE_SECONDS
from tests.soak.database import Books
from tests.soak.fleet import Fleet, Process

Kind = Literal["kill -9", "SIGTERM", "freeze"]

KINDS: dict[Kind, int] = {"kill -9": 5, "SIGTERM": 2, "freeze": 3}
"""Relative frequency of each kind."""
BETWEEN = (4.0, 12.0)
"""Range of seconds between two disruptions."""
OVER_THE_LEASE = (2.0, 6.0)
"""Range of seconds that a process stays frozen after its lease has expired."""


@dataclass(frozen=True, slots=True)
class Blow:
    kind: Kind
    at: float
    """Seconds since the epoch."""
    orphans: Sequence[str] = ()
    """The turns that a process had claimed when it was killed."""
    wrong: str = ""
    """What the process did wrong; empty if nothing."""


class Fate:
    """Disturbs one process after another; several may be down or frozen at the same time."""

    def __init__(self, fleet: Fleet, books: Books, dice: Random, tell: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._books = books
        self._dice = dice
        self._tell = tell
        self._down: set[str] = set()
        self.blows: list[Blow] = []

    async def strike_until(self, over: asyncio.Event) -> None:
        """Disturbs processes until the load ends; all run again when this returns. Raises what a start raises."""
        async with asyncio.TaskGroup() as tasks:
            while not over.is_set():
                await _either(over, self._dice.uniform(*BETWEEN))
                candidates = [process for process in self._fleet.victims if process.name not in self._down]
                if candidates and not over.is_set():
                    tasks.create_task(self._strike(self._dice.choice(candidates)))

    def check(self) -> None:
        """Raises RuntimeError when a process ended that was not disturbed."""
        for process in self._fleet.processes:
            if process.name not in self._down and process.died:
                raise RuntimeError(f"{process.name} ended by itself:\n{process.told()}")

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
        return Blow("SIGTERM", at, wrong=f"{process.name} ended with status {status} after SIGTERM" if status else "")

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
    """Waits so many seconds, or until the load ends."""
    try:
        async with asyncio.timeout(seconds):
            await over.wait()
    except TimeoutError:
        pass
