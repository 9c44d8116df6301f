"""The moment at which a fault strikes: somebody is there, and waits until it has."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

PATIENCE = 40.0


class Moment:
    """Reached once, by whoever is the nth to come; the others pass. From any thread."""

    def __init__(self, *, number: int = 1, holds: bool = True) -> None:
        """``holds``: whether whoever reaches it waits for ``let_go``."""
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
        """Until it is reached; whether it was in time."""
        return self._reached.wait(seconds)

    def let_go(self) -> None:
        self.passed.set()


def report(post: Path) -> None:
    """In another process: say that the moment is there, and wait as long as that takes."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:  # nobody listens when all is over
        line.connect(str(post))
        line.recv(1)


@contextlib.contextmanager
def hearing(post: Path, moment: Moment) -> Iterator[None]:
    """Pass on what other processes report."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(post))
        listener.listen(64)
        threading.Thread(target=_hear, args=(listener, moment), daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # so that nobody waits at it any more


def _hear(listener: socket.socket, moment: Moment) -> None:
    with contextlib.suppress(OSError):
        while True:
            line, _ = listener.accept()
            threading.Thread(target=_answer, args=(line, moment), daemon=True).start()


def _answer(line: socket.socket, moment: Moment) -> None:
    with line, contextlib.suppress(OSError):  # whoever waited may be dead
        moment.reach()
        line.sendall(b".")
