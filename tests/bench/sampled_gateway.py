"""Runs ``serve`` and measures which component uses the CPU: ``python -m tests.bench.sampled_gateway FILE``.

A thread looks every few milliseconds what each thread executes, and adds the CPU time that the thread has used since
the last look to the component of the innermost frame that belongs to one. The file holds CPU seconds by component, as
JSON, and is renewed several times a second. The sampling itself takes a few percent, which are not in it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from gateway.cli import main as cli

INTERVAL = 0.002
LOOKS_PER_WRITE = 100
COMPONENTS = {
    "/gateway/web/": "HTTP server",
    "/uvicorn/": "HTTP server",
    "/gateway/http_": "HTTP client",
    "/gateway/assistants/transport.py": "HTTP client",
    "/aiohttp/": "HTTP client",
    "/storage/": "database",
    "/sqlalchemy/": "database",
    "/psycopg/": "database",
    "/gateway/assistants/": "assistant backend",
    "/adapters/": "platform adapter",
    "/gateway/worker/": "worker, inbox",
    "/gateway/coordination/": "worker, inbox",
    "/gateway/policy/": "policy",
    "/gateway/observability/": "metrics, traces",
    "/prometheus_client/": "metrics, traces",
    "/structlog/": "logs",
    "/gateway/logs.py": "logs",
}
"""By a part of the path of a module. Python's own modules count for who called them."""
OTHER = "event loop, Python"


def component_of(path: str) -> str | None:
    """Returns the component that a source file belongs to."""
    return next((name for part, name in COMPONENTS.items() if part in path), None)


class Sampler:
    """Adds up CPU seconds by component. Runs in a thread of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._seen: dict[int, float] = {}
        """CPU seconds of each thread at the last look."""
        self._components: dict[str, str | None] = {}

    def run(self) -> None:
        looks = 0
        while True:
            time.sleep(INTERVAL)
            self._look()
            looks += 1
            if looks % LOOKS_PER_WRITE == 0:
                self._file.write_text(json.dumps(self._seconds))

    def _look(self) -> None:
        mine, frames = threading.get_ident(), sys._current_frames()
        for thread, frame in frames.items():
            if thread != mine and (used := _cpu_seconds(thread)) is not None:
                self._seconds[self._component(frame)] += used - self._seen.get(thread, used)
                self._seen[thread] = used

    def _component(self, frame: FrameType | None) -> str:
        return next(filter(None, map(self._of_file, _paths(frame))), OTHER)

    def _of_file(self, path: str) -> str | None:
        if path not in self._components:
            self._components[path] = component_of(path)
        return self._components[path]


def _paths(frame: FrameType | None) -> Iterator[str]:
    """Yields the source files of a stack, innermost first."""
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


def _cpu_seconds(thread: int) -> float | None:
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread))
    except OSError:  # it has ended
        return None


def main() -> None:
    threading.Thread(target=Sampler(Path(sys.argv[1])).run, daemon=True).start()
    cli.main(["serve"])


if __name__ == "__main__":
    main()
