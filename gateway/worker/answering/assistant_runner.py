"""Runs turns at one assistant and returns its replies: threads, runs, retries, resumption, time limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from gateway import logs
from gateway.coordination.async_store import AsyncStore
from gateway.coordination.lease import LeaseGuard, assert_current_lease_held
from gateway.coordination.retry import Backoff
from gateway.domain.approvals import HeldCall
from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.errors import (
    AnswerLost,
    AssistantError,
    AssistantRateLimited,
    AssistantRefused,
    AssistantTimedOut,
    AssistantUnavailable,
    ThreadBusy,
    ThreadMissing,
    TooManyRounds,
)
from gateway.domain.exchange import CallRound, Exchange
from gateway.domain.models import DEFAULT_ASSISTANT, Failure, RunId, ThreadId, Turn, TurnState
from gateway.domain.past import as_asked, exchanges_of_held, open_rounds
from gateway.domain.run_events import (
    CallsHeld,
    PreviewEvent,
    RunCompleted,
    RunEvent,
    RunStarted,
    TextDelta,
    ToolCall,
)
from gateway.domain.turn_options import NO_OPTIONS
from gateway.observability.metrics import Metrics
from gateway.policy.request_estimate import RequestEstimator
from gateway.ports.assistant import Assistant, AttachmentLoader, HistoryLoader, no_attachments
from gateway.ports.leased_writes import AppendAuditEntry, SetRun
from gateway.worker.answering.past_turns import exchanges_before, left_unanswered, past_of
from gateway.worker.answering.preview_deduplicator import PreviewDeduplicator
from gateway.worker.answering.reply_limit import ReplyLimit, require_content
from gateway.worker.answering.run_attempt import (
    ApprovalsNeeded,
    MeteredAttachments,
    OutputsNeeded,
    RunAttempt,
    RunPostponed,
)
from gateway.worker.answering.run_usage import RunUsage
from gateway.worker.answering.threads import set_thread
from gateway.worker.answering.tool_files import KeptFiles
from gateway.worker.answering.turn_limits import TurnLimits
from gateway.worker.answering.usage_meter import UsageMeter

MAX_THREADS_PER_TURN = 3
MAX_RETRY_DELAY = 30.0
MAX_PAID_RETRIES = 2
"""How often a run is retried whose answer was lost after the assistant had worked for it."""
ASSISTANT = "assistant"
"""Why a turn is parked: the assistant's server takes no more requests just now."""
PARK_FROM_SECONDS = 1.0
"""A shorter wait for the assistant's server is spent in memory."""
REMEMBER_SECONDS = 20.0
"""How long it may take to add a pushed text to a thread."""

TOO_LONG = "at MAX_REPLY_CHARS"

RunCalls = Callable[[Turn, Sequence[HeldCall]], AsyncGenerator[ToolCall, None]]
"""Runs held calls of the assistant's tools, all at once: yields each when it starts, and with its output when it is
done. Those with approvers are approved."""

log = logs.get_logger(__name__)


