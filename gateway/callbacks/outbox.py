"""Stores what is to be posted: the answers that callers wait for, and the events that the operator subscribes to.

A callback is stored before its turn is finished, and a turn whose process died is finished by another one. So each is
stored at least once, and as its id follows from what it says, it is stored only once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

from gateway.callbacks.addresses import AddressRule
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.retry import Backoff, retry
from gateway.domain.errors import StoreUnavailable
from gateway.domain.models import MessageKind, Turn, TurnState
from gateway.domain.platform_events import Feedback
from gateway.operations import iso
from gateway.ports.callbacks import FEEDBACK, Callback, Callbacks

EVENT_OF_STATE: Mapping[TurnState, str] = {
    TurnState.ANSWERED: "turn.answered",
    TurnState.DELIVERED: "turn.answered",
    TurnState.FAILED: "turn.failed",
    TurnState.CANCELLED: "turn.cancelled",
}
HELD = "turn.handed_over"
HANDED_OVER, RESUMED = "conversation.handed_over", "conversation.resumed"
BACKOFF = Backoff(0.1, 5.0)
"""While the database is unavailable."""


class CallbackOutbox:
    """Implements ``AnswerOutbox``. Used on the worker's loop only."""

    def __init__(self, callbacks: Callbacks, rule: AddressRule, *, max_waiting: int) -> None:
        """``max_waiting``: how many of one lane may wait for the first of them."""
        self._callbacks = callbacks
        self._rule = rule
        self._max_waiting = max_waiting

    def check_url(self, url: str) -> None:
        self._rule.check_url(url)

    async def add_answer(self, turn: Turn, url: str, data: Mapping[str, Any]) -> None:
        event = HELD if turn.is_held else EVENT_OF_STATE[turn.state]
        await self.add(turn, f"thread {turn.conversation_id}", url, event, data)

    async def add(
        self, turn: Turn, lane: str, url: str, event: str, data: Mapping[str, Any], known_by: str = ""
    ) -> None:
        """Stores a callback, unless it is stored already. Waits while the database is unavailable.

        ``known_by``: what differs between two callbacks about the same event of a turn.
        """
        name = sha256(json.dumps([turn.id, lane, event, known_by]).encode()).hexdigest()[:32]
        at = turn.received_at if turn.answered_at is None else turn.answered_at
        body = json.dumps({"type": event, "timestamp": iso(at), "data": data}, separators=(",", ":"))
        callback = Callback(f"msg_{name}", lane, url, event, turn.id, body)
        work = partial(asyncio.to_thread, self._callbacks.add, callback, self._max_waiting)
        await retry(work, "callback not stored yet; retrying", BACKOFF, retried=StoreUnavailable)


class EventOutbox:
    """The events that the operator subscribes to. Used on the worker's loop only."""

    def __init__(self, outbox: CallbackOutbox, store: AsyncStore, url: str, events: Collection[str]) -> None:
        self._outbox = outbox
        self._store = store
        self._url = url
        self._events = events

    async def on_resolved(self, turn: Turn) -> None:
        """Stores that a turn was answered, or failed."""
        event = EVENT_OF_STATE[turn.state]
        if turn.message.kind is not MessageKind.PROMPT or turn.is_pushed_text or turn.is_held:
            return
        if event in self._events:
            await self._add(turn, event, turn_data(turn))

    async def on_handover(self, turn: Turn) -> None:
        """Stores that a person takes a conversation over, or that it goes back to its assistant."""
        begins = turn.message.kind is MessageKind.HAND_OVER
        event = HANDED_OVER if begins else RESUMED
        if event in self._events:
            by = {"by": turn.message.sender}
            reason = {"reason": turn.message.text if turn.message.is_pushed else ""} if begins else {}
            await self._add(turn, event, turn_data(turn) | by | reason)

    async def on_feedback(self, feedback: Feedback) -> None:
        """Stores that a person rated a reply."""
        if FEEDBACK not in self._events:
            return
        turn = await self._store.call(lambda store: store.get_turn(feedback.turn_id))
        if turn is not None and turn.erased_at is None:
            rating = {"by": feedback.author, "value": feedback.value}
            await self._add(turn, FEEDBACK, turn_data(turn) | {"rating": rating}, f"{feedback.author} {feedback.value}")

    async def _add(self, turn: Turn, event: str, data: Mapping[str, Any], known_by: str = "") -> None:
        await self._outbox.add(turn, f"events {turn.conversation_id}", self._url, event, data, known_by)


def turn_data(turn: Turn) -> dict[str, Any]:
    """Returns what an event says of a turn."""
    key, failure = turn.message.key, turn.failure
    return {
        "turn_id": turn.id,
        "platform": key.platform,
        "workspace": key.workspace,
        "channel": key.channel,
        "topic": key.topic,
        "user": turn.message.author,
        "assistant": turn.assistant,
        "message": turn.message.text,
        "response": turn.reply,
        "error": failure and {"code": failure.code, "message": failure.user_message},
        "model": turn.model,
        "tokens": {"in": turn.usage.tokens_in, "out": turn.usage.tokens_out},
        "received_at": iso(turn.received_at),
        "answered_at": None if turn.answered_at is None else iso(turn.answered_at),
    }
