"""What the core expects of a platform adapter, and what an adapter may call while it delivers a turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gateway.domain.approvals import Approval, Verdict
from gateway.domain.context import ChatContext
from gateway.domain.files import Attachment, Content, File
from gateway.domain.models import Address, ConversationKey, Message, Turn, TurnId
from gateway.domain.platform_events import ChannelMigrated, Feedback, MessageDeleted, MessageEdited
from gateway.domain.run_events import PreviewEvent
from gateway.ports.check import CheckResult
from gateway.ports.spool import Spool
from gateway.ports.token_buckets import Rate

if TYPE_CHECKING:
    import flask

    from gateway.ports.inbox import AsyncInbox, Inbox


@dataclass(frozen=True, slots=True)
class Request:
    """An incoming HTTP request, independent of the web framework. Header names are lower case."""

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
    handle: Callable[[Request], Awaitable[WebhookResponse]]
    """Verifies, commits and acknowledges a request. On the worker's loop.

    Raises InputError, Overloaded, StoreUnavailable, which the web server answers as it does for every route.
    """


PlatformEvent = MessageEdited | MessageDeleted | ChannelMigrated | Feedback | Verdict
"""An event of a platform other than a new message."""


@dataclass(frozen=True, slots=True)
class ParsedUpdate:
    """The result of parsing a request: what it contains, and the body of the immediate HTTP response."""

    messages: tuple[Message, ...] = ()
    events: tuple[PlatformEvent, ...] = ()
    response_body: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The platform's JSON that this was parsed from: for its adapter, which may do more with it after the commit."""
    error: Exception | None = None
    """Why ``payload`` could not be parsed although it is the platform's. The adapter decides what becomes of it."""


class DeliveryContext(Protocol):
    """What an adapter may call while it delivers one turn. Async; on the worker's loop.

    The worker creates one per claim on a turn and passes the same one to ``stream_preview`` and to ``deliver``.
    """

    @property
    def first_attempt(self) -> bool:
        """Whether this is the first attempt at the turn: no other process can have posted anything of it."""
        ...

    @property
    def posted_messages(self) -> tuple[str, ...]:
        """What was posted of this turn's reply, in the adapter's own format, as of the last ``save_progress``."""
        ...

    async def save_progress(self, posted_messages: Sequence[str]) -> None:
        """Commits what is posted now, so that another process can continue from it. Raises LeaseLost."""
        ...

    async def save_posted(self, posted_messages: Sequence[str]) -> None:
        """Saves what is posted now that the platform has confirmed one more message. Raises LeaseLost.

        While a preview is shown it is committed at once. While the outcome is delivered it is committed before the next
        token is taken or file is read; the last one with the finish of the turn, which comes next anyway.
        """
        ...

    def read_file(self, file: File) -> AbstractAsyncContextManager[Content]:
        """Gives the content of a file that the assistant created, until the context ends.

        Raises AssistantError; DeliveryError with ``retry_after`` as long as the process has no room for it.
        """
        ...

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        """Waits for a token of a bucket that all processes share. Returns False at once if the wait would exceed
        ``max_wait`` seconds.

        ``bucket`` names what is limited, such as a method of one workspace. Raises LeaseLost when another process holds
        the turn now; then nothing more of it may be sent.
        """
        ...

    async def block_for(self, bucket: str, seconds: float) -> None:
        """Blocks a bucket for all processes for so many seconds, as the platform asked (HTTP 429)."""
        ...


class Adapter(Protocol):
    """One platform."""

    name: str

    def receive(self, request: Request) -> ParsedUpdate:
        """Verifies and parses a webhook request. Sync; no I/O. The same request gives the same message ids.

        Raises Unauthenticated, MalformedRequest.
        """
        ...

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:
        """Shows a preview of a turn while it runs, as far as the platform can.

        Called by the worker once per attempt at a message of kind PROMPT; other kinds are done as soon as they start.
        What was shown during a quiet period comes first. For callers that wait it is called with the first event.
        Deltas that arrive while the adapter is busy are merged. It may return early when nobody watches. The final
        reply is posted by ``deliver``. Whatever it raises is logged and ignored.
        """
        ...

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:
        """Posts the outcome of a turn: its reply, the message of its failure, or that it was cancelled.

        Called by the worker after the outcome is stored, at least once: again if the process died before the delivery
        was recorded. Raises only DeliveryError and LeaseLost; with ``retry_after`` it is called again, for hours if
        necessary.
        """
        ...

    async def check(self) -> Sequence[CheckResult]:
        """Checks that the platform is reachable and accepts our credentials. Raises nothing."""
        ...


@runtime_checkable
class HasWebhooks(Protocol):
    """An adapter whose platform sends requests."""

    def webhooks(self, inbox: AsyncInbox) -> Sequence[Webhook]:
        """Returns where they are received. The web server calls it once, at start."""
        ...


@runtime_checkable
class HasRoutes(Protocol):
    """An adapter with pages."""

    def routes(self) -> flask.Blueprint: ...


@runtime_checkable
class HasWaitingCallers(Protocol):
    """An adapter with callers that wait for an outcome in this process."""

    def notify_resolved(self, turn_id: TurnId) -> None:
        """Tells the adapter that another process resolved a turn that may be awaited here. Any thread; no I/O."""
        ...

    def drain(self, grace_seconds: float) -> None:
        """Accepts no more callers, and releases the rest in ``grace_seconds``. Called as the process stops. No I/O."""
        ...


