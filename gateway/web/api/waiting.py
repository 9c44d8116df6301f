"""Lets callers wait for their turn, each in a coroutine; the worker reports the turn's progress to them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Self

from gateway.coordination.shares import SharedPlaces
from gateway.domain.approvals import Approval
from gateway.domain.errors import Overloaded, StoreUnavailable
from gateway.domain.models import Turn, TurnId
from gateway.domain.run_events import PreviewEvent, TextDelta, merged
from gateway.domain.sentences import Sentence, counted, sentence
from gateway.domain.shares import NOBODY, Share
from gateway.web.api.routes import HttpRequest

FIRST_POLL_SECONDS = 0.25
MAX_POLL_SECONDS = 2.0
LOCAL_POLL_SECONDS = 30.0
"""Seconds between polls of the turns table. A turn that another process may hold is polled soon and then less often;
a turn that this process works on (LOCAL_POLL_SECONDS) only as a safety net.
"""
SECONDS_BETWEEN_DELTAS = 0.05
POLLS_PER_SECOND = 500
"""Of all callers of a process together: with more callers than that allows, each polls less often."""

LoadTurn = Callable[[], Awaitable[Turn]]


class Waiter:
    """A caller that waits for one turn at a time, on the event loop on which it was created."""

    __slots__ = (
        *("_closed", "_loop", "_poll_now", "_registry", "_turn_id", "_updates", "_watching", "_woken"),
        *("caller", "wants_previews"),
    )

    def __init__(self, registry: WaiterRegistry, turn_id: TurnId, caller: Share, *, wants_previews: bool) -> None:
        self.caller = caller
        self.wants_previews = wants_previews
        self._registry = registry
        self._turn_id = turn_id
        self._loop = asyncio.get_running_loop()
        self._updates: list[PreviewEvent | Approval | Turn] = []  # few at a time: a deque takes 700 bytes for one
        self._woken: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._poll_now = False
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, update: PreviewEvent | Approval | Turn) -> None:
        """Queues an update. Called from any thread."""
        self._updates.append(update)
        self.wake_up()

    def poll_now(self) -> None:
        """Makes the caller poll the store now, because another process has changed the turn. Any thread."""
        self._poll_now = True
        self.wake_up()

    def switch_to(self, turn_id: TurnId) -> None:
        """Waits for another turn instead."""
        self._registry.move(self, self._turn_id, turn_id)
        self._turn_id = turn_id

    def close_when_disconnected(self, request: HttpRequest) -> None:
        """Has the wait end when its caller goes away."""
        self._watching = asyncio.create_task(request.wait_until_disconnected())
        self._watching.add_done_callback(self._on_disconnect)

    def _on_disconnect(self, _: asyncio.Task[None]) -> None:
        self.close()

    def close(self) -> None:
        """Ends the wait, because its caller is gone or has what it waited for. On the waiter's loop."""
        self._closed = True
        if self._watching is not None:
            self._watching.cancel()
        self._registry.unregister(self, self._turn_id)
        self._set_woken()

    def wake_up(self) -> None:
        """Makes the wait look at what has changed. Any thread."""
        if _running_loop() is self._loop:
            self._set_woken()
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody waits on it
                self._loop.call_soon_threadsafe(self._set_woken)

    async def updates(
        self,
        load_turn: LoadTurn,
        *,
        is_local: bool,
        max_silence: float,
        idle_interval: float,
        with_approvals: bool = False,
    ) -> AsyncIterator[PreviewEvent | Approval | Turn | None]:
        """Yields the turn's preview events, then the turn once it is resolved or awaits outputs of its sender; None at
        least every ``idle_interval`` seconds. ``with_approvals``: also yields it while people have to approve a call of
        a tool, which ends the wait of a caller who gets no preview.

        Ends without a resolved turn after ``max_silence`` seconds without an event, or when the waiter or the registry
        is closed. ``load_turn`` reads the turn from the store; ``is_local``: this process works on it. Raises what
        ``load_turn`` raises, except StoreUnavailable: it then goes on waiting for updates.
        """
        pause = LOCAL_POLL_SECONDS if is_local else FIRST_POLL_SECONDS
        until, next_look = time.monotonic() + max_silence, time.monotonic() + pause
        while not self._closed and (now := time.monotonic()) < min(until, self._registry.closes_at):
            item = await self._next_update(min(next_look, now + idle_interval, until, self._registry.closes_at) - now)
            if item is None and (self._poll_now or time.monotonic() >= next_look):
                self._poll_now = False
                item = await _load_if_resolved(load_turn, with_approvals=with_approvals)
                pause = LOCAL_POLL_SECONDS if is_local else self._registry.poll_pause(pause)
                next_look = time.monotonic() + pause
            yield item
            if isinstance(item, Turn) and not (item.awaits_approval and self.wants_previews):
                return
            if item is not None:
                until = time.monotonic() + max_silence

    async def _next_update(self, timeout: float) -> PreviewEvent | Approval | Turn | None:  # noqa: ASYNC109  # one timer, no task
        if not self._updates and not self._poll_now and not self._closed:
            self._woken = self._loop.create_future()
            timer = None if math.isinf(timeout) else self._loop.call_later(max(timeout, 0.0), self._set_woken)
            try:
                await self._woken
            finally:
                self._woken = None
                if timer is not None:
                    timer.cancel()
        return self._updates.pop(0) if self._updates else None

    def _set_woken(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


CALLER_WAITING_FULL = "caller_waiting_full"


class WaiterRegistry:
    """The callers that wait, by turn. Thread-safe; at most ``capacity`` wait at once."""

    def __init__(self, capacity: int, caller_share: float = 1.0) -> None:
        """``caller_share``: the part that one caller may take, see ``SharedPlaces``."""
        self.closes_at = float("inf")
        self._places = SharedPlaces(capacity, caller_share)
        self._waiters: dict[TurnId, list[Waiter]] = {}
        self._shown: dict[TurnId, list[TextDelta]] = {}
        """The text so far of turns whose text is kept."""
        self._lock = Lock()

    @property
    def count(self) -> int:
        """The number of waiting callers."""
        return self._places.total

    def poll_pause(self, last: float) -> float:
        """Returns the seconds to the next poll of a caller who waited ``last`` seconds before this one."""
        return max(min(last * 1.5, MAX_POLL_SECONDS), self._places.total / POLLS_PER_SECOND)

    def register(self, turn_id: TurnId, caller: Share = NOBODY, *, wants_previews: bool) -> Waiter:
        """Registers a waiter for a turn; ``wants_previews``: it also gets preview events. The caller must close it.

        ``caller``: whose share it takes. Called on the loop on which it will wait. Raises Overloaded when the registry
        is closed or full, or has no more places for this caller (``caller_waiting_full``).
        """
        self.check_open()
        waiter = Waiter(self, turn_id, caller, wants_previews=wants_previews)
        with self._lock:
            if self._places.total >= self._places.capacity:
                raise Overloaded(sentence("Too many callers are waiting for an answer. Try again later."))
            if not self._places.try_take(caller):
                raise Overloaded(_share_message(self._places.limit_of(caller)), code=CALLER_WAITING_FULL)
            self._add(waiter, turn_id)
        return waiter

    def check_open(self) -> None:
        """Raises Overloaded once ``close`` was called."""
        if self.is_closed:
            raise Overloaded(sentence("The gateway is restarting. Try again in a moment."))

    def close(self, grace_seconds: float) -> None:
        """Accepts no more waiters, and ends the present waits ``grace_seconds`` from now."""
        self.closes_at = time.monotonic() + grace_seconds
        with self._lock:
            all_waiters = [waiter for waiters in self._waiters.values() for waiter in waiters]
        for waiter in all_waiters:
            waiter.wake_up()

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self.closes_at < float("inf")

    def is_awaited(self, turn_id: TurnId) -> bool:
        return bool(self._waiters_of(turn_id))

    def has_preview_waiter(self, turn_id: TurnId) -> bool:
        return any(waiter.wants_previews for waiter in self._waiters_of(turn_id))

    @contextmanager
    def keeping_text(self, turn_id: TurnId) -> Iterator[None]:
        """Keeps the text of a turn's preview while it is published, for waiters that come later."""
        with self._lock:
            self._shown[turn_id] = []
        try:
            yield
        finally:
            with self._lock:
                self._shown.pop(turn_id, None)

    async def publish_all(self, turn_id: TurnId, events: AsyncIterator[PreviewEvent]) -> None:
        """Publishes a turn's preview events until they end, its text in batches, and keeps the text meanwhile."""
        with self.keeping_text(turn_id):
            pace = DeltaBatcher(partial(self.publish_preview, turn_id), SECONDS_BETWEEN_DELTAS)
            try:
                async for event in events:
                    pace.add(event)
            finally:
                pace.close()

    def publish_preview(self, turn_id: TurnId, event: PreviewEvent | Approval) -> None:
        with self._lock:
            if isinstance(event, TextDelta) and turn_id in self._shown:
                self._shown[turn_id].append(event)
            for waiter in self._waiters.get(turn_id, ()):
                if waiter.wants_previews:
                    waiter.put(event)

    def resolve(self, turn: Turn) -> None:
        for waiter in self._waiters_of(turn.id):
            waiter.put(turn)

    def notify(self, turn_id: TurnId) -> None:
        """Makes all waiters of the turn poll the store."""
        for waiter in self._waiters_of(turn_id):
            waiter.poll_now()

    def move(self, waiter: Waiter, turn_id: TurnId, new_turn_id: TurnId) -> None:
        with self._lock:
            self._remove(waiter, turn_id)
            self._add(waiter, new_turn_id)

    def unregister(self, waiter: Waiter, turn_id: TurnId) -> None:
        """Removes a waiter; does nothing if it was removed before."""
        with self._lock:
            if self._remove(waiter, turn_id):
                self._places.release(waiter.caller)

    def _waiters_of(self, turn_id: TurnId) -> tuple[Waiter, ...]:
        with self._lock:
            return tuple(self._waiters.get(turn_id, ()))

    def _add(self, waiter: Waiter, turn_id: TurnId) -> None:
        self._waiters.setdefault(turn_id, []).append(waiter)
        if waiter.wants_previews:
            for shown in merged(self._shown.get(turn_id, ())):
                waiter.put(shown)

    def _remove(self, waiter: Waiter, turn_id: TurnId) -> bool:
        """Returns whether the waiter was there."""
        waiters = self._waiters.get(turn_id, [])
        if waiter not in waiters:
            return False
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[turn_id]
        return True


def _share_message(limit: int) -> Sentence:
    return counted(
        "One of your requests waits for an answer, the most that one caller may have waiting just now "
        "(MAX_CALLER_SHARE of MAX_WAITING_CALLERS). Try again when it is answered, or send Prefer: respond-async.",
        "{count} of your requests wait for an answer, the most that one caller may have waiting just now "
        "(MAX_CALLER_SHARE of MAX_WAITING_CALLERS). Try again when one of them is answered, "
        "or send Prefer: respond-async.",
        limit,
    )


class DeltaBatcher:
    """Passes on a turn's preview events: the first text at once, later text in batches, ``interval`` seconds apart.

    Used on an event loop. A batch wakes the waiting caller only once, however much text it holds.
    """

    def __init__(self, send: Callable[[PreviewEvent], None], interval: float) -> None:
        self._send = send
        self._interval = interval
        self._pending: list[TextDelta] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, event: PreviewEvent) -> None:
        if not isinstance(event, TextDelta):
            self._flush()
            self._send(event)
            return
        self._pending.append(event)
        if self._timer is None:
            self._flush()
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._on_timer)

    def close(self) -> None:
        """Passes on the pending text."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._flush()

    def _on_timer(self) -> None:
        self._timer = None
        if self._pending:
            self._flush()
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._on_timer)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        for each in merged(pending):
            self._send(each)


async def _load_if_resolved(load_turn: LoadTurn, *, with_approvals: bool) -> Turn | None:
    with suppress(StoreUnavailable):
        turn = await load_turn()
        awaits_approval = with_approvals and turn.awaits_approval
        return turn if turn.state.is_resolved or turn.awaits_outputs or awaits_approval else None
    return None


async def only(turn: Turn) -> AsyncIterator[Turn]:
    """Yields a turn that is resolved already, for which nobody waits."""
    yield turn
