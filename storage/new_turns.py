"""What a new turn is: its position, its message as it is stored, and what it cancels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from gateway.domain.audit import AuditEntry, AuditEvent
from gateway.domain.copies import changed
from gateway.domain.errors import GatewayError
from gateway.domain.models import ConversationKey, Message, MessageKind, ThreadId, Turn, TurnId, TurnState
from gateway.domain.sentences import Sentence, counted
from gateway.ports.cluster import ClusterEvent, EventKind
from storage import parking, pubsub, sql
from storage.tables.column_types import storable, storable_file
from storage.writes import transitions


class AlreadyRecorded(GatewayError):
    """The message was recorded before."""


class TurnSlot(NamedTuple):
    """The position of a new turn: a row of sql.SLOT."""

    conversation: int
    thread: ThreadId | None
    backend: str
    assistant: str
    """Whose thread it is."""
    chosen: str
    head: int
    tail: int
    """The new turn's seq."""
    epoch: int
    at: float

    @property
    def was_idle(self) -> bool:
        """Whether the conversation had no unfinished turn before the new one."""
        return self.tail == self.head + 1


def backlog_full(limit: int) -> Sentence:
    """Returns why a conversation takes no more messages."""
    return counted(
        "A message in this conversation is waiting for an answer. Try again later.",
        "{count} messages in this conversation are waiting for an answer. Try again later.",
        limit,
    )


def new_turn(
    turn_id: TurnId, message: Message, slot: TurnSlot, owner: str | None, received_by: str, assistant: str
) -> Turn:
    """Returns a new turn, running if ``owner`` has claimed the conversation with it."""
    new = Turn(
        id=turn_id,
        conversation_id=slot.conversation,
        seq=slot.tail,
        message=_as_stored(message, received_by),
        state=TurnState.QUEUED,
        audit_log=(AuditEntry(slot.at, AuditEvent.RECEIVED, storable(received_by)),) if received_by else (),
        received_at=slot.at,
        assistant=storable(assistant),
    )
    return transitions.claimed(new, owner, slot.at) if owner else new


def publish_cancelled(connection: Connection, cancelled: Sequence[Sequence[Any]]) -> None:
    """Publishes cancelled turns to the processes that run or await them. Reads rows of sql.CANCELLED_TURN."""
    running = [
        ClusterEvent(EventKind.CANCELLED, turn) for _, turn, started_at, _ in cancelled if started_at is not None
    ]
    awaited = [ClusterEvent(EventKind.RESOLVED, turn) for _, turn, _, awaited_by in cancelled if awaited_by is not None]
    pubsub.publish(connection, [*running, *awaited])


def cancelled_by(connection: Connection, kind: MessageKind, slot: TurnSlot) -> tuple[TurnId, ...]:
    """Cancels what a new turn of this kind cancels, in a locked conversation; returns the ids of the cancelled turns.

    A STOP cancels the unresolved prompts before it; a RESET only the parked one, which would keep it waiting. A
    HAND_OVER wakes that one, as it is left to a person.
    """
    if slot.was_idle or kind in (MessageKind.PROMPT, MessageKind.RESUME):
        return ()
    was_parked = parking.wake_conversation(connection, slot.conversation)
    if kind is MessageKind.HAND_OVER:
        return ()
    if kind is MessageKind.STOP:
        return _cancel_prompts(connection, slot, before=slot.tail)
    return _cancel_prompts(connection, slot, before=slot.head + 2) if was_parked else ()


def _cancel_prompts(connection: Connection, slot: TurnSlot, *, before: int) -> tuple[TurnId, ...]:
    parameters = {"conversation": slot.conversation, "finished": slot.head, "place": before}
    cancelled = sorted(connection.execute(sql.cancel_earlier, parameters), key=lambda row: row[0])
    publish_cancelled(connection, cancelled)
    return tuple(turn for _, turn, *_ in cancelled)


def cancel_in_channel(connection: Connection, stop: Message, conversation: int) -> tuple[TurnId, ...]:
    """Cancels what the author of a STOP has unresolved in the channel's other conversations; returns the ids."""
    others = [each for each in busy_in_channel(connection, stop) if each != conversation]
    for each in others:
        parking.wake_conversation(connection, each)
    if not others:
        return ()
    parameters = {"conversations": others, "writer": stop.author}
    cancelled = connection.execute(sql.cancel_of_author, parameters).all()
    publish_cancelled(connection, cancelled)
    return tuple(turn for _, turn, *_ in cancelled)


def has_unresolved_in_channel(connection: Connection, message: Message) -> bool:
    """Returns whether the author has something to stop in the channel."""
    busy = busy_in_channel(connection, message)
    parameters = {"conversations": busy, "writer": message.author}
    return bool(busy) and connection.execute(sql.unresolved_of_author, parameters).first() is not None


def busy_in_channel(connection: Connection, message: Message) -> Sequence[int]:
    """Returns the conversations of a message's channel that have unfinished turns."""
    return connection.execute(sql.busy_in_channel, channel_parameters(message.key)).scalars().all()


def channel_parameters(key: ConversationKey) -> dict[str, str]:
    return {"on": key.platform, "within": key.workspace, "place": key.channel}


def _as_stored(message: Message, received_by: str) -> Message:
    """Returns a message as it is read again: without what is not stored."""
    return changed(
        message,
        text=storable(message.text),
        files=tuple(map(storable_file, message.files)),
        may_start_conversation=True,
        album_item_id="",
        album_parts=(),
        debounce_seconds=0.0,
        join=None,
        has_waiting_caller=message.has_waiting_caller and bool(received_by),
        author_workspace="",
        stops_channel=False,
        only_if_running=False,
        only_if_idle=False,
        max_from_author=0,
        has_workspace_share=False,
        given_reply="",
        assistant="",
        allowed_assistants=(),
    )
