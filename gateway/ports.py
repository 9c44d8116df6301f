"""The sockets of the core: Adapter, Assistant, Store for what is plugged in, Inbox for what an adapter may ask.

Each says who calls it, on which side (sync: web threads and the database's executor; async: the engine's
loop), whether it may do I/O, and what it may raise.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gateway.errors import LeaseLost
from gateway.messages import (
    NO_TOKENS,
    Claim,
    Conversation,
    ConversationKey,
    Exchange,
    Failure,
    Lease,
    Message,
    RunEvent,
    RunId,
    Shown,
    ThreadId,
    Turn,
    TurnId,
    Usage,
)

if TYPE_CHECKING:
    import flask

History = Callable[[], Awaitable[Sequence[Exchange]]]
"""Loads what was said before a turn, oldest first, when a backend needs it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``python -m gateway check``."""

    name: str
    ok: bool
    detail: str = ""


# ---------------------------------------------------------------- platforms


@dataclass(frozen=True, slots=True)
class Request:
    """What came in, without a framework. Header names are lower case."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an adapter made of a request, and what to tell the platform at once."""

    messages: tuple[Message, ...] = ()
    body: str = ""


class Adapter(Protocol):
    """One platform."""

    name: str

    def receive(self, request: Request) -> Receipt:
        """Verify and parse. Sync; no I/O. The same request gives the same message ids.

        Raises Unverified, Unreadable.
        """
        ...

    async def follow(self, turn: Turn, events: AsyncIterator[Shown]) -> None:
        """Show a turn while it runs, as far as the platform can. The engine calls it once per attempt.

        Deltas that come while the adapter is busy arrive merged. It may return early when nobody watches. What it
        shows is a preview: the reply comes by ``deliver``. Whatever it raises is logged and forgotten.
        """
        ...

    async def deliver(self, turn: Turn) -> None:
        """Bring the outcome of a decided turn: its reply, the sentence of its failure, or that it was cancelled.

        The engine calls it after the outcome is stored, at least once: again when the process died in between.
        Raises DeliveryError only; with ``retry_after`` it is called again.
        """
        ...

    async def check(self) -> Sequence[Check]:
        """Whether the platform is reachable and accepts us. Raises nothing."""
        ...


@runtime_checkable
class Routed(Protocol):
    """An adapter that brings its own routes."""

    def routes(self, inbox: Inbox) -> flask.Blueprint: ...


@runtime_checkable
class Attended(Protocol):
    """An adapter whose callers wait in this process."""

    def let_go(self, after: float) -> None:
        """The process stops: take no more callers, let those that wait go ``after`` seconds from now. No I/O."""
        ...


# ---------------------------------------------------------------- the assistant


class Assistant(Protocol):
    """One way to reach an assistant. All async. Every method may do I/O and raises AssistantError only."""

    name: str
    description: str
    """For people: which backend it is, with which model and where. No secrets."""

    async def open_thread(self, history: Sequence[Exchange]) -> ThreadId:
        """A new thread that remembers these exchanges, oldest first."""
        ...

    def run(self, turn: Turn, thread: ThreadId, history: History) -> AsyncGenerator[RunEvent, None]:
        """Post the message and run the assistant on it, without looking first: nothing of it was ever posted.

        Yields RunStarted as soon as the run has an id (again, if the id changes on the way), what there is to
        show, and Answered last. An iterator that ends without Answered has raised. Closing it early leaves the
        run at the backend as it is; ``cancel`` ends that.
        """
        ...

    def resume(
        self, turn: Turn, thread: ThreadId, run_id: RunId | None, history: History
    ) -> AsyncGenerator[RunEvent, None]:
        """Finish what an earlier attempt began, without the thread seeing the message twice.

        With a run id: attach to that run. Without: look in the thread for what the attempt left there, and post
        only when it left nothing. Yields as ``run`` does.
        """
        ...

    async def cancel(self, thread: ThreadId, run_id: RunId | None) -> None:
        """Stop a run at the backend; no error when it is over already."""
        ...

    async def recall(self, thread: ThreadId) -> Sequence[Exchange] | None:
        """What was said in a thread that somebody else opened, oldest first (the newest 100). None: no such thread."""
        ...

    async def forget(self, thread: ThreadId) -> None:
        """Delete a thread at the backend; no error when it is gone already."""
        ...

    async def check(self) -> Sequence[Check]:
        """Whether the backend answers, with the smallest request that proves it. Raises nothing."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


# ---------------------------------------------------------------- the store


@dataclass(frozen=True, slots=True)
class Recorded:
    turn: Turn
    new: bool
    """False: this message id was recorded before; ``turn`` is the one from then."""
    claim: Claim | None = None
    """Set when the conversation was idle and ``owner`` was given: the caller may start at once."""


@dataclass(frozen=True, slots=True)
class Renewal:
    held: frozenset[int]
    """The conversations this owner still holds."""
    cancelled: frozenset[TurnId]
    """Turns among them that somebody cancelled while they ran."""


# Writes of a lease holder. Each is refused with LeaseLost when the lease is not the newest any more.


@dataclass(frozen=True, slots=True)
class Bound:
    """The conversation has this thread. Result: None."""

    lease: Lease
    thread: ThreadId
    backend: str


@dataclass(frozen=True, slots=True)
class Started:
    """The turn's run has this id. Result: None."""

    lease: Lease
    turn: TurnId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a running turn: a reply, or a failure. Result: the turn as it is stored now.

    A turn that was cancelled in the meantime stays cancelled.
    """

    lease: Lease
    turn: TurnId
    reply: str = ""
    usage: Usage = NO_TOKENS
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The turn's outcome was brought (``failure``: it could not be), the conversation goes on behind it.

    Result: with ``keep``, the claim on the next turn if there is one, else None and the lease is given up.
    """

    lease: Lease
    turn: TurnId
    failure: Failure | None = None
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Released:
    """Hand the conversation back, unfinished: claimable ``after`` seconds from now. Result: None.

    ``fresh``: nothing of the turn has reached the assistant. The attempt does not count.
    """

    lease: Lease
    after: float = 0.0
    fresh: bool = False


