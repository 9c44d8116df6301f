"""One process's attempt at a turn: by the turn's assistant, and by others in its place while that is unavailable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from contextvars import Context
from functools import partial

from gateway import logs
from gateway.coordination.lease import LeaseGuard
from gateway.domain.approvals import HeldCall
from gateway.domain.errors import (
    AssistantError,
    AssistantMisconfigured,
    AssistantRateLimited,
    AssistantTimedOut,
    AssistantUnavailable,
)
from gateway.domain.models import MessageKind, Turn, TurnState
from gateway.domain.run_events import PreviewEvent, RunCompleted, TextDelta, ToolCall
from gateway.observability.metrics import Metrics
from gateway.ports.assistant import AttachmentLoader
from gateway.ports.budgets import AttemptUsage
from gateway.ports.leased_writes import ReassignTurn
from gateway.worker.answering.assistants import Assistants, RunningAssistant
from gateway.worker.answering.commands import Commands
from gateway.worker.answering.run_attempt import RunAttempt

UNAVAILABLE = (AssistantUnavailable, AssistantRateLimited, AssistantTimedOut, AssistantMisconfigured)
"""Errors for which another assistant is asked: this one answers nobody just now. One that refuses a message does."""

STOP_SECONDS = 5.0
"""How long the end of a turn waits for an assistant that was unavailable to stop its run."""

log = logs.get_logger(__name__)


class TurnAttempt:
    """Keeps its assistant open until ``close``. Used on the worker's loop only."""

    def __init__(
        self,
        assistants: Assistants,
        running: RunningAssistant,
        commands: Commands,
        lease_guard: LeaseGuard,
        emit: Callable[[PreviewEvent], None],
        load: AttachmentLoader,
        metrics: Metrics,
    ) -> None:
        """``running``: acquired for this attempt. ``emit``: shows an event; ``load``: fetches the message's files."""
        self._assistants = assistants
        self._running = running
        self._commands = commands
        self._lease_guard = lease_guard
        self._emit = emit
        self._load = load
        self._metrics = metrics
        self._said_before = ""
        has_run_tools = bool(self.turn.rounds) and not self.turn.options.waits_for_outputs
        self._left = [] if has_run_tools else list(running.fallback)
        self._ending: list[asyncio.Task[AttemptUsage]] = []
        """Those that were asked before."""
        self._attempt = running.runner.attempt(lease_guard, emit, load)
        self._attempt.has_fallback = bool(self._left)

    @property
    def turn(self) -> Turn:
        return self._lease_guard.claim.turn

    @property
    def run_started(self) -> bool:
        """Whether the turn may have reached an assistant."""
        return self._attempt.run_started or bool(self._ending)

    @property
    def shown(self) -> str:
        """The text that was shown so far."""
        return self._said_before + self._attempt.preview.shown

    @property
    def approval_seconds(self) -> float:
        """How long people may take to decide about a call of the assistant's tools."""
        return self._running.runner.approval_seconds

    async def run_calls(self, calls: Sequence[HeldCall]) -> AsyncGenerator[ToolCall, None]:
        """Runs held calls of the assistant's tools, all at once, and shows them; yields each that is done."""
        async with aclosing(self._running.runner.run_calls(self.turn, calls)) as events:
            async for event in events:
                self._emit(event)
                if event.done:
                    yield event

    def begin(self) -> None:
        """Says that nothing was sent to the assistant since the turn waited: it need not look for what it got."""
        self._attempt.run_started = False

    def go_on_after(self, said: str, *, is_shown: bool) -> None:
        """Shows what the assistant said before the turn waited, as its reply begins so. ``is_shown``: whoever waits has
        seen it.
        """
        self._said_before = f"{said}\n\n"
        self._emit(TextDelta("\n\n" if is_shown else self._said_before))

    async def run(self) -> RunCompleted:
        """Returns the reply. Raises AssistantError, RunPostponed, LeaseLost."""
        if self.turn.message.kind is not MessageKind.PROMPT:
            return await self._commands.reply(self._lease_guard)
        while True:
            try:
                return await self._running.runner.run_turn(self._attempt)
            except UNAVAILABLE as exc:
                following = self._acquire_next() if self._attempt.may_fall_back else None
                if following is None:
                    raise
                await self._pass_on(following, exc)

    def _acquire_next(self) -> RunningAssistant | None:
        while self._left:
            found = self._assistants.acquire(self._left.pop(0))
            if found is not None:
                return found
        return None

    async def _pass_on(self, following: RunningAssistant, exc: AssistantError) -> None:
        """Has another assistant asked. Its name is stored first, so that whoever repeats the turn asks the same one."""
        before = self._running
        detail = f"{following.name}; {before.name}: {exc.code}"
        try:
            write = partial(ReassignTurn, assistant=following.name, detail=detail)
            turn = await self._lease_guard.write(write)
        except BaseException:
            self._assistants.release(following)
            raise
        about = {"assistant": before.name, "to": following.name, "code": exc.code}
        self._metrics.passed_on(turn.message.key.platform, before.name, exc.code)
        log.warning("turn passed on to another assistant", turn=turn.id, **about, error=str(exc))
        # In a new context: the lease on the conversation may be gone before it is done.
        self._ending.append(asyncio.create_task(self._end(before, self._attempt), context=Context()))
        self._running = following
        self._attempt = following.runner.attempt(self._lease_guard, self._emit, self._load, is_in_place=True)
        self._attempt.has_fallback = bool(self._left)
        if turn.state is TurnState.CANCELLED:  # no other process, or no event of one, has told us
            raise asyncio.CancelledError

    async def _end(self, before: RunningAssistant, attempt: RunAttempt) -> AttemptUsage:
        """Stops what an assistant may still do for the turn; returns what it used."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await before.runner.stop(attempt)
            return await before.runner.usage.of_attempt(attempt)
        finally:
            self._assistants.release(before)

    async def stop(self) -> None:
        """Cancels the run at the backend, if one may have started. Failures are logged and ignored."""
        await self._running.runner.stop(self._attempt)

    async def usage(self) -> AttemptUsage:
        """Returns what all assistants used so far for the turn. Raises nothing but CancelledError."""
        before = [await each for each in self._ending]
        used = await self._running.runner.usage.of_attempt(self._attempt)
        if not before:
            return used
        return AttemptUsage(
            tuple(one for each in (*before, used) for one in each.by_model),
            any(each.is_estimate for each in (*before, used)),
        )

    async def usage_before(self) -> AttemptUsage:
        """Returns what the attempts before this one used, where this one does not go on. Raises as ``usage``."""
        used = await self._running.runner.usage.of_abandoned(self.turn, self._lease_guard.claim.conversation)
        return used or AttemptUsage()

    def keep(self) -> None:
        """Has ``close`` be called once more before the assistant may be closed."""
        self._assistants.keep(self._running)

    def close(self) -> None:
        self._assistants.release(self._running)
