"""A response of the Responses API, and its simulation event by event."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.fakes.openai_conversations import PREFIXES, Conversation, text_of
from tests.fakes.openai_messages import Feed, Json, Upload, encode
from tests.fakes.openai_script import (
    Act,
    CallTool,
    Expire,
    Fail,
    Hang,
    Heard,
    HostedTool,
    Incomplete,
    MakeFile,
    MakeImage,
    Reason,
    Say,
    Taken,
    pieces,
    tokens,
)
from tests.fakes.openai_state import World, now

OPEN = frozenset({"queued", "in_progress"})


@dataclass
class Response:
    id: str
    body: Json
    metadata: dict[str, str]
    created_at: int
    given: list[Json]
    """The items of this request's input."""
    past: list[Json]
    """The items before them in the model's input."""
    conversation: Conversation | None
    background: bool = False
    status: str = "in_progress"
    output: list[Json] = field(default_factory=list)
    made: list[Json] = field(default_factory=list)
    """Citations of the files made so far."""
    error: Json | None = None
    incomplete_reason: str | None = None
    completed_at: int | None = None
    feed: Feed | None = None
    sequence: int = 0
    task: asyncio.Task[None] | None = None
    cut_after: int | None = None
    """The caller disconnects after this many events."""
    end: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stored(self) -> bool:
        return self.body.get("store") is not False

    @property
    def over(self) -> bool:
        return self.status not in OPEN

    @property
    def heard(self) -> list[Heard]:
        messages = (item for item in [*self.past, *self.given] if item["type"] == "message")
        return [Heard(item["role"], text_of(item)) for item in messages]

    def emit(self, name: str, data: Json) -> None:
        if self.feed is not None:
            self.feed.put(name, {"type": name, "sequence_number": self.sequence, **data})
            self.sequence += 1

    def emit_self(self, name: str) -> None:
        if self.feed is not None:
            self.emit(name, {"response": self.shown()})

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

    def check_caller(self) -> None:
        """Cancels a plain response once its caller is known to have disconnected.

        Without this a response that takes no time would complete before its stream is cut.
        """
        if self.background or self.cut_after is None or self.feed is None:
            return
        if len(self.feed.events) >= self.cut_after:
            raise asyncio.CancelledError

    def lose(self) -> None:
        """Handles the disconnect of the caller, which cancels a plain response."""
        if not self.background:
            self.stop()

    async def finished(self) -> None:
        """Waits for the end of the response."""
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.lose()
            raise

    def shown(self) -> Json:
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
        tokens_in = tokens(self.body.get("instructions") or "", *(one.text for one in self.heard))
        tokens_out = tokens(*(text_of(item) or item.get("arguments", "") for item in self.output))
        return {
            "input_tokens": tokens_in,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": tokens_out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens_in + tokens_out,
        }


