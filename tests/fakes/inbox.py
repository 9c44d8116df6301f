"""A core in memory: accepts messages and works on them as the engine does, with replies that a test decides."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from gateway.domain.errors import AssistantError, Conflict, GatewayError, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.models import (
    Answered,
    Conversation,
    ConversationKey,
    Edit,
    Exchange,
    Failure,
    Kind,
    Message,
    Move,
    Shown,
    TextDelta,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
    Usage,
    Verdict,
    Withdrawal,
)
from gateway.domain.stream_buffer import Live
from gateway.ports.inbox import Accepted
from gateway.ports.platform import Adapter, Change, Receipt
from gateway.worker.assistant_runner import BEGUN_ANEW, NOTHING_TO_STOP, STOPPED
from tests.fakes.delivery_context import FakeOutbox

BACKEND = "fake"
LONGEST_WAIT = 20.0


class Gate:
    """A place in a script where the assistant waits until the test lets it go on."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._reached = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Let it go on, now or whenever it comes here."""
        if self._loop is None:
            self._open.set()
        else:
            self._loop.call_soon_threadsafe(self._open.set)

    def wait_until_reached(self) -> None:
        assert self._reached.wait(LONGEST_WAIT), "the assistant did not come here"

    async def passed(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reached.set()
        await self._open.wait()


Step = Shown | Answered | AssistantError | Gate
Script = Callable[[Turn], Sequence[Step]]


def echo(turn: Turn) -> Sequence[Step]:
    reply = f"You said: {turn.message.text}"
    return (TextDelta("You said: "), TextDelta(turn.message.text), Answered(reply, Usage(3, 4)))


@dataclass
class FakeInbox:
    """``gateway.ports.Inbox``, with the rules of the real one.

    ``here``: this process works on the turns itself; if not, nobody is told of anything, and what came of a turn stands
    only in the table. ``fault``: raised by every method while it is set.
    """

    adapter: Adapter
    script: Script = echo
    here: bool = True
    backlog: int = 100
    at_backend: dict[ThreadId, tuple[Exchange, ...]] = field(default_factory=dict)
    fault: GatewayError | None = None
    raised: int = 0
    forgotten: list[ThreadId] = field(default_factory=list)
    taken: list[Receipt] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    outboxes: dict[TurnId, FakeOutbox] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._turns: dict[TurnId, Turn] = {}
        self._conversations: dict[ConversationKey, Conversation] = {}
        self._works: set[asyncio.Task[None]] = set()
        self._answering: dict[TurnId, asyncio.Task[None]] = {}
        self._stopping: set[TurnId] = set()
        self._order: dict[int, asyncio.Lock] = {}
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result(LONGEST_WAIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONGEST_WAIT)
        self._loop.close()

    # ------------------------------------------------------------ the port

    def new_turn(self) -> TurnId:
        return TurnId(f"turn_{secrets.token_hex(12)}")

    def accept(self, message: Message, turn: TurnId | None = None) -> Accepted:
        self._check()
        with self._lock:
            known = [t for t in self._turns.values() if t.message.message_id == message.message_id]
            if known:
                return Accepted(known[0], new=False, here=self.here)
            if message.key not in self._conversations and not message.opens:
                raise ThreadNotFound(f"There is no thread {message.key.channel!r}.")
            recorded = self._record(message, turn or self.new_turn())
            if message.kind is Kind.STOP:
                self._stop_before(recorded)
        self._loop.call_soon_threadsafe(self._begin, recorded)
        return Accepted(recorded, new=True, here=self.here)

    def take(self, receipt: Receipt) -> None:
        self._check()
        self.taken.append(receipt)
        for message in receipt.messages:
            with suppress(ThreadNotFound):
                self._take(message)
        for change in receipt.changes:
            self._apply(change)

    def turn(self, turn: TurnId) -> Turn:
        self._check()
        try:
            return self._turns[turn]
        except KeyError:
            raise TurnNotFound(f"There is no turn {turn!r}.") from None

    def locate(self, key: ConversationKey) -> Conversation:
        self._check()
        with self._lock:
            found = self._conversations.get(key) or self._of_thread(key.channel) or self._adopt(key)
        if (found.key.platform, found.key.workspace) != (key.platform, key.workspace):
            raise ThreadNotFound(f"There is no thread {key.channel!r}.")
        return found

    def transcript(self, conversation: Conversation) -> Sequence[Turn]:
        self._check()
        return tuple(turn for turn in self._turns.values() if turn.conversation == conversation.id)

    def cancel(self, turn: TurnId) -> Turn:
        with self._lock:
            found = self.turn(turn)
            if found.state.decided and found.state is not TurnState.CANCELLED:
                raise Conflict(f"The turn is {found.state.value} already.", code="turn_finished")
            cancelled = self._change(turn, state=TurnState.CANCELLED)
        self._loop.call_soon_threadsafe(self._interrupt, turn)
        return cancelled

    def forget(self, conversation: Conversation) -> Sequence[Turn]:
        turns = self.transcript(conversation)
        cancelled = [self.cancel(turn.id) for turn in turns if not turn.state.decided]
        for turn in turns:
            del self._turns[turn.id]
        if conversation.thread is not None:
            self.forgotten.append(conversation.thread)
            self.at_backend.pop(conversation.thread, None)
        del self._conversations[conversation.key]
        return cancelled

    # ------------------------------------------------------------ the table

    def _apply(self, change: Change) -> None:
        if isinstance(change, Verdict):
            self.verdicts.append(change)
            return
        if isinstance(change, Move):
            self.moves.append(change)
            return
        with self._lock:
            named = [t for t in self._turns.values() if t.message.message_id == change.message_id]
            for turn in named:
                if isinstance(change, Edit) and turn.state is TurnState.QUEUED:
                    self._change(turn.id, message=replace(turn.message, text=change.text))
                if isinstance(change, Withdrawal) and not turn.state.decided:
                    self.cancel(turn.id)

    def _take(self, message: Message) -> None:
        known = next((t for t in self._turns.values() if t.message.message_id == message.message_id), None)
        if message.piece and not message.opens:
            _ = known and self._join(known.id, message)
        elif not (message.piece and known):
            self.accept(message)
        elif not self._join(known.id, message):
            self.accept(replace(message, message_id=f"{message.message_id}:{message.piece}", piece=""))

    def _join(self, turn: TurnId, piece: Message) -> bool:
        with self._lock:
            known = self._turns[turn]
            files = tuple(file for file in piece.files if file not in known.message.files)
            if files and known.state is TurnState.QUEUED:
                self._change(turn, message=replace(known.message, files=(*known.message.files, *files)))
            return known.state is TurnState.QUEUED or not files

    def _stop_before(self, stop: Turn) -> None:
        for turn in self.transcript(self._conversations[stop.message.key]):
            if turn.seq < stop.seq and turn.message.kind is Kind.ASK and not turn.state.decided:
                self.cancel(turn.id)
                self._stopping.add(stop.id)

    def _check(self) -> None:
        if self.fault is not None:
            self.raised += 1
            raise self.fault

    def _record(self, message: Message, turn: TurnId) -> Turn:
        conversation = self._conversations.get(message.key) or self._open(
            message.key, ThreadId(f"fake_{next(self._ids)}")
        )
        before = [t for t in self._turns.values() if t.conversation == conversation.id]
        if sum(not t.state.decided for t in before) >= self.backlog:
            raise Overloaded("Too many messages wait in this conversation.")
        state = TurnState.QUEUED if any(not t.state.decided for t in before) else TurnState.RUNNING
        recorded = Turn(turn, conversation.id, len(before) + 1, message, state, received_at=time.time())
        self._turns[turn] = recorded
        return recorded

    def _open(self, key: ConversationKey, thread: ThreadId) -> Conversation:
        opened = Conversation(next(self._ids), key, thread, BACKEND)
        self._conversations[key] = opened
        return opened

    def _of_thread(self, name: str) -> Conversation | None:
        return next((c for c in self._conversations.values() if c.thread == name), None)

    def _adopt(self, key: ConversationKey) -> Conversation:
        past = self.at_backend.get(ThreadId(key.channel))
        if past is None:
            raise ThreadNotFound(f"There is no thread {key.channel!r}.")
        adopted = self._open(key, ThreadId(key.channel))
        for seq, exchange in enumerate(past, 1):
            message = Message(key, f"past {adopted.id} {seq}", exchange.text, exchange.author)
            turn = Turn(self.new_turn(), adopted.id, seq, message, TurnState.DELIVERED, reply=exchange.reply)
            self._turns[turn.id] = turn
        return adopted

    def _change(self, turn: TurnId, **changes: object) -> Turn:
        with self._lock:
            changed = replace(self._turns[turn], **changes)  # type: ignore[arg-type]  # fields of a turn
            self._turns[turn] = changed
            return changed

    # ------------------------------------------------------------ the engine

    def _begin(self, turn: Turn) -> None:
        self._works.add(self._loop.create_task(self._work(turn)))

    def _interrupt(self, turn: TurnId) -> None:
        if turn in self._answering:
            self._answering[turn].cancel()

    async def _work(self, turn: Turn) -> None:
        async with self._order.setdefault(turn.conversation, asyncio.Lock()):
            running = self._take_up(turn.id)
            if running is not None:
                self._answering[turn.id] = asyncio.create_task(self._answer(running))
                await asyncio.wait((self._answering[turn.id],))
            outcome = self._turns.get(turn.id)
            if outcome is None or not outcome.state.decided:
                return
            if self.here:
                await self.adapter.deliver(outcome, self._outbox(turn.id))
            if outcome.state is TurnState.ANSWERED:
                self._change(turn.id, state=TurnState.DELIVERED, delivered_at=time.time())

    def _take_up(self, turn: TurnId) -> Turn | None:
        with self._lock:  # so that nobody cancels it in between
            if turn not in self._turns or self._turns[turn].state.decided:
                return None
            return self._change(turn, state=TurnState.RUNNING, started_at=time.time())

    async def _answer(self, turn: Turn) -> None:
        live = Live()
        following = asyncio.create_task(self._follow(turn, live))
        try:
            answered = await _play(self._steps(turn), live)
            self._change(
                turn.id,
                state=TurnState.ANSWERED,
                reply=answered.text,
                files=answered.files,
                usage=answered.usage,
                answered_at=time.time(),
            )
        except AssistantError as exc:
            failure = Failure(exc.code, exc.sentence, str(exc), exc.retry_after)
            self._change(turn.id, state=TurnState.FAILED, failure=failure)
        finally:
            live.close()
            await following

    def _steps(self, turn: Turn) -> Sequence[Step]:
        match turn.message.kind:
            case Kind.ASK:
                return self.script(turn)
            case Kind.RESET:
                return (Answered(BEGUN_ANEW),)
            case Kind.STOP:
                return (Answered(STOPPED if turn.id in self._stopping else NOTHING_TO_STOP),)

    async def _follow(self, turn: Turn, live: AsyncIterator[Shown]) -> None:
        if self.here and turn.message.kind is Kind.ASK:
            await self.adapter.follow(turn, live, self._outbox(turn.id))

    def _outbox(self, turn: TurnId) -> FakeOutbox:
        return self.outboxes.setdefault(turn, FakeOutbox())


async def _play(steps: Sequence[Step], live: Live) -> Answered:
    for step in steps:
        if isinstance(step, AssistantError):
            raise step
        if isinstance(step, Answered):
            return step
        if isinstance(step, Gate):
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
