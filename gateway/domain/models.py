"""Messages and turns: frozen dataclasses without I/O. Imports nothing of the gateway but its own parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import NewType
from urllib.parse import quote

from gateway.domain.audit import AuditEntry
from gateway.domain.context import ChatContext, clean_name
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.files import File
from gateway.domain.handover import HandoverPart
from gateway.domain.shares import Share
from gateway.domain.turn_options import NO_OPTIONS, TurnOptions

ThreadId = NewType("ThreadId", str)
"""The id of a conversation at the assistant. Opaque: only the backend that created it interprets it."""

RunId = NewType("RunId", str)
"""The id of one attempt at a turn at the assistant. Opaque: only the backend that created it interprets it."""

TurnId = NewType("TurnId", str)
"""The public id of a turn."""

DEFAULT_ASSISTANT = "default"
"""The name of the assistant that answers where no route leads to another. There is always one."""

Address = Mapping[str, str]
"""Where a reply is sent. Opaque: only the adapter that created it interprets it."""


AWAITS_APPROVAL = "approval"
"""The ``Parking.reason`` of a turn that waits until people have decided about calls of tools."""
AWAITS_OUTPUTS = "tool outputs"
"""The ``Parking.reason`` of a turn that waits until its sender has run functions, and said what they returned."""

PUSHED = "push "
"""How ``Message.caller`` begins for what no person wrote: a program, a schedule or an operator pushed it in."""

STAFF = f"{PUSHED}staff "
"""How it begins for what a member of the staff does in a conversation of others: their name follows."""


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """Identifies a conversation on its platform: one key, one thread. Unused fields are empty."""

    platform: str
    workspace: str = ""
    channel: str = ""
    topic: str = ""
    user: str = ""


class MessageKind(StrEnum):
    """What a message asks for."""

    PROMPT = "ask"
    """A reply from the assistant."""
    RESET = "reset"
    """A new thread for the conversation: the assistant no longer sees earlier messages."""
    STOP = "stop"
    """Cancellation of every prompt in the conversation that has no reply yet."""
    CHOOSE = "choose"
    """Another assistant for the conversation from here on, or to be told which there are."""
    HAND_OVER = "hand_over"
    """A person who answers in the conversation from here on. What waits there is left to that person at once."""
    RESUME = "resume"
    """The assistant again, which is asked what the person has not answered."""


@dataclass(frozen=True, slots=True)
class Join:
    """When a message is one act of its author with the message before it, and so no turn of its own.

    The turn before it must be the newest of the conversation, queued, and its author's.
    """

    seconds: float
    """How long ago the newest part of that turn may have arrived."""
    after_units: int = 0
    """How long that part's text has to be, in UTF-16 code units: a client splits what is longer than its limit."""
    required: bool = False
    """Whether the message is dropped if it does not join: by itself, it is not for the bot."""


