"""The body of POST /chat/completions: developers.openai.com/api/reference/resources/chat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from adapters.openai_api.content_parts import (
    Ignoring,
    MessageContent,
    Several,
    Text,
    read_content,
    text_only,
)
from adapters.openai_api.errors import missing
from adapters.openai_api.functions import FunctionSchema
from adapters.openai_api.request_fields import (
    Author,
    Effort,
    Metadata,
    Penalty,
    Proportion,
    Refusing,
    ResponseFormat,
    StreamOptions,
    Temperature,
    ToolChoice,
    Verbosity,
    as_parameters,
)
from adapters.openai_api.said import Answered, Asked, Instruction, Returned, Step
from gateway.domain.exchange import RequestedCall
from gateway.domain.turn_options import Json

PARAMETERS = (
    *("temperature", "top_p", "max_completion_tokens", "stop", "seed", "presence_penalty", "frequency_penalty"),
    *("logit_bias", "response_format", "tool_choice", "parallel_tool_calls", "reasoning_effort", "verbosity"),
)
"""Fields that go to the assistant's server as they are, if it takes them."""
WITHOUT_EFFECT: Json = {
    "stop": [],
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "response_format": {"type": "text"},
}
"""Values that say what holds anyway. Programs send them unasked, also to servers that have no such field."""
MAX_MESSAGES = 10_000


class CalledFunction(Ignoring):
    name: Text
    arguments: Text


class CompletionToolCall(Ignoring):
    id: Text
    type: Literal["function"] = "function"
    function: CalledFunction
    extra_content: Any = None
    """As the answer had it that made the call."""


class ChatMessage(Ignoring):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: MessageContent | None = None
    refusal: Text | None = None
    tool_calls: Several[CompletionToolCall] | None = None
    tool_call_id: Text | None = None
    name: Text | None = None
    function_call: None = None
    audio: None = None


class CompletionFunction(FunctionSchema, Refusing):
    pass


class CompletionTool(Refusing):
    type: Literal["function"]
    function: CompletionFunction


class CompletionRequest(Refusing):
    """Fields that are not here are refused by name. Some of those that are have no effect: they only tune how OpenAI
    serves a request, such as ``prompt_cache_key``.
    """

    model: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Proportion | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Text | Several[Text] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    response_format: ResponseFormat | None = None
    tools: Several[CompletionTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    verbosity: Verbosity | None = None
    metadata: Metadata | None = None
    user: Author | None = None
    safety_identifier: Author | None = None
    n: Literal[1] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Literal[0] | None = None
    modalities: Several[Literal["text"]] | None = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    service_tier: Any = None
    store: Any = None

    def parameters(self) -> dict[str, Any]:
        """Returns what is for the assistant's server, by the names of this API."""
        given = as_parameters(self, PARAMETERS)
        found = {name: value for name, value in given.items() if value != WITHOUT_EFFECT.get(name)}
        return {"max_completion_tokens": self.max_tokens, **found} if self.max_tokens is not None else found

    def functions(self) -> tuple[Json, ...]:
        return tuple(tool.function.definition() for tool in self.tools or ())

    def steps(self) -> Sequence[Step]:
        """Returns the messages. Raises InvalidRequest."""
        return [step for number, message in enumerate(self.messages) for step in _steps(message, f"messages[{number}]")]


def _steps(message: ChatMessage, where: str) -> Iterator[Step]:
    if message.content is None and message.role != "assistant":
        raise missing(f"{where}.content")
    content = read_content(message.content, f"{where}.content")
    match message.role:
        case "system" | "developer":
            yield Step(where, Instruction(text_only(content, where)))
        case "user":
            yield Step(where, Asked(content, message.name or ""))
        case "assistant":
            given = message.tool_calls or []
            calls = tuple(RequestedCall(call.id, call.function.name, call.function.arguments) for call in given)
            extra = {call.id: call.extra_content for call in given if isinstance(call.extra_content, dict)}
            yield Step(where, Answered(text_only(content, where) or message.refusal or "", calls, extra))
        case "tool":
            if not message.tool_call_id:
                raise missing(f"{where}.tool_call_id")
            yield Step(where, Returned(message.tool_call_id, content))
