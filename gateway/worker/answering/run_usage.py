"""Finds out what attempts at turns used: counted by the server, looked up there, or estimated."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.conversations import Conversation
from gateway.domain.errors import AssistantError
from gateway.domain.models import RunId, ThreadId, Turn, Usage
from gateway.domain.run_events import UsageCounted
from gateway.policy.request_estimate import RequestEstimator
from gateway.ports.assistant import Assistant
from gateway.ports.budgets import AttemptUsage, ModelUsage
from gateway.worker.answering.past_turns import exchanges_before, past_of
from gateway.worker.answering.run_attempt import RunAttempt
from gateway.worker.answering.usage_meter import OpenRun, UsageMeter

LOOK_UP_SECONDS = 20.0
"""How long the end of a cancelled run is waited for, to learn what it used."""

log = logs.get_logger(__name__)


class RunUsage:
    """Reads what attempts at one assistant used."""

    def __init__(self, store: AsyncStore, assistant: Assistant, estimator: RequestEstimator, name: str) -> None:
        """``name``: of the assistant. ``estimator``: of requests that nobody counted."""
        self._store = store
        self._assistant = assistant
        self._estimator = estimator
        self._name = name

    async def of_attempt(self, attempt: RunAttempt) -> AttemptUsage:
        """Returns what an attempt used so far, whether it has ended by itself or was stopped.

        Runs that the server has not counted yet are looked up there; what it does not know is estimated. Raises nothing
        but CancelledError.
        """
        return await self._usage(attempt.turn, attempt.thread_id, attempt.meter, attempt.attachments.tokens)

    async def of_abandoned(self, turn: Turn, conversation: Conversation) -> AttemptUsage | None:
        """Returns what a turn used whose process died, as ``of_attempt``; None if another backend ran it."""
        thread = conversation.thread_id
        if not conversation.has_thread_of(self._name, self._assistant.name):
            if thread is not None and conversation.assistant == self._name:
                return None
            thread = None
        runs = [turn.run_id] if self._assistant.resumes_runs else [None] * max(turn.attempts, 1)
        return await self._usage(turn, thread, UsageMeter(runs), None)

    async def _usage(
        self, turn: Turn, thread_id: ThreadId | None, meter: UsageMeter, attachment_tokens: int | None
    ) -> AttemptUsage:
        if not self._assistant.is_metered or not meter.is_used():
            return AttemptUsage(self._counted(meter))
        unknown = await self._look_up_all(turn, thread_id, meter) if meter.may_have_open_runs() else ()
        if not unknown:
            return AttemptUsage(self._counted(meter))
        before = await self._store.call_with_retry(lambda store: exchanges_before(store, turn)) if turn.seq > 1 else ()
        request = self._estimator.request_tokens(turn.message, past_of(turn, before), attachment_tokens)
        estimate = sum((run.estimate(request) for run in unknown), Usage())
        return AttemptUsage((*self._counted(meter), ModelUsage(self._assistant.model, estimate)), is_estimate=True)

    def _counted(self, meter: UsageMeter) -> tuple[ModelUsage, ...]:
        """Returns what was counted; where a server names no model, the configured one is meant."""
        model = self._assistant.model
        return tuple(each if each.model else ModelUsage(model, each.usage) for each in meter.counted())

    async def _look_up_all(self, turn: Turn, thread_id: ThreadId | None, meter: UsageMeter) -> Sequence[OpenRun]:
        """Looks up what the server has not counted yet; returns what it does not know."""
        for run in meter.open_runs():
            found = await self._look_up(turn, thread_id, run.run_id)
            if found is not None and run.run_id is not None:
                meter.set_looked_up(run.run_id, found)
        return meter.open_runs()

    async def _look_up(self, turn: Turn, thread_id: ThreadId | None, run_id: RunId | None) -> UsageCounted | None:
        if run_id is None or thread_id is None:
            return None
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                return await self._assistant.run_usage(thread_id, run_id)
        except (AssistantError, TimeoutError) as exc:
            log.warning("usage of a run could not be looked up", turn=turn.id, run=run_id, error=str(exc))
            return None
