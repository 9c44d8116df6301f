"""What adapters call: accept messages, read and cancel turns, delete conversations. Sync, for web threads."""

from __future__ import annotations

import re
import secrets
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from gateway import logs
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.lease import lease_clock
from gateway.domain.errors import Blocked, Conflict, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.models import (
    ChannelMigrated,
    Claim,
    Conversation,
    ConversationKey,
    Failure,
    Feedback,
    Message,
    MessageDeleted,
    MessageEdited,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
)
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.admission import AdmissionControl
from gateway.ports.assistant import Assistant
from gateway.ports.inbox import AcceptResult
from gateway.ports.platform import ParsedUpdate
from gateway.ports.store import EnqueueResult, Store

THREAD_ID_PATTERN = re.compile(r"[A-Za-z0-9_\-]{1,128}")
"""The thread ids that callers may send: those of the backends; no characters with a meaning in a URL."""

OVERLOADED_REPLY = (
    "Too many messages wait for an answer. I have not read this one, nor what comes after it until I have caught up: "
    "please send it again in a few minutes."
)

T = TypeVar("T")

log = logs.get_logger(__name__)


class WorkerHandle(Protocol):
    """What the inbox needs of the worker. Thread-safe."""

    owner: str

    def has_capacity(self) -> bool:
        """Returns whether a turn could start at once."""
        ...

    def is_processing(self, conversation_id: int) -> bool:
        """Returns whether this process works on a conversation."""
        ...

    def accepting(self) -> AbstractContextManager[None]:
        """Returns a context manager to hold while a message is accepted; turns that are due start afterwards."""
        ...

    def start_claim(self, claim: Claim, since: float) -> None:
        """Starts work on a claim that was requested at ``since``, by ``lease_clock``. No I/O."""
        ...

    def interrupt_turn(self, turn_id: TurnId) -> None:
        """Interrupts a turn if it runs in this process. No I/O."""
        ...

    def run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the worker's loop and returns its result. Called from other threads."""
        ...


