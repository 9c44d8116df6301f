"""What one process's attempt at a turn knows while one assistant is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.coordination.lease import LeaseGuard
from gateway.domain.errors import AssistantError, AssistantRateLimited, ThreadBusy
from gateway.domain.exchange import CallRound
from gateway.domain.files import Attachment
from gateway.domain.models import RunId, ThreadId, Turn
from gateway.domain.run_events import CallsHeld
from gateway.ports.assistant import AttachmentLoader
from gateway.worker.answering.preview_deduplicator import PreviewDeduplicator
from gateway.worker.answering.usage_meter import UsageMeter


class RunPostponed(Exception):
    """Nothing of the turn has reached the assistant yet, and it is to be asked later."""

    def __init__(self, wake_seconds: float, max_seconds: float) -> None:
        """``wake_seconds``: when; ``max_seconds``: how long the turn may be postponed in all."""
        super().__init__()
        self.wake_seconds = wake_seconds
        self.max_seconds = max_seconds


class OutputsNeeded(Exception):
    """The assistant goes on when the sender of the message has run these functions."""

    def __init__(self, requested: CallRound) -> None:
        super().__init__()
        self.round = requested


class ApprovalsNeeded(Exception):
    """The assistant goes on when people have decided about these calls, and those that they approved have run."""

    def __init__(self, held: CallsHeld) -> None:
        super().__init__()
        self.held = held


class MeteredAttachments:
    """Loads the files of a message, and counts their tokens: an ``AttachmentLoader``."""

    def __init__(self, load: AttachmentLoader, count: Callable[[Sequence[Attachment]], int]) -> None:
        self._load = load
        self._count = count
        self.tokens: int | None = None
        """Of the files that were loaded for the assistant; None: none was."""

    async def __call__(self) -> Sequence[Attachment]:
        attachments = await self._load()
        self.tokens = self._count(attachments)
        return attachments


@dataclass(slots=True)
class RunAttempt:
    """The state of one process's attempt at a turn."""

    lease_guard: LeaseGuard
    preview: PreviewDeduplicator
    thread_id: ThreadId | None
    run_id: RunId | None
    attachments: MeteredAttachments
    run_started: bool
    """Whether the turn may have reached the assistant."""
    meter: UsageMeter
    is_accepted: bool = False
    """Whether it has reached it even if the current call is rejected: it had before, or a run of it has begun."""
    may_have_files: bool = False
    """Whether tools may have returned files for the reply: in this attempt, or in an earlier one."""
    has_fallback: bool = False
    """Whether another assistant is asked rather than to wait long for this one."""
    failures: int = 0
    threads_missing: int = 0
    deadline: float = field(default=0.0)

    @property
    def turn(self) -> Turn:
        return self.lease_guard.claim.turn

    @property
    def may_fall_back(self) -> bool:
        """Whether another assistant may be asked: there is one, and nothing was shown of what this one did."""
        return self.has_fallback and not self.preview.has_shown

    def begin_call(self) -> bool:
        """Notes that the assistant is called now. Returns whether the turn may have reached it before."""
        self.is_accepted = self.run_started
        self.meter.begin_call(self.run_id if self.is_accepted else None)
        self.run_started = True
        self.may_have_files = self.may_have_files or self.is_accepted or bool(self.turn.rounds)
        return self.is_accepted

    def fail_call(self, error: AssistantError) -> None:
        """Notes that the call has failed. One that was rejected has not brought the turn to the assistant."""
        self.meter.fail(error)
        if isinstance(error, AssistantRateLimited | ThreadBusy):
            self.run_started = self.is_accepted
            self.run_id = None  # the run has ended; ``resume`` looks for what it left behind
