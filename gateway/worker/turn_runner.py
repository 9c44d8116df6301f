"""Runs a turn once it is admitted, and finds its outcome, whatever it is: a reply, a failure, or that it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.domain.errors import AssistantError, DeliveryError, NotForUs
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.files import File
from gateway.domain.models import AWAITS_OUTPUTS, Failure
from gateway.domain.past import said_in_rounds
from gateway.domain.sentences import sentence
from gateway.languages import say
from gateway.observability.metrics import Metrics
from gateway.policy.admission import BUDGET, AdmissionControl, Denial, Wait
from gateway.ports.budgets import AttemptUsage
from gateway.ports.leased_writes import ParkTurn, RecordOutcome
from gateway.ports.platform import Adapter, HasWaitingCallers
from gateway.worker.assistant_runner import ASSISTANT, failure_of
from gateway.worker.context_fetcher import ContextFetcher, undeliverable
from gateway.worker.conversation_task import ConversationTask
from gateway.worker.delivery_context import WorkerDeliveryContext
from gateway.worker.held_calls import HeldCalls
from gateway.worker.run_attempt import ApprovalsNeeded, OutputsNeeded, RunPostponed
from gateway.worker.turn_attempt import TurnAttempt
from gateway.worker.turn_files import LEFT_OUT_NOTICE, TurnFiles

MAX_ATTEMPTS = 5
"""How many attempts at a turn may be interrupted, as when the process died, before it fails."""

GAVE_UP = Failure(
    "gave_up",
    sentence("The assistant could not answer this message."),
    detail=f"{MAX_ATTEMPTS} attempts were interrupted",
)
CANCELLED = Failure("cancelled", sentence("The message was cancelled."))
OUTPUT_SECONDS = 600.0
"""How long the outputs are waited for: ``expires_at`` of OpenAI's runs is ten minutes after they are created
(platform.openai.com/docs/api-reference/runs/object)."""
OUTPUT_WAKE_SECONDS = 100.0
"""After which such a turn is looked at: a clock that is set forward takes no more than this of the ten minutes."""
EXPIRED = Failure("expired", sentence("The outputs of the called functions did not come in time."))

log = logs.get_logger(__name__)


class TurnRunner:
    """Runs turns for the processor, which stores what comes of it. Used on the worker's loop only."""

    def __init__(
        self,
        store: AsyncStore,
        adapters: Mapping[str, Adapter],
        admission: AdmissionControl,
        context_fetcher: ContextFetcher,
        held_calls: HeldCalls,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._admission = admission
        self._context_fetcher = context_fetcher
        self._held_calls = held_calls
        self._metrics = metrics

    async def outcome(
        self, work: ConversationTask, attempt: TurnAttempt, files: TurnFiles, context: WorkerDeliveryContext
    ) -> RecordOutcome | ParkTurn:
        """Runs the turn unless it was cancelled or failed too often, and returns its outcome, whatever it is."""
        turn = work.claim.turn
        if turn.attempts > MAX_ATTEMPTS:
            await attempt.stop()
            return await self._outcome_of(work, attempt, failure=GAVE_UP, used=await attempt.usage_before())
        if work.interrupted_turn == turn.id:
            return RecordOutcome(work.claim.lease, turn, failure=CANCELLED)
        if turn.has_open_round:
            work.held = await self._held_calls.of(turn)
            if not work.held:
                return await self._still_waiting(work, attempt)
            if any(each.is_open for each in work.held):
                return self._held_calls.parking(work.lease_guard, work.held)
        self._metrics.attempt_started(turn)
        log.info("turn started", turn=turn.id, attempt=turn.attempts, platform=work.platform)
        work.outcome_task = asyncio.create_task(self._start_attempt(work, attempt, files, context))
        try:
            await _until_done(work.outcome_task)
        finally:
            work.outcome_task.cancel()
        return await self._outcome_of_task(work, attempt, work.outcome_task)

    async def _outcome_of_task(
        self, work: ConversationTask, attempt: TurnAttempt, ended: asyncio.Task[RecordOutcome | ParkTurn]
    ) -> RecordOutcome | ParkTurn:
        lease, turn = work.claim.lease, work.claim.turn
        if ended.cancelled():
            return RecordOutcome(lease, turn, failure=CANCELLED)
        try:
            return ended.result()
        except RunPostponed as later:
            return ParkTurn(lease, turn, ASSISTANT, later.wake_seconds, later.max_seconds)
        except OutputsNeeded as needed:
            return await self._parked_for_outputs(work, attempt, needed.round)
        except ApprovalsNeeded as needed:
            spent = await self._outcome_of(work, attempt, failure=CANCELLED)
            work.leaves_run = needed.held.leaves_run
            outcome, work.held = await self._held_calls.hold(
                work.lease_guard, needed.held, spent, attempt.approval_seconds
            )
            return outcome
        except AssistantError as exc:
            log.warning("assistant gave no reply", turn=turn.id, code=exc.code, error=str(exc))
            return await self._outcome_of(work, attempt, failure=failure_of(exc))

    async def _parked_for_outputs(
        self, work: ConversationTask, attempt: TurnAttempt, requested: CallRound
    ) -> RecordOutcome | ParkTurn:
        """Puts the turn off until its sender has run the functions that the assistant called."""
        spent = await self._outcome_of(work, attempt)
        return ParkTurn(
            *(work.claim.lease, work.claim.turn, AWAITS_OUTPUTS, OUTPUT_WAKE_SECONDS, OUTPUT_SECONDS),
            key=work.claim.turn.id,
            round=requested,
            usage=spent.usage,
            model=spent.model,
            cost=spent.cost,
            cost_is_estimate=spent.cost_is_estimate,
        )

    async def _still_waiting(self, work: ConversationTask, attempt: TurnAttempt) -> RecordOutcome | ParkTurn:
        """Goes on waiting for the outputs of the sender's functions, until their time is up."""
        lease, turn = work.claim.lease, work.claim.turn
        parking = turn.parking
        if parking is None or parking.woken_at is None or parking.has_expired:
            return await self._outcome_of(work, attempt, failure=EXPIRED)
        times = OUTPUT_WAKE_SECONDS, OUTPUT_SECONDS
        return ParkTurn(lease, turn, AWAITS_OUTPUTS, *times, key=turn.id, awaits_outputs=True)

    async def _start_attempt(
        self, work: ConversationTask, attempt: TurnAttempt, files: TurnFiles, context: WorkerDeliveryContext
    ) -> RecordOutcome | ParkTurn:
        """Returns the reply, the failure if the turn is not admitted or not deliverable, or that it has to wait.

        Raises AssistantError, RunPostponed.
        """
        lease, turn = work.claim.lease, work.claim.turn
        admitted = await self._admission.admit(turn)
        if isinstance(admitted, Denial):
            return await self._outcome_of(work, attempt, failure=admitted.failure)
        if isinstance(admitted, Wait):
            return ParkTurn(lease, turn, BUDGET, admitted.wake_seconds, admitted.max_seconds, admitted.key)
        work.budget_grant = admitted
        try:
            await self._context_fetcher.fetch(work.lease_guard, self._adapters[work.platform], context)
        except NotForUs:
            await self._store.read(lambda store: store.cancel_turn(turn.id))
            return RecordOutcome(lease, turn, failure=CANCELLED)
        except DeliveryError as exc:
            log.warning("not asked: a reply could not be delivered", turn=turn.id, error=str(exc))
            return await self._outcome_of(work, attempt, failure=undeliverable(exc))
        if turn.has_open_round:
            await self._held_calls.run(work.lease_guard, attempt, work.held, context)
            attempt.begin()
        said = said_in_rounds(turn)
        if said:
            attempt.go_on_after(said, is_shown=isinstance(self._adapters[work.platform], HasWaitingCallers))
        reply = await attempt.run()
        text, language = "\n\n".join(filter(None, (said, reply.text))), attempt.turn.message.language
        if not turn.options.is_program:
            if files.left_out:
                text = f"{text}\n\n{say(LEFT_OUT_NOTICE, language)}"
            text = admitted.with_notice(text, language)
        return await self._outcome_of(work, attempt, reply=text, files=reply.files, calls=reply.calls)

    async def _outcome_of(
        self,
        work: ConversationTask,
        attempt: TurnAttempt,
        *,
        reply: str = "",
        files: tuple[File, ...] = (),
        failure: Failure | None = None,
        calls: tuple[RequestedCall, ...] = (),
        used: AttemptUsage | None = None,
    ) -> RecordOutcome:
        """Returns an outcome with what all runs of the turn used. ``used``: by its last ones; None: by ``attempt``."""
        spent, turn = self._admission.expense_of(used or await attempt.usage()), work.claim.turn
        return RecordOutcome(
            work.claim.lease,
            turn,
            reply,
            spent.usage + turn.usage,  # a turn that waited for outputs has used some before
            failure,
            files,
            spent.model or turn.model,
            spent.cost + turn.cost,
            spent.is_estimate or turn.cost_is_estimate,
            calls=calls,
        )


async def _until_done(task: asyncio.Task[Any]) -> None:
    """Waits until a task has ended, however it ends. ``asyncio.wait`` takes three times as many steps for one."""
    ended = asyncio.get_running_loop().create_future()

    def end(_: object) -> None:
        if not ended.done():  # it is when who waits was cancelled
            ended.set_result(None)

    task.add_done_callback(end)
    await ended
