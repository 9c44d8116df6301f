"""Calls of tools that people have to approve: held with their turn, asked about, and run once they have decided."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard
from gateway.domain.approvals import Approval, Decision, HeldCall, can_be_decided, new_approval_id
from gateway.domain.errors import DeliveryError, TooManyRounds
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import AWAITS_APPROVAL, Failure, Turn, TurnState
from gateway.domain.run_events import CallsHeld
from gateway.ports.leased_writes import HoldCalls, ParkTurn, RecordOutcome, SetOutputs, StartCalls
from gateway.ports.platform import Adapter, ShowsApprovals
from gateway.worker.answering.past_turns import asked_message
from gateway.worker.answering.turn_attempt import TurnAttempt
from gateway.worker.delivering.delivery_context import WorkerDeliveryContext
from gateway.worker.delivering.question_context import QuestionContext

ASK_AGAIN_SECONDS = 30.0
"""When a question is posted again that the platform did not take, unless it says a later time."""
LOOKS = 12
"""How often a turn is looked at while it waits: a clock that is set forward takes no more time than until the next."""
DENIED = (
    "A person was asked about this call of {tool}, and denied it. It was not carried out. Do not call it again unasked."
)
EXPIRED = "Nobody approved this call of {tool} in time. It was not carried out."
UNKNOWN = (
    "Nobody knows whether this call of {tool} was carried out: the process that ran it ended before there was a "
    "result. It is not repeated. Say so, and have it checked before it is done again."
)

MAX_ROUNDS = 20
"""How often one turn may wait, as a model may call again and again what people deny."""
TOO_MANY_ROUNDS = Failure(
    TooManyRounds.code,
    TooManyRounds.default_user_message,
    detail=f"{MAX_ROUNDS} rounds of tools that people have to approve",
)

log = logs.get_logger(__name__)


class HeldCalls:
    """Used on the worker's loop only."""

    def __init__(self, store: AsyncStore, adapters: Mapping[str, Adapter]) -> None:
        self._store = store
        self._adapters = adapters

    async def of(self, turn: Turn) -> Sequence[Approval]:
        """Returns those of a turn's last round; none if its sender is to run the functions of that."""
        found = await self._store.call(lambda store: store.approvals_of(turn.id))
        return [each for each in found if each.round == len(turn.rounds) - 1]

    # ------------------------------------------------------------ asking

    async def hold(
        self, guard: LeaseGuard, held: CallsHeld, spent: RecordOutcome, seconds: float
    ) -> tuple[ParkTurn | RecordOutcome, Sequence[Approval]]:
        """Stores the calls with what the turn has used; returns that it has to wait, or was cancelled, and the calls.

        Raises LeaseLost.
        """
        if len(guard.claim.turn.rounds) >= MAX_ROUNDS:
            return replace(spent, failure=TOO_MANY_ROUNDS), ()
        calls = tuple(each.call for each in held.calls)
        rounds = (*held.earlier, CallRound(calls, held.text, returned=held.returned))
        approvals = [_approval(guard.claim.turn, each) for each in held.calls]
        asked = [each.approvers for each in approvals if each.is_question]
        message = await self._store.call(lambda store: asked_message(store, guard.claim.turn))
        if not any(can_be_decided(each, message) for each in asked):
            seconds = 0.0  # nothing behind it in the conversation is to wait for nobody
        write = partial(
            HoldCalls,
            rounds=rounds,
            approvals=tuple(approvals),
            expires_seconds=seconds,
            usage=spent.usage,
            model=spent.model,
            cost=spent.cost,
            cost_is_estimate=spent.cost_is_estimate,
        )
        turn = await guard.write(write)
        if turn.state is TurnState.CANCELLED:
            return replace(spent, lease=guard.claim.lease, turn=turn), ()
        questions = [each.tool for each in approvals if each.is_question]
        log.info("calls held until people decide", turn=turn.id, tools=", ".join(questions))
        stored = await self.of(turn)
        return self.parking(guard, stored), stored

    def parking(self, guard: LeaseGuard, held: Sequence[Approval]) -> ParkTurn:
        """Returns that a turn waits until people have decided, or until it is too late to."""
        turn = guard.claim.turn
        longest = max(each.expires_at - each.requested_at for each in held)
        where = (guard.claim.lease, turn, AWAITS_APPROVAL, longest / LOOKS, longest, turn.id)
        return ParkTurn(*where, not_started=False, awaits_approvals=True)

    async def ask(
        self,
        guard: LeaseGuard,
        write: ParkTurn,
        held: Sequence[Approval],
        context: WorkerDeliveryContext,
        *,
        is_new: bool,
    ) -> ParkTurn:
        """Posts what is not posted yet of the questions. What the platform does not take now is posted later.

        ``is_new``: whether this process has held the calls just now, so that nobody else has asked. Raises LeaseLost.
        """
        asked = [each for each in held if each.is_question]
        pauses = [await self._show(guard, each, context, is_new=is_new) for each in asked]
        later = [pause for pause in pauses if pause]
        return replace(write, wake_seconds=min(later)) if later else write

    async def show_decisions(self, guard: LeaseGuard, held: Sequence[Approval], context: WorkerDeliveryContext) -> None:
        """Shows below the questions what was decided. What the platform does not take is left out. Raises LeaseLost."""
        for each in held:
            if each.is_question:
                await self._show(guard, each, context)

    async def close(self, guard: LeaseGuard, context: WorkerDeliveryContext) -> None:
        """Ends the questions of a turn that has ended before people decided. Raises LeaseLost."""
        turn = guard.claim.turn
        cancelled = await self._store.call(lambda store: store.close_approvals(turn.id))
        await self.show_decisions(guard, cancelled, context)

    async def _show(
        self, guard: LeaseGuard, approval: Approval, context: WorkerDeliveryContext, *, is_new: bool = False
    ) -> float:
        """Returns the seconds after which it is to be tried again; 0 for never."""
        turn = guard.claim.turn
        adapter = self._adapters[turn.message.key.platform]
        if not isinstance(adapter, ShowsApprovals):
            return 0.0
        question = QuestionContext(context, guard, approval, first_attempt=is_new or bool(approval.posted_messages))
        try:
            await adapter.show_approval(turn, approval, question)
        except DeliveryError as exc:
            log.warning("a question is not shown", turn=turn.id, tool=approval.tool, error=str(exc))
            return 0.0 if exc.retry_after is None else max(exc.retry_after, ASK_AGAIN_SECONDS)
        return 0.0

    # ------------------------------------------------------------ running

    async def run(
        self, guard: LeaseGuard, attempt: TurnAttempt, held: Sequence[Approval], context: WorkerDeliveryContext
    ) -> None:
        """Runs what people have approved, and what nobody had to; sets the outputs of all calls of the round.

        A tool is begun once: that it is begun is stored before. Raises LeaseLost.
        """
        showing = asyncio.create_task(self.show_decisions(guard, held, context))
        try:
            await self._run(guard, attempt, held)
            await showing
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _run(self, guard: LeaseGuard, attempt: TurnAttempt, held: Sequence[Approval]) -> None:
        runnable = [each for each in held if each.may_run]
        if told := {each.call_id: _told(each) for each in held if not each.may_run}:
            await guard.write(partial(SetOutputs, outputs=told))
        if not runnable:
            return
        await guard.write(partial(StartCalls, approval_ids=tuple(each.id for each in runnable)))
        await guard.assert_held()  # what a tool does cannot be undone
        log.info("held tools begin", turn=guard.claim.turn.id, tools=", ".join(each.tool for each in runnable))
        calls = [_approved(each) for each in runnable]
        async with aclosing(attempt.run_calls(calls)) as done:
            async for call in done:
                await guard.write(partial(SetOutputs, outputs={call.call_id: call.output}))


def _approval(turn: Turn, held: HeldCall) -> Approval:
    call = held.call
    return Approval(new_approval_id(), turn.id, 0, call.id, call.name, call.arguments, held.approvers)


def _approved(approval: Approval) -> HeldCall:
    return HeldCall(RequestedCall(approval.call_id, approval.tool, approval.arguments), approval.approvers)


def _told(approval: Approval) -> str:
    """Returns what the model is told of a call that is not run."""
    refusal = DENIED if approval.decision is Decision.DENIED else EXPIRED
    return (refusal if approval.started_at is None else UNKNOWN).format(tool=approval.tool)
