"""An inbox in memory that processes messages as the worker does, with replies scripted by the test."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from gateway.domain.approvals import Approval, Decider, Verdict, VerdictResult
from gateway.domain.conversations import Conversation
from gateway.domain.errors import AssistantError, Conflict, GatewayError, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.exchange import Exchange
from gateway.domain.files import BytesContent, Content, File
from gateway.domain.models import (
    DEFAULT_ASSISTANT,
    ConversationKey,
    Failure,
    Message,
    MessageKind,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
    Usage,
)
from gateway.domain.platform_events import ChannelMigrated, Feedback, MessageDeleted, MessageEdited
from gateway.domain.run_events import PreviewEvent, RunCompleted, TextDelta
from gateway.domain.stream_buffer import PreviewStream
from gateway.ports.inbox import AcceptResult, OfferedAssistant
from gateway.ports.platform import Adapter, ParsedUpdate, PlatformEvent
from gateway.ports.server_objects import ServerObjects
from gateway.worker.answering.commands import NOTHING_TO_STOP_REPLY, RESET_REPLY, STOPPED_REPLY
from tests.fakes.delivery_context import FakeDeliveryContext

BACKEND = "fake"
HANDED_OVER_REPLY = "A person takes over here."
CHOICE_REPLY = "You can choose another assistant."
LONGEST_WAIT = 20.0


class ScriptGate:
    """A step of a script at which the assistant waits until the test opens the gate."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._reached = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Lets the assistant continue, now or as soon as it reaches the gate."""
        if self._loop is None:
            self._open.set()
        else:
            self._loop.call_soon_threadsafe(self._open.set)

    def wait_until_reached(self) -> None:
        assert self._reached.wait(LONGEST_WAIT), "the assistant did not reach this step"

    async def passed(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reached.set()
        await self._open.wait()


InboxStep = PreviewEvent | RunCompleted | AssistantError | ScriptGate
Script = Callable[[Turn], Sequence[InboxStep]]


def echo(turn: Turn) -> Sequence[InboxStep]:
    reply = f"You said: {turn.message.text}"
    return (TextDelta("You said: "), TextDelta(turn.message.text), RunCompleted(reply, Usage(3, 4)))


@dataclass
class FakeInbox:
    """Implements ``gateway.ports.inbox.Inbox`` with the rules of the real one.

    ``claimed_here``: whether this process processes the turns; if not, the adapter is not called, and the outcome of a
    turn is only stored. ``fault``: raised by every method while it is set.
    """

    adapter: Adapter
    script: Script = echo
    claimed_here: bool = True
    max_backlog: int = 100
    at_backend: dict[ThreadId, tuple[Exchange, ...]] = field(default_factory=dict)
    fault: GatewayError | None = None
    raised: int = 0
    forgotten: list[ThreadId] = field(default_factory=list)
    accepted_updates: list[ParsedUpdate] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    migrations: list[ChannelMigrated] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    """The held calls of its turns."""
    verdicts: list[Verdict] = field(default_factory=list)
    verdict_result: VerdictResult = VerdictResult.DECIDED
    """What becomes of verdicts."""
    delivery_contexts: dict[TurnId, FakeDeliveryContext] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._turns: dict[TurnId, Turn] = {}
        self._conversations: dict[ConversationKey, Conversation] = {}
        self._works: set[asyncio.Task[None]] = set()
        self._answering: dict[TurnId, asyncio.Task[None]] = {}
        self._stopping: set[TurnId] = set()
        self._order: dict[int, asyncio.Lock] = {}
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(_end_all(), self.loop).result(LONGEST_WAIT)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LONGEST_WAIT)
        self.loop.close()

    # ------------------------------------------------------------ the port

    def new_turn_id(self) -> TurnId:
        return TurnId(f"turn_{secrets.token_hex(12)}")

    def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult:
        self._check()
        with self._lock:
            known = [t for t in self._turns.values() if t.message.message_id == message.message_id]
            if known:
                return AcceptResult(known[0], is_new=False, claimed_here=self.claimed_here)
            if message.must_join or (message.key not in self._conversations and not message.may_start_conversation):
                raise ThreadNotFound(f"There is no thread {message.key.channel!r}.")
            recorded = self._record(message, turn_id or self.new_turn_id())
            if message.kind is MessageKind.STOP:
                self._stop_before(recorded)
        self.loop.call_soon_threadsafe(self._begin, recorded)
        return AcceptResult(recorded, is_new=True, claimed_here=self.claimed_here)

    def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        self._check()
        self.accepted_updates.append(update)
        for message in update.messages:
            with suppress(ThreadNotFound):
                self._take(message)
        for change in update.events:
            self._apply(change)
        return [self.verdict_result for change in update.events if isinstance(change, Verdict)]

    def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        return [each for each in self.approvals if each.turn_id == turn_id]

    def decide(self, verdict: Verdict) -> VerdictResult:
        self.verdicts.append(verdict)
        return self.verdict_result

    def get_turn(self, turn_id: TurnId) -> Turn:
        self._check()
        try:
            return self._turns[turn_id]
        except KeyError:
            raise TurnNotFound(f"There is no turn {turn_id!r}.") from None

    def find_newest_turn(self, platform: str, first: str, last: str) -> Turn | None:
        self._check()
        ours = (t for t in self._turns.values() if t.message.key.platform == platform)
        found = (t for t in ours if first <= t.message.message_id <= last)
        return max(found, key=lambda t: t.message.message_id, default=None)

    def resolve_conversation(
        self,
        key: ConversationKey,
        *,
        may_adopt: bool = True,
        assistant: str = "",  # there is one
    ) -> Conversation:
        self._check()
        with self._lock:
            found = self._conversations.get(key) or self._of_thread(key.channel)
            if found is None and may_adopt:
                found = self._adopt(key)
        if found is None:
            raise ThreadNotFound(f"There is no thread {key.channel!r}.")
        if (found.key.platform, found.key.workspace) != (key.platform, key.workspace):
            raise ThreadNotFound(f"There is no thread {key.channel!r}.")
        return found

    def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        self._check()
        turns = [turn for turn in self._turns.values() if turn.conversation_id == conversation.id]
        found = [turn for turn in turns if before is None or turn.seq < before]
        return tuple(found if limit is None else found[-limit:])

    def cancel_turn(self, turn_id: TurnId) -> Turn:
        with self._lock:
            found = self.get_turn(turn_id)
            if found.state.is_resolved and found.state is not TurnState.CANCELLED:
                raise Conflict(f"The turn is {found.state.value} already.", code="turn_finished")
            cancelled = self._change(turn_id, state=TurnState.CANCELLED)
        self.loop.call_soon_threadsafe(self._interrupt, turn_id)
        return cancelled

    def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        turns = self.transcript(conversation)
        cancelled = [self.cancel_turn(turn.id) for turn in turns if not turn.state.is_resolved]
        for turn in turns:
            del self._turns[turn.id]
        if conversation.thread_id is not None:
            self.forgotten.append(conversation.thread_id)
            self.at_backend.pop(conversation.thread_id, None)
        del self._conversations[conversation.key]
        return cancelled

    # ------------------------------------------------------------ the stored turns

    def _apply(self, change: PlatformEvent) -> None:
        if isinstance(change, Feedback):
            self.feedback.append(change)
            return
        if isinstance(change, Verdict):
            self.verdicts.append(change)
            return
        if isinstance(change, ChannelMigrated):
            self.migrations.append(change)
            return
        with self._lock:
            named = [t for t in self._turns.values() if t.message.message_id == change.message_id]
            for turn in named:
                if isinstance(change, MessageEdited) and turn.state is TurnState.QUEUED:
                    self._change(turn.id, message=replace(turn.message, text=change.text))
                if isinstance(change, MessageDeleted) and not turn.state.is_resolved:
                    self.cancel_turn(turn.id)

    def _take(self, message: Message) -> None:
        known = next((t for t in self._turns.values() if t.message.message_id == message.message_id), None)
        if message.album_item_id and not message.may_start_conversation:
            _ = known and self._join(known.id, message)
        elif not (message.album_item_id and known):
            self.accept(message)
        elif not self._join(known.id, message):
            self.accept(replace(message, message_id=message.own_id, album_item_id=""))

    def _join(self, turn: TurnId, piece: Message) -> bool:
        with self._lock:
            known = self._turns[turn]
            files = tuple(file for file in piece.files if file not in known.message.files)
            if files and known.state is TurnState.QUEUED:
                self._change(turn, message=replace(known.message, files=(*known.message.files, *files)))
            return known.state is TurnState.QUEUED or not files

    def _stop_before(self, stop: Turn) -> None:
        for turn in self.transcript(self._conversations[stop.message.key]):
            if turn.seq < stop.seq and turn.message.kind is MessageKind.PROMPT and not turn.state.is_resolved:
                self.cancel_turn(turn.id)
                self._stopping.add(stop.id)

    def _check(self) -> None:
        if self.fault is not None:
            self.raised += 1
            raise self.fault

    def _record(self, message: Message, turn: TurnId) -> Turn:
        conversation = self._conversations.get(message.key) or self._open(
            message.key, ThreadId(f"fake_{next(self._ids)}")
        )
        before = [t for t in self._turns.values() if t.conversation_id == conversation.id]
        if sum(not t.state.is_resolved for t in before) >= self.max_backlog:
            raise Overloaded("Too many messages are waiting in this conversation.")
        state = TurnState.QUEUED if any(not t.state.is_resolved for t in before) else TurnState.RUNNING
        recorded = Turn(turn, conversation.id, len(before) + 1, message, state, received_at=time.time())
        self._turns[turn] = recorded
        return recorded

    def _open(self, key: ConversationKey, thread: ThreadId) -> Conversation:
        opened = Conversation(next(self._ids), key, thread, BACKEND)
        self._conversations[key] = opened
        return opened

    def _of_thread(self, name: str) -> Conversation | None:
        return next((c for c in self._conversations.values() if c.thread_id == name), None)

    def _adopt(self, key: ConversationKey) -> Conversation:
        history = self.at_backend.get(ThreadId(key.channel))
        if history is None:
            raise ThreadNotFound(f"There is no thread {key.channel!r}.")
        imported = self._open(key, ThreadId(key.channel))
        for seq, exchange in enumerate(history, 1):
            message = Message(key, f"past {imported.id} {seq}", exchange.text, exchange.author)
            turn = Turn(self.new_turn_id(), imported.id, seq, message, TurnState.DELIVERED, reply=exchange.reply)
            self._turns[turn.id] = turn
        return imported

    def _change(self, turn: TurnId, **changes: object) -> Turn:
        with self._lock:
            changed = replace(self._turns[turn], **changes)  # type: ignore[arg-type]  # fields of a turn
            self._turns[turn] = changed
            return changed

    # ------------------------------------------------------------ the worker

    def _begin(self, turn: Turn) -> None:
        self._works.add(self.loop.create_task(self._work(turn)))

    def _interrupt(self, turn: TurnId) -> None:
        if turn in self._answering:
            self._answering[turn].cancel()

    async def _work(self, turn: Turn) -> None:
        async with self._order.setdefault(turn.conversation_id, asyncio.Lock()):
            running = self._take_up(turn.id)
            if running is not None:
                self._answering[turn.id] = asyncio.create_task(self._answer(running))
                await asyncio.wait((self._answering[turn.id],))
            outcome = self._turns.get(turn.id)
            if outcome is None or not outcome.state.is_resolved:
                return
            if self.claimed_here:
                await self.adapter.deliver(outcome, self._delivery(turn.id))
            if outcome.state is TurnState.ANSWERED:
                self._change(turn.id, state=TurnState.DELIVERED, delivered_at=time.time())

    def _take_up(self, turn: TurnId) -> Turn | None:
        with self._lock:  # so that it cannot be cancelled in between
            if turn not in self._turns or self._turns[turn].state.is_resolved:
                return None
            return self._change(turn, state=TurnState.RUNNING, started_at=time.time())

    async def _answer(self, turn: Turn) -> None:
        stream = PreviewStream()
        preview = asyncio.create_task(self._follow(turn, stream))
        try:
            answer = await _play(self._steps(turn), stream)
            self._change(
                turn.id,
                state=TurnState.ANSWERED,
                reply=answer.text,
                reply_files=answer.files,
                usage=answer.usage,
                answered_at=time.time(),
            )
        except AssistantError as exc:
            failure = Failure(exc.code, exc.user_message, str(exc), exc.retry_after)
            self._change(turn.id, state=TurnState.FAILED, failure=failure)
        finally:
            stream.close()
            await preview

    def _steps(self, turn: Turn) -> Sequence[InboxStep]:
        match turn.message.kind:
            case MessageKind.PROMPT:
                return self.script(turn)
            case MessageKind.RESET:
                return (RunCompleted(RESET_REPLY),)
            case MessageKind.HAND_OVER | MessageKind.RESUME:
                return (RunCompleted(HANDED_OVER_REPLY),)
            case MessageKind.CHOOSE:
                return (RunCompleted(CHOICE_REPLY),)
            case MessageKind.STOP:
                return (RunCompleted(STOPPED_REPLY if turn.id in self._stopping else NOTHING_TO_STOP_REPLY),)

    async def _follow(self, turn: Turn, live: AsyncIterator[PreviewEvent]) -> None:
        if self.claimed_here and turn.message.kind is MessageKind.PROMPT:
            await self.adapter.stream_preview(turn, live, self._delivery(turn.id))

    def _delivery(self, turn: TurnId) -> FakeDeliveryContext:
        return self.delivery_contexts.setdefault(turn, FakeDeliveryContext())


