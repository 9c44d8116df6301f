"""The asyncio side of the gateway: claims turns, answers and delivers them, keeps leases, hands back on stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from typing import Any, TypeVar, cast

from gateway import logs
from gateway.conversations import Attempt, Conversations, failure_of
from gateway.errors import AssistantError, DeliveryError, GatewayError, LeaseLost, StoreUnavailable
from gateway.journal import Journal
from gateway.live import Live
from gateway.messages import Claim, Failure, Kind, Turn, TurnId
from gateway.ports import Adapter, Attaching, Attachments, Outbox, no_attachments
from gateway.storing import Finished, Released, Settled

T = TypeVar("T")

ATTEMPTS = 5
"""How many processes may die over a turn before it is given up."""
CLAIMS = 100
"""How many conversations one look at the table takes at the most."""
DELIVERY_PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""From one try to the next; the last one goes on."""
DELIVERY_PATIENCE = 12 * 3600.0
"""Seconds after which a reply that a platform puts off again and again is given up."""
FOLLOW_GRACE = 5.0
END_GRACE = 5.0
"""Seconds that what was cancelled gets to put itself in order, such as to hand a turn back."""
AFTER_A_FAULT = 5.0
ARRIVAL_LOOK = 0.005
LONGEST_ARRIVAL = 1.0
"""Seconds that the start of turns waits at the most while messages are being taken in."""

GAVE_UP = Failure(
    "gave_up", "The assistant could not answer this message.", detail=f"{ATTEMPTS} attempts were broken off"
)
CANCELLED = Failure("cancelled", "The message was cancelled.")

log = logs.get(__name__)


@dataclass
class Work:
    """A conversation in hand."""

    claim: Claim
    outbox: Outbox
    refused: bool
    """There is no room for it, or the process was told to stop: it is handed back unbegun."""
    task: asyncio.Task[None] | None = None
    attempt: Attempt | None = None
    answering: asyncio.Task[Any] | None = None
    interrupted: TurnId | None = None
    finishing: bool = False
    """The last write is on its way, and may have given the lease up already."""
    lost: bool = False


