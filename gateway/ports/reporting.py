"""The interface to the database for operators: searching turns, usage figures, personal data, retention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.models import Conversation, Turn, TurnId, TurnState, Verdict

TIMES = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the latency buckets, in seconds."""


@dataclass(frozen=True, slots=True)
class Search:
    """Criteria for turns. Empty fields match everything."""

    platform: str = ""
    channel: str = ""
    user: str = ""
    """``Message.author``, exactly."""
    text: str = ""
    """A substring of the message or the reply, ignoring case."""
    state: TurnState | None = None
    since: float | None = None
    """Received at this time or later; seconds since the epoch."""
    until: float | None = None
    """Received before this time."""


@dataclass(frozen=True, slots=True)
class Line:
    """A conversation in a list, with its counts."""

    conversation: Conversation
    turns: int
    waiting: int
    """Turns that are not finished."""
    last_at: float
    """When its newest turn was received."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcomes of the turns of a platform that were received within one span of time."""

    platform: str
    since: float
    """When the span begins."""
    received: int = 0
    answered: int = 0
    """Turns with a reply, delivered or not yet. Turns that are in none of these counts are unresolved."""
    cancelled: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many failed, by code, including replies that could not be delivered."""
    times: Sequence[int] = ()
    """How many of ``answered`` fall into each latency bucket, from received to answered: one number per bound in
    LATENCY_BOUNDS, and one for the rest."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    """In millionths of the currency."""


class Catalogue(Protocol):
    """Queries of operators. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    Called for people, not on the way of a message.
    """

    def now(self) -> float:
        """Returns the database's time, in seconds since the epoch."""
        ...

    def find(self, search: Search, *, limit: int, before: Turn | None = None) -> Sequence[Turn]:
        """Returns the matching turns older than ``before``, newest first."""
        ...

    def find_conversations(self, search: Search, *, limit: int, before: Line | None = None) -> Sequence[Line]:
        """Returns the conversations with at least one matching turn, ordered by their newest turn, newest first."""
        ...

    def conversation_by_id(self, conversation: int) -> Conversation | None: ...

    def tally(self, since: float, until: float, *, span: float) -> Sequence[Tally]:
        """Returns usage from ``since`` to ``until``, per platform and span of ``bucket_seconds``, oldest first.

        Spans begin at multiples of their length. Spans and platforms without turns are left out, as is the history of
        imported threads, which was not received by the gateway.
        """
        ...

    # ------------------------------------------------------------ a person

    def said_by(self, platform: str, author: str, *, after: Turn | None = None, limit: int = 500) -> Sequence[Turn]:
        """Returns the turns of a person after ``after``, oldest first, without erased ones."""
        ...

    def judged_by(self, platform: str, author: str) -> Sequence[Verdict]:
        """Returns a person's feedback on any replies, oldest first."""
        ...

    def unfinished(self, platform: str, author: str) -> Sequence[TurnId]:
        """Returns the turns of a person that are queued or running."""
        ...

    def shares(self, platform: str, author: str) -> Sequence[tuple[Conversation, bool]]:
        """Returns the conversations with a turn or a key of a person, each with whether it has no other person's turns.

        Erased turns have no author, so they do not make a conversation shared.
        """
        ...

    def erase_person(self, conversation: Conversation, author: str) -> int | None:
        """Erases the turns of one person in a conversation; returns how many.

        The conversation loses its thread and the record of its earlier threads: the next turn creates a thread from the
        remaining turns. Unfinished turns of the person are cancelled. Returns None and does nothing when the
        conversation is deleted, or has another thread than ``conversation`` says, which may contain their messages too.
        """
        ...

    def erase_verdicts(self, platform: str, author: str) -> int:
        """Deletes a person's feedback; returns how many entries."""
        ...

    # ------------------------------------------------------------ retention

    def erase_before(self, age: float, *, limit: int = 1000) -> int:
        """Erases the content of finished turns received more than ``age_seconds`` ago; returns how many turns.

        Message, reply, author, files, address, posted messages, feedback and the failure's detail are erased; states,
        times, tokens and cost stay. An unfinished turn is erased by a later call, once it is finished. Erases about
        ``limit`` turns in one transaction: call it until it returns 0. Cheap when there is nothing to erase.
        """
        ...

    def tidy(self) -> None:
        """Deletes token buckets and locks that expired an hour ago, and budget records of past months."""
        ...
