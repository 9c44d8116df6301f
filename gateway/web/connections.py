"""Limits of the web server, and which of its connections wait for their client."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

YOUNG_SECONDS = 1.0
"""A connection is not refused for the sake of its address before it had this time to send something."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are in seconds."""

    first_byte: float = 10.0
    """From opening a connection to its first byte."""
    head: float = 10.0
    """From the first byte of a request to the end of its headers."""
    body: float = 60.0
    """From the end of the headers to the end of the body."""
    linger: float = 5.0
    """For the rest of a request that was answered before it was complete."""
    half_closed: float = 1.0
    """Between two looks whether a client that ended its side of the connection is gone, or waits for its answer."""
    head_bytes: int = 32 * 1024
    headers: int = 100
    connections: int = 30_000
    """Above this, the connection that has waited longest for its client is closed for each new one."""
    waiting_per_address: int | None = 200
    """How many connections of one address may wait for their client. None: no limit, because a proxy is trusted."""


class Phase(Enum):
    """What a connection waits for. Above the limit of connections, the first phases lose theirs first."""

    OPENED = "first byte"
    HEAD = "rest of the headers"
    LINGERING = "rest of a request that is answered"
    HALF_CLOSED = "a sign that it is gone: it ended its side of the connection"
    IDLE = "next request"
    BODY = "rest of the body"

    __hash__ = object.__hash__  # Python's own is the hash of the name, by a function in Python for each look-up


class Connection(Protocol):
    """A connection with a client."""

    address: str
    phase: Phase | None
    """What it waits for, as ``Connections`` notes it; None while its request is being answered."""

    def end(self) -> None:
        """Closes it at once, without an answer."""
        ...

    def time_out(self) -> None:
        """Closes it, with an answer if it waits for one."""
        ...


class Connections:
    """The open connections, and since when those wait that wait for their client. On the server's loop."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.stopping = False
        """No further request is awaited on a connection."""
        self._clock = clock
        self._open: set[Connection] = set()
        self._phases: dict[Phase, dict[Connection, float]] = {phase: {} for phase in Phase}
        self._of_address: dict[str, dict[Connection, float]] = {}
        self._seconds = {
            Phase.OPENED: limits.first_byte,
            Phase.HEAD: limits.head,
            Phase.LINGERING: limits.linger,
            Phase.HALF_CLOSED: limits.half_closed,
            Phase.IDLE: math.inf,  # uvicorn has a timer for it
            Phase.BODY: limits.body,
        }

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def opened(self, connection: Connection) -> None:
        """Adds a connection, and closes the one that has waited longest if there are too many."""
        if len(self._open) >= self.limits.connections:
            for waiting in self._phases.values():
                if waiting:
                    next(iter(waiting)).end()
                    break
        self._open.add(connection)
        self.waits(connection, Phase.OPENED)
        self._limit_address(connection.address)

    def closed(self, connection: Connection) -> None:
        self.works(connection)
        self._open.discard(connection)

    def waits(self, connection: Connection, phase: Phase) -> None:
        """Notes what a connection waits for from now on."""
        self.works(connection)
        connection.phase = phase
        since = self._phases[phase][connection] = self._clock()
        if phase is not Phase.IDLE:
            self._of_address.setdefault(connection.address, {})[connection] = since

    def works(self, connection: Connection) -> None:
        """Notes that a connection does not wait for its client: its request is being answered."""
        phase, connection.phase = connection.phase, None
        if phase is None:
            return
        del self._phases[phase][connection]
        if phase is Phase.IDLE:  # that of nobody's address
            return
        of_address = self._of_address.get(connection.address, {})
        of_address.pop(connection, None)
        if not of_address:
            self._of_address.pop(connection.address, None)

    def time_out(self) -> None:
        """Closes the connections that have waited too long. Called about once a second."""
        now = self._clock()
        for phase, waiting in self._phases.items():
            for connection, since in tuple(waiting.items()):
                if now - since < self._seconds[phase]:
                    break  # the others have not waited as long
                connection.time_out()

    def _limit_address(self, address: str) -> None:
        most, of_address = self.limits.waiting_per_address, self._of_address[address]
        if most is None or len(of_address) <= most:
            return
        longest = next(iter(of_address))
        if self._clock() - of_address[longest] >= YOUNG_SECONDS:
            longest.end()
