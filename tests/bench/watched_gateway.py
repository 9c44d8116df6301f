"""Runs ``serve`` and measures how long its event loop is held up: ``python -m tests.bench.watched_gateway FILE``.

A coroutine asks to be woken every few milliseconds; how late it is woken is how long something held the loop, or how
long the machine gave the process no CPU. The file holds the result so far, as JSON, and is renewed every second.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from gateway.cli import main as cli
from gateway.web.server import HttpServer
from tests.bench.measurements import percentile

INTERVAL = 0.002
LOOK_SECONDS = 0.005
"""Between two looks at what the loop is doing."""
HELD_SECONDS = 0.015
"""How late the loop is when it is looked at."""
WRITES_PER_SECOND = 1
OWN_SHARE = 0.5
"""Of a delay, from which on the loop's own work is what held it; else it waited for other threads, or for CPU."""
SHOWN_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Delay:
    """One late wake-up. ``cpu_ms``: what the loop's thread worked meanwhile; ``doing``: what it was seen doing."""

    ms: float
    cpu_ms: float
    doing: str

    @property
    def cause(self) -> str:
        if self.cpu_ms >= OWN_SHARE * self.ms:
            return self.doing or "not seen"
        return f"waited for CPU or another thread: {self.cpu_ms:.0f} ms of its own"


class Watch:
    """Watches the loop that runs ``run``, from a thread of its own."""

    def __init__(self) -> None:
        self._beat = time.perf_counter()
        self._doing = ""
        self._loop_thread = 0
        self._collecting = False
        gc.callbacks.append(self._on_collection)

    async def run(self, file: Path) -> None:
        """Runs until it is cancelled."""
        delays: list[float] = []
        works: list[float] = []
        longest = busiest = Delay(0.0, 0.0, "")
        self._loop_thread = threading.get_ident()
        threading.Thread(target=self._look, daemon=True).start()
        write_at = time.perf_counter() + 1 / WRITES_PER_SECOND
        while True:
            self._doing, self._beat = "", time.perf_counter()
            planned, worked = self._beat + INTERVAL, time.thread_time()
            await asyncio.sleep(INTERVAL)
            now = time.perf_counter()
            delays.append((now - planned) * 1000)
            works.append((time.thread_time() - worked) * 1000)
            delay = Delay(delays[-1], works[-1], self._doing)
            longest = max(longest, delay, key=lambda each: each.ms)
            busiest = max(busiest, delay, key=lambda each: each.cpu_ms)
            if now >= write_at:
                write_at = now + 1 / WRITES_PER_SECOND
                result = {
                    "p999_ms": percentile(delays, 0.999),
                    "longest_ms": longest.ms,
                    "longest_cause": longest.cause,
                    "own_p999_ms": percentile(works, 0.999),
                    "own_longest_ms": busiest.cpu_ms,
                    "own_longest_cause": busiest.doing,
                }
                await asyncio.to_thread(file.write_text, json.dumps(result))

    def _look(self) -> None:
        """Notes what the loop is doing whenever it is late."""
        while True:
            time.sleep(LOOK_SECONDS)
            if time.perf_counter() - self._beat > HELD_SECONDS + INTERVAL:
                frame = sys._current_frames().get(self._loop_thread)
                self._doing = "garbage collection" if self._collecting else _place(frame)

    def _on_collection(self, phase: str, _: object) -> None:
        if threading.get_ident() == self._loop_thread:
            self._collecting = phase == "start"
            if self._collecting and time.perf_counter() - self._beat > HELD_SECONDS:
                self._doing = "garbage collection"


def _place(frame: FrameType | None) -> str:
    """Returns the innermost functions of a stack."""
    names: list[str] = []
    while frame is not None and len(names) < SHOWN_FRAMES:
        names.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(names)


def main() -> None:
    file, start, watching = Path(sys.argv[1]), HttpServer.start, list[asyncio.Task[None]]()

    async def start_watched(server: HttpServer, listener: socket.socket) -> None:
        await start(server, listener)
        watching.append(asyncio.create_task(Watch().run(file)))

    HttpServer.start = start_watched  # type: ignore[assignment, method-assign]  # only to measure
    cli.main(["serve"])


if __name__ == "__main__":
    main()
