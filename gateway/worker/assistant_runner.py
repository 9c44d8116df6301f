"""Runs a turn at the assistant and returns its reply: threads, runs, retries, resumption, time limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import assert_current_lease_held
from gateway.domain.errors import (
    AssistantError,
    AssistantRateLimited,
    AssistantRefused,
    AssistantTimedOut,
    AssistantUnavailable,
    ThreadBusy,
    ThreadMissing,
)
from gateway.domain.models import (
    AuditEvent,
    Claim,
    Exchange,
    Failure,
    MessageKind,
    PreviewEvent,
    RunCompleted,
    RunEvent,
    RunId,
    RunStarted,
    TextDelta,
    ThreadId,
    Turn,
    TurnState,
    UsageCounted,
)
from gateway.observability.metrics import Metrics
from gateway.ports.assistant import Assistant, AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.store import AppendAuditEntry, SetRun, SetThread

HISTORY_TURNS = 200
MAX_THREADS_PER_TURN = 3
MAX_RETRY_DELAY = 30.0

RESET_REPLY = "A new conversation begins. Nothing of what was said before is remembered."
STOPPED_REPLY = "Stopped."
NOTHING_TO_STOP_REPLY = "There is nothing to stop."

log = logs.get_logger(__name__)


class PreviewDeduplicator:
    """Forwards preview events; when a reply is streamed again, forwards only the text beyond what was shown before."""

    def __init__(self, show: Callable[[PreviewEvent], None]) -> None:
        self._emit = show
        self._parts: list[str] = []
        self._already_shown = ""

    def restart(self) -> None:
        """Called before a retry: the reply is streamed again from its start."""
        text = "".join(self._parts)
        if len(text) > len(self._already_shown):
            self._already_shown = text
        self._parts = []

    def emit(self, event: PreviewEvent) -> None:
        if isinstance(event, TextDelta):
            self._parts.append(event.text)
            if self._already_shown:
                event = TextDelta(self._new_text())
                if not event.text:
                    return
        self._emit(event)

    def _new_text(self) -> str:
        """Returns the text beyond what was shown; empty while there is none, or when the reply differs this time."""
        text = "".join(self._parts)
        if len(text) <= len(self._already_shown) or not text.startswith(self._already_shown):
            return ""
        new_text, self._already_shown = text[len(self._already_shown) :], text
        return new_text


@dataclass
class RunAttempt:
    """The state of one process's attempt at a turn."""

    claim: Claim
    preview: PreviewDeduplicator
    thread_id: ThreadId | None
    run_id: RunId | None
    attachments: AttachmentLoader
    run_started: bool
    """Whether the turn may have reached the assistant."""
    failures: int = 0
    threads_missing: int = 0
    deadline: float = field(default=0.0)

    @property
    def turn(self) -> Turn:
        return self.claim.turn


