"""Helpers of the ReportingStore contract."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from gateway.domain.models import Claim, ConversationKey, Failure, File, Message, ThreadId, Turn
from gateway.ports.store import Bound, Settled, Store
from tests.contracts.store_helpers import PLATFORM, answer, finish, new_turn, read

DAY = 86_400.0
PICTURE = File("roof.png", "F1", "image/png", 3)


class Happened(Protocol):
    """Sets when a turn was received, and how many seconds later it was answered."""

    def __call__(self, turn: Turn, at: float, took: float = 1.0) -> None: ...


def saying(
    channel: str = "loft", text: str = "Hello", *, author: str = "Ada", user: str = "", platform: str = PLATFORM
) -> Message:
    where = ConversationKey(platform, "workspace", channel, "topic", user)
    return Message(where, uuid.uuid4().hex, text, author, {"roof": "left"}, files=(PICTURE,))


def tell(store: Store, channel: str = "loft", text: str = "Hello", **more: Any) -> Turn:
    """Enqueues a message; returns its queued turn."""
    return store.record(saying(channel, text, **more), new_turn()).turn


def begin(store: Store, channel: str = "loft", text: str = "Hello", **more: Any) -> Claim:
    """Enqueues a message in an idle conversation and claims it, with a thread."""
    claim = store.record(saying(channel, text, **more), new_turn(), owner="one").claim
    assert claim is not None
    thread = claim.conversation.thread or ThreadId(f"thread_{uuid.uuid4().hex}")
    store.write([Bound(claim.lease, thread, "pigeons")])
    return claim


def settle(store: Store, channel: str = "loft", text: str = "Hello", reply: str = "Hi", **more: Any) -> Turn:
    """Returns a delivered turn with a reply, in an idle conversation."""
    claim = begin(store, channel, text, **more)
    store.write([replace(answer(claim, reply), files=(PICTURE,), cost=50), finish(claim, keep=False)])
    return read(store, claim.turn)


def fail(store: Store, channel: str = "loft", text: str = "Hello", *, code: str = "timed_out", **more: Any) -> Turn:
    """Returns a failed turn in an idle conversation."""
    claim = begin(store, channel, text, **more)
    failure = Failure(code, "It took too long.", "after 600 s", 30.0)
    store.write([Settled(claim.lease, claim.turn.id, failure=failure), finish(claim, keep=False)])
    return read(store, claim.turn)


def names(turns: Sequence[Turn]) -> list[str]:
    return [turn.id for turn in turns]
