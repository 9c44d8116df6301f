"""The core as adapters see it: accept a message, look a turn up, cancel, forget. Sync, for web threads."""

from __future__ import annotations

import re
import secrets
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from gateway import logs
from gateway.coordination.backpressure import Pressure
from gateway.coordination.lease import now
from gateway.domain.errors import Blocked, Conflict, Overloaded, ThreadNotFound, TurnNotFound
from gateway.domain.models import (
    Claim,
    Conversation,
    ConversationKey,
    Edit,
    Failure,
    Message,
    Move,
    ThreadId,
    Turn,
    TurnId,
    TurnState,
    Verdict,
    Withdrawal,
)
from gateway.observability.metrics import Metrics
from gateway.observability.tracing import Tracing
from gateway.policy.admission import Gatekeeper
from gateway.ports.assistant import Assistant
from gateway.ports.inbox import Accepted
from gateway.ports.platform import Receipt
from gateway.ports.store import Recorded, Store

THREAD_NAME = re.compile(r"[A-Za-z0-9_\-]{1,128}")
"""What a thread may be called from outside: the backends' ids, and nothing that means something in a URL."""

TURNED_AWAY = (
    "Too many messages wait for an answer. I have not read this one, nor what comes after it until I have caught up: "
    "please send it again in a few minutes."
)

T = TypeVar("T")

log = logs.get(__name__)


class Runner(Protocol):
    """What the inbox needs of the engine. Thread-safe."""

    owner: str

    def room(self) -> bool:
        """Whether a turn could start at once."""
        ...

    def holds(self, conversation: int) -> bool:
        """Whether this process works on a conversation."""
        ...

    def arriving(self) -> AbstractContextManager[None]:
        """Around everything that takes a message in."""
        ...

    def submit(self, claim: Claim, since: float) -> None:
        """Start on a claim that was asked for at this time, by ``gateway.coordination.lease.now``. No I/O."""
        ...

    def interrupt(self, turn: TurnId) -> None:
        """Break off a turn if it runs here. No I/O."""
        ...

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's loop and wait for it, from another thread."""
        ...


