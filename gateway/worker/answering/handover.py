"""What becomes of turns while a person answers in their conversation, and when it is given back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard
from gateway.domain.conversations import Claim
from gateway.domain.errors import DeliveryError, NotForUs
from gateway.domain.models import MessageKind, Turn
from gateway.domain.past import question_of
from gateway.observability.metrics import Metrics
from gateway.ports.leased_writes import GiveBack, HoldTurn
from gateway.ports.platform import Adapter, DeliveryContext
from gateway.worker.answering.context_fetcher import ContextFetcher
from gateway.worker.answering.past_turns import left_unanswered

log = logs.get_logger(__name__)


class HandoverKeeper:
    """Leaves messages to the person, and gives conversations back. Used on the worker's loop only."""

    def __init__(self, store: AsyncStore, context_fetcher: ContextFetcher, metrics: Metrics) -> None:
        self._store = store
        self._context_fetcher = context_fetcher
        self._metrics = metrics
        self.on_changed: Callable[[Turn], Awaitable[None]] = _nobody_is_told
        """Called with the turn that hands a conversation over, or gives it back, before that is done; again if the
        process died meanwhile."""

    async def prepare(self, lease_guard: LeaseGuard, adapter: Adapter, delivery: DeliveryContext) -> Turn | None:
        """Returns the turn, resolved, if nobody but the person is to answer it; None: it goes its way.

        Raises LeaseLost.
        """
        claim = lease_guard.claim
        if is_held(claim):
            return await self._hold(lease_guard, adapter, delivery)
        if claim.turn.message.kind is MessageKind.HAND_OVER and began_with(claim):
            await self.on_changed(claim.turn)
            self._metrics.handed_over(claim.turn)
            log.info("conversation handed over", turn=claim.turn.id, conversation=claim.conversation.id)
        if claim.turn.message.kind is MessageKind.RESUME and _ends(claim):
            await self._give_back(lease_guard)
        return None

    async def _hold(self, lease_guard: LeaseGuard, adapter: Adapter, delivery: DeliveryContext) -> Turn:
        turn_id = lease_guard.claim.turn.id
        try:
            await self._context_fetcher.fetch(lease_guard, adapter, delivery)
        except NotForUs:
            await self._store.call(lambda store: store.cancel_turn(turn_id))
        except DeliveryError as exc:
            log.warning("held without its context", turn=turn_id, error=str(exc))
        turn = await lease_guard.write(HoldTurn)
        self._metrics.turn_held(turn)
        log.info("turn held for a person", turn=turn.id, state=turn.state.value)
        return turn

    async def _give_back(self, lease_guard: LeaseGuard) -> None:
        turn = lease_guard.claim.turn
        await self.on_changed(turn)
        handover = lease_guard.claim.conversation.handover
        since = None if handover is None else handover.seq
        held = await self._store.call_with_retry(lambda store: left_unanswered(store, turn, since))
        question = question_of(held)
        await lease_guard.write(partial(GiveBack, question=question))
        claim = lease_guard.claim
        lease_guard.claim = replace(claim, conversation=replace(claim.conversation, handover=None))
        self._metrics.resumed(turn)
        log.info("conversation given back", turn=turn.id, conversation=turn.conversation_id, unanswered=len(held))


def is_held(claim: Claim) -> bool:
    """Returns whether a claimed turn is left to the person who answers in its conversation.

    One that had begun before the person came finishes: its sender may have seen a part of the reply. A program gets
    what it asked for in any case: it could not do anything with a person.
    """
    handover, turn = claim.conversation.handover, claim.turn
    if handover is None or turn.message.kind is not MessageKind.PROMPT or turn.state.is_resolved:
        return False
    if turn.options.is_program or turn.rounds or turn.run_id is not None:
        return False
    return claim.first_attempt or (turn.started_at or 0.0) >= handover.since


def began_with(claim: Claim) -> bool:
    """Returns whether the turn has handed its conversation over, and not one before it."""
    return claim.conversation.handover is not None and claim.conversation.handover.since == claim.turn.received_at


def _ends(claim: Claim) -> bool:
    return claim.conversation.handover is not None and claim.conversation.handover.seq < claim.turn.seq


async def _nobody_is_told(_: Turn) -> None:
    """Does nothing."""
