"""Calls of tools that people approve: what is asked, who may answer, and what was decided. No I/O."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.domain.bots import platform_of
from gateway.domain.exchange import RequestedCall
from gateway.domain.handover import HandoverPart
from gateway.domain.models import Message, Turn, TurnId
from gateway.domain.sentences import sentence

ASKER = "asker"
"""Among approvers: the person whose message the assistant answers, or the caller of ``/chat`` who sent it."""
OPERATORS = "operators"
"""Among approvers: whoever is signed in to the operator's pages."""
KEY = "key"
"""Among approvers, before a colon and the name of an API key: whoever calls with it."""
DIGEST_CHARS = 32
"""Of a SHA-256 in hexadecimal. Buttons carry it, and Telegram takes 64 bytes of data in one."""


class Decision(StrEnum):
    """What became of a question."""

    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    """Nobody answered in time."""
    CANCELLED = "cancelled"
    """The turn ended before anybody answered."""


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call that has not run, as people have to approve it or another one of its round."""

    call: RequestedCall
    approvers: tuple[str, ...] = ()
    """Who may approve it; empty: nobody has to."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A held call as it is stored. Times are seconds since the epoch by the database's clock; None: not yet."""

    id: str
    turn_id: TurnId
    round: int
    """The place of its round in ``Turn.rounds``."""
    call_id: str
    tool: str
    arguments: str
    """JSON: exactly what the tool is called with."""
    approvers: tuple[str, ...] = ()
    """Who may approve it; empty: nobody has to, and it waits for the other calls of its round."""
    decision: Decision | None = None
    decided_by: str = ""
    """Who decided, for the audit log: ``slack:U1``, ``key:shop``, ``operator``, …"""
    decided_name: str = ""
    """What they call themselves, for people."""
    requested_at: float = 0.0
    expires_at: float = 0.0
    decided_at: float | None = None
    started_at: float | None = None
    """When the tool was begun. From then on it is not begun again, whatever happens."""
    posted_messages: tuple[str, ...] = ()
    """What the adapter has posted of the question, as it saved it. Opaque."""

    @property
    def digest(self) -> str:
        """Names the tool and its exact arguments."""
        return digest_of(self.tool, self.arguments)

    @property
    def is_question(self) -> bool:
        """Whether somebody has to decide."""
        return bool(self.approvers)

    @property
    def is_open(self) -> bool:
        """Whether somebody has yet to decide."""
        return self.is_question and self.decision is None

    @property
    def may_run(self) -> bool:
        """Whether the tool may be begun: nobody had to approve it, or somebody did; and it was not begun before."""
        return self.started_at is None and (not self.is_question or self.decision is Decision.APPROVED)


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides, as the platform, the API or the operator's pages verified it."""

    platform: str = ""
    """``Adapter.name`` of where they do; empty: the operator's pages."""
    user: str = ""
    """Their id on a chat platform, which it vouches for."""
    caller: str = ""
    """The caller of an API, as ``Message.caller`` names it."""
    key: str = ""
    """The name of the caller's API key, if it has one."""
    is_operator: bool = False
    name: str = ""
    """What they call themselves, for people; empty if unknown."""

    @property
    def names(self) -> tuple[str, ...]:
        """As what they may be among approvers, whoever has asked."""
        operators = (OPERATORS,) if self.is_operator else ()
        key = (f"{KEY}:{self.key}",) if self.key else ()
        # Of a caller's user only the caller says who it is.
        is_verified = bool(self.user) and not self.caller
        return (*operators, *key, *((f"{platform_of(self.platform)}:{self.user}",) if is_verified else ()))

    def __str__(self) -> str:
        """Names them for the audit log. An API key's digest and an address are no names."""
        if self.is_operator:
            return f"operator {self.name}" if self.name not in {"", "operator"} else "operator"
        if self.caller:
            return f"{KEY}:{self.key}" if self.key else f"a caller of {self.platform}"
        return f"{self.platform}:{self.user}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Somebody's answer to a question, bound to the arguments that they were shown."""

    approval_id: str
    digest: str
    """As ``Approval.digest``."""
    approves: bool
    decider: Decider


class VerdictResult(StrEnum):
    """What became of a verdict."""

    DECIDED = "decided"
    """It is what was decided; also if the same person sends the same again."""
    NOT_ALLOWED = "not_allowed"
    """They may not decide it."""
    TOO_LATE = "too_late"
    """Somebody else decided, it expired, or the turn has ended."""
    UNKNOWN = "unknown"
    """There is no such question, or it was about other arguments."""


REFUSALS = {
    VerdictResult.NOT_ALLOWED: sentence("You may not decide this."),
    VerdictResult.TOO_LATE: sentence("Somebody has decided this already, or it is too late to."),
    VerdictResult.UNKNOWN: sentence("There is nothing to decide here any more."),
}
"""What somebody is told whose verdict decided nothing."""


def new_approval_id() -> str:
    """Returns an id that nobody can guess."""
    return f"appr_{secrets.token_hex(10)}"


def digest_of(tool: str, arguments: str) -> str:
    return hashlib.sha256(f"{tool}\0{arguments}".encode(errors="replace")).hexdigest()[:DIGEST_CHARS]


def may_decide(approvers: tuple[str, ...], message: Message, decider: Decider) -> bool:
    """Returns whether somebody is one of those who may approve a call that a message led to, see ``asked_by``."""
    return any(each in decider.names or (each == ASKER and _has_asked(decider, message)) for each in approvers)


def asked_by(turn: Turn, before: Sequence[Turn]) -> Message:
    """Returns the message of a turn, as whoever asked sent it.

    ``before``: the turns before it, oldest first. A turn with which the staff gave the conversation back asks what
    people had written before, so the last of them has asked it.
    """
    held = [each.message for each in before if each.is_held] if turn.handover is HandoverPart.RESUMED else []
    return replace(turn.message, caller=held[-1].caller) if held else turn.message


def can_be_decided(approvers: tuple[str, ...], message: Message) -> bool:
    """Returns whether there may be somebody who decides: what a program or a schedule has brought, nobody has asked."""
    has_asker = bool(message.author) or not message.is_pushed
    return any(each != ASKER or has_asker for each in approvers)


def _has_asked(decider: Decider, message: Message) -> bool:
    if decider.is_operator or decider.platform != message.key.platform:
        return False
    if decider.caller or (message.caller and not message.is_pushed):
        return decider.caller == message.caller
    # What is pushed has an author only if a member of the staff left a person's question to the assistant.
    return bool(decider.user) and decider.user == message.author
