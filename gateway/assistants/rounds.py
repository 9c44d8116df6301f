"""The rounds of a turn, for every backend that asks a server: each posts one request and reads what comes of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.assistants.requests.transcription import Transcripts
from gateway.assistants.tool_calls import MAX_ROUNDS
from gateway.domain.errors import AssistantError, TooManyRounds
from gateway.domain.models import NO_TOKENS, Usage
from gateway.domain.run_events import RunEvent, UsageCounted

R = TypeVar("R")
"""What a backend posts in a round."""


@dataclass(frozen=True, slots=True)
class NextRequest(Generic[R]):
    """The last event of a round that ended neither with the reply nor with calls that people have to approve."""

    request: R


RoundEvents = AsyncGenerator[RunEvent | NextRequest[R], None]


class RunState(Protocol):
    """What a backend knows of a turn during one call of run or resume."""

    transcripts: Transcripts
    usage: Usage

    @property
    def model(self) -> str:
        """The model that answered, as the server names it."""
        ...

    def count_usage(self) -> UsageCounted | None:
        """Adds the tokens of the newest request. Returns the event for them; None without any, or if counted."""
        ...


State_contra = TypeVar("State_contra", bound=RunState, contravariant=True)


class PlaysRounds(Protocol[State_contra, R]):
    """The part of a backend that knows its server's protocol."""

    def play_round(self, state: State_contra, request: R) -> RoundEvents[R]:
        """Posts a request, yields its events, and runs the calls in its answer. The last event is RunCompleted,
        CallsHeld or NextRequest.
        """
        ...

    async def request_after(self, state: State_contra, request: R, error: AssistantError) -> R:
        """Returns what to post after an error in place of the request. Raises the error that the turn ends with if
        there is nothing.
        """
        ...


async def run_in_rounds(
    backend: PlaysRounds[State_contra, R], state: State_contra, begin: Callable[[], Awaitable[R]]
) -> AsyncGenerator[RunEvent, None]:
    """Yields the events of a turn, round by round, until one ends it. ``begin``: returns the first request.

    An error says what the turn cost.
    """
    request, rounds = await begin(), 0
    for heard in state.transcripts.take_counted():
        yield heard
    try:
        while rounds < MAX_ROUNDS:
            try:
                async with aclosing(backend.play_round(state, request)) as events:
                    async for event in events:
                        if isinstance(event, NextRequest):
                            request, rounds = event.request, rounds + 1
                            break
                        yield event
                    else:
                        return
            except AssistantError as exc:
                if counted := state.count_usage():
                    yield counted
                request = await backend.request_after(state, request, exc)
        raise TooManyRounds("too many rounds of tools")
    except AssistantError as exc:
        exc.usage, exc.model = None if state.usage == NO_TOKENS else state.usage, state.model
        raise
