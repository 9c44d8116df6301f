"""The point at which a fault is injected: a process or call waits there until the fault has begun."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 40.0


class Moment:
    """A point that blocks the nth arrival and lets the others pass. Callable from any thread."""

    def __init__(self, *, number: int = 1, holds: bool = True) -> None:
        """``blocks``: whether the nth arrival waits for ``release``."""
        self.passed = threading.Event()
        self._reached = threading.Event()
        self._left = number
        self._holds = holds
        self._lock = threading.Lock()

    def reach(self) -> None:
        with self._lock:
            self._left -= 1
            first = self._left == 0
        if first:
            self._reached.set()
            if self._holds:
                self.passed.wait(PATIENCE)

    def wait(self, seconds: float) -> bool:
        """Waits until the point is reached; returns whether it was in time."""
        return self._reached.wait(seconds)

    def let_go(self) -> None:
        self.passed.set()


def report(post: Path) -> None:
    """Called in a gateway process: reports that the point is reached, and waits until it is released."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:  # nothing listens after the scenario
        line.connect(str(post))
        line.recv(1)


@contextlib.contextmanager
def hearing(post: Path, moment: Moment) -> Iterator[None]:
    """Receives the reports of other processes and passes them to ``sync``."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(post))
        listener.listen(64)
        threading.Thread(target=_hear, args=(listener, moment), daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends the accepting thread


def _hear(listener: socket.socket, moment: Moment) -> None:
    with contextlib.suppress(OSError):
        while True:
            line, _ = listener.accept()
            threading.Thread(target=_answer, args=(line, moment), daemon=True).start()


def _answer(line: socket.socket, moment: Moment) -> None:
    with line, contextlib.suppress(OSError):  # the waiting process may be dead
        moment.reach()
        line.sendall(b".")
