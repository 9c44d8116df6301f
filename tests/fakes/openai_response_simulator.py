"""A response of the Responses API, and its simulation event by event."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.fakes.openai_conversations import ID_PREFIXES, FakeConversation, text_of
from tests.fakes.openai_messages import EventLog, FileUpload, Json, encode
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
    PromptMessage,
    Say,
    Think,
    count_tokens,
    split_evenly,
)
from tests.fakes.openai_state import FakeOpenAIState, timestamp

ACTIVE_STATUSES = frozenset({"queued", "in_progress"})


@dataclass
class FakeResponse:
    id: str
    body: Json
    metadata: dict[str, str]
    created_at: int
    input_items: list[Json]
    """The items of this request's input."""
    earlier_items: list[Json]
    """The items before them in the model's input."""
    conversation: FakeConversation | None
    background: bool = False
    status: str = "in_progress"
    output: list[Json] = field(default_factory=list)
    citations: list[Json] = field(default_factory=list)
    """Citations of the files made so far."""
    error: Json | None = None
    incomplete_reason: str | None = None
    completed_at: int | None = None
    event_log: EventLog | None = None
    sequence: int = 0
    task: asyncio.Task[None] | None = None
    cut_after: int | None = None
    """The caller disconnects after this many events."""
    finished_event: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stored(self) -> bool:
        return self.body.get("store") is not False

    @property
    def is_final(self) -> bool:
        return self.status not in ACTIVE_STATUSES

    @property
    def prompt(self) -> list[PromptMessage]:
        messages = (item for item in [*self.earlier_items, *self.input_items] if item["type"] == "message")
        return [PromptMessage(item["role"], text_of(item)) for item in messages]

    def begins_with_call(self, call: CallTool) -> bool:
        """Returns whether the request brings a message, and a function that may be called before it is answered."""
        has_function = any(tool.get("name") == call.name for tool in self.body.get("tools") or [])
        return has_function and any(item["type"] == "message" for item in self.input_items)

    def emit(self, name: str, data: Json) -> None:
        if self.event_log is not None:
            self.event_log.put(name, {"type": name, "sequence_number": self.sequence, **data})
            self.sequence += 1

    def emit_status(self, name: str) -> None:
        if self.event_log is not None:
            self.emit(name, {"response": self.to_json()})

    def error_event(self) -> bytes:
        data = {
            "type": "error",
            "sequence_number": self.sequence,
            "code": "server_error",
            "message": "The server had an error.",
            "param": None,
        }
        return f"event: error\ndata: {encode(data)}\n\n".encode()

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def cancel_if_caller_gone(self) -> None:
        """Cancels a plain response once its caller is known to have disconnected.

        Without this a response that takes no time would complete before its stream is cut.
        """
        if self.background or self.cut_after is None or self.event_log is None:
            return
        if len(self.event_log.events) >= self.cut_after:
            raise asyncio.CancelledError

    def caller_gone(self) -> None:
        """Handles the disconnect of the caller, which cancels a plain response."""
        if not self.background:
            self.stop()

    async def wait_until_final(self) -> None:
        """Waits for the end of the response."""
        try:
            await self.finished_event.wait()
        except asyncio.CancelledError:
            self.caller_gone()
            raise

    def to_json(self) -> Json:
        body = self.body
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": self.status,
            "background": self.background,
            "completed_at": self.completed_at,
            "conversation": {"id": self.conversation.id} if self.conversation else None,
            "error": self.error,
            "incomplete_details": {"reason": self.incomplete_reason} if self.incomplete_reason else None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "max_tool_calls": body.get("max_tool_calls"),
            "model": body["model"],
            "output": self.output,
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": body.get("previous_response_id"),
            "prompt_cache_key": body.get("prompt_cache_key"),
            "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
            "safety_identifier": body.get("safety_identifier"),
            "service_tier": "default",
            "store": self.stored,
            "temperature": body.get("temperature", 1.0),
            "text": body.get("text") or {"format": {"type": "text"}},
            "tool_choice": body.get("tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "top_logprobs": body.get("top_logprobs", 0),
            "top_p": body.get("top_p", 1.0),
            "truncation": body.get("truncation") or "disabled",
            "usage": self._usage(),
            "user": body.get("user"),
            "metadata": self.metadata,
        }

    def _usage(self) -> Json | None:
        if self.status not in {"completed", "incomplete"}:
            return None
        tokens_in = count_tokens(self.body.get("instructions") or "", *(one.text for one in self.prompt))
        tokens_out = count_tokens(*(text_of(item) or item.get("arguments", "") for item in self.output))
        return {
            "input_tokens": tokens_in,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": tokens_out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens_in + tokens_out,
        }


