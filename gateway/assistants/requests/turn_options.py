"""What a turn's caller asks of its run, for the backends: parameters by their server's names, and functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.assistants.errors.error_map import BadRequest
from gateway.assistants.sse import Json
from gateway.assistants.tool_calls import FunctionCall
from gateway.domain.errors import AssistantError, AssistantRefused
from gateway.domain.exchange import RequestedCall
from gateway.domain.sentences import sentence
from gateway.domain.turn_options import ALLOWED_TOOLS, TurnOptions, allows_only_some
from gateway.tools import ToolResult

UNSUPPORTED = "unsupported"
INCLUDE = "include"
"""What the caller wants to have beside the answer. Only Responses has a field for it."""
FORCED_CHOICE = "tool_choice"
MAX_SENTENCE_CHARS = 300

Translation = Callable[[Any], Json]
"""Returns the fields of a request for the value of a parameter."""


def unsupported(what: str, backend: str) -> AssistantRefused:
    """Returns the error for something that the caller asks and this backend cannot do; ``what`` names it."""
    why = sentence("{what} is not supported by this assistant (its backend is {backend}).", what=what, backend=backend)
    return AssistantRefused(why, code=UNSUPPORTED, user_message=why)


def translated(options: TurnOptions, table: Mapping[str, Translation], backend: str) -> Json:
    """Returns the caller's parameters as fields of a request. Raises AssistantRefused for one that is not in the table.

    ``table``: by the names of Chat Completions.
    """
    fields: Json = {}
    for name, value in options.parameters.items():
        if name not in table:
            raise unsupported(f"`{name}`", backend)
        fields |= table[name](value)
    return fields


def refused_parameter(options: TurnOptions, error: AssistantError, sent: Json) -> AssistantRefused | None:
    """Returns the error for the caller when the server refuses what the caller asked; else None.

    ``sent``: what of the request came from the caller.
    """
    field = re.split(r"[.\[]", error.param)[0] if isinstance(error, BadRequest) else ""
    if field not in sent and not (field == "tools" and options.functions):
        return None
    said = str(error)[:MAX_SENTENCE_CHARS]
    why = sentence("`{field}` is refused by the assistant's server: {said}", field=field, said=said)
    return AssistantRefused(str(error), code=UNSUPPORTED, user_message=why)


def drop_forced_choice(body: Json) -> None:
    """Lets a model that has called answer: forced to call again and again it never would."""
    choice = body.get(FORCED_CHOICE)
    if allows_only_some(choice):
        body[FORCED_CHOICE] = _unforced(choice)
    elif choice != "none":
        body.pop(FORCED_CHOICE, None)


def _unforced(choice: Mapping[str, Any]) -> Json:
    """Returns a choice of some functions, as either API writes it, of which none has to be called."""
    inner = choice.get(ALLOWED_TOOLS)
    return {**choice, "mode": "auto"} if inner is None else {**choice, ALLOWED_TOOLS: {**inner, "mode": "auto"}}


def drop_idle_tool_fields(body: Json) -> None:
    """Leaves out how tools are to be called where there are none. One that has to be called is left to the server."""
    if body.get("tools"):
        return
    body.pop("parallel_tool_calls", None)
    if body.get(FORCED_CHOICE) in ("none", "auto"):
        body.pop(FORCED_CHOICE)


def same(name: str) -> Translation:
    """Returns the translation of a parameter that the server has too, by the name ``name``."""
    return lambda value: {name: value}


def without_effect(_: Any) -> Json:
    """Translates a parameter that the server has not, and that changes nothing of the answer."""
    return {}


def function_schemas(options: TurnOptions, own: Iterable[Json]) -> list[Json]:
    """Returns the schemas of all functions: the assistant's own, and the caller's, which replace any of their names."""
    offered = () if options.only_these_tools else own
    names = options.function_names
    return [*(schema for schema in offered if schema["name"] not in names), *map(dict, options.functions)]


def of_caller(options: TurnOptions, calls: Iterable[FunctionCall]) -> tuple[RequestedCall, ...]:
    """Returns those of the calls that are of the caller's functions, as the turn keeps them."""
    names = options.function_names
    return tuple(RequestedCall(each.id, each.name, each.arguments) for each in calls if each.name in names)


def others(options: TurnOptions, calls: Sequence[FunctionCall]) -> Sequence[FunctionCall]:
    """Returns the calls of the assistant's own tools."""
    return [each for each in calls if each.name not in options.function_names]


def calls_at_end(
    options: TurnOptions, calls: Sequence[FunctionCall], outputs: Mapping[str, ToolResult]
) -> tuple[RequestedCall, ...]:
    """Returns the calls that a reply ends with: the caller's, and those of own tools with their results.

    A conversation at the server has all of them, and goes on only when each has a result.
    """
    own = (
        RequestedCall(each.id, each.name, each.arguments, outputs[each.id].text) for each in calls if each.id in outputs
    )
    return (*of_caller(options, calls), *own)
