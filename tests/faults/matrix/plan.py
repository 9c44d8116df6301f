"""The cells of the matrix: fault, step, platform and database; and which cells are impossible."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product


class Platform(StrEnum):
    CHAT = "chat"
    SLACK = "slack"
    TELEGRAM = "telegram"
    """Updates arrive at the webhook."""
    POLLING = "telegram, polling"

    @property
    def family(self) -> str:
        """The platform's name without the way updates arrive."""
        return self.value.partition(",")[0]


class Database(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Fault(StrEnum):
    """The faults, which are the rows of the table. Each happens once and ends after a moment, except that clocks stay
    wrong.
    """

    KILL = "kill -9"
    FREEZE = "process frozen past its lease"
    RESTART = "database restarted"
    """SQLite: its file is locked."""
    DATABASE_CUT = "connection to the database cut"
    DATABASE_SILENT = "database stops responding"
    BACKEND_CUT = "connection to the backend cut"
    BACKEND_SILENT = "backend stops responding"
    PLATFORM_CUT = "connection to the platform cut"
    PLATFORM_SILENT = "platform stops responding"
    DOOR_CUT = "incoming connections cut"
    DOOR_SILENT = "incoming requests get no answer"
    DISK_FULL = "disk full"
    AN_HOUR_ON = "clock one hour ahead"
    AN_HOUR_BACK = "clock one hour behind"
    KILLED_AN_HOUR_BACK = "clock one hour behind, then kill -9"
    """The leases of the killed process seem to be valid for another hour."""


class Step(StrEnum):
    """Steps of a turn. Those of the store are named as in ``crashing_process``."""

    BEFORE_RECORD = "before enqueue"
    AFTER_RECORD = "after enqueue"
    AFTER_CLAIM = "after claim"
    THREAD_OPENED = "before set thread"
    RUN_POSTED = "run requested"
    """The backend has received the request and not acted on it yet."""
    RUN_STARTED = "after set run"
    STREAMING = "streaming"
    BEFORE_SETTLED = "before record outcome"
    AFTER_SETTLED = "after record outcome"
    DELIVERING = "reply posted"
    """The platform has posted the reply; its answer has not arrived yet."""
    AFTER_BROUGHT = "after save posted messages"
    BEFORE_FINISHED = "before finish turn"
    AFTER_FINISHED = "after finish turn"


DEATHS = (Fault.KILL, Fault.KILLED_AN_HOUR_BACK)
CLOCKS = (Fault.AN_HOUR_ON, Fault.AN_HOUR_BACK, Fault.KILLED_AN_HOUR_BACK)
NEEDS_SERVER = (Fault.DATABASE_CUT, Fault.DATABASE_SILENT)
NEEDS_PLATFORM = (Fault.PLATFORM_CUT, Fault.PLATFORM_SILENT)
"""Faults of a platform that the gateway calls; callers of ``/chat`` are not called."""
NEEDS_DOOR = (Fault.DOOR_CUT, Fault.DOOR_SILENT)
HEIRS = (Fault.FREEZE, Fault.RESTART, *NEEDS_SERVER, *CLOCKS)
"""Faults during which a second process works, where the database can be shared."""
WHEN_POLLING = (Step.BEFORE_RECORD, Step.AFTER_RECORD)
"""After these steps it does not matter how updates arrive."""


@dataclass(frozen=True)
class Cell:
    platform: Platform
    database: Database
    fault: Fault
    step: Step

    def __str__(self) -> str:
        return f"{self.fault}, {self.step}, {self.platform}, {self.database}"

    @property
    def inherited(self) -> bool:
        """Whether another process works beside or after the one with the fault."""
        shared = self.database is Database.POSTGRESQL and self.fault in HEIRS
        return shared or self.fault in DEATHS

    @property
    def possible(self) -> bool:
        if self.database is Database.SQLITE and self.fault in NEEDS_SERVER:
            return False
        if self.platform is Platform.CHAT and (self.fault in NEEDS_PLATFORM or self.step is Step.AFTER_BROUGHT):
            return False
        return self.platform is not Platform.POLLING or (self.fault not in NEEDS_DOOR and self.step in WHEN_POLLING)


def cells(families: Collection[str], databases: Collection[str]) -> Iterator[Cell]:
    """Yields all possible cells."""
    for fault, step, platform, database in product(Fault, Step, Platform, Database):
        cell = Cell(platform, database, fault, step)
        if cell.possible and platform.family in families and database in databases:
            yield cell


def quick(families: Collection[str], databases: Collection[str]) -> Iterator[Cell]:
    """Yields each fault once on each platform, at varying steps, on one of the databases."""
    kinds: dict[tuple[Fault, Platform], list[Cell]] = {}
    for cell in cells(families, databases):
        kinds.setdefault((cell.fault, cell.platform), []).append(cell)
    for number, found in enumerate(kinds.values()):
        yield found[11 * number % len(found)]


TELLING = (
    Cell(Platform.SLACK, Database.POSTGRESQL, Fault.FREEZE, Step.AFTER_SETTLED),
    Cell(Platform.TELEGRAM, Database.POSTGRESQL, Fault.FREEZE, Step.AFTER_SETTLED),
    Cell(Platform.CHAT, Database.POSTGRESQL, Fault.RESTART, Step.AFTER_RECORD),
    Cell(Platform.CHAT, Database.POSTGRESQL, Fault.DATABASE_SILENT, Step.BEFORE_SETTLED),
    Cell(Platform.CHAT, Database.SQLITE, Fault.DISK_FULL, Step.BEFORE_RECORD),
    Cell(Platform.POLLING, Database.SQLITE, Fault.PLATFORM_CUT, Step.AFTER_RECORD),
    Cell(Platform.SLACK, Database.POSTGRESQL, Fault.KILLED_AN_HOUR_BACK, Step.RUN_POSTED),
    Cell(Platform.CHAT, Database.SQLITE, Fault.DOOR_SILENT, Step.DELIVERING),
)
"""A few varied cells, run with the normal tests."""