class StoreInbox:
    """Implements ``gateway.ports.inbox.Inbox``."""

    def __init__(
        self,
        store: Store,
        assistant: Assistant,
        worker: WorkerHandle,
        admission: AdmissionControl,
        backpressure: Backpressure,
        metrics: Metrics,
        tracing: Tracing,
        *,
        max_backlog: int,
    ) -> None:
        """``max_backlog``: how many unfinished turns one conversation may have."""
        self._store = store
        self._assistant = assistant
        self._worker = worker
        self._admission = admission
        self._backpressure = backpressure
        self._metrics = metrics
        self._tracing = tracing
        self._max_backlog = max_backlog

    def new_turn_id(self) -> TurnId:
        return TurnId(f"turn_{secrets.token_hex(12)}")

    def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult:
        self._check_admission(message)
        turn_id = turn_id or self.new_turn_id()
        with self._tracing.span("accept", message.traceparent, turn=turn_id, platform=message.key.platform) as span:
            if span.traceparent:
                message = replace(message, traceparent=span.traceparent)
            with self._worker.accepting():
                return self._report_accepted(message, self._enqueue(message, turn_id))

    def _check_admission(self, message: Message) -> None:
        reason = self._admission.denial_reason(message)
        if reason is not None:
            self._metrics.refused(message.key.platform, Blocked.code)
            log.info("message blocked by the operator's rules", platform=message.key.platform, reason=reason)
            raise Blocked

    def _enqueue(self, message: Message, turn: TurnId) -> EnqueueResult:
        owner, since = self._worker.owner, lease_clock()
        try:
            self._backpressure.admit(message)
            claim_owner = owner if self._worker.has_capacity() else None
            recorded = self._store.enqueue(
                message, turn, owner=claim_owner, received_by=owner, max_backlog=self._max_backlog
            )
        except Overloaded as exc:
            # A message that was recorded before is not rejected when it is sent again.
            existing = self._store.find_turn_by_message(message.key.platform, message.message_id)
            if existing is None:
                self._metrics.refused(message.key.platform, exc.code)
                raise
            return EnqueueResult(existing, is_new=False)
        if recorded.claim is not None:
            self._worker.start_claim(recorded.claim, since)
        return recorded

    def _report_accepted(self, message: Message, recorded: EnqueueResult) -> AcceptResult:
        """Counts and logs what was recorded, interrupts the turns that it cancelled, and returns the result."""
        turn = recorded.turn
        if recorded.is_new:
            self._metrics.accepted(turn)
        else:
            self._metrics.deduplicated(message.key.platform)
        log.info("message recorded" if recorded.is_new else "message was recorded before", turn=turn.id, seq=turn.seq)
        for cancelled in recorded.cancelled:
            self._worker.interrupt_turn(cancelled)
        return AcceptResult(
            turn, recorded.is_new, recorded.claim is not None or self._worker.is_processing(turn.conversation_id)
        )

    def accept_all(self, update: ParsedUpdate) -> None:
        for message in update.messages:
            with suppress(ThreadNotFound, Blocked):
                self._accept_message(message)
        for event in update.events:
            match event:
                case MessageEdited():
                    self._store.edit_queued(event)
                case MessageDeleted():
                    self._handle_deletion(event)
                case ChannelMigrated():
                    self._store.migrate_channel(event)
                case Feedback():
                    self._store.record_feedback(event)

    def _accept_message(self, message: Message) -> None:
        if message.album_item_id and not message.may_start_conversation:
            self._store.append_to_queued(message)
            return
        try:
            accepted = self.accept(message)
        except Overloaded as exc:
            self._refuse_overloaded(message, exc)
            return
        if message.album_item_id and not accepted.is_new and not self._store.append_to_queued(message):
            self.accept(
                replace(
                    message,
                    message_id=f"{message.message_id}:{message.album_item_id}",
                    album_item_id="",
                    debounce_seconds=0.0,
                )
            )

    def _refuse_overloaded(self, message: Message, exc: Overloaded) -> None:
        """Records the message as a failed turn, so that its author is told, unless such a notice is pending already."""
        failure = Failure(exc.code, OVERLOADED_REPLY, detail=str(exc), retry_after=exc.retry_after)
        refused = self._store.enqueue_failed(message, self.new_turn_id(), failure)
        log.warning("message rejected; queue full", platform=message.key.platform, turn=refused and refused.id)

    def _handle_deletion(self, withdrawal: MessageDeleted) -> None:
        turn = self._store.find_turn_by_message(withdrawal.platform, withdrawal.message_id)
        if turn is not None and not turn.state.is_resolved:
            with suppress(TurnNotFound, Conflict):  # it was resolved or deleted just now
                self.cancel_turn(turn.id)

    def get_turn(self, turn_id: TurnId) -> Turn:
        found = self._store.get_turn(turn_id)
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        return found

    def resolve_conversation(self, key: ConversationKey, *, may_adopt: bool = True) -> Conversation:
        name = ThreadId(key.channel)
        if not THREAD_ID_PATTERN.fullmatch(name):
            raise ThreadNotFound("There is no such thread. Leave thread_id out to open a new one.")
        conversation = (
            self._store.find_conversation(key)
            or self._store.find_conversation_by_thread(name)
            or (self._import_thread(key, name) if may_adopt else None)
        )
        if conversation is None:
            raise ThreadNotFound(f"There is no thread {name!r}. Leave thread_id out to open a new one.")
        if (conversation.key.platform, conversation.key.workspace) != (key.platform, key.workspace):
            raise ThreadNotFound(f"There is no thread {name!r}. Leave thread_id out to open a new one.")
        return conversation

    def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        return self._store.transcript(conversation.id, before=before, limit=limit)

    def cancel_turn(self, turn_id: TurnId) -> Turn:
        found = self._store.cancel_turn(turn_id)
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        if found.state is not TurnState.CANCELLED:
            raise Conflict(f"The turn is {found.state.value} already.", code="turn_finished")
        self._worker.interrupt_turn(turn_id)
        log.info("turn cancelled", turn=turn_id)
        return found

    def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        turns = self._store.transcript(conversation.id)
        if conversation.key.channel == conversation.thread_id and all(map(_is_imported, turns)):
            self._store.release_adopted(conversation.id)
            return ()
        open_turns = [turn.id for turn in turns if not turn.state.is_resolved]
        cancelled = [turn for turn in map(self._store.cancel_turn, open_turns) if turn is not None]
        for turn in cancelled:
            self._worker.interrupt_turn(turn.id)
        threads = [*self._store.former_threads(conversation.id), (conversation.thread_id, conversation.backend)]
        for thread, backend in threads:
            if thread is not None and backend == self._assistant.name:
                self._worker.run_coroutine(self._assistant.delete_thread(thread))
        self._store.delete_conversation(conversation.id)
        log.info("conversation deleted", conversation=conversation.id)
        return cancelled

    def _import_thread(self, key: ConversationKey, thread: ThreadId) -> Conversation:
        history = self._worker.run_coroutine(self._assistant.import_history(thread))
        if history is None:
            raise ThreadNotFound(f"There is no thread {thread!r}. Leave thread_id out to open a new one.")
        log.info("thread imported", thread=thread, exchanges=len(history))
        return self._store.import_thread(key, thread, self._assistant.name, history)


def _is_imported(turn: Turn) -> bool:
    """Returns whether a turn is from the history of an imported thread."""
    return turn.started_at is None and turn.state is TurnState.DELIVERED
