"""The deep module: a turn goes in, its reply comes out, whatever the assistant does in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway import logs
from gateway.coordination.async_store import Journal
from gateway.coordination.lease import ensure_held
from gateway.domain.errors import AssistantError, RateLimited, Refused, ThreadBusy, ThreadLost, TimedOut, Unavailable
from gateway.domain.models import (
    Answered,
    Claim,
    Exchange,
    Failure,
    Kind,
    Mark,
    RunEvent,
    RunId,
    RunStarted,
    Shown,
    TextDelta,
    ThreadId,
    Turn,
    TurnState,
)
from gateway.observability.metrics import Metrics
from gateway.ports.assistant import Assistant, Attachments, History, no_attachments
from gateway.ports.store import Bound, Marked, Started

HISTORY_TURNS = 200
THREADS_PER_TURN = 3
LONGEST_PAUSE = 30.0

BEGUN_ANEW = "A new conversation begins. Nothing of what was said before is remembered."
STOPPED = "Stopped."
NOTHING_TO_STOP = "There is nothing to stop."

log = logs.get(__name__)


class Preview:
    """What the person has been shown of a reply. A second pass shows only what goes beyond the first."""

    def __init__(self, show: Callable[[Shown], None]) -> None:
        self._show = show
        self._parts: list[str] = []
        self._before = ""

    def restart(self) -> None:
        """The reply begins again from its first word."""
        text = "".join(self._parts)
        if len(text) > len(self._before):
            self._before = text
        self._parts = []

    def tell(self, event: Shown) -> None:
        if isinstance(event, TextDelta):
            self._parts.append(event.text)
            if self._before:
                event = TextDelta(self._beyond())
                if not event.text:
                    return
        self._show(event)

    def _beyond(self) -> str:
        """What to show of a repeated pass; nothing while it lags behind, or once it went another way."""
        text = "".join(self._parts)
        if len(text) <= len(self._before) or not text.startswith(self._before):
            return ""
        beyond, self._before = text[len(self._before) :], text
        return beyond


@dataclass
class Attempt:
    """One process's work on a turn: what is known of it while it lasts."""

    claim: Claim
    preview: Preview
    thread: ThreadId | None
    run_id: RunId | None
    attachments: Attachments
    begun: bool
    """Whether something of the turn may have reached the assistant."""
    failures: int = 0
    threads_lost: int = 0
    deadline: float = field(default=0.0)

    @property
    def turn(self) -> Turn:
        return self.claim.turn


