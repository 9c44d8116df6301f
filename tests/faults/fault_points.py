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

from tests.fakes.platform_faults import Call, Faults, Lost, Refuse
from tests.faults.gateway_process import Program

AT_ONCE = 10
STORE_STEPS = (
    "before enqueue",
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
DEATHS = (
    "kill the process before the call",
    "kill the process after the call",
    "stop the process after the call",
    "lose the call",
    "lose the answer",
)
"""Faults at a call to the platform."""

Stage = TypeVar("Stage")


@dataclass
class Strike:
    """Injects a fault at the nth call of a method."""

    faults: Faults
    program: Program
    method: str
    number: int
    done: threading.Event = field(default_factory=threading.Event)
    seen: int = 0

    def arm(self, dies: str) -> None:
        match dies:
            case "kill the process before the call":
                self.faults.add(self.method, Refuse(skip=self.number - 1))
                self.faults.before(self.method, self._at(self.program.kill))
            case "kill the process after the call":
                self.faults.after(self.method, self._at(self.program.kill))
            case "stop the process after the call":
                self.faults.after(self.method, self._at(self.program.tell_to_stop))
            case "lose the call":
                self.faults.add(self.method, Refuse(skip=self.number - 1))
            case "lose the answer":
                self.faults.add(self.method, Lost(skip=self.number - 1))

    def _at(self, what: Callable[[], None]) -> Callable[[Call], None]:
        def hook(_: Call) -> None:
            self.seen += 1
            if self.seen == self.number:
                what()
                self.done.set()

        return hook


def play(
    folder: Path,
    database: Path,
    stage: Callable[[Path, str, Any], AbstractContextManager[Stage]],
    act: Callable[[Stage, Any], None],
    steps: Iterable[Any],
) -> None:
    """Runs a scenario for each step in parallel, as most of it is waiting.

    ``stage``: opens the setup for a folder, a database URL and a step. Reraises the first error, with the step as a
    note.
    """

    def at(number: int, step: Any) -> None:
        home = folder / str(number)
        home.mkdir()
        shutil.copy(database, home / "gateway.db")
        with stage(home, f"sqlite:///{home}/gateway.db", step) as scene:
            try:
                act(scene, step)
            except BaseException as exc:
                exc.add_note(f"at {step}; see {home}/log")
                raise

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(at, count(), steps):
            pass
