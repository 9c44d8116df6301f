"""The worker: claims conversations, processes their turns, renews the leases, releases them on shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError as FutureCancelled
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import CURRENT_LEASE, LeaseGuard, lease_clock
from gateway.coordination.peers import SLACK, PeerLoads
from gateway.coordination.retry import repeat
from gateway.coordination.shares import SharedPlaces
from gateway.domain.conversations import Claim
from gateway.domain.errors import LeaseLost, StoreUnavailable
from gateway.domain.models import TurnId
from gateway.domain.sentences import sentence
from gateway.observability.metrics import Metrics
from gateway.ports.cluster import ClusterEvent, EventKind, WorkerLoad
from gateway.ports.store import Store
from gateway.worker.accepting.start_pace import StartPace
from gateway.worker.claiming.conversation_task import ConversationTask
from gateway.worker.claiming.load_announcer import LoadAnnouncer
from gateway.worker.delivering.preview_task import cancel_all
from gateway.worker.turns.turn_processor import TurnProcessor

T = TypeVar("T")

MAX_CLAIMS_PER_SWEEP = 100
"""The largest number of conversations that one query claims."""
RETRY_DELAY_AFTER_FAULT = 5.0
STOPPED = sentence("The gateway is stopping. Try again later.")
HEAD_START_SECONDS = 0.1
"""Seconds for which a process leaves what is due to the less busy ones, before it claims it all the same."""
LEFT_SECONDS = 0.08
"""For how many seconds it has been due then. Less than the head start, so that what woke the process is due for longer
at the end of it, by whichever clock."""
BUSY_PAUSE_SECONDS = 0.05
"""Seconds between two claims of a process that has something to do: a claim costs several statements, however many
turns it finds."""
ANNOUNCE_SECONDS = 0.1

log = logs.get_logger(__name__)


class Worker:
    """Processes as many conversations at once as there are places, one turn of each at a time.

    On an event loop in a thread.
    """

    def __init__(
        self,
        store: AsyncStore,
        turn_processor: TurnProcessor,
        platforms: Sequence[str],
        metrics: Metrics,
        *,
        owner: str,
        places: SharedPlaces,
        lease_seconds: float,
        sweep_seconds: float = 1.0,
    ) -> None:
        """``places``: for how many conversations at once there is room, none of which is taken yet."""
        self.owner = owner
        self._store = store
        self._turn_processor = turn_processor
        self._platforms = platforms
        self._metrics = metrics
        self._lease_seconds = lease_seconds
        self._sweep_seconds = sweep_seconds
        self._tasks: dict[int, ConversationTask] = {}
        self._places = places
        self._has_refused = False
        """Whether the last claim left conversations whose share has no place now."""
        self._peers = PeerLoads(owner)
        self._announcer = LoadAnnouncer(store)
        self._background_tasks: set[asyncio.Task[Any]] = set()
        self._draining = False
        self._start_pace = StartPace()
        self._loop = _new_event_loop()
        self._wake_up = asyncio.Event()
        self._thread = threading.Thread(target=self._run_loop, name="worker", daemon=True)
        self._stop_listening = threading.Event()
        self._listener: threading.Thread | None = None

    # ------------------------------------------------------------ from any thread

    def start(self) -> None:
        """Starts the thread; from now on turns are claimed and run."""
        self._thread.start()
        self._loop.call_soon_threadsafe(self._start_loops)

    def listen(self, store: Store, on_resolved: Callable[[TurnId], None]) -> None:
        """Starts listening for events of other processes.

        ``on_resolved``: called, in the listener's thread, with each turn awaited here that another process resolved.
        """

        def on_event(event: ClusterEvent) -> None:
            if event.kind is EventKind.DUE:
                self._loop.call_soon_threadsafe(self._wake_up.set)
            elif event.load is not None:
                self._loop.call_soon_threadsafe(self._peers.hear, event.load)
            elif event.kind is EventKind.RESOLVED and event.turn_id is not None:
                on_resolved(event.turn_id)
            elif event.turn_id is not None:
                self._loop.call_soon_threadsafe(self.interrupt_turn, event.turn_id)

        self._listener = threading.Thread(
            target=store.listen, args=(on_event, self._stop_listening), name="cluster-events", daemon=True
        )
        self._listener.start()
        if store.is_shared:
            pause = partial(asyncio.sleep, ANNOUNCE_SECONDS)
            self.run_in_background(repeat(self._announce, "load not announced", pause))

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine beside the turns until ``finish`` cancels it."""
        self._loop.call_soon_threadsafe(lambda: self._create_background_task(work))

    def drain(self) -> None:
        """Stops claiming; turns in progress continue."""
        self._draining = True

    def finish(self, grace_seconds: float) -> None:
        """Waits up to ``grace_seconds`` for the turns in progress and releases the rest unfinished."""
        self.drain()
        self.run_coroutine(self._finish(grace_seconds))
        self._stop_listening.set()

    def stop(self) -> None:
        """Stops the loop and its thread. Called after ``finish``."""
        if self._listener is not None:
            self._listener.join()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def is_processing(self, conversation_id: int) -> bool:
        return conversation_id in self._tasks

    @property
    def is_draining(self) -> bool:
        """Whether the process takes no new work, as it is about to stop."""
        return self._draining

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises StoreUnavailable when the worker has stopped, or stops meanwhile."""
        if self._loop.is_closed():
            work.close()
            raise StoreUnavailable(STOPPED)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except FutureCancelled:
            raise StoreUnavailable(STOPPED) from None

    # ------------------------------------------------------------ on the loop, for the inbox

    def share(self) -> int:
        # Who holds its turns back leaves new ones to a process that starts them at once.
        share = self._peers.share(len(self._tasks), 0 if self._start_pace.holds_turns_back else SLACK)
        return self._free_capacity() if share is None else min(share, self._free_capacity())

    def places(self) -> SharedPlaces:
        return self._places.copy()

    def accepting(self) -> StartPace:
        return self._start_pace

    def wake_up(self, delay: float = 0.0) -> None:
        """Looks for due conversations in ``delay`` seconds, instead of within ``sweep_seconds``. On the loop."""
        if delay:
            self._loop.call_later(delay, self._wake_up.set)
        else:
            self._wake_up.set()

    def start_claim(self, claim: Claim, since: float) -> None:
        self._start_task(claim, since)

    def interrupt_turn(self, turn_id: TurnId) -> None:
        for work in self._tasks.values():
            work.interrupt(turn_id)
        self.wake_up()  # a turn that was parked is due now

    # ------------------------------------------------------------ the loop

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        # Threads that wait in ``run_coroutine`` are released.
        self._loop.run_until_complete(cancel_all(tuple(asyncio.all_tasks(self._loop))))

    def _start_loops(self) -> None:
        self._create_background_task(repeat(self._sweep, "nothing claimed", self._wait_for_wake_up))
        pause = partial(asyncio.sleep, self._lease_seconds / 3)
        self._create_background_task(repeat(self._renew, "leases not renewed", pause))

    def _create_background_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._loop.create_task(work)
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)
        return task

    async def _finish(self, grace_seconds: float) -> None:
        running = [work.task for work in self._tasks.values() if work.task]
        if running:
            log.info("worker stopping", in_hand=len(running), grace=grace_seconds)
            await asyncio.wait(running, timeout=grace_seconds)
        await cancel_all([task for task in running if not task.done()])
        self._metrics.set_conversations_in_progress(len(self._tasks))
        await cancel_all(tuple(self._background_tasks))
        await self._turn_processor.close()

    async def _sweep(self) -> None:
        """Claims what is due, as far as there is capacity. Raises StoreUnavailable."""
        self._metrics.set_conversations_in_progress(len(self._tasks))
        while await self._claim_due():
            await self._pause_if_busy()

    async def _wait_for_wake_up(self) -> None:
        """Waits for an event, but not for long: no event tells of a lease whose holder died."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._sweep_seconds):
                await self._wake_up.wait()
        self._wake_up.clear()  # before the pause: what becomes due in it is looked for in the next sweep
        await self._pause_if_busy()

    async def _pause_if_busy(self) -> None:
        """Pauses before a sweep, so that less busy processes are first and one query claims more.

        An idle process does not pause.
        """
        if self._leaves_work():
            await asyncio.sleep(HEAD_START_SECONDS)
        elif self._tasks:
            await asyncio.sleep(BUSY_PAUSE_SECONDS)

    async def _claim_due(self) -> bool:
        """Claims once; returns whether more may be due for which there is capacity. Raises StoreUnavailable."""
        limit = min(self._free_capacity(), self.share() or SLACK, MAX_CLAIMS_PER_SWEEP)
        if limit <= 0:
            return False
        since, places = lease_clock(), self.places()
        waited = LEFT_SECONDS if self._leaves_work() else 0.0
        claims = await self._store.call(lambda store: store.claim(self.owner, self._platforms, limit, places, waited))
        self._has_refused = places.has_refused or bool(places.full_callers() or places.full_workspaces())
        self._metrics.sweep_finished(lease_clock() - since)
        for claim in claims:
            self._start_task(claim, since)
        return len(claims) == limit

    def _leaves_work(self) -> bool:
        """Returns whether a less busy process has a head start at what is due."""
        return not self.share() and self._free_capacity() > 0

    def _free_capacity(self) -> int:
        """Returns how many more conversations could be worked on at once."""
        return 0 if self._draining else max(0, self._places.capacity - len(self._tasks))

    async def _announce(self) -> None:
        """Raises StoreUnavailable."""
        could_start = self._free_capacity() > 0 and not self._start_pace.holds_turns_back
        await self._announcer.announce(WorkerLoad(self.owner, len(self._tasks), could_start))

    async def _renew(self) -> None:
        """Raises StoreUnavailable."""
        tasks, since = dict(self._tasks), lease_clock()
        if not tasks:
            return
        # Only the conversations known here: a lease whose claim never reached us has to expire.
        renewal = await self._store.call(lambda store: store.renew_leases(self.owner, tasks.keys()))
        for conversation, work in tasks.items():
            if self._tasks.get(conversation) is not work:
                continue
            if conversation in renewal.held_conversations:
                work.lease_guard.mark_renewed(since)
            elif not work.is_finishing:
                work.abandon()
        for turn in renewal.cancelled_turns:
            self.interrupt_turn(turn)

    def _start_task(self, claim: Claim, since: float) -> None:
        conversation = claim.lease.conversation_id
        previous = self._tasks.get(conversation)
        if previous is not None:  # our own lease expired unnoticed, and this process claimed it again
            is_older = claim.lease.epoch <= previous.claim.lease.epoch  # its result came late
            if is_older or previous.adopt_lease(claim, since):
                return
            previous.abandon()
        guard = LeaseGuard(self._store, claim, lease_seconds=self._lease_seconds, requested_at=since)
        platform = claim.turn.message.key.platform
        work = ConversationTask(guard, platform, over_capacity=not self._free_capacity(), share=claim.share)
        self._tasks[conversation] = work
        self._places.take(work.share)
        # In a new context: a caller's would be kept in memory for as long as the turn runs.
        work.task = self._loop.create_task(self._process_conversation(work), context=Context())
        work.task.add_done_callback(lambda _: self._task_done(conversation, work))

    def _task_done(self, conversation: int, work: ConversationTask) -> None:
        if self._tasks.get(conversation) is work:
            del self._tasks[conversation]
        self._places.release(work.share)
        if len(self._tasks) == self._places.capacity - 1 or self._has_refused:
            self._wake_up.set()  # there was no capacity until now: a conversation may be waiting for it

    # ------------------------------------------------------------ one conversation

    async def _process_conversation(self, work: ConversationTask) -> None:
        CURRENT_LEASE.set(work.lease_guard)
        try:
            if work.over_capacity:
                await self._turn_processor.release(work, delay_seconds=0.0)
                return
            await self._start_pace.wait()
            may_claim_next = partial(self._may_claim_next, work)
            while await self._turn_processor.process_turn(work, may_claim_next=may_claim_next):
                pass
        except LeaseLost:
            self._turn_processor.lease_lost(work)
        except asyncio.CancelledError:
            await self._turn_processor.release(work, delay_seconds=0.0)
        except Exception as exc:
            log.exception("turn failed unexpectedly", turn=work.claim.turn.id)
            failed = not isinstance(exc, StoreUnavailable)  # the turn has no part in that
            await self._turn_processor.release(work, delay_seconds=RETRY_DELAY_AFTER_FAULT, failed=failed)

    def _may_claim_next(self, work: ConversationTask) -> bool:
        """Returns whether a conversation may be kept for its next turn: nobody waits for its place, and no other
        process is much less busy.
        """
        if self._draining or self._peers.is_far_ahead(len(self._tasks)):
            return False
        return len(self._tasks) < self._places.capacity and not self._places.holds_too_many(work.share)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Returns a loop of uvloop, which takes less CPU, or one of asyncio where there is no uvloop."""
    try:
        import uvloop  # noqa: PLC0415  # not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run_once(work: Coroutine[Any, Any, T]) -> T:
    """Runs one coroutine to completion, where no worker runs."""
    return asyncio.run(work)