@dataclass(frozen=True)  # without slots, for ``changed``
class Message:
    """One message from a person, independent of the platform.

    ``message_id`` is unique within the platform: a repeated id is a redelivery of the same message.
    """

    key: ConversationKey
    message_id: str
    text: str
    author: str = ""
    address: Address = field(default_factory=dict)
    kind: MessageKind = MessageKind.PROMPT
    files: tuple[File, ...] = ()
    may_start_conversation: bool = True
    """Whether it may start a conversation. If not, it is dropped unless the conversation exists. Not stored."""
    album_item_id: str = ""
    """Which item it is of a message that arrives in several parts with one id, such as a photo album. An item that may
    not start a conversation is accepted only after another item of the same message. Not stored."""
    album_parts: tuple[tuple[str, int], ...] = ()
    """Of an album whose text is of several items: the ``own_id`` of each, and where in the text it begins. Stored
    beside the turn, so that an edit changes one of them."""
    debounce_seconds: float = 0.0
    """Seconds to wait before the turn is started in an idle conversation, as more items may arrive. Not stored."""
    join: Join | None = None
    """When it joins the turn before it; None: never. Not stored."""
    has_waiting_caller: bool = False
    """Whether a caller waits for the outcome in the receiving process. Stored as the name of that process."""
    traceparent: str = ""
    """The trace it belongs to, as a W3C ``traceparent``; empty without tracing."""
    author_workspace: str = ""
    """The author's own workspace, if it is not that of the conversation. Not stored."""
    stops_channel: bool = False
    """Whether a STOP also cancels what its author has unfinished in the channel's other conversations. Not stored."""
    only_if_running: bool = False
    """Whether a STOP is a PROMPT where there is nothing to cancel, and a RESUME where nothing is handed over: the word
    may answer a question. Not stored."""
    max_from_author: int = 0
    """How many turns of its author the conversation may have had in a day; beyond that it is dropped, so that two bots
    cannot answer each other for ever. 0: no limit. Not stored."""
    has_workspace_share: bool = False
    """Whether its workspace is one of several that share the gateway. Stored with the conversation only."""
    caller: str = ""
    """Who sent it, as the platform verified, where ``author`` is only what the sender says; else empty. It begins
    with PUSHED for what no person wrote."""
    given_reply: str = ""
    """The reply to deliver as it is, so that no assistant is asked. Stored as the turn's reply."""

    context: ChatContext | None = None
    """Names and quotations that go with it; None: none, or not fetched yet."""
    options: TurnOptions | None = None
    """How it is to be answered; None: as the assistant answers everybody."""
    author_name: str = field(default="", compare=False)
    """How others see its author, for operators; empty: not known. Not stored with the turn."""
    channel_name: str = field(default="", compare=False)
    """The same of the channel."""
    only_if_idle: bool = False
    """Whether it is refused while the conversation has an unresolved turn. Not stored."""
    assistant: str = ""
    """The name of the assistant that its sender asks for, for this turn and those after it; empty: the one of the
    conversation. Stored as that of the turn."""
    allowed_assistants: tuple[str, ...] = ()
    """The names of those that its sender may ask, the first of which is asked if it names none; empty: those of its
    route. Not stored."""

    @property
    def own_id(self) -> str:
        """Returns the id by which it is edited. The items of an album share their message id."""
        return f"{self.message_id}:{self.album_item_id}" if self.album_item_id else self.message_id

    @property
    def must_join(self) -> bool:
        """Whether it is dropped unless it joins the turn before it."""
        return self.join is not None and self.join.required

    @property
    def own_text(self) -> str:
        """Returns the text with one line per attached file."""
        return "\n".join(
            [*([self.text] if self.text else []), *(f"[attached: {file.shown_name}]" for file in self.files)]
        )

    @property
    def share(self) -> Share:
        """Whose share of places and queues it takes: the verified caller's, else the author's, else the channel's."""
        key, workspace = self.key, ""
        if self.caller:
            return caller_share(key.platform, self.caller)
        parts: tuple[str, ...]
        if self.author:
            parts = (key.platform, "user", key.workspace, self.author)
        else:
            parts = (key.platform, "channel", key.workspace, key.channel)
        if self.has_workspace_share:
            workspace = _joined(key.platform, key.workspace)
        return Share(_joined(*parts), workspace)

    @property
    def text_with_attachments(self) -> str:
        """Returns the message as the assistant reads it, and as it appears in a thread's history."""
        return self.own_text if self.context is None else self.context.render(self.own_text)

    @property
    def is_pushed(self) -> bool:
        """Whether no person wrote it: see ``caller``."""
        return self.caller.startswith(PUSHED)

    @property
    def is_claimed(self) -> bool:
        """Whether only its sender says who its author is. The author of what the staff sends is not."""
        return bool(self.caller) and not self.is_pushed

    @property
    def is_from_staff(self) -> bool:
        """Whether a member of the staff sent it, who answers in place of the assistant."""
        return self.caller.startswith(STAFF)

    @property
    def sender(self) -> str:
        """Returns who sent it, for the operator: whoever pushed it in, else its author."""
        return self.caller.removeprefix(PUSHED) if self.is_pushed else self.author

    @property
    def language(self) -> str:
        """Returns the language that its author reads, as ``gateway.languages`` has it; "" for English or none known."""
        return "" if self.context is None else self.context.language

    @property
    def speaker(self) -> str:
        """Returns the name of who speaks, where several people take part in the conversation; else ""."""
        return "" if self.context is None else clean_name(self.context.speaker)


def caller_share(platform: str, caller: str) -> Share:
    """Returns whose share a verified caller takes, with a message or without one."""
    return Share(_joined(platform, "caller", caller))


@lru_cache(maxsize=1024)  # a message's share is asked for at each step of its way
def _joined(*parts: str) -> str:
    """Returns a name that no other parts have."""
    return " ".join(quote(part, safe="") for part in parts)


class TurnState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    ANSWERED = "answered"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_resolved(self) -> bool:
        """Whether the turn has an outcome: answered, delivered, failed or cancelled."""
        return self not in (TurnState.QUEUED, TurnState.RUNNING)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a turn has no reply."""

    code: str
    user_message: str
    """For the person: one sentence, without internal details. In English: a Sentence, or the text of one."""
    detail: str = ""
    """For the operator. Never shown to the person, never a secret."""
    retry_after: float | None = None
    """Seconds after which a retry may succeed; None if unknown."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as counted by the backend; zero if it does not count them."""

    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out)


NO_TOKENS = Usage()


