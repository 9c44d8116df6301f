"""The cells of the matrix: fault, step, platform and database; and which cells are impossible."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product


class PlatformVariant(StrEnum):
    CHAT = "chat"
    SLACK = "slack"
    TELEGRAM = "telegram"
    """Updates arrive at the webhook."""
    POLLING = "telegram, polling"
    DISCORD = "discord"
    """Events arrive over a WebSocket."""
    RESPONSES = "responses"
    """Programs call ``/v1/responses``."""
    RUNS = "runs"
    """Programs call ``/v1/threads``: each run calls a function of theirs, and is polled."""
    PUSH = "push"
    """Programs bring texts and prompts to channels of Discord by ``/messages``."""
    SCHEDULE = "push, scheduled"
    """The same, each at a time."""
    HANDOVER = "handover"
    """The staff takes conversations of Slack over, in a channel of its own; the fault comes once it has."""
    CALLBACK = "callback"
    """Callers of ``/chat`` do not wait: answers are posted to their address."""

    @property
    def family(self) -> str:
        """The platform's name without the way updates arrive."""
        return self.value.partition(",")[0]


class DatabaseKind(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class MatrixFault(StrEnum):
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
    INBOUND_CUT = "incoming connections cut"
    INBOUND_SILENT = "incoming requests get no answer"
    DISK_FULL = "disk full"
    CLOCK_FORWARD = "clock one hour ahead"
    CLOCK_BACK = "clock one hour behind"
    CLOCK_BACK_AND_KILL = "clock one hour behind, then kill -9"
    """The leases of the killed process seem to be valid for another hour."""


class FaultStep(StrEnum):
    """Steps of a turn. Those of the store are named as in ``crashing_process``."""

    BEFORE_ENQUEUE = "before enqueue"
    ENQUEUE_NOT_COMMITTED = "written, not committed"
    AFTER_ENQUEUE = "after enqueue"
    AFTER_CLAIM = "after claim"
    THREAD_CREATED = "before set thread"
    RUN_REQUESTED = "run requested"
    """The backend has received the request and not acted on it yet."""
    RUN_STORED = "after set run"
    STREAMING = "streaming"
    BEFORE_OUTCOME_STORED = "before record outcome"
    OUTCOME_STORED = "after record outcome"
    DELIVERING = "reply posted"
    """The platform has posted the reply; its answer has not arrived yet."""
    POSTED_MESSAGES_STORED = "after save posted messages"
    BEFORE_FINISH = "before finish turn"
    FINISHED = "after finish turn"
    PARKED = "after park turn"
    """The turn waits for its budget."""
    WOKEN = "after charge"
    """The turn that it waited for is paid."""
    BEFORE_OUTPUTS = "before provide outputs"
    OUTPUTS_STORED = "after provide outputs"
    """A program has brought the outputs of its functions."""
    BEFORE_TEXT = "before enqueue answered"
    TEXT_STORED = "after enqueue answered"
    """A text is pushed, which no assistant writes."""
    BEFORE_ADVANCE = "before advance"
    """The turn of a scheduled message is recorded; the schedule does not know it yet."""
    ADVANCED = "after advance"
    BEFORE_HOLD = "before hold turn"
    HELD = "after hold turn"
    """A message is left to the staff."""
    BEFORE_BACK = "before give back"
    GIVEN_BACK = "after give back"
    """The assistant is to answer what the staff has not."""
    BEFORE_CALLBACK = "before add callback"
    CALLBACK_STORED = "after add callback"
    CALLBACK_CLAIMED = "after claim callback"
    CALLBACK_POSTED = "before mark_delivered callback"
    """The receiver has accepted it; the database does not know it yet."""
    CALLBACK_DELIVERED = "after mark_delivered callback"


PARKING_STEPS = (FaultStep.PARKED, FaultStep.WOKEN)
KILLS = (MatrixFault.KILL, MatrixFault.CLOCK_BACK_AND_KILL)
CLOCK_FAULTS = (MatrixFault.CLOCK_FORWARD, MatrixFault.CLOCK_BACK, MatrixFault.CLOCK_BACK_AND_KILL)
BACKEND_FAULTS = (MatrixFault.BACKEND_CUT, MatrixFault.BACKEND_SILENT)
PLATFORM_FAULTS = (MatrixFault.PLATFORM_CUT, MatrixFault.PLATFORM_SILENT)
NEEDS_SERVER = (MatrixFault.DATABASE_CUT, MatrixFault.DATABASE_SILENT)
NEEDS_PLATFORM = (MatrixFault.PLATFORM_CUT, MatrixFault.PLATFORM_SILENT)
"""Faults of a platform that the gateway calls."""
NEEDS_INBOUND_LINK = (MatrixFault.INBOUND_CUT, MatrixFault.INBOUND_SILENT)
RUNS_SECOND_PROCESS = (MatrixFault.FREEZE, MatrixFault.RESTART, *NEEDS_SERVER, *CLOCK_FAULTS)
"""Faults during which a second process works, where the database can be shared."""
CONNECTS_ITSELF = (PlatformVariant.POLLING, PlatformVariant.DISCORD)
"""The gateway opens the connection over which messages arrive."""
CALLED_ONLY = (PlatformVariant.CHAT, PlatformVariant.RESPONSES, PlatformVariant.RUNS, PlatformVariant.CALLBACK)
"""The gateway posts no messages: its callers wait, ask again, or are called back."""
PUSHES = (PlatformVariant.PUSH, PlatformVariant.SCHEDULE)
OF_SOME: Mapping[FaultStep, Collection[PlatformVariant]] = {
    **dict.fromkeys((FaultStep.BEFORE_OUTPUTS, FaultStep.OUTPUTS_STORED), (PlatformVariant.RUNS,)),
    **dict.fromkeys((FaultStep.BEFORE_TEXT, FaultStep.TEXT_STORED), (*PUSHES, PlatformVariant.HANDOVER)),
    **dict.fromkeys(
        (FaultStep.BEFORE_HOLD, FaultStep.HELD, FaultStep.BEFORE_BACK, FaultStep.GIVEN_BACK),
        (PlatformVariant.HANDOVER,),
    ),
    **dict.fromkeys((FaultStep.BEFORE_ADVANCE, FaultStep.ADVANCED), (PlatformVariant.SCHEDULE,)),
    **dict.fromkeys(
        (
            *(FaultStep.BEFORE_CALLBACK, FaultStep.CALLBACK_STORED, FaultStep.CALLBACK_CLAIMED),
            *(FaultStep.CALLBACK_POSTED, FaultStep.CALLBACK_DELIVERED),
        ),
        (PlatformVariant.CALLBACK,),
    ),
}
"""Steps that messages of some kinds have, and no others."""
BEFORE_HANDOVER = (FaultStep.THREAD_CREATED, FaultStep.RUN_REQUESTED, FaultStep.STREAMING)
"""Steps that a conversation has had when it is handed over, or in which a handover is no other than Slack."""
WITHOUT_NETWORK = (*PUSHES, PlatformVariant.CALLBACK, PlatformVariant.HANDOVER)
"""Kinds whose way is that of another one, but for their own rows: played with what befalls processes and databases."""
STORE_FAULTS = (*KILLS, MatrixFault.FREEZE, MatrixFault.RESTART)
POLLING_STEPS = (FaultStep.BEFORE_ENQUEUE, FaultStep.AFTER_ENQUEUE)
"""After these steps it does not matter how updates arrive."""


@dataclass(frozen=True)
class MatrixCell:
    platform: PlatformVariant
    database: DatabaseKind
    fault: MatrixFault
    step: FaultStep

    def __str__(self) -> str:
        return f"{self.fault}, {self.step}, {self.platform}, {self.database}"

    @property
    def has_second_process(self) -> bool:
        """Whether another process works beside or after the one with the fault."""
        shared = self.database is DatabaseKind.POSTGRESQL and self.fault in RUNS_SECOND_PROCESS
        return shared or self.fault in KILLS

    @property
    def is_possible(self) -> bool:
        if self.step is FaultStep.ENQUEUE_NOT_COMMITTED and self.fault not in KILLS:
            return False  # it holds a transaction open, in which the other faults cannot begin
        if self.database is DatabaseKind.SQLITE and self.fault in NEEDS_SERVER:
            return False
        return self._has_step and self._suffers_fault

    @property
    def _has_step(self) -> bool:
        """Whether such a message comes by this step."""
        if self.platform is PlatformVariant.POLLING:
            return self.step in POLLING_STEPS
        if self.platform is PlatformVariant.RUNS and self.step is FaultStep.WOKEN:
            return False  # they wait for their callers, not for a budget
        if self.platform in WITHOUT_NETWORK and self.step in PARKING_STEPS:
            return False
        if self.platform is PlatformVariant.HANDOVER and self.step in BEFORE_HANDOVER:
            return False
        is_posted = self.platform not in CALLED_ONLY or self.step is not FaultStep.POSTED_MESSAGES_STORED
        return is_posted and self.platform in OF_SOME.get(self.step, PlatformVariant)

    @property
    def _suffers_fault(self) -> bool:
        if self.platform is PlatformVariant.SCHEDULE and self.fault in CLOCK_FAULTS:
            return False  # what is due at a time of the day waits until the clock says so
        if self.platform in WITHOUT_NETWORK and self.fault not in STORE_FAULTS:
            return False
        if self.platform in CALLED_ONLY and self.fault in NEEDS_PLATFORM:
            return False
        return self.platform not in CONNECTS_ITSELF or self.fault not in NEEDS_INBOUND_LINK


def cells(families: Collection[str], databases: Collection[str]) -> Iterator[MatrixCell]:
    """Yields all possible cells."""
    for fault, step, platform, database in product(MatrixFault, FaultStep, PlatformVariant, DatabaseKind):
        cell = MatrixCell(platform, database, fault, step)
        if cell.is_possible and platform.family in families and database in databases:
            yield cell


def quick(families: Collection[str], databases: Collection[str]) -> Iterator[MatrixCell]:
    """Yields each fault once on each platform, at varying steps, on one of the databases; and a kill at the steps that
    only some have.
    """
    kinds: dict[tuple[MatrixFault, PlatformVariant], list[MatrixCell]] = {}
    for cell in cells(families, databases):
        kinds.setdefault((cell.fault, cell.platform), []).append(cell)
    for number, found in enumerate(kinds.values()):
        yield found[17 * number % len(found)]
        yield from _killed_at_own_steps(found, number)


def _killed_at_own_steps(found: Collection[MatrixCell], number: int) -> Iterator[MatrixCell]:
    by_step: dict[FaultStep, list[MatrixCell]] = {}
    for cell in found:
        if cell.step in OF_SOME and cell.fault is MatrixFault.KILL:
            by_step.setdefault(cell.step, []).append(cell)
    for same in by_step.values():
        yield same[number % len(same)]


SMOKE_CELLS = (
    MatrixCell(PlatformVariant.CHAT, DatabaseKind.SQLITE, MatrixFault.DISK_FULL, FaultStep.BEFORE_ENQUEUE),
    MatrixCell(PlatformVariant.SLACK, DatabaseKind.POSTGRESQL, MatrixFault.FREEZE, FaultStep.OUTCOME_STORED),
    MatrixCell(PlatformVariant.TELEGRAM, DatabaseKind.POSTGRESQL, MatrixFault.FREEZE, FaultStep.OUTCOME_STORED),
    MatrixCell(PlatformVariant.CHAT, DatabaseKind.POSTGRESQL, MatrixFault.RESTART, FaultStep.AFTER_ENQUEUE),
    MatrixCell(
        PlatformVariant.CHAT, DatabaseKind.POSTGRESQL, MatrixFault.DATABASE_SILENT, FaultStep.BEFORE_OUTCOME_STORED
    ),
    MatrixCell(PlatformVariant.POLLING, DatabaseKind.SQLITE, MatrixFault.PLATFORM_CUT, FaultStep.AFTER_ENQUEUE),
    MatrixCell(
        PlatformVariant.SLACK, DatabaseKind.POSTGRESQL, MatrixFault.CLOCK_BACK_AND_KILL, FaultStep.RUN_REQUESTED
    ),
    MatrixCell(PlatformVariant.DISCORD, DatabaseKind.POSTGRESQL, MatrixFault.KILL, FaultStep.DELIVERING),
    MatrixCell(PlatformVariant.RESPONSES, DatabaseKind.SQLITE, MatrixFault.KILL, FaultStep.STREAMING),
    MatrixCell(PlatformVariant.RUNS, DatabaseKind.SQLITE, MatrixFault.KILL, FaultStep.OUTPUTS_STORED),
    MatrixCell(PlatformVariant.CHAT, DatabaseKind.SQLITE, MatrixFault.INBOUND_SILENT, FaultStep.DELIVERING),
)
"""A few varied cells, of which the first is played with the normal tests."""
