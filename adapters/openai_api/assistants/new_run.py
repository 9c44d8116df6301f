"""Makes the message of a turn from what a run is created with and what its thread holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter

from adapters.openai_api.assistants.assistant_routes import HOSTED, refuse_tools
from adapters.openai_api.assistants.bodies import (
    AssistantFunctionTool,
    AssistantTool,
    AssistantTools,
    ChosenTool,
    FileSearchTool,
    RunRequest,
)
from adapters.openai_api.assistants.context import files_of, text_of
from adapters.openai_api.callers import Caller
from adapters.openai_api.content_parts import refusal
from adapters.openai_api.directory import AssistantDirectory, KnownAssistant
from adapters.openai_api.errors import InvalidRequest
from gateway.domain.exchange import Exchange
from gateway.domain.files import File
from gateway.domain.models import Message, Turn
from gateway.domain.turn_options import Json, TurnOptions
from gateway.json_text import encode_json
from gateway.ports.api_objects import NewestTurn, ThreadState
from gateway.web.api.views import failure_of

SEPARATOR = "\n\n"
"""Between messages of a user that are answered together."""
TOOLS: TypeAdapter[list[AssistantTool]] = TypeAdapter(AssistantTools)
ECHOED = (
    *("temperature", "top_p", "max_prompt_tokens", "max_completion_tokens", "truncation_strategy", "tool_choice"),
    *("parallel_tool_calls", "response_format"),
)
"""Fields that a run shows as it was given them."""
PARAMETERS = (
    *("temperature", "top_p", "max_completion_tokens", "response_format", "reasoning_effort"),
    *("tool_choice", "parallel_tool_calls"),
)
"""Fields that the assistant's server gets."""
LIMITS = ("truncation_strategy", "max_prompt_tokens")
"""Fields that the assistant's backend gets where it heeds them."""
OF_RUN_OR_ASSISTANT = frozenset((*ECHOED, *PARAMETERS, *LIMITS))


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is asked with."""

    asked: RunRequest
    additional: Sequence[Mapping[str, Any]]
    """Its messages, as they are stored."""
    request: str
    """The name of the request that creates it."""
    before: Turn | None = None
    """The turn before it, if it has no message: that of a turn without a reply is asked again."""


@dataclass(frozen=True, slots=True)
class Said:
    """What there is to answer."""

    text: str
    files: tuple[File, ...]
    """Those of earlier messages too that no turn took so far."""
    before: tuple[Exchange, ...]
    """What was said before it, and after the turns."""


def new_message(
    caller: Caller,
    thread_id: str,
    new: NewRun,
    known: KnownAssistant,
    directory: AssistantDirectory,
    state: ThreadState,
) -> Message:
    """Returns the message of a new run. Raises InvalidRequest."""
    asked, additional = new.asked, new.additional
    said = _said([*(row.body for row in state.pending), *additional], new.before)
    tools = asked.tools if asked.tools is not None else TOOLS.validate_python(known.body["tools"])
    refuse_tools(tools, known.configured)
    _check_choice(asked, tools)
    given = _given(asked, known)
    options = _options(asked, known, directory, tools, state, given)
    options = replace(options, inserted=said.before) if said.before else options
    _check_limits(options, known)
    taken = state.pending[-1].position if state.pending else _taken(state.newest)
    fields = {name: given[name] for name in ECHOED if name in given}
    fields |= {
        "model": options.model or known.configured.model,
        "instructions": options.instructions or "",
        "tools": [each.model_dump(exclude_none=True) for each in tools],
    }
    address = {"assistant": asked.assistant_id, "taken": str(taken), "run": encode_json(fields).decode()}
    if asked.metadata:
        address["metadata"] = encode_json(asked.metadata).decode()
    if additional:
        address["messages"] = encode_json(additional).decode()
    return Message(
        caller.thread_key(thread_id),
        new.request,
        said.text,
        address=address,
        files=said.files,
        has_waiting_caller=bool(asked.stream),
        caller=caller.name,
        options=options,
        only_if_idle=True,
        assistant=known.configured.name,
        allowed_assistants=caller.assistants,
    )


def _check_choice(asked: RunRequest, tools: Sequence[AssistantTool]) -> None:
    """Raises InvalidRequest for a tool of the server that has to be used and is none of the run's."""
    choice = asked.tool_choice
    if isinstance(choice, ChosenTool) and choice.type in HOSTED and choice.type not in {each.type for each in tools}:
        raise refusal("tool_choice", f"names {choice.type}, which is none of the run's tools")


