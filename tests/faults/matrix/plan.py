"""What goes wrong, when, where: the cells of the matrix, and which of them there cannot be."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product


class Platform(StrEnum):
    CHAT = "chat"
    SLACK = "slack"
    TELEGRAM = "telegram"
    """Updates are brought to the webhook."""
    POLLING = "telegram, polling"

    @property
    def family(self) -> str:
        """What it is called where it does not matter how messages come in."""
        return self.value.partition(",")[0]


class Database(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class Fault(StrEnum):
    """Each happens once, and is over after a moment; but nobody sets a clock right."""

    KILL = "kill -9"
    FREEZE = "frozen past its lease"
    RESTART = "database restarted"
    """SQLite: its file is locked."""
    DATABASE_CUT = "cut off from the database"
    DATABASE_SILENT = "database falls silent"
    BACKEND_CUT = "cut off from the backend"
    BACKEND_SILENT = "backend falls silent"
    PLATFORM_CUT = "cut off from the platform"
    PLATFORM_SILENT = "platform falls silent"
    DOOR_CUT = "platform cut off from it"
    DOOR_SILENT = "silence towards the platform"
    DISK_FULL = "disk full"
    AN_HOUR_ON = "clock an hour forward"
    AN_HOUR_BACK = "clock an hour back"
    KILLED_AN_HOUR_BACK = "clock an hour back, kill -9"
    """What the dead hold seems to be held for an hour more."""


class Step(StrEnum):
    """Those of the store bear its own words, see ``doomed``."""

    BEFORE_RECORD = "before record"
    AFTER_RECORD = "after record"
    AFTER_CLAIM = "after claim"
    THREAD_OPENED = "before Bound"
    RUN_POSTED = "run posted"
    """The backend has the request, and did nothing yet."""
    RUN_STARTED = "after Started"
    STREAMING = "streaming"
    BEFORE_SETTLED = "before Settled"
    AFTER_SETTLED = "after Settled"
    DELIVERING = "delivering"
    """The platform has done what it was asked, and its answer is not seen yet."""
    AFTER_BROUGHT = "after Brought"
    BEFORE_FINISHED = "before Finished"
    AFTER_FINISHED = "after Finished"


DEATHS = (Fault.KILL, Fault.KILLED_AN_HOUR_BACK)
CLOCKS = (Fault.AN_HOUR_ON, Fault.AN_HOUR_BACK, Fault.KILLED_AN_HOUR_BACK)
NEEDS_SERVER = (Fault.DATABASE_CUT, Fault.DATABASE_SILENT)
NEEDS_PLATFORM = (Fault.PLATFORM_CUT, Fault.PLATFORM_SILENT)
"""That is called: nobody calls those who call ``/chat``."""
NEEDS_DOOR = (Fault.DOOR_CUT, Fault.DOOR_SILENT)
HEIRS = (Fault.FREEZE, Fault.RESTART, *NEEDS_SERVER, *CLOCKS)
"""Beside whom another process works on, where several can."""
WHEN_POLLING = (Step.BEFORE_RECORD, Step.AFTER_RECORD)
"""From there on it does not matter how messages come in."""


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
        """Whether another process works beside the one that is struck, or after it."""
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
    """All that there can be."""
    for fault, step, platform, database in product(Fault, Step, Platform, Database):
        cell = Cell(platform, database, fault, step)
        if cell.possible and platform.family in families and database in databases:
            yield cell


def quick(families: Collection[str], databases: Collection[str]) -> Iterator[Cell]:
    """Each fault on each platform once, each at another step, on one database or the other."""
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
"""Few, and different: what every run of the tests plays."""
