"""Faults that tests order for requests, and the log of requests that tests wait on."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["drop_before", "drop_after", "cut", "end_early", "garbage", "comment", "error_event"]


@dataclass(frozen=True)
class Seen:
    """One request as it was received."""

    method: str
    path: str
    """Without the prefix: ``/v1``, ``/openai/v1``, ``/openai/deployments/{model}``."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """Parsed JSON; None without a body."""
    raw_path: str
    prefix: str = ""
    deployment: str = ""


@dataclass
class Fault:
    """A fault for the next ``times`` requests (None: for all) whose method and whole path match the patterns.

    First it waits for ``gate`` and ``delay`` seconds; the request is processed even if its caller has disconnected
    by then. Then one of:

    - ``status`` (with ``headers`` and ``body``): respond so, without processing the request.
    - ``kind="drop_before"``: close the connection, without processing the request.
    - ``kind="drop_after"``: process the request completely, then close the connection without a response.
    - ``kind="cut"``: close the connection after ``after`` events (or half of a body that is not a stream). This
      cancels a plain response; runs and background responses continue.
    - ``kind="end_early"``: end the stream properly after ``after`` events; the run continues to its end.
    - ``kind="garbage"``: send a malformed ``data:`` line after ``after`` events (or a body that is invalid JSON).
    - ``kind="comment"``: send a comment line after ``after`` events, as some servers do to keep a stream open.
    - ``kind="error_event"``: send an error event of the API after ``after`` events, then end the stream.

    The first ``skip`` matching requests are not affected.
    """

    method: str = "POST"
    path: str = ".*"
    times: int | None = 1
    kind: Kind | None = None
    after: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    delay: float = 0.0
    gate: threading.Event | None = None
    skip: int = 0

    @property
    def waits(self) -> bool:
        return self.gate is not None or self.delay > 0

    def matches(self, seen: Seen) -> bool:
        return bool(re.fullmatch(self.method, seen.method) and re.fullmatch(self.path, seen.path))

    async def wait(self) -> None:
        if self.gate is not None:
            await _opened(self.gate)
        if self.delay:
            await asyncio.sleep(self.delay)


async def _opened(gate: threading.Event) -> None:
    """Waits for a threading event without blocking the loop, in a daemon thread."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def watch() -> None:
        gate.wait()
        with suppress(RuntimeError):  # the loop may be closed by then
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=watch, daemon=True).start()
    await done.wait()


class Faults:
    """The pending faults; the first that matches is used. Thread-safe while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    @property
    def pending(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def take(self, seen: Seen) -> Fault | None:
        if not self._faults:
            return None
        with self._lock:
            fault = next((fault for fault in self._faults if fault.matches(seen)), None)
            return self._use(fault) if fault else None

    def _use(self, fault: Fault) -> Fault | None:
        if fault.skip:
            fault.skip -= 1
            return None
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
        return fault


class Board:
    """The requests in order of arrival; notifies waiting tests of each request and of each change of a run."""

    def __init__(self, *, record: bool = True) -> None:
        self.seen: list[Seen] = []
        self._record = record
        self._bell = threading.Condition()

    def note(self, seen: Seen) -> None:
        if self._record:
            with self._bell:
                self.seen.append(seen)
                self._bell.notify_all()

    def ring(self) -> None:
        if self._record:
            with self._bell:
                self._bell.notify_all()

    def matching(self, method: str, path: str) -> list[Seen]:
        with self._bell:
            return list(_matching(self.seen, method, path))

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Blocks until ``ready`` returns true, called at each notification. Raises TimeoutError."""
        with self._bell:
            if not self._bell.wait_for(ready, timeout):
                raise TimeoutError(f"not within {timeout} s; seen: {[f'{s.method} {s.path}' for s in self.seen]}")


def _matching(seen: Iterable[Seen], method: str, path: str) -> Iterable[Seen]:
    return (one for one in seen if re.fullmatch(method, one.method) and re.fullmatch(path, one.path))
