"""A gateway process that kills itself with SIGKILL at a given step, and a platform that delivers into a file."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, update

from gateway import app
from gateway.domain.approvals import Approval, Decider, Verdict
from gateway.domain.conversations import Claim
from gateway.domain.handover import Handover
from gateway.domain.models import ConversationKey, Message, Turn
from gateway.domain.run_events import PreviewEvent
from gateway.handover import messages as handover
from gateway.ports.check import CheckResult
from gateway.ports.inbox import AsyncInbox, Inbox
from gateway.ports.leased_writes import (
    AppendAuditEntry,
    FinishTurn,
    GiveBack,
    HoldCalls,
    HoldTurn,
    LeasedWrite,
    ParkTurn,
    RecordOutcome,
    ReleaseLease,
    SetContext,
    SetOutputs,
    SetPostedMessages,
    SetQuestion,
    SetRun,
    SetThread,
    StartCalls,
    WriteResult,
)
from gateway.ports.platform import DeliveryContext, Destination, ParsedUpdate, Request
from gateway.ports.schedules import Push
from gateway.push.messages import PushMessages
from gateway.settings import Settings
from storage.store import SqlStore
from storage.tables.schema import conversations

LEASE_SECONDS = 0.5
WRITE_NAMES: dict[type, str] = {
    SetThread: "set thread",
    SetRun: "set run",
    SetContext: "set context",
    RecordOutcome: "record outcome",
    AppendAuditEntry: "append audit entry",
    SetPostedMessages: "save posted messages",
    FinishTurn: "finish turn",
    ReleaseLease: "release lease",
    ParkTurn: "park turn",
    HoldCalls: "hold calls",
    SetQuestion: "save question",
    StartCalls: "start calls",
    SetOutputs: "set outputs",
    HoldTurn: "hold turn",
    GiveBack: "give back",
}
"""What the steps of the store are called, with ``before`` or ``after``."""
TIMEOUT_SECONDS = 40.0


def steps_of(write: LeasedWrite) -> list[str]:
    """Returns the steps of a write: what was posted last is saved with the finish of the turn."""
    if isinstance(write, FinishTurn) and write.posted_messages is not None:
        return [WRITE_NAMES[SetPostedMessages], WRITE_NAMES[FinishTurn]]
    return [WRITE_NAMES[type(write)]]


# Children are forked from a process that has loaded everything already: starting one takes milliseconds, not seconds.
fork_context = multiprocessing.get_context("forkserver")
PRELOADED_MODULES = (
    "adapters.slack.adapter",
    "adapters.telegram.adapter",
    "adapters.discord.adapter",
    "gateway.assistants.factory",
    "tests.fakes.chat_server",
    "tests.faults.gateway_process",
)
fork_context.set_forkserver_preload(list(PRELOADED_MODULES))


@dataclass(frozen=True)
class CrashPlan:
    """What a gateway process is to do."""

    url: str
    """URL of a database with our tables."""
    deliveries: Path
    settings: dict[str, Any]
    messages: Sequence[tuple[str, str]] = ()
    """Messages to accept: channel and text."""
    expected_deliveries: int = 0
    """It exits with 0 once so many turns were delivered, counted over all processes."""
    crash_step: str = ""
    """Step at which it kills itself, when first reached: ``before record outcome`` for example. Empty: never."""
    together: bool = False
    """Whether the messages arrive at the same time, as one group, or one after the other."""
    accepted: Path | None = None
    """A file for the channel and text of each message that was acknowledged."""
    lease_seconds: float = 15.0
    """Long enough for a busy machine; ``end_leases`` ends those of a killed process."""
    environment: dict[str, str] = field(default_factory=dict)
    """The operator's rules."""
    awaits_callbacks: bool = False
    """Whether it exits only when all callbacks are delivered."""
    pushes: Sequence[tuple[str, str]] = ()
    """Texts to push behind the messages: channel and text."""
    approves: bool = False
    """Whether an operator approves each call that a parked turn waits for."""
    handover: Sequence[tuple[str, str]] = ()
    """What happens while a person has taken the conversation of the first message over, in order: ``take``, ``say``,
    ``answer`` or ``resume``, and a text."""


