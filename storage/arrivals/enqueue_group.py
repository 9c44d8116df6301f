"""Decides in memory what messages that arrive together become. No SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.domain.copies import changed
from gateway.domain.errors import Conflict, GatewayError, Overloaded, ThreadNotFound
from gateway.domain.handover import Handover
from gateway.domain.models import DEFAULT_ASSISTANT, ConversationKey, Message, MessageKind, ThreadId, Turn
from gateway.domain.shares import Share
from gateway.ports.enqueue import EnqueueRequest
from storage import row_mapping
from storage.arrivals import joining
from storage.arrivals.joining import JoinedMessage, NewestTurn
from storage.new_turns import backlog_full
from storage.tables.column_types import is_storable, storable

MessageName = tuple[str, str]
"""Platform and message id, as they are stored."""
ALWAYS_TAKEN = frozenset({MessageKind.STOP, MessageKind.HAND_OVER, MessageKind.RESUME})
"""Kinds that are recorded however many messages wait: they change what becomes of those."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request, with the names under which its message and its conversation are stored."""

    request: EnqueueRequest
    name: MessageName
    key: ConversationKey

    @classmethod
    def of(cls, request: EnqueueRequest) -> Incoming:
        return cls(request, name_of(request.message), stored_key(request.message.key))


@dataclass(slots=True)
class OpenConversation:
    """A conversation that this transaction has locked, or will insert, with its values as they will be saved."""

    key: ConversationKey
    id: int = 0
    """0: not inserted yet."""
    thread: ThreadId | None = None
    backend: str = ""
    assistant: str = DEFAULT_ASSISTANT
    chosen: str = ""
    head: int = 0
    tail: int = 0
    owner: str | None = None
    epoch: int = 0
    next_at: float | None = None
    caller: str = ""
    workspace: str = ""
    handover_seq: int | None = None
    handed_over_at: float | None = None

    @property
    def handover(self) -> Handover | None:
        return row_mapping.to_handover(self.handover_seq, self.handed_over_at)

    @property
    def share(self) -> Share:
        return Share(self.caller, self.workspace)

    @property
    def is_idle(self) -> bool:
        return self.next_at is None

    def is_next(self, turn: Turn) -> bool:
        """Returns whether no unfinished turn is before this one."""
        return turn.seq == self.head + 1

    def append(self, request: EnqueueRequest, at: float, lease_seconds: float) -> NewTurn:
        """Makes room for one more turn; an idle conversation gets a lease holder, or becomes due. Raises Overloaded."""
        message, limit = request.message, request.max_backlog
        if self.tail + 1 - self.head > limit and message.kind not in ALWAYS_TAKEN:
            raise Overloaded(backlog_full(limit))
        was_idle, owner = self.is_idle, None if message.debounce_seconds else request.owner
        self.tail += 1
        self.chosen = message.assistant or self.chosen
        if message.kind is MessageKind.HAND_OVER:
            self.handover_seq, self.handed_over_at = self.tail, self.handed_over_at or at
        if was_idle:
            self.caller, self.workspace = message.share
            self.owner, self.epoch = owner, self.epoch + (1 if owner else 0)
            self.next_at = at + (lease_seconds if owner else message.debounce_seconds)
        assistant = request.route.decide(message.assistant, self.chosen)
        return NewTurn(request, self, self.tail, owner if was_idle else None, was_idle and not owner, assistant)

    def columns(self) -> dict[str, Any]:
        """Returns the parameters of enqueue_sql.append_turns, and of the INSERT of a new one."""
        holder = {"until": self.next_at, "holder": self.owner, "claims": self.epoch}
        taken = {"of": self.caller, "within": self.workspace}
        return {"id_": self.id, "last": self.tail, "wanted": self.chosen, **taken, **holder}


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A turn to insert."""

    request: EnqueueRequest
    conversation: OpenConversation
    seq: int
    owner: str | None
    """Who claims it."""
    is_due: bool
    """Whether the conversation may be claimed with it, at once or after its debounce time."""
    assistant: str
    """Who is asked."""


@dataclass(slots=True)
class Group:
    """What is known of the messages of one transaction."""

    incoming: Sequence[Incoming]
    known: Collection[MessageName]
    """Those that were recorded before."""
    conversations: dict[ConversationKey, OpenConversation]
    at: float
    stops_elsewhere: Collection[MessageName] = ()
    """Those STOPs that have something to cancel in other conversations."""
    new: dict[MessageName, NewTurn] = field(default_factory=dict)
    refused: dict[int, GatewayError] = field(default_factory=dict)
    """By index of the request."""
    newest: Mapping[int, NewestTurn] = field(default_factory=dict)
    """The newest turns of conversations, where a message may join it or is for idle conversations only."""
    joined: dict[MessageName, JoinedMessage] = field(default_factory=dict)
    """The messages that become a part of those."""

    def decide(self, lease_seconds: float) -> None:
        """Decides which messages become turns, and what they change in their conversations."""
        for index, each in enumerate(self.incoming):
            if each.name in self.known or each.name in self.new or each.name in self.joined:
                continue
            try:
                self._decide(each, lease_seconds)
            except (Conflict, Overloaded, ThreadNotFound) as exc:
                self.refused[index] = exc

    def _decide(self, incoming: Incoming, lease_seconds: float) -> None:
        request, name, message = incoming.request, incoming.name, incoming.request.message
        conversation = self._conversation(incoming)
        if message.only_if_idle:
            self._check_idle(conversation)
        if message.join is not None and self._join(request, name, conversation):
            return
        if message.only_if_running:
            request = self._as_meant(request, name, conversation)
        self.new[name] = conversation.append(request, self.at, lease_seconds)

    def _check_idle(self, conversation: OpenConversation) -> None:
        """Raises Conflict if there is an unresolved turn."""
        if conversation.is_idle:
            return
        newest = self.newest.get(conversation.id)
        if newest is None or newest.turn.seq != conversation.tail or not newest.turn.state.is_resolved:
            raise Conflict("The conversation has an unresolved turn.", code="conversation_busy")

    def _join(self, request: EnqueueRequest, name: MessageName, conversation: OpenConversation) -> bool:
        """Makes the message a part of its conversation's newest turn, if it is one; that waits for what may follow.

        Raises ThreadNotFound for a message that is nothing else and does not join.
        """
        newest = self.newest.get(conversation.id)
        joined = joining.joined(newest, request, self.at)
        if joined is None and request.message.must_join:
            raise ThreadNotFound
        if joined is None:
            return False
        self.joined[name] = joined
        if conversation.owner is None and conversation.is_next(joined.turn) and not joined.turn.is_parked:
            conversation.next_at = self.at + request.message.debounce_seconds
        return True

    def _as_meant(self, request: EnqueueRequest, name: MessageName, conversation: OpenConversation) -> EnqueueRequest:
        """Returns a command that is one only where there is something to stop, or to end; elsewhere as a PROMPT."""
        message = request.message
        if message.kind is MessageKind.RESUME:
            has_object = conversation.handover is not None
        else:
            has_object = not conversation.is_idle or name in self.stops_elsewhere
        if has_object:
            return request
        return replace(request, message=changed(message, kind=MessageKind.PROMPT, stops_channel=False))

    def with_newest(self) -> Mapping[int, int]:
        """Returns the conversations whose newest turn matters to a message, and where that is."""
        asked = [(each.key, each.request.message) for each in self.incoming]
        wanted = {key for key, message in asked if message.join is not None or message.only_if_idle}
        found = [self.conversations[key] for key in wanted & self.conversations.keys()]
        return {each.id: each.tail for each in found if not each.is_idle}

    def changed(self) -> Collection[OpenConversation]:
        """Returns the conversations to save."""
        waiting = [self.conversations[stored_key(part.request.message.key)] for part in self.joined.values()]
        found = [*(new.conversation for new in self.new.values()), *waiting]
        return {id(each): each for each in found}.values()

    def _conversation(self, incoming: Incoming) -> OpenConversation:
        key = incoming.key
        found = self.conversations.get(key)
        if found is None:
            if not incoming.request.message.may_start_conversation:
                raise ThreadNotFound
            found = self.conversations[key] = OpenConversation(key)
        return found


def name_of(message: Message) -> MessageName:
    return storable(message.key.platform), storable(message.message_id)


def stored_key(key: ConversationKey) -> ConversationKey:
    """Returns a key as it is stored."""
    parts = key_order(key)
    return key if is_storable("".join(parts)) else ConversationKey(*map(storable, parts))


def key_order(key: ConversationKey) -> tuple[str, ...]:
    return key.platform, key.workspace, key.channel, key.topic, key.user
