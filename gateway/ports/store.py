"""The interface to the database: what the core and its adapters store, and how lease holders write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from gateway.domain.conversations import AssistantThread, Claim, Conversation
from gateway.domain.exchange import Exchange
from gateway.domain.models import DEFAULT_ASSISTANT, ConversationKey, Failure, Message, ThreadId, Turn, TurnId
from gateway.domain.platform_events import ChannelMigrated, Feedback, MessageEdited
from gateway.domain.shares import Share
from gateway.ports.approvals import ApprovalStore
from gateway.ports.cluster import ClusterEvent, WorkerLoad
from gateway.ports.enqueue import DEFAULT_ROUTE, AssistantRoute, EnqueueRequest, EnqueueResult
from gateway.ports.leased_writes import LeasedWrite, WriteResult
from gateway.ports.token_buckets import Rate, TokenRequest


class KeyValueStore(Protocol):
    """Named values and locks for adapters. Sync, thread-safe; every method does I/O and may raise StoreUnavailable."""

    def get_value(self, name: str) -> str | None:
        """Returns the value of a name, or None."""
        ...

    def set_value(self, name: str, value: str) -> None:
        """Sets the value of a name, replacing any other. Names begin with the platform's."""
        ...

    def replace_value(self, name: str, old: str, new: str) -> bool:
        """Sets the value of a name if it is ``old``; returns whether it was."""
        ...

    def delete_value(self, name: str) -> bool:
        """Deletes a value; returns whether it existed."""
        ...

    def try_lock(self, name: str, owner: str, seconds: float) -> bool:
        """Takes or extends a lock with an expiry, or releases it when ``seconds`` is 0. False: another owner has it."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseRenewal:
    """The result of ``Store.renew_leases``."""

    held_conversations: frozenset[int]
    """The conversations this owner still holds."""
    cancelled_turns: frozenset[TurnId]
    """The turns of these conversations that were cancelled while they ran."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The unfinished turns of a platform."""

    platform: str
    unfinished: int
    """How many."""
    oldest_age_seconds: float
    """Seconds since the oldest was received."""
    parked: Mapping[str, int] = field(default_factory=dict)
    """How many of them are parked, by reason."""
    by_share: Mapping[Share, int] = field(default_factory=dict)
    """How many of them each share has."""


class Places(Protocol):
    """What a process still has room for, by share. No I/O."""

    def try_take(self, share: Share) -> bool:
        """Takes a place for a share, and returns whether there was one."""
        ...

    def full_callers(self) -> Sequence[str]:
        """Returns callers for which there is no place."""
        ...

    def full_workspaces(self) -> Sequence[str]:
        """Returns workspaces for which there is no place, whoever the caller is."""
        ...


class _AnyPlaces:
    """Places for everybody."""

    def try_take(self, share: Share) -> bool:  # noqa: ARG002  # all are alike
        return True

    def full_callers(self) -> Sequence[str]:
        return ()

    def full_workspaces(self) -> Sequence[str]:
        return ()


ANY_PLACES: Places = _AnyPlaces()


