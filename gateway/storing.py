"""The socket of the database: what the core and its adapters keep, and how those who hold a lease write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Event
from typing import Protocol

from gateway.errors import LeaseLost
from gateway.messages import (
    NO_TOKENS,
    Claim,
    Conversation,
    ConversationKey,
    Edit,
    Exchange,
    Failure,
    File,
    Lease,
    Mark,
    Message,
    Move,
    RunId,
    ThreadId,
    Turn,
    TurnId,
    Usage,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something may be done."""

    every: float
    """Seconds from one to the next, in the long run."""
    burst: int = 1
    """How many at once after a pause."""


class TokenBuckets(Protocol):
    """Rate limits that all processes on one database share. Sync, thread-safe."""

    def reserve(self, bucket: str, rate: Rate, patience: float) -> float | None:
        """Takes the next free token of a bucket. Does I/O; raises StoreUnavailable.

        Returns the seconds until it is free; None, and takes none, if that is more than ``patience``.
        """
        ...


class Memory(Protocol):
    """What an adapter may keep beside its turns. Sync, thread-safe; all do I/O and may raise StoreUnavailable."""

    def recall(self, name: str) -> str | None: ...

    def keep(self, name: str, value: str) -> None:
        """Keep a value under a name, instead of what was there. Begin the name with the platform's."""
        ...

    def discard(self, name: str) -> bool:
        """Forget it; whether it was there."""
        ...

    def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take or extend the right to be the only one to do something. ``seconds`` of 0 give it up. False: taken."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    turn: Turn
    new: bool
    """False: this message id was recorded before; ``turn`` is the one from then."""
    claim: Claim | None = None
    """Set when the conversation was idle and ``owner`` was given: the caller may start at once."""
    stopped: tuple[TurnId, ...] = ()
    """The turns that a message of the kind STOP has cancelled."""


@dataclass(frozen=True, slots=True)
class Renewal:
    held: frozenset[int]
    """The conversations this owner still holds."""
    cancelled: frozenset[TurnId]
    """Turns among them that somebody cancelled while they ran."""


# Writes of a lease holder. Each is refused with LeaseLost when the lease is not the newest any more.


@dataclass(frozen=True, slots=True)
class Bound:
    """The conversation has this thread; None: it has none any more. Result: None."""

    lease: Lease
    thread: ThreadId | None
    backend: str


@dataclass(frozen=True, slots=True)
class Started:
    """The turn's run has this id. Result: None."""

    lease: Lease
    turn: TurnId
    run_id: RunId


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a running turn: a reply, or a failure. Result: the turn as it is stored now.

    A turn that was cancelled in the meantime stays cancelled.
    """

    lease: Lease
    turn: TurnId
    reply: str = ""
    usage: Usage = NO_TOKENS
    failure: Failure | None = None
    files: tuple[File, ...] = ()
    model: str = ""
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Marked:
    """A line for the trail of the turn in hand. Result: None."""

    lease: Lease
    turn: TurnId
    mark: Mark
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """This stands at the platform of the turn's reply by now, instead of what was noted before. Result: None."""

    lease: Lease
    turn: TurnId
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The turn's outcome was brought (``failure``: it could not be), the conversation goes on behind it.

    Result: with ``keep``, the claim on the next turn if there is one, else None and the lease is given up.
    """

    lease: Lease
    turn: TurnId
    failure: Failure | None = None
    keep: bool = True


@dataclass(frozen=True, slots=True)
class Released:
    """Hand the conversation back, unfinished: claimable ``after`` seconds from now. Result: None.

    ``fresh``: nothing of the turn has reached the assistant. The attempt does not count.
    """

    lease: Lease
    after: float = 0.0
    fresh: bool = False


Change = Bound | Started | Settled | Marked | Brought | Finished | Released
Result = Turn | Claim | LeaseLost | None


# What processes tell each other through the database.


class News(StrEnum):
    DUE = "due"
    """A conversation waits for somebody to claim it."""
    DECIDED = "decided"
    """A turn that a process awaits was decided by another one."""
    CANCELLED = "cancelled"
    """A running turn was cancelled."""


@dataclass(frozen=True, slots=True)
class Notice:
    news: News
    turn: TurnId | None = None
    """Not for DUE."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits of a platform."""

    platform: str
    turns: int
    """Unfinished ones."""
    age: float
    """Seconds since the oldest of them was received."""


