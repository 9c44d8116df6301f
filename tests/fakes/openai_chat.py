"""Chat completions and models: the stateless part of the fake API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_files import Parts
from tests.fakes.openai_messages import Answer, ApiError, Call, Feed, Json, Stream, bad, encode
from tests.fakes.openai_script import (
    CallTool,
    Expire,
    Fail,
    Hang,
    Heard,
    Incomplete,
    Say,
    Taken,
    pieces,
    tokens,
)
from tests.fakes.openai_state import World, now, usage
from tests.fakes.openai_threads import check_tools

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
ERROR_STATUS = {"rate_limit_exceeded": 429, "invalid_prompt": 400}


@dataclass
class Completion:
    """A completion while it is generated."""

    id: str
    created: int
    model: str
    tokens_in: int
    wants_usage: bool
    feed: Feed | None = None
    content: str | None = None
    refusal: str | None = None
    calls: list[Json] = field(default_factory=list)
    finish: str = "stop"

    def usage(self) -> Json:
        arguments = (call["function"]["arguments"] for call in self.calls)
        return usage(self.tokens_in, tokens(self.content or self.refusal or "", *arguments))

    def shown(self) -> Json:
        message: Json = {"role": "assistant", "content": self.content, "refusal": self.refusal, "annotations": []}
        if self.calls:
            message["tool_calls"] = self.calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self.usage()}

    def emit(self, delta: Json, finish: str | None = None) -> None:
        if self.feed is not None:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            extra = {"usage": None} if self.wants_usage else {}
            self.feed.put("", {**self._head("chat.completion.chunk"), "choices": [choice], **extra})

    def end(self) -> None:
        if self.feed is None:
            return
        self.emit({}, self.finish)
        if self.wants_usage:
            self.feed.put("", {**self._head("chat.completion.chunk"), "choices": [], "usage": self.usage()})
        self.feed.put("", "[DONE]")

    def _head(self, kind: str) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        }


class ChatRoom:
    def __init__(self, world: World) -> None:
        self._world = world
        self._parts = Parts(world)

    def models(self) -> dict[str, Any]:
        return {"GET /models": self.list_models, "GET /models/{}": self.retrieve_model}

    def routes(self) -> dict[str, Any]:
        return {"POST /chat/completions": self.create}

    async def list_models(self, call: Call) -> Answer:
        return Answer({"object": "list", "data": [_model(name) for name in self._world.models]})

    async def retrieve_model(self, call: Call) -> Answer:
        if call.ids[0] not in self._world.models:
            message = f"The model '{call.ids[0]}' does not exist"
            raise ApiError(404, message, param="model", code="model_not_found")
        return Answer(_model(call.ids[0]))

    async def create(self, call: Call) -> Answer | Stream:
        model = call.seen.deployment or call.body.get("model")
        if model is None:
            raise bad("you must provide a model parameter")
        self._world.check_model(model)
        call.required("messages")
        _check_messages(call.body["messages"])
        self._check_parts(call.body["messages"])
        check_tools(call.body.get("tools"))
        texts = [_text(message) for message in call.body["messages"]]
        self._check_size(tokens(*texts))
        wants_usage = bool((call.body.get("stream_options") or {}).get("include_usage"))
        if wants_usage and not call.streamed:
            raise bad(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
            )
        completion = Completion(self._world.new_id("chatcmpl"), now(), str(model), tokens(*texts), wants_usage)
        heard = [Heard(one["role"], _text(one)) for one in call.body["messages"] if one["role"] in SPOKEN]
        if not call.streamed:
            await self._perform(completion, heard)
            return Answer(completion.shown())
        completion.feed = Feed()
        task = asyncio.create_task(self._stream(completion, heard))
        return Stream(completion.feed, error=_error_event, abandon=task.cancel)

    def _check_parts(self, messages: list[Json]) -> None:
        for index, message in enumerate(messages):
            if isinstance(message.get("content"), list):
                for place, part in enumerate(message["content"]):
                    self._parts.check_chat(part, f"messages[{index}].content[{place}]")

    def _check_size(self, size: int) -> None:
        limit = self._world.context_tokens
        message = f"This model's maximum context length is {limit} tokens. However, your messages resulted in {size} "
        self._world.check_size(size, "messages", f"{message}tokens. Please reduce the length of the messages.")

    async def _stream(self, completion: Completion, heard: list[Heard]) -> None:
        feed = completion.feed
        if feed is None:
            return
        try:
            await self._perform(completion, heard)
        except ApiError as error:
            feed.put("", error.body)
        finally:
            feed.close()

    async def _perform(self, completion: Completion, heard: list[Heard]) -> None:
        """Plays the next step of the script. Raises ApiError for a Fail or Expire: this API has no failed status."""
        await self._world.pause()
        completion.emit({"role": "assistant", "content": "", "refusal": None})
        taken = self._world.take_step()
        for act in taken.acts:
            match act:
                case Say():
                    await self._say(completion, act, taken, heard)
                case CallTool():
                    self._call(completion, act)
                case Hang():
                    await taken.released()
                case Incomplete():
                    completion.finish = "content_filter" if act.reason == "content_filter" else "length"
                case Fail():
                    status = ERROR_STATUS.get(act.code, 500)
                    raise ApiError(status, act.message, code=act.code, kind="server_error")
                case Expire():
                    raise ApiError(500, "The request timed out.", kind="server_error")
        completion.end()
        self._world.board.ring()

    async def _say(self, completion: Completion, say: Say, taken: Taken, heard: list[Heard]) -> None:
        text = self._world.words(say, heard)
        name = "refusal" if say.refusal else "content"
        async for piece in self._world.deltas(say, text, taken):
            completion.emit({name: piece})
        setattr(completion, name, (getattr(completion, name) or "") + text)

    def _call(self, completion: Completion, act: CallTool) -> None:
        index = len(completion.calls)
        name = self._world.new_id("call")
        function = {"name": act.name, "arguments": act.arguments_json}
        completion.calls.append({"id": name, "type": "function", "function": function})
        completion.finish = "tool_calls"
        head = {"index": index, "id": name, "type": "function", "function": {"name": act.name, "arguments": ""}}
        completion.emit({"tool_calls": [head]})
        for piece in pieces(act.arguments_json, 3):
            completion.emit({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


SPOKEN = frozenset({"user", "assistant"})


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise bad(message, param="messages", code="empty_array")
    waiting: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages.[{index}]"
        if message.get("role") not in ROLES:
            raise bad(f"Invalid value: '{message.get('role')}'.", param=f"{where}.role", code="invalid_value")
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise bad(f"Invalid parameter: {text}", param=f"{where}.role")
            waiting.remove(message["tool_call_id"])
            continue
        _all_answered(waiting, where)
        waiting = [call["id"] for call in message.get("tool_calls") or []]
        if message.get("content") is None and not waiting and message.get("refusal") is None:
            raise bad("Invalid value for 'content': expected a string, got null.", param=f"{where}.content")
    _all_answered(waiting, "messages")


def _all_answered(waiting: list[str], where: str) -> None:
    if waiting:
        message = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
        )
        raise bad(message, param=where)


def _text(message: Json) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "openai"}


def _error_event() -> bytes:
    error = {"message": "The server had an error.", "type": "server_error", "param": None, "code": "server_error"}
    return f"data: {encode({'error': error})}\n\n".encode()