class AssistantRunner:
    """Runs turns at the assistant. Used on the worker's loop only."""

    def __init__(
        self,
        store: AsyncStore,
        assistant: Assistant,
        metrics: Metrics,
        *,
        timeout: float = 600.0,
        max_retries: int = 4,
        retry_delay: float = 0.5,
    ) -> None:
        """``timeout``: seconds that a turn may take. ``max_retries``: how often a failed run is retried, the first time
        after ``retry_delay`` seconds, which double with each retry.
        """
        self._store = store
        self._assistant = assistant
        self._metrics = metrics
        self._timeout = timeout
        self._max_retries = max_retries
        self._retry_delay = retry_delay

    def attempt(
        self, claim: Claim, emit: Callable[[PreviewEvent], None], attachments: AttachmentLoader = no_attachments
    ) -> RunAttempt:
        """Returns a new attempt at a claimed turn. A thread of another backend is ignored."""
        same_backend = claim.conversation.backend == self._assistant.name
        return RunAttempt(
            claim=claim,
            preview=PreviewDeduplicator(emit),
            thread_id=claim.conversation.thread_id if same_backend else None,
            run_id=claim.turn.run_id if same_backend else None,
            attachments=attachments,
            run_started=same_backend and not claim.first_attempt,
        )

    async def run_turn(self, attempt: RunAttempt) -> RunCompleted:
        """Returns the reply. Called by the turn processor. Raises AssistantError when there is none, LeaseLost."""
        match attempt.turn.message.kind:
            case MessageKind.RESET:
                return await self._reset(attempt)
            case MessageKind.STOP:
                return await self._report_stop(attempt.turn)
            case MessageKind.PROMPT:
                return await self._ask(attempt)

    async def _reset(self, attempt: RunAttempt) -> RunCompleted:
        """Detaches the thread from the conversation. At the backend the thread stays as it is."""
        await self._store.write(SetThread(attempt.claim.lease, None, ""))
        log.info("conversation reset", turn=attempt.turn.id)
        return RunCompleted(RESET_REPLY)

    async def _report_stop(self, turn: Turn) -> RunCompleted:
        """Returns the reply to a STOP message. The turns it stops were cancelled when it was recorded."""
        before = await self._turns_before(turn)
        stopped = any(t.state is TurnState.CANCELLED and (t.answered_at or 0.0) >= turn.received_at for t in before)
        return RunCompleted(STOPPED_REPLY if stopped else NOTHING_TO_STOP_REPLY)

    async def _ask(self, attempt: RunAttempt) -> RunCompleted:
        loop = asyncio.get_running_loop()
        attempt.deadline = loop.time() + self._timeout
        try:
            async with asyncio.timeout_at(attempt.deadline):
                return await self._run_with_retries(attempt)
        except TimeoutError:
            await self.stop(attempt)
            raise AssistantTimedOut(f"no answer within {self._timeout:g} s") from None

    async def stop(self, attempt: RunAttempt) -> None:
        """Cancels the run at the backend, if one may have started. Failures are logged and ignored."""
        if attempt.thread_id is None or not attempt.run_started:
            return
        try:
            async with asyncio.timeout(MAX_RETRY_DELAY):
                await self._assistant.cancel_run(attempt.thread_id, attempt.run_id)
        except (AssistantError, TimeoutError) as exc:
            log.warning("run could not be cancelled at the backend", turn=attempt.turn.id, error=str(exc))

    async def _run_with_retries(self, attempt: RunAttempt) -> RunCompleted:
        while True:
            try:
                return await self._run_once(attempt)
            except ThreadMissing as exc:
                self._drop_missing_thread(attempt, exc)
            except (AssistantRateLimited, ThreadBusy, AssistantUnavailable) as exc:
                await self._wait_before_retry(attempt, exc)
            attempt.preview.restart()

    async def _run_once(self, attempt: RunAttempt) -> RunCompleted:
        thread = attempt.thread_id or await self._open_thread(attempt)
        await assert_current_lease_held()
        posting = not attempt.run_started
        attempt.run_started = True
        try:
            async with aclosing(self._run(attempt, thread, posting=posting)) as run:
                async for event in run:
                    if isinstance(event, RunStarted):
                        posting = False
                        await self._store_run(attempt, event.run_id)
                    elif isinstance(event, RunCompleted):
                        return _has_content(event)
                    elif not isinstance(event, UsageCounted):
                        attempt.preview.emit(event)
        except (AssistantRateLimited, ThreadBusy):
            attempt.run_started = not posting
            attempt.run_id = None  # a rate-limited run has ended; ``resume`` looks for what it left behind
            raise
        raise AssistantUnavailable("the run ended without an answer")

    def _run(self, attempt: RunAttempt, thread: ThreadId, *, posting: bool) -> AsyncGenerator[RunEvent, None]:
        history = self._history(attempt.turn)
        if posting:
            return self._assistant.run(attempt.turn, thread, history, attempt.attachments)
        return self._assistant.resume(attempt.turn, thread, attempt.run_id, history, attempt.attachments)

    async def _open_thread(self, attempt: RunAttempt) -> ThreadId:
        turn = attempt.turn
        history = await self._history(turn)() if turn.seq > 1 else ()
        thread = await self._assistant.create_thread(history)
        await self._store.write(SetThread(attempt.claim.lease, thread, self._assistant.name))
        log.info("thread created", turn=turn.id, thread=thread, backend=self._assistant.name, remembers=len(history))
        attempt.thread_id = thread
        return thread

    async def _store_run(self, attempt: RunAttempt, run_id: RunId) -> None:
        if run_id == attempt.run_id:
            return
        await self._store.write(SetRun(attempt.claim.lease, attempt.turn.id, run_id))
        attempt.run_id = run_id
        log.info("run started", turn=attempt.turn.id, run=run_id)

    def _history(self, turn: Turn) -> HistoryLoader:
        async def load() -> Sequence[Exchange]:
            turns = _since_reset(await self._turns_before(turn))
            return tuple(
                Exchange(t.message.text_with_attachments, t.reply, t.message.author)
                for t in turns
                if t.reply or t.reply_files
            )

        return load

    async def _turns_before(self, turn: Turn) -> Sequence[Turn]:
        return await self._store.read(
            lambda store: store.transcript(turn.conversation_id, before=turn.seq, limit=HISTORY_TURNS)
        )

    @staticmethod
    def _drop_missing_thread(attempt: RunAttempt, exc: ThreadMissing) -> None:
        attempt.threads_missing += 1
        if attempt.threads_missing >= MAX_THREADS_PER_TURN:
            raise AssistantRefused(f"the backend does not keep the threads it creates: {exc}") from exc
        log.warning("thread missing; creating another", turn=attempt.turn.id, thread=attempt.thread_id, error=str(exc))
        attempt.thread_id, attempt.run_id, attempt.run_started = None, None, False

    async def _wait_before_retry(self, attempt: RunAttempt, exc: AssistantError) -> None:
        """Waits before the next retry. Raises ``exc`` when no retry is left or the wait would exceed the deadline."""
        if not isinstance(exc, ThreadBusy):  # a busy thread is retried until the turn times out
            attempt.failures += 1
        backoff = min(self._retry_delay * 2 ** max(attempt.failures - 1, 0), MAX_RETRY_DELAY)
        pause = backoff if exc.retry_after is None else exc.retry_after
        remaining = attempt.deadline - asyncio.get_running_loop().time()
        if attempt.failures > self._max_retries or pause >= remaining:
            raise exc
        log.warning(
            "run failed; retrying", turn=attempt.turn.id, error=str(exc), code=exc.code, retry_in=round(pause, 2)
        )
        self._metrics.run_retried(attempt.turn.message.key.platform, exc.code)
        await self._store.write(
            AppendAuditEntry(attempt.claim.lease, attempt.turn.id, AuditEvent.RUN_RETRIED, exc.code)
        )
        await asyncio.sleep(pause)


def _since_reset(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Returns the prompts since the last reset: what a new thread is to remember."""
    resets = [index for index, turn in enumerate(turns) if turn.message.kind is MessageKind.RESET]
    return [turn for turn in turns[resets[-1] if resets else 0 :] if turn.message.kind is MessageKind.PROMPT]


def _has_content(answer: RunCompleted) -> RunCompleted:
    """Returns the answer. Raises AssistantRefused when it is empty."""
    if not answer.text.strip() and not answer.files:
        raise AssistantRefused(
            "the reply is empty", user_message="The assistant gave an empty answer. Please try again."
        )
    return answer


def failure_of(exc: AssistantError) -> Failure:
    """Returns an error as it is stored with its turn."""
    return Failure(exc.code, exc.user_message, detail=str(exc), retry_after=exc.retry_after)
