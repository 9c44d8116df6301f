"""The interface to the database for operators: searching turns, usage figures, personal data, retention."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.approvals import Approval
from gateway.domain.context import Quote
from gateway.domain.conversations import Conversation
from gateway.domain.models import Turn, TurnId, TurnState
from gateway.domain.platform_events import Feedback

LATENCY_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the latency buckets, in seconds."""


@dataclass(frozen=True, slots=True)
class TurnFilter:
    """Criteria for turns. Empty fields match everything."""

    platform: str = ""
    channel: str = ""
    author: str = ""
    """``Message.author``, exactly."""
    text: str = ""
    """A substring of the message or the reply, ignoring case."""
    state: TurnState | None = None
    assistant: str = ""
    """The name of the assistant that was asked."""
    since: float | None = None
    """Received at this time or later; seconds since the epoch."""
    until: float | None = None
    """Received before this time."""
    named: str = ""
    """For conversations: a part of the name of a person or of a channel, ignoring case."""
    bots_of: str = ""
    """A platform, whichever of its bots it was."""
    failure_codes: Collection[str] | None = None
    """Those of ``Failure.code``; None: any, or none."""


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation in a list, with its counts."""

    conversation: Conversation
    turn_count: int
    unfinished_count: int
    """Turns that are not finished."""
    last_at: float
    """When its newest turn was received."""
    first_text: str = ""
    """How its first message begins; empty if that is erased."""
    first_author: str = ""
    """Who wrote that."""


@dataclass(frozen=True, slots=True)
class UsageBucket:
    """The outcomes of the turns of a platform that were received within one span of time."""

    platform: str
    start: float
    """When the span begins."""
    received: int = 0
    answered: int = 0
    """Turns with a reply, delivered or not yet. Turns that are in none of these counts are unresolved."""
    cancelled: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many failed, by code, including replies that could not be delivered."""
    latency_counts: Sequence[int] = ()
    """How many of ``answered`` fall into each latency bucket, from received to answered: one number per bound in
    LATENCY_BOUNDS, and one for the rest."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    """In millionths of the currency."""


@dataclass(frozen=True, slots=True)
class AssistantUsage:
    """The turns of an assistant that were received within one span of time."""

    assistant: str
    received: int
    failed: int
    """Including those with replies that could not be delivered."""
    cost: int
    """In millionths of the currency."""


class ReportingStore(Protocol):
    """Queries of operators. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    Called for people, not on the way of a message.
    """

    def now(self) -> float:
        """Returns the database's time, in seconds since the epoch."""
        ...

    def find_turns(self, criteria: TurnFilter, *, limit: int, before: Turn | None = None) -> Sequence[Turn]:
        """Returns the matching turns older than ``before``, newest first."""
        ...

    def find_conversations(
        self, criteria: TurnFilter, *, limit: int, before: ConversationSummary | None = None
    ) -> Sequence[ConversationSummary]:
        """Returns the conversations with at least one matching turn, ordered by their newest turn, newest first."""
        ...

    def get_conversation(self, conversation_id: int) -> Conversation | None: ...

    def usage_buckets(self, since: float, until: float, *, bucket_seconds: float) -> Sequence[UsageBucket]:
        """Returns usage from ``since`` to ``until``, per platform and span of ``bucket_seconds``, oldest first.

        Spans begin at multiples of their length. Spans and platforms without turns are left out, as is the history of
        imported threads, which was not received by the gateway.
        """
        ...

    def usage_by_assistant(self, since: float, until: float) -> Sequence[AssistantUsage]:
        """Returns usage from ``since`` to ``until`` per assistant that was asked, by name.

        Assistants without turns are left out, as is the history of imported threads.
        """
        ...

    # ------------------------------------------------------------ a person

    def turns_by_author(
        self, platform: str, author: str, *, after: Turn | None = None, limit: int = 500
    ) -> Sequence[Turn]:
        """Returns the turns of a person after ``after``, oldest first, without erased ones."""
        ...

    def feedback_by(self, platform: str, author: str) -> Sequence[Feedback]:
        """Returns a person's feedback on any replies, oldest first."""
        ...

    def decisions_by(self, platform: str, author: str) -> Sequence[Approval]:
        """Returns the calls of tools that a person approved or denied, oldest first."""
        ...

    def quotes_of(self, platform: str, author: str) -> Sequence[tuple[TurnId, Quote]]:
        """Returns what turns quote of a person's messages that were not said to the bot, each with the turn."""
        ...

    def unfinished_turns_by(self, platform: str, author: str) -> Sequence[TurnId]:
        """Returns the turns of a person that are queued or running."""
        ...

    def conversations_of(self, platform: str, author: str) -> Sequence[tuple[Conversation, bool]]:
        """Returns the conversations with a turn or a key of a person, or where others' turns quote or name them.

        Each with whether it has no other person's turns.

        Erased turns have no author, so they do not make a conversation shared.
        """
        ...

    def erase_author(self, conversation: Conversation, author: str) -> int | None:
        """Erases the turns of one person in a conversation; returns how many.

        The conversation loses its thread and the record of its earlier threads: the next turn creates a thread from the
        remaining turns. Unfinished turns of the person are cancelled. What others' turns quote of the person is erased,
        and so is their name there. Returns None and does nothing when the conversation is deleted, or has another
        thread than ``conversation`` says, which may contain their messages too.
        """
        ...

    def erase_feedback_by(self, platform: str, author: str) -> int:
        """Deletes a person's feedback, and their name where they decided about calls; returns how many entries."""
        ...

    # ------------------------------------------------------------ retention

    def erase_older_than(self, age_seconds: float, *, limit: int = 1000) -> int:
        """Erases the content of finished turns received more than ``age_seconds`` ago; returns how many turns.

        Message, reply, author, files, address, posted messages, feedback and the failure's detail are erased; states,
        times, tokens and cost stay. An unfinished turn is erased by a later call, once it is finished. Erases about
        ``limit`` turns in one transaction: call it until it returns 0. Cheap when there is nothing to erase.
        """
        ...

    def purge_expired(self) -> None:
        """Deletes token buckets and locks that expired an hour ago, and budget records of past months."""
        ...
