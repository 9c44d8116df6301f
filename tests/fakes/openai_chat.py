"""Chat completions and models: the stateless part of the fake API."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.openai_files import PartValidator
from tests.fakes.openai_messages import (
    ApiError,
    ApiRequest,
    ApiResponse,
    EventLog,
    Json,
    StreamedResponse,
    bad_request,
    encode,
)
from tests.fakes.openai_script import (
    ActiveStep,
    CallTool,
    Expire,
    Fail,
    Hang,
    Incomplete,
    PromptMessage,
    Say,
    count_tokens,
    split_evenly,
)
from tests.fakes.openai_state import FakeOpenAIState, timestamp, token_usage
from tests.fakes.openai_threads import check_tools

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
ERROR_STATUS = {"rate_limit_exceeded": 429, "invalid_prompt": 400}


@dataclass
class FakeCompletion:
    """A completion while it is generated."""

    id: str
    created: int
    model: str
    tokens_in: int
    include_usage: bool
    event_log: EventLog | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Json] = field(default_factory=list)
    finish_reason: str = "stop"

    def usage(self) -> Json:
        arguments = (call["function"]["arguments"] for call in self.tool_calls)
        return token_usage(self.tokens_in, count_tokens(self.content or self.refusal or "", *arguments))

    def to_json(self) -> Json:
        message: Json = {"role": "assistant", "content": self.content, "refusal": self.refusal, "annotations": []}
        if self.tool_calls:
            message["tool_calls"] = self.tool_calls
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        return {**self._base_fields("chat.completion"), "choices": [choice], "usage": self.usage()}

    def emit(self, delta: Json, finish: str | None = None) -> None:
        if self.event_log is not None:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            extra = {"usage": None} if self.include_usage else {}
            self.event_log.put("", {**self._base_fields("chat.completion.chunk"), "choices": [choice], **extra})

    def end(self) -> None:
        if self.event_log is None:
            return
        self.emit({}, self.finish_reason)
        if self.include_usage:
            self.event_log.put("", {**self._base_fields("chat.completion.chunk"), "choices": [], "usage": self.usage()})
        self.event_log.put("", "[DONE]")

    def _base_fields(self, kind: str) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        }


class FakeChatRoutes:
    def __init__(self, state: FakeOpenAIState) -> None:
        self._state = state
        self._part_validator = PartValidator(state)

    def models(self) -> dict[str, Any]:
        return {"GET /models": self.list_models, "GET /models/{}": self.retrieve_model}

    def routes(self) -> dict[str, Any]:
        return {"POST /chat/completions": self.create}

    async def list_models(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse({"object": "list", "data": [_model(name) for name in self._state.models]})

    async def retrieve_model(self, request: ApiRequest) -> ApiResponse:
        if request.ids[0] not in self._state.models:
            message = f"The model '{request.ids[0]}' does not exist"
            raise ApiError(404, message, param="model", code="model_not_found")
        return ApiResponse(_model(request.ids[0]))

    async def create(self, request: ApiRequest) -> ApiResponse | StreamedResponse:
        model = request.recorded.deployment or request.body.get("model")
        if model is None:
            raise bad_request("you must provide a model parameter")
        self._state.check_model(model)
        request.require("messages")
        _check_messages(request.body["messages"])
        self._check_parts(request.body["messages"])
        check_tools(request.body.get("tools"))
        texts = [_text(message) for message in request.body["messages"]]
        self._check_size(count_tokens(*texts))
        wants_usage = bool((request.body.get("stream_options") or {}).get("include_usage"))
        if wants_usage and not request.streamed:
            raise bad_request(
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
            )
        completion = FakeCompletion(
            self._state.new_id("chatcmpl"), timestamp(), str(model), count_tokens(*texts), wants_usage
        )
        heard = [
            PromptMessage(one["role"], _text(one)) for one in request.body["messages"] if one["role"] in PROMPT_ROLES
        ]
        if not request.streamed:
            await self._play_step(completion, heard)
            return ApiResponse(completion.to_json())
        completion.event_log = EventLog()
        task = asyncio.create_task(self._play_streamed(completion, heard))
        return StreamedResponse(completion.event_log, error_event=_error_event, abandon=task.cancel)

    def _check_parts(self, messages: list[Json]) -> None:
        for index, message in enumerate(messages):
            if isinstance(message.get("content"), list):
                for place, part in enumerate(message["content"]):
                    self._part_validator.check_chat(part, f"messages[{index}].content[{place}]")

    def _check_size(self, size: int) -> None:
        limit = self._state.context_tokens
        message = f"This model's maximum context length is {limit} tokens. However, your messages resulted in {size} "
        self._state.check_size(size, "messages", f"{message}tokens. Please reduce the length of the messages.")

    async def _play_streamed(self, completion: FakeCompletion, prompt: list[PromptMessage]) -> None:
        feed = completion.event_log
        if feed is None:
            return
        try:
            await self._play_step(completion, prompt)
        except ApiError as error:
            feed.put("", error.body)
        finally:
            feed.close()

    async def _play_step(self, completion: FakeCompletion, prompt: list[PromptMessage]) -> None:
        """Plays the next step of the script. Raises ApiError for a Fail or Expire: this API has no failed status."""
        await self._state.think_pause()
        completion.emit({"role": "assistant", "content": "", "refusal": None})
        taken = self._state.next_step()
        for act in taken.acts:
            match act:
                case Say():
                    await self._say(completion, act, taken, prompt)
                case CallTool():
                    self._call_tool(completion, act)
                case Hang():
                    await taken.wait_for_release()
                case Incomplete():
                    completion.finish_reason = "content_filter" if act.reason == "content_filter" else "length"
                case Fail():
                    status = ERROR_STATUS.get(act.code, 500)
                    raise ApiError(status, act.message, code=act.code, kind="server_error")
                case Expire():
                    raise ApiError(500, "The request timed out.", kind="server_error")
        completion.end()
        self._state.request_log.notify()

    async def _say(self, completion: FakeCompletion, say: Say, step: ActiveStep, prompt: list[PromptMessage]) -> None:
        text = self._state.reply_text(say, prompt)
        name = "refusal" if say.refusal else "content"
        async for piece in self._state.deltas(say, text, step):
            completion.emit({name: piece})
        setattr(completion, name, (getattr(completion, name) or "") + text)

    def _call_tool(self, completion: FakeCompletion, act: CallTool) -> None:
        index = len(completion.tool_calls)
        name = self._state.new_id("call")
        function = {"name": act.name, "arguments": act.arguments_json}
        completion.tool_calls.append({"id": name, "type": "function", "function": function, **act.beside})
        completion.finish_reason = "tool_calls"
        head = {"index": index, **completion.tool_calls[-1], "function": {"name": act.name, "arguments": ""}}
        completion.emit({"tool_calls": [head]})
        for piece in split_evenly(act.arguments_json, 3):
            completion.emit({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


PROMPT_ROLES = frozenset({"user", "assistant"})


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise bad_request(message, param="messages", code="empty_array")
    waiting: list[str] = []
    for index, message in enumerate(messages):
        where = f"messages.[{index}]"
        if message.get("role") not in ROLES:
            raise bad_request(f"Invalid value: '{message.get('role')}'.", param=f"{where}.role", code="invalid_value")
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                text = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                raise bad_request(f"Invalid parameter: {text}", param=f"{where}.role")
            waiting.remove(message["tool_call_id"])
            continue
        _check_all_answered(waiting, where)
        waiting = [call["id"] for call in message.get("tool_calls") or []]
        if message.get("content") is None and not waiting and message.get("refusal") is None:
            raise bad_request("Invalid value for 'content': expected a string, got null.", param=f"{where}.content")
    _check_all_answered(waiting, "messages")


def _check_all_answered(waiting: list[str], where: str) -> None:
    if waiting:
        message = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(waiting)}"
        )
        raise bad_request(message, param=where)


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
