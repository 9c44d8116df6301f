"""What an adapter may call to hand messages to the core: on the worker's loop, or from any other thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.approvals import Approval, Decider, Verdict, VerdictResult
from gateway.domain.conversations import Conversation
from gateway.domain.files import Content, File
from gateway.domain.models import ConversationKey, Message, Turn, TurnId
from gateway.ports.platform import ParsedUpdate
from gateway.ports.server_objects import ServerObjects


@dataclass(frozen=True, slots=True)
class OfferedAssistant:
    """An assistant that a sender may ask for by its name. ``title``: what it calls itself, for people."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """The result of ``AsyncInbox.accept``."""

    turn: Turn
    is_new: bool
    claimed_here: bool
    """Whether this process has claimed it; otherwise any process may."""
    is_joined: bool = False
    """Whether the message became a part of ``turn``, which is not new, see ``Message.join``."""


Accept = Callable[[Message], Awaitable[AcceptResult]]
"""Records a message as a turn, see ``AsyncInbox.accept``."""


class AsyncInbox(Protocol):
    """What an adapter may call to hand over messages and read turns. On the worker's loop; every method does I/O.

    Messages that are accepted while others are being committed share the next commit.

    All may raise StoreUnavailable; those that call the assistant also AssistantError.
    """

    def new_turn_id(self) -> TurnId:
        """Returns an id for a turn to be accepted, so that its caller can wait for it before it is recorded. No I/O."""
        ...

    def offered_assistants(self, key: ConversationKey, allowed: Sequence[str] = ()) -> Sequence[OfferedAssistant]:
        """Returns those that messages of a conversation may ask for; the first answers if nobody chose. No I/O.

        ``allowed``: see ``Message.allowed_assistants``.
        """
        ...

    def next_assistant(self, conversation: Conversation, allowed: Sequence[str] = ()) -> str:
        """Returns the name of the assistant that answers the next message, unless that asks for another. No I/O."""
        ...

    async def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult:
        """Records a message, then starts the turn if this process has capacity; otherwise any process may claim it.

        Raises Overloaded, ThreadNotFound, Blocked.
        """
        ...

    async def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        """Records everything in a parsed update; when this returns, all of it is committed. Returns what became of each
        verdict in it.

        Dropped are messages that may not start a conversation where none exists, messages of people whom the operator
        does not admit, and changes to messages that do not exist. An album item is appended to the queued turn of the
        items before it, or becomes a turn of its own when that turn has started. Under backpressure a conversation is
        told once that the gateway is busy, not once per message. Accepting the same update again has no effect.
        """
        ...

    async def get_turn(self, turn_id: TurnId) -> Turn:
        """Returns a turn. Raises TurnNotFound."""
        ...

    async def find_newest_turn(self, platform: str, first: str, last: str) -> Turn | None:
        """Returns the newest turn whose message id is from ``first`` to ``last``, see ``Store``."""
        ...

    async def provide_outputs(self, turn_id: TurnId, outputs: Mapping[str, str]) -> Turn:
        """Adds outputs of calls that a turn waits for, by call id; the turn goes on when it has all.

        Returns the turn as it is then; outputs that it does not wait for are ignored. Raises TurnNotFound.
        """
        ...

    async def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        """Returns the held calls of a turn, in the order of its calls."""
        ...

    async def get_approval(self, approval_id: str) -> Approval:
        """Returns a held call. Raises TurnNotFound (``approval_not_found``)."""
        ...

    async def open_approvals(self, decider: Decider) -> Sequence[Approval]:
        """Returns the held calls that somebody may decide now, oldest first."""
        ...

    async def decide(self, verdict: Verdict) -> VerdictResult:
        """Takes somebody's answer to a question about a held call, if they may give it.

        It acts once, however often it is sent; the turn goes on when nobody has to decide any more.
        """
        ...

    async def resolve_conversation(
        self, key: ConversationKey, *, may_adopt: bool = True, assistant: str = ""
    ) -> Conversation:
        """Returns the conversation that ``key.channel`` names: by our id, or by its thread id at the backend.

        A thread that never had a conversation is imported if ``may_adopt`` is set and the ``assistant`` of that name
        knows it; without a name the one that the route leads to. Raises ThreadNotFound, also when it belongs, or ever
        belonged, to another platform or workspace.
        """
        ...

    async def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        """Returns the newest ``limit`` turns of a conversation with a seq below ``before``, oldest first."""
        ...

    async def cancel_turn(self, turn_id: TurnId) -> Turn:
        """Cancels a turn, whichever process works on it. Raises TurnNotFound; Conflict when it has another outcome."""
        ...

    def read_file(self, turn: Turn, file: File) -> AbstractAsyncContextManager[Content]:
        """Gives the content of a file that the turn's assistant created until the context ends.

        Raises AssistantError; DeliveryError with ``retry_after`` as long as the process has no room for it.
        """
        ...

    def server_objects(self, assistant: str) -> AbstractContextManager[ServerObjects | None]:
        """Gives files and vector stores at the server of the assistant of this name; None if it has none."""
        ...

    async def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        """Deletes a conversation and its threads at the backend; returns the turns that were cancelled by this.

        A thread that was imported and not used since is not deleted at the backend.
        """
        ...


class Inbox(Protocol):
    """The methods of AsyncInbox for threads other than the worker's loop. Sync, thread-safe."""

    def new_turn_id(self) -> TurnId: ...

    def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult: ...

    def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]: ...

    def decide(self, verdict: Verdict) -> VerdictResult: ...

    def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]: ...

    def get_turn(self, turn_id: TurnId) -> Turn: ...

    def resolve_conversation(
        self, key: ConversationKey, *, may_adopt: bool = True, assistant: str = ""
    ) -> Conversation: ...

    def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]: ...

    def cancel_turn(self, turn_id: TurnId) -> Turn: ...

    def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]: ...
