"""What the adapters of chat platforms do alike with a turn: show it while it runs, then deliver its outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from adapters.base.message_writer import Content
from adapters.base.posted_reply import Posted, PostedReply
from adapters.base.preview import Preview
from adapters.base.reconciler import Reconciler
from gateway import logs
from gateway.domain.errors import DeliveryError, StoreUnavailable
from gateway.domain.models import PreviewEvent, Turn, TurnState
from gateway.ports.platform import DeliveryContext

STORE_PAUSE = 5.0
"""Seconds before the next attempt when the database is away."""

Reply = TypeVar("Reply", bound=PostedReply[Any])

log = logs.get_logger(__name__)


class ChatAdapter(ABC, Generic[Reply, Posted, Content]):
    """The outbound side of an adapter. Used on the worker's loop only."""

    def __init__(self) -> None:
        self._replies: WeakKeyDictionary[DeliveryContext, Reply] = WeakKeyDictionary()

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:
        """Shows a turn while it runs. ``deliver`` corrects whatever goes wrong in it."""
        try:
            preview = await self.preview(turn, context, self._reply(turn, context))
        except DeliveryError as exc:
            log.debug("no preview", turn=turn.id, error=str(exc))
            return
        await preview.follow(events)

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:
        """Delivers the outcome. Raises DeliveryError, LeaseLost."""
        reconciler = await self.reconciler(turn, context, self._reply(turn, context))
        try:
            await reconciler.reconcile(self._contents(turn))
        except StoreUnavailable as exc:
            raise DeliveryError(str(exc), retry_after=STORE_PAUSE) from exc

    @abstractmethod
    def restored(self, turn: Turn, outbox: DeliveryContext) -> Reply:
        """Returns what an earlier process saved of the reply."""

    @abstractmethod
    async def preview(self, turn: Turn, outbox: DeliveryContext, reply: Reply) -> Preview[Posted, Content]:
        """Raises DeliveryError."""

    @abstractmethod
    async def reconciler(self, turn: Turn, outbox: DeliveryContext, reply: Reply) -> Reconciler[Posted, Content]:
        """Raises DeliveryError."""

    @abstractmethod
    def formatted(self, turn: Turn) -> list[Content]:
        """Returns the messages of a turn's reply."""

    @abstractmethod
    def plain(self, text: str) -> list[Content]:
        """Returns the messages of a text without markup."""

    def _reply(self, turn: Turn, outbox: DeliveryContext) -> Reply:
        reply = self._replies.get(outbox)
        if reply is None:
            reply = self._replies[outbox] = self.restored(turn, outbox)
        return reply

    def _contents(self, turn: Turn) -> list[Content]:
        """Returns the messages of the outcome; none for a turn that was cancelled."""
        if turn.state is TurnState.CANCELLED:
            return []
        return self.plain(turn.failure.user_message) if turn.failure else self.formatted(turn)
