"""The sockets of the core: Adapter and Assistant for what is plugged in, Inbox and Outbox for what an adapter may ask.

Each says who calls it, on which side (sync: web threads and the database's executor; async: the engine's
loop), whether it may do I/O, and what it may raise.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gateway.messages import (
    Attachment,
    Conversation,
    ConversationKey,
    Edit,
    Exchange,
    File,
    Message,
    Move,
    RunEvent,
    RunId,
    Shown,
    ThreadId,
    Turn,
    TurnId,
    Verdict,
    Withdrawal,
)
from gateway.storing import Rate

if TYPE_CHECKING:
    import flask

History = Callable[[], Awaitable[Sequence[Exchange]]]
"""Loads what was said before a turn, oldest first, when a backend needs it."""

Attachments = Callable[[], Awaitable[Sequence[Attachment]]]
"""Fetches the files of a turn's message, when a backend needs them: one for each, in order. Raises nothing."""


async def no_attachments() -> Sequence[Attachment]:
    """Those of a message without files."""
    return ()


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
class WebhookResponse:
    """The answer to a webhook request, without a framework."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address of this server to which a platform sends POST requests."""

    path: str
    max_body_bytes: int
    """The web server reads no more of a body, and refuses larger ones (``payload_too_large``)."""
    handle: Callable[[Request], WebhookResponse]
    """Verifies, commits and acknowledges a request. Sync; any thread; does I/O.

    Raises InputError, Overloaded, StoreUnavailable, which the web server answers as it does for every route.
    """


Change = Edit | Withdrawal | Move | Verdict
"""What else a platform may tell than that somebody said something."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an adapter made of a request, and what to tell the platform at once."""

    messages: tuple[Message, ...] = ()
    changes: tuple[Change, ...] = ()
    body: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The platform's JSON that this was parsed from: for its adapter, which may do more with it after the commit."""
    error: Exception | None = None
    """Why ``payload`` could not be parsed although it is the platform's. The adapter decides what becomes of it."""


class Outbox(Protocol):
    """The core, as an adapter sees it while it brings one turn. Async; on the engine's loop.

    The engine makes one for each claim on a turn, and gives the same one to ``follow`` and to ``deliver``.
    """

    @property
    def fresh(self) -> bool:
        """Whether this is the first process to work on the turn: nobody else can have shown anything of it."""
        ...

    @property
    def parts(self) -> tuple[str, ...]:
        """What stands at the platform of this turn's reply, in the adapter's words, as it was noted last."""
        ...

    async def note(self, parts: Sequence[str]) -> None:
        """Commit what stands there now, so that another process can go on from it. Raises LeaseLost."""
        ...

    async def file(self, file: File) -> bytes:
        """The content of a file that the assistant made. Raises AssistantError."""
        ...

    async def take(self, bucket: str, rate: Rate, *, patience: float) -> bool:
        """Wait for a place under a limit that all processes share. False, at once, if that takes over ``patience`` s.

        ``bucket`` names what is limited, such as a method of one workspace. Raises LeaseLost when another process has
        the turn by now: then nothing of it may be sent any more.
        """
        ...

    async def hold_off(self, bucket: str, seconds: float) -> None:
        """Let nobody have a place under that limit for so long: the platform asked for it."""
        ...


class Adapter(Protocol):
    """One platform."""

    name: str

    def receive(self, request: Request) -> Receipt:
        """Verify and parse. Sync; no I/O. The same request gives the same message ids.

        Raises Unverified, Unreadable.
        """
        ...

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        """Show a turn while it runs, as far as the platform can.

        The engine calls it once per attempt at a message of the kind ASK: the others are over as soon as they begin.
        Deltas that come while the adapter is busy arrive merged. It may return early when nobody watches. What it
        shows is a preview: the reply comes by ``deliver``. Whatever it raises is logged and forgotten.
        """
        ...

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        """Bring the outcome of a decided turn: its reply, the sentence of its failure, or that it was cancelled.

        The engine calls it after the outcome is stored, at least once: again when the process died in between.
        Raises DeliveryError and LeaseLost only; with ``retry_after`` it is called again, for hours if need be.
        """
        ...

    async def check(self) -> Sequence[Check]:
        """Whether the platform is reachable and accepts us. Raises nothing."""
        ...


