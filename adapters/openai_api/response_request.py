"""The body of POST /responses: developers.openai.com/api/reference/resources/responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from adapters.openai_api.content_parts import (
    Ignoring,
    MessageContent,
    Several,
    Text,
    read_content,
    refusal,
    text_only,
)
from adapters.openai_api.functions import FunctionSchema
from adapters.openai_api.request_fields import (
    CHOICES,
    Author,
    Effort,
    Included,
    Metadata,
    Proportion,
    Refusing,
    StreamOptions,
    Temperature,
    Verbosity,
    allows_functions,
    as_parameters,
    names_function,
)
from adapters.openai_api.said import Answered, Asked, Instruction, Returned, Step, Thought
from gateway.domain.carried_reasoning import INCLUDE, MAX_CHARS, read_carried
from gateway.domain.exchange import RequestedCall
from gateway.domain.turn_options import ALLOWED_TOOLS, Json

INPUT = "input"
MAX_ITEMS = 1000
Summary = Literal["auto", "concise", "detailed"]


class MessageItem(Ignoring):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: MessageContent


class FunctionCallItem(Ignoring):
    type: Literal["function_call"]
    call_id: Text
    name: Text
    arguments: Text


class FunctionCallOutputItem(Ignoring):
    type: Literal["function_call_output"]
    call_id: Text
    output: MessageContent


class ReasoningItem(Ignoring):
    """What the model thought: of a program that keeps the history itself. Else it goes back by the thread."""

    type: Literal["reasoning"]
    encrypted_content: Annotated[Text, Field(max_length=MAX_CHARS)] | None = None


class ItemReference(Ignoring):
    """An item that is kept here already."""

    type: Literal["item_reference"] | None = None
    id: Text


def _item_type(item: Any) -> str:
    if not isinstance(item, dict):
        return "message"
    return str(item.get("type") or ("item_reference" if item.keys() == {"id"} else "message"))


_Said = (
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionCallOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
)
SaidItem = Annotated[_Said, Discriminator(_item_type)]
"""An item that is there in full."""
InputItem = Annotated[_Said | Annotated[ItemReference, Tag("item_reference")], Discriminator(_item_type)]


class ConversationName(Refusing):
    id: Text


class ResponseTool(FunctionSchema, Refusing):
    type: Literal["function"]


class Reasoning(Refusing):
    effort: Effort | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None


class TextSettings(Refusing):
    format: dict[str, Any] | None = None
    verbosity: Verbosity | None = None


class ResponseRequest(Refusing):
    """Fields that are not here are refused by name. Some of those that are have no effect: they only tune how OpenAI
    serves a request, such as ``prompt_cache_key``, or ask for what the assistant's server does not tell.
    """

    model: Annotated[Text, Field(min_length=1)] | None = None
    input: Text | Annotated[list[InputItem], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]
    instructions: Text | None = None
    conversation: Text | ConversationName | None = None
    previous_response_id: Text | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    tools: Several[ResponseTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: Proportion | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning: Reasoning | None = None
    text: TextSettings | None = None
    user: Author | None = None
    safety_identifier: Author | None = None
    top_logprobs: Literal[0] | None = None
    include: Several[Included] | None = None
    truncation: Literal["auto"] | None = None
    stream_options: StreamOptions | None = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    service_tier: Any = None

    @property
    def conversation_id(self) -> str:
        """The conversation that it names; "" for none."""
        named = self.conversation
        return named.id if isinstance(named, ConversationName) else named or ""

    def parameters(self) -> dict[str, Any]:
        """Returns what is for the assistant's server, by the names of Chat Completions. Raises InvalidRequest."""
        text, reasoning = self.text or TextSettings(), self.reasoning or Reasoning()
        renamed = {
            "max_completion_tokens": self.max_output_tokens,
            "reasoning_effort": reasoning.effort,
            "verbosity": text.verbosity,
            "response_format": _response_format(text.format),
            "tool_choice": _tool_choice(self.tool_choice),
            "include": [INCLUDE] if self.store is False and INCLUDE in (self.include or ()) else None,
        }
        given = as_parameters(self, ("temperature", "top_p", "parallel_tool_calls"))
        return given | {name: value for name, value in renamed.items() if value is not None}

    def functions(self) -> tuple[Json, ...]:
        return tuple(tool.definition() for tool in self.tools or ())


def item_steps(items: str | Sequence[SaidItem], where: str, *, with_thoughts: bool = False) -> Sequence[Step]:
    """Returns items as steps; ``where`` names their field. ``with_thoughts``: for one who keeps the history; a thread
    has what the model thought. Raises InvalidRequest.
    """
    if isinstance(items, str):
        return [Step(where, Asked(read_content(items, where)))]
    steps = ((item, f"{where}[{number}]") for number, item in enumerate(items))
    return [_step(item, place) for item, place in steps if with_thoughts or not isinstance(item, ReasoningItem)]


def _step(item: SaidItem, where: str) -> Step:
    match item:
        case ReasoningItem():
            carried = read_carried(item.encrypted_content or "")
            return Step(where, Thought(carried.sealed, carried.extra))
        case FunctionCallItem():
            return Step(where, Answered(calls=(RequestedCall(item.call_id, item.name, item.arguments),)))
        case FunctionCallOutputItem():
            return Step(where, Returned(item.call_id, read_content(item.output, f"{where}.output")))
        case MessageItem(role="user"):
            return Step(where, Asked(read_content(item.content, f"{where}.content")))
        case MessageItem(role="assistant"):
            return Step(where, Answered(text_only(read_content(item.content, f"{where}.content"), where)))
        case MessageItem():
            return Step(where, Instruction(text_only(read_content(item.content, f"{where}.content"), where)))


def _response_format(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None or given.get("type") == "text":
        return None
    if given.get("type") == "json_object":
        return {"type": "json_object"}
    named = isinstance(given.get("name"), str) and isinstance(given.get("schema"), dict)
    if given.get("type") != "json_schema" or not named:
        raise refusal("text.format", "must be of type text, json_object, or json_schema with `name` and `schema`")
    return {"type": "json_schema", "json_schema": {name: value for name, value in given.items() if name != "type"}}


def _tool_choice(given: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if given is None or given in CHOICES:
        return given
    read = _as_completions(given)
    if not names_function(read) and not allows_functions(read):
        raise refusal("tool_choice", 'must be "none", "auto", "required", or name functions of `tools`')
    return read


def _as_completions(given: Any) -> dict[str, Any]:
    """Returns a choice, or a tool that it allows, as Chat Completions writes it."""
    if not isinstance(given, dict):
        return {}
    if given.get("type") != ALLOWED_TOOLS:
        return {"type": given.get("type"), "function": {"name": given.get("name")}}
    tools = given.get("tools")
    allowed = [_as_completions(each) for each in tools] if isinstance(tools, list) else []
    return {"type": ALLOWED_TOOLS, ALLOWED_TOOLS: {"mode": given.get("mode"), "tools": allowed}}
