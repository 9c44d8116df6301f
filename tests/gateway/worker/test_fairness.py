"""One caller's flood does not keep another's message waiting, however long its runs last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

from gateway.domain.models import Message
from gateway.ports.enqueue import EnqueueRequest
from storage.store import SqlStore
from tests.contracts.store_helpers import new_turn
from tests.fakes.assistant import FakeAssistant
from tests.gateway.worker_process import Start, WorkerProcess
from tests.waiting import until

ROOM = 10
FLOOD = 1000
GROUP = 200


def messages_of(process: WorkerProcess, author: str, count: int) -> list[Message]:
    return [
        replace(process.platform.message("hi", channel=f"{author}{number}"), author=author) for number in range(count)
    ]


def enqueue_all(store: SqlStore, messages: Sequence[Message]) -> None:
    for start in range(0, len(messages), GROUP):
        group = messages[start : start + GROUP]
        store.enqueue_all([EnqueueRequest(message, new_turn(), max_backlog=1) for message in group])


def seconds_until_started(process: WorkerProcess, author: str) -> float:
    (message,) = messages_of(process, author, 1)
    begun = perf_counter()
    turn = process.inbox.accept(message).turn.id
    while process.stored(turn).started_at is None:
        assert perf_counter() < begun + 10
        time.sleep(0.001)
    return perf_counter() - begun


def test_another_callers_message_starts_at_once_although_no_run_of_the_flood_ends(
    start: Start, assistant: FakeAssistant
) -> None:
    never = asyncio.Event()
    assistant.think = lambda turn: never if turn.message.author == "many" else None
    process = start(room=ROOM, caller_share=0.8)
    idle = min(seconds_until_started(process, f"idle{number}") for number in range(3))
    enqueue_all(process.store, messages_of(process, "many", FLOOD))
    process.worker.wake_up()
    until(lambda: assistant.running >= 8)
    loaded = min(seconds_until_started(process, f"late{number}") for number in range(3))
    until(lambda: assistant.running <= 8)  # those who came late are answered, and the flood has no more than its share
    assert loaded < 2 * idle + 0.05
    process.stop(grace=0.0)


def test_those_who_wait_are_served_in_turn(start: Start, assistant: FakeAssistant) -> None:
    process = start(room=1)
    process.worker.drain()
    enqueue_all(process.store, [*messages_of(process, "many", 20), *messages_of(process, "one", 2)])
    process.stop()
    heir = start(room=1, owner="two")
    first = [turn.message.author for turn in heir.platform.wait_for(22)[:4]]
    assert sorted(first) == ["many", "many", "one", "one"]