class Conversations:
    """Runs turns in their threads. Used on the engine's loop only."""

    def __init__(
        self,
        journal: Journal,
        assistant: Assistant,
        metrics: Metrics,
        *,
        timeout: float = 600.0,
        retries: int = 4,
        pause: float = 0.5,
    ) -> None:
        """``timeout``: seconds a turn may take. ``retries``: how often an assistant that does not answer is asked
        again, after ``pause`` seconds and then twice as many each time.
        """
        self._journal = journal
        self._assistant = assistant
        self._metrics = metrics
        self._timeout = timeout
        self._retries = retries
        self._pause = pause

    def attempt(
        self, claim: Claim, show: Callable[[Shown], None], attachments: Attachments = no_attachments
    ) -> Attempt:
        """Begin or take up the work on a claimed turn. A thread of another backend counts as none."""
        ours = claim.conversation.backend == self._assistant.name
        return Attempt(
            claim=claim,
            preview=Preview(show),
            thread=claim.conversation.thread if ours else None,
            run_id=claim.turn.run_id if ours else None,
            attachments=attachments,
            begun=ours and not claim.fresh,
        )

    async def answer(self, attempt: Attempt) -> Answered:
        """The reply. Raises AssistantError when there is none to be had, LeaseLost."""
        match attempt.turn.message.kind:
            case Kind.RESET:
                return await self._begin_anew(attempt)
            case Kind.STOP:
                return await self._report_stop(attempt.turn)
            case Kind.ASK:
                return await self._ask(attempt)

    async def _begin_anew(self, attempt: Attempt) -> Answered:
        """The thread stays at the backend as it is; the conversation has none from here on."""
        await self._journal.write(Bound(attempt.claim.lease, None, ""))
        log.info("conversation begins anew", turn=attempt.turn.id)
        return Answered(BEGUN_ANEW)

    async def _report_stop(self, turn: Turn) -> Answered:
        """What it cancelled was cancelled when it was recorded."""
        before = await self._before(turn)
        stopped = any(t.state is TurnState.CANCELLED and (t.answered_at or 0.0) >= turn.received_at for t in before)
        return Answered(STOPPED if stopped else NOTHING_TO_STOP)

    async def _ask(self, attempt: Attempt) -> Answered:
        loop = asyncio.get_running_loop()
        attempt.deadline = loop.time() + self._timeout
        try:
            async with asyncio.timeout_at(attempt.deadline):
                return await self._persist(attempt)
        except TimeoutError:
            await self.stop(attempt)
            raise TimedOut(f"no answer within {self._timeout:g} s") from None

    async def stop(self, attempt: Attempt) -> None:
        """End the run at the backend, as far as that can be done."""
        if attempt.thread is None or not attempt.begun:
            return
        try:
            async with asyncio.timeout(LONGEST_PAUSE):
                await self._assistant.cancel(attempt.thread, attempt.run_id)
        except (AssistantError, TimeoutError) as exc:
            log.warning("run not stopped", turn=attempt.turn.id, error=str(exc))

    async def _persist(self, attempt: Attempt) -> Answered:
        while True:
            try:
                return await self._once(attempt)
            except ThreadLost as exc:
                self._let_go_of_thread(attempt, exc)
            except (RateLimited, ThreadBusy, Unavailable) as exc:
                await self._wait(attempt, exc)
            attempt.preview.restart()

    async def _once(self, attempt: Attempt) -> Answered:
        thread = attempt.thread or await self._open_thread(attempt)
        await ensure_held()
        posting = not attempt.begun
        attempt.begun = True
        try:
            async with aclosing(self._run(attempt, thread, posting=posting)) as run:
                async for moment in run:
                    if isinstance(moment, RunStarted):
                        posting = False
                        await self._started(attempt, moment.run_id)
                    elif isinstance(moment, Answered):
                        return _substantial(moment)
                    else:
                        attempt.preview.tell(moment)
        except (RateLimited, ThreadBusy):
            attempt.begun = not posting
            attempt.run_id = None  # a run that hit the limit is over; what it left is to be looked for
            raise
        raise Unavailable("the run ended without an answer")

    def _run(self, attempt: Attempt, thread: ThreadId, *, posting: bool) -> AsyncGenerator[RunEvent, None]:
        history = self._history(attempt.turn)
        if posting:
            return self._assistant.run(attempt.turn, thread, history, attempt.attachments)
        return self._assistant.resume(attempt.turn, thread, attempt.run_id, history, attempt.attachments)

    async def _open_thread(self, attempt: Attempt) -> ThreadId:
        turn = attempt.turn
        past = await self._history(turn)() if turn.seq > 1 else ()
        thread = await self._assistant.open_thread(past)
        await self._journal.write(Bound(attempt.claim.lease, thread, self._assistant.name))
        log.info("thread opened", turn=turn.id, thread=thread, backend=self._assistant.name, remembers=len(past))
        attempt.thread = thread
        return thread

    async def _started(self, attempt: Attempt, run_id: RunId) -> None:
        if run_id == attempt.run_id:
            return
        await self._journal.write(Started(attempt.claim.lease, attempt.turn.id, run_id))
        attempt.run_id = run_id
        log.info("run started", turn=attempt.turn.id, run=run_id)

    def _history(self, turn: Turn) -> History:
        async def load() -> Sequence[Exchange]:
            turns = _since_reset(await self._before(turn))
            return tuple(Exchange(t.message.said, t.reply, t.message.author) for t in turns if t.reply or t.files)

        return load

    async def _before(self, turn: Turn) -> Sequence[Turn]:
        return await self._journal.read(
            lambda store: store.transcript(turn.conversation, before=turn.seq, limit=HISTORY_TURNS)
        )

    @staticmethod
    def _let_go_of_thread(attempt: Attempt, exc: ThreadLost) -> None:
        attempt.threads_lost += 1
        if attempt.threads_lost >= THREADS_PER_TURN:
            raise Refused(f"the backend loses every thread: {exc}") from exc
        log.warning("thread lost", turn=attempt.turn.id, thread=attempt.thread, error=str(exc))
        attempt.thread, attempt.run_id, attempt.begun = None, None, False

    async def _wait(self, attempt: Attempt, exc: AssistantError) -> None:
        """Wait before asking again; raise the error instead when that would take too long or too often."""
        if not isinstance(exc, ThreadBusy):  # a busy thread is waited for as long as the turn may take
            attempt.failures += 1
        backoff = min(self._pause * 2 ** max(attempt.failures - 1, 0), LONGEST_PAUSE)
        pause = backoff if exc.retry_after is None else exc.retry_after
        left = attempt.deadline - asyncio.get_running_loop().time()
        if attempt.failures > self._retries or pause >= left:
            raise exc
        log.warning("asking again", turn=attempt.turn.id, error=str(exc), code=exc.code, retry_in=round(pause, 2))
        self._metrics.asked_again(attempt.turn.message.key.platform, exc.code)
        await self._journal.write(Marked(attempt.claim.lease, attempt.turn.id, Mark.ASKED_AGAIN, exc.code))
        await asyncio.sleep(pause)


def _since_reset(turns: Sequence[Turn]) -> Sequence[Turn]:
    """What the thread is to remember: what was asked since the conversation last began anew."""
    resets = [index for index, turn in enumerate(turns) if turn.message.kind is Kind.RESET]
    return [turn for turn in turns[resets[-1] if resets else 0 :] if turn.message.kind is Kind.ASK]


def _substantial(answer: Answered) -> Answered:
    if not answer.text.strip() and not answer.files:
        raise Refused("the reply is empty", sentence="The assistant gave an empty answer. Please try again.")
    return answer


def failure_of(exc: AssistantError) -> Failure:
    """How an error is kept with its turn."""
    return Failure(exc.code, exc.sentence, detail=str(exc), retry_after=exc.retry_after)
