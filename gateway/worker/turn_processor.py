"""What is done with a conversation in hand: one turn after another is answered, brought and finished."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, repeat
from typing import Any, cast

from gateway import logs
from gateway.coordination.async_store import Journal
from gateway.coordination.lease import Grip, now
from gateway.domain.errors import AssistantError, DeliveryError, GatewayError, LeaseLost
from gateway.domain.models import Claim, Failure, Kind, Mark, Turn, TurnId
from gateway.domain.stream_buffer import Live
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import About, Tracing
from gateway.policy.admission import Gatekeeper, Grant, Refusal
from gateway.ports.assistant import Attachments, no_attachments
from gateway.ports.platform import Adapter, Attaching, Outbox
from gateway.ports.store import Finished, Marked, Released, Settled
from gateway.worker.assistant_runner import Attempt, Conversations, failure_of

ATTEMPTS = 5
"""How many processes may die over a turn before it is given up."""
DELIVERY_PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""From one try to the next; the last one goes on."""
DELIVERY_PATIENCE = 12 * 3600.0
"""Seconds after which a reply that a platform puts off again and again is given up."""
FOLLOW_GRACE = 5.0
END_GRACE = 5.0
"""Seconds that what was cancelled gets to put itself in order, such as to hand a turn back."""

GAVE_UP = Failure(
    "gave_up", "The assistant could not answer this message.", detail=f"{ATTEMPTS} attempts were broken off"
)
CANCELLED = Failure("cancelled", "The message was cancelled.")

OutboxOf = Callable[[Grip], Outbox]
"""Makes the outbox of a claim."""

log = logs.get(__name__)


@dataclass
class Work:
    """A conversation in hand."""

    grip: Grip
    refused: bool
    """There is no room for it, or the process was told to stop: it is handed back unbegun."""
    task: asyncio.Task[None] | None = None
    attempt: Attempt | None = None
    answering: asyncio.Task[Settled] | None = None
    grant: Grant | None = None
    """What the turn may cost is kept free by this until its outcome is stored."""
    interrupted: TurnId | None = None
    finishing: bool = False
    """The last write is on its way, and may have given the lease up already."""

    @property
    def claim(self) -> Claim:
        return self.grip.claim

    @property
    def platform(self) -> str:
        return self.claim.turn.message.key.platform

    def interrupt(self, turn: TurnId) -> None:
        """Break off the turn, if it is the one in hand."""
        if self.claim.turn.id == turn:
            self.interrupted = turn
            if self.answering is not None:
                self.answering.cancel()

    def go_on(self, claim: Claim, since: float) -> bool:
        """Go on by a newer lease on the same turn. False when that cannot be.

        As when the machine slept for longer than a lease lasts, or the database's clock was set forward.
        """
        if self.grip.lost or self.refused or self.finishing or claim.turn.id != self.claim.turn.id:
            return False
        self.grip.claim = replace(self.claim, lease=claim.lease)
        self.grip.extend(since)
        if self.attempt is not None:
            self.attempt.claim = self.grip.claim
        return True

    def drop(self) -> None:
        """Somebody else has the conversation. A last write that is on its way is seen to its end."""
        self.grip.lost = True
        if self.task is not None and not self.finishing:
            self.task.cancel()