@runtime_checkable
class HasWebhooks(Protocol):
    """An adapter whose platform sends requests."""

    def webhooks(self, inbox: Inbox) -> Sequence[Webhook]:
        """Returns where they are received. The web server calls it once, at start."""
        ...


@runtime_checkable
class Routed(Protocol):
    """An adapter with pages or an API of its own."""

    def routes(self, inbox: Inbox) -> flask.Blueprint: ...


@runtime_checkable
class Attended(Protocol):
    """An adapter whose callers wait in this process."""

    def wake(self, turn: TurnId) -> None:
        """A turn that may be awaited here was decided by another process. Any thread; no I/O."""
        ...

    def let_go(self, after: float) -> None:
        """The process stops: take no more callers, let those that wait go ``after`` seconds from now. No I/O."""
        ...


@runtime_checkable
class Listening(Protocol):
    """An adapter that fetches what people say by itself, instead of being called."""

    def listen(self, inbox: Inbox) -> None:
        """Begin, in threads of its own. Returns at once; what fails is tried again and logged."""
        ...

    def hush(self) -> None:
        """Fetch no more. Returns when nothing is half taken."""
        ...


@runtime_checkable
class Attaching(Protocol):
    """An adapter whose messages may have files."""

    async def fetch(self, turn: Turn) -> Sequence[Attachment]:
        """The files of a turn's message with their content: one for each, in order. On the loop. Raises nothing."""
        ...


@runtime_checkable
class Connected(Protocol):
    """An adapter that keeps connections open."""

    async def close(self) -> None:
        """Let go of them. On the loop, last of all."""
        ...


@dataclass(frozen=True, slots=True)
class Supposed:
    """A message that nobody sent: what it would say, where, and by whom. What is empty is not known, or not there."""

    text: str
    workspace: str = ""
    channel: str = ""
    topic: str = ""
    user: str = ""
    mention: bool = False
    """Whether it calls us by name."""


@runtime_checkable
class Explaining(Protocol):
    """An adapter that can tell what it would make of a message."""

    def suppose(self, supposed: Supposed) -> Receipt:
        """What would be read of it, by the code that reads what is really said. No I/O. Raises Unreadable."""
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

    def run(
        self, turn: Turn, thread: ThreadId, history: History, attachments: Attachments = no_attachments
    ) -> AsyncGenerator[RunEvent, None]:
        """Post the message and run the assistant on it, without looking first: nothing of it was ever posted.

        Yields RunStarted as soon as the run has an id (again, if the id changes on the way), what there is to
        show, and Answered last. An iterator that ends without Answered has raised. Closing it early leaves the
        run at the backend as it is; ``cancel`` ends that.
        """
        ...

    def resume(
        self,
        turn: Turn,
        thread: ThreadId,
        run_id: RunId | None,
        history: History,
        attachments: Attachments = no_attachments,
    ) -> AsyncGenerator[RunEvent, None]:
        """Finish what an earlier attempt began, without the thread seeing the message twice.

        With a run id: attach to that run. Without: look in the thread for what the attempt left there, and post
        only when it left nothing. Yields as ``run`` does.
        """
        ...

    async def cancel(self, thread: ThreadId, run_id: RunId | None) -> None:
        """Stop a run at the backend; no error when it is over already."""
        ...

    async def fetch(self, file: File) -> bytes:
        """The content of a file that came with an answer. Raises Refused when it is gone."""
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

    def accept(self, message: Message, turn: TurnId | None = None) -> Accepted:
        """Record a message, then start on it or leave it to whoever has room.

        Raises Overloaded, ThreadNotFound, Blocked.
        """
        ...

    def take(self, receipt: Receipt) -> None:
        """Everything that a platform told at once; when this returns, all of it is committed.

        A message that opens no conversation and finds none is dropped, as is one of somebody whom the operator does
        not let in, and a change to what is not there. A piece
        joins the turn of the pieces before it, or becomes a turn of its own when that has begun. A message for which
        there is no room is answered with a sentence that says so, once for all that come until there is room again.
        To take the same receipt again does no harm.
        """
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