class Store(KeyValueStore, ApprovalStore, Protocol):
    """Conversations and turns. Sync, thread-safe; every method does I/O and may raise StoreUnavailable.

    All times and lease expiries are by the database's clock.
    """

    is_shared: bool
    """Whether other processes may use the same database. No I/O."""

    def enqueue_all(self, requests: Sequence[EnqueueRequest]) -> Sequence[EnqueueResult | Exception]:
        """Commits messages as the newest turns of their conversations, which are created if they do not exist.

        All are committed by one transaction when this returns, in their order; a result for each. A message that is
        refused does not affect the others; its result is the error to raise: Overloaded when ``max_backlog`` turns of
        the conversation are unfinished (not for STOP), ThreadNotFound when the conversation does not exist and the
        message may not start one, or when the message must join a turn and does not, or what the database said about
        this message alone. A known message id is no error: its turn is the result; so is the turn of a message with the
        same id before it in ``requests``.

        A message of kind STOP cancels the unresolved prompts before it, in the same transaction; with
        ``stops_channel`` also those of its author in other conversations of the channel. With ``only_if_running`` it
        becomes a PROMPT where the conversation has no unfinished turn and there is nothing else to cancel. One of kind
        RESET cancels the parked turn, if there is one. One that is ``only_if_idle`` is refused with Conflict
        (``conversation_busy``) while the newest turn of the conversation is unresolved. The ``route`` of a request
        decides the assistant of its turn; one that a message asks for is that of the conversation from then on. A
        message that may ``join`` the newest turn is appended to it, unless it asks for another assistant, with its text
        on a line of its own, and its id then names that turn too; the turn waits for the ``debounce_seconds`` of its
        newest part. Of two messages in ``requests`` that may join, the first is committed before the second. A message
        with ``debounce_seconds`` is not claimed by this call and, in an idle conversation, by no process before that
        time.
        Raises StoreUnavailable; then the messages may be committed or not, and may be sent again.
        """
        ...

    def enqueue_answered(
        self, message: Message, turn_id: TurnId, max_backlog: int = 100, route: AssistantRoute = DEFAULT_ROUTE
    ) -> EnqueueResult:
        """Commits a message with its ``given_reply`` as an answered turn, so that the reply is delivered in order.

        The files of the message are those of the reply.

        A known message id is no error: its turn is the result. Raises Overloaded when ``max_backlog`` turns of the
        conversation are unfinished.
        """
        ...

    def enqueue_failed(
        self, message: Message, turn_id: TurnId, failure: Failure, route: AssistantRoute = DEFAULT_ROUTE
    ) -> Turn | None:
        """Commits a message as a turn that has already failed, so that the failure is delivered in order.

        Returns None and stores nothing when the message may not start a conversation and there is none, when it was
        recorded before, or when the newest turn of the conversation is such a failure with the same code, not yet
        delivered: one notice covers both.
        """
        ...

    def retry_turn(self, turn_id: TurnId, new_turn_id: TurnId) -> EnqueueResult:
        """Appends a copy of a failed or cancelled turn to its conversation, with the id ``new_turn_id``.

        If the turn has a reply, it is only delivered again; otherwise the assistant is asked again. Text, files, author
        and address are the same; the message id is generated. Each audit log refers to the other turn. Raises
        TurnNotFound; Conflict when the turn did not fail, its text is erased, or it was retried before.
        """
        ...

    def append_to_queued(self, item: Message) -> bool:
        """Appends the text and files of an album item to the queued turn of its message.

        True also when it was appended before. False: the turn has started, or does not exist.
        """
        ...

    def complete_queued(self, again: Message) -> bool:
        """Adds what another event about a message has more, text and files, to its queued turn, which waits no longer.

        The text of a turn that waited for this event is replaced, of any other only extended: it may have been edited.
        A turn that may wait for other messages goes on waiting, see ``Message.join``.
        True also when there is nothing more, or no such turn. False: it has files that the turn started without.
        """
        ...

    def migrate_channel(self, migration: ChannelMigrated) -> None:
        """Moves the conversations of a channel to another one, except those whose new key exists already."""
        ...

    def edit_queued(self, edit: MessageEdited) -> bool:
        """Changes the text of a queued turn, or of the part of it that the message is.

        False: no turn has that message id, or it is no longer queued.
        """
        ...

    def find_turn_by_message(self, platform: str, message_id: str) -> Turn | None:
        """Returns the turn of a message."""
        ...

    def find_newest_turn_by_message(self, platform: str, first: str, last: str) -> Turn | None:
        """Returns the newest turn with a message id from ``first`` to ``last``, lower-case letters and digits only."""
        ...

    def provide_outputs(self, turn_id: TurnId, outputs: Mapping[str, str]) -> Turn | None:
        """Adds the outputs of calls that a parked turn waits for, by call id, and wakes the turn if it has all.

        An output that is there already stays. Returns the turn as it is stored then; None: no such turn.
        """
        ...

    def count_turns(self, key: ConversationKey, author: str, seconds: float) -> int:
        """Returns how many turns of an author a conversation received in the last ``seconds``."""
        ...

    def stopped_in_channel(self, stop: Turn) -> bool:
        """Returns whether a turn of the author was cancelled in the channel of a STOP since that was received."""
        ...

    def record_feedback(self, feedback: Feedback) -> bool:
        """Stores a person's feedback on a turn. False: there is no such turn."""
        ...

    def feedback_on(self, turn_id: TurnId) -> Sequence[Feedback]:
        """Returns the feedback on a turn's reply, oldest first."""
        ...

    def take_token(self, bucket: str, rate: Rate, max_wait: float) -> float | None:
        """Takes the next token of a bucket; returns the seconds until it is valid.

        Returns None and takes none if that would be more than ``max_wait`` seconds.
        """
        ...

    def take_tokens(self, requests: Sequence[TokenRequest]) -> Sequence[float | None]:
        """Takes tokens as ``take_token`` does, in one transaction; returns the result of each request, in order.

        A result is for the first token of its request, and negative if that has been valid for some time. Each further
        one is valid an interval after the one before.
        """
        ...

    def block_for(self, bucket: str, seconds: float) -> None:
        """Blocks a bucket: no token of it becomes valid for so many seconds from now."""
        ...

    def listen(self, on_event: Callable[[ClusterEvent], None], stopped: Event) -> None:
        """Calls ``on_event`` for each event of other processes until ``stopped`` is set; returns about a second later.

        Runs in a thread of its own. Reconnects by itself and then emits DUE, as events may have been missed. Returns at
        once if no other process can share the database. Raises nothing.
        """
        ...

    def announce(self, load: WorkerLoad) -> None:
        """Tells the other processes how busy a worker is, if others can share the database."""
        ...

    def queue_depths(self) -> Sequence[QueueDepth]:
        """Returns the queue depth of each platform that has unfinished turns."""
        ...

    def repair_clock_skew(self) -> int:
        """Makes conversations claimable that a clock set back has put out of reach; returns how many.

        A lease or a delay never ends later than a minute from now. Locks, limits and callbacks are as far away again
        as they were.
        """
        ...

    def claim(
        self,
        owner: str,
        platforms: Sequence[str],
        limit: int,
        places: Places = ANY_PLACES,
        waited: float = 0.0,
    ) -> Sequence[Claim]:
        """Claims up to ``limit`` conversations of these platforms that are due or whose lease has expired.

        ``waited``: what is due is left to others until it has been due for so many seconds.

        They go round over the workspaces that have a share (``Message.share``), and over the callers without one, from
        where the claim before stopped; within a workspace over its callers. Of each caller the oldest conversation is
        claimed, as long as ``places`` has a place for it. What was leased or parked comes first.
        A claim counts as an attempt at the oldest unfinished turn of the conversation; a queued turn becomes running.
        """
        ...

    def wake(self, key: str, limit: int = 1) -> int:
        """Makes up to ``limit`` turns claimable that are parked with a key, those that wait longest first.

        Returns how many. One that another transaction holds just now is passed over; it wakes by its time.
        """
        ...

    def renew_leases(self, owner: str, conversation_ids: Collection[int] | None = None) -> LeaseRenewal:
        """Extends the leases of this owner, or only those on ``conversation_ids`` if given."""
        ...

    def apply_writes(self, writes: Sequence[LeasedWrite]) -> Sequence[WriteResult]:
        """Applies the writes of lease holders in one transaction; returns a result for each, in order.

        A write whose lease is lost does nothing; its result is the LeaseLost to raise.
        """
        ...

    def get_turn(self, turn_id: TurnId) -> Turn | None: ...

    def find_conversation(self, key: ConversationKey) -> Conversation | None: ...

    def find_conversation_by_thread(self, thread_id: ThreadId) -> Conversation | None:
        """Returns the conversation that owns a thread, or owned it before a reset, whichever backend created it."""
        ...

    def former_threads(self, conversation_id: int) -> Sequence[AssistantThread]:
        """Returns the earlier threads of a conversation."""
        ...

    def transcript(
        self, conversation_id: int, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        """Returns the newest ``limit`` turns with a seq below ``before``, oldest first."""
        ...

    def past_turns(self, turn: Turn, limit: int) -> Sequence[Turn]:
        """Returns the newest ``limit`` turns before one in its conversation, oldest first, as far as the assistant
        remembers them: see ``exchanges_of``. All else in them, such as usage, times and audit log, is as in new turns.
        """
        ...

    def import_thread(
        self,
        key: ConversationKey,
        thread_id: ThreadId,
        backend: str,
        history: Sequence[Exchange],
        assistant: str = DEFAULT_ASSISTANT,
    ) -> Conversation:
        """Creates a conversation for an existing thread of an assistant, with its history as delivered turns.

        Returns the existing conversation when another caller was first, or the thread was ever of one; raises
        ThreadNotFound when it was of one that is deleted.
        """
        ...

    def release_adopted(self, conversation_id: int) -> None:
        """Deletes a conversation that was only imported; its thread may be imported again."""
        ...

    def cancel_turn(self, turn_id: TurnId) -> Turn | None:
        """Cancels a queued or running turn; a resolved one stays as it is. None: no such turn."""
        ...

    def delete_conversation(self, conversation_id: int) -> None:
        """Deletes a conversation and its turns. Its lease holder loses the lease. Nobody can import its threads."""
        ...

    def set_value_if_absent(self, name: str, value: str) -> str:
        """Sets the value of a name unless it has one; returns the stored value."""
        ...

    def ping(self) -> None:
        """Makes one round trip to the database, as a health check."""
        ...

    def close(self) -> None: ...
