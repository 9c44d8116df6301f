"""Objects of OpenAI's API that are no turns, as the database keeps them: threads, their messages, assistants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.domain.conversations import Conversation
from gateway.domain.models import Address, ConversationKey, Turn, TurnId, TurnState


@dataclass(frozen=True, slots=True)
class ApiObject:
    """One object. Belongs to the ``owner`` that made it."""

    id: str
    kind: str
    owner: str
    body: Mapping[str, Any]
    """JSON; only the API's handlers interpret it."""
    parent: str = ""
    """The thread of a message."""
    request: str | None = None
    """The name of the request that made it, see ``ApiObjects.find_by_request``."""
    position: int = 0
    """Its place among those of its parent. Given by the database."""
    turns: int = 0
    """How many turns the conversation of its parent had when it was added. Given by the database."""
    created_at: float = 0.0
    """By the database's clock."""


@dataclass(frozen=True, slots=True)
class NewestTurn:
    """What is read of the newest turn of a thread."""

    id: TurnId
    state: TurnState
    address: Address
    """That of its message."""
    received_at: float


@dataclass(frozen=True, slots=True)
class ThreadState:
    """What there is of a thread."""

    thread: ApiObject | None
    """None if it has only turns."""
    conversation: Conversation | None
    """None without turns."""
    newest: NewestTurn | None = None
    pending: Sequence[ApiObject] = ()
    """The messages that no turn took so far, oldest first."""


@dataclass(frozen=True, slots=True)
class NewestMessages:
    """Which messages of a thread of its owner (``workspace``) are asked for: those of its newest turns."""

    key: ConversationKey
    most_turns: int


@dataclass(frozen=True, slots=True)
class ThreadMessages:
    """The end of a thread."""

    thread: ApiObject | None
    """None if it has only turns."""
    turns: Sequence[Turn]
    """The newest, oldest first, as far as messages show them. Those before them are not read if the first one's
    ``seq`` is above 1."""
    rows: Sequence[ApiObject]
    """The objects that were added since the turn before the first of these, or all if there is none before it."""


class ApiObjects(Protocol):
    """Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def add(self, objects: Sequence[ApiObject]) -> Sequence[ApiObject]:
        """Adds objects; an id that is there already stays as it is. Returns them as they are stored, in order."""
        ...

    def add_messages(
        self, thread: ApiObject, messages: Sequence[ApiObject], *, opens: bool = False
    ) -> Sequence[ApiObject] | None:
        """Adds messages to the end of a thread, as ``add``, in one transaction.

        Makes the thread as ``thread`` is if it has only turns, or if it ``opens``. Returns None if there is no such
        thread of its owner at all. Raises Conflict (``conversation_busy``) while a turn of it is unresolved.
        """
        ...

    def get(self, object_id: str) -> ApiObject | None: ...

    def find_by_request(self, first: str, last: str) -> Sequence[ApiObject]:
        """Returns the objects of the newest request with a name from ``first`` to ``last``, in order."""
        ...

    def replace_body(self, object_id: str, body: Mapping[str, Any]) -> bool:
        """Returns False if there is no such object."""
        ...

    def set_address(self, turn_id: TurnId, name: str, value: str) -> None:
        """Sets one value of the address of a turn, unless its content is erased."""
        ...

    def delete(self, object_id: str) -> bool:
        """Deletes an object and those whose parent it is. Returns False if there is no such object."""
        ...

    def list_of_owner(self, owner: str, kind: str) -> Sequence[ApiObject]:
        """Returns all objects of a kind, oldest first."""
        ...

    def list_of_parent(
        self, parent: str, *, turns_from: int = 0, turns_to: int | None = None, newest: int | None = None
    ) -> Sequence[ApiObject]:
        """Returns messages of a thread, oldest first: those added when it had from ``turns_from`` to ``turns_to``
        turns, and of these only the ``newest``.
        """
        ...

    def thread_states(self, keys: Sequence[ConversationKey]) -> Sequence[ThreadState]:
        """Returns what there is of threads, each of its owner (``workspace``), in order."""
        ...

    def newest_messages(self, asked: Sequence[NewestMessages]) -> Sequence[ThreadMessages]:
        """Returns the ends of threads, in order. All is empty of one that is not there."""
        ...

    def count_ownerless(self) -> int:
        """Returns how many threads and assistants belong to nobody, as they were made without keys."""
        ...

    def assign_ownerless(self, owner: str) -> int:
        """Gives all of them to an owner; returns how many. Turns that are running are not among them."""
        ...

    def erase_older_than(self, age_seconds: float) -> int:
        """Deletes old messages; returns how many."""
        ...
