"""Reads the JSON bodies of requests, with error messages that say what to change."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from gateway.domain.errors import MalformedRequest
from gateway.domain.visible_text import INVISIBLE_CHARACTERS, is_visible

M = TypeVar("M", bound=BaseModel)

SMART_QUOTES = re.compile("[\u201c-\u201f\u2018-\u201b\u00ab\u00bb]")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
TOO_DEEP = "The body is nested too deeply."
MOST_NAMES = 10_000
"""Fields of one object. A report of each unknown one of millions would fill the memory."""
NAMED_AT_MOST = 5
LONGEST_NAME = 60
DEEPEST = 100
"""Nested arrays and objects. Python's own limit differs between versions."""

WRONG = {
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "is not of the form that the documentation describes",
    "string_too_long": "must have at most {max_length} characters",
}
"""Messages by pydantic's type of error; for other types, pydantic's own message is used."""


def _storable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "must not hold NUL characters (\\u0000)")
    return text


STORABLE = AfterValidator(_storable)
"""For a text that every database must be able to store."""
STORABLE_PATTERN = r"^[^\x00]*$"
"""Says the same in JSON Schema."""


def _visible(text: str) -> str:
    if not is_visible(text):
        raise PydanticCustomError("string_too_short", "must not be empty")
    return text


VISIBLE = AfterValidator(_visible)
"""For a text with at least one visible character."""
VISIBLE_PATTERN = rf"^[^\x00]*[^{INVISIBLE_CHARACTERS}][^\x00]*$"
"""Says of a storable text the same in JSON Schema."""


def read_model(model: type[M], content_type: str, body: bytes) -> M:
    """Returns a request's body as an instance of the model.

    Raises MalformedRequest: ``unsupported_media_type``, ``invalid_json``, ``missing_…``, ``empty_…`` and ``…_too_long``
    for a field that must be there, ``invalid_field`` for everything else, unknown fields by name.
    """
    _demand_json(content_type)
    return validate(model, read_object(body))


def validate(model: type[M], fields: Mapping[str, Any]) -> M:
    """Returns an instance of the model. Raises MalformedRequest as ``read_model`` does, for wrong fields."""
    try:
        return model.model_validate(fields)
    except ValidationError as exc:
        raise _validation_error(model, exc.errors(include_url=False, include_input=False)) from None


def read_object(body: bytes) -> dict[str, Any]:
    """Returns the JSON object in a body. Raises MalformedRequest: ``invalid_json``.

    Also refuses what many parsers accept and others do not: the same name twice, NaN and Infinity, half of a surrogate
    pair.
    """
    try:
        text = body.decode("utf-8-sig")
        value = STRICT.decode(text)
        _check_depth(text, value)
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        raise _invalid("The body is not UTF-8. Encode it as UTF-8.") from None
    except UnicodeEncodeError:
        raise _invalid("The body holds half of a surrogate pair (\\ud800 to \\udfff), which is no character.") from None
    except json.JSONDecodeError as exc:
        raise _invalid(_advice(text, exc)) from None
    except RecursionError:
        raise _invalid(TOO_DEEP) from None
    except ValueError:  # int() takes at most 4300 digits
        raise _invalid("The body holds a number that is too long.") from None
    if not isinstance(value, dict):
        raise _invalid("The body must be a JSON object: { … }.")
    return value


def _demand_json(content_type: str) -> None:
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = {part.removeprefix("charset=").strip('"') for part in parameters if part.startswith("charset=")}
    if kind != "application/json" or charsets - {"utf-8", "utf8"}:
        raise MalformedRequest(
            "Send JSON in UTF-8, and say so: Content-Type: application/json.", code="unsupported_media_type"
        )


def _invalid(message: str) -> MalformedRequest:
    return MalformedRequest(message, code="invalid_json")


def _check_depth(text: str, value: Any) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
    if any(isinstance(left, dict | list) for left in level):
        raise _invalid(TOO_DEEP)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _unique_names(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise _invalid(f"The body holds an object with more than {MOST_NAMES:,} fields.")
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _invalid("The body names a field twice. Name each field once.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise _invalid(f"The body holds {name}, which is not JSON.")


STRICT = json.JSONDecoder(object_pairs_hook=_unique_names, parse_constant=_refuse_constant)


def _advice(text: str, exc: json.JSONDecodeError) -> str:
    if not text.strip():
        return "The body is empty. Send a JSON object."
    found, before = text[exc.pos : exc.pos + 1], text[: exc.pos].rstrip()[-1:]
    hints = [f"The body is not valid JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}."]
    if SMART_QUOTES.search(text):
        hints.append('It holds smart quotes (such as \u201c and \u201d): replace them with plain ones (").')
    if found == "'":
        hints.append('Names and strings stand in double quotes (").')
    if exc.msg.startswith("Illegal trailing comma") or (before == "," and found in {"}", "]"}):
        hints.append("There is a comma too many before that place.")
    if exc.msg.startswith("Invalid control character"):
        hints.append("Inside a string a line break is written \\n and a tab \\t.")
    return " ".join(hints)


def _validation_error(model: type[BaseModel], errors: Sequence[ErrorDetails]) -> MalformedRequest:
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    wrong = [error for error in errors if error["type"] != "extra_forbidden"]
    sentences = [f"{_name(error)} {_problem(error)}." for error in wrong]
    if unknown:
        names = ", ".join(_name(error) for error in unknown[:NAMED_AT_MOST])
        sentences.append(f"There is no field {names}; there are: {', '.join(model.model_fields)}.")
    codes = [_code(model, error) for error in wrong]
    return MalformedRequest(" ".join(sentences), code=next((code for code in codes if code), "invalid_field"))


def _name(error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    return f"`{name}`" if len(name) <= LONGEST_NAME else f"`{name[:LONGEST_NAME]}…`"


def _problem(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "is missing"
    known = WRONG.get(error["type"])
    return error["msg"] if known is None else known.format_map(error.get("ctx", {}))


def _code(model: type[BaseModel], error: ErrorDetails) -> str | None:
    """Returns the specific code of an error, if it has one."""
    name = str(error["loc"][0])
    if not model.model_fields[name].is_required():
        return None
    codes = {"missing": f"missing_{name}", "string_too_short": f"empty_{name}", "string_too_long": f"{name}_too_long"}
    return codes.get(error["type"])


def decode_base64(text: str) -> bytes:
    """Returns what a text in base64 has. Raises ValueError for any other character, also white space."""
    return b64decode(text.encode("ascii"), validate=True)
