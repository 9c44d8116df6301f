"""The point at which a fault is injected: a process or call waits there until the fault has begun."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

TIMEOUT_SECONDS = 40.0


class SyncPoint:
    """A point that blocks the nth arrival and lets the others pass. Callable from any thread."""

    def __init__(self, *, nth_arrival: int = 1, blocks: bool = True, armed: bool = True) -> None:
        """``blocks``: whether the nth arrival waits for ``release``. ``armed``: whether arrivals count already."""
        self.released = threading.Event()
        self._reached = threading.Event()
        self._arrivals_left = nth_arrival
        self._blocks = blocks
        self._armed = armed
        self._lock = threading.Lock()

    def arm(self) -> None:
        """Lets arrivals count from now on."""
        with self._lock:
            self._armed = True

    def reach(self) -> None:
        with self._lock:
            self._arrivals_left -= self._armed
            first = self._armed and self._arrivals_left == 0
        if first:
            self._reached.set()
            if self._blocks:
                self.released.wait(TIMEOUT_SECONDS)

    def wait(self, seconds: float) -> bool:
        """Waits until the point is reached; returns whether it was in time."""
        return self._reached.wait(seconds)

    def release(self) -> None:
        self.released.set()


def report_reached(sync_socket: Path) -> None:
    """Called in a gateway process: reports that the point is reached, and waits until it is released."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:  # nothing listens after the scenario
        line.connect(str(sync_socket))
        line.recv(1)


@contextlib.contextmanager
def listen_for_reports(sync_socket: Path, sync: SyncPoint) -> Iterator[None]:
    """Receives the reports of other processes and passes them to ``sync``."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sync_socket))
        listener.listen(64)
        threading.Thread(target=_accept_reports, args=(listener, sync), daemon=True).start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends the accepting thread


def _accept_reports(listener: socket.socket, moment: SyncPoint) -> None:
    with contextlib.suppress(OSError):
        while True:
            line, _ = listener.accept()
            threading.Thread(target=_handle_report, args=(line, moment), daemon=True).start()


def _handle_report(line: socket.socket, moment: SyncPoint) -> None:
    with line, contextlib.suppress(OSError):  # the waiting process may be dead
        moment.reach()
        line.sendall(b".")