@runtime_checkable
class HasQuietPeriod(Protocol):
    """An adapter whose previews cost calls of the platform, and that shows nothing of a turn that ends soon."""

    quiet_seconds: float
    """How long a turn runs before ``stream_preview`` is called; one that ends earlier is only delivered."""


@runtime_checkable
class ShowsApprovals(Protocol):
    """An adapter that can ask people whether a tool may be called."""

    async def show_approval(self, turn: Turn, approval: Approval, context: DeliveryContext) -> None:
        """Asks about a held call of an unresolved turn, or brings what was asked up to what was decided.

        Called by the worker after the approval is stored, and again when it is decided; each time at least once.
        ``context``: of the question alone; what is saved by it is saved with the approval. Raises only DeliveryError
        and LeaseLost.
        """
        ...


@runtime_checkable
class BackgroundReceiver(Protocol):
    """An adapter that fetches messages itself (polling, a socket) instead of receiving webhook requests."""

    def start_receiving(self, inbox: Inbox) -> None:
        """Starts receiving in threads of its own. Returns at once; failures are logged and retried."""
        ...

    def stop_receiving(self) -> None:
        """Stops receiving. Returns when every message already fetched is committed."""
        ...


@runtime_checkable
class NamesAssistants(Protocol):
    """An adapter whose messages may name the assistant that is asked, see ``Message.assistant``."""

    names_assistants: bool
    """Whether its senders may ask any assistant where no route says which."""


@runtime_checkable
class FetchesAttachments(Protocol):
    """An adapter whose messages may have files attached."""

    async def fetch_attachments(self, turn: Turn, spool: Spool) -> Sequence[Attachment]:
        """Returns one Attachment per file of a turn's message, in order, with the content in ``spool``.

        On the worker's loop. Raises nothing.
        """
        ...


@runtime_checkable
class PostsFiles(Protocol):
    """An adapter that can post the files of a reply, read by ``DeliveryContext.read_file``."""

    posts_files: bool


TurnLoader = Callable[[int], Awaitable[Sequence[Turn]]]
"""Loads the newest so many turns before a turn, oldest first. Raises StoreUnavailable."""


@runtime_checkable
class FetchesContext(Protocol):
    """An adapter that fetches, or looks up, what belongs to a message besides its text."""

    async def fetch_context(self, turn: Turn, before: TurnLoader, delivery: DeliveryContext) -> ChatContext | None:
        """Returns the names and quotations that go with a turn's message; None if there are none to fetch.

        Called by the worker before a message is answered that is no RESET and no STOP, until something is returned,
        which is stored with the turn. What the platform refuses is left out, and the context says so. ``before``: loads
        the conversation's turns before this one. Raises NotForUs; DeliveryError if no reply could be delivered,
        whatever it says; LeaseLost.
        """
        ...


@runtime_checkable
class CompletesContext(FetchesContext, Protocol):
    """An adapter whose messages come with names, and that fetches what is quoted with some of them."""

    def lacks_context(self, turn: Turn) -> bool:
        """Tells whether ``fetch_context`` is to be called though a turn has a context, in whose place its result comes.

        Called by the worker; no I/O.
        """
        ...


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to push a message, and in which conversation it is remembered."""

    key: ConversationKey
    address: Address


@dataclass(frozen=True, slots=True)
class KnownNames:
    """How people call the author and the channel of a message; empty: not known."""

    author: str = ""
    channel: str = ""


@runtime_checkable
class KnowsNames(Protocol):
    """An adapter whose messages have no names, but that can ask for them: see ``Message.author_name``."""

    def known_names(self, turn: Turn) -> KnownNames | None:
        """Returns the names behind a turn, for operators; None: ``names_of`` is to ask for them. No I/O."""
        ...

    async def names_of(self, turn: Turn, delivery: DeliveryContext) -> KnownNames:
        """Asks for the names behind a turn. Called beside ``fetch_context``; raises LeaseLost."""
        ...


@runtime_checkable
class Addressable(Protocol):
    """An adapter that can write to a channel in which nobody has written to it."""

    def destination(self, place: ConversationKey) -> Destination:
        """Returns the conversation that a channel, or a topic of it, belongs to, and the address of a reply there.

        ``place`` names workspace, channel and topic as their platform does; its user is not read. No I/O. Raises
        MalformedRequest, which says what is wrong with a name.
        """
        ...


@runtime_checkable
class OpensTopics(Addressable, Protocol):
    """An adapter below whose messages people can write.

    In the channel of the staff each topic is a conversation of its own, however the platform is set up.
    """

    def topic_below(self, turn: Turn) -> str:
        """Returns the topic of what is written below the first message of a turn's reply; "" before it is posted.

        No I/O.
        """
        ...


@runtime_checkable
class Closeable(Protocol):
    """An adapter that keeps connections open."""

    async def close(self) -> None:
        """Closes them. Called on the worker's loop, as the last step of the shutdown."""
        ...


@dataclass(frozen=True, slots=True)
class SyntheticMessage:
    """A hypothetical message, for a dry run. Empty fields are unknown or absent."""

    text: str
    workspace: str = ""
    channel: str = ""
    topic: str = ""
    user: str = ""
    mentions_bot: bool = False
    """Whether it mentions the bot."""
    author_workspace: str = ""
    """The user's own workspace, if it is another one."""


@runtime_checkable
class DryRunnable(Protocol):
    """An adapter that can tell how it would parse a message."""

    def dry_run(self, message: SyntheticMessage) -> ParsedUpdate:
        """Parses it by the code that parses real messages. No I/O. Raises MalformedRequest."""
        ...
