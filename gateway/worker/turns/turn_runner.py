"""Runs a turn once it is admitted, and finds its outcome, whatever it is: a reply, a failure, or that it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.futures import until_done
from gateway.domain.errors import AssistantError, DeliveryError, NotForUs
from gateway.domain.exchange import CallRound
from gateway.domain.files import File
from gateway.domain.models import AWAITS_OUTPUTS, Failure, Turn
from gateway.domain.past import said_in_rounds
from gateway.domain.run_events import RunCompleted
from gateway.domain.sentences import sentence
from gateway.languages import say
from gateway.observability.metrics import Metrics
from gateway.policy.admission import BUDGET, AdmissionControl, Denial, Grant, Wait
from gateway.ports.budgets import AttemptUsage
from gateway.ports.leased_writes import ParkTurn, RecordOutcome
from gateway.ports.platform import Adapter, HasWaitingCallers
from gateway.worker.answering.assistant_runner import ASSISTANT, failure_of
from gateway.worker.answering.context_fetcher import ContextFetcher, undeliverable
from gateway.worker.answering.run_attempt import ApprovalsNeeded, OutputsNeeded, RunPostponed
from gateway.worker.answering.turn_attempt import TurnAttempt
from gateway.worker.claiming.conversation_task import ConversationTask
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext
from gateway.worker.turns.held_calls import HeldCalls
from gateway.worker.turns.turn_files import LEFT_OUT_NOTICE, TurnFiles

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
            await until_done(work.outcome_task)
        finally:
            work.outcome_task.cancel()
        return await self._outcome_of_task(work, attempt, work.outcome_task)

    async def _outcome_of_task(
        self, work: ConversationTask, attempt: TurnAttempt, ended: asyncio.Task[RecordOutcome | ParkTurn]
    ) -> RecordOutcome | ParkTurn:
        claim = work.claim
        lease, turn = claim.lease, claim.turn
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
        claim = work.claim
        admitted = await self._admission.admit(claim.turn)
        if isinstance(admitted, Denial):
            return await self._outcome_of(work, attempt, failure=admitted.failure)
        if isinstance(admitted, Wait):
            until = admitted.wake_seconds, admitted.max_seconds
            return ParkTurn(claim.lease, claim.turn, BUDGET, *until, admitted.key)
        work.budget_grant = admitted
        unseen = await self._fetch_context(work, attempt, context)
        if unseen is not None:
            return unseen
        said = await self._go_on(work, attempt, context) if claim.turn.rounds else ""
        reply = await attempt.run()
        text = _full_text(said, reply.text, attempt.turn, files, admitted)
        return await self._outcome_of(work, attempt, reply=text, files=reply.files, said=reply)

    async def _fetch_context(
        self, work: ConversationTask, attempt: TurnAttempt, context: WorkerDeliveryContext
    ) -> RecordOutcome | None:
        """Fetches what belongs to the message; returns the outcome of a turn whose reply nobody would see."""
        turn = work.claim.turn
        try:
            await self._context_fetcher.fetch(work.lease_guard, self._adapters[work.platform], context)
        except NotForUs:
            await self._store.call(lambda store: store.cancel_turn(turn.id))
            return RecordOutcome(work.claim.lease, turn, failure=CANCELLED)
        except DeliveryError as exc:
            log.warning("not asked: a reply could not be delivered", turn=turn.id, error=str(exc))
            return await self._outcome_of(work, attempt, failure=undeliverable(exc))
        return None

    async def _go_on(self, work: ConversationTask, attempt: TurnAttempt, context: WorkerDeliveryContext) -> str:
        """Runs the calls that the turn has waited for, if they are not done; returns what was said before them."""
        turn = work.claim.turn
        if turn.has_open_round:
            await self._held_calls.run(work.lease_guard, attempt, work.held, context)
            attempt.begin()
        said = said_in_rounds(turn)
        if said:
            attempt.go_on_after(said, is_shown=isinstance(self._adapters[work.platform], HasWaitingCallers))
        return said

    async def _outcome_of(
        self,
        work: ConversationTask,
        attempt: TurnAttempt,
        *,
        reply: str = "",
        files: tuple[File, ...] = (),
        failure: Failure | None = None,
        said: RunCompleted | None = None,
        used: AttemptUsage | None = None,
    ) -> RecordOutcome:
        """Returns an outcome with what all runs of the turn used.

        ``said``: what may have calls. ``used``: by its last runs; None: by ``attempt``.
        """
        spent, claim = self._admission.expense_of(used or await attempt.usage()), work.claim
        turn = claim.turn
        return RecordOutcome(
            claim.lease,
            turn,
            reply,
            spent.usage + turn.usage,  # a turn that waited for outputs has used some before
            failure,
            files,
            spent.model or turn.model,
            spent.cost + turn.cost,
            spent.is_estimate or turn.cost_is_estimate,
            calls=said.calls if said else (),
            returned=said.returned if said else "",
            refusal=said.refusal if said else "",
        )


def _full_text(said: str, reply: str, turn: Turn, files: TurnFiles, admitted: Grant) -> str:
    """Returns a reply behind what was ``said`` before it, and with what a person is to be told about it."""
    text, language = "\n\n".join(filter(None, (said, reply))), turn.message.language
    if turn.options.is_program:
        return text
    if files.left_out:
        text = f"{text}\n\n{say(LEFT_OUT_NOTICE, language)}"
    return admitted.with_notice(text, language)
