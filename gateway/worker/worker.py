"""The asyncio side of the gateway: claims turns, has them worked on, keeps leases, hands back on stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any, TypeVar

from gateway import logs
from gateway.coordination.async_store import Journal
from gateway.coordination.lease import IN_HAND, Grip, now
from gateway.domain.errors import LeaseLost, StoreUnavailable
from gateway.domain.models import Claim, TurnId
from gateway.observability.metrics import Metrics
from gateway.ports.store import News, Notice, Store
from gateway.worker.turn_processor import Work, Working, end_all

T = TypeVar("T")

CLAIMS = 100
"""How many conversations one look at the table takes at the most."""
AFTER_A_FAULT = 5.0
ARRIVAL_LOOK = 0.005
LONGEST_ARRIVAL = 1.0
"""Seconds that the start of turns waits at the most while messages are being taken in."""

log = logs.get(__name__)


class Engine:
    """Works on up to ``room`` conversations at once, one turn of each at a time, on a loop in a thread of its own."""

    def __init__(
        self,
        journal: Journal,
        working: Working,
        platforms: Sequence[str],
        metrics: Metrics,
        *,
        owner: str,
        room: int,
        lease_seconds: float,
        sweep_seconds: float = 1.0,
    ) -> None:
        self.owner = owner
        self._journal = journal
        self._working = working
        self._platforms = platforms
        self._metrics = metrics
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
        self._deaf = threading.Event()
        self._listener: threading.Thread | None = None

    # ------------------------------------------------------------ from any thread

    def start(self) -> None:
        """Begin to claim and to run."""
        self._thread.start()
        self._loop.call_soon_threadsafe(self._open)

    def listen(self, store: Store, decided: Callable[[TurnId], None]) -> None:
        """Hear what other processes do. ``decided``, called in another thread, is told of a turn awaited here."""

        def hear(notice: Notice) -> None:
            if notice.news is News.DUE:
                self._loop.call_soon_threadsafe(self._news.set)
            elif notice.turn is not None:
                (decided if notice.news is News.DECIDED else self.interrupt)(notice.turn)

        self._listener = threading.Thread(target=store.listen, args=(hear, self._deaf), name="news", daemon=True)
        self._listener.start()

    def look_after(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the turns until the engine finishes."""
        self._loop.call_soon_threadsafe(lambda: self._keep(work))

    def drain(self) -> None:
        """Take on nothing new; what is in hand goes on."""
        self._draining = True

    def finish(self, grace: float) -> None:
        """Let what is in hand finish for up to ``grace`` seconds, and hand back the rest."""
        self.drain()
        self.call(self._finish(grace))
        self._deaf.set()

    def stop(self) -> None:
        """End the loop. Nothing may be in hand any more."""
        if self._listener is not None:
            self._listener.join()
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

    def submit(self, claim: Claim, since: float) -> None:
        # In a context of its own: the caller's would keep its whole web request alive as long as the turn runs.
        self._loop.call_soon_threadsafe(self._begin, claim, since, context=Context())

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
        await end_all([task for task in in_hand if not task.done()])
        await end_all(tuple(self._aside))
        await self._working.end()

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
        since = now()
        claims = await self._journal.read(lambda store: store.claim(self.owner, self._platforms, limit))
        self._metrics.claimed(now() - since)
        for claim in claims:
            self._begin(claim, since)
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
        before, since = dict(self._works), now()
        if not before:
            return
        # Only what is known here: a lease that got lost on the way to us has to run out.
        renewal = await self._journal.read(lambda store: store.renew(self.owner, before.keys()))
        for conversation, work in before.items():
            if self._works.get(conversation) is not work:
                continue
            if conversation in renewal.held:
                work.grip.extend(since)
            elif not work.finishing:
                work.drop()
        for turn in renewal.cancelled:
            self._interrupt(turn)

    def _begin(self, claim: Claim, since: float) -> None:
        conversation = claim.lease.conversation
        before = self._works.get(conversation)
        if before is not None:  # its lease ran out unnoticed: we took over from ourselves
            if before.go_on(claim, since):
                return
            before.drop()
        grip = Grip(self._journal, claim, seconds=self._lease_seconds, since=since)
        work = self._works[conversation] = Work(grip, refused=not self.room())
        self._metrics.in_hand(len(self._works))
        work.task = self._loop.create_task(self._work(work))
        work.task.add_done_callback(lambda _: self._done(conversation, work))

    def _done(self, conversation: int, work: Work) -> None:
        if self._works.get(conversation) is work:
            del self._works[conversation]
        self._metrics.in_hand(len(self._works))
        if len(self._works) == self._room - 1:
            self._news.set()  # there was no room a moment ago: something may be waiting for it

    def _interrupt(self, turn: TurnId) -> None:
        for work in self._works.values():
            work.interrupt(turn)

    # ------------------------------------------------------------ one conversation

    async def _work(self, work: Work) -> None:
        IN_HAND.set(work.grip)
        try:
            if work.refused:
                await self._working.hand_back(work, after=0.0)
                return
            await self._calm()
            while await self._working.one_turn(work, go_on=self._goes_on):
                pass
        except LeaseLost:
            self._working.lost(work)
        except asyncio.CancelledError:
            await self._working.hand_back(work, after=0.0)
        except Exception:
            log.exception("turn broke off", turn=work.claim.turn.id)
            await self._working.hand_back(work, after=AFTER_A_FAULT)

    def _goes_on(self) -> bool:
        """Whether a conversation in hand may be kept for its next turn."""
        return not self._draining and len(self._works) < self._room

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


def run_once(work: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine to its end, where no engine runs."""
    return asyncio.run(work)
