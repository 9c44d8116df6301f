"""What can go wrong on the way, on demand; and the record of what came in, for tests to wait on."""

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
    """One request as it came in."""

    method: str
    path: str
    """Without what stands before the resource: ``/v1``, ``/openai/v1``, ``/openai/deployments/{model}``."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    """Parsed JSON; None when there is none."""
    raw_path: str
    prefix: str = ""
    deployment: str = ""


@dataclass
class Fault:
    """Something to do to the next ``times`` requests (None: to all) whose method and whole path match.

    First it waits for ``gate`` and ``delay`` seconds: the request is acted upon even if its caller has gone by
    then. Then one of:

    - ``status`` (with ``headers`` and ``body``): answer so, without acting.
    - ``kind="drop_before"``: close the connection, without acting.
    - ``kind="drop_after"``: act to the end, then close the connection without answering.
    - ``kind="cut"``: close the connection after ``after`` events (or half of a body that is no stream). A plain
      response is lost by this; runs and background responses go on.
    - ``kind="end_early"``: end the stream politely after ``after`` events; what runs goes on to its end.
    - ``kind="garbage"``: one malformed ``data:`` line after ``after`` events (or a body that is no JSON).
    - ``kind="comment"``: a comment line after ``after`` events, as some servers send to keep a stream open.
    - ``kind="error_event"``: an error event of the protocol after ``after`` events, then the end of the stream.

    ``skip`` lets so many matching requests pass first.
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
    """Wait for an event of threads without blocking the loop; the thread it takes never outlives the program."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def watch() -> None:
        gate.wait()
        with suppress(RuntimeError):  # the loop may be gone by then
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=watch, daemon=True).start()
    await done.wait()


class Faults:
    """The faults to come. May be added from any thread while the server runs; the first that matches is used."""

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
    """Requests in the order they came, and a bell that rings at each of them and at each change of a run."""

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
        """Block until ``ready``, asked at each ring. Raises TimeoutError."""
        with self._bell:
            if not self._bell.wait_for(ready, timeout):
                raise TimeoutError(f"not within {timeout} s; seen: {[f'{s.method} {s.path}' for s in self.seen]}")


def _matching(seen: Iterable[Seen], method: str, path: str) -> Iterable[Seen]:
    return (one for one in seen if re.fullmatch(method, one.method) and re.fullmatch(path, one.path))