class Engine:
    """Works on up to ``room`` conversations at once, one turn of each at a time, on a loop in a thread of its own."""

    def __init__(
        self,
        journal: Journal,
        conversations: Conversations,
        adapters: Sequence[Adapter],
        outbox_of: Callable[[Claim], Outbox],
        *,
        owner: str,
        room: int,
        lease_seconds: float,
        sweep_seconds: float = 1.0,
    ) -> None:
        self.owner = owner
        self._journal = journal
        self._conversations = conversations
        self._adapters: Mapping[str, Adapter] = {adapter.name: adapter for adapter in adapters}
        self._outbox_of = outbox_of
        self._room = room
        self._lease_seconds = lease_seconds
        self._sweep_seconds = sweep_seconds
        self._works: dict[int, Work] = {}
        self._aside: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._arriving = 0
        self._arriving_lock = threading.Lock()
        self._calming: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._news = asyncio.Event()
        self._thread = threading.Thread(target=self._turn_loop, name="engine", daemon=True)

    # ------------------------------------------------------------ from any thread

    def start(self) -> None:
        """Begin to claim and to run."""
        self._thread.start()
        self._loop.call_soon_threadsafe(self._open)

    def drain(self) -> None:
        """Take on nothing new; what is in hand goes on."""
        self._draining = True

    def finish(self, grace: float) -> None:
        """Let what is in hand finish for up to ``grace`` seconds, and hand back the rest."""
        self.drain()
        self.call(self._finish(grace))

    def stop(self) -> None:
        """End the loop. Nothing may be in hand any more."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def room(self) -> bool:
        return not self._draining and len(self._works) < self._room

    def holds(self, conversation: int) -> bool:
        return conversation in self._works

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """A message is being taken in. No turn is begun meanwhile, as whoever sent it waits to be told."""
        with self._arriving_lock:
            self._arriving += 1
        try:
            yield
        finally:
            with self._arriving_lock:
                self._arriving -= 1

    def submit(self, claim: Claim) -> None:
        # In a context of its own: the caller's would keep its whole web request alive as long as the turn runs.
        self._loop.call_soon_threadsafe(self._begin, claim, context=Context())

    def interrupt(self, turn: TurnId) -> None:
        self._loop.call_soon_threadsafe(self._interrupt, turn)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # ------------------------------------------------------------ the loop

    def _turn_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _open(self) -> None:
        self._keep(self._sweep_for_ever())
        self._keep(self._renew_for_ever())

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task

    async def _finish(self, grace: float) -> None:
        in_hand = [work.task for work in self._works.values() if work.task]
        if in_hand:
            log.info("stopping", in_hand=len(in_hand), grace=grace)
            await asyncio.wait(in_hand, timeout=grace)
        await _end([task for task in in_hand if not task.done()])
        await _end(tuple(self._aside))

    async def _sweep_for_ever(self) -> None:
        """Find what no wake-up told of: work that was handed back, or whose holder died."""
        while True:
            self._news.clear()
            more = False
            try:
                more = await self._sweep()
            except StoreUnavailable as exc:
                log.warning("database away", error=str(exc))
            except Exception:
                log.exception("sweep failed")
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._sweep_seconds):
                        await self._news.wait()

    async def _sweep(self) -> bool:
        """Claim what is due. Whether there may be more that fits."""
        limit = min(CLAIMS, self._room - len(self._works))
        if self._draining or limit <= 0:
            return False
        platforms = tuple(self._adapters)
        claims = await self._journal.read(lambda store: store.claim(self.owner, platforms, limit))
        for claim in claims:
            self._begin(claim)
        return len(claims) == limit

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._renew()
            except StoreUnavailable as exc:
                log.warning("leases not renewed", error=str(exc))
            except Exception:
                log.exception("renewal failed")

    async def _renew(self) -> None:
        before = dict(self._works)
        if not before:
            return
        # Only what is known here: a lease that got lost on the way to us has to run out.
        renewal = await self._journal.read(lambda store: store.renew(self.owner, before.keys()))
        for conversation, work in before.items():
            if conversation not in renewal.held and self._works.get(conversation) is work and not work.finishing:
                work.lost = True
                _cancel(work.task)
        for turn in renewal.cancelled:
            self._interrupt(turn)

    def _begin(self, claim: Claim) -> None:
        work = Work(claim, self._outbox_of(claim), refused=not self.room())
        self._works[claim.lease.conversation] = work
        work.task = self._loop.create_task(self._work(work))
        work.task.add_done_callback(lambda _: self._done(work))

    def _done(self, work: Work) -> None:
        conversation = work.claim.lease.conversation
        if self._works.get(conversation) is work:
            del self._works[conversation]
        if len(self._works) == self._room - 1:
            self._news.set()  # there was no room a moment ago: something may be waiting for it

    def _interrupt(self, turn: TurnId) -> None:
        for work in self._works.values():
            if work.claim.turn.id == turn:
                work.interrupted = turn
                _cancel(work.answering)

    # ------------------------------------------------------------ one conversation

    async def _work(self, work: Work) -> None:
        try:
            if work.refused:
                await self._hand_back(work, after=0.0)
                return
            await self._calm()
            while (following := await self._one_turn(work)) is not None:
                work.claim, work.outbox, work.attempt = following, self._outbox_of(following), None
        except LeaseLost:
            log.warning("lease lost", turn=work.claim.turn.id)
        except asyncio.CancelledError:
            await self._hand_back(work, after=0.0)
        except Exception:
            log.exception("turn broke off", turn=work.claim.turn.id)
            await self._hand_back(work, after=AFTER_A_FAULT)

    async def _calm(self) -> None:
        """Let the messages of a burst in first: all compete for one processor, and nobody waits for a start so much."""
        if self._arriving and self._calming is None:
            self._calming = self._keep(self._wait_for_calm())
        if self._calming is not None:
            await asyncio.shield(self._calming)

    async def _wait_for_calm(self) -> None:
        deadline = self._loop.time() + LONGEST_ARRIVAL
        while self._arriving and self._loop.time() < deadline:  # noqa: ASYNC110  # those who arrive are in threads
            await asyncio.sleep(ARRIVAL_LOOK)
        self._calming = None

    async def _one_turn(self, work: Work) -> Claim | None:
        turn = work.claim.turn
        if not turn.state.decided:
            turn = await self._answer(work)
        failure = await self._deliver(turn, work.outbox)
        keep = not self._draining and len(self._works) < self._room
        work.finishing = True
        finished = await self._journal.write(Finished(work.claim.lease, turn.id, failure, keep=keep))
        work.finishing = False
        log.info("turn finished", turn=turn.id, state=turn.state.value, delivered=failure is None)
        return cast("Claim | None", finished)

    async def _answer(self, work: Work) -> Turn:
        """Run the turn, show it meanwhile, and store what came of it."""
        claim = work.claim
        live = Live()
        following = self._loop.create_task(self._follow(claim.turn, live, work.outbox))
        work.attempt = self._conversations.attempt(claim, live.put, self._attachments(claim.turn))
        try:
            outcome = await self._outcome(work, work.attempt)
            turn = cast("Turn", await self._journal.write(outcome))
        finally:
            live.close()
            await _finish(following)
        log.info("turn decided", turn=turn.id, state=turn.state.value, code=turn.failure and turn.failure.code)
        return turn

    async def _outcome(self, work: Work, attempt: Attempt) -> Settled:
        lease, turn = work.claim.lease, work.claim.turn
        if turn.attempts > ATTEMPTS:
            return Settled(lease, turn.id, failure=GAVE_UP)
        if work.interrupted == turn.id:
            return Settled(lease, turn.id, failure=CANCELLED)
        log.info("turn started", turn=turn.id, attempt=turn.attempts, platform=turn.message.key.platform)
        work.answering = self._loop.create_task(self._conversations.answer(attempt))
        try:
            await asyncio.wait((work.answering,))
        finally:
            work.answering.cancel()
        if work.answering.cancelled():
            self._keep(self._conversations.stop(attempt))
            return Settled(lease, turn.id, failure=CANCELLED)
        try:
            answered = work.answering.result()
        except AssistantError as exc:
            log.warning("no answer", turn=turn.id, code=exc.code, error=str(exc))
            return Settled(lease, turn.id, failure=failure_of(exc))
        return Settled(lease, turn.id, answered.text, answered.usage, files=answered.files)

    def _attachments(self, turn: Turn) -> Attachments:
        adapter = self._adapters[turn.message.key.platform]
        if turn.message.files and isinstance(adapter, Attaching):
            return partial(adapter.fetch, turn)
        return no_attachments

    async def _follow(self, turn: Turn, live: Live, outbox: Outbox) -> None:
        try:
            if turn.message.kind is Kind.ASK:  # the others are over as soon as they begin
                await self._adapters[turn.message.key.platform].follow(turn, live, outbox)
        except Exception:  # a preview that fails must not cost the reply
            log.exception("preview failed", turn=turn.id)
        finally:
            live.watched = False

    async def _deliver(self, turn: Turn, outbox: Outbox) -> Failure | None:
        """Bring the outcome to the platform; the failure when it will not take it. Raises LeaseLost."""
        adapter = self._adapters[turn.message.key.platform]
        deadline = self._loop.time() + DELIVERY_PATIENCE
        for pause in chain(DELIVERY_PAUSES, repeat(DELIVERY_PAUSES[-1])):
            try:
                await adapter.deliver(turn, outbox)
            except DeliveryError as exc:
                if exc.retry_after is None or self._loop.time() > deadline:
                    return _undeliverable(turn, exc)
                log.warning("delivery put off", turn=turn.id, error=str(exc))
                await asyncio.sleep(max(pause, exc.retry_after))
            except LeaseLost:
                raise
            except Exception as exc:
                log.exception("delivery broke off", turn=turn.id)
                return _undeliverable(turn, exc)
            else:
                return None
        raise AssertionError

    async def _hand_back(self, work: Work, *, after: float) -> None:
        """Give up the lease, so that whoever takes it next goes on from what is stored."""
        if work.lost:
            log.warning("lease lost", turn=work.claim.turn.id)
            return
        begun = work.attempt.begun if work.attempt else not work.claim.fresh
        change = Released(work.claim.lease, after, fresh=not begun)
        with suppress(LeaseLost):
            await self._journal.write(change)
            log.info("turn handed back", turn=work.claim.turn.id, begun=begun)


def _undeliverable(turn: Turn, exc: Exception) -> Failure:
    detail = str(exc) if isinstance(exc, GatewayError) else type(exc).__name__
    log.error("undeliverable", turn=turn.id, error=detail)
    return Failure(DeliveryError.code, "The reply could not be delivered.", detail=detail)


def _cancel(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=END_GRACE)


async def _finish(following: asyncio.Task[None]) -> None:
    """Give a preview a moment to show the rest, then end it."""
    await asyncio.wait((following,), timeout=FOLLOW_GRACE)
    await _end([following])


def run_once(work: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end, where no engine runs."""
    return asyncio.run(work)
