"""Stores the log lines of turns that an operator looks at, in any process.

Nothing is stored for a turn that nobody looks at. A line costs the hot path one entry in a ring; each process asks the
database once a second which turns are looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.retry import repeat
from gateway.domain.models import TurnId
from gateway.observability.turn_log import LogEntry, TurnLogRing
from gateway.ports.turn_log import TurnLogLine, TurnLogs

MAX_LINES_PER_TURN = 500
"""Lines of one turn that one process stores while somebody looks."""
MAX_TEXT_CHARS = 300
"""The longest text of a field."""
MAX_REMEMBERED = 200
"""Turns of which is remembered what was stored."""
POLL_SECONDS = 1.0
BATCH_SECONDS = 0.1
"""For which lines are gathered before they are stored."""
KEPT_SECONDS = 3600.0
"""After which stored lines are deleted."""
LEFT_OUT = frozenset({"turn", "event", "level", "timestamp", "exc_info", "exception", "stack_info"})
"""Fields that a line has besides, or that may hold what somebody wrote: a traceback shows the values of a call."""


class TurnLogPublisher:
    """Stores the lines of turns that somebody looks at. Used on the worker's loop."""

    def __init__(self, ring: TurnLogRing, store: AsyncStore, turn_logs: TurnLogs, process: str) -> None:
        """``process``: the name that the lines bear."""
        self._ring = ring
        self._async_store = store
        self._turn_logs = turn_logs
        self._process = process
        self._stored: dict[TurnId, tuple[int, int]] = {}
        """For turns that are or were watched the number of the newest line that was stored, and how many were."""
        self._has_lines = asyncio.Event()

    async def run(self) -> None:
        """Gathers lines, and stores those that somebody looks at, until it is cancelled."""
        loop = asyncio.get_running_loop()
        self._ring.on_watched_line = lambda: loop.call_soon_threadsafe(self._has_lines.set)
        logs.tap_turns(self._ring.add)
        try:
            await repeat(self.publish, "log lines of turns not stored", self._wait)
        finally:
            logs.tap_turns(None)

    async def _wait(self) -> None:
        """Waits for a line of a watched turn, but not for long: another turn may be watched by now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._has_lines.wait()
                await asyncio.sleep(BATCH_SECONDS)
        self._has_lines.clear()

    async def publish(self) -> None:
        """Stores what is new of the turns that are watched. Raises StoreUnavailable."""
        watched = self._ring.watched = await self._async_store.call(lambda _: self._turn_logs.watched())
        if not watched:
            return
        stored = {turn: self._stored.get(turn, (0, 0)) for turn in watched}
        lines = list(self._new_lines(stored))
        if lines:
            await self._async_store.call(lambda _: self._turn_logs.add(lines))
        self._stored.update(stored)
        while len(self._stored) > MAX_REMEMBERED:
            del self._stored[next(iter(self._stored))]

    def _new_lines(self, stored: dict[TurnId, tuple[int, int]]) -> Iterator[TurnLogLine]:
        """Yields the lines of these turns that were not stored yet, and counts them as stored."""
        for entry in self._ring.since(min(newest for newest, _ in stored.values())):
            turn = TurnId(entry.fields["turn"])
            newest, count = stored.get(turn, (entry.number, 0))
            if entry.number > newest and count < MAX_LINES_PER_TURN:
                stored[turn] = entry.number, count + 1
                yield self._line(turn, entry)

    def _line(self, turn: TurnId, entry: LogEntry) -> TurnLogLine:
        told = {name: value for name, value in entry.fields.items() if name not in LEFT_OUT and value is not None}
        fields = {name: _text(value) for name, value in told.items()}
        event = _text(entry.fields.get("event", ""))
        return TurnLogLine(turn, entry.at, self._process, entry.level, entry.logger, event, fields)


def _text(value: object) -> str:
    return logs.mask(value if isinstance(value, str) else repr(value))[:MAX_TEXT_CHARS]