def _check_limits(options: TurnOptions, known: KnownAssistant) -> None:
    """Raises InvalidRequest for a limit that the assistant's backend cannot keep."""
    for name in LIMITS:
        if name in options.parameters and name not in known.configured.run_limits:
            raise refusal(name, "cannot be kept by the backend of this gateway's assistant", "unsupported_parameter")


def _said(messages: Sequence[Mapping[str, Any]], before: Turn | None) -> Said:
    """Returns the messages of the user at the end as one text, and what was said before them.

    Without any, the message of a run that gave no reply is asked again. Raises InvalidRequest if there is none.
    """
    ends = [place for place, each in enumerate(messages) if each["role"] == "assistant"]
    split = ends[-1] + 1 if ends else 0
    text = SEPARATOR.join(filter(None, (text_of(each) for each in messages[split:])))
    files = files_of(messages)
    if before is not None and failure_of(before) is not None:
        return Said(before.message.text, before.message.files, before.options.inserted)
    if not text and not files_of(messages[split:]):
        raise InvalidRequest("The thread has no message of a user that is not answered yet. Add one first.")
    return Said(text, files, tuple(_exchanges(messages[:split])))


def _exchanges(messages: Iterable[Mapping[str, Any]]) -> Iterable[Exchange]:
    said: list[str] = []
    for each in messages:
        if each["role"] == "user":
            said.append(text_of(each))
        else:
            yield Exchange(SEPARATOR.join(said), text_of(each))
            said = []


def _taken(newest: NewestTurn | None) -> int:
    return int(newest.address.get("taken", "0")) if newest else 0


def _options(
    asked: RunRequest,
    known: KnownAssistant,
    directory: AssistantDirectory,
    tools: Sequence[AssistantTool],
    state: ThreadState,
    given: Json,
) -> TurnOptions:
    own_model = known.body["model"] if known.is_own else ""
    named = asked.model or own_model
    own_instructions = (known.body["instructions"] or "") if known.is_own else None
    return TurnOptions(
        model=directory.model_for(named) if named else "",
        instructions=own_instructions if asked.instructions is None else asked.instructions,
        additional_instructions=asked.additional_instructions or "",
        functions=tuple(each.function.definition() for each in tools if isinstance(each, AssistantFunctionTool)),
        waits_for_outputs=True,
        hosted_tools=tuple(
            _hosted(each, known, state) for each in tools if not isinstance(each, AssistantFunctionTool)
        ),
        only_these_tools=known.is_own or asked.tools is not None,
        parameters=_parameters(given),
        is_program=True,
    )


def _hosted(tool: AssistantTool, known: KnownAssistant, state: ThreadState) -> Json:
    """Returns a tool of the server as the Responses API writes it, with the files of assistant and thread."""
    resources = [
        known.body.get("tool_resources") or {},
        (state.thread.body if state.thread else {}).get("tool_resources") or {},
    ]
    mine = [each.get(tool.type) or {} for each in resources]
    if tool.type == "code_interpreter":
        files = [name for each in mine for name in each.get("file_ids", ())]
        return {"type": tool.type, "container": {"type": "auto", **({"file_ids": files} if files else {})}}
    stores = [name for each in mine for name in each.get("vector_store_ids", ())]
    if not stores:
        explanation = "file_search needs a vector store: name one in tool_resources of the assistant or of the thread."
        raise InvalidRequest(explanation, param="tool_resources.file_search.vector_store_ids")
    settings = tool.file_search if isinstance(tool, FileSearchTool) else None
    given = settings.model_dump(exclude_none=True) if settings else {}
    return {"type": tool.type, "vector_store_ids": stores, **given}


def _parameters(given: Json) -> Json:
    """Returns the fields that the assistant's server gets, as chat completions write them."""
    defaults: dict[str, Sequence[Any]] = {
        "response_format": ("auto", {"type": "text"}),
        "tool_choice": ("auto",),
        "parallel_tool_calls": (True,),
        "truncation_strategy": ({"type": "auto"},),
    }
    asked = {name: given[name] for name in (*PARAMETERS, *LIMITS) if name in given}
    return {name: value for name, value in asked.items() if value not in defaults.get(name, ())}


def _given(asked: RunRequest, known: KnownAssistant) -> Json:
    """Returns the fields that the run has, and those of the assistant that it has not."""
    said = {**known.body, **{name: value for name, value in vars(asked).items() if value is not None}}
    return {
        name: value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value
        for name, value in said.items()
        if name in OF_RUN_OR_ASSISTANT and value is not None
    }
