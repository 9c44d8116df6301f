"""The nouns of the house: plain frozen data, no I/O, no imports from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

ThreadId = NewType("ThreadId", str)
"""The assistant's handle for a conversation. Opaque: only the backend that opened it reads it."""

RunId = NewType("RunId", str)
"""The assistant's handle for one attempt at a turn. Opaque, likewise."""

TurnId = NewType("TurnId", str)
"""Our public name for a turn."""

Address = Mapping[str, str]
"""Where a reply goes. Opaque: only the adapter that wrote it reads it."""


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """Whose memory this is: one key, one thread. Unused parts are empty."""

    platform: str
    workspace: str = ""
    channel: str = ""
    topic: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One thing a person said, in our words.

    ``message_id`` is unique within the platform: the same id again is the same message.
    """

    key: ConversationKey
    message_id: str
    text: str
    author: str = ""
    address: Address = field(default_factory=dict)


class TurnState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    ANSWERED = "answered"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def decided(self) -> bool:
        """Whether the assistant's part is over, whatever came of it."""
        return self not in (TurnState.QUEUED, TurnState.RUNNING)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a turn has no reply."""

    code: str
    sentence: str
    """For the person: one honest sentence with nothing internal in it."""
    detail: str = ""
    """For the operator. Never shown to the person, never a secret."""
    retry_after: float | None = None
    """Seconds after which it may be worth asking again, when that is known."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the backend counted them; zero where it does not."""

    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)


NO_TOKENS = Usage()


@dataclass(frozen=True, slots=True)
class Turn:
    """One message and what became of it: the unit of work, of retry and of audit.

    Times are seconds since the epoch by the database's clock; None: not yet.
    """

    id: TurnId
    conversation: int
    seq: int
    message: Message
    state: TurnState
    attempts: int = 0
    run_id: RunId | None = None
    reply: str = ""
    failure: Failure | None = None
    usage: Usage = NO_TOKENS
    received_at: float = 0.0
    started_at: float | None = None
    answered_at: float | None = None
    delivered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation key and the thread that remembers for it."""

    id: int
    key: ConversationKey
    thread: ThreadId | None = None
    backend: str = ""
    """The name of the backend that opened the thread; another one cannot read it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a conversation. Each claim has a higher epoch, so an old holder is known as such."""

    conversation: int
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A turn to work on, with the lease that permits it.

    ``fresh`` says that no earlier attempt can have reached the assistant: the turn may be posted without looking.
    """

    lease: Lease
    conversation: Conversation
    turn: Turn
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Exchange:
    """A message and its reply, as a thread remembers them."""

    text: str
    reply: str
    author: str = ""


# What an assistant tells while it works on a turn.


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run has an id: it can be found again from here on."""

    run_id: RunId


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The assistant uses a tool: told once when the call begins, and once when it is done."""

    call_id: str
    name: str
    input: str = ""
    output: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The whole reply. Nothing follows."""

    text: str
    usage: Usage = NO_TOKENS


Shown = TextDelta | ToolCall
"""What a person may watch while a turn runs."""

RunEvent = RunStarted | TextDelta | ToolCall | Answered
