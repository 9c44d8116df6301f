"""What the adapters of chat platforms do alike with a turn: show it while it runs, then deliver its outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from adapters.base.api_client import ApiClient
from adapters.base.approvals import question, question_id
from adapters.base.capabilities import Capabilities
from adapters.base.long_text import formatted_apart
from adapters.base.message_writer import Content, MessageWriter
from adapters.base.posted_reply import Posted, PostedReply
from adapters.base.preview import NO_WAIT, QUIET_SECONDS, Preview
from adapters.base.reconciler import MAX_WAIT, Reconciler
from gateway import logs
from gateway.domain.approvals import Approval
from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.domain.models import MessageKind, Turn, TurnId, TurnState
from gateway.domain.run_events import PreviewEvent
from gateway.domain.shown_arguments import arguments_file
from gateway.languages import say
from gateway.ports.platform import DeliveryContext

STORE_PAUSE = 5.0
"""Seconds before the next attempt when the database is away."""

Reply = TypeVar("Reply", bound=PostedReply[Any])
Writer = TypeVar("Writer", bound=MessageWriter[Any, Any])

log = logs.get_logger(__name__)


class ChatAdapter(ABC, Generic[Reply, Writer, Posted, Content]):
    """The outbound side of an adapter. Used on the worker's loop only."""

    quiet_seconds = QUIET_SECONDS
    """See ``HasQuietPeriod``."""
    posts_files = True
    """See ``PostsFiles``."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._capabilities = Capabilities()
        self._replies: WeakKeyDictionary[DeliveryContext, Reply] = WeakKeyDictionary()

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:
        """Shows a turn while it runs. ``deliver`` corrects whatever goes wrong in it."""
        try:
            writer = await self.writer(turn, context, await self._reply(turn, context), max_wait=NO_WAIT)
        except DeliveryError as exc:
            log.debug("no preview", turn=turn.id, error=str(exc))
            return
        await self.preview(turn, context, writer).follow(events)

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:
        """Delivers the outcome. Raises DeliveryError, LeaseLost."""
        reply = await self._reply(turn, context)
        contents = await formatted_apart(turn.reply, lambda: self._contents(turn, reply.language))
        await self._reconcile(turn, context, reply, contents)

    async def show_approval(self, turn: Turn, approval: Approval, context: DeliveryContext) -> None:
        """Posts a question, or shows in it what was decided. Raises DeliveryError, LeaseLost."""
        beside = tuple(filter(None, [arguments_file(approval.arguments)]))
        asked = replace(
            self.question_turn(turn), id=question_id(approval), state=TurnState.ANSWERED, reply_files=beside
        )
        reply = await self._reply(asked, context)
        text = question(approval, reply.language)
        contents = self.question(text, asked.id, is_open=approval.is_open, language=reply.language)
        await self._reconcile(asked, context, reply, contents)

    def question_turn(self, turn: Turn) -> Turn:
        """Returns the turn as a question about it is posted: where the reply is, but beside it."""
        return turn

    def question(self, text: str, asked: TurnId, *, is_open: bool, language: str) -> list[Content]:  # noqa: ARG002  # of a platform with buttons
        """Returns the messages of a question, with buttons if it ``is_open`` and the platform has any.

        ``asked``: what the value of a button ends with, see ``adapters.base.approvals``.
        """
        return self.plain(text)

    async def close(self) -> None:
        """See ``Closeable``."""
        await self._client.close()

    async def language(self, turn: Turn, delivery: DeliveryContext) -> str:  # noqa: ARG002  # of a platform that has to ask
        """Returns the language of a message's author, as ``say`` takes it. Raises LeaseLost."""
        return turn.message.language

    @abstractmethod
    def new_reply(self, turn: Turn, delivery: DeliveryContext) -> Reply:
        """Returns the record of a reply, before what an earlier process saved of it is read into it."""

    @abstractmethod
    async def writer(self, turn: Turn, delivery: DeliveryContext, reply: Reply, *, max_wait: float) -> Writer:
        """See ``MessageWriter``. Raises DeliveryError."""

    @abstractmethod
    def preview(self, turn: Turn, delivery: DeliveryContext, writer: Writer) -> Preview[Posted, Content]: ...

    @abstractmethod
    def reconciler(self, turn: Turn, delivery: DeliveryContext, writer: Writer) -> Reconciler[Posted, Content]: ...

    @abstractmethod
    def formatted(self, turn: Turn, language: str) -> list[Content]:
        """Returns the messages of a turn's reply. ``language``: of what stands beside it. May be called in a thread."""

    @abstractmethod
    def plain(self, text: str) -> list[Content]:
        """Returns the messages of a text without markup."""

    async def _reply(self, turn: Turn, delivery: DeliveryContext) -> Reply:
        reply = self._replies.get(delivery)
        if reply is None:
            reply = self._replies[delivery] = self.new_reply(turn, delivery)
            reply.restore(delivery.posted_messages)
            reply.language = await self.language(turn, delivery)
        return reply

    async def _reconcile(self, turn: Turn, delivery: DeliveryContext, reply: Reply, contents: list[Content]) -> None:
        """Brings what is posted to ``contents``. Raises DeliveryError, LeaseLost."""
        writer = await self.writer(turn, delivery, reply, max_wait=MAX_WAIT)
        try:
            await self.reconciler(turn, delivery, writer).reconcile(contents)
        except StoreUnavailable as exc:
            raise DeliveryError(str(exc), retry_after=STORE_PAUSE) from exc

    def _contents(self, turn: Turn, language: str) -> list[Content]:
        """Returns the messages of the outcome; none for a turn that was cancelled, or left to a person."""
        if turn.state is TurnState.CANCELLED or turn.is_held:
            return []
        if turn.failure:
            return self.plain(say(turn.failure.user_message, language))
        if turn.message.kind is not MessageKind.PROMPT:  # the bot answers itself
            turn = replace(turn, reply=say(turn.reply, language))
        return self.formatted(turn, language)