Change = Bound | Started | Settled | Finished | Released
Result = Turn | Claim | LeaseLost | None


class Store(Protocol):
    """Conversations and turns. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    The clock of every time and lease is the database's.
    """

    def record(
        self,
        message: Message,
        turn: TurnId,
        *,
        owner: str | None = None,
        backlog: int = 100,
        opening: bool = True,
    ) -> Recorded:
        """Commit a message as the newest turn of its conversation, which is opened if need be (``opening``).

        Raises Overloaded when ``backlog`` turns of the conversation are unfinished, ThreadNotFound when there is
        no such conversation and none may be opened. A message id that is there already wins over both.
        """
        ...

    def claim(self, owner: str, platforms: Sequence[str], limit: int) -> Sequence[Claim]:
        """Take up to ``limit`` conversations of these platforms that wait, or whose holder let the lease expire.

        A claim counts as an attempt at the conversation's oldest unfinished turn; an undecided one becomes running.
        """
        ...

    def renew(self, owner: str, among: Collection[int] | None = None) -> Renewal:
        """Extend the leases of this owner, of these conversations only if they are given."""
        ...

    def write(self, changes: Sequence[Change]) -> Sequence[Result]:
        """Apply the changes of lease holders in one transaction; a result for each, in order.

        A change whose lease is lost does nothing, and its result is the LeaseLost to raise.
        """
        ...

    def turn(self, turn: TurnId) -> Turn | None: ...

    def conversation(self, key: ConversationKey) -> Conversation | None: ...

    def conversation_of(self, thread: ThreadId) -> Conversation | None:
        """The conversation that owns a thread, whichever backend opened it."""
        ...

    def transcript(self, conversation: int, *, before: int | None = None, limit: int | None = None) -> Sequence[Turn]:
        """The turns of a conversation, oldest first: those with a lower seq than ``before``, the newest ``limit``."""
        ...

    def adopt(self, key: ConversationKey, thread: ThreadId, backend: str, past: Sequence[Exchange]) -> Conversation:
        """Open a conversation on a thread that is there already, with its past as delivered turns.

        The one that is there when another caller was first.
        """
        ...

    def cancel(self, turn: TurnId) -> Turn | None:
        """Cancel a queued or running turn; one that is decided stays as it is. None: no such turn."""
        ...

    def forget(self, conversation: int) -> None:
        """Delete a conversation and its turns. Whoever holds it loses the lease."""
        ...

    def recall(self, name: str) -> str | None:
        """A fact the gateway remembers about itself."""
        ...

    def remember(self, name: str, value: str) -> str:
        """Keep a fact; the first one kept under a name wins and is returned."""
        ...

    def ping(self) -> None:
        """One round trip."""
        ...

    def close(self) -> None: ...


# ---------------------------------------------------------------- what an adapter may ask of the core


@dataclass(frozen=True, slots=True)
class Accepted:
    turn: Turn
    new: bool
    here: bool
    """Whether this process already works on it; otherwise any process may."""


class Inbox(Protocol):
    """The core, as an adapter sees it. Sync, thread-safe; every method does I/O.

    All may raise StoreUnavailable; those that ask the assistant also AssistantError.
    """

    def new_turn(self) -> TurnId:
        """A name for a turn that is about to be accepted, so that its caller can wait for it before it exists."""
        ...

    def accept(self, message: Message, turn: TurnId | None = None, *, opening: bool = True) -> Accepted:
        """Record a message, then start on it or leave it to whoever has room. Raises Overloaded, ThreadNotFound."""
        ...

    def turn(self, turn: TurnId) -> Turn:
        """Raises TurnNotFound."""
        ...

    def locate(self, key: ConversationKey) -> Conversation:
        """The conversation a caller names by ``key.channel``: ours, or by its thread, or one of the backend's.

        A thread that no conversation owns is adopted when the backend knows it. Raises ThreadNotFound, also when
        it belongs to another platform or workspace.
        """
        ...

    def transcript(self, conversation: Conversation) -> Sequence[Turn]: ...

    def cancel(self, turn: TurnId) -> Turn:
        """Cancel it wherever it is. Raises TurnNotFound, Conflict when it is decided otherwise already."""
        ...

    def forget(self, conversation: Conversation) -> Sequence[Turn]:
        """Delete a conversation here and its thread at the backend; the turns of it that were cancelled by this."""
        ...