class AsyncFakeInbox:
    """Implements ``gateway.ports.inbox.AsyncInbox``: a FakeInbox for coroutines."""

    def __init__(self, inbox: FakeInbox) -> None:
        self._inbox = inbox

    def new_turn_id(self) -> TurnId:
        return self._inbox.new_turn_id()

    def offered_assistants(self, key: ConversationKey, allowed: Sequence[str] = ()) -> Sequence[OfferedAssistant]:
        return [OfferedAssistant(name, name.capitalize()) for name in allowed or (DEFAULT_ASSISTANT,)]

    def next_assistant(self, conversation: Conversation, allowed: Sequence[str] = ()) -> str:
        return conversation.chosen or next(iter(allowed), DEFAULT_ASSISTANT)

    async def accept(self, message: Message, turn_id: TurnId | None = None) -> AcceptResult:
        return self._inbox.accept(message, turn_id)

    async def accept_all(self, update: ParsedUpdate) -> Sequence[VerdictResult]:
        return self._inbox.accept_all(update)

    async def decide(self, verdict: Verdict) -> VerdictResult:
        return self._inbox.decide(verdict)

    async def approvals_of(self, turn_id: TurnId) -> Sequence[Approval]:
        return self._inbox.approvals_of(turn_id)

    async def get_approval(self, approval_id: str) -> Approval:
        return next(each for each in self._inbox.approvals if each.id == approval_id)

    async def open_approvals(self, decider: Decider) -> Sequence[Approval]:
        return [each for each in self._inbox.approvals if each.is_open and decider.caller]

    async def get_turn(self, turn_id: TurnId) -> Turn:
        return self._inbox.get_turn(turn_id)

    async def find_newest_turn(self, platform: str, first: str, last: str) -> Turn | None:
        return self._inbox.find_newest_turn(platform, first, last)

    async def provide_outputs(self, turn_id: TurnId, outputs: Mapping[str, str]) -> Turn:
        return self._inbox.get_turn(turn_id)

    async def resolve_conversation(
        self, key: ConversationKey, *, may_adopt: bool = True, assistant: str = ""
    ) -> Conversation:
        return self._inbox.resolve_conversation(key, may_adopt=may_adopt, assistant=assistant)

    async def transcript(
        self, conversation: Conversation, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Turn]:
        return self._inbox.transcript(conversation, before=before, limit=limit)

    async def cancel_turn(self, turn_id: TurnId) -> Turn:
        return self._inbox.cancel_turn(turn_id)

    @asynccontextmanager
    async def read_file(self, turn: Turn, file: File) -> AsyncIterator[Content]:
        yield BytesContent(file.reference.encode())

    def server_objects(self, assistant: str) -> AbstractContextManager[ServerObjects | None]:
        return nullcontext()

    async def delete_conversation(self, conversation: Conversation) -> Sequence[Turn]:
        return self._inbox.delete_conversation(conversation)


async def _play(steps: Sequence[InboxStep], live: PreviewStream) -> RunCompleted:
    for step in steps:
        if isinstance(step, AssistantError):
            raise step
        if isinstance(step, RunCompleted):
            return step
        if isinstance(step, ScriptGate):
            await step.passed()
        else:
            live.put(step)
            await asyncio.sleep(0)
    raise AssertionError("a script ends with an answer or an error")


async def _end_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
