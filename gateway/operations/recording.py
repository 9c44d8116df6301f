"""Records messages as turns, without a worker: a running gateway does the rest."""

from __future__ import annotations

import secrets

from gateway.domain.models import Message, Turn, TurnId
from gateway.ports.enqueue import AssistantRoute, EnqueueRequest
from gateway.ports.store import Store


def record_message(store: Store, message: Message, route: AssistantRoute, *, max_backlog: int) -> Turn:
    """Records a message as a turn, answered if the message has a ``given_reply``; a known message id is no error.

    ``max_backlog``: how many unfinished turns the conversation may have. Raises InputError, Overloaded,
    StoreUnavailable.
    """
    turn_id = new_turn_id()
    if message.given_reply:
        return store.enqueue_answered(message, turn_id, max_backlog, route).turn
    (result,) = store.enqueue_all([EnqueueRequest(message, turn_id, max_backlog=max_backlog, route=route)])
    if isinstance(result, Exception):
        raise result
    return result.turn


def new_turn_id() -> TurnId:
    return TurnId(f"turn_{secrets.token_hex(12)}")