class CoreInbox:
    """See ``gateway.ports.Inbox``."""

    def __init__(
        self,
        store: Store,
        assistant: Assistant,
        runner: Runner,
        gate: Gatekeeper,
        pressure: Pressure,
        metrics: Metrics,
        tracing: Tracing,
        *,
        backlog: int,
    ) -> None:
        """``backlog``: how many unfinished turns one conversation may have."""
        self._store = store
        self._assistant = assistant
        self._runner = runner
        self._gate = gate
        self._pressure = pressure
        self._metrics = metrics
        self._tracing = tracing
        self._backlog = backlog

    def new_turn(self) -> TurnId:
        return TurnId(f"turn_{secrets.token_hex(12)}")

    def accept(self, message: Message, turn: TurnId | None = None) -> Accepted:
        self._let_in(message)
        turn = turn or self.new_turn()
        with self._tracing.span("accept", message.trace, turn=turn, platform=message.key.platform) as span:
            if span.traceparent:
                message = replace(message, trace=span.traceparent)
            with self._runner.arriving():
                return self._begin(message, self._record(message, turn))

    def _let_in(self, message: Message) -> None:
        objection = self._gate.objection(message)
        if objection is not None:
            self._metrics.refused(message.key.platform, Blocked.code)
            log.info("message not let in", platform=message.key.platform, reason=objection)
            raise Blocked

    def _record(self, message: Message, turn: TurnId) -> Recorded:
        owner, since = self._runner.owner, now()
        try:
            self._pressure.admit(message)
            room = owner if self._runner.room() else None
            recorded = self._store.record(message, turn, owner=room, taker=owner, backlog=self._backlog)
        except Overloaded as exc:
            # What was taken in before is not turned away when it is told again.
            there = self._store.turn_of(message.key.platform, message.message_id)
            if there is None:
                self._metrics.refused(message.key.platform, exc.code)
                raise
            return Recorded(there, new=False)
        if recorded.claim is not None:
            self._runner.submit(recorded.claim, since)
        return recorded

    def _begin(self, message: Message, recorded: Recorded) -> Accepted:
        """Tell what became of it, here and in the log."""
        turn = recorded.turn
        if recorded.new:
            self._metrics.accepted(turn)
        else:
            self._metrics.deduplicated(message.key.platform)
        log.info("message recorded" if recorded.new else "message known", turn=turn.id, seq=turn.seq)
        for stopped in recorded.stopped:
            self._runner.interrupt(stopped)
        return Accepted(turn, recorded.new, recorded.claim is not None or self._runner.holds(turn.conversation))

    def take(self, receipt: Receipt) -> None:
        for message in receipt.messages:
            with suppress(ThreadNotFound, Blocked):
                self._take(message)
        for change in receipt.changes:
            match change:
                case Edit():
                    self._store.edit(change)
                case Withdrawal():
                    self._withdraw(change)
                case Move():
                    self._store.move(change)
                case Verdict():
                    self._store.judge(change)

    def _take(self, message: Message) -> None:
        if message.piece and not message.opens:
            self._store.join(message)
            return
        try:
            accepted = self.accept(message)
        except Overloaded as exc:
            self._turn_away(message, exc)
            return
        if message.piece and not accepted.new and not self._store.join(message):
            self.accept(replace(message, message_id=f"{message.message_id}:{message.piece}", piece="", wait=0.0))

    def _turn_away(self, message: Message, exc: Overloaded) -> None:
        """Say so where it was written, in its turn. Where that is being said already, nothing more is said."""
        failure = Failure(exc.code, TURNED_AWAY, detail=str(exc), retry_after=exc.retry_after)
        refused = self._store.refuse(message, self.new_turn(), failure)
        log.warning("message turned away", platform=message.key.platform, turn=refused and refused.id)

    def _withdraw(self, withdrawal: Withdrawal) -> None:
        turn = self._store.turn_of(withdrawal.platform, withdrawal.message_id)
        if turn is not None and not turn.state.decided:
            with suppress(TurnNotFound, Conflict):  # it was decided or forgotten just now
                self.cancel(turn.id)

    def turn(self, turn: TurnId) -> Turn:
        found = self._store.turn(turn)
        if found is None:
            raise TurnNotFound(f"There is no turn {turn!r}.")
        return found

    def locate(self, key: ConversationKey) -> Conversation:
        name = ThreadId(key.channel)
        if not THREAD_NAME.fullmatch(name):
            raise ThreadNotFound("There is no such thread. Leave thread_id out to open a new one.")
        conversation = self._store.conversation(key) or self._store.conversation_of(name) or self._adopt(key, name)
        theirs = (conversation.key.platform, conversation.key.workspace)
        if theirs != (key.platform, key.workspace):
            raise ThreadNotFound(f"There is no thread {name!r}. Leave thread_id out to open a new one.")
        return conversation

    def transcript(self, conversation: Conversation) -> Sequence[Turn]:
        return self._store.transcript(conversation.id)

    def cancel(self, turn: TurnId) -> Turn:
        found = self._store.cancel(turn)
        if found is None:
            raise TurnNotFound(f"There is no turn {turn!r}.")
        if found.state is not TurnState.CANCELLED:
            raise Conflict(f"The turn is {found.state.value} already.", code="turn_finished")
        self._runner.interrupt(turn)
        log.info("turn cancelled", turn=turn)
        return found

    def forget(self, conversation: Conversation) -> Sequence[Turn]:
        open_turns = [turn.id for turn in self._store.transcript(conversation.id) if not turn.state.decided]
        cancelled = [turn for turn in map(self._store.cancel, open_turns) if turn is not None]
        for turn in cancelled:
            self._runner.interrupt(turn.id)
        threads = [*self._store.former_threads(conversation.id), (conversation.thread, conversation.backend)]
        for thread, backend in threads:
            if thread is not None and backend == self._assistant.name:
                self._runner.call(self._assistant.forget(thread))
        self._store.forget(conversation.id)
        log.info("conversation forgotten", conversation=conversation.id)
        return cancelled

    def _adopt(self, key: ConversationKey, thread: ThreadId) -> Conversation:
        past = self._runner.call(self._assistant.recall(thread))
        if past is None:
            raise ThreadNotFound(f"There is no thread {thread!r}. Leave thread_id out to open a new one.")
        log.info("thread adopted", thread=thread, exchanges=len(past))
        return self._store.adopt(key, thread, self._assistant.name, past)
