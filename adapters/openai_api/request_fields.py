"""Fields that several requests of OpenAI's API have, and how a body is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from adapters.openai_api.content_parts import Text
from adapters.openai_api.errors import InvalidRequest, missing
from gateway.domain.turn_options import ALLOWED_TOOLS
from gateway.web.api.json_body import read_object
from gateway.web.api.routes import HttpRequest

Author = Annotated[Text, Field(max_length=200)]
"""As at ``/chat``."""
Temperature = Annotated[float, Field(ge=0, le=2)]
Proportion = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Verbosity = Literal["low", "medium", "high"]
Metadata = Annotated[
    dict[Annotated[Text, Field(max_length=64)], Annotated[Text, Field(max_length=512)]], Field(max_length=16)
]
"""developers.openai.com/api/reference: 16 pairs, names of 64 characters, values of 512."""


class Refusing(BaseModel):
    """Fields that are not here are refused by name, unless they are null, as some programs write what they omit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_left_out(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.keys() <= cls.model_fields.keys():
            return given
        return {name: value for name, value in given.items() if value is not None or name in cls.model_fields}


LONGEST_NAME = 100
INCLUDED = (
    *("file_search_call.results", "web_search_call.results", "web_search_call.action.sources"),
    *("message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs"),
    "reasoning.encrypted_content",
)
"""What ``include`` may ask for. All but the last have no effect: there are no such items here, or they lack it."""


def _include_problem(given: str) -> str:
    """Returns what is wrong with a value of ``include``; "" for nothing."""
    if given in INCLUDED:
        return ""
    return f"{given[:LONGEST_NAME]!r} is not supported here; there are {', '.join(INCLUDED)}"


def _known_include(given: str) -> str:
    if problem := _include_problem(given):
        raise PydanticCustomError("include", "{problem}", {"problem": problem})
    return given


def check_include(request: HttpRequest) -> None:
    """Raises InvalidRequest for what a query cannot have included."""
    for each in (*request.query_values("include"), *request.query_values("include[]")):
        if problem := _include_problem(each):
            raise InvalidRequest(f"Invalid value for `include`: {problem}.", param="include", code="invalid_value")


Included = Annotated[str, AfterValidator(_known_include)]


class StreamOptions(Refusing):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


FORMATS = ("text", "json_object", "json_schema")
CHOICES = ("none", "auto", "required")


def _known_format(given: dict[str, Any]) -> dict[str, Any]:
    schema = given.get("json_schema")
    if given.get("type") not in FORMATS:
        raise PydanticCustomError("format", f"its `type` must be one of {', '.join(FORMATS)}")
    if given["type"] == "json_schema" and not (isinstance(schema, dict) and isinstance(schema.get("name"), str)):
        raise PydanticCustomError("format", "it must have `json_schema` with a `name`")
    return given


def _known_choice(given: str | dict[str, Any]) -> str | dict[str, Any]:
    if given not in CHOICES and not names_function(given) and not allows_functions(given):
        raise PydanticCustomError("choice", f"it must be one of {', '.join(CHOICES)}, or name functions")
    return given


def names_function(choice: Any) -> bool:
    """Returns whether a choice, or one of the tools that it allows, is a function by its name."""
    named = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    return isinstance(named, dict) and isinstance(named.get("name"), str)


def allows_functions(choice: Any) -> bool:
    """Returns whether a choice is of functions that may be called."""
    allowed = choice.get(ALLOWED_TOOLS) if isinstance(choice, dict) and choice.get("type") == ALLOWED_TOOLS else None
    tools = allowed.get("tools") if isinstance(allowed, dict) and allowed.get("mode") in ("auto", "required") else None
    return isinstance(tools, list) and bool(tools) and all(map(names_function, tools))


ResponseFormat = Annotated[dict[str, Any], AfterValidator(_known_format)]
ToolChoice = Annotated[str | dict[str, Any], AfterValidator(_known_choice)]
"""As Chat Completions writes them."""

M = TypeVar("M", bound=BaseModel)


def read_request(model: type[M], body: bytes) -> M:
    """Returns a request's body. Raises MalformedRequest; InvalidRequest with the name of the field at fault."""
    fields = read_object(body)
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise _invalid(model, fields, exc.errors(include_url=False, include_input=False)) from None


def as_parameters(request: BaseModel, names: Iterable[str]) -> dict[str, Any]:
    """Returns the fields of these names that were sent."""
    given = {name: getattr(request, name) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _invalid(model: type[BaseModel], fields: Any, errors: Sequence[ErrorDetails]) -> InvalidRequest:
    """Returns the error for the first field at fault; where it may be of several types, for the type that fits best."""
    paths = [(_path(error, fields), error) for error in errors]
    of_field = [each for each in paths if each[0][:1] == paths[0][0][:1]]
    path, error = max(of_field, key=_fit)
    where = _written(path)[:LONGEST_NAME]
    if error["type"] == "extra_forbidden":
        known = f" The parameters are: {', '.join(model.model_fields)}." if len(path) == 1 else ""
        message = f"Unsupported parameter: `{where}` is not supported here.{known}"
        return InvalidRequest(message, param=where, code="unsupported_parameter")
    if error["type"] == "missing":
        return missing(where)
    return InvalidRequest(f"Invalid value for `{where}`: {_problem(error)}.", param=where, code="invalid_value")


def _fit(found: tuple[list[int | str], ErrorDetails]) -> tuple[int, bool, int]:
    """Returns how well the type fits that an error is about: how far it was read, and whether it is the given one."""
    path, error = found
    is_other = 0 if error["type"].endswith("_type") else 1 if error["type"] == "literal_error" else 2
    return len(path), path[-1:] == ["type"], is_other


def _problem(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "union_tag_invalid":
        return f"there is no type {str(context['tag'])[:LONGEST_NAME]!r} here; there are {context['expected_tags']}"
    return error["msg"].removeprefix("Value error, ")


def _written(path: Sequence[int | str]) -> str:
    """Returns the name of a field as OpenAI writes it: ``messages[0].content``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _path(error: ErrorDetails, fields: Any) -> list[int | str]:
    """Returns the names of the fields that lead to an error. Pydantic has names of types among them."""
    found, value, loc = list[int | str](), fields, error["loc"]
    for place, part in enumerate(loc):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list):
            if not isinstance(part, int):
                continue
            value = value[part]
        elif place < len(loc) - 1 or error["type"] != "missing":
            continue
        found.append(part)
    return found
