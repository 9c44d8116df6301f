"""The real program in a fake Slack: ``serve`` of the command line, in a process that may die at a step of its store.

It is forked from a process that has loaded everything already, see ``doomed``. What is changed in it: the store carries
the scythe, leases are short, and it looks often whether one has expired.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from gateway import app, cli
from gateway.engine import Engine
from tests.faults.doomed import DoomedStore, Scythe, forking

PATIENCE = 40.0
LEASE_SECONDS = 1.0
SWEEP_SECONDS = 0.1


@dataclass(frozen=True)
class Order:
    folder: Path
    environment: dict[str, str]
    dies: str
    """Such as ``before Settled``, at the first such step; empty: it does not."""


def run(order: Order, greeting: Connection) -> None:
    """What the process does."""
    gc.freeze()  # what was loaded before the fork is not looked through once more
    log = os.open(order.folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 2)
    os.dup2(greeting.fileno(), 1)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    with pytest.MonkeyPatch.context() as patch:  # in this process only
        patch.setattr(app, "LEASE_SECONDS", LEASE_SECONDS)
        patch.setattr(app, "SqlStore", partial(DoomedStore, scythe=Scythe(order.dies)))
        patch.setattr(app, "open_gateway", partial(app.open_gateway, lease_seconds=LEASE_SECONDS))
        patch.setattr(app, "Engine", partial(Engine, sweep_seconds=SWEEP_SECONDS))
        cli.main(["serve"])


class Program:
    """It listens when this is made, unless it died before."""

    def __init__(self, folder: Path, environment: dict[str, str], dies: str) -> None:
        reading, writing = multiprocessing.Pipe(duplex=False)
        with reading, writing:
            self._process = forking.Process(target=run, args=(Order(folder, environment, dies), writing), daemon=True)
            self._process.start()
            writing.close()
            with os.fdopen(os.dup(reading.fileno())) as said:
                greeting = said.readline(), said.readline()  # both: it must not write to somebody who is gone
        self.url = greeting[0].partition(" with ")[0].removeprefix("Listening on ")

    def kill(self) -> None:
        """At once; it is dead when this returns. From any thread."""
        self._process.kill()
        self.ended()

    def tell_to_stop(self) -> None:
        if self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGTERM)

    def ended(self) -> int:
        """Wait until it ends; its exit status, or minus the signal that killed it."""
        self._process.join(PATIENCE)
        assert self._process.exitcode is not None, "it still runs"
        return int(self._process.exitcode)
