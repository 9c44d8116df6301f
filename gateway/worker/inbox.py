"""What adapters call: accept messages, read and cancel turns, delete conversations. On the worker's loop."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.backpressure import Backpressure
from gateway.coordination.file_spool import FileSpool
from gateway.coordination.group_commit import GroupCommit
from gateway.coordination.lease import lease_clock
from gateway.domain.approvals import Approval, Decider, Decision, Verdict, VerdictResult, may_decide
from gateway.domain.errors import AssistantRefused, Blocked, Conflict, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.files import Content, File
from gateway.domain.models import (
    AssistantThread,
    Conversation,
    ConversationKey,
    Message,
    MessageKind,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
)
from gateway.domain.platform_events import ChannelMigrated, Feedback, MessageDeleted, MessageEdited
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.admission import AdmissionControl
from gateway.ports.enqueue import AssistantRoute, EnqueueRequest, EnqueueResult
from gateway.ports.inbox import AcceptResult, AsyncInbox, OfferedAssistant
from gateway.ports.platform import ParsedUpdate, PlatformEvent
from gateway.ports.server_objects import HasServerObjects, ServerObjects
from gateway.ports.store import Store
from gateway.worker.assistants import Assistants
from gateway.worker.delivery_context import ASSISTANT_IS_GONE, MAX_FILE_BYTES
from gateway.worker.early_items import EarlyItems
from gateway.worker.refused_messages import RefusedMessages
from gateway.worker.worker_handle import WorkerHandle

THREAD_ID_PATTERN = re.compile(r"[A-Za-z0-9_\-]{1,128}")
"""The thread ids that callers may send: those of the backends; no characters with a meaning in a URL."""

DAY_SECONDS = 86400.0

Arrival = tuple[Message, TurnId, AssistantRoute]
"""A message to commit, the id of its turn, and who may answer it."""

log = logs.get_logger(__name__)


class StoreInbox:
    """Implements ``gateway.ports.inbox.AsyncInbox``. Messages that arrive together are committed together."""

    def __init__(  # noqa: PLR0913  # what messages pass through
        self,
        store: AsyncStore,
        assistants: Assistants,
        worker: WorkerHandle,
        admission: AdmissionControl,
        backpressure: Backpressure,
        metrics: Metrics,
        tracing: Tracing,
        spool: FileSpool,
        *,
        max_backlog: int,
    ) -> None:
        """``max_backlog``: how many unfinished turns one conversation may have."""
        self._store = store
        self._assistants = assistants
        self._router = assistants.router
        self._worker = worker
        self._admission = admission
        self._backpressure = backpressure
        self._metrics = metrics
        self._tracing = tracing
        self._spool = spool
        self._max_backlog = max_backlog
        self._early_items = EarlyItems()
        self.refused = RefusedMessages(store, assistants.router, self.new_turn_id)
        self.on_feedback: Callable[[Feedback], Awaitable[None]] = _nobody_is_told
        """Called when a rating is stored, before the platform is told so."""
        self.hands_over = False
        """Whether people may ask for a person."""
        self.as_answer: Callable[[Message], Awaitable[Message | None]] = _is_no_answer
        """Returns what a message is that was written for another conversation, by a person who answers there."""
        self.on_recorded: Callable[[Message], None] = lambda _: None
        """Called with each message that is stored. No I/O."""
        self._arrivals: GroupCommit[Arrival, EnqueueResult] = GroupCommit(self._enqueue_all)

    def new_turn_id(self) -> TurnId:
        return TurnId(f"turn_{secrets.token_hex(12)}")

    def offered_assistants(self, key: ConversationKey, allowed: Sequence[str] = ()) -> Sequence[OfferedAssistant]:
        return self._router.offered(key, allowed)

    def next_assistant(self, conversation: Conversation, allowed: Sequence[str] = ()) -> str:
        return self._router.next_for(conversation, allowed)

    # ------------------------------------------------------------ messages

    async def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult:
        message = await self.as_answer(message) or message
        platform = message.key.platform
        reason = self._admission.denial_reason(message)
        if reason is not None:
            self._metrics.refused(platform, Blocked.code)
            log.info("message blocked by the operator's rules", platform=platform, reason=reason)
            raise Blocked
        message, route = self._router.place(self._as_meant(message))
        turn_id = turn_id or self.new_turn_id()
        with self._tracing.span("accept", message.traceparent, turn=turn_id, platform=platform) as span:
            if span.traceparent:
                message = replace(message, traceparent=span.traceparent)
            with self._worker.accepting():
                recorded = await self._enqueue((message, turn_id, route))
        turn = recorded.turn
        if recorded.is_joined or (message.debounce_seconds and recorded.is_new):
            self._worker.wake_up(message.debounce_seconds)
        if recorded.is_new:
            if message.given_reply:
                self._worker.wake_up()
            self._metrics.accepted(turn)
            self.on_recorded(message)
            log.info("message recorded", turn=turn.id, seq=turn.seq)
        elif recorded.is_joined:
            log.info("message joined the turn before it", turn=turn.id, seq=turn.seq)
        else:
            self._metrics.deduplicated(platform)
            log.info("message was recorded before", turn=turn.id, seq=turn.seq)
        claimed_here = recorded.claim is not None or self._worker.is_processing(turn.conversation_id)
        return AcceptResult(turn, recorded.is_new, claimed_here, recorded.is_joined)

    def _as_meant(self, message: Message) -> Message:
        """Returns a message; as a PROMPT if it asks for a person where nobody is to."""
        if message.kind is MessageKind.HAND_OVER and not (self.hands_over or message.is_pushed):
            return replace(message, kind=MessageKind.PROMPT)
        return message

    async def _enqueue(self, arrival: Arrival) -> EnqueueResult:
        message, turn_id, route = arrival
        try:
            if not message.must_join:  # it makes no turn
                self._backpressure.admit(message)
            if message.given_reply:
                most = self._max_backlog
                return await self._store.read(lambda store: store.enqueue_answered(message, turn_id, most, route))
            return await self._arrivals.add(arrival)
        except Overloaded as exc:
            # A message that was recorded before is not rejected when it is sent again.
            platform, message_id = message.key.platform, message.message_id
            existing = await self._store.read(lambda store: store.find_turn_by_message(platform, message_id))
            if existing is None:
                self._metrics.refused(platform, exc.code)
                raise
            return EnqueueResult(existing, is_new=False)

    async def _enqueue_all(self, arrived: Sequence[Arrival]) -> Sequence[EnqueueResult | Exception]:
        """Commits messages, then starts this process's share of the turns. Raises StoreUnavailable."""
        owner, since, share, places = self._worker.owner, lease_clock(), self._worker.share(), self._worker.places()
        requests = [
            EnqueueRequest(
                message,
                turn_id,
                owner if index < share and places.try_take(message.share) else None,
                owner,
                self._max_backlog,
                route,
            )
            for index, (message, turn_id, route) in enumerate(arrived)
        ]
        results = await self._store.read(lambda store: store.enqueue_all(requests))
        for result in results:
            if isinstance(result, EnqueueResult):
                if result.claim is not None:
                    self._worker.start_claim(result.claim, since)
                for cancelled in result.cancelled:
                    self._worker.interrupt_turn(cancelled)
        return results

    async def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        for message in update.messages:
            try:
                await self._accept_or_append(message)
            except ThreadNotFound:
                continue
            except Blocked as exc:
                await self.refused.blocked(message, exc)
        results = [await self._apply(event) for event in update.events]
        return tuple(filter(None, results))

    async def _accept_or_append(self, message: Message) -> None:
        """Accepts a message of an update, or appends an album item to the queued turn of the items before it."""
        if message.max_from_author and await self._has_enough(message):
            return
        if message.album_item_id and not message.may_start_conversation:
            self._early_items.keep(message)  # before it is looked for: the item that opens the turn may come meanwhile
            await self._store.read(lambda store: store.append_to_queued(message))
            return
        message = self._early_items.join(message) if message.album_item_id else message
        try:
            accepted = await self.accept(message)
        except Overloaded as exc:
            await self.refused.overloaded(message, exc)
            return
        if accepted.is_new or accepted.is_joined:
            return
        if not message.album_item_id:
            await self._complete(message, accepted.turn)
            return
        if not await self._store.read(lambda store: store.append_to_queued(message)):
            message_id = f"{message.message_id}:{message.album_item_id}"
            await self.accept(
                replace(message, message_id=message_id, album_item_id="", debounce_seconds=0.0, join=None)
            )

    async def _complete(self, again: Message, turn: Turn) -> None:
        """Adds what a second event about a message says more to its turn, or as a turn of its own if it has started."""
        known = {file.reference for file in turn.message.files}
        files = tuple(file for file in again.files if file.reference not in known)
        if turn.state is not TurnState.QUEUED and not files:
            return
        if await self._store.read(lambda store: store.complete_queued(again)):
            self._worker.wake_up()
        else:
            rest = replace(again, message_id=f"{again.message_id}:rest", files=files, debounce_seconds=0.0)
            await self.accept(rest)

    async def _has_enough(self, message: Message) -> bool:
        """Returns whether the author has had as many turns in the conversation as it may have."""
        key, author = message.key, message.author
        had = await self._store.read(lambda store: store.count_turns(key, author, DAY_SECONDS))
        if had >= message.max_from_author:
            log.warning("message dropped: its author, a program, has had its turns", platform=key.platform, turns=had)
        return had >= message.max_from_author

    async def _apply(self, event: PlatformEvent) -> VerdictResult | None:
        """Returns what became of a verdict; None for any other event."""
        match event:
            case Verdict():
                return await self.decide(event)
            case MessageEdited():
                await self._store.read(lambda store: store.edit_queued(event))
            case MessageDeleted():
                await self._handle_deletion(event)
            case ChannelMigrated():
                await self._store.read(lambda store: store.migrate_channel(event))
            case Feedback():
                await self._store.read(lambda store: store.record_feedback(event))
                await self.on_feedback(event)
        return None

    async def _handle_deletion(self, deleted: MessageDeleted) -> None:
        turn = await self._store.read(lambda store: store.find_turn_by_message(deleted.platform, deleted.message_id))
        if turn is not None and not turn.state.is_resolved:
            with suppress(TurnNotFound, Conflict):  # it was resolved or deleted just now
                await self.cancel_turn(turn.id)

    # ------------------------------------------------------------ turns and conversations

    async def get_turn(self, turn_id: TurnId) -> Turn:
        found = await self._store.read(lambda store: store.get_turn(turn_id))
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        return found

    async def find_newest_turn(self, platform: str, first: str, last: str) -> Turn | None:
        return await self._store.read(lambda store: store.find_newest_turn_by_message(platform, first, last))

    async def provide_outputs(self, turn_id: TurnId, outputs: Mapping[str, str]) -> Turn:
        found = await self._store.read(lambda store: store.provide_outputs(turn_id, outputs))
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        self._worker.wake_up()
        log.info("outputs of called functions came", turn=turn_id, outputs=len(outputs))
        return found

    async def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        return await self._store.read(lambda store: store.approvals_of(turn_id))

    async def get_approval(self, approval_id: str) -> Approval:
        found = await self._store.read(lambda store: store.get_approval(approval_id))
        if found is None:
            raise TurnNotFound(f"There is no approval {approval_id!r}.", code="approval_not_found")
        return found

    async def open_approvals(self, decider: Decider) -> Sequence[Approval]:
        return await self._store.read(lambda store: _open_to(store, decider))

    async def decide(self, verdict: Verdict) -> VerdictResult:
        asked = await self._store.read(lambda store: store.get_approval(verdict.approval_id))
        if asked is None or not hmac.compare_digest(asked.digest.encode(), verdict.digest.encode()):
            return VerdictResult.UNKNOWN
        turn = await self.get_turn(asked.turn_id)
        decider, by = verdict.decider, str(verdict.decider)
        if not may_decide(asked.approvers, turn.message, decider):
            log.warning("somebody who may not decide about a call has tried to", turn=turn.id, tool=asked.tool)
            return VerdictResult.NOT_ALLOWED
        decision = Decision.APPROVED if verdict.approves else Decision.DENIED
        given = (verdict.approval_id, decision, by, decider.name)
        if await self._store.read(lambda store: store.decide(*given)) is None:
            now = await self._store.read(lambda store: store.get_approval(verdict.approval_id))
            is_same = now is not None and (now.decision, now.decided_by) == (decision, by)
            return VerdictResult.DECIDED if is_same else VerdictResult.TOO_LATE
        self._worker.wake_up()
        log.info("decided about a call", turn=turn.id, tool=asked.tool, decision=decision.value)
        return VerdictResult.DECIDED

    async def resolve_conversation(
        self, key: ConversationKey, *, may_adopt: bool = True, assistant: str = ""
    ) -> Conversation:
        name = ThreadId(key.channel)
        if not THREAD_ID_PATTERN.fullmatch(name):
            raise ThreadNotFound("There is no such thread. Leave thread_id out to open a new one.")
        conversation = await self._store.read(
            lambda store: store.find_conversation(key) or store.find_conversation_by_thread(name)
        )
        if conversation is None and may_adopt:
            conversation = await self._import_thread(key, name, assistant)
        if conversation is None:
            raise ThreadNotFound(f"There is no thread {name!r}. Leave thread_id out to open a new one.")
        if (conversation.key.platform, conversation.key.workspace) != (key.platform, key.workspace):
            raise ThreadNotFound(f"There is no thread {name!r}. Leave thread_id out to open a new one.")
        return conversation

    async def _import_thread(self, key: ConversationKey, thread: ThreadId, asked: str) -> Conversation:
        """Imports a thread of the assistant that is asked for, by its name; without one, of that of the route."""
        with self._assistants.using(self._router.named(asked) or self._router.names(key)[0]) as running:
            history = None if running is None else await running.backend.import_history(thread)
        if running is None or history is None:
            raise ThreadNotFound(f"There is no thread {thread!r}. Leave thread_id out to open a new one.")
        log.info("thread imported", thread=thread, assistant=running.name, exchanges=len(history))
        whose = (running.backend.name, history, running.name)
        return await self._store.read(lambda store: store.import_thread(key, thread, *whose))

    async def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        return await self._store.read(lambda store: store.transcript(conversation.id, before=before, limit=limit))

    async def cancel_turn(self, turn_id: TurnId) -> Turn:
        found = await self._store.read(lambda store: store.cancel_turn(turn_id))
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        if found.state is not TurnState.CANCELLED:
            raise Conflict(f"The turn is {found.state.value} already.", code="turn_finished")
        self._worker.interrupt_turn(turn_id)
        log.info("turn cancelled", turn=turn_id)
        return found

    @asynccontextmanager
    async def read_file(self, turn: Turn, file: File) -> AsyncIterator[Content]:
        with self._assistants.using(turn.assistant) as running:
            if running is None:
                raise AssistantRefused(ASSISTANT_IS_GONE, code="file_gone")
            async with self._spool.kept(partial(running.backend.fetch_file, file), MAX_FILE_BYTES) as content:
                yield content

    @contextmanager
    def server_objects(self, assistant: str) -> Iterator[ServerObjects | None]:
        with self._assistants.using(assistant) as running:
            backend = None if running is None else running.backend
            yield backend.server_objects if isinstance(backend, HasServerObjects) else None

    async def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        turns = await self.transcript(conversation)
        if conversation.key.channel == conversation.thread_id and all(map(_is_imported, turns)):
            await self._store.read(lambda store: store.release_adopted(conversation.id))
            return ()
        cancelled = await self._cancel_open(turns)
        former = await self._store.read(lambda store: store.former_threads(conversation.id))
        for thread in (*former, *conversation.threads):
            await self._delete_thread(thread)
        await self._store.read(lambda store: store.delete_conversation(conversation.id))
        log.info("conversation deleted", conversation=conversation.id)
        return cancelled

    async def _delete_thread(self, thread: AssistantThread) -> None:
        """Deletes a thread at its backend, if that is still set up."""
        with self._assistants.using(thread.assistant) as running:
            if running is not None and running.backend.name == thread.backend:
                await running.backend.delete_thread(thread.thread_id)

    async def _cancel_open(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        cancelled = []
        for turn in turns:
            if not turn.state.is_resolved:
                found = await self._store.read(partial(_cancel, turn_id=turn.id))
                if found is not None:
                    self._worker.interrupt_turn(found.id)
                    cancelled.append(found)
        return cancelled


async def _nobody_is_told(_: Feedback) -> None:
    """Does nothing."""


def _open_to(store: Store, decider: Decider) -> Sequence[Approval]:
    asked = [(each, store.get_turn(each.turn_id)) for each in store.open_approvals()]
    return [each for each, turn in asked if turn is not None and may_decide(each.approvers, turn.message, decider)]


async def _is_no_answer(_: Message) -> None:
    """Returns None: where there is no channel of the staff, nothing is."""


def _cancel(store: Store, *, turn_id: TurnId) -> Turn | None:
    return store.cancel_turn(turn_id)


def _is_imported(turn: Turn) -> bool:
    """Returns whether a turn is from the history of an imported thread."""
    return turn.started_at is None and turn.state is TurnState.DELIVERED


class ThreadInbox:
    """Implements ``gateway.ports.inbox.Inbox``: an AsyncInbox for other threads than the loop's."""

    def __init__(self, inbox: AsyncInbox, worker: WorkerHandle) -> None:
        self._inbox = inbox
        self._run = worker.run_coroutine

    def new_turn_id(self) -> TurnId:
        return self._inbox.new_turn_id()

    def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult:
        return self._run(self._inbox.accept(message, turn_id))

    def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        return self._run(self._inbox.accept_all(update))

    def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        return self._run(self._inbox.approvals_of(turn_id))

    def decide(self, verdict: Verdict) -> VerdictResult:
        return self._run(self._inbox.decide(verdict))

    def get_turn(self, turn_id: TurnId) -> Turn:
        return self._run(self._inbox.get_turn(turn_id))

    def resolve_conversation(
        self, key: ConversationKey, *, may_adopt: bool = True, assistant: str = ""
    ) -> Conversation:
        return self._run(self._inbox.resolve_conversation(key, may_adopt=may_adopt, assistant=assistant))

    def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        return self._run(self._inbox.transcript(conversation, before=before, limit=limit))

    def cancel_turn(self, turn_id: TurnId) -> Turn:
        return self._run(self._inbox.cancel_turn(turn_id))

    def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        return self._run(self._inbox.delete_conversation(conversation))
