"""The socket of the database for operators: what there is, what becomes of it, whose it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.messages import Conversation, Turn, TurnId, TurnState, Verdict

TIMES = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds up to which answers are counted, each with those that took longer than the bound before."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which turns are looked for. What is empty does not narrow anything down."""

    platform: str = ""
    channel: str = ""
    user: str = ""
    """Who said it: ``Message.author``, exactly."""
    text: str = ""
    """Something in the message or the reply, in whatever case."""
    state: TurnState | None = None
    since: float | None = None
    """Received at this time or later; seconds since the epoch."""
    until: float | None = None
    """Received before this time."""


@dataclass(frozen=True, slots=True)
class Line:
    """A conversation in a list."""

    conversation: Conversation
    turns: int
    waiting: int
    """Unfinished ones."""
    last_at: float
    """When its newest turn was received."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the turns of a platform that were received within a span of time."""

    platform: str
    since: float
    """Where the span begins."""
    received: int = 0
    answered: int = 0
    """With a reply that is delivered, or about to be. What is none of these is not decided yet."""
    cancelled: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many failed, by code. A reply that could not be delivered is among them."""
    times: Sequence[int] = ()
    """How many of ``answered`` took so long, from received to answered: one number for each of TIMES, and one for
    what took longer."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    """In millionths."""


class Catalogue(Protocol):
    """Sync, thread-safe; every method does I/O and may raise StoreUnavailable. For people: not for each turn."""

    def now(self) -> float:
        """The database's time."""
        ...

    def find(self, search: Search, *, limit: int, before: Turn | None = None) -> Sequence[Turn]:
        """The turns that fit, the newest first; those older than ``before``."""
        ...

    def find_conversations(self, search: Search, *, limit: int, before: Line | None = None) -> Sequence[Line]:
        """The conversations with at least one turn that fits, the one with the newest turn of all first."""
        ...

    def conversation_by_id(self, conversation: int) -> Conversation | None: ...

    def tally(self, since: float, until: float, *, span: float) -> Sequence[Tally]:
        """What became of what was received from ``since`` to ``until``, for each ``span`` seconds and platform.

        Spans begin at multiples of their length; the oldest comes first. Spans and platforms in which nothing was
        received are left out, and so is the past of a thread that was adopted: nobody said it here.
        """
        ...

    # ------------------------------------------------------------ a person

    def said_by(self, platform: str, author: str, *, after: Turn | None = None, limit: int = 500) -> Sequence[Turn]:
        """What a person said and got, oldest first; those after ``after``. Not what was erased."""
        ...

    def judged_by(self, platform: str, author: str) -> Sequence[Verdict]:
        """What a person thinks of replies, to them and to others; the oldest opinion first."""
        ...

    def unfinished(self, platform: str, author: str) -> Sequence[TurnId]:
        """The turns of a person that are queued or running."""
        ...

    def shares(self, platform: str, author: str) -> Sequence[tuple[Conversation, bool]]:
        """Each conversation that a person has a turn in, or that is theirs by its key; whether it is theirs alone.

        What was erased is nobody's any more, so it makes no conversation a shared one.
        """
        ...

    def erase_person(self, conversation: Conversation, author: str) -> int | None:
        """Erase what one person said and got in a conversation; how many turns that were.

        Its thread is let go of, and those that it had before are not known any more: the next turn opens another one,
        from what is left. Unfinished turns of the person are cancelled. None, and nothing is done: it is gone, or has
        another thread by now than ``conversation`` says, which may remember them as well.
        """
        ...

    def erase_verdicts(self, platform: str, author: str) -> int:
        """Delete what a person thinks of replies; how many verdicts that were."""
        ...

    # ------------------------------------------------------------ clearing up

    def erase_before(self, age: float, *, limit: int = 1000) -> int:
        """Erase what was said in finished turns that were received more than ``age`` seconds ago; how many it were.

        Message, reply, author, files, address, parts, verdicts and the failure's detail go; states, times, tokens and
        cost stay. An unfinished turn is erased by a later call, when it is finished. About ``limit`` in one
        transaction: call it again until it is 0. Cheap when there is nothing to erase.
        """
        ...

    def tidy(self) -> None:
        """Delete what nobody needs any more: limits and leases that ran out an hour ago, budgets of months gone by."""
        ...
