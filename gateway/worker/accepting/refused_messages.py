"""Records messages that are refused as failed turns, so that their authors are told why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import Blocked, Overloaded
from gateway.domain.models import Failure, Message, Turn, TurnId
from gateway.domain.sentences import sentence
from gateway.policy.routes import AssistantRouter

OVERLOADED_REPLY = sentence(
    "Too many messages wait for an answer. I have not read this one, nor what comes after it until I have caught up: "
    "please send it again in a few minutes."
)

log = logs.get_logger(__name__)


class RefusedMessages:
    """For messages that no caller waits for. Used on the worker's loop only; raises StoreUnavailable."""

    def __init__(self, store: AsyncStore, router: AssistantRouter, new_turn_id: Callable[[], TurnId]) -> None:
        self._store = store
        self._router = router
        self._new_turn_id = new_turn_id
        self.may_tell: Callable[[Message], Awaitable[bool]] = _never
        """Returns whether the author of a message, who is blocked, is to be told so."""

    async def overloaded(self, message: Message, exc: Overloaded) -> None:
        """Records a message for which there is no room, unless such a notice is pending already."""
        failure = Failure(exc.code, OVERLOADED_REPLY, detail=str(exc), retry_after=exc.retry_after)
        refused = await self._record(message, failure)
        log.warning("message rejected; queue full", platform=message.key.platform, turn=refused and refused.id)

    async def blocked(self, message: Message, exc: Blocked) -> None:
        """Records a message if its author is to be told that they are blocked; else it is dropped."""
        if message.may_start_conversation and await self.may_tell(message):
            await self._record(message, Failure(exc.code, exc.default_message))

    async def _record(self, message: Message, failure: Failure) -> Turn | None:
        turn_id, (placed, route) = self._new_turn_id(), self._router.place(message)
        return await self._store.call(lambda store: store.enqueue_failed(placed, turn_id, failure, route))


async def _never(_: Message) -> bool:
    return False
