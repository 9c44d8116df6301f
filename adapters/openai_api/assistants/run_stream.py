"""The events of a run: platform.openai.com/docs/api-reference/assistants-streaming/events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.openai_api.assistants.message_view import reply_message
from adapters.openai_api.assistants.run_view import call_step, reply_step, run_view, status_of, step_view
from adapters.openai_api.errors import error_body, error_form
from adapters.openai_api.ids import reply_of, step_of
from gateway import logs
from gateway.domain.errors import GatewayError
from gateway.domain.models import Turn
from gateway.domain.run_events import TextDelta, ToolCall
from gateway.web.api import problems
from gateway.web.api.turn_events import PING, TurnUpdates, sse_event

Item = dict[str, Any]
DONE = "event: done\ndata: [DONE]\n\n"
CODE_INTERPRETER = "code_interpreter"
STILL_RUNNING = "The run goes on, but nothing came of it for too long. Retrieve it by its id."

log = logs.get_logger(__name__)


@dataclass
class RunStream:
    """Follows one run from its creation, or from where its caller has brought outputs."""

    turn: Turn
    ping_seconds: float
    text: str = ""
    """What was sent of the reply."""
    has_message: bool = False
    hosted: dict[str, int] = field(default_factory=dict)
    """The numbers of the hosted tools' calls, by their ids."""

    async def events(self, first: Sequence[str], updates: TurnUpdates) -> AsyncIterator[str]:
        """``first``: names of the run's events at the beginning. An exception on the way becomes ``error``."""
        for name in first:
            status = name.rpartition(".")[2].replace("created", "queued")
            yield sse_event({**run_view(self.turn), "status": status}, name)
        try:
            async for part in self._until_result(updates):
                yield part
        except GatewayError as exc:
            yield sse_event(error_form(problems.from_error(exc))[0]["error"], "error")
        except Exception:
            log.exception("stream of a run failed", turn=self.turn.id)
            yield sse_event(error_body(problems.INTERNAL_MESSAGE, 500, code="internal")["error"], "error")
        yield DONE

    async def _until_result(self, updates: TurnUpdates) -> AsyncIterator[str]:
        last_sent_at = time.monotonic()
        ending: Iterator[str] = iter([sse_event(error_body(STILL_RUNNING, 504, code="timed_out")["error"], "error")])
        async for item in updates:  # to its end, since a generator that is left early costs a task
            if isinstance(item, Turn):
                ending = self._ending(item)
                continue
            if isinstance(item, TextDelta):
                for part in self._add(item.text):
                    yield part
            elif isinstance(item, ToolCall):
                for part in self._hosted(item):
                    yield part
            elif time.monotonic() - last_sent_at < self.ping_seconds:
                continue
            else:
                yield PING
            last_sent_at = time.monotonic()
        for part in ending:
            yield part

    # ------------------------------------------------------------ the reply

    def _add(self, text: str) -> Iterator[str]:
        if not self.has_message:
            self.has_message = True
            step = {**reply_step(self.turn), "status": "in_progress", "usage": None, "completed_at": None}
            begun = {**reply_message(self.turn, text=""), "content": []}
            yield sse_event(step, "thread.run.step.created")
            yield sse_event(step, "thread.run.step.in_progress")
            yield sse_event(begun, "thread.message.created")
            yield sse_event(begun, "thread.message.in_progress")
        self.text += text
        part = {"index": 0, "type": "text", "text": {"value": text, "annotations": []}}
        delta = {"id": reply_of(self.turn.id), "object": "thread.message.delta", "delta": {"content": [part]}}
        yield sse_event(delta, "thread.message.delta")

    def _ending(self, turn: Turn) -> Iterator[str]:
        status = status_of(turn)
        if status == "requires_action":
            yield from self._close_message(turn, turn.rounds[-1].text)
            yield from self._calls(turn)
        else:
            yield from self._close_message(turn, turn.reply)
        yield sse_event(run_view(turn), f"thread.run.{status}")

    def _close_message(self, turn: Turn, text: str) -> Iterator[str]:
        if text.startswith(self.text) and text != self.text:
            yield from self._add(text[len(self.text) :])  # so that all deltas together are the reply
        if not self.has_message:
            return
        message = reply_message(turn) if turn.reply else {**reply_message(turn, text=text or self.text)}
        is_whole = status_of(turn) in ("completed", "requires_action")
        if is_whole:
            message = {**message, "status": "completed", "completed_at": message["created_at"]}
        else:
            message = {**message, "status": "incomplete", "incomplete_at": message["created_at"]}
            message["incomplete_details"] = message["incomplete_details"] or {"reason": _reason(turn)}
        yield sse_event(message, f"thread.message.{'completed' if is_whole else 'incomplete'}")
        step = reply_step(turn)
        if status_of(turn) == "requires_action":
            step = {**step, "status": "completed", "completed_at": message["created_at"]}
        yield sse_event(step, f"thread.run.step.{step['status']}")

    # ------------------------------------------------------------ calls

    def _calls(self, turn: Turn) -> Iterator[str]:
        """Yields the step with the calls that the caller is to run."""
        step = call_step(turn, len(turn.rounds) - 1)
        details = step["step_details"]
        yield sse_event({**step, "step_details": {**details, "tool_calls": []}}, "thread.run.step.created")
        yield sse_event({**step, "step_details": {**details, "tool_calls": []}}, "thread.run.step.in_progress")
        for number, call in enumerate(details["tool_calls"]):
            opened = {**call["function"], "arguments": ""}
            yield _step_delta(step["id"], [{"index": number, **call, "function": opened}])
            more = {"index": number, "type": "function", "function": {"arguments": call["function"]["arguments"]}}
            yield _step_delta(step["id"], [more])

    def _hosted(self, call: ToolCall) -> Iterator[str]:
        """Yields what a tool of the server does, as far as the API has a form for it."""
        if call.name != CODE_INTERPRETER:
            return
        name = step_of(self.turn.id, 1000 + self.hosted.setdefault(call.call_id, len(self.hosted)))
        outputs = [{"type": "logs", "logs": call.output}] if call.output else []
        shown = {
            "id": call.call_id,
            "type": CODE_INTERPRETER,
            CODE_INTERPRETER: {"input": call.input, "outputs": outputs},
        }
        details = {"type": "tool_calls", "tool_calls": [shown] if call.done else []}
        at = int(self.turn.started_at or self.turn.received_at)
        if not call.done:
            step = step_view(self.turn, name, details, "in_progress", at, None)
            yield sse_event(step, "thread.run.step.created")
            yield sse_event(step, "thread.run.step.in_progress")
            yield _step_delta(name, [_delta_of({**shown, CODE_INTERPRETER: {"input": "", "outputs": []}})])
            if call.input:  # the SDK's handler hears of a call first, and of what follows as its deltas
                yield _step_delta(name, [_delta_of(shown)])
            return
        if outputs:
            yield _step_delta(name, [_delta_of({**shown, CODE_INTERPRETER: {"outputs": outputs}})])
        yield sse_event(step_view(self.turn, name, details, "completed", at, at), "thread.run.step.completed")


def _delta_of(call: Item) -> Item:
    code = call[CODE_INTERPRETER]
    numbered = [{"index": number, **each} for number, each in enumerate(code["outputs"])]
    return {"index": 0, **call, CODE_INTERPRETER: {**code, "outputs": numbered}}


def _step_delta(step: str, calls: Sequence[Item]) -> str:
    delta = {"step_details": {"type": "tool_calls", "tool_calls": calls}}
    return sse_event({"id": step, "object": "thread.run.step.delta", "delta": delta}, "thread.run.step.delta")


def _reason(turn: Turn) -> str:
    reasons = {"cancelled": "run_cancelled", "expired": "run_expired", "incomplete": "max_tokens"}
    return reasons.get(status_of(turn), "run_failed")
