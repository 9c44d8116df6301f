"""A server process with /chat and an inbox in memory, for tests that need sockets and signals.

``python -m tests.fakes.chat_server '{"threads": 60}'`` prints its events, one word per line; /readyz shows how many
callers wait. Every turn replies "at ", and the rest once a line arrives on standard input.
"""

from __future__ import annotations

import json
import signal
import sys
import threading

from adapters.http import HttpAdapter, HttpSettings
from gateway import logs
from gateway.domain.errors import SettingsError
from gateway.domain.models import Answered, TextDelta
from gateway.ports.check import Check
from gateway.web import server
from gateway.web.flask_app import create_app
from tests.fakes.inbox import FakeInbox, Gate
from tests.fakes.token_buckets import FakeTokenBuckets


def tell(word: str) -> None:
    print(word, flush=True)


def open_when_told(gate: Gate) -> None:
    if sys.stdin.readline():
        gate.open()


def main(
    *,
    port: int = 0,
    threads: int = 100,
    grace: float = 20.0,
    let_go: bool = True,
    nohup: bool = False,
    slow: bool = False,
    read_seconds: int = 30,
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the process that starts the tests may ignore it
    if nohup:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server.READ_SECONDS = read_seconds
    gate = Gate()

    def make_site() -> server.Site:
        if slow:
            tell("starting")
            sys.stdin.readline()
        threading.Thread(target=lambda: open_when_told(gate), daemon=True).start()
        adapter = HttpAdapter(
            HttpSettings(), FakeTokenBuckets(), max_message_chars=1000, threads=threads, ping_seconds=0.2
        )
        inbox = FakeInbox(adapter, lambda _: (TextDelta("at "), gate, Answered("at last")))
        app = create_app([adapter], inbox, lambda: [Check(f"{adapter.room.taken} wait", ok=True)], ready_seconds=0.0)

        def begin_stop(seconds: float) -> None:
            tell("stopping")
            adapter.let_go(seconds if let_go else 3600.0)

        def end_stop(seconds: float) -> None:
            inbox.close()
            tell(f"stopped {seconds > 0}")

        return server.Site(app, begin_stop, end_stop)

    server.serve(make_site, host="127.0.0.1", port=port, threads=threads, grace_seconds=grace, on_ready=tell)


if __name__ == "__main__":
    logs.configure("WARNING", "text", ())
    try:
        main(**json.loads(sys.argv[1]))
    except SettingsError as exc:
        sys.exit(str(exc))