class Store(Memory, Protocol):
    """Conversations and turns. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    The clock of every time and lease is the database's.
    """

    shared: bool
    """Whether other processes may use the same database. No I/O."""

    def record(
        self,
        message: Message,
        turn: TurnId,
        *,
        owner: str | None = None,
        taker: str = "",
        backlog: int = 100,
    ) -> Recorded:
        """Commit a message as the newest turn of its conversation, which is opened if need be.

        One of the kind STOP cancels what was asked before it and is not decided, in the same transaction. Raises
        Overloaded when ``backlog`` turns of the conversation are unfinished (not for STOP), ThreadNotFound when there
        is no such conversation and the message may not open one. A message id that is there already wins over both.
        A message that says to ``wait`` is not claimed by this, and in an idle conversation by nobody before that.
        ``taker``: the process that takes it in, for the trail; one that awaits the outcome is told of it by a Notice.
        """
        ...

    def refuse(self, message: Message, turn: TurnId, failure: Failure) -> Turn | None:
        """Commit a message as a turn that has failed already, so that its conversation is told why, in order.

        None, and nothing is stored: it may open no conversation and there is none, it was recorded before, or the
        newest turn of the conversation is such a one, with the same code, that was not told yet. It speaks for both.
        """
        ...

    def retry(self, turn: TurnId, again: TurnId) -> Recorded:
        """Put a failed or cancelled turn behind its conversation once more, as a turn with the name ``again``.

        One whose reply is there is only brought again; any other is asked again. The same text, files, author and
        address; its message id is one of our own. Both trails tell of the other. Raises TurnNotFound; Conflict
        when it did not fail, its text is erased, or it was retried already.
        """
        ...

    def join(self, piece: Message) -> bool:
        """Add a piece of a message to the queued turn of that message: its text and its files.

        True also when it was added before. False: the turn has begun, or is not there.
        """
        ...

    def move(self, move: Move) -> None:
        """Conversations of a channel go on in another, as far as that has none with the same key yet."""
        ...

    def edit(self, edit: Edit) -> bool:
        """Change the text of a queued turn; False: there is none with that message, or it is not queued any more."""
        ...

    def turn_of(self, platform: str, message_id: str) -> Turn | None:
        """The turn of a message."""
        ...

    def judge(self, verdict: Verdict) -> bool:
        """Keep a verdict with its turn; False: there is no such turn."""
        ...

    def verdicts(self, turn: TurnId) -> Sequence[Verdict]:
        """What people think of a turn's reply, the oldest opinion first."""
        ...

    def reserve(self, bucket: str, rate: Rate, patience: float) -> float | None:
        """Take the next free place under a limit: the seconds until it comes.

        None, and none is taken, if that would be more than ``patience``.
        """
        ...

    def hold_off(self, bucket: str, seconds: float) -> None:
        """No place under a limit comes free for so many seconds from now."""
        ...

    def listen(self, hear: Callable[[Notice], None], stopped: Event) -> None:
        """Tell what other processes do, until ``stopped`` is set; returns within a second or so of that.

        Runs in a thread of its own. Connects again by itself when the connection breaks, and then tells DUE, as
        something may have been missed. Returns at once where no other process can be. Raises nothing.
        """
        ...

    def depths(self) -> Sequence[Depth]:
        """How much waits, of each platform that has something waiting."""
        ...

    def mend(self) -> int:
        """Make due what a clock that was set back has put out of reach; how many conversations that were.

        A lease or a pause never ends later than a minute from now.
        """
        ...

    def claim(self, owner: str, platforms: Sequence[str], limit: int) -> Sequence[Claim]:
        """Take up to ``limit`` conversations of these platforms that wait, or whose holder let the lease expire.

        A claim counts as an attempt at the conversation's oldest unfinished turn; an undecided one becomes running.
        """
        ...

    def renew(self, owner: str, among: Collection[int] | None = None) -> Renewal:
        """Extend the leases of this owner, of these conversations only if they are given."""
        ...

    def write(self, changes: Sequence[Change]) -> Sequence[Result]:
        """Apply the changes of lease holders in one transaction; a result for each, in order.

        A change whose lease is lost does nothing, and its result is the LeaseLost to raise.
        """
        ...

    def turn(self, turn: TurnId) -> Turn | None: ...

    def conversation(self, key: ConversationKey) -> Conversation | None: ...

    def conversation_of(self, thread: ThreadId) -> Conversation | None:
        """The conversation that owns a thread, whichever backend opened it."""
        ...

    def former_threads(self, conversation: int) -> Sequence[tuple[ThreadId, str]]:
        """The threads that a conversation had before the one it has, with the name of each one's backend."""
        ...

    def transcript(self, conversation: int, *, before: int | None = None, limit: int | None = None) -> Sequence[Turn]:
        """The turns of a conversation, oldest first: those with a lower seq than ``before``, the newest ``limit``."""
        ...

    def adopt(self, key: ConversationKey, thread: ThreadId, backend: str, past: Sequence[Exchange]) -> Conversation:
        """Open a conversation on a thread that is there already, with its past as delivered turns.

        The one that is there when another caller was first.
        """
        ...

    def cancel(self, turn: TurnId) -> Turn | None:
        """Cancel a queued or running turn; one that is decided stays as it is. None: no such turn."""
        ...

    def forget(self, conversation: int) -> None:
        """Delete a conversation and its turns. Whoever holds it loses the lease."""
        ...

    def remember(self, name: str, value: str) -> str:
        """Keep a fact; the first one kept under a name wins and is returned."""
        ...

    def ping(self) -> None:
        """One round trip."""
        ...

    def close(self) -> None: ...
