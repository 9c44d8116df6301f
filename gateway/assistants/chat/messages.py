"""The body of a chat completion request: built from the turn and its history, without what the server refuses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.assistants.attachments import InlineText, MessagePart
from gateway.assistants.chat.returned import with_returned
from gateway.assistants.history.exchanges import with_turn
from gateway.assistants.instructions import Instructions
from gateway.assistants.requests.parameters import TRUNCATION
from gateway.assistants.requests.server_limits import Feature, ServerLimits, features_of_files
from gateway.assistants.requests.speakers import instructions_for, name_field
from gateway.assistants.requests.turn_options import (
    INCLUDE,
    Translation,
    drop_forced_choice,
    drop_idle_tool_fields,
    function_schemas,
    same,
    translated,
    unsupported,
    without_effect,
)
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import arguments_to_return
from gateway.domain.exchange import Exchange
from gateway.domain.models import Turn
from gateway.domain.turn_options import TurnOptions
from gateway.tools import ToolBox

NAME, STREAM = "name", "stream"
"""OpenAI streams some models only to organisations that it has verified."""
TOOL_FILES = "[files that the tools returned]"
KNOWN_FIELDS = frozenset({"role", "content", "tool_calls", "tool_call_id"})
MAX_TOKENS = "max_completion_tokens"
PARAMETERS = (
    *("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias"),
    *("response_format", "tool_choice", "parallel_tool_calls", "reasoning_effort", "verbosity", MAX_TOKENS),
)


@dataclass(frozen=True, slots=True)
class PreparedCompletion:
    """A request, and what of it the server might refuse."""

    body: Json
    features: set[Feature]
    fields: tuple[str, ...]
    """Names of fields that can be left out: of the body, and of the assistant's messages."""
    from_caller: Json
    """What of the body the turn's caller asked for."""


class RequestBuilder:
    """Builds the requests of one backend."""

    def __init__(
        self,
        model: str,
        instructions: Instructions,
        toolbox: ToolBox,
        parameters: Json,
        optional: Json,
        *,
        stream: bool,
        limits: ServerLimits,
        max_tokens: str = MAX_TOKENS,
    ) -> None:
        """``parameters``: fields that say how the model answers; ``optional``: fields for streams. A server may refuse
        each of them. ``max_tokens``: how the server calls the limit.
        """
        self._model = model
        self._instructions = instructions
        self._toolbox = toolbox
        self._translations: Mapping[str, Translation] = {name: same(name) for name in PARAMETERS} | {
            MAX_TOKENS: same(max_tokens),
            TRUNCATION: without_effect,  # the history was cut
            INCLUDE: without_effect,
        }
        self._parameters = parameters
        self._optional = {**parameters, **optional}
        self._stream = stream
        self._limits = limits

    def build(
        self, history: Sequence[Exchange], turn: Turn, parts: Sequence[MessagePart], tool_messages: Sequence[Json]
    ) -> PreparedCompletion:
        options = turn.options
        *past, asked = with_turn(history, turn)
        messages = [self._named(message, each.speaker) for each in past for message in self._messages(each)]
        messages += [self._named(message, turn.message.speaker) for message in self._messages(asked, parts)]
        messages += map(self._without_refused, tool_messages)
        instructions = instructions_for(turn, self._instructions.for_message(turn.message), self._toolbox.notice)
        arranged = self._arranged(messages, instructions)
        body: Json = {"model": options.model or self._model, "messages": arranged}
        body[STREAM] = self._stream and STREAM not in self._limits
        optional = self._optional if body[STREAM] else self._parameters
        body |= {name: value for name, value in optional.items() if name not in self._limits}
        from_caller = translated(options, self._translations, "chat")
        body |= from_caller
        if tools := self._tools(options):
            body["tools"] = tools
            if Feature.REASONING_WITH_TOOLS in self._limits:
                body["reasoning_effort"] = "none"
        drop_idle_tool_fields(body)
        if tool_messages:
            drop_forced_choice(body)
        features = self._features(body, parts)
        if options.functions:  # a refusal may be about what is wrong with the caller's
            features -= {Feature.TOOLS}
        return PreparedCompletion(body, features, self._optional_fields(body), from_caller)

    def _tools(self, options: TurnOptions) -> list[Json]:
        """Raises AssistantRefused when the caller has functions and the server takes none."""
        if Feature.TOOLS in self._limits and options.functions:
            raise unsupported("`tools`", "chat, and the model takes none")
        if Feature.TOOLS in self._limits:
            return []
        return [{"type": "function", "function": each} for each in function_schemas(options, self._toolbox.schemas)]

    def _messages(self, exchange: Exchange, parts: Sequence[MessagePart] = ()) -> list[Json]:
        """Returns an exchange as messages, without those that say nothing."""
        messages: list[Json] = [
            {"role": "tool", "tool_call_id": each.call_id, "content": each.output} for each in exchange.outputs
        ]
        if exchange.text or parts or not (exchange.outputs or exchange.reply or exchange.calls):
            messages.append({"role": "user", "content": _content(exchange.text, parts)})
        if exchange.calls:
            called = {"role": "assistant", "content": exchange.reply, "tool_calls": _calls(exchange)}
            messages.append(self._without_refused(with_returned(called, exchange.returned)))
        elif exchange.reply:
            messages.append({"role": "assistant", "content": exchange.reply})
        return messages

    def _features(self, body: Json, parts: Sequence[MessagePart]) -> set[Feature]:
        messages = body["messages"]
        used: Mapping[Feature, bool] = {
            Feature.TOOLS: "tools" in body,
            Feature.REASONING_WITH_TOOLS: "tools" in body and body.get("reasoning_effort") != "none",
            Feature.SYSTEM_ROLE: messages[0]["role"] == "system",
            Feature.ROLES_IN_ANY_ORDER: Feature.ROLES_IN_ANY_ORDER not in self._limits,
            Feature.IMAGES: any(map(is_tool_files, messages)),
            Feature.EMPTY_TEXT: any(
                message["role"] == "assistant" and message["content"] == "" for message in messages
            ),
            Feature.NO_REASONING_TEXT: any(
                message["role"] == "assistant" and "reasoning_content" not in message for message in messages
            ),
        }
        return features_of_files(parts).union(feature for feature, is_used in used.items() if is_used)

    def _optional_fields(self, body: Json) -> tuple[str, ...]:
        kept = {name for message in body["messages"] for name in message if message["role"] in {"assistant", "user"}}
        streamed = (STREAM,) if body[STREAM] else ()
        return (*(name for name in self._optional if name in body), *streamed, *sorted(kept - KNOWN_FIELDS))

    def _without_refused(self, message: Json) -> Json:
        """Returns a message of a tool round as this server takes it."""
        kept = {name: value for name, value in message.items() if name in KNOWN_FIELDS or name not in self._limits}
        if Feature.EMPTY_TEXT in self._limits and kept["role"] == "assistant" and kept["content"] == "":
            kept["content"] = None
        return kept

    def _named(self, message: Json, speaker: str) -> Json:
        """Returns a message with its speaker's name, where it is a person's and the server takes names."""
        is_named = speaker and message["role"] == "user" and NAME not in self._limits
        return {"role": "user", **name_field(speaker), **message} if is_named else message

    def _arranged(self, messages: list[Json], instructions: str) -> list[Json]:
        """Returns the messages with the instructions, in the roles and the order that this server takes."""
        if Feature.NO_REASONING_TEXT in self._limits:
            messages = [
                {"reasoning_content": "", **message} if message["role"] == "assistant" else message
                for message in messages
            ]
        in_order = Feature.ROLES_IN_ANY_ORDER in self._limits
        if instructions:
            role = "user" if in_order or Feature.SYSTEM_ROLE in self._limits else "system"
            messages = [{"role": role, "content": instructions}, *messages]
        if in_order or Feature.SYSTEM_ROLE in self._limits:
            messages = list(_merged_roles(messages))
        return messages


