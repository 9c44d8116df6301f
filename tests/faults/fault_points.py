"""The points at which faults are injected: steps of a process's store, and calls to a platform or their answers."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from tests.fakes.platform_faults import ConnectionRefused, PlatformFaults, RecordedCall, ResponseLost
from tests.faults.gateway_process import GatewayProcess

MAX_PARALLEL = 10
CRASH_STEPS = (
    "before enqueue",
    "written, not committed",
    "after enqueue",
    "before set thread",
    "after set run",
    "before record outcome",
    "after record outcome",
    "before save posted messages",
    "after save posted messages",
    "before finish turn",
    "after finish turn",
)
"""Steps at which a process kills itself, see ``crashing_process``."""
CALL_FAULTS = (
    "kill the process before the call",
    "kill the process after the call",
    "stop the process after the call",
    "lose the call",
    "lose the answer",
)
"""Faults at a call to the platform."""

ScenarioT = TypeVar("ScenarioT")


@dataclass
class CallFault:
    """Injects a fault at the nth call of a method."""

    faults: PlatformFaults
    process: GatewayProcess
    method: str
    nth_call: int
    triggered: threading.Event = field(default_factory=threading.Event)
    calls_seen: int = 0

    def arm(self, fault: str) -> None:
        match fault:
            case "kill the process before the call":
                self.faults.add(self.method, ConnectionRefused(skip=self.nth_call - 1))
                self.faults.before(self.method, self._on_nth_call(self.process.kill))
            case "kill the process after the call":
                self.faults.after(self.method, self._on_nth_call(self.process.kill))
            case "stop the process after the call":
                self.faults.after(self.method, self._on_nth_call(self.process.terminate))
            case "lose the call":
                self.faults.add(self.method, ConnectionRefused(skip=self.nth_call - 1))
            case "lose the answer":
                self.faults.add(self.method, ResponseLost(skip=self.nth_call - 1))

    def _on_nth_call(self, what: Callable[[], None]) -> Callable[[RecordedCall], None]:
        def hook(_: RecordedCall) -> None:
            self.calls_seen += 1
            if self.calls_seen == self.nth_call:
                what()
                self.triggered.set()

        return hook


def run_in_parallel(
    folder: Path,
    database: Path,
    open_scenario: Callable[[Path, str, Any], AbstractContextManager[ScenarioT]],
    scenario: Callable[[ScenarioT, Any], None],
    steps: Iterable[Any],
) -> None:
    """Runs a scenario for each step in parallel, as most of it is waiting.

    ``open_scenario``: opens the setup for a folder, a database URL and a step. Reraises the first error, with
    the step as a note.
    """

    def at(number: int, step: Any) -> None:
        home = folder / str(number)
        home.mkdir()
        shutil.copy(database, home / "gateway.db")
        with open_scenario(home, f"sqlite:///{home}/gateway.db", step) as scene:
            try:
                scenario(scene, step)
            except BaseException as exc:
                exc.add_note(f"at {step}; see {home}/log")
                raise

    with ThreadPoolExecutor(MAX_PARALLEL) as pool:
        for _ in pool.map(at, count(), steps):
            pass
