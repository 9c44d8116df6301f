"""Tool calls that a model wrote as text because its server does not parse them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from gateway.assistants.json_fields import as_text
from gateway.assistants.sse import json_value

TextCall = tuple[str, str]
"""The name of the function, and its arguments as JSON."""

FUNCTION_XML = re.compile(r"<function=([^>\s]+)>(.*?)(?:</function>|$)", re.DOTALL)
PARAMETER_XML = re.compile(r"<parameter=([^>\s]+)>(.*?)</parameter>", re.DOTALL)
"""Qwen3-Coder (github.com/QwenLM/Qwen3-Coder, tool parser)."""
ARGUMENT_XML = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
"""GLM-4.5 (docs.vllm.ai, "Tool calling", glm45)."""
NAME_AND_JSON = re.compile(
    r"^(?:functions\.)?([\w.-]+?)(?::\d+)?\s*(?:<[^>]*>|\[ARGS\]|```json)?\s*(\{.*\})", re.DOTALL
)
"""Kimi, DeepSeek and newer Mistral models write the name before the arguments."""
SPECIAL_TOKEN = re.compile(r"<[|｜][^|｜<>]{1,40}[|｜]>")  # noqa: RUF001  # DeepSeek's


def parse_calls(text: str) -> list[TextCall]:
    """Returns the calls in the text between the marks of a call; none if it has no known form."""
    inner = text.strip()
    for read in READERS:
        if calls := read(inner):
            return calls
    return []


def _read_json(text: str) -> list[TextCall]:
    """Reads ``{"name": …, "arguments": …}``: one, several in a row, or a list."""
    calls: list[TextCall] = []
    for part in _json_values(text):
        for one in part if isinstance(part, list) else [part]:
            name, arguments = _name_and_arguments(one)
            if not name:
                return []
            calls.append((name, arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)))
    return calls


def _json_values(text: str) -> list[Any]:
    """Returns the JSON values of a text, one after the other; none if anything else is between them."""
    decoder, values, place = json.JSONDecoder(), list[Any](), 0
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return []
        values.append(value)
        place += len(text[place:]) - len(text[place:].lstrip(" \t\r\n,;"))
    return values


def _name_and_arguments(one: Any) -> tuple[str, Any]:
    if not isinstance(one, dict):
        return "", None
    inner = one["function"] if isinstance(one.get("function"), dict) else one
    name = as_text(inner.get("name")) or as_text(inner.get("function"))
    arguments: Any = next((inner[key] for key in ("arguments", "parameters", "args", "input") if key in inner), {})
    return name, arguments


def _read_function_xml(text: str) -> list[TextCall]:
    return [(name, _function_arguments(body)) for name, body in FUNCTION_XML.findall(text)]


def _function_arguments(body: str) -> str:
    """Returns the arguments of ``<function=…>``: parameters as XML, or JSON (Llama 3.1)."""
    given = {name: _value(value) for name, value in PARAMETER_XML.findall(body)}
    return json.dumps(given, ensure_ascii=False) if given or not body.strip() else body.strip()


def _read_argument_xml(text: str) -> list[TextCall]:
    name, _, rest = text.partition("<arg_key>")
    if not rest or not re.fullmatch(r"[\w.-]+", name.strip()):
        return []
    given = {key.strip(): _value(value) for key, value in ARGUMENT_XML.findall(text)}
    return [(name.strip(), json.dumps(given, ensure_ascii=False))]


def _read_name_and_json(text: str) -> list[TextCall]:
    """Reads calls with the name before the arguments, each between special tokens."""
    parts = [part.strip() for part in SPECIAL_TOKEN.split(text)]
    found = [NAME_AND_JSON.match(part) for part in (*parts, *map(" ".join, pairwise(parts)))]
    return list(dict.fromkeys((match[1], match[2]) for match in found if match))


def _value(text: str) -> Any:
    try:
        return json_value(text.strip())
    except ValueError:
        return text.strip()


READERS: tuple[Callable[[str], list[TextCall]], ...] = (
    _read_json,
    _read_function_xml,
    _read_argument_xml,
    _read_name_and_json,
)
