"""Adds up what an attempt at a turn used at the assistant, however it ends: as counted there, else as an estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.domain.errors import AssistantError, AssistantRateLimited, AssistantRefused, ThreadBusy, ThreadMissing
from gateway.domain.models import NO_TOKENS, RunId, Usage
from gateway.domain.run_events import (
    REASONING,
    CallsHeld,
    RunCompleted,
    RunEvent,
    RunStarted,
    TextDelta,
    ToolCall,
    UsageCounted,
)
from gateway.policy.request_estimate import UNSEEN_REPLY_TOKENS
from gateway.policy.token_estimate import text_tokens
from gateway.ports.budgets import ModelUsage


@dataclass(slots=True)
class _Round:
    """One request to the model: what it wrote, and what the next request carries beyond that."""

    written: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Call:
    """One call of ``run`` or ``resume``."""

    run_id: RunId | None
    """The newest run."""
    is_open: bool = True
    """Whether a request may have been sent whose tokens were not counted."""
    has_started: bool = False
    counted: dict[RunId, ModelUsage] = field(default_factory=dict)
    beside: dict[RunId, ModelUsage] = field(default_factory=dict)
    """Counted requests of other models, which ``total`` does not contain."""
    total: ModelUsage | None = None
    counted_before: int | None = None
    """The tokens of the last counted request and its reply, which the next request carries."""
    rounds: list[_Round] = field(default_factory=lambda: [_Round()])
    running_tools: int = 0

    def add(self, event: RunEvent) -> None:
        match event:
            case RunStarted():
                self.run_id, self.has_started, self.is_open = event.run_id, True, True
            case TextDelta():
                self._add_text(event.text)
            case ToolCall():
                self._add_tool_call(event)
            case UsageCounted(beside=True):
                self.beside[event.run_id] = ModelUsage(event.model, event.usage)
            case UsageCounted():
                self.counted[event.run_id] = ModelUsage(event.model, event.usage)
                self.counted_before = event.usage.tokens_in + event.usage.tokens_out
                self.rounds, self.run_id, self.is_open = [_Round()], None, False
            case RunCompleted() | CallsHeld():
                if event.usage != NO_TOKENS:
                    self.total = ModelUsage(event.model, event.usage)
                self.is_open = self.total is None and not self.counted  # some servers do not count

    def fail(self, error: AssistantError) -> None:
        if error.usage not in (None, sum((each.usage for each in self.counted.values()), NO_TOKENS)):
            self.total, self.is_open = ModelUsage(error.model, error.usage), False
        elif isinstance(error, AssistantRateLimited | ThreadBusy) or not self.has_started:
            self.is_open = False  # rejected, or nothing is known to have run
        elif self.counted and isinstance(error, AssistantRefused | ThreadMissing):
            self.is_open = False  # the requests before were counted, and this one was rejected
        self.rounds[-1].written.append(error.partial_text)

    def _add_text(self, text: str) -> None:
        self.has_started = True
        if self.rounds[-1].outputs:
            self._end_round()
        if self.is_open:  # else the text is counted already
            self.rounds[-1].written.append(text)

    def _add_tool_call(self, call: ToolCall) -> None:
        if call.name == REASONING:
            if self.is_open:  # else it is counted already
                self.rounds[-1].written.append(call.output)
            return
        if call.done:
            self.rounds[-1].outputs.append(call.output)
            self.running_tools -= 1
            self.is_open = self.is_open or self.running_tools <= 0  # the outputs are sent
            return
        self._end_round()
        self.running_tools += 1
        if self.is_open:  # else the call is counted already
            self.rounds[-1].written.append(call.name + call.input)

    def _end_round(self) -> None:
        """Begins another round if outputs were sent since the last one began."""
        if self.rounds[-1].outputs and not self.running_tools:
            self.rounds.append(_Round())

    def estimate(self, request_tokens: int) -> Usage:
        """Returns the tokens of the requests that were not counted."""
        carried = request_tokens if self.counted_before is None else self.counted_before
        used = NO_TOKENS
        for number, each in enumerate(self.rounds):
            written, outputs = text_tokens("".join(each.written)), text_tokens("\n".join(each.outputs))
            if number > 0 or self.counted_before is None:
                used += Usage(carried, written)
            carried += written + outputs
        is_sent = self.rounds[-1].outputs and not self.running_tools
        return used + Usage(carried, 0) if is_sent else used


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run, or a request without one, whose tokens are not known."""

    run_id: RunId | None
    estimate: Callable[[int], Usage]
    """Returns its tokens, given those of the turn's first request."""


class UsageMeter:
    """The calls of one attempt at a turn. Used by the assistant runner."""

    def __init__(self, lost_runs: Sequence[RunId | None] = ()) -> None:
        """``lost_runs``: those of earlier attempts, whose processes died, that nothing continues; None: without id."""
        self._calls: list[_Call] = []
        self._lost = lost_runs
        self._looked_up: dict[RunId, ModelUsage] = {}

    def begin_call(self, resumed: RunId | None) -> None:
        """Called before each call of ``run``, or of ``resume`` with the id of an earlier run."""
        self._calls.append(_Call(resumed, has_started=resumed is not None))

    def add(self, event: RunEvent) -> None:
        """Called with each event."""
        call = self._calls[-1]
        if isinstance(event, RunStarted) and call.run_id not in (None, event.run_id, *call.counted):
            self._calls.insert(-1, _Call(call.run_id))  # the run that was to be resumed is not continued
        call.add(event)

    def fail(self, error: AssistantError) -> None:
        """Called when a call raised."""
        if self._calls:
            self._calls[-1].fail(error)

    def is_used(self) -> bool:
        """Returns whether the assistant was called."""
        return bool(self._calls or self._lost)

    def used_nothing(self) -> bool:
        """Returns whether all calls were rejected before anything ran: another attempt need not know of them."""
        return not self.open_runs() and not any(self.counted())

    def may_have_open_runs(self) -> bool:
        """Returns whether it is worth to look for them. After most turns there is none."""
        return bool(self._lost) or any(call.is_open for call in self._calls)

    def set_looked_up(self, run_id: RunId, found: UsageCounted) -> None:
        """Counts an open run by what the server says of it."""
        self._looked_up[run_id] = ModelUsage(found.model, found.usage)

    def open_runs(self) -> Sequence[OpenRun]:
        """Returns what was neither counted nor looked up, each run once."""
        closed = {*self._looked_up}.union(*(call.counted for call in self._calls))
        closed |= {call.run_id for call in self._calls if call.total is not None and call.run_id is not None}
        runs: dict[object, OpenRun] = {}
        for call in self._calls:
            if call.is_open and call.run_id not in closed:
                runs[call.run_id or id(call)] = OpenRun(call.run_id, call.estimate)
        lost = (OpenRun(run, _unseen) for run in self._lost if run not in closed)
        return [*runs.values(), *lost]

    def counted(self) -> Iterator[ModelUsage]:
        """Yields what the server counted."""
        runs: dict[RunId, ModelUsage] = dict(self._looked_up)
        for call in self._calls:
            if call.total is not None:
                yield call.total
            else:
                runs |= call.counted
            runs |= call.beside
        yield from runs.values()


def _unseen(request_tokens: int) -> Usage:
    return Usage(request_tokens, UNSEEN_REPLY_TOKENS)
