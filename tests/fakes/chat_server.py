"""A server process with /chat and an inbox in memory, for tests that need sockets and signals.

It prints its events, one word per line; /readyz shows how many callers wait. Every turn replies "at ", and the rest
once a line arrives on standard input.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from adapters.http import HttpAdapter, HttpSettings
from gateway import logs
from gateway.domain.errors import SettingsError
from gateway.domain.run_events import RunCompleted, TextDelta
from gateway.ports.check import CheckResult
from gateway.web import server
from gateway.web.asgi_app import create_app
from gateway.web.connections import Limits
from tests.fakes.inbox import AsyncFakeInbox, FakeInbox, ScriptGate
from tests.fakes.token_buckets import FakeTokenBuckets
from tests.fakes.uploads import FakeUploads

T = TypeVar("T")


def print_line(line: str) -> None:
    print(line, flush=True)


def open_gate_on_input(gate: ScriptGate) -> None:
    if sys.stdin.readline():
        gate.open()


def main(
    *,
    port: int = 0,
    max_waiting: int = 100,
    grace: float = 20.0,
    let_go: bool = True,
    nohup: bool = False,
    slow: bool = False,
    limits: dict[str, float] | None = None,
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the process that starts the tests may ignore it
    if nohup:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    gate = ScriptGate()

    def make_site() -> server.ServedApp:
        if slow:
            print_line("starting")
            sys.stdin.readline()
        threading.Thread(target=lambda: open_gate_on_input(gate), daemon=True).start()
        adapter = HttpAdapter(
            HttpSettings(),
            FakeTokenBuckets(),
            FakeUploads(),
            max_message_chars=1000,
            max_waiting=max_waiting,
            ping_seconds=0.2,
        )
        inbox = FakeInbox(adapter, lambda _: (TextDelta("at "), gate, RunCompleted("at last")))

        async def readiness() -> Sequence[CheckResult]:
            return [CheckResult(f"{adapter.waiters.count} wait", ok=True)]

        app = create_app([adapter], AsyncFakeInbox(inbox), readiness, readiness_cache_seconds=0.0)

        def run(work: Coroutine[Any, Any, T]) -> T:
            return asyncio.run_coroutine_threadsafe(work, inbox.loop).result()

        def begin_stop(seconds: float) -> None:
            print_line("stopping")
            adapter.drain(seconds if let_go else 3600.0)

        def end_stop(seconds: float) -> None:
            inbox.close()
            print_line(f"stopped {seconds > 0}")

        return server.ServedApp(app, run, begin_stop, end_stop)

    known = Limits(**limits) if limits else None  # type: ignore[arg-type]  # as the test has them
    server.serve(make_site, host="127.0.0.1", port=port, grace_seconds=grace, limits=known, on_ready=print_line)


def run_forked(options: dict[str, Any], *streams: Connection) -> None:
    """Runs ``main`` in a forked process, with its standard streams: input, output, errors."""
    gc.freeze()  # the garbage collector skips what was loaded before the fork
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin = os.fdopen(0)
    os.environ["FLASK_DEBUG"] = "1"  # nobody must be able to turn the debugger on
    logs.configure("WARNING", "text", ())
    try:
        main(**options)
    except SettingsError as exc:
        sys.exit(str(exc))
