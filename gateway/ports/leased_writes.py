"""Writes of a lease holder.

Each is refused with LeaseLost when the conversation was claimed again since.

``turn`` is the turn as the holder knows it: as the claim or the write before returned it. If it is still stored like
that, nothing is loaded. If another process changed it meanwhile (stop, cancel, forget, a retry, a channel with a new
id), the write is decided by what is stored; either way the result is the turn as it is stored now. If ``turn`` is not
the current turn of its conversation, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.approvals import Approval
from gateway.domain.audit import AuditEvent
from gateway.domain.context import ChatContext
from gateway.domain.conversations import Claim, Lease
from gateway.domain.errors import LeaseLost
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.files import File
from gateway.domain.models import DEFAULT_ASSISTANT, NO_TOKENS, Failure, Message, RunId, ThreadId, Turn, Usage


@dataclass(frozen=True, slots=True)
class SetThread:
    """Sets the thread of the conversation; None removes it. Result: None."""

    lease: Lease
    thread_id: ThreadId | None
    backend: str
    assistant: str = DEFAULT_ASSISTANT


@dataclass(frozen=True, slots=True)
class ReassignTurn:
    """Gives the turn to another assistant, which has not been asked yet. Result: the turn, without a run."""

    lease: Lease
    turn: Turn
    assistant: str
    detail: str
    """For the audit log."""


@dataclass(frozen=True, slots=True)
class SetRun:
    """Sets the run id of the turn. Result: the turn."""

    lease: Lease
    turn: Turn
    run_id: RunId


@dataclass(frozen=True, slots=True)
class SetContext:
    """Sets the context of the turn's message, so that a retry asks the same. Result: the turn."""

    lease: Lease
    turn: Turn
    context: ChatContext


@dataclass(frozen=True)  # without slots, for ``changed``
class RecordOutcome:
    """Records the outcome of a running turn: a reply or a failure. Result: the turn.

    A turn that was cancelled in the meantime stays cancelled. Unless it is erased, its reply is what was ``shown``.
    """

    lease: Lease
    turn: Turn
    reply: str = ""
    usage: Usage = NO_TOKENS
    failure: Failure | None = None
    files: tuple[File, ...] = ()
    model: str = ""
    cost: int = 0
    cost_is_estimate: bool = False
    shown: str = ""
    calls: tuple[RequestedCall, ...] = ()
    returned: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class AppendAuditEntry:
    """Appends an entry to the audit log of the turn. Result: the turn."""

    lease: Lease
    turn: Turn
    event: AuditEvent
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SetPostedMessages:
    """Replaces what is saved as posted of the turn's reply. Result: the turn."""

    lease: Lease
    turn: Turn
    posted_messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FinishTurn:
    """The turn's outcome was delivered (or could not be: ``failure``); the conversation proceeds to the next turn.

    Result: with ``claim_next``, the claim on the next turn if there is one; otherwise None, and the lease is released.
    """

    lease: Lease
    turn: Turn
    failure: Failure | None = None
    claim_next: bool = True
    posted_messages: tuple[str, ...] | None = None
    """What to save as posted of the turn's reply; None: what is saved already."""


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """Releases the lease with the turn unfinished: claimable in ``delay_seconds``. Result: None.

    ``not_started``: nothing of the turn has reached the assistant. The attempt is counted only if it has ``failed``, in
    a way that may come again with the next one.
    """

    lease: Lease
    delay_seconds: float = 0.0
    not_started: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ParkTurn:
    """Puts the unfinished turn off and releases the lease. Result: None.

    The turn keeps its place: nothing behind it in its conversation starts before it ends. Stop, cancel and forget end
    it at once, so does a RESET behind it; edits reach it if it is ``not_started``. The conversation is claimable in
    ``wake_seconds``, when its time is up, or when ``key`` is woken, whichever comes first. Who claims it checks again
    what it waited for: it may have been woken early, or by an older version. A turn that was resolved in the meantime
    is not parked: its conversation is claimable at once.
    """

    lease: Lease
    turn: Turn
    reason: str
    """For the operator; see ``Parking``."""
    wake_seconds: float
    max_seconds: float
    """How long the turn may be parked for this reason in all, counted from the first time."""
    key: str = ""
    not_started: bool = True
    """As for ReleaseLease."""
    round: CallRound | None = None
    """Calls whose outputs the turn waits for, added to its own."""
    usage: Usage = NO_TOKENS
    """With ``model``, ``cost`` and ``cost_is_estimate``: what the turn has used so far, if it has a ``round``."""
    model: str = ""
    cost: int = 0
    cost_is_estimate: bool = False
    worked_seconds: float | None = None
    """How long its holder has had it, by a clock that nobody sets; None: as the database's clock says."""
    awaits_approvals: bool = False
    """Whether it waits until nobody has to decide about its calls any more. It is not parked if that is so already."""
    awaits_outputs: bool = False
    """Whether it goes on waiting for outputs of calls that it has. It is not parked if they came meanwhile."""


@dataclass(frozen=True, slots=True)
class HoldCalls:
    """Stores calls of tools that people have to approve before anybody is asked. Result: the turn, without a run.

    The turn stays as it is if it was resolved in the meantime.
    """

    lease: Lease
    turn: Turn
    rounds: tuple[CallRound, ...]
    """Added to the turn's own. The calls of the last one are held."""
    approvals: tuple[Approval, ...]
    """One for each held call, undecided. Their times are set by the store."""
    expires_seconds: float
    """How long people have to decide."""
    usage: Usage = NO_TOKENS
    """With ``model``, ``cost`` and ``cost_is_estimate``: what the turn has used so far."""
    model: str = ""
    cost: int = 0
    cost_is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class StartCalls:
    """Notes that the tools of held calls are begun, before they are. Result: the turn.

    Who finds this note, and no output, cannot know whether the tool did its work, and does not begin it again.
    """

    lease: Lease
    turn: Turn
    approval_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetOutputs:
    """Sets outputs of calls of the turn's last round, by call id. One that is there already stays. Result: the turn.

    A question about such a call that nobody has decided is EXPIRED.
    """

    lease: Lease
    turn: Turn
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetQuestion:
    """Replaces what is saved as posted of the question about a held call. Result: the turn."""

    lease: Lease
    turn: Turn
    approval_id: str
    posted_messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HoldTurn:
    """Leaves the message of a running turn to the person who answers in its conversation. Result: the turn.

    It is answered without a reply. One that was cancelled in the meantime stays cancelled.
    """

    lease: Lease
    turn: Turn


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Ends the handover of the conversation, unless a turn behind this one has handed it over. Result: the turn.

    With a ``question`` the turn becomes that PROMPT: the same transaction ends the handover and has the assistant
    asked. A turn that was cancelled in the meantime changes nothing.
    """

    lease: Lease
    turn: Turn
    question: Message | None = None
    """Its text and files are used, and its author, address and context where the turn has none."""


TurnWrite = (
    ReassignTurn
    | SetRun
    | SetContext
    | RecordOutcome
    | AppendAuditEntry
    | SetPostedMessages
    | HoldCalls
    | StartCalls
    | SetOutputs
    | SetQuestion
    | HoldTurn
    | GiveBack
)
"""Those whose result is the turn."""
LeasedWrite = TurnWrite | SetThread | FinishTurn | ReleaseLease | ParkTurn
WriteResult = Turn | Claim | LeaseLost | None
