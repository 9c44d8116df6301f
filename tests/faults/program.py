"""The real program among fakes: ``serve`` of the command line, in a process that may die at a step of its store.

It is forked from a process that has loaded everything already, see ``doomed``. What is changed in it: the store carries
the scythe, leases are short, it looks often whether one has expired, and it may say more than Telegram takes.
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
from typing import Protocol

import pytest

from adapters.telegram import api_client, preview, webhook
from adapters.telegram.polling import UpdatePoller
from gateway import app, cli
from gateway.engine import Engine
from gateway.storing import Rate
from storage import database
from tests.faults.doomed import DoomedStore, Scythe, forking

PATIENCE = 40.0
LEASE_SECONDS = 1.0
SWEEP_SECONDS = 0.1
POLL_LEASE_SECONDS, POLL_SECONDS = 2.0, 1
"""The lease of who polls is renewed between two polls."""
FAST = Rate(0.01, 50)
"""How often something may be said in a chat: these tests are about order, not about limits."""


class Inside(Protocol):
    """What else is to be otherwise in a process; it travels there, so it is plain data."""

    def change(self, patch: pytest.MonkeyPatch) -> None: ...

    def __call__(self, step: str) -> None:
        """The store is at this step; instead of the scythe."""
        ...


@dataclass(frozen=True)
class Order:
    folder: Path
    environment: dict[str, str]
    dies: str
    """Such as ``before Settled``, at the first such step; empty: it does not."""
    database_seconds: float
    """How long it waits for a lock of the database."""
    inside: Inside | None = None


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
        patch.setattr(app, "SqlStore", partial(DoomedStore, scythe=order.inside or Scythe(order.dies)))
        patch.setattr(app, "open_gateway", partial(app.open_gateway, lease_seconds=LEASE_SECONDS))
        patch.setattr(app, "Engine", partial(Engine, sweep_seconds=SWEEP_SECONDS))
        patch.setattr(database, "PATIENCE_SECONDS", order.database_seconds)
        _hurry_telegram(patch)
        if order.inside is not None:
            order.inside.change(patch)
        cli.main(["serve"])


def _hurry_telegram(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        webhook, "UpdatePoller", partial(UpdatePoller, lease_seconds=POLL_LEASE_SECONDS, poll_seconds=POLL_SECONDS)
    )
    patch.setattr(api_client, "PRIVATE", FAST)
    patch.setattr(api_client, "GROUP", FAST)
    patch.setattr(preview, "GROUP_SECONDS", SWEEP_SECONDS)


class Program:
    """It listens when this is made, unless it died before."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        dies: str = "",
        *,
        database_seconds: float = PATIENCE,
        inside: Inside | None = None,
    ) -> None:
        order = Order(folder, environment, dies, database_seconds, inside)
        reading, writing = multiprocessing.Pipe(duplex=False)
        with reading, writing:
            self._process = forking.Process(target=run, args=(order, writing), daemon=True)
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
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """It stands still from now on, and nothing tells it so."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None:
            os.kill(self._process.pid, number)

    def ended(self) -> int:
        """Wait until it ends; its exit status, or minus the signal that killed it."""
        self._process.join(PATIENCE)
        assert self._process.exitcode is not None, "it still runs"
        return int(self._process.exitcode)
