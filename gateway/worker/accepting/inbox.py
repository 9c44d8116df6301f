"""What adapters call: accept messages, read and cancel turns, delete conversations. On the worker's loop."""

from __future__ import annotations

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
from gateway.domain.approvals import Approval, Decider, Verdict, VerdictResult
from gateway.domain.conversations import Conversation
from gateway.domain.errors import AssistantRefused, Blocked, Conflict, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.files import Content, File
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnId, TurnState
from gateway.domain.platform_events import ChannelMigrated, Feedback, MessageDeleted, MessageEdited
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.admission import AdmissionControl
from gateway.ports.enqueue import AssistantRoute, EnqueueRequest, EnqueueResult
from gateway.ports.inbox import AcceptResult, OfferedAssistant
from gateway.ports.platform import ParsedUpdate, PlatformEvent
from gateway.ports.server_objects import HasServerObjects, ServerObjects
from gateway.worker.accepting.approval_decisions import ApprovalDecisions
from gateway.worker.accepting.conversation_threads import ConversationThreads
from gateway.worker.accepting.early_changes import EarlyChanges
from gateway.worker.accepting.early_items import EarlyItems
from gateway.worker.accepting.refused_messages import RefusedMessages
from gateway.worker.answering.assistants import Assistants
from gateway.worker.claiming.worker_handle import WorkerHandle
from gateway.worker.delivering.delivery_context import ASSISTANT_IS_GONE, MAX_FILE_BYTES

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
        self._approvals = ApprovalDecisions(store, admission.block_reason, worker.wake_up)
        self._threads = ConversationThreads(store, assistants, worker.interrupt_turn)
        self._early_items = EarlyItems()
        self._early_changes = EarlyChanges()
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
        platform = message.key.platform
        answer = await self.as_answer(message)
        reason = self._admission.denial_reason(message) if answer is None else self._admission.block_reason(message)
        if reason is not None:
            self._metrics.refused(platform, Blocked.code)
            log.info("message blocked by the operator's rules", platform=platform, reason=reason)
            raise Blocked
        message = answer or message
        platform = message.key.platform
        message, route = self._router.place(await self._as_meant(message))
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

    async def _as_meant(self, message: Message) -> Message:
        """Returns a message; as a PROMPT if it asks for a person where nobody is to, or more often than its author may
        ask anything: then its rate limit answers it.
        """
        if message.kind is not MessageKind.HAND_OVER or message.is_pushed:
            return message
        is_meant = self.hands_over and await self._admission.is_within_rate(message)
        return message if is_meant else replace(message, kind=MessageKind.PROMPT)

    async def _enqueue(self, arrival: Arrival) -> EnqueueResult:
        message, turn_id, route = arrival
        try:
            if not message.must_join:  # it makes no turn
                self._backpressure.admit(message)
            if message.given_reply:
                most = self._max_backlog
                return await self._store.call(lambda store: store.enqueue_answered(message, turn_id, most, route))
            return await self._arrivals.add(arrival)
        except Overloaded as exc:
            # A message that was recorded before is not rejected when it is sent again.
            platform, message_id = message.key.platform, message.message_id
            existing = await self._store.call(lambda store: store.find_turn_by_message(platform, message_id))
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
        results = await self._store.call(lambda store: store.enqueue_all(requests))
        for result in results:
            if isinstance(result, EnqueueResult):
                if result.claim is not None:
                    self._worker.start_claim(result.claim, since)
                for cancelled in result.cancelled:
                    self._worker.interrupt_turn(cancelled)
        return results

    async def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        for event in update.events:
            if isinstance(event, MessageEdited | MessageDeleted):
                self._early_changes.keep(event)  # before its message is looked for, which may come meanwhile
        for message in update.messages:
            try:
                await self._accept_or_append(message)
            except ThreadNotFound:
                continue
            except Blocked as exc:
                await self.refused.blocked(message, exc)
        results = [await self._apply(event) for event in update.events]
        return tuple(filter(None, results))

    async def _accept_or_append(self, sent: Message) -> None:
        """Accepts a message of an update, or appends an album item to the queued turn of the items before it."""
        left = self._early_changes.applied_to(sent)
        if left is None:
            log.info("message dropped: its author has deleted it", platform=sent.key.platform)
            return
        message = left
        if message.max_from_author and await self._has_enough(message):
            return
        if message.album_item_id and not message.may_start_conversation:
            self._early_items.keep(message)  # before it is looked for: the item that opens the turn may come meanwhile
            await self._store.call(lambda store: store.append_to_queued(message))
            return
        if message.album_item_id:
            message = self._early_items.join(message, self._early_changes.applied_to)
        try:
            accepted = await self.accept(message)
        except Overloaded as exc:
            await self.refused.overloaded(message, exc)
            return
        if accepted.is_new or accepted.is_joined:
            await self._change_meanwhile(message, accepted.turn.id)
            return
        if not message.album_item_id:
            await self._complete(message, accepted.turn)
            return
        if not await self._store.call(lambda store: store.append_to_queued(message)):
            await self.accept(
                replace(message, message_id=message.own_id, album_item_id="", debounce_seconds=0.0, join=None)
            )

    async def _change_meanwhile(self, message: Message, turn_id: TurnId) -> None:
        """Makes the changes that came while a message was recorded, and did not find it."""
        left = self._early_changes.applied_to(message)
        if left is None:
            await self._withdraw(turn_id)
        elif left.text != message.text:
            edit = MessageEdited(message.key.platform, message.own_id, left.text)
            await self._store.call(lambda store: store.edit_queued(edit))

    async def _complete(self, again: Message, turn: Turn) -> None:
        """Adds what a second event about a message says more to its turn, or as a turn of its own if it has started."""
        known = {file.reference for file in turn.message.files}
        files = tuple(file for file in again.files if file.reference not in known)
        if turn.state is not TurnState.QUEUED and not files:
            return
        if await self._store.call(lambda store: store.complete_queued(again)):
            self._worker.wake_up()
        else:
            rest = replace(again, message_id=f"{again.message_id}:rest", files=files, debounce_seconds=0.0)
            await self.accept(rest)

    async def _has_enough(self, message: Message) -> bool:
        """Returns whether the author has had as many turns in the conversation as it may have."""
        key, author = message.key, message.author
        had = await self._store.call(lambda store: store.count_turns(key, author, DAY_SECONDS))
        if had >= message.max_from_author:
            log.warning("message dropped: its author, a program, has had its turns", platform=key.platform, turns=had)
        return had >= message.max_from_author

    async def _apply(self, event: PlatformEvent) -> VerdictResult | None:
        """Returns what became of a verdict; None for any other event."""
        match event:
            case Verdict():
                return await self.decide(event)
            case MessageEdited():
                await self._store.call(lambda store: store.edit_queued(event))
            case MessageDeleted():
                await self._handle_deletion(event)
            case ChannelMigrated():
                await self._store.call(lambda store: store.migrate_channel(event))
            case Feedback():
                await self._store.call(lambda store: store.record_feedback(event))
                await self.on_feedback(event)
        return None

    async def _handle_deletion(self, deleted: MessageDeleted) -> None:
        turn = await self._store.call(lambda store: store.find_turn_by_message(deleted.platform, deleted.message_id))
        if turn is None or turn.state.is_resolved:
            return
        if deleted.as_part or turn.message.message_id == deleted.message_id:
            await self._withdraw(turn.id)

    async def _withdraw(self, turn_id: TurnId) -> None:
        with suppress(TurnNotFound, Conflict):  # it was resolved or deleted just now
            await self.cancel_turn(turn_id)

    # ------------------------------------------------------------ turns and conversations

    async def get_turn(self, turn_id: TurnId) -> Turn:
        found = await self._store.call(lambda store: store.get_turn(turn_id))
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        return found

    async def find_newest_turn(self, platform: str, first: str, last: str) -> Turn | None:
        return await self._store.call(lambda store: store.find_newest_turn_by_message(platform, first, last))

    async def provide_outputs(self, turn_id: TurnId, outputs: Mapping[str, str]) -> Turn:
        found = await self._store.call(lambda store: store.provide_outputs(turn_id, outputs))
        if found is None:
            raise TurnNotFound(f"There is no turn {turn_id!r}.")
        self._worker.wake_up()
        log.info("outputs of called functions came", turn=turn_id, outputs=len(outputs))
        return found

    async def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        return await self._approvals.of_turn(turn_id)

    async def get_approval(self, approval_id: str) -> Approval:
        return await self._approvals.get(approval_id)

    async def open_approvals(self, decider: Decider) -> Sequence[Approval]:
        return await self._approvals.open_to(decider)

    async def decide(self, verdict: Verdict) -> VerdictResult:
        return await self._approvals.decide(verdict)

    async def resolve_conversation(
        self, key: ConversationKey, *, may_adopt: bool = True, assistant: str = ""
    ) -> Conversation:
        return await self._threads.resolve(key, may_adopt=may_adopt, assistant=assistant)

    async def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        return await self._threads.delete(conversation)

    async def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        return await self._store.call(lambda store: store.transcript(conversation.id, before=before, limit=limit))

    async def cancel_turn(self, turn_id: TurnId) -> Turn:
        found = await self._store.call(lambda store: store.cancel_turn(turn_id))
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
            async with self._spool.kept(partial(running.fetch_file, file), MAX_FILE_BYTES) as content:
                yield content

    @contextmanager
    def server_objects(self, assistant: str) -> Iterator[ServerObjects | None]:
        with self._assistants.using(assistant) as running:
            backend = None if running is None else running.backend
            yield backend.server_objects if isinstance(backend, HasServerObjects) else None


async def _nobody_is_told(_: Feedback) -> None:
    """Does nothing."""


async def _is_no_answer(_: Message) -> None:
    """Returns None: where there is no channel of the staff, nothing is."""
