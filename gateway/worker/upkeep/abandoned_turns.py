"""Charges turns that were cancelled or deleted while they ran, and whose process died before it had charged them."""

from __future__ import annotations

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.models import Turn, TurnId
from gateway.observability.metrics import Metrics
from gateway.policy.admission import AdmissionControl
from gateway.ports.budgets import AttemptUsage, Expense
from gateway.worker.answering.assistants import Assistants

SETTLE_SECONDS = 120.0
"""Longer than the process that ran a turn takes to stop its run, to look up what it used, and to charge it."""
MAX_TURNS = 100
"""How many turns one round charges."""

log = logs.get_logger(__name__)


class AbandonedTurns:
    """Their reservations keep others waiting, so maintenance charges them. Used on the worker's loop only."""

    def __init__(
        self,
        store: AsyncStore,
        assistants: Assistants,
        admission: AdmissionControl,
        metrics: Metrics,
        *,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        """``settle_seconds``: how long the process that ran a turn may take to charge it itself."""
        self._store = store
        self._assistants = assistants
        self._admission = admission
        self._metrics = metrics
        self._settle_seconds = settle_seconds

    async def settle(self) -> None:
        """Charges what is due. Raises StoreUnavailable."""
        for turn_id in await self._admission.abandoned(self._settle_seconds, MAX_TURNS):
            await self._settle(turn_id)

    async def _settle(self, turn_id: TurnId) -> None:
        turn = await self._store.call(lambda store: store.get_turn(turn_id))
        used = None if turn is None else await self._usage(turn)
        if turn is None or used is None:  # nothing is left to estimate it from
            await self._admission.settle_ended(turn_id, None)
            return
        expense = self._admission.expense_of(used)
        if await self._admission.settle_ended(turn_id, expense, Expense.of(turn)):
            self._metrics.expense_added(turn, expense)
            log.warning("turn of a dead process charged", turn=turn_id, cost=expense.cost, estimate=expense.is_estimate)

    async def _usage(self, turn: Turn) -> AttemptUsage | None:
        conversation = await self._store.call(lambda store: store.find_conversation(turn.message.key))
        with self._assistants.using(turn.assistant) as running:
            if conversation is None or running is None:
                return None
            return await running.runner.usage.of_abandoned(turn, conversation)
