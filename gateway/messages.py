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
class File:
    """A file that a person attached, or that the assistant made."""

    name: str
    reference: str
    """Where its content is to be had. Opaque: only the adapter or the backend that wrote it reads it."""
    media_type: str = ""
    size: int = 0
    """Bytes; 0 where that is not known."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file with its content; or with the reason why that could not be had, in words for the assistant."""

    file: File
    content: bytes = b""
    problem: str = ""


class Kind(StrEnum):
    """What a message asks for."""

    ASK = "ask"
    """A reply of the assistant."""
    RESET = "reset"
    """A new thread for the conversation: nothing before it is remembered."""
    STOP = "stop"
    """An end to everything that was asked in the conversation and has no reply yet."""


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
    kind: Kind = Kind.ASK
    files: tuple[File, ...] = ()
    opens: bool = True
    """Whether it may open a conversation. If not, it counts only where there is one already. Not stored."""
    piece: str = ""
    """Which piece it is of a message that comes in several with one id, as the pictures of an album. One that opens
    nothing counts only if another piece was there before it. Not stored."""
    wait: float = 0.0
    """Seconds for which its turn is not begun in an idle conversation, as more pieces may come. Not stored."""
    awaited: bool = False
    """Whether somebody waits for the outcome in the process that takes it in. Kept as that process's name."""
    trace: str = ""
    """The trace it belongs to, as a W3C ``traceparent``; empty when nobody traces."""

    @property
    def said(self) -> str:
        """The text, with a line for each attached file: what a thread remembers of the message."""
        return "\n".join([*([self.text] if self.text else []), *(f"[attached: {file.name}]" for file in self.files)])


@dataclass(frozen=True, slots=True)
class Edit:
    """A person changed what they said."""

    platform: str
    message_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A person deleted what they said."""

    platform: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Move:
    """The platform gave a channel another id: its conversations go on there."""

    platform: str
    workspace: str
    channel: str
    to: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person thinks of a reply, in the platform's word for it. The newest of one person counts."""

    turn: TurnId
    author: str
    value: str


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


class Mark(StrEnum):
    """What a trail says beyond the states and times of a turn."""

    RECEIVED = "received by"
    """A process."""
    CLAIMED = "claimed by"
    """A process."""
    RUN = "run"
    """Its id at the assistant."""
    ASKED_AGAIN = "asked again"
    """Why the assistant had to be."""
    WENT_ON = "went on after a pause by"
    """A process that stood still for longer than its lease, and found that nobody else had taken over."""
    HANDED_BACK = "handed back by"
    """A process."""
    PUT_OFF = "delivery put off"
    """Why the platform did not take it yet."""
    RETRIED = "retried as"
    """The turn that an operator made of it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a turn's trail."""

    at: float
    mark: Mark
    detail: str = ""
    """Never a secret, nor what somebody said."""


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
    files: tuple[File, ...] = ()
    """What the assistant made for the reply."""
    failure: Failure | None = None
    usage: Usage = NO_TOKENS
    model: str = ""
    """Which model answered, as the backend names it; empty where it does not."""
    cost: int = 0
    """What the run cost, in millionths of the currency that prices are given in; 0 where no price is known."""
    parts: tuple[str, ...] = ()
    """What stands at the platform of the reply, as far as the adapter noted it. Opaque: only the adapter reads it."""
    trail: tuple[Step, ...] = ()
    """What became of it on its way, for the operator; the oldest first, and not more than a few dozen."""
    received_at: float = 0.0
    started_at: float | None = None
    answered_at: float | None = None
    delivered_at: float | None = None
    erased_at: float | None = None
    """When what was said in it was deleted: message, reply and author are empty since then."""


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
    files: tuple[File, ...] = ()
    model: str = ""
    """Which model it was, as the server names it; empty where it does not."""


Shown = TextDelta | ToolCall
"""What a person may watch while a turn runs."""

RunEvent = RunStarted | TextDelta | ToolCall | Answered
