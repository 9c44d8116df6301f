"""A run of the Assistants API, and its simulation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_messages import EventLog, FileUpload, Json
from tests.fakes.openai_script import (
    Act,
    ActiveStep,
    CallTool,
    Expire,
    Fail,
    Hang,
    HostedTool,
    Incomplete,
    MakeFile,
    MakeImage,
    Say,
    count_tokens,
)
from tests.fakes.openai_state import FakeOpenAIState, timestamp, token_usage
from tests.fakes.openai_threads import ACTIVE_STATUSES, StoredMessage, StoredThread

LIFETIME_SECONDS = 600
"""Seconds until a run expires, as shown in ``expires_at``."""
TIMESTAMP_FIELDS = {
    "cancelled": "cancelled_at",
    "completed": "completed_at",
    "failed": "failed_at",
    "incomplete": "completed_at",
}
TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."


@dataclass
class FakeRun:
    id: str
    thread: StoredThread
    assistant: Json
    body: Json
    metadata: dict[str, str]
    created_at: int
    event_log: EventLog | None = None
    status: str = "queued"
    timestamps: dict[str, int] = field(default_factory=dict)
    last_error: Json | None = None
    incomplete_reason: str | None = None
    pending_calls: list[Json] = field(default_factory=list)
    """Function calls without output."""
    steps: list[Json] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    texts: list[str] = field(default_factory=list)
    file_annotations: list[Json] = field(default_factory=list)
    """Annotations of the files made so far."""
    image_parts: list[Json] = field(default_factory=list)
    """Image parts for the next message."""

    @property
    def instructions(self) -> str:
        own = self.body.get("instructions") or self.assistant["instructions"] or ""
        more = self.body.get("additional_instructions")
        return f"{own}\n{more}" if more else own

    @property
    def tokens_in(self) -> int:
        return count_tokens(self.instructions, *self.thread.texts)

    def set_status(self, status: str) -> None:
        """Sets the status and emits its event."""
        self.status = status
        if status == "in_progress":
            self.timestamps.setdefault("started_at", timestamp())
        if status in TIMESTAMP_FIELDS:
            self.timestamps[TIMESTAMP_FIELDS[status]] = timestamp()
        if status not in ACTIVE_STATUSES:
            self.thread.active_run = None
        self.emit(f"thread.run.{status}")

    def emit(self, name: str, data: Json | None = None) -> None:
        if self.event_log is not None:
            self.event_log.put(name, self.to_json() if data is None else data)

    def end_stream(self) -> None:
        if self.event_log is not None:
            self.event_log.put("done", "[DONE]")
            self.event_log.close()
            self.event_log = None

    def add_outputs(self, outputs: dict[str, Any]) -> None:
        """Adds the outputs of the pending calls; the run is queued again."""
        step = self.steps[-1]
        for call in step["step_details"]["tool_calls"]:
            call["function"]["output"] = outputs[call["id"]] or ""
        self.end_step(step, "completed")
        self.pending_calls = []
        self.status = "queued"

    def end_step(self, step: Json, status: str, error: Json | None = None) -> None:
        step["status"] = status
        step[f"{status}_at"] = timestamp()
        step["last_error"] = error
        step["usage"] = token_usage(self.tokens_in, count_tokens(*self.texts))
        self.emit(f"thread.run.step.{status}", step)

    def to_json(self) -> Json:
        body, assistant = self.body, self.assistant
        return {
            "id": self.id,
            "object": "thread.run",
            "created_at": self.created_at,
            "assistant_id": assistant["id"],
            "thread_id": self.thread.id,
            "status": self.status,
            "started_at": self.timestamps.get("started_at"),
            "expires_at": self.created_at + LIFETIME_SECONDS if self.status in ACTIVE_STATUSES else None,
            "cancelled_at": self.timestamps.get("cancelled_at"),
            "failed_at": self.timestamps.get("failed_at"),
            "completed_at": self.timestamps.get("completed_at"),
            "required_action": self._required_action(),
            "last_error": self.last_error,
            "model": body.get("model") or assistant["model"],
            "instructions": self.instructions,
            "tools": assistant["tools"] if body.get("tools") is None else body["tools"],
            "tool_resources": {},
            "metadata": self.metadata,
            "temperature": body.get("temperature", 1.0),
            "top_p": body.get("top_p", 1.0),
            "max_completion_tokens": body.get("max_completion_tokens"),
            "max_prompt_tokens": body.get("max_prompt_tokens"),
            "truncation_strategy": body.get("truncation_strategy") or {"type": "auto", "last_messages": None},
            "incomplete_details": {"reason": self.incomplete_reason} if self.incomplete_reason else None,
            "usage": None if self.status in ACTIVE_STATUSES else token_usage(self.tokens_in, count_tokens(*self.texts)),
            "response_format": body.get("response_format", "auto"),
            "tool_choice": body.get("tool_choice", "auto"),
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
        }

    def _required_action(self) -> Json | None:
        if self.status != "requires_action":
            return None
        calls = [
            {"id": call["id"], "type": "function", "function": {k: call["function"][k] for k in ("name", "arguments")}}
            for call in self.pending_calls
        ]
        return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}


class RunSimulator:
    """Simulates the model: plays one step of the script each time a run calls the model."""

    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state

    def start(self, run: FakeRun) -> None:
        run.task = asyncio.create_task(self._play(run))
        run.task.add_done_callback(lambda task: self._finish(run, task))

    async def _play(self, run: FakeRun) -> None:
        self._set_status(run, "in_progress")
        await self._state.think_pause()
        await self._play_step(run)

    def _finish(self, run: FakeRun, task: asyncio.Task[None]) -> None:
        # Not inside the task, as a task that is cancelled before it starts never runs.
        if task.cancelled():
            self.cancelled(run)
        elif error := task.exception():
            self._fail(run, Fail("server_error", str(error)))
        run.end_stream()

    def cancelled(self, run: FakeRun) -> None:
        """Ends a run that was cancelled."""
        self._end_open_steps(run, "cancelled")
        self._set_status(run, "cancelled")

    def _set_status(self, run: FakeRun, status: str) -> None:
        run.set_status(status)
        self._state.request_log.notify()

    async def _play_step(self, run: FakeRun) -> None:
        limit = self._state.context_tokens
        if limit is not None and run.tokens_in > limit:
            self._fail(run, Fail("invalid_prompt", TOO_LONG))
            return
        taken = self._state.next_step()
        calls = [act for act in taken.acts if isinstance(act, CallTool)]
        for act in taken.acts:
            if not isinstance(act, CallTool):
                await self._act(run, act, taken)
            if run.status != "in_progress":
                return
        if calls:
            self._require_outputs(run, calls)
        else:
            self._set_status(run, "completed")

    async def _act(self, run: FakeRun, act: Act, step: ActiveStep) -> None:
        match act:
            case Say():
                await self._say(run, act, step)
            case Hang():
                await step.wait_for_release()
            case HostedTool():
                self._use_hosted_tool(run, act)
            case MakeFile():
                self._make_file(run, act)
            case MakeImage():
                name, _ = self._state.add_file(FileUpload("/mnt/data/plot.png", act.content), "assistants_output")
                run.image_parts.append({"type": "image_file", "image_file": {"file_id": name}})
            case Fail():
                self._fail(run, act)
            case Incomplete():
                reasons = {"content_filter": None, "max_output_tokens": "max_completion_tokens"}
                run.incomplete_reason = reasons.get(act.reason, act.reason)
                self._end_open_steps(run, "completed")
                self._set_status(run, "incomplete")
            case Expire():
                self.expire(run)

    def expire(self, run: FakeRun) -> None:
        self._end_open_steps(run, "expired")
        self._set_status(run, "expired")

    def _fail(self, run: FakeRun, act: Fail) -> None:
        run.last_error = {"code": act.code, "message": act.message}
        self._end_open_steps(run, "failed")
        self._set_status(run, "failed")

    def _end_open_steps(self, run: FakeRun, status: str) -> None:
        """Ends the open steps of a run that did not complete."""
        run.pending_calls = []
        error = run.last_error if status == "failed" else None
        if error is not None and error["code"] == "invalid_prompt":
            error = {**error, "code": "server_error"}  # a step has no other code
        for step in run.steps:
            if step["status"] == "in_progress":
                run.end_step(step, status, error)

    def _require_outputs(self, run: FakeRun, calls: list[CallTool]) -> None:
        run.pending_calls = [
            {
                "id": self._state.new_id("call"),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json, "output": None},
            }
            for call in calls
        ]
        step = self._add_step(run, {"type": "tool_calls", "tool_calls": []})
        step["step_details"]["tool_calls"] = run.pending_calls
        self._emit_step_delta(run, step, [{"index": index, **call} for index, call in enumerate(run.pending_calls)])
        self._set_status(run, "requires_action")

    # ------------------------------------------------------------ messages

    async def _say(self, run: FakeRun, say: Say, step: ActiveStep) -> None:
        text = self._state.reply_text(say, run.thread.prompt)
        message = self._open_message(run)
        run_step = self._add_step(run, {"type": "message_creation", "message_creation": {"message_id": message.id}})
        run.emit("thread.message.created", message.to_json())
        run.emit("thread.message.in_progress", message.to_json())
        said: list[str] = []
        try:
            async for piece in self._state.deltas(say, text, step):
                said.append(piece)
                run.emit("thread.message.delta", _message_delta(message, piece, refusal=say.refusal))
        except asyncio.CancelledError:
            self._close_message(run, message, "".join(said), "run_cancelled")
            raise
        if run.image_parts or run.file_annotations:
            run.emit("thread.message.delta", _files_delta(message, run))
        reason = _incomplete_reason(step.abrupt_end_after(say))
        self._close_message(run, message, text, reason, refusal=say.refusal)
        if reason is None:
            run.end_step(run_step, "completed")

    def _open_message(self, run: FakeRun) -> StoredMessage:
        message = StoredMessage(
            self._state.new_id("msg"), run.thread.id, "assistant", [], timestamp(), run_id=run.id, status="in_progress"
        )
        message.assistant_id = run.assistant["id"]
        run.thread.messages.append(message)
        return message

    def _close_message(
        self, run: FakeRun, message: StoredMessage, text: str, reason: str | None, *, refusal: bool = False
    ) -> None:
        run.texts.append(text)
        if refusal:
            message.content = [{"type": "refusal", "refusal": text}]
        else:
            spoken = (
                [{"type": "text", "text": {"value": text, "annotations": list(run.file_annotations)}}] if text else []
            )
            message.content, run.image_parts = [*run.image_parts, *spoken], []
        message.status = "incomplete" if reason else "completed"
        message.incomplete_reason = reason
        if reason:
            message.incomplete_at = timestamp()
        else:
            message.completed_at = timestamp()
        run.emit(f"thread.message.{message.status}", message.to_json())

    # ------------------------------------------------------------ steps

    def _add_step(self, run: FakeRun, details: Json) -> Json:
        step: Json = {
            "id": self._state.new_id("step"),
            "object": "thread.run.step",
            "created_at": timestamp(),
            "run_id": run.id,
            "assistant_id": run.assistant["id"],
            "thread_id": run.thread.id,
            "type": details["type"],
            "status": "in_progress",
            "cancelled_at": None,
            "completed_at": None,
            "expired_at": None,
            "failed_at": None,
            "last_error": None,
            "step_details": details,
            "usage": None,
        }
        run.steps.append(step)
        run.emit("thread.run.step.created", step)
        run.emit("thread.run.step.in_progress", step)
        return step

    def _emit_step_delta(self, run: FakeRun, step: Json, tool_calls: list[Json]) -> None:
        details = {"type": "tool_calls", "tool_calls": tool_calls}
        data = {"id": step["id"], "object": "thread.run.step.delta", "delta": {"step_details": details}}
        run.emit("thread.run.step.delta", data)

    def _make_file(self, run: FakeRun, act: MakeFile) -> None:
        name, _ = self._state.add_file(FileUpload(act.name, act.content), "assistants_output")
        note = {"type": "file_path", "text": f"sandbox:/mnt/data/{act.name}", "file_path": {"file_id": name}}
        run.file_annotations.append({**note, "start_index": 0, "end_index": 0})

    def _use_hosted_tool(self, run: FakeRun, act: HostedTool) -> None:
        """Uses the code interpreter or file search. Ignores web search, which this API does not have."""
        if act.name == "web_search":
            return
        name = self._state.new_id("call")
        step = self._add_step(run, {"type": "tool_calls", "tool_calls": []})
        if act.name == "code_interpreter":
            logs = [{"type": "logs", "logs": act.output}] if act.output else []
            call = {"id": name, "type": act.name, act.name: {"input": act.input, "outputs": logs}}
            head = {"index": 0, "id": name, "type": act.name}
            self._emit_step_delta(run, step, [{**head, act.name: {"input": act.input, "outputs": []}}])
            indexed = [{"index": index, **log} for index, log in enumerate(logs)]
            self._emit_step_delta(run, step, [{"index": 0, "type": act.name, act.name: {"outputs": indexed}}])
        else:
            call = {"id": name, "type": act.name, act.name: {"results": []}}
            self._emit_step_delta(run, step, [{"index": 0, "id": name, "type": act.name, act.name: {}}])
        step["step_details"]["tool_calls"] = [call]
        run.end_step(step, "completed")


def _incomplete_reason(end: Fail | Incomplete | Expire | None) -> str | None:
    """Returns the API's reason for a message that is interrupted by this act; None if it is complete."""
    match end:
        case Fail():
            return "run_failed"
        case Expire():
            return "run_expired"
        case Incomplete(reason):
            return "content_filter" if reason == "content_filter" else "max_tokens"
    return None


def _files_delta(message: StoredMessage, run: FakeRun) -> Json:
    notes = [{"index": index, **note} for index, note in enumerate(run.file_annotations)]
    text = {"index": 0, "type": "text", "text": {"annotations": notes}}
    content = [text, *({"index": index, **image} for index, image in enumerate(run.image_parts, 1))]
    return {"id": message.id, "object": "thread.message.delta", "delta": {"content": content}}


def _message_delta(message: StoredMessage, piece: str, *, refusal: bool) -> Json:
    if refusal:
        part: Json = {"index": 0, "type": "refusal", "refusal": piece}
    else:
        part = {"index": 0, "type": "text", "text": {"value": piece}}
    return {"id": message.id, "object": "thread.message.delta", "delta": {"content": [part]}}
