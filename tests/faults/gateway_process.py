"""The real program, ``serve`` of the command line, in a process that may kill itself at a step of its store.

The process is forked from one that has loaded everything already, see ``crashing_process``. Patched in it: the store,
which calls the hooks at each step; shorter leases and a shorter sweep interval; higher Telegram rate limits.
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

from adapters.discord import api_client as discord_client
from adapters.discord import gateway_connection
from adapters.discord import preview as discord_preview
from adapters.discord import receiver as discord_receiver
from adapters.discord.gateway_connection import GatewayConnection
from adapters.telegram import api_client, preview, receiver
from adapters.telegram.polling import UpdatePoller
from gateway import app
from gateway.cli import main
from gateway.ports.token_buckets import Rate
from gateway.web.chat_page import Assets
from gateway.worker.worker import Worker
from storage.connecting import database
from tests.faults.crashing_process import CrashAtStep, CrashingStore, fork_context
from tests.greeting import read_greeting

Assets()  # compresses the pages' files before the processes are forked

TIMEOUT_SECONDS = 40.0
LEASE_SECONDS = 1.0
SWEEP_SECONDS = 0.1
POLL_LEASE_SECONDS, POLL_SECONDS = 2.0, 1
"""The lease for polling Telegram is renewed between two polls."""
FAST_RATE = Rate(0.01, 50)
"""Rate limit of a chat: these tests are about order, not about limits."""


class ProcessHooks(Protocol):
    """Further patches of a process, and what happens at each step of its store. Pickled: plain data only."""

    def apply(self, patch: pytest.MonkeyPatch) -> None: ...

    def __call__(self, step: str) -> None:
        """Called by the store at each step."""
        ...


@dataclass(frozen=True)
class LaunchOptions:
    folder: Path
    environment: dict[str, str]
    crash_step: str
    """Step at which it kills itself, when first reached: ``before record outcome`` for example. Empty: never."""
    lock_timeout: float
    """Seconds it waits for a database lock."""
    hooks: ProcessHooks | None = None


def run(options: LaunchOptions, greeting_pipe: Connection) -> None:
    """Main function of the process."""
    gc.freeze()  # the garbage collector skips what was loaded before the fork
    log = os.open(options.folder / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 2)
    os.dup2(greeting_pipe.fileno(), 1)
    os.chdir(options.folder)
    os.environ.clear()
    os.environ.update(options.environment)
    with pytest.MonkeyPatch.context() as patch:  # affects this process only
        patch.setattr(app, "LEASE_SECONDS", LEASE_SECONDS)
        patch.setattr(app, "SqlStore", partial(CrashingStore, on_step=options.hooks or CrashAtStep(options.crash_step)))
        patch.setattr(app, "open_gateway", partial(app.open_gateway, lease_seconds=LEASE_SECONDS))
        patch.setattr(app, "Worker", partial(Worker, sweep_seconds=SWEEP_SECONDS))
        patch.setattr(database, "WAIT_SECONDS", options.lock_timeout)
        _shorten_telegram_waits(patch)
        _shorten_discord_waits(patch)
        if options.hooks is not None:
            options.hooks.apply(patch)
        main.main(["serve"])


def _shorten_telegram_waits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        receiver, "UpdatePoller", partial(UpdatePoller, lease_seconds=POLL_LEASE_SECONDS, poll_seconds=POLL_SECONDS)
    )
    patch.setattr(api_client, "PRIVATE", FAST_RATE)
    patch.setattr(api_client, "GROUP", FAST_RATE)
    patch.setattr(preview, "GROUP_SECONDS", SWEEP_SECONDS)


def _shorten_discord_waits(patch: pytest.MonkeyPatch) -> None:
    connection = partial(GatewayConnection, lease_seconds=POLL_LEASE_SECONDS)
    patch.setattr(discord_receiver, "GatewayConnection", connection)
    patch.setattr(gateway_connection, "PAUSE_SECONDS", (0.0, SWEEP_SECONDS))
    patch.setattr(discord_preview, "CHANGE_SECONDS", SWEEP_SECONDS)
    patch.setattr(discord_client, "OF_CHANNEL", FAST_RATE)


def url_in(greeting: list[str]) -> str:
    """Returns where a server says that it listens."""
    return greeting[0].partition(" with ")[0].removeprefix("Listening on ")


class GatewayProcess:
    """A running gateway process; it listens once the constructor returns, unless it died before."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        crash_step: str = "",
        *,
        lock_timeout: float = TIMEOUT_SECONDS,
        hooks: ProcessHooks | None = None,
    ) -> None:
        order = LaunchOptions(folder, environment, crash_step, lock_timeout, hooks)
        reading, writing = multiprocessing.Pipe(duplex=False)
        with reading, writing:
            self._process = fork_context.Process(target=run, args=(order, writing), daemon=True)
            self._process.start()
            writing.close()
            with os.fdopen(os.dup(reading.fileno())) as said:
                greeting = read_greeting(said)
        self.url = url_in(greeting)

    def kill(self) -> None:
        """Kills the process; it is dead when this returns. Callable from any thread."""
        self._process.kill()
        self.wait_for_exit()

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """Has the process read its configuration again."""
        self._signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Suspends the process with SIGSTOP, which it cannot notice."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.pid is not None:
            os.kill(self._process.pid, number)

    def wait_for_exit(self) -> int:
        """Waits until the process ends; returns its exit status, or minus the signal that killed it."""
        self._process.join(TIMEOUT_SECONDS)
        assert self._process.exitcode is not None, "the process is still running"
        return int(self._process.exitcode)
