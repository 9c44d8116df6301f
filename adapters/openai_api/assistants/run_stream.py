"""The events of a run: platform.openai.com/docs/api-reference/assistants-streaming/events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.openai_api.assistants.message_view import refusal_part, reply_message, text_part
from adapters.openai_api.assistants.run_view import call_step, reply_step, run_view, status_of, step_view
from adapters.openai_api.errors import error_body, error_form
from adapters.openai_api.ids import reply_of, step_of
from adapters.openai_api.outcome import unsent
from gateway.domain.models import Turn
from gateway.domain.run_events import ToolCall
from gateway.web.api.event_stream import TurnWriter, sse_event
from gateway.web.api.problems import JsonResponse

Item = dict[str, Any]
DONE = "event: done\ndata: [DONE]\n\n"
CODE_INTERPRETER = "code_interpreter"
STILL_RUNNING = "The run goes on, but nothing came of it for too long. Retrieve it by its id."


@dataclass
class RunStream(TurnWriter):
    """Writes the events of one run from its creation, or from where its caller has brought outputs."""

    turn: Turn
    first: Sequence[str]
    """The names of the run's events at the beginning."""
    thread: Item | None = None
    """The thread that was made with it."""
    text: str = ""
    """What was sent of the reply."""
    has_message: bool = False
    parts: list[str] = field(default_factory=list)
    """The types of the parts that were begun: a text, a refusal."""
    hosted: dict[str, int] = field(default_factory=dict)
    """The numbers of the hosted tools' calls, by their ids."""

    def begin(self) -> Iterator[str]:
        if self.thread is not None:
            yield sse_event(self.thread, "thread.created")
        for name in self.first:
            status = name.rpartition(".")[2].replace("created", "queued")
            yield sse_event({**run_view(self.turn), "status": status}, name)

    def on_silence(self, turn: Turn) -> Iterator[str]:  # noqa: ARG002  # it says nothing of the turn
        return self._error(error_body(STILL_RUNNING, 504, code="timed_out"))

    def on_problem(self, problem: JsonResponse) -> Iterator[str]:
        return self._error(error_form(problem)[0])

    def _error(self, body: Item) -> Iterator[str]:
        yield sse_event(body["error"], "error")
        yield DONE

    # ------------------------------------------------------------ the reply

    def on_text(self, text: str) -> Iterator[str]:
        return self._write(text, text_part(text))

    def on_refusal(self, text: str) -> Iterator[str]:
        return self._write(text, refusal_part(text))

    def _write(self, text: str, part: Item) -> Iterator[str]:
        if not self.has_message:
            self.has_message = True
            step = {**reply_step(self.turn), "status": "in_progress", "usage": None, "completed_at": None}
            begun = {**reply_message(self.turn, text=""), "content": []}
            yield sse_event(step, "thread.run.step.created")
            yield sse_event(step, "thread.run.step.in_progress")
            yield sse_event(begun, "thread.message.created")
            yield sse_event(begun, "thread.message.in_progress")
        self.text += text
        if part["type"] not in self.parts:
            self.parts.append(part["type"])
        content = [{"index": self.parts.index(part["type"]), **part}]
        delta = {"id": reply_of(self.turn.id), "object": "thread.message.delta", "delta": {"content": content}}
        yield sse_event(delta, "thread.message.delta")

    def on_end(self, turn: Turn, sent: str) -> Iterator[str]:  # noqa: ARG002  # ``text`` is without an earlier attempt's
        status = status_of(turn)
        if status == "requires_action":
            said = turn.rounds[-1].text
            if said.startswith(self.text) and said != self.text:
                yield from self.on_text(said[len(self.text) :])
            yield from self._close_message(turn, said)
            yield from self._calls(turn)
        else:
            text, refusal = unsent(turn, self.text)  # so that all deltas together are the reply
            yield from self.on_text(text) if text else ()
            yield from self.on_refusal(refusal) if refusal else ()
            yield from self._close_message(turn, turn.reply)
        yield sse_event(run_view(turn), f"thread.run.{status}")
        yield DONE

    def _close_message(self, turn: Turn, text: str) -> Iterator[str]:
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

    def on_tool(self, call: ToolCall) -> Iterator[str]:
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
