"""Faults that tests order for the calls of a fake platform's API, and the record of a call."""

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
class RecordedCall:
    """One call of an API method."""

    method: str
    args: Json
    """Without the token; JSON values inside a form are decoded."""
    token: str
    summary: str = ""
    """``ok``, the platform's error code, a status such as 500, ``refused`` or ``lost``; empty until answered."""
    answer: Json = field(default_factory=dict)
    """The response, or what it would have been if the connection had not been closed."""


Hook = Callable[[RecordedCall], object]


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Responds 429 with the seconds to wait; the call is not performed."""

    retry_after: float = 1
    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class HttpStatus:
    """Responds with this status and an HTML page, as proxies do; the call is not performed."""

    status: int = 500
    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class ResponseLost:
    """The call is performed; the connection is closed before the response."""

    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionRefused:
    """The connection is closed before the call is performed."""

    times: int | None = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class HangingCall:
    """The call waits for ``PlatformFaults.release``, then is performed even if its caller has disconnected."""

    times: int | None = 1
    skip: int = 0


class PlatformFault(Protocol):
    """A fault: one of these classes, or a platform's own."""

    @property
    def times(self) -> int | None: ...
    @property
    def skip(self) -> int: ...


@dataclass
class _ArmedFault:
    pattern: str
    fault: PlatformFault
    left: int | None
    skip: int


class PlatformFaults:
    """Faults and hooks by method, a pattern such as ``send*``. Thread-safe.

    A fault applies to ``times`` calls (None: to all) after the first ``skip`` matching ones. At most one fault applies
    to a call, in the order in which they were added.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_ArmedFault] = []
        self._before: list[tuple[str, Hook]] = []
        self._after: list[tuple[str, Hook]] = []
        self._hanging: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def add(self, method: str, *faults: PlatformFault) -> None:
        with self._lock:
            self._armed += [_ArmedFault(method, fault, fault.times, fault.skip) for fault in faults]

    def before(self, method: str, hook: Hook) -> None:
        """Calls ``hook`` before a call is performed, in a thread, so that it may block or call the fake."""
        self._before.append((method, hook))

    def after(self, method: str, hook: Hook) -> None:
        """Calls ``hook`` after a call was performed, before its response is sent."""
        self._after.append((method, hook))

    def clear(self) -> None:
        """Removes all faults and hooks, and releases hanging calls."""
        with self._lock:
            self._armed.clear()
        self._before.clear()
        self._after.clear()
        self.release()

    def release(self) -> None:
        """Releases hanging calls, and removes pending HangingCall faults."""
        with self._lock:
            self._armed = [armed for armed in self._armed if not isinstance(armed.fault, HangingCall)]
            hanging, self._hanging = self._hanging, []
        for loop, gate in hanging:
            with suppress(RuntimeError):  # the fake was stopped meanwhile
                loop.call_soon_threadsafe(gate.set)

    @property
    def hanging(self) -> int:
        """The number of calls that wait to be released."""
        return len(self._hanging)

    def next_for(self, method: str) -> PlatformFault | None:
        """Returns the fault for this call, if any."""
        if not self._armed:
            return None
        with self._lock:
            for armed in self._armed:
                if fnmatch.fnmatchcase(method, armed.pattern):
                    return self._consume(armed)
        return None

    def _consume(self, armed: _ArmedFault) -> PlatformFault | None:
        if armed.skip > 0:
            armed.skip -= 1
            return None
        if armed.left is not None:
            armed.left -= 1
            if armed.left <= 0:
                self._armed.remove(armed)
        return armed.fault

    def new_release_event(self) -> asyncio.Event:
        """Returns a new event for a hanging call to wait for."""
        gate = asyncio.Event()
        with self._lock:
            self._hanging.append((asyncio.get_running_loop(), gate))
        return gate

    async def run_before(self, call: RecordedCall) -> None:
        await _run(self._before, call)

    async def run_after(self, call: RecordedCall) -> None:
        await _run(self._after, call)


async def _run(hooks: list[tuple[str, Hook]], call: RecordedCall) -> None:
    for pattern, hook in hooks.copy():
        if fnmatch.fnmatchcase(call.method, pattern):
            await asyncio.to_thread(hook, call)