class Working:
    """How turns are worked on. Used on the engine's loop only."""

    def __init__(
        self,
        journal: Journal,
        conversations: Conversations,
        adapters: Mapping[str, Adapter],
        outbox_of: OutboxOf,
        gate: Gatekeeper,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self._journal = journal
        self._conversations = conversations
        self._gate = gate
        self._adapters = adapters
        self._outbox_of = outbox_of
        self._metrics = metrics
        self._tracing = tracing
        self._aside: set[asyncio.Task[Any]] = set()

    async def one_turn(self, work: Work, *, go_on: Callable[[], bool]) -> bool:
        """Bring the turn in hand to its end. True: the next one of the conversation is in hand now.

        ``go_on``: whether another one may be taken then. Raises LeaseLost.
        """
        outbox = self._outbox_of(work.grip)
        turn = work.claim.turn
        if not turn.state.decided:
            turn = await self._answer(work, outbox)
        failure = None
        if turn.erased_at is None:  # nothing is left to bring, nor where to
            failure = await self._deliver(work, turn, outbox)
        work.finishing, since = True, now()
        change = Finished(work.claim.lease, turn.id, failure, keep=go_on())
        following = cast("Claim | None", await self._journal.write(change))
        work.finishing = False
        log.info("turn finished", turn=turn.id, state=turn.state.value, delivered=failure is None)
        if following is None:
            return False
        if work.grip.lost:  # the next turn was taken from us before we heard that it was ours
            raise LeaseLost
        work.grip.claim, work.attempt, work.grant = following, None, None
        work.grip.extend(since)
        return True

    async def hand_back(self, work: Work, *, after: float) -> None:
        """Give up the lease, so that whoever takes it next goes on from what is stored."""
        if work.grip.lost:
            self.lost(work)
            return
        begun = work.attempt.begun if work.attempt else not work.claim.fresh
        change = Released(work.claim.lease, after, fresh=not begun)
        with suppress(LeaseLost):
            await self._journal.write(change)
            log.info("turn handed back", turn=work.claim.turn.id, begun=begun)

    def lost(self, work: Work) -> None:
        """Another process works on it now."""
        self._metrics.lease_lost(work.platform)
        log.warning("lease lost", turn=work.claim.turn.id)

    async def end(self) -> None:
        """Break off what still goes on beside the turns."""
        await end_all(tuple(self._aside))

    # ------------------------------------------------------------ the reply

    async def _answer(self, work: Work, outbox: Outbox) -> Turn:
        """Run the turn, show it meanwhile, and store what came of it."""
        turn, live = work.claim.turn, Live()
        following = asyncio.create_task(self._follow(turn, live, outbox))
        work.attempt = self._conversations.attempt(work.claim, live.put, self._attachments(turn))
        try:
            about = About(turn=turn.id, platform=work.platform, attempt=turn.attempts)
            with self._tracing.span("run", turn.message.trace, **about) as span:
                outcome = await self._outcome(work, work.attempt)
                if outcome.failure is not None:
                    span.fail(GatewayError(code=outcome.failure.code))
            # By the lease that is held now: it may be a newer one than that by which the turn was begun.
            turn = cast("Turn", await self._journal.write(replace(outcome, lease=work.claim.lease)))
        finally:
            live.close()
            await _finish(following)
        if work.grant is not None:
            await self._gate.settle(work.grant, turn.cost)
        self._metrics.decided(turn)
        log.info("turn decided", turn=turn.id, state=turn.state.value, code=turn.failure and turn.failure.code)
        return turn

    async def _outcome(self, work: Work, attempt: Attempt) -> Settled:
        lease, turn = work.claim.lease, work.claim.turn
        if turn.attempts > ATTEMPTS:
            return Settled(lease, turn.id, failure=GAVE_UP)
        if work.interrupted == turn.id:
            return Settled(lease, turn.id, failure=CANCELLED)
        self._metrics.started(turn)
        log.info("turn started", turn=turn.id, attempt=turn.attempts, platform=work.platform)
        work.answering = asyncio.create_task(self._ask(work, attempt))
        try:
            await asyncio.wait((work.answering,))
        finally:
            work.answering.cancel()
        if work.answering.cancelled():
            self._keep(self._conversations.stop(attempt))
            return Settled(lease, turn.id, failure=CANCELLED)
        try:
            return work.answering.result()
        except AssistantError as exc:
            log.warning("no answer", turn=turn.id, code=exc.code, error=str(exc))
            return Settled(lease, turn.id, failure=failure_of(exc))

    async def _ask(self, work: Work, attempt: Attempt) -> Settled:
        """The reply, or why the assistant may not be asked for one. Raises AssistantError."""
        lease, turn = work.claim.lease, work.claim.turn
        admitted = await self._gate.admit(turn)
        if isinstance(admitted, Refusal):
            return Settled(lease, turn.id, failure=admitted.failure)
        work.grant = admitted
        answered = await self._conversations.answer(attempt)
        return Settled(
            lease,
            turn.id,
            admitted.beneath(answered.text),
            answered.usage,
            files=answered.files,
            model=answered.model,
            cost=self._gate.cost(answered),
        )

    def _attachments(self, turn: Turn) -> Attachments:
        adapter = self._adapters[turn.message.key.platform]
        if turn.message.files and isinstance(adapter, Attaching):
            return partial(adapter.fetch, turn)
        return no_attachments

    async def _follow(self, turn: Turn, live: Live, outbox: Outbox) -> None:
        try:
            if turn.message.kind is Kind.ASK:  # the others are over as soon as they begin
                await self._adapters[turn.message.key.platform].follow(turn, live, outbox)
        except LeaseLost:
            log.info("preview left to another process", turn=turn.id)
        except Exception:  # a preview that fails must not cost the reply
            log.exception("preview failed", turn=turn.id)
        finally:
            live.watched = False

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    # ------------------------------------------------------------ its way back

    async def _deliver(self, work: Work, turn: Turn, outbox: Outbox) -> Failure | None:
        """Bring the outcome to the platform; the failure when it will not take it. Raises LeaseLost."""
        begun = time.monotonic()
        with self._tracing.span("deliver", turn.message.trace, turn=turn.id, platform=work.platform) as span:
            failure = await self._insist(work, turn, outbox)
            if failure is not None:
                span.fail(GatewayError(code=failure.code))
        if failure is None:
            self._metrics.delivered(turn, time.monotonic() - begun)
        else:
            self._metrics.undeliverable(turn)
        return failure

    async def _insist(self, work: Work, turn: Turn, outbox: Outbox) -> Failure | None:
        adapter, deadline, told = self._adapters[work.platform], time.monotonic() + DELIVERY_PATIENCE, ""
        for pause in chain(DELIVERY_PAUSES, repeat(DELIVERY_PAUSES[-1])):
            await work.grip.ensure()
            try:
                await adapter.deliver(turn, outbox)
            except DeliveryError as exc:
                if exc.retry_after is None or time.monotonic() > deadline:
                    return _undeliverable(turn, exc)
                log.warning("delivery put off", turn=turn.id, error=str(exc))
                if str(exc) != told:  # once for a platform that says the same each minute
                    told = str(exc)
                    await self._journal.write(Marked(work.claim.lease, turn.id, Mark.PUT_OFF, told))
                await asyncio.sleep(max(pause, exc.retry_after))
            except LeaseLost:
                raise
            except Exception as exc:
                log.exception("delivery broke off", turn=turn.id)
                return _undeliverable(turn, exc)
            else:
                return None
        raise AssertionError


def _undeliverable(turn: Turn, exc: Exception) -> Failure:
    detail = str(exc) if isinstance(exc, GatewayError) else type(exc).__name__
    log.error("undeliverable", turn=turn.id, error=detail)
    return Failure(DeliveryError.code, "The reply could not be delivered.", detail=detail)


async def end_all(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel them, and give them a moment to put themselves in order."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=END_GRACE)


async def _finish(following: asyncio.Task[None]) -> None:
    """Give a preview a moment to show the rest, then end it."""
    if not following.done():
        await asyncio.wait((following,), timeout=FOLLOW_GRACE)
        await end_all([following])