@dataclass
class CrashAtStep:
    step: str
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, step: str) -> None:
        with self._lock:
            if step == self.step:
                os.kill(os.getpid(), signal.SIGKILL)


class CrashingStore(SqlStore):
    """Calls ``on_step`` with the name of each step before and after it is committed."""

    def __init__(self, url: str, on_step: Callable[[str], None], *, lease_seconds: float = LEASE_SECONDS) -> None:
        super().__init__(url, lease_seconds=lease_seconds)
        self._on_step = on_step
        for owner, method, step in (
            (self, "enqueue_all", "enqueue"),
            (self, "enqueue_answered", "enqueue answered"),
            (self, "provide_outputs", "provide outputs"),
            (self.ledger, "charge", "charge"),
            (self.schedules, "advance", "advance"),
            (self.approvals, "decide", "decide"),
            (self.callbacks, "add", "add callback"),
            (self.callbacks, "mark_delivered", "mark_delivered callback"),
        ):
            setattr(owner, method, partial(self._with_steps, step, getattr(owner, method)))
        self.callbacks.claim = partial(self._claim_callbacks, self.callbacks.claim)  # type: ignore[method-assign]
        self._database.driver_transaction = partial(self._until_commit, self._database.driver_transaction)  # type: ignore[method-assign]

    @contextmanager
    def _until_commit(self, transaction: Callable[[], Any]) -> Iterator[Any]:
        """Opens a transaction in which messages are recorded, and stops at the step between write and commit."""
        with transaction() as opened:
            yield opened
            self._on_step("written, not committed")

    def _with_steps(self, step: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Calls a method, with the steps before and after it."""
        self._on_step(f"before {step}")
        result = call(*args, **options)
        self._on_step(f"after {step}")
        return result

    def _claim_callbacks(self, claim: Callable[..., Any], *wanted: Any) -> Any:
        result = claim(*wanted)
        if result[1]:  # nothing may be due
            self._on_step("after claim callback")
        return result

    def claim(self, *wanted: Any) -> Sequence[Claim]:
        claims = super().claim(*wanted)
        if claims:
            self._on_step("after claim")
        return claims

    def apply_writes(self, writes: Sequence[LeasedWrite]) -> Sequence[WriteResult]:
        steps = [step for write in writes for step in steps_of(write)]
        for step in steps:
            self._on_step(f"before {step}")
        results = super().apply_writes(writes)
        for step in steps:
            self._on_step(f"after {step}")
        return results


class FilePlatform:
    """Delivers replies into a file, one line each, which outlives the process."""

    name = "disk"

    def __init__(self, path: Path, on_step: CrashAtStep) -> None:
        self._path = path
        self._on_step = on_step
        self.changed = threading.Condition()

    def receive(self, request: Request) -> ParsedUpdate:
        raise NotImplementedError

    def message(self, channel: str, text: str) -> Message:
        return Message(ConversationKey(self.name, channel=channel), f"{channel}:{text}", text)

    def destination(self, place: ConversationKey) -> Destination:
        return Destination(place, {})

    async def stream_preview(self, turn: Turn, events: AsyncIterator[PreviewEvent], context: DeliveryContext) -> None:
        async for _ in events:
            self._on_step("while it streams")

    async def show_approval(self, turn: Turn, approval: Approval, context: DeliveryContext) -> None:  # one line each
        await context.save_posted([f"question {approval.id}"])

    async def deliver(self, turn: Turn, context: DeliveryContext) -> None:
        self._on_step("before deliver")
        line = {"channel": turn.message.key.channel, "text": turn.message.text, "reply": turn.reply}
        with self.changed, self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
            self.changed.notify_all()
        self._on_step("after deliver")

    async def check(self) -> Sequence[CheckResult]:
        return ()

    def delivered_count(self) -> int:
        return len({line["channel"] + line["text"] + line["reply"] for line in read_deliveries(self._path)})


def read_deliveries(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_process(plan: CrashPlan) -> None:
    """Main function of the process."""
    gc.freeze()  # the garbage collector skips what was loaded before the fork
    crash = CrashAtStep(plan.crash_step)
    os.environ.update(plan.environment)
    platform = FilePlatform(plan.deliveries, crash)
    store = CrashingStore(plan.url, crash, lease_seconds=plan.lease_seconds)
    settings = Settings(_env_file=None, **plan.settings)  # type: ignore[call-arg]  # pydantic-settings takes it
    gateway = app.open_gateway(settings, (platform,), store, lease_seconds=plan.lease_seconds)
    messages = [platform.message(channel, text) for channel, text in plan.messages]
    if plan.together:
        gateway.worker.run_coroutine(accept_together(gateway.async_inbox, messages, plan.accepted))
    else:
        for message in messages:
            gateway.inbox.accept(message)
    for channel, text in plan.pushes:
        push = Push(ConversationKey(platform.name, channel=channel), text)
        gateway.inbox.accept(
            PushMessages([platform], gateway.assistants.router).message(push, "push key", f"{channel}:{text}")
        )
    if plan.approves:
        threading.Thread(target=approve_all, args=(gateway.inbox, store), daemon=True).start()
    for number, (what, text) in enumerate(plan.handover):
        gateway.inbox.accept(handover_message(store, platform, what, text, f"{number}"))
    with platform.changed:
        assert platform.changed.wait_for(
            lambda: platform.delivered_count() >= plan.expected_deliveries, TIMEOUT_SECONDS
        ), "not all were delivered"
    while plan.awaits_callbacks and store.callbacks.listed(1):
        time.sleep(0.02)
    gateway.close(grace=5.0)


def approve_all(inbox: Inbox, store: SqlStore) -> None:
    """Approves, as an operator, each call that a parked turn waits for."""
    operator = Decider(is_operator=True)
    while True:
        for asked in store.open_approvals():
            turn = store.get_turn(asked.turn_id)
            if turn is not None and turn.is_parked:
                inbox.decide(Verdict(asked.id, asked.digest, approves=True, decider=operator))
        time.sleep(0.02)


def handover_message(store: SqlStore, platform: FilePlatform, what: str, text: str, name: str) -> Message:
    """Returns the message of a step of a handover, the same one if it is sent again."""
    if what == "say":
        return platform.message("a", text)
    found = store.find_conversation(ConversationKey(platform.name, channel="a"))
    assert found is not None
    turns, eve = store.transcript(found.id), handover.staff("Eve")
    if what == "take":
        return handover.take_over(replace(found, handover=None), turns, eve, text, name)
    found = replace(found, handover=Handover(0, 0.0))
    if what == "answer":
        return handover.answer(found, turns, eve, text, name, 1000)
    return handover.give_back(found, turns, eve, name)


async def accept_together(inbox: AsyncInbox, messages: Sequence[Message], accepted: Path | None) -> None:
    """Accepts messages that arrive at the same time; writes each into a file when it is acknowledged."""

    async def accept(message: Message) -> None:
        await inbox.accept(message)
        if accepted is not None:
            with accepted.open("a") as file:
                file.write(f"{message.message_id}\n")

    await asyncio.gather(*map(accept, messages))


def start_process(plan: CrashPlan) -> Any:
    process = fork_context.Process(target=run_process, args=(plan,), daemon=True)
    process.start()
    return process


def end_leases(url: str) -> None:
    """Ends the leases that killed processes have left, as time would."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(conversations).where(conversations.c.next_at.is_not(None)).values(next_at=1.0))
    engine.dispose()


def run_to_end(plan: CrashPlan) -> int:
    """Runs a process to its end; returns its exit code: 0, or minus the signal."""
    process = start_process(plan)
    process.join(TIMEOUT_SECONDS + 10.0)
    code = process.exitcode
    process.close()
    assert code is not None
    return int(code)
