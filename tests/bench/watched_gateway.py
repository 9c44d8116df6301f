"""Runs ``serve`` and measures how long its event loop is held up: ``python -m tests.bench.watched_gateway FILE``.

A coroutine asks to be woken every few milliseconds; how late it is woken is how long something held the loop, or how
long the machine gave the process no CPU. The file holds the result so far, as JSON, and is renewed every second.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from pathlib import Path

from gateway.cli import main as cli
from gateway.web.server import HttpServer
from tests.bench.measurements import percentile

INTERVAL = 0.002
WRITES_PER_SECOND = 1


async def watch(file: Path) -> None:
    """Runs until it is cancelled."""
    delays: list[float] = []
    write_at = time.perf_counter() + 1 / WRITES_PER_SECOND
    while True:
        planned = time.perf_counter() + INTERVAL
        await asyncio.sleep(INTERVAL)
        now = time.perf_counter()
        delays.append((now - planned) * 1000)
        if now >= write_at:
            write_at = now + 1 / WRITES_PER_SECOND
            result = {"p999_ms": percentile(delays, 0.999), "longest_ms": max(delays)}
            await asyncio.to_thread(file.write_text, json.dumps(result))


def main() -> None:
    file, start, watching = Path(sys.argv[1]), HttpServer.start, list[asyncio.Task[None]]()

    async def start_watched(server: HttpServer, listener: socket.socket) -> None:
        await start(server, listener)
        watching.append(asyncio.create_task(watch(file)))

    HttpServer.start = start_watched  # type: ignore[assignment, method-assign]  # only to measure
    cli.main(["serve"])


if __name__ == "__main__":
    main()
