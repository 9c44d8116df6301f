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

from adapters.discord import adapter as discord
from adapters.discord.api_client import DiscordClient
from adapters.slack import adapter as slack
from adapters.slack.api_client import SlackClient
from adapters.telegram import adapter as telegram
from adapters.telegram.api_client import TelegramClient
from gateway.assistants import api_client
from gateway.assistants.responses import backend
from gateway.callbacks import sender
from gateway.web import server
from gateway.worker.upkeep import maintenance
from storage.connecting import database
from tests.faults.matrix.sync_point import report_reached

UNIX_EPOCH_JULIAN_DAY = 2440587.5
"""The Julian day of the Unix epoch."""
CALLBACK_LEASE_SECONDS = 3.0
MIN_PAGES = 1
"""Fewer than any database has: SQLite then uses the current size as the limit."""
MAX_PAGES = 2**30


class SharedControls:
    """The clock shift in seconds and whether the disk is full, shared between processes through a mapped file."""

    _layout = struct.Struct("dd")

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(self._layout.pack(0.0, 0.0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), self._layout.size)

    @property
    def clock_shift(self) -> float:
        return float(self._layout.unpack(self._memory[:])[0])

    @property
    def disk_full(self) -> bool:
        return bool(self._layout.unpack(self._memory[:])[1])

    def set(self, *, clock_shift: float = 0.0, disk_full: bool = False) -> None:
        self._memory[:] = self._layout.pack(clock_shift, float(disk_full))


@dataclass(frozen=True)
class MatrixHooks:
    """See ``gateway_process.ProcessHooks``."""

    step: str
    """Step of the store at which the process reports and waits; empty: none."""
    sync_socket: Path
    """Socket to which it reports."""
    controls_path: Path
    clock_controlled: bool
    """Whether the clocks of the process and of its SQLite can be shifted."""
    disk_controlled: bool
    """Whether its SQLite can be told that the disk is full."""
    network_timeout: float | None
    """Seconds it waits for an answer of the backend or a platform; None: the default."""

    def __call__(self, step: str) -> None:
        if step == self.step:
            report_reached(self.sync_socket)

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(server, "freeze_gc", lambda: None)  # saves 0.1 s in a process that lives for 2 s
        patch.setitem(database.POSTGRESQL_TIMEOUTS, "idle_in_transaction_session_timeout", 1500)
        patch.setattr(maintenance, "CLOCK_REPAIR_SECONDS", 0.5)
        patch.setattr(sender, "LEASE_SECONDS", CALLBACK_LEASE_SECONDS)
        if self.clock_controlled:
            self._control_clock(patch)
        if self.disk_controlled:
            event.listen(Engine, "begin", partial(_limit_pages, SharedControls(self.controls_path)))
        if self.network_timeout is not None:
            _shorten_timeouts(patch, self.network_timeout)

    def _control_clock(self, patch: pytest.MonkeyPatch) -> None:
        levers, real = SharedControls(self.controls_path), time.time

        def now() -> float:
            return real() + levers.clock_shift

        def day(_: str) -> float:
            return UNIX_EPOCH_JULIAN_DAY + now() / 86400.0

        def teach(connection: Any, _: object) -> None:
            if isinstance(connection, sqlite3.Connection):
                connection.create_function("julianday", 1, day)

        patch.setattr(time, "time", now)
        event.listen(Engine, "connect", teach)


def _limit_pages(levers: SharedControls, connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.connection.cursor().execute(f"PRAGMA max_page_count={MIN_PAGES if levers.disk_full else MAX_PAGES}")


def _shorten_timeouts(patch: pytest.MonkeyPatch, seconds: float) -> None:
    patch.setattr(api_client, "REQUEST_SECONDS", seconds)
    patch.setattr(backend, "STREAM_IDLE_SECONDS", seconds)
    patch.setattr(slack, "SlackClient", partial(SlackClient, timeout=seconds))
    patch.setattr(discord, "DiscordClient", partial(DiscordClient, timeout=seconds))
    patch.setattr(telegram, "TelegramClient", partial(TelegramClient, timeout=seconds))
