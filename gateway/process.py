"""What a process asks of its system: signals, standard streams, its limit of open files, when Python collects garbage.

Works without POSIX too.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

WANTED_OPEN_FILES = 65_536
GC_THRESHOLD = 10_000
"""New objects that trigger a garbage collection. Python's 700 is meant for small programs, and a turn's thousands of
objects mostly have no cycles."""
BUSY_GC_THRESHOLD = 250_000
"""The same while many tasks run. A collection then examines the objects of all their turns, for 20 ms and more, and
frees none. So many are some 30 MB, if they should be garbage after all.
"""
OLDER_GC_THRESHOLDS = (20, 20)
"""How many collections of a generation trigger one of the next older one."""
MANY_TASKS = 200
GC_SECONDS = 1.0
"""Between two looks at how many tasks run."""
POLL_SECONDS = 0.2
WINDOWS_SIGNALS = ("SIGINT", "SIGTERM", "SIGBREAK")
"""What Python reports there: docs.python.org/3/library/signal.html#signal.signal"""


class StopSignals:
    """Signals that the main thread waits for. Made before any other thread starts, as threads inherit what is blocked.

    A signal that is ignored stays ignored, as in ``nohup`` and background jobs.
    """

    def __init__(self, wanted: Iterable[signal.Signals]) -> None:
        self._stops = {each for each in wanted if signal.getsignal(each) is not signal.SIG_IGN}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._stops)

    def wait(self) -> signal.Signals:
        """Returns the next signal."""
        return signal.Signals(signal.sigwait(self._stops))

    def end_on_second_interrupt(self) -> None:
        """Ends the process at once by Ctrl-C from now on, unless that is ignored."""
        if signal.SIGINT in self._stops:
            signal.signal(signal.SIGINT, _end)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class HandledStopSignals:
    """The same where signals cannot be blocked: handlers note them, and ``wait`` looks. For Windows."""

    def __init__(self, wanted: Iterable[signal.Signals]) -> None:
        self._arrived: deque[signal.Signals] = deque()
        for each in wanted:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, lambda number, _: self._arrived.append(signal.Signals(number)))

    def wait(self) -> signal.Signals:
        while not self._arrived:
            time.sleep(POLL_SECONDS)  # a handler runs in between
        return self._arrived.popleft()

    def end_on_second_interrupt(self) -> None:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _end)


def stop_signals(names: Iterable[str]) -> StopSignals | HandledStopSignals:
    """Returns what waits for the signals of these names that this system has."""
    if hasattr(signal, "pthread_sigmask"):
        return StopSignals(_known(names))
    return HandledStopSignals(_known(WINDOWS_SIGNALS))


def raise_file_limit() -> int:
    """Raises the limit of open files, usually 1024, and returns it; the wanted one on a system without a limit.

    Each waiting caller needs a connection here and to the backend.
    """
    try:
        import resource  # noqa: PLC0415  # Windows has none
    except ImportError:
        return WANTED_OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_OPEN_FILES if hard == resource.RLIM_INFINITY else min(WANTED_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return WANTED_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def freeze_gc() -> None:
    """Excludes all present objects from garbage collection: they stay, and each full collection would examine them for
    0.1 s and more while every turn waits.
    """
    gc.collect()
    gc.freeze()


async def adapt_gc() -> NoReturn:
    """Has garbage collected less often than Python does, and hardly while many tasks run on this loop."""
    while True:
        is_busy = len(asyncio.all_tasks()) > MANY_TASKS
        gc.set_threshold(BUSY_GC_THRESHOLD if is_busy else GC_THRESHOLD, *OLDER_GC_THRESHOLDS)
        await asyncio.sleep(GC_SECONDS)


def open_standard_streams() -> None:
    """Opens input, output and errors where the process was started without them, as by ``>&- 2>&-``.

    What is written there is dropped. The next file that is opened, such as the database, would get their numbers else.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the least free number, which is this one
            os.set_inheritable(opened, True)  # noqa: FBT003  # takes no keyword
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # for good


def exit_now(status: int) -> NoReturn:
    """Ends the process without waiting for its threads. Everything that must survive is on disk already."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


def _known(names: Iterable[str]) -> list[signal.Signals]:
    return [signal.Signals[name] for name in names if name in signal.Signals.__members__]


def _end(number: int, _frame: object) -> NoReturn:
    exit_now(128 + number)
