"""Helpers of the ReportingStore contract."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from gateway.domain.conversations import Claim
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Failure, Message, ThreadId, Turn
from gateway.ports.leased_writes import RecordOutcome, SetThread
from gateway.ports.store import Store
from tests.contracts.store_helpers import PLATFORM, answer, enqueue_one, finish, get_turn, new_turn

DAY = 86_400.0
PICTURE = File("roof.png", "F1", "image/png", 3)


class SetTimes(Protocol):
    """Sets when a turn was received, and how many seconds later it was answered."""

    def __call__(self, turn: Turn, at: float, took: float = 1.0) -> None: ...


def new_message(
    channel: str = "loft",
    text: str = "Hello",
    *,
    author: str = "Ada",
    user: str = "",
    platform: str = PLATFORM,
    assistant: str = "",
) -> Message:
    where = ConversationKey(platform, "workspace", channel, "topic", user)
    return Message(where, uuid.uuid4().hex, text, author, {"roof": "left"}, files=(PICTURE,), assistant=assistant)


def enqueue_message(store: Store, channel: str = "loft", text: str = "Hello", **more: Any) -> Turn:
    """Enqueues a message; returns its queued turn."""
    return enqueue_one(store, new_message(channel, text, **more), new_turn()).turn


def enqueue_and_claim(store: Store, channel: str = "loft", text: str = "Hello", **more: Any) -> Claim:
    """Enqueues a message in an idle conversation and claims it, with a thread."""
    claim = enqueue_one(store, new_message(channel, text, **more), new_turn(), owner="one").claim
    assert claim is not None
    thread = claim.conversation.thread_id or ThreadId(f"thread_{uuid.uuid4().hex}")
    store.apply_writes([SetThread(claim.lease, thread, "pigeons")])
    return claim


def answered_turn(store: Store, channel: str = "loft", text: str = "Hello", reply: str = "Hi", **more: Any) -> Turn:
    """Returns a delivered turn with a reply, in an idle conversation."""
    claim = enqueue_and_claim(store, channel, text, **more)
    store.apply_writes(
        [replace(answer(claim, reply), files=(PICTURE,), cost=50, refusal=reply), finish(claim, keep=False)]
    )
    return get_turn(store, claim.turn)


def failed_turn(
    store: Store, channel: str = "loft", text: str = "Hello", *, code: str = "timed_out", **more: Any
) -> Turn:
    """Returns a failed turn in an idle conversation."""
    claim = enqueue_and_claim(store, channel, text, **more)
    failure = Failure(code, "It took too long.", "after 600 s", 30.0)
    store.apply_writes([RecordOutcome(claim.lease, claim.turn, failure=failure), finish(claim, keep=False)])
    return get_turn(store, claim.turn)


def ids(turns: Sequence[Turn]) -> list[str]:
    return [turn.id for turn in turns]