@dataclass(frozen=True, slots=True)
class Parking:
    """Why a turn waits in the table, without a lease. Times are seconds since the epoch by the database's clock."""

    reason: str
    """What it waits for, in a word for the operator, such as ``budget``."""
    key: str = ""
    """What ends the wait early, see ``Store.wake``; empty: only time does."""
    since: float = 0.0
    """When it was first parked for this reason."""
    expires_at: float = 0.0
    """When it no longer waits for this reason."""
    woken_at: float | None = None
    """When it was claimed again; None: it still waits."""

    @property
    def has_expired(self) -> bool:
        """Whether the turn was claimed again because its time was up."""
        return self.woken_at is not None and self.woken_at >= self.expires_at


@dataclass(frozen=True)  # without slots, for ``changed``
class Turn:
    """One message and its outcome: the unit of work, of retry and of audit.

    Times are seconds since the epoch by the database's clock; None: not yet.
    """

    id: TurnId
    conversation_id: int
    seq: int
    message: Message
    state: TurnState
    attempts: int = 0
    run_id: RunId | None = None
    reply: str = ""
    reply_files: tuple[File, ...] = ()
    """Files that the assistant created for the reply."""
    calls: tuple[RequestedCall, ...] = ()
    """Calls of the caller's functions that the reply ends with: their results come with the caller's next message."""
    returned: str = ""
    """As ``CallRound.returned``, for these."""
    refusal: str = ""
    """What of the reply, at its end, says that the model refuses, as it wrote that; empty: it does not refuse."""
    failure: Failure | None = None
    usage: Usage = NO_TOKENS
    model: str = ""
    """The model that answered, as named by the backend; empty if unknown."""
    cost: int = 0
    """Cost of the runs, in millionths of the currency of the price table; 0 if the price is unknown."""
    cost_is_estimate: bool = False
    """Whether tokens and cost are estimated, at least in part, because the server did not count a run."""
    posted_messages: tuple[str, ...] = ()
    """What the adapter has posted of the reply, as it saved it. Opaque: only the adapter interprets it."""
    audit_log: tuple[AuditEntry, ...] = ()
    """How the turn was processed, for the operator; oldest entry first, at most a few dozen."""
    received_at: float = 0.0
    started_at: float | None = None
    answered_at: float | None = None
    delivered_at: float | None = None
    erased_at: float | None = None
    """When its content was erased: message, reply and author are empty since then."""
    parking: Parking | None = None
    """Why it waits, or last waited, in the table."""
    rounds: tuple[CallRound, ...] = ()
    """The calls that its sender ran, or is to run, and those that people were asked about, with those of the
    assistant's tools before them; oldest first."""
    handover: HandoverPart = HandoverPart.NONE
    """What it is in the handover of its conversation to a person."""

    assistant: str = DEFAULT_ASSISTANT
    """The name of the assistant that is asked. Decided when the turn is recorded."""

    @property
    def options(self) -> TurnOptions:
        """How it is to be answered."""
        return self.message.options or NO_OPTIONS

    @property
    def is_pushed_text(self) -> bool:
        """Whether its reply was given with it: no assistant wrote it, and nobody asked for it."""
        return self.message.is_pushed and not self.message.text and self.handover is not HandoverPart.RESUMED

    @property
    def said(self) -> str:
        """Returns the text that a person wrote with it: none for what only the staff is to see, or was said before."""
        is_of_staff = self.message.is_pushed and self.message.kind is not MessageKind.PROMPT
        return "" if is_of_staff or self.handover is HandoverPart.RESUMED else self.message.text

    @property
    def is_held(self) -> bool:
        """Whether its message was left to a person, so that it has no reply."""
        return self.handover is HandoverPart.HELD

    @property
    def is_parked(self) -> bool:
        """Whether it waits in the table: no process works on it, and nothing behind it in its conversation starts."""
        return not self.state.is_resolved and self.parking is not None and self.parking.woken_at is None

    @property
    def awaits_outputs(self) -> bool:
        """Whether it goes on when its sender has run the functions of its last round.

        So it does while a worker looks at it before the time is up, as after the clock was set back.
        """
        return (
            not self.state.is_resolved
            and self.parking is not None
            and self.parking.reason == AWAITS_OUTPUTS
            and not self.parking.has_expired
            and self.has_open_round
        )

    @property
    def awaits_approval(self) -> bool:
        """Whether it goes on when people have decided about calls of tools."""
        return self.is_parked and self.parking is not None and self.parking.reason == AWAITS_APPROVAL

    @property
    def has_open_round(self) -> bool:
        """Whether a call of its last round has no output yet."""
        return bool(self.rounds) and self.rounds[-1].is_open
