"""Wakes parked turns: makes their conversations claimable, and tells all processes."""

from __future__ import annotations

from sqlalchemy import Connection

from gateway.domain.models import TurnId
from storage import pubsub, sql
from storage.tables.column_types import storable


def wake(connection: Connection, key: str, limit: int = 1) -> int:
    """Wakes up to ``limit`` turns that are parked with this key, oldest first; returns how many.

    Waits for no lock, so it may follow any other.
    """
    woken = connection.execute(sql.wake, {"woken_by": storable(key), "most": limit}).all()
    if woken:
        pubsub.publish(connection, [pubsub.DUE])
    return len(woken)


def wake_conversation(connection: Connection, conversation_id: int) -> bool:
    """Wakes the parked turn of a conversation; returns whether there was one. Locks the conversation."""
    woken = connection.execute(sql.wake_conversation, {"conversation": conversation_id}).first() is not None
    if woken:
        pubsub.publish(connection, [pubsub.DUE])
    return woken


def wake_turn(connection: Connection, turn_id: TurnId) -> None:
    """Wakes a turn if it is parked. Locks its conversation then, so it comes before a change of the turn."""
    if connection.execute(sql.wake_turn, {"turn": turn_id}).first() is not None:
        pubsub.publish(connection, [pubsub.DUE])
