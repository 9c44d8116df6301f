"""Disturbs processes at random: kills them, stops them, freezes them for longer than a lease, or changes their file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Literal

from gateway.app import LEASE_SECONDS
from tests.soak.database import SoakDatabase
from tests.soak.fleet import Fleet, FleetProcess

DisruptionKind = Literal["kill -9", "SIGTERM", "freeze", "reload"]

DISRUPTION_WEIGHTS: dict[DisruptionKind, int] = {"kill -9": 5, "SIGTERM": 2, "freeze": 3, "reload": 3}
"""Relative frequency of each kind."""
PAUSE_SECONDS = (4.0, 12.0)
"""Range of seconds between two disruptions."""
BEYOND_LEASE_SECONDS = (2.0, 6.0)
"""Range of seconds that a process stays frozen after its lease has expired."""


@dataclass(frozen=True, slots=True)
class Disruption:
    kind: DisruptionKind
    at: float
    """Seconds since the epoch."""
    orphaned_turns: Sequence[str] = ()
    """The turns that a process had claimed when it was killed."""
    error: str = ""
    """What the process did wrong; empty if nothing."""


class Disruptor:
    """Disturbs one process after another; several may be down or frozen at the same time."""

    def __init__(
        self, fleet: Fleet, database: SoakDatabase, rng: Random, report_progress: Callable[[str], None]
    ) -> None:
        self._fleet = fleet
        self._database = database
        self._rng = rng
        self._report_progress = report_progress
        self._down: set[str] = set()
        self._changes = count(1)
        self._changing = asyncio.Lock()
        self.disruptions: list[Disruption] = []

    async def disrupt_until(self, load_ended: asyncio.Event) -> None:
        """Disturbs processes until the load ends; all run again when this returns. Raises what a start raises."""
        async with asyncio.TaskGroup() as tasks:
            while not load_ended.is_set():
                await _wait_for_end(load_ended, self._rng.uniform(*PAUSE_SECONDS))
                candidates = [process for process in self._fleet.disturbable if process.name not in self._down]
                if candidates and not load_ended.is_set():
                    tasks.create_task(self._disrupt(self._rng.choice(candidates)))

    def check_processes(self) -> None:
        """Raises RuntimeError when a process ended that was not disturbed."""
        for process in self._fleet.processes:
            if process.name not in self._down and process.has_ended:
                raise RuntimeError(f"{process.name} ended by itself:\n{process.log_tail()}")

    async def _disrupt(self, process: FleetProcess) -> None:
        kind = self._rng.choices(list(DISRUPTION_WEIGHTS), list(DISRUPTION_WEIGHTS.values()))[0]
        frozen = LEASE_SECONDS + self._rng.uniform(*BEYOND_LEASE_SECONDS)
        self._down.add(process.name)
        self._report_progress(f"{kind}: {process.name}")
        match kind:
            case "kill -9":
                blow = await asyncio.to_thread(self._kill, process)
            case "SIGTERM":
                blow = await asyncio.to_thread(self._stop, process)
            case "freeze":
                blow = await self._freeze(process, frozen)
            case "reload":
                async with self._changing:
                    blow = await asyncio.to_thread(self._reload, process)
        self.disruptions.append(blow)
        self._down.discard(process.name)

    def _kill(self, process: FleetProcess) -> Disruption:
        at, pid = time.time(), process.pid
        process.kill()
        orphans = self._database.claimed_turns(pid)
        process.start()
        return Disruption("kill -9", at, orphans)

    @staticmethod
    def _stop(process: FleetProcess) -> Disruption:
        at, status = time.time(), process.stop()
        process.start()
        return Disruption(
            "SIGTERM", at, error=f"{process.name} ended with status {status} after SIGTERM" if status else ""
        )

    def _reload(self, process: FleetProcess) -> Disruption:
        at = time.time()
        self._fleet.change_file(next(self._changes))
        error = "" if process.reload() else f"{process.name} refused a file: {process.log_tail()}"
        return Disruption("reload", at, error=error)

    @staticmethod
    async def _freeze(process: FleetProcess, seconds: float) -> Disruption:
        at = time.time()
        process.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            process.resume()
        return Disruption("freeze", at)


async def _wait_for_end(load_ended: asyncio.Event, seconds: float) -> None:
    """Waits so many seconds, or until the load ends."""
    try:
        async with asyncio.timeout(seconds):
            await load_ended.wait()
    except TimeoutError:
        pass
