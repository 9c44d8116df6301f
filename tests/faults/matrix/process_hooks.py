"""Patches inside a gateway process: it stops at a step, its clocks can be shifted, its timeouts are short."""

from __future__ import annotations

import mmap
import sqlite3
import struct
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from adapters.slack import adapter as slack
from adapters.slack.api_client import SlackClient
from adapters.telegram import adapter as telegram
from adapters.telegram.api_client import TelegramClient
from gateway.assistants import api_client
from gateway.assistants.responses import backend
from gateway.web import server
from gateway.worker import maintenance
from storage import database
from tests.faults.matrix.sync_point import report

EPOCH = 2440587.5
"""The Julian day of the Unix epoch."""
PAGES = 1
"""Fewer than any database has: SQLite then uses the current size as the limit."""
MOST_PAGES = 2**30


class Levers:
    """The clock shift in seconds and whether the disk is full, shared between processes through a mapped file."""

    _form = struct.Struct("dd")

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(self._form.pack(0.0, 0.0))
        with path.open("r+b") as file:
            self._seen = mmap.mmap(file.fileno(), self._form.size)

    @property
    def skew(self) -> float:
        return float(self._form.unpack(self._seen[:])[0])

    @property
    def full(self) -> bool:
        return bool(self._form.unpack(self._seen[:])[1])

    def set(self, *, skew: float = 0.0, full: bool = False) -> None:
        self._seen[:] = self._form.pack(skew, float(full))


@dataclass(frozen=True)
class Halt:
    """See ``gateway_process.ProcessHooks``."""

    step: str
    """Step of the store at which the process reports and waits; empty: none."""
    post: Path
    """Socket to which it reports."""
    levers: Path
    skewed: bool
    """Whether the clocks of the process and of its SQLite can be shifted."""
    filled: bool
    """Whether its SQLite can be told that the disk is full."""
    network_seconds: float | None
    """Seconds it waits for an answer of the backend or a platform; None: the default."""

    def __call__(self, step: str) -> None:
        if step == self.step:
            report(self.post)

    def change(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(server, "_settle_memory", lambda: None)  # saves 0.1 s in a process that lives for 2 s
        patch.setitem(database.LIMITS, "idle_in_transaction_session_timeout", 1500)
        patch.setattr(maintenance, "MEND_SECONDS", 0.5)
        if self.skewed:
            self._skew(patch)
        if self.filled:
            event.listen(Engine, "begin", partial(_bound, Levers(self.levers)))
        if self.network_seconds is not None:
            _hurry(patch, self.network_seconds)

    def _skew(self, patch: pytest.MonkeyPatch) -> None:
        levers, real = Levers(self.levers), time.time

        def now() -> float:
            return real() + levers.skew

        def day(_: str) -> float:
            return EPOCH + now() / 86400.0

        def teach(connection: Any, _: object) -> None:
            if isinstance(connection, sqlite3.Connection):
                connection.create_function("julianday", 1, day)

        patch.setattr(time, "time", now)
        event.listen(Engine, "connect", teach)


def _bound(levers: Levers, connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.connection.cursor().execute(f"PRAGMA max_page_count={PAGES if levers.full else MOST_PAGES}")


def _hurry(patch: pytest.MonkeyPatch, seconds: float) -> None:
    patch.setattr(api_client, "ANSWER_SECONDS", seconds)
    patch.setattr(backend, "SILENCE_SECONDS", seconds)
    patch.setattr(slack, "SlackClient", partial(SlackClient, timeout=seconds))
    patch.setattr(telegram, "TelegramClient", partial(TelegramClient, timeout=seconds))