class Speaker:
    """Simulates the model: plays one step of the script per response."""

    def __init__(self, world: World) -> None:
        self._world = world

    def start(self, response: Response) -> None:
        if response.background:
            response.status = "queued"
        response.emit_self("response.created")
        if response.background:
            response.emit_self("response.queued")
        response.task = asyncio.create_task(self._write(response))
        response.task.add_done_callback(lambda task: self._finish(response, task))

    async def _write(self, response: Response) -> None:
        response.status = "in_progress"
        response.emit_self("response.in_progress")
        self._world.board.ring()
        await self._world.pause()
        taken = self._world.take_step()
        for act in taken.acts:
            response.check_caller()
            await self._act(response, act, taken)
            if response.over:
                return
        response.check_caller()
        self._end(response, "completed")

    def _finish(self, response: Response, task: asyncio.Task[None]) -> None:
        # Not inside the task, as a task that is cancelled before it starts never runs.
        if task.cancelled():
            for item in response.output:
                if item.get("status") == "in_progress":
                    item["status"] = "incomplete"
            self._end(response, "cancelled")
        elif error := task.exception():
            self._fail(response, Fail("server_error", str(error)))
        if response.feed is not None:
            response.feed.close()
            if not response.background:
                response.feed = None
        response.end.set()

    def _end(self, response: Response, status: str) -> None:
        response.status = status
        conversation = response.conversation
        if status == "completed":
            response.completed_at = now()
            if conversation is not None:
                conversation.items += [*response.given, *response.output]
        if conversation is not None and conversation.locked_by == response.id:
            conversation.locked_by = None
        if status != "cancelled":
            response.emit_self(f"response.{status}")
        self._world.board.ring()

    def _fail(self, response: Response, act: Fail) -> None:
        response.error = {"code": act.code, "message": act.message}
        self._end(response, "failed")

    async def _act(self, response: Response, act: Act, taken: Taken) -> None:
        match act:
            case Say():
                await self._say(response, act, taken)
            case CallTool():
                self._call(response, act)
            case HostedTool():
                HOSTED[act.name](self, response, act)
            case MakeFile() | MakeImage():
                self._make(response, act)
            case Reason():
                summary = [{"type": "summary_text", "text": act.summary}] if act.summary else []
                self._item(response, "reasoning", {"summary": []})
                self._item_done(response, {"summary": summary})
            case Hang():
                await taken.released()
            case Fail():
                self._fail(response, act)
            case Incomplete():
                response.incomplete_reason = act.reason
                self._end(response, "incomplete")
            case Expire():
                self._fail(response, Fail("server_error", "The response expired."))

    # ------------------------------------------------------------ items

    def _item(self, response: Response, kind: str, fields: Json) -> Json:
        """Adds an output item. Returns its index and id, for the events about it."""
        item = {"id": self._world.new_id(PREFIXES[kind]), "type": kind, "status": "in_progress", **fields}
        response.output.append(item)
        at = {"output_index": len(response.output) - 1}
        response.emit("response.output_item.added", {**at, "item": item})
        return {**at, "item_id": item["id"]}

    def _item_done(self, response: Response, fields: Json, status: str = "completed") -> None:
        item = response.output[-1]
        item.update(fields, status=status)
        at = {"output_index": len(response.output) - 1}
        response.emit("response.output_item.done", {**at, "item": item})

    async def _say(self, response: Response, say: Say, taken: Taken) -> None:
        text = self._world.words(say, response.heard)
        kind, field_name = ("refusal", "refusal") if say.refusal else ("output_text", "text")
        part = _part(kind, field_name, "")
        at = self._item(response, "message", {"role": "assistant", "content": []})
        at["content_index"] = 0
        response.emit("response.content_part.added", {**at, "part": part})
        written: list[str] = []
        extra: Json = {} if say.refusal else {"logprobs": []}
        obscured = (response.body.get("stream_options") or {}).get("include_obfuscation") is not False
        try:
            async for piece in self._world.deltas(say, text, taken):
                response.check_caller()
                written.append(piece)
                padding = {"obfuscation": "x" * (16 - len(piece) % 16)} if obscured else {}
                response.emit(f"response.{kind}.delta", {**at, **extra, "delta": piece, **padding})
        except asyncio.CancelledError:
            response.output[-1]["content"] = [_part(kind, field_name, "".join(written))]
            raise
        cut = taken.cut_by(say)
        part = _part(kind, field_name, text, response.made)
        if isinstance(cut, Fail | Expire):  # an interrupted item has no end event
            response.output[-1].update(content=[part], status="incomplete")
            return
        for index, note in enumerate(response.made):
            response.emit(
                "response.output_text.annotation.added", {**at, "annotation_index": index, "annotation": note}
            )
        response.emit(f"response.{kind}.done", {**at, **extra, field_name: text})
        response.emit("response.content_part.done", {**at, "part": part})
        self._item_done(response, {"content": [part]}, "incomplete" if cut else "completed")

    def _call(self, response: Response, act: CallTool) -> None:
        fields = {"call_id": self._world.new_id("call"), "name": act.name, "arguments": ""}
        at = self._item(response, "function_call", fields)
        for piece in pieces(act.arguments_json, 3):
            response.emit("response.function_call_arguments.delta", {**at, "delta": piece})
        done = {**at, "name": act.name, "arguments": act.arguments_json}
        response.emit("response.function_call_arguments.done", done)
        self._item_done(response, {"arguments": act.arguments_json})

    def _interpret(self, response: Response, act: HostedTool) -> None:
        fields = {"code": "", "container_id": self._world.new_id("cntr"), "outputs": None}
        at = self._item(response, "code_interpreter_call", fields)
        response.emit("response.code_interpreter_call.in_progress", at)
        for piece in pieces(act.input, 2):
            response.emit("response.code_interpreter_call_code.delta", {**at, "delta": piece})
        response.emit("response.code_interpreter_call_code.done", {**at, "code": act.input})
        response.emit("response.code_interpreter_call.interpreting", at)
        response.emit("response.code_interpreter_call.completed", at)
        shown = "code_interpreter_call.outputs" in (response.body.get("include") or [])
        outputs = [{"type": "logs", "logs": act.output}] if shown else None
        self._item_done(response, {"code": act.input, "outputs": outputs})

    def _make(self, response: Response, act: MakeFile | MakeImage) -> None:
        if isinstance(act, MakeImage):
            self._make_image(response, act)
            return
        container, name = self._world.new_id("cntr"), self._world.new_id("cfile")
        self._world.container_files[container, name] = Upload(act.name, act.content)
        note = {"type": "container_file_citation", "container_id": container, "file_id": name, "filename": act.name}
        response.made.append({**note, "start_index": 0, "end_index": 0})

    def _make_image(self, response: Response, act: MakeImage) -> None:
        at = self._item(response, "image_generation_call", {"result": None})
        for stage in ("in_progress", "generating", "completed"):
            response.emit(f"response.image_generation_call.{stage}", at)
        self._item_done(response, {"result": base64.b64encode(act.content).decode(), "output_format": "png"})

    def _search_web(self, response: Response, act: HostedTool) -> None:
        action = {"type": "search", "query": act.input, "queries": [act.input]}
        at = self._item(response, "web_search_call", {"action": {"type": "search", "query": ""}})
        for stage in ("in_progress", "searching", "completed"):
            response.emit(f"response.web_search_call.{stage}", at)
        self._item_done(response, {"action": action})

    def _search_files(self, response: Response, act: HostedTool) -> None:
        at = self._item(response, "file_search_call", {"queries": [], "results": None})
        for stage in ("in_progress", "searching", "completed"):
            response.emit(f"response.file_search_call.{stage}", at)
        shown = "file_search_call.results" in (response.body.get("include") or [])
        found = [{"file_id": "file-1", "filename": "found.txt", "score": 1.0, "text": act.output, "attributes": {}}]
        self._item_done(response, {"queries": [act.input], "results": found if shown else None})


HOSTED: dict[str, Callable[[Speaker, Response, HostedTool], None]] = {
    "code_interpreter": Speaker._interpret,
    "web_search": Speaker._search_web,
    "file_search": Speaker._search_files,
}


def _part(kind: str, field_name: str, text: str, notes: Sequence[Json] = ()) -> Json:
    if kind == "refusal":
        return {"type": kind, field_name: text}
    return {"type": kind, field_name: text, "annotations": list(notes), "logprobs": []}
