"""Processes the turns of a claimed conversation, one after the other: run, deliver, finish."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.file_spool import FileSpool
from gateway.coordination.lease import LeaseGuard, lease_clock
from gateway.domain.conversations import Lease
from gateway.domain.copies import changed
from gateway.domain.errors import GatewayError, LeaseLost
from gateway.domain.models import Failure, MessageKind, Turn, TurnState
from gateway.domain.stream_buffer import PreviewStream
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import SpanAttributes, Tracing
from gateway.policy.admission import AdmissionControl
from gateway.ports.budgets import Expense
from gateway.ports.leased_writes import FinishTurn, ParkTurn, RecordOutcome, ReleaseLease
from gateway.ports.platform import Adapter, DeliveryContext, HasQuietPeriod, HasWaitingCallers
from gateway.worker.answering.assistant_selector import AssistantSelector
from gateway.worker.answering.assistants import Assistants
from gateway.worker.answering.commands import Commands
from gateway.worker.answering.context_fetcher import ContextFetcher
from gateway.worker.answering.handover import HandoverKeeper
from gateway.worker.answering.turn_attempt import TurnAttempt
from gateway.worker.claiming.conversation_task import ConversationTask
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext
from gateway.worker.delivering.preview_notes import noted
from gateway.worker.delivering.preview_task import PreviewTask, cancel_all
from gateway.worker.delivering.turn_delivery import TurnDelivery
from gateway.worker.turns.held_calls import HeldCalls
from gateway.worker.turns.turn_files import TurnFiles
from gateway.worker.turns.turn_runner import TurnRunner

DeliveryContextFactory = Callable[[LeaseGuard], WorkerDeliveryContext]
"""Makes the delivery context of a claim."""

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _AttemptParts:
    """What an attempt at a turn works with, until the turn has an outcome or is parked."""

    work: ConversationTask
    attempt: TurnAttempt
    preview: PreviewTask
    files: TurnFiles
    context: WorkerDeliveryContext


class TurnProcessor:
    """Processes turns for the worker. Used on its loop only."""

    def __init__(
        self,
        store: AsyncStore,
        assistants: Assistants,
        adapters: Mapping[str, Adapter],
        delivery_context_of: DeliveryContextFactory,
        admission: AdmissionControl,
        metrics: Metrics,
        tracing: Tracing,
        spool: FileSpool,
    ) -> None:
        self._store = store
        self._assistants = assistants
        self._selector = AssistantSelector(assistants)
        self._commands = Commands(store, assistants.router)
        self._delivery = TurnDelivery(adapters, metrics, tracing)
        self.context_fetcher = ContextFetcher(store)
        self._held_calls = HeldCalls(store, adapters)
        self._runner = TurnRunner(store, adapters, admission, self.context_fetcher, self._held_calls, metrics)
        self.handovers = HandoverKeeper(store, self.context_fetcher, metrics)
        self._admission = admission
        self._adapters = adapters
        self._quiet_seconds = {
            name: adapter.quiet_seconds for name, adapter in adapters.items() if isinstance(adapter, HasQuietPeriod)
        }
        self._has_callers = {name for name, adapter in adapters.items() if isinstance(adapter, HasWaitingCallers)}
        self._delivery_context_of = delivery_context_of
        self._metrics = metrics
        self._tracing = tracing
        self._spool = spool
        self._background_tasks: set[asyncio.Task[Any]] = set()
        self.on_resolved: Callable[[Turn], Awaitable[None]] = _nobody_is_told
        """Called with each outcome that is stored, before it is delivered; again if the process died meanwhile."""

    async def process_turn(self, task: ConversationTask, *, may_claim_next: Callable[[], bool]) -> bool:
        """Completes the current turn, or parks it. Returns True when the next turn of the conversation is the current
        one now.

        ``may_claim_next``: returns whether the next turn may be claimed. Raises LeaseLost.
        """
        context = task.delivery_context = self._delivery_context_of(task.lease_guard)
        logs.bind_turn(task.claim.turn.id)
        turn = await self._resolve(task, context)
        if turn is None:
            return False
        failure = None
        if turn.erased_at is None:  # neither the reply nor its address exists any more
            failure = await self._deliver(task, turn, context)
        task.is_finishing, since = True, lease_clock()
        write = partial(FinishTurn, failure=failure, claim_next=may_claim_next(), posted_messages=context.unsaved)
        next_claim = await task.lease_guard.write(write)
        task.is_finishing = False
        log.info("turn finished", turn=turn.id, state=turn.state.value, delivered=failure is None)
        if next_claim is not None:
            task.begin_next(next_claim, since)
        return next_claim is not None

    async def _resolve(self, task: ConversationTask, context: WorkerDeliveryContext) -> Turn | None:
        """Returns the turn once it has an outcome; None: it is parked."""
        turn = task.claim.turn
        if turn.state.is_resolved:
            return turn
        held = await self.handovers.prepare(task.lease_guard, self._adapters[task.platform], context)
        return held or await self._answer(task, context)

    async def _deliver(self, task: ConversationTask, turn: Turn, context: WorkerDeliveryContext) -> Failure | None:
        """Delivers an outcome, and tells whoever else is to know it; returns the failure if it was not accepted."""
        await self.on_resolved(turn)
        if turn.rounds:
            await self._held_calls.close(task.lease_guard, context)
        failure = await self._delivery.deliver(task.lease_guard, turn, context)
        if turn.is_pushed_text and failure is None:
            await self._remember(task.lease_guard)
        return failure

    async def release(self, task: ConversationTask, *, delay_seconds: float, failed: bool = False) -> None:
        """Releases the lease with the turn unfinished; the next claim continues from what is stored.

        ``failed``: what ended the attempt may end the next one, so it is counted: one day it is the last.
        """
        if task.lease_guard.is_lost:
            self.lease_lost(task)
            return
        started = task.attempt.run_started if task.attempt else not task.claim.first_attempt
        write = ReleaseLease(task.claim.lease, delay_seconds, not_started=not started, failed=failed)
        with suppress(LeaseLost):
            if task.delivery_context is not None:
                await task.delivery_context.commit()
            await self._store.write(write)
            log.info("turn released unfinished", turn=task.claim.turn.id, begun=started)

    def lease_lost(self, task: ConversationTask) -> None:
        """Counts and logs that another process has the conversation now."""
        self._metrics.lease_lost(task.platform)
        log.warning("lease lost", turn=task.claim.turn.id)

    async def close(self) -> None:
        """Cancels the background tasks."""
        await cancel_all(tuple(self._background_tasks))

    # ------------------------------------------------------------ running

    async def _remember(self, lease_guard: LeaseGuard) -> None:
        """Adds a pushed text, once it is delivered, to what the conversation's assistant knows. Raises LeaseLost."""
        with self._assistants.using(lease_guard.claim.conversation.assistant) as running:
            if running is not None:
                await running.runner.remember(lease_guard)

    async def _answer(self, work: ConversationTask, context: WorkerDeliveryContext) -> Turn | None:
        """Runs the turn, shows a preview meanwhile, stores the outcome, and returns the turn as it is stored.

        Returns None when the turn has to wait for something: then it is parked, and the lease is released.
        """
        running = await self._selector.acquire(work.lease_guard)
        if isinstance(running, ParkTurn):
            await self._park(work, running, work.claim.turn.cost)
            return None
        turn, stream = work.claim.turn, PreviewStream()
        files = TurnFiles(work.lease_guard, self._adapters[work.platform], self._spool)
        shown = (noted(turn.id, stream.put), files.load, self._metrics)
        attempt = TurnAttempt(self._assistants, running, self._commands, work.lease_guard, *shown)
        work.attempt = attempt
        try:
            preview = self._preview(turn, stream, context)
            return await self._answer_with(_AttemptParts(work, attempt, preview, files, context))
        finally:
            attempt.close()

    async def _answer_with(self, parts: _AttemptParts) -> Turn | None:
        work, attempt, turn = parts.work, parts.attempt, parts.work.claim.turn
        try:
            outcome = await self._outcome_unless_parked(parts)
            resolved = None if outcome is None else await self._record(outcome, work, attempt)
        except LeaseLost:
            self._create_background_task(self._settle_if_ended(turn, attempt), attempt)  # it may have been deleted
            raise
        finally:
            parts.files.close()
            await parts.preview.finish()
        if resolved is not None:
            await self._settle(work, attempt, resolved, Expense.of(turn))
        return resolved

    async def _outcome_unless_parked(self, parts: _AttemptParts) -> RecordOutcome | None:
        """Runs the turn and returns its outcome; None when it has to wait for something: then it is parked."""
        work, attempt, turn = parts.work, parts.attempt, parts.work.claim.turn
        about = SpanAttributes(turn=turn.id, platform=work.platform, attempt=turn.attempts)
        with self._tracing.span("run", turn.message.traceparent, **about) as span:
            outcome = await self._runner.outcome(work, attempt, parts.files, parts.context)
            if isinstance(outcome, RecordOutcome):
                if outcome.failure is not None:
                    span.record_error(GatewayError(code=outcome.failure.code))
                return outcome
            if outcome.awaits_approvals:
                await parts.preview.finish()  # the questions come below what was said before them
                is_new = len(work.claim.turn.rounds) > len(turn.rounds)
                outcome = await self._held_calls.ask(work.lease_guard, outcome, work.held, parts.context, is_new=is_new)
            await self._park(work, outcome, turn.cost)
        if work.leaves_run:
            self._create_background_task(attempt.stop(), attempt)
        return None

    @staticmethod
    async def _record(outcome: RecordOutcome, work: ConversationTask, attempt: TurnAttempt) -> Turn:
        """Stores an outcome, with the lease and the turn as they are now: they may be newer than when it started."""
        write = partial(_with_current, outcome, attempt.shown)
        return await work.lease_guard.write(write)

    async def _settle(self, work: ConversationTask, attempt: TurnAttempt, turn: Turn, before: Expense) -> None:
        """Charges a turn whose outcome is stored for more than ``before``, and stops its run if it was cancelled."""
        if turn.state is TurnState.CANCELLED:
            self._create_background_task(self._stop_and_settle(turn, attempt, before), attempt)
        elif work.budget_grant is not None:
            await self._admission.settle(work.budget_grant, turn.cost - before.cost)
        self._metrics.turn_resolved(turn)
        log.info("turn resolved", turn=turn.id, state=turn.state.value, code=turn.failure and turn.failure.code)

    async def _park(self, work: ConversationTask, write: ParkTurn, charged_before: int) -> None:
        """Puts the turn off. Unless it waits for people or for its sender's functions, nothing of it has reached the
        assistant, and what was reserved for it is not needed.

        That is released afterwards: a process that has lost the lease must not release what its heir reserved.
        """
        work.is_finishing, has_run = True, write.round is not None or write.awaits_approvals
        worked = lease_clock() - work.lease_guard.claimed_at
        await work.lease_guard.write(lambda lease, turn: replace(write, lease=lease, turn=turn, worked_seconds=worked))
        if work.budget_grant is not None:
            cost = max(write.cost, work.claim.turn.cost) - charged_before if has_run else None
            await self._admission.settle(work.budget_grant, cost)
        adapter = self._adapters[work.platform]
        if has_run and isinstance(adapter, HasWaitingCallers):
            adapter.notify_resolved(write.turn.id)
        log.info("turn parked", turn=write.turn.id, reason=write.reason, wake_in=round(write.wake_seconds, 2))

    async def _settle_if_ended(self, turn: Turn, attempt: TurnAttempt) -> None:
        """Stops and charges a turn whose lease is lost, unless another process goes on with its run."""
        found = await self._store.call_with_retry(lambda store: store.get_turn(turn.id))
        if found is None or found.state is TurnState.CANCELLED:
            await self._stop_and_settle(turn, attempt, Expense.of(turn))

    async def _stop_and_settle(self, turn: Turn, attempt: TurnAttempt, before: Expense) -> None:
        """Stops the run of a turn that was cancelled or deleted, then charges what it used since ``before``."""
        await attempt.stop()
        expense = self._admission.expense_of(await attempt.usage())
        if await self._admission.settle_ended(turn.id, expense, before):
            self._metrics.expense_added(turn, expense)

    def _preview(self, turn: Turn, stream: PreviewStream, context: DeliveryContext) -> PreviewTask:
        platform, show = turn.message.key.platform, partial(self._stream_preview, turn, stream, context)
        for_callers, quiet = platform in self._has_callers, self._quiet_seconds.get(platform, 0.0)
        return PreviewTask(show, stream, quiet, shows_events_only=for_callers)

    async def _stream_preview(self, turn: Turn, stream: PreviewStream, context: DeliveryContext) -> None:
        try:
            if turn.message.kind is MessageKind.PROMPT:  # other kinds are done as soon as they start
                await self._adapters[turn.message.key.platform].stream_preview(turn, stream, context)
        except LeaseLost:
            log.info("preview stopped; another process has the turn", turn=turn.id)
        except Exception:  # a preview that fails must not cost the reply
            log.exception("preview failed", turn=turn.id)
        finally:
            stream.has_viewer = False

    def _create_background_task(self, work: Coroutine[Any, Any, None], attempt: TurnAttempt) -> None:
        """Runs what is left to do for an attempt. Its assistant stays open meanwhile."""
        attempt.keep()
        # In a new context: the lease on the conversation may be gone by then.
        task = asyncio.create_task(work, context=Context())
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)
        task.add_done_callback(lambda _: attempt.close())


async def _nobody_is_told(_: Turn) -> None:
    """Does nothing."""


def _with_current(outcome: RecordOutcome, shown: str, lease: Lease, turn: Turn) -> RecordOutcome:
    return changed(outcome, lease=lease, turn=turn, shown=shown)
