"""A gateway process that kills itself with SIGKILL at a given step, and a platform that delivers into a file."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import app
from gateway.domain.models import Claim, ConversationKey, Message, Shown, Turn, TurnId
from gateway.ports.check import Check
from gateway.ports.platform import Outbox, Receipt, Request
from gateway.ports.store import Bound, Brought, Change, Finished, Marked, Recorded, Released, Result, Settled, Started
from gateway.settings import Settings
from storage.migrations import upgrade
from storage.store import SqlStore

LEASE_SECONDS = 0.5
WRITE_NAMES: dict[type, str] = {
    Bound: "set thread",
    Started: "set run",
    Settled: "record outcome",
    Marked: "append audit entry",
    Brought: "save posted messages",
    Finished: "finish turn",
    Released: "release lease",
}
"""What the steps of the store are called, with ``before`` or ``after``."""
PATIENCE = 40.0

# Children are forked from a process that has loaded everything already: starting one takes milliseconds, not seconds.
forking = multiprocessing.get_context("forkserver")
LOADED = (
    "alembic.command",
    "adapters.slack.adapter",
    "adapters.telegram.adapter",
    "gateway.assistants.factory",
    "tests.faults.gateway_process",
)
forking.set_forkserver_preload(list(LOADED))


@dataclass(frozen=True)
class Plan:
    """What a gateway process is to do."""

    url: str
    """URL of the database."""
    deliveries: Path
    settings: dict[str, Any]
    says: Sequence[tuple[str, str]] = ()
    """Messages to accept: channel and text."""
    until: int = 0
    """It exits with 0 once so many turns were delivered, counted over all processes."""
    dies: str = ""
    """Step at which it kills itself, when first reached: ``before record outcome`` for example. Empty: never."""


@dataclass
class Scythe:
    at: str
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, step: str) -> None:
        with self._lock:
            if step == self.at:
                os.kill(os.getpid(), signal.SIGKILL)


class DoomedStore(SqlStore):
    """Calls ``on_step`` with the name of each step before and after it is committed."""

    def __init__(self, url: str, scythe: Callable[[str], None], *, lease_seconds: float = LEASE_SECONDS) -> None:
        super().__init__(url, lease_seconds=lease_seconds)
        self._scythe = scythe

    def record(self, message: Message, turn: TurnId, **options: Any) -> Recorded:
        self._scythe("before enqueue")
        recorded = super().record(message, turn, **options)
        self._scythe("after enqueue")
        return recorded

    def claim(self, *wanted: Any) -> Sequence[Claim]:
        claims = super().claim(*wanted)
        if claims:
            self._scythe("after claim")
        return claims

    def write(self, changes: Sequence[Change]) -> Sequence[Result]:
        steps = [WRITE_NAMES[type(change)] for change in changes]
        for step in steps:
            self._scythe(f"before {step}")
        results = super().write(changes)
        for step in steps:
            self._scythe(f"after {step}")
        return results


class PlatformOnDisk:
    """Delivers replies into a file, one line each, which outlives the process."""

    name = "disk"

    def __init__(self, path: Path, scythe: Scythe) -> None:
        self._path = path
        self._scythe = scythe
        self.news = threading.Condition()

    def receive(self, request: Request) -> Receipt:
        raise NotImplementedError

    def message(self, channel: str, text: str) -> Message:
        return Message(ConversationKey(self.name, channel=channel), f"{channel}:{text}", text)

    async def follow(self, turn: Turn, events: AsyncIterator[Shown], outbox: Outbox) -> None:
        async for _ in events:
            self._scythe("while it streams")

    async def deliver(self, turn: Turn, outbox: Outbox) -> None:
        self._scythe("before deliver")
        line = {"channel": turn.message.key.channel, "text": turn.message.text, "reply": turn.reply}
        with self.news, self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            self.news.notify_all()
        self._scythe("after deliver")

    async def check(self) -> Sequence[Check]:
        return ()

    def delivered(self) -> int:
        return len({line["channel"] + line["text"] for line in deliveries(self._path)})


def deliveries(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(plan: Plan) -> None:
    """Main function of the process."""
    scythe = Scythe(plan.dies)
    upgrade(plan.url)
    platform = PlatformOnDisk(plan.deliveries, scythe)
    store = DoomedStore(plan.url, scythe)
    settings = Settings(_env_file=None, **plan.settings)  # type: ignore[call-arg]  # pydantic-settings takes it
    gateway = app.open_gateway(settings, (platform,), store, lease_seconds=LEASE_SECONDS)
    for channel, text in plan.says:
        gateway.inbox.accept(platform.message(channel, text))
    with platform.news:
        assert platform.news.wait_for(lambda: platform.delivered() >= plan.until, PATIENCE), "not all were delivered"
    gateway.close(grace=5.0)


def start(plan: Plan) -> Any:
    process = forking.Process(target=run, args=(plan,), daemon=True)
    process.start()
    return process


def live_and(plan: Plan) -> int:
    """Runs a process to its end; returns its exit code: 0, or minus the signal."""
    process = start(plan)
    process.join(PATIENCE + 10.0)
    code = process.exitcode
    process.close()
    assert code is not None
    return int(code)