def _calls(exchange: Exchange) -> list[Json]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": arguments_to_return(call.arguments)},
        }
        for call in exchange.calls
    ]


def tool_files_message(parts: Sequence[MessagePart]) -> Json:
    """Returns the message that shows the model what its tools returned beside text: a tool's own message is text."""
    return {"role": "user", "content": [{"type": "text", "text": TOOL_FILES}, *map(_content_part, parts)]}


def is_tool_files(message: Json) -> bool:
    """Returns whether it is such a message."""
    content = message["content"]
    return isinstance(content, list) and content[0] == {"type": "text", "text": TOOL_FILES}


def _merged_roles(messages: Iterable[Json]) -> Iterable[Json]:
    """Yields the messages with those of one role in a row as one; tool calls and outputs are not changed."""
    last: Json | None = None
    for message in messages:
        plain = message["role"] in {"user", "assistant"} and not message.get("tool_calls")
        if last is not None and plain and last["role"] == message["role"]:
            last = {**last, "content": _joined_content(last["content"], message["content"])}
            last.pop(NAME, None)  # both begin with the names of their speakers
            continue
        if last is not None:
            yield last
        last = message if plain else None
        if not plain:
            yield message
    if last is not None:
        yield last


def _joined_content(first: str | list[Json], second: str | list[Json]) -> str | list[Json]:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_as_parts(first), *_as_parts(second)]


def _as_parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _content(text: str, message_parts: Sequence[MessagePart]) -> str | list[Json]:
    """Returns a plain string where that is enough, as not every server accepts content parts."""
    if all(isinstance(piece, InlineText) for piece in message_parts):
        return "\n\n".join([text, *(piece.text for piece in message_parts if isinstance(piece, InlineText))])
    return [{"type": "text", "text": text}, *map(_content_part, message_parts)]


def _content_part(message_part: MessagePart) -> Json:
    """Returns the content part of the API (developers.openai.com/api/docs/guides/file-inputs and .../images-vision).

    OpenAI accepts only PDF as a file here.
    """
    if isinstance(message_part, InlineText):
        return {"type": "text", "text": message_part.text}
    if message_part.is_image:
        return {"type": "image_url", "image_url": {"url": message_part.data_url}}
    return {"type": "file", "file": {"filename": message_part.name, "file_data": message_part.data_url}}
