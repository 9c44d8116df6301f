"""Lets request threads wait for their turn; the worker's event loop reports the turn's progress to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock

from gateway.domain.errors import Overloaded, StoreUnavailable
from gateway.domain.models import Shown, TextDelta, Turn, TurnId

FIRST_LOOK = 0.25
LONGEST_PAUSE = 2.0
LOOK_WHEN_HERE = 10.0
"""Seconds between polls of the turns table. A turn that another process may hold is polled soon and then less often;
a turn that this process works on (LOCAL_POLL_SECONDS) only as a safety net.
"""


class Waiter:
    """A caller in a request thread that waits for one turn at a time."""

    def __init__(self, room: WaitingRoom, turn: TurnId, *, watches: bool) -> None:
        self.watches = watches
        self._room = room
        self._turn = turn
        self._news: SimpleQueue[Shown | Turn | None] = SimpleQueue()
        self._look = False

    def tell(self, news: Shown | Turn | None) -> None:
        """Queues an update for the waiting thread. None only wakes it. Called from any thread."""
        self._news.put(news)

    def wake(self) -> None:
        """Makes the waiting thread poll the store now, because another process has changed the turn."""
        self._look = True
        self._news.put(None)

    def turn_to(self, turn: TurnId) -> None:
        """Waits for another turn instead."""
        self._room.move(self, self._turn, turn)
        self._turn = turn

    def close(self) -> None:
        self._room.leave(self, self._turn)

    def news(
        self, look: Callable[[], Turn], *, here: bool, patience: float, pulse: float
    ) -> Iterator[Shown | Turn | None]:
        """Yields the turn's preview events, then the resolved turn; None at least every ``idle_interval`` seconds.

        Ends without a resolved turn after ``max_silence`` seconds without an event, or when the registry has closed.
        ``load_turn`` reads the turn from the store; ``is_local``: this process works on it. Raises what ``load_turn``
        raises, except StoreUnavailable: it then goes on waiting for updates.
        """
        pause = LOOK_WHEN_HERE if here else FIRST_LOOK
        until, next_look = time.monotonic() + patience, time.monotonic() + pause
        while (now := time.monotonic()) < min(until, self._room.closes_at):
            item = self._next(min(next_look, now + pulse, until, self._room.closes_at) - now)
            if item is None and (self._look or time.monotonic() >= next_look):
                self._look = False
                item = _outcome(look)
                pause = LOOK_WHEN_HERE if here else min(pause * 1.5, LONGEST_PAUSE)
                next_look = time.monotonic() + pause
            yield item
            if isinstance(item, Turn):
                return
            if item is not None:
                until = time.monotonic() + patience

    def _next(self, timeout: float) -> Shown | Turn | None:
        with suppress(Empty):
            return self._news.get(timeout=max(timeout, 0.0))
        return None


class WaitingRoom:
    """The callers that wait, by turn. Thread-safe; at most ``capacity`` wait at once."""

    def __init__(self, places: int) -> None:
        self.closes_at = float("inf")
        self._places = places
        self._taken = 0
        self._waiters: dict[TurnId, list[Waiter]] = {}
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """The number of waiting callers."""
        return self._taken

    def enter(self, turn: TurnId, *, watches: bool) -> Waiter:
        """Registers a waiter for a turn; ``wants_previews``: it also gets preview events. The caller must close it.

        Raises Overloaded when the registry is full or closed.
        """
        self.check_open()
        waiter = Waiter(self, turn, watches=watches)
        with self._lock:
            if self._taken >= self._places:
                raise Overloaded("Too many callers are waiting for an answer. Try again later.")
            self._taken += 1
            self._waiters.setdefault(turn, []).append(waiter)
        return waiter

    def check_open(self) -> None:
        """Raises Overloaded once ``close`` was called."""
        if self.closes_at < float("inf"):
            raise Overloaded("The gateway is restarting. Try again in a moment.")

    def close(self, after: float) -> None:
        """Accepts no more waiters, and ends the present waits ``grace_seconds`` from now."""
        self.closes_at = time.monotonic() + after
        with self._lock:
            all_waiters = [waiter for waiters in self._waiters.values() for waiter in waiters]
        for waiter in all_waiters:
            waiter.tell(None)

    def watched(self, turn: TurnId) -> bool:
        return any(waiter.watches for waiter in self._of(turn))

    def show(self, turn: TurnId, shown: Shown) -> None:
        for waiter in self._of(turn):
            if waiter.watches:
                waiter.tell(shown)

    def settle(self, turn: Turn) -> None:
        for waiter in self._of(turn.id):
            waiter.tell(turn)

    def wake(self, turn: TurnId) -> None:
        """Makes all waiters of the turn poll the store."""
        for waiter in self._of(turn):
            waiter.wake()

    def move(self, waiter: Waiter, turn: TurnId, to: TurnId) -> None:
        with self._lock:
            self._remove(waiter, turn)
            self._waiters.setdefault(to, []).append(waiter)

    def leave(self, waiter: Waiter, turn: TurnId) -> None:
        """Removes a waiter; does nothing if it was removed before."""
        with self._lock:
            self._taken -= self._remove(waiter, turn)

    def _of(self, turn: TurnId) -> tuple[Waiter, ...]:
        with self._lock:
            return tuple(self._waiters.get(turn, ()))

    def _remove(self, waiter: Waiter, turn: TurnId) -> int:
        waiters = self._waiters.get(turn, [])
        if waiter not in waiters:
            return 0
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[turn]
        return 1


class Pace:
    """Passes on a turn's preview events: the first text at once, later text in batches, ``interval`` seconds apart.

    Used on an event loop. A batch wakes the waiting thread only once, however much text it holds.
    """

    def __init__(self, send: Callable[[Shown], None], seconds: float) -> None:
        self._send = send
        self._seconds = seconds
        self._held: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def put(self, shown: Shown) -> None:
        if not isinstance(shown, TextDelta):
            self._release()
            self._send(shown)
            return
        self._held.append(shown.text)
        if self._timer is None:
            self._release()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._ring)

    def close(self) -> None:
        """Passes on the pending text."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._release()

    def _ring(self) -> None:
        self._timer = None
        if self._held:
            self._release()
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._ring)

    def _release(self) -> None:
        if self._held:
            self._send(TextDelta("".join(self._held)))
            self._held.clear()


def _outcome(look: Callable[[], Turn]) -> Turn | None:
    with suppress(StoreUnavailable):
        turn = look()
        return turn if turn.state.decided else None
    return None