class AssistantRunner:
    """Runs turns at the assistant. Used on the worker's loop only."""

    def __init__(  # noqa: PLR0913  # what runs differ by
        self,
        store: AsyncStore,
        assistant: Assistant,
        metrics: Metrics,
        *,
        max_retries: int = 4,
        retry_delay: float = 0.5,
        estimator: RequestEstimator | None = None,
        limits: TurnLimits | None = None,
        name: str = DEFAULT_ASSISTANT,
        run_calls: RunCalls | None = None,
        tool_files: KeptFiles | None = None,
    ) -> None:
        """``name``: of the assistant, whose threads no other one goes on in. ``max_retries``: how often a failed run is
        retried, the first time after ``retry_delay`` seconds, which double with each retry. ``estimator``: of requests
        that nobody counted. ``run_calls``: runs tools that people have approved. ``tool_files``: keeps what tools
        return for the reply; None: that is dropped.
        """
        self.run_calls = run_calls or _no_tools
        self._store = store
        self._assistant = assistant
        self._metrics = metrics
        self._max_retries = max_retries
        self._retry_delay = retry_delay
        self._estimator = estimator or RequestEstimator(assistant.model)
        self.usage = RunUsage(store, assistant, self._estimator, name)
        """What attempts used."""
        self._limits = limits or TurnLimits()
        self._name = name
        self._tool_files = tool_files

    @property
    def approval_seconds(self) -> float:
        """How long people may take to decide about a call of a tool."""
        return self._limits.approval_seconds

    def attempt(
        self,
        lease_guard: LeaseGuard,
        emit: Callable[[PreviewEvent], None],
        attachments: AttachmentLoader = no_attachments,
        *,
        is_in_place: bool = False,
    ) -> RunAttempt:
        """Returns a new attempt at the turn of a lease. A thread of another assistant or backend is ignored.

        ``is_in_place``: this assistant is asked in the place of another one, and cannot have been asked before.
        """
        claim = lease_guard.claim
        is_ours = claim.conversation.has_thread_of(self._name, self._assistant.name)
        goes_on = is_ours and not claim.first_attempt and not is_in_place
        attempt = RunAttempt(
            lease_guard=lease_guard,
            preview=PreviewDeduplicator(emit),
            thread_id=claim.conversation.thread_id if is_ours and not _brings_history(claim) else None,
            run_id=claim.turn.run_id if is_ours else None,
            attachments=MeteredAttachments(attachments, self._estimator.attachment_tokens),
            run_started=goes_on,
            meter=UsageMeter(self._lost_runs(claim) if goes_on else ()),
        )
        if _was_postponed(claim.turn):
            attempt.failures = _retries(claim.turn)
        return attempt

    def _lost_runs(self, claim: Claim) -> Sequence[RunId]:
        """Returns the runs of earlier attempts that ended with their processes: each is paid, and so is the next."""
        turn = claim.turn
        if self._assistant.resumes_runs or turn.run_id is None:
            return ()
        return [RunId(f"{turn.run_id} {number}") for number in range(max(turn.attempts - 1, 1))]

    async def remember(self, lease_guard: LeaseGuard) -> None:
        """Adds the text that the lease's turn has brought to the conversation's thread, so that the assistant knows it.

        With the answer of a person come the messages that it answers.
        A thread that does not take it is detached: the next turn opens one with all that was said, this text included.
        Raises LeaseLost.
        """
        conversation, turn = lease_guard.claim.conversation, lease_guard.claim.turn
        thread = conversation.thread_id
        if thread is None or not conversation.has_thread_of(self._name, self._assistant.name):
            return  # the next turn opens a thread anyway
        await lease_guard.assert_held()
        try:
            before = await self._answered_by(turn) if turn.message.is_from_staff else ()
            async with asyncio.timeout(REMEMBER_SECONDS):
                await self._assistant.remember(turn, thread, before)
        except (AssistantError, TimeoutError) as exc:
            log.warning("a pushed text was not added to the thread; the next turn opens another", error=str(exc))
            await set_thread(lease_guard, None)

    async def _answered_by(self, answer: Turn) -> Sequence[Exchange]:
        """Returns the messages that were left to the person who answers with this turn."""
        return exchanges_of_held(await self._store.call_with_retry(lambda store: left_unanswered(store, answer)))

    # ------------------------------------------------------------ running

    async def run_turn(self, attempt: RunAttempt) -> RunCompleted:
        """Returns the reply to a PROMPT.

        Raises AssistantError when there is none; RunPostponed or OutputsNeeded when it is to be called again later;
        LeaseLost.
        """
        loop = asyncio.get_running_loop()
        attempt.deadline = loop.time() + self._seconds_left(attempt.turn)
        try:
            async with asyncio.timeout_at(attempt.deadline):
                return await self._run_with_retries(attempt)
        except TimeoutError:
            await self.stop(attempt)
            raise AssistantTimedOut(f"no answer within {self._limits.seconds:g} s") from None
        except TooManyRounds:
            await self.stop(attempt)
            raise

    def _seconds_left(self, turn: Turn) -> float:
        """Returns the seconds that a turn may take from now on. It had fewer before if it was postponed."""
        if not _was_postponed(turn) or turn.parking is None or turn.parking.woken_at is None:
            return self._limits.seconds
        return max(turn.parking.expires_at - turn.parking.woken_at, 0.0)

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
        """Gives the turn to the assistant, or goes on with the run of an earlier call, and returns the reply.

        Raises what ``run_turn`` raises, and what it tries again.
        """
        thread = attempt.thread_id or await self._open_thread(attempt)
        await assert_current_lease_held()
        limit = ReplyLimit(self._limits.reply_chars, attempt.turn.message.language)
        resumes = attempt.begin_call()
        try:
            events = self._run(attempt, thread, resumes=resumes)
            answer = await self._follow(events, attempt, limit)
            if answer is not None:
                return await self._checked(attempt, answer, limit)
        except AssistantError as exc:
            attempt.fail_call(exc)
            raise
        return await self._broken_off(attempt, limit)

    async def _follow(
        self, events: AsyncGenerator[RunEvent, None], attempt: RunAttempt, limit: ReplyLimit
    ) -> RunCompleted | None:
        """Shows and stores what a run tells until it is complete; returns None as soon as its reply is too long.

        Raises AssistantError, ApprovalsNeeded.
        """
        async with aclosing(events):
            async for event in events:
                attempt.meter.add(event)
                match event:
                    case TextDelta():
                        if limit.add(event.text):
                            return None
                        attempt.preview.emit(event)
                    case ToolCall():
                        self._check_cost(attempt, event)
                        attempt.preview.emit(await self._without_files(event, attempt) if event.files else event)
                    case RunStarted():
                        await self._store_run(attempt, event.run_id)
                    case CallsHeld():
                        self._check_cost(attempt, event)
                        raise ApprovalsNeeded(event)
                    case RunCompleted():
                        return await self._with_files(event, attempt) if attempt.may_have_files else event
        raise AssistantUnavailable("the run ended without an answer")

    async def _without_files(self, call: ToolCall, attempt: RunAttempt) -> ToolCall:
        """Keeps the files that a tool returned; previews do not show them."""
        attempt.may_have_files = True
        if self._tool_files is not None:
            await self._tool_files.keep(attempt.turn, call.files)
        return replace(call, files=())

    async def _with_files(self, answer: RunCompleted, attempt: RunAttempt) -> RunCompleted:
        """Returns the answer with the files that tools have returned for it."""
        kept = () if self._tool_files is None else await self._tool_files.of_turn(attempt.turn)
        return replace(answer, files=(*answer.files, *kept))

    def _check_cost(self, attempt: RunAttempt, event: ToolCall | CallsHeld) -> None:
        """Raises TooManyRounds if a tool is called in a turn that has cost as much as it may."""
        self._limits.check_cost(event, attempt.meter.counted, attempt.turn.cost)

    async def _broken_off(self, attempt: RunAttempt, limit: ReplyLimit) -> RunCompleted:
        """Stops a run whose reply is too long already, and returns what there is of it."""
        log.warning("the answer is longer than MAX_REPLY_CHARS; stopped", turn=attempt.turn.id)
        await self.stop(attempt)
        await attempt.lease_guard.write(partial(AppendAuditEntry, event=AuditEvent.CUT_OFF, detail=TOO_LONG))
        return require_content(RunCompleted(limit.text, cut_off=True), attempt.turn)

    async def _checked(self, attempt: RunAttempt, answer: RunCompleted, limit: ReplyLimit) -> RunCompleted:
        """Returns the answer, marked if it was cut off. Raises OutputsNeeded; AssistantRefused when it is empty."""
        if answer.calls and attempt.turn.options.waits_for_outputs:
            raise OutputsNeeded(CallRound(answer.calls, answer.text, returned=answer.returned))
        text = limit.fitted(answer.text)
        if answer.cut_off or text != answer.text:
            log.warning("the answer ends at a limit", turn=attempt.turn.id, model=answer.model)
            named = f"at {answer.limit}" if answer.limit else ""
            detail = named if answer.cut_off else TOO_LONG
            await attempt.lease_guard.write(partial(AppendAuditEntry, event=AuditEvent.CUT_OFF, detail=detail))
            answer = replace(answer, text=text)
        return require_content(answer, attempt.turn)

    def _run(self, attempt: RunAttempt, thread: ThreadId, *, resumes: bool) -> AsyncGenerator[RunEvent, None]:
        history, turn = self._history(attempt.turn), as_asked(attempt.turn)
        if resumes:
            return self._assistant.resume(turn, thread, attempt.run_id, history, attempt.attachments)
        return self._assistant.run(turn, thread, history, attempt.attachments)

    async def _open_thread(self, attempt: RunAttempt) -> ThreadId:
        turn, options = attempt.turn, attempt.turn.options
        history = await self._history(turn)() if turn.seq > 1 or options != NO_OPTIONS else ()
        thread = await self._assistant.create_thread(history, is_kept=not options.is_last)
        await set_thread(attempt.lease_guard, thread, self._assistant.name, self._name)
        about = {"assistant": self._name, "backend": self._assistant.name, "remembers": len(history)}
        log.info("thread created", turn=turn.id, thread=thread, **about)
        attempt.thread_id = thread
        return thread

    async def _store_run(self, attempt: RunAttempt, run_id: RunId) -> None:
        attempt.is_accepted = True
        if run_id == attempt.run_id:
            return
        attempt.run_id = run_id  # known from here on, so that a stop or a time-out during the write cancels it
        turn = await attempt.lease_guard.write(partial(SetRun, run_id=run_id))
        log.info("run started", turn=turn.id, run=run_id)
        if turn.state is TurnState.CANCELLED:  # no other process, or no event of one, has told us
            raise asyncio.CancelledError

    def _history(self, turn: Turn) -> HistoryLoader:
        async def load() -> Sequence[Exchange]:
            skips = turn.options.past is not None or turn.seq == 1
            before = () if skips else await self._store.call(lambda store: exchanges_before(store, turn))
            return (*past_of(turn, before), *open_rounds(turn))

        return load

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
        backoff = Backoff(self._retry_delay, MAX_RETRY_DELAY)
        pause = backoff.pause(max(attempt.failures, 1)) if exc.retry_after is None else exc.retry_after
        remaining = attempt.deadline - asyncio.get_running_loop().time()
        most = min(self._max_retries, MAX_PAID_RETRIES) if isinstance(exc, AnswerLost) else self._max_retries
        if attempt.failures > most or pause >= remaining:
            raise exc
        if pause >= PARK_FROM_SECONDS and attempt.may_fall_back and not isinstance(exc, ThreadBusy):
            raise exc
        log.warning(
            "run failed; retrying", turn=attempt.turn.id, error=str(exc), code=exc.code, retry_in=round(pause, 2)
        )
        self._metrics.run_retried(attempt.turn, exc.code)
        await attempt.lease_guard.write(partial(AppendAuditEntry, event=AuditEvent.RUN_RETRIED, detail=exc.code))
        if pause >= PARK_FROM_SECONDS and not attempt.run_started and attempt.meter.used_nothing():
            raise RunPostponed(pause, self._limits.seconds)
        await asyncio.sleep(pause)


async def _no_tools(_: Turn, held: Sequence[HeldCall]) -> AsyncGenerator[ToolCall, None]:
    for call in (each.call for each in held):
        yield ToolCall(call.id, call.name, call.arguments, f"There is no tool {call.name[:64]!r}.", done=True)


def _was_postponed(turn: Turn) -> bool:
    return turn.parking is not None and turn.parking.reason == ASSISTANT


def _brings_history(claim: Claim) -> bool:
    """Returns whether the thread at the backend lacks what a new turn brings; then another one is opened with it."""
    options = claim.turn.options
    return claim.first_attempt and not claim.turn.rounds and bool(options.past or options.inserted)


def failure_of(exc: AssistantError) -> Failure:
    """Returns an error as it is stored with its turn."""
    return Failure(exc.code, exc.user_message, detail=str(exc), retry_after=exc.retry_after)


def _retries(turn: Turn) -> int:
    """Returns how often the assistant of a turn was asked again."""
    events = [entry.event for entry in turn.audit_log]
    since = len(events) - events[::-1].index(AuditEvent.REASSIGNED) if AuditEvent.REASSIGNED in events else 0
    return events[since:].count(AuditEvent.RUN_RETRIED)
