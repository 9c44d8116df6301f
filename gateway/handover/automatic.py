"""Hands conversations over for the assistant's tool, and gives them back when their time is up."""

from __future__ import annotations

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import CURRENT_LEASE
from gateway.domain.errors import Conflict, GatewayError, StoreUnavailable
from gateway.handover import messages
from gateway.handover.looking_back import all_open, turns_after, turns_to_answer
from gateway.ports.handovers import Handovers, OpenHandover
from gateway.ports.inbox import Accept

HANDED_OVER = (
    "A person takes the conversation over and is told the reason. They answer what is written after this message. Tell "
    "the user so in a sentence, and do not promise when."
)
NOT_HERE = "Nobody can take this conversation over. Answer as well as you can."

log = logs.get_logger(__name__)


class AutomaticHandovers:
    """Hands over and gives back without an operator. Used on the worker's loop only.

    Every process has one: what two of them record is one turn.
    """

    def __init__(self, store: AsyncStore, handovers: Handovers, *, seconds: float) -> None:
        """``seconds``: for which a person may keep a conversation without answering; 0: without a limit."""
        self._store = store
        self._handovers = handovers
        self._seconds = seconds
        self.accept: Accept | None = None
        """Set before the first turn runs; None: nothing can be recorded yet."""

    async def hand_over_current(self, reason: str) -> str:
        """Hands over the conversation on which the current task works; returns what to tell the model.

        Raises StoreUnavailable.
        """
        guard = CURRENT_LEASE.get()
        if guard is None or self.accept is None:
            return NOT_HERE
        turn, conversation = guard.claim.turn, guard.claim.conversation
        try:
            message = messages.take_over(conversation, [turn], messages.ASSISTANT, reason, turn.id)
        except Conflict as exc:
            return HANDED_OVER if conversation.handover is not None else f"{exc} {NOT_HERE}"
        await self.accept(message)
        return HANDED_OVER

    async def end_overdue(self) -> None:
        """Gives back the conversations in which nobody has answered for too long. Raises StoreUnavailable."""
        if self._seconds <= 0 or self.accept is None:
            return
        async for each in all_open(self._store, self._handovers, self._seconds):
            try:
                await self._end_if_overdue(each, self.accept)
            except StoreUnavailable:
                raise
            except GatewayError as exc:  # one that cannot be given back must not hold up the others
                log.warning("not given back", conversation=each.conversation.id, error=str(exc))

    async def _end_if_overdue(self, found: OpenHandover, accept: Accept) -> None:
        conversation, record = found.conversation, found.record
        turns = await self._store.call(lambda store: turns_after(store, conversation.id, record.seq))
        answered_after = max(messages.last_answer_at(turns) - record.since, 0.0)
        if found.age_seconds - answered_after < self._seconds:
            return
        name = f"time:{conversation.id}:{record.seq}"
        before = await self._store.call(lambda store: turns_to_answer(store, conversation.id))
        await accept(messages.give_back(conversation, before, messages.TIME, name))
        log.info("nobody has answered; given back", conversation=conversation.id)