class ResponseSimulator:
    """Simulates the model: plays one step of the script per response."""

    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state

    def start(self, response: FakeResponse) -> None:
        if response.background:
            response.status = "queued"
        response.emit_status("response.created")
        if response.background:
            response.emit_status("response.queued")
        response.task = asyncio.create_task(self._play(response))
        response.task.add_done_callback(lambda task: self._finish(response, task))

    async def _play(self, response: FakeResponse) -> None:
        response.status = "in_progress"
        response.emit_status("response.in_progress")
        self._state.request_log.notify()
        await self._state.think_pause()
        called = self._state.calls_first
        taken = ActiveStep([called]) if called and response.begins_with_call(called) else self._state.next_step()
        for act in taken.acts:
            response.cancel_if_caller_gone()
            await self._act(response, act, taken)
            if response.is_final:
                return
        response.cancel_if_caller_gone()
        self._end(response, "completed")

    def _finish(self, response: FakeResponse, task: asyncio.Task[None]) -> None:
        # Not inside the task, as a task that is cancelled before it starts never runs.
        if task.cancelled():
            for item in response.output:
                if item.get("status") == "in_progress":
                    item["status"] = "incomplete"
            self._end(response, "cancelled")
        elif error := task.exception():
            self._fail(response, Fail("server_error", str(error)))
        if response.event_log is not None:
            response.event_log.close()
            if not response.background:
                response.event_log = None
        response.finished_event.set()

    def _end(self, response: FakeResponse, status: str) -> None:
        response.status = status
        conversation = response.conversation
        if status == "completed":
            response.completed_at = timestamp()
            if conversation is not None:
                conversation.items += [*response.input_items, *response.output]
        if conversation is not None and conversation.locked_by == response.id:
            conversation.locked_by = None
        if status != "cancelled":
            response.emit_status(f"response.{status}")
        self._state.request_log.notify()

    def _fail(self, response: FakeResponse, act: Fail) -> None:
        response.error = {"code": act.code, "message": act.message}
        self._end(response, "failed")

    async def _act(self, response: FakeResponse, act: Act, step: ActiveStep) -> None:
        match act:
            case Say():
                await self._say(response, act, step)
            case CallTool():
                self._call_tool(response, act)
            case HostedTool():
                HOSTED_TOOLS[act.name](self, response, act)
            case MakeFile() | MakeImage():
                self._make_file_or_image(response, act)
            case Think():
                summary = [{"type": "summary_text", "text": act.summary}] if act.summary else []
                is_asked = "reasoning.encrypted_content" in (response.body.get("include") or ())
                sealed = {"encrypted_content": "sealed"} if is_asked else {}
                self._add_item(response, "reasoning", {"summary": []})
                self._item_done(response, {"summary": summary, **sealed})
            case Hang():
                await step.wait_for_release()
            case Fail():
                self._fail(response, act)
            case Incomplete():
                response.incomplete_reason = act.reason
                self._end(response, "incomplete")
            case Expire():
                self._fail(response, Fail("server_error", "The response expired."))

    # ------------------------------------------------------------ items

    def _add_item(self, response: FakeResponse, kind: str, fields: Json) -> Json:
        """Adds an output item. Returns its index and id, for the events about it."""
        item = {"id": self._state.new_id(ID_PREFIXES[kind]), "type": kind, "status": "in_progress", **fields}
        response.output.append(item)
        at = {"output_index": len(response.output) - 1}
        response.emit("response.output_item.added", {**at, "item": item})
        return {**at, "item_id": item["id"]}

    def _item_done(self, response: FakeResponse, fields: Json, status: str = "completed") -> None:
        item = response.output[-1]
        item.update(fields, status=status)
        at = {"output_index": len(response.output) - 1}
        response.emit("response.output_item.done", {**at, "item": item})

    async def _say(self, response: FakeResponse, say: Say, step: ActiveStep) -> None:
        text = self._state.reply_text(say, response.prompt)
        kind, field_name = ("refusal", "refusal") if say.refusal else ("output_text", "text")
        part = _text_part(kind, field_name, "")
        at = self._add_item(response, "message", {"role": "assistant", "content": []})
        at["content_index"] = 0
        response.emit("response.content_part.added", {**at, "part": part})
        written: list[str] = []
        extra: Json = {} if say.refusal else {"logprobs": []}
        obscured = (response.body.get("stream_options") or {}).get("include_obfuscation") is not False
        try:
            async for piece in self._state.deltas(say, text, step):
                response.cancel_if_caller_gone()
                written.append(piece)
                padding = {"obfuscation": "x" * (16 - len(piece) % 16)} if obscured else {}
                response.emit(f"response.{kind}.delta", {**at, **extra, "delta": piece, **padding})
        except asyncio.CancelledError:
            response.output[-1]["content"] = [_text_part(kind, field_name, "".join(written))]
            raise
        cut = step.abrupt_end_after(say)
        part = _text_part(kind, field_name, text, response.citations)
        if isinstance(cut, Fail | Expire):  # an interrupted item has no end event
            response.output[-1].update(content=[part], status="incomplete")
            return
        for index, note in enumerate(response.citations):
            response.emit(
                "response.output_text.annotation.added", {**at, "annotation_index": index, "annotation": note}
            )
        response.emit(f"response.{kind}.done", {**at, **extra, field_name: text})
        response.emit("response.content_part.done", {**at, "part": part})
        self._item_done(response, {"content": [part]}, "incomplete" if cut else "completed")

    def _call_tool(self, response: FakeResponse, act: CallTool) -> None:
        fields = {"call_id": self._state.new_id("call"), "name": act.name, "arguments": ""}
        at = self._add_item(response, "function_call", fields)
        for piece in split_evenly(act.arguments_json, 3):
            response.emit("response.function_call_arguments.delta", {**at, "delta": piece})
        done = {**at, "name": act.name, "arguments": act.arguments_json}
        response.emit("response.function_call_arguments.done", done)
        self._item_done(response, {"arguments": act.arguments_json})

    def _use_code_interpreter(self, response: FakeResponse, act: HostedTool) -> None:
        fields = {"code": "", "container_id": self._state.new_id("cntr"), "outputs": None}
        at = self._add_item(response, "code_interpreter_call", fields)
        response.emit("response.code_interpreter_call.in_progress", at)
        for piece in split_evenly(act.input, 2):
            response.emit("response.code_interpreter_call_code.delta", {**at, "delta": piece})
        response.emit("response.code_interpreter_call_code.done", {**at, "code": act.input})
        response.emit("response.code_interpreter_call.interpreting", at)
        response.emit("response.code_interpreter_call.completed", at)
        shown = "code_interpreter_call.outputs" in (response.body.get("include") or [])
        outputs = [{"type": "logs", "logs": act.output}] if shown else None
        self._item_done(response, {"code": act.input, "outputs": outputs})

    def _make_file_or_image(self, response: FakeResponse, act: MakeFile | MakeImage) -> None:
        if isinstance(act, MakeImage):
            self._make_image(response, act)
            return
        container, name = self._state.new_id("cntr"), self._state.new_id("cfile")
        self._state.container_files[container, name] = FileUpload(act.name, act.content)
        note = {"type": "container_file_citation", "container_id": container, "file_id": name, "filename": act.name}
        response.citations.append({**note, "start_index": 0, "end_index": 0})

    def _make_image(self, response: FakeResponse, act: MakeImage) -> None:
        at = self._add_item(response, "image_generation_call", {"result": None})
        for stage in ("in_progress", "generating", "completed"):
            response.emit(f"response.image_generation_call.{stage}", at)
        self._item_done(response, {"result": base64.b64encode(act.content).decode(), "output_format": "png"})

    def _search_web(self, response: FakeResponse, act: HostedTool) -> None:
        action = {"type": "search", "query": act.input, "queries": [act.input]}
        at = self._add_item(response, "web_search_call", {"action": {"type": "search", "query": ""}})
        for stage in ("in_progress", "searching", "completed"):
            response.emit(f"response.web_search_call.{stage}", at)
        self._item_done(response, {"action": action})

    def _search_files(self, response: FakeResponse, act: HostedTool) -> None:
        at = self._add_item(response, "file_search_call", {"queries": [], "results": None})
        for stage in ("in_progress", "searching", "completed"):
            response.emit(f"response.file_search_call.{stage}", at)
        shown = "file_search_call.results" in (response.body.get("include") or [])
        found = [{"file_id": "file-1", "filename": "found.txt", "score": 1.0, "text": act.output, "attributes": {}}]
        self._item_done(response, {"queries": [act.input], "results": found if shown else None})


HOSTED_TOOLS: dict[str, Callable[[ResponseSimulator, FakeResponse, HostedTool], None]] = {
    "code_interpreter": ResponseSimulator._use_code_interpreter,
    "web_search": ResponseSimulator._search_web,
    "file_search": ResponseSimulator._search_files,
}


def _text_part(kind: str, field_name: str, text: str, notes: Sequence[Json] = ()) -> Json:
    if kind == "refusal":
        return {"type": kind, field_name: text}
    return {"type": kind, field_name: text, "annotations": list(notes), "logprobs": []}
