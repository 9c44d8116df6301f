"""Function tools: ``@tool`` describes a typed Python function with a docstring to the model."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docstring_parser
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from gateway.domain.files import Attachment

Function = Callable[..., Any]

MAX_NAME_CHARS = 64
TOOL_NAME = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_NAME_CHARS}}}")
"""Function names that OpenAI accepts."""

NAMED_PARAMETER_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
FIELD_PREFIX = "value_of_"
"""Prefix of the pydantic field names, as parameter names such as ``copy`` or ``_x`` are not allowed there."""


ANY_OBJECT = TypeAdapter(dict[str, Any])


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call returned: text for the model, and files."""

    text: str
    for_model: tuple[Attachment, ...] = ()
    """Files that the model is shown, where it takes them."""
    for_reply: tuple[Attachment, ...] = ()
    """Files that the person gets with the reply."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the assistant may call."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of the arguments (an object)."""
    call: Function
    model: type[BaseModel] | None
    """Validates the arguments, see ``parse_arguments``; None: they may be any object, and ``call`` validates them."""
    time_limit: float | None = None
    """Seconds that a call may take; None: as long as that of any tool."""
    approvers: tuple[str, ...] = ()
    """Who may approve a call, see ``gateway.domain.approvals``; empty: nobody has to."""

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.call)

    def parse_arguments(self, text: str) -> dict[str, Any]:
        """Returns the keyword arguments from the JSON that a model wrote; an empty text means no arguments.

        Omitted arguments keep the function's own defaults. Raises pydantic.ValidationError.
        """
        written = "{}" if text.strip() in {"", "null"} else text
        if self.model is None:
            return ANY_OBJECT.validate_json(written)
        given = self.model.model_validate_json(written)
        return {field.removeprefix(FIELD_PREFIX): getattr(given, field) for field in given.model_fields_set}


def tool(function: Function) -> Tool:
    """Makes a tool of a function, sync or async, by its signature and docstring.

    The docstring describes its purpose and each parameter (``Annotated[..., Field(description=...)]`` has precedence).
    Raises TypeError if the function cannot be described.
    """
    name = getattr(function, "__name__", "")
    if not TOOL_NAME.fullmatch(name):
        raise TypeError(f"{name or function!r} cannot be the name of a tool: use 1 to 64 of a-z A-Z 0-9 _ -.")
    if inspect.isasyncgenfunction(function):
        raise TypeError(f"Tool {name}: it yields, but a tool returns its result.")
    doc = docstring_parser.parse(inspect.getdoc(function) or "")
    if not doc.description:
        raise TypeError(f"Tool {name}: it needs a docstring, from which the model learns what it is for.")
    model = _arguments_model(name, function, {param.arg_name: param.description or "" for param in doc.params})
    schema = model.model_json_schema(schema_generator=_UntitledSchema)
    schema.pop("title", None)
    return Tool(name, doc.description, {"properties": {}, **schema}, function, model)


class _UntitledSchema(GenerateJsonSchema):
    """JSON schema without titles, which would only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def _arguments_model(name: str, function: Function, descriptions: dict[str, str]) -> type[BaseModel]:
    hints = _hints(name, function)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        _check_parameter(name, parameter, hints)
        fields[FIELD_PREFIX + parameter.name] = _field(
            parameter, hints[parameter.name], descriptions.pop(parameter.name, "")
        )
    if descriptions:
        raise TypeError(f"Tool {name}: the docstring describes {', '.join(descriptions)}, which it does not take.")
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def _hints(name: str, function: Function) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as exc:
        raise TypeError(f"Tool {name}: the type {exc.name!r} is not known where the function is defined.") from exc


def _check_parameter(name: str, parameter: inspect.Parameter, hints: dict[str, Any]) -> None:
    if parameter.kind not in NAMED_PARAMETER_KINDS:
        raise TypeError(f"Tool {name}: {parameter} cannot be given by name, which is how a model gives arguments.")
    if parameter.name not in hints:
        raise TypeError(f"Tool {name}: parameter {parameter.name!r} needs a type.")
    try:
        TypeAdapter(hints[parameter.name]).json_schema()
    except PydanticUserError as exc:
        raise TypeError(f"Tool {name}: the type of parameter {parameter.name!r} has no JSON form.") from exc


def _field(parameter: inspect.Parameter, hint: Any, description: str) -> tuple[Any, FieldInfo]:
    settings: dict[str, Any] = {"alias": parameter.name}
    if description and FieldInfo.from_annotation(hint).description is None:
        settings["description"] = description
    if parameter.default is not inspect.Parameter.empty:
        settings["default"] = parameter.default
    return hint, Field(**settings)


def describe_validation_error(exc: ValidationError, parameters: dict[str, Any]) -> str:
    """Returns a short text that tells the model what to change in its arguments."""
    errors = exc.errors(include_url=False, include_context=False, include_input=False)
    if any(error["type"] == "json_invalid" for error in errors):
        names = ", ".join(parameters.get("properties", {})) or "nothing in it"
        return f"The arguments are not valid JSON. Send one JSON object with: {names}."
    lines = [f"- {'.'.join(map(str, error['loc'])) or 'arguments'}: {error['msg']}" for error in errors[:5]]
    rest = [f"- and {len(errors) - 5} more"] if len(errors) > 5 else []  # noqa: PLR2004  # five are enough for a model
    return "\n".join(["The arguments do not fit. Correct these and call again:", *lines, *rest])
