"""What dies, and where: a process at a step of its own or at a call to a platform; the call, or its answer."""

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

from tests.fakes.web_faults import Call, Faults, Lost, Refuse
from tests.faults.program import Program

AT_ONCE = 10
STORE_STEPS = (
    "before record",
    "after record",
    "before Bound",
    "after Started",
    "before Settled",
    "after Settled",
    "before Brought",
    "after Brought",
    "before Finished",
    "after Finished",
)
"""Where a process may kill itself, see ``doomed``."""
DEATHS = (
    "the process, before it acts",
    "the process, once it has acted",
    "the process, which is told to stop",
    "the call",
    "the answer",
)
"""``it``: the platform."""

Stage = TypeVar("Stage")


@dataclass
class Strike:
    """Lets something of a program die at the nth call of a method."""

    faults: Faults
    program: Program
    method: str
    number: int
    done: threading.Event = field(default_factory=threading.Event)
    seen: int = 0

    def arm(self, dies: str) -> None:
        match dies:
            case "the process, before it acts":
                self.faults.add(self.method, Refuse(skip=self.number - 1))
                self.faults.before(self.method, self._at(self.program.kill))
            case "the process, once it has acted":
                self.faults.after(self.method, self._at(self.program.kill))
            case "the process, which is told to stop":
                self.faults.after(self.method, self._at(self.program.tell_to_stop))
            case "the call":
                self.faults.add(self.method, Refuse(skip=self.number - 1))
            case "the answer":
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
    """Play an act with each of the steps, on a stage of its own, at the same time: most of it is waiting.

    ``stage``: of a folder, a database's URL and a step. Raises what one of them raised, with the name of the step.
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
