"""What can go wrong on the way between an app and a platform's API, on demand; and the record of what was asked."""

from __future__ import annotations

import asyncio
import fnmatch
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method."""

    method: str
    args: Json
    """With the values that travel as JSON within a form decoded; without the token."""
    token: str
    answered: str = ""
    """``ok``, the platform's error code, a status as 500, ``refused`` or ``lost``; empty until it is."""
    answer: Json = field(default_factory=dict)
    """What was answered, or would have been, had the connection not died."""


Hook = Callable[[Call], object]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """429 with the seconds to wait; nothing is performed."""

    retry_after: float = 1
    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """A page of some proxy with this status; nothing is performed."""

    status: int = 500
    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """The call is performed; the connection dies before the answer."""

    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection dies before anything is performed."""

    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Hang:
    """The call waits for ``Faults.release`` and is performed then, whether its caller still waits or not."""

    times: int | None = 1
    skip: int = 0


class Fault(Protocol):
    """One of these, or a platform's own: what strikes a call, how often, and how many are let pass first."""

    @property
    def times(self) -> int | None: ...
    @property
    def skip(self) -> int: ...


@dataclass
class _Armed:
    pattern: str
    fault: Fault
    left: int | None
    skip: int


class Faults:
    """Faults and hooks by method, a pattern such as ``send*``. May be changed from any thread at any time.

    ``times`` counts the calls a fault strikes, None for ever; ``skip`` lets so many matching calls pass first.
    Faults strike one per call, in the order in which they were added.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._before: list[tuple[str, Hook]] = []
        self._after: list[tuple[str, Hook]] = []
        self._hanging: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def add(self, method: str, *faults: Fault) -> None:
        with self._lock:
            self._armed += [_Armed(method, fault, fault.times, fault.skip) for fault in faults]

    def before(self, method: str, hook: Hook) -> None:
        """Call ``hook`` before a call is performed; in a thread, so that it may wait or call the fake."""
        self._before.append((method, hook))

    def after(self, method: str, hook: Hook) -> None:
        """Call ``hook`` when a call was performed, before its answer leaves."""
        self._after.append((method, hook))

    def clear(self) -> None:
        """Nothing goes wrong any more; what hangs is released."""
        with self._lock:
            self._armed.clear()
        self._before.clear()
        self._after.clear()
        self.release()

    def release(self) -> None:
        """Let go what hangs now, and let nothing hang that was to hang."""
        with self._lock:
            self._armed = [armed for armed in self._armed if not isinstance(armed.fault, Hang)]
            hanging, self._hanging = self._hanging, []
        for loop, gate in hanging:
            with suppress(RuntimeError):  # the fake has stopped meanwhile
                loop.call_soon_threadsafe(gate.set)

    @property
    def hanging(self) -> int:
        """How many calls wait to be released."""
        return len(self._hanging)

    def take(self, method: str) -> Fault | None:
        """The fault that strikes this call."""
        if not self._armed:
            return None
        with self._lock:
            for armed in self._armed:
                if fnmatch.fnmatchcase(method, armed.pattern):
                    return self._strike(armed)
        return None

    def _strike(self, armed: _Armed) -> Fault | None:
        if armed.skip > 0:
            armed.skip -= 1
            return None
        if armed.left is not None:
            armed.left -= 1
            if armed.left <= 0:
                self._armed.remove(armed)
        return armed.fault

    def gate(self) -> asyncio.Event:
        """What a hanging call waits for."""
        gate = asyncio.Event()
        with self._lock:
            self._hanging.append((asyncio.get_running_loop(), gate))
        return gate

    async def run_before(self, call: Call) -> None:
        await _run(self._before, call)

    async def run_after(self, call: Call) -> None:
        await _run(self._after, call)


async def _run(hooks: list[tuple[str, Hook]], call: Call) -> None:
    for pattern, hook in hooks.copy():
        if fnmatch.fnmatchcase(call.method, pattern):
            await asyncio.to_thread(hook, call)
