"""Faults that tests order for requests, and the log of requests that tests wait on."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

FaultKind = Literal["drop_before", "drop_after", "cut", "end_early", "garbage", "comment", "error_event"]


@dataclass(frozen=True)
class RecordedRequest:
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
class HttpFault:
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
    kind: FaultKind | None = None
    after: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    delay: float = 0.0
    gate: threading.Event | None = None
    skip: int = 0

    @property
    def delays(self) -> bool:
        return self.gate is not None or self.delay > 0

    def matches(self, request: RecordedRequest) -> bool:
        return bool(re.fullmatch(self.method, request.method) and re.fullmatch(self.path, request.path))

    async def wait(self) -> None:
        if self.gate is not None:
            await _wait_for_event(self.gate)
        if self.delay:
            await asyncio.sleep(self.delay)


async def _wait_for_event(event: threading.Event) -> None:
    """Waits for a threading event without blocking the loop, in a daemon thread."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def watch() -> None:
        event.wait()
        with suppress(RuntimeError):  # the loop may be closed by then
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=watch, daemon=True).start()
    await done.wait()


class HttpFaults:
    """The pending faults; the first that matches is used. Thread-safe while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[HttpFault] = []

    def add(self, *faults: HttpFault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    @property
    def pending(self) -> list[HttpFault]:
        with self._lock:
            return list(self._faults)

    def next_for(self, request: RecordedRequest) -> HttpFault | None:
        if not self._faults:
            return None
        with self._lock:
            fault = next((fault for fault in self._faults if fault.matches(request)), None)
            return self._consume(fault) if fault else None

    def _consume(self, fault: HttpFault) -> HttpFault | None:
        if fault.skip:
            fault.skip -= 1
            return None
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
        return fault


class RequestLog:
    """The requests in order of arrival; notifies waiting tests of each request and of each change of a run."""

    def __init__(self, *, record: bool = True) -> None:
        self.requests: list[RecordedRequest] = []
        self._record = record
        self._condition = threading.Condition()

    def add(self, request: RecordedRequest) -> None:
        if self._record:
            with self._condition:
                self.requests.append(request)
                self._condition.notify_all()

    def notify(self) -> None:
        if self._record:
            with self._condition:
                self._condition.notify_all()

    def matching(self, method: str, path: str) -> list[RecordedRequest]:
        with self._condition:
            return list(_matching(self.requests, method, path))

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Blocks until ``ready`` returns true, called at each notification. Raises TimeoutError."""
        with self._condition:
            if not self._condition.wait_for(ready, timeout):
                raise TimeoutError(f"not within {timeout} s; seen: {[f'{s.method} {s.path}' for s in self.requests]}")


def _matching(requests: Iterable[RecordedRequest], method: str, path: str) -> Iterable[RecordedRequest]:
    return (one for one in requests if re.fullmatch(method, one.method) and re.fullmatch(path, one.path))
