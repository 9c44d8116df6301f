"""Tool calls that a model wrote as text because its server does not parse them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gateway.assistants.json_fields import as_text
from gateway.json_text import decode_json

TextCall = tuple[str, str]
"""The name of the function, and its arguments as JSON."""


@dataclass(frozen=True, slots=True)
class Element:
    """A name, and what is between the marks that follow it."""

    opening: re.Pattern[str]
    closing: re.Pattern[str]
    may_be_open: bool = False
    """Whether the end of the text closes it too."""

    def find_all(self, text: str) -> list[tuple[str, str]]:
        """Returns the names and contents. Reads the text once, whatever is in it."""
        found, place = list[tuple[str, str]](), 0
        while begin := self.opening.search(text, place):
            end = self.closing.search(text, begin.end())
            if end is None and not self.may_be_open:
                break  # nothing behind it is closed either
            found.append((begin[1], text[begin.end() : end.start() if end else len(text)]))
            place = end.end() if end else len(text)
        return found


@dataclass(frozen=True, slots=True)
class ElementPair:
    """Two elements in a row, of which the first holds a name."""

    name: tuple[str, str]
    """Its marks."""
    value: Element

    def find_all(self, text: str) -> list[tuple[str, str]]:
        """Returns the names and values. Reads the text once, whatever is in it."""
        found, (opening, closing), place = list[tuple[str, str]](), self.name, 0
        while (begin := text.find(opening, place)) >= 0 and (end := text.find(closing, begin)) >= 0:
            place = end + len(closing)
            if (value := self.value.opening.match(text, place)) is None:
                continue
            if (closed := self.value.closing.search(text, value.end())) is None:
                break
            found.append((text[begin + len(opening) : end], text[value.end() : closed.start()]))
            place = closed.end()
        return found


FUNCTION_XML = Element(re.compile(r"<function=([^>\s]{1,256})>"), re.compile("</function>"), may_be_open=True)
PARAMETER_XML = Element(re.compile(r"<parameter=([^>\s]{1,256})>"), re.compile("</parameter>"))
"""Qwen3-Coder (github.com/QwenLM/Qwen3-Coder, tool parser)."""
INVOKE_XML = Element(
    re.compile(r"<(?:｜DSML｜)?invoke name=\"([^\"]{1,256})\">"),  # noqa: RUF001  # DeepSeek's
    re.compile("</(?:｜DSML｜)?invoke>"),  # noqa: RUF001  # likewise
    may_be_open=True,
)
NAMED_PARAMETER_XML = Element(
    re.compile(r"<(?:｜DSML｜)?parameter name=\"([^\"]{1,256})\"[^>]{0,256}>"),  # noqa: RUF001  # likewise
    re.compile("</"),
)
"""Claude, MiniMax (github.com/MiniMax-AI/MiniMax-M2, docs/tool_calling_guide.md), DeepSeek V3.2."""
ARGUMENT_XML = ElementPair(
    ("<arg_key>", "</arg_key>"), Element(re.compile(r"\s*<arg_value>"), re.compile("</arg_value>"))
)
"""GLM-4.5 (docs.vllm.ai, "Tool calling", glm45)."""
NAME_XML = ElementPair(
    ("<name>", "</name>"),
    Element(re.compile(r"\s*<(?:arguments|parameters)>"), re.compile("</(?:arguments|parameters)>")),
)
NAME_AND_JSON = re.compile(
    r"^(?:functions\.)?([\w.-]+?)(?::\d+)?\s*+(?:<[^>]*>|\[CALL_ID\][\w-]+\[ARGS\]|\[ARGS\]|```json)?\s*+(\{.*\})",
    re.DOTALL,
)
"""Kimi, DeepSeek and newer Mistral models write the name before the arguments."""
GEMMA_CALL = Element(re.compile(r"call:\s*([\w.-]+)\s*(?=\{)"), re.compile(r"(?<=\})\s*+(?=call:|\Z)"))
GEMMA_KEY = re.compile(r'"[^"]*+"|([{,]\s*+)([A-Za-z_]\w*+)(?=\s*+:)')
"""Gemma 4 writes ``call:name{key:<|"|>text<|"|>,other:1}`` (its chat template)."""
NAME_IN_JSON = re.compile(r'"(?:name|tool_name)"\s*:\s*"([\w.-]+)"')
ARGUMENTS_IN_JSON = re.compile(r'"(?:arguments|parameters)"\s*:\s*(.*)', re.DOTALL)

BETWEEN_VALUES = re.compile(r"[ \t\r\n,;]*")
SPECIAL_TOKEN = re.compile(r"<[|｜][^|｜<>]{1,40}[|｜]>")  # noqa: RUF001  # DeepSeek's
AROUND = re.compile(r"\A```\w*\s|\s```\Z|</?(?:\w+:)?(?:tool|function)_calls?>|</?tool_use>|<\|plugin\|>")
"""What may be around the calls between their marks."""


def parse_calls(text: str) -> list[TextCall]:
    """Returns the calls in the text between the marks of a call; none if no function is named in it."""
    inner = AROUND.sub("\n", text.strip().replace('<|"|>', '"').replace("<escape>", '"')).strip()
    for read in READERS:
        if calls := read(inner):
            return calls
    return []


def _read_json(text: str) -> list[TextCall]:
    """Reads ``{"name": …, "arguments": …}``: one, several in a row, or a list."""
    return _calls_in(_json_values(text))


def _read_python(text: str) -> list[TextCall]:
    """Reads ``[name(key="text")]`` (Llama 4, Gemma's ``tool_code``), and JSON's objects as Python writes them."""
    try:
        tree = ast.parse(re.sub(r"^print\((.*)\)$", r"\1", text), mode="eval").body
        return _calls_in([ast.literal_eval(tree)])
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    try:
        return [_python_call(node) for node in (tree.elts if isinstance(tree, ast.List) else [tree])]
    except (ValueError, UnboundLocalError, RecursionError):
        return []


def _python_call(node: ast.expr) -> TextCall:
    """Returns a call whose arguments are literals with names. Raises ValueError for anything else."""
    if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError("not a call of a tool")
    given = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
    return ast.unparse(node.func).rpartition(".")[2], json.dumps(given, ensure_ascii=False, default=str)


def _calls_in(values: list[Any]) -> list[TextCall]:
    calls: list[TextCall] = []
    for part in values:
        for one in part if isinstance(part, list) else [part]:
            name, arguments = _name_and_arguments(one)
            if not name:
                return []
            written = (
                arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
            )
            calls.append((name, written))
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
        place = BETWEEN_VALUES.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing, too
    return values


def _name_and_arguments(one: Any) -> tuple[str, Any]:
    if not isinstance(one, dict):
        return "", None
    inner = one["function"] if isinstance(one.get("function"), dict) else one
    name = next((as_text(inner[key]) for key in ("name", "tool_name", "function", "tool") if inner.get(key)), "")
    arguments: Any = next((inner[key] for key in ("arguments", "parameters", "args", "input") if key in inner), {})
    return name, arguments


def _read_function_xml(text: str) -> list[TextCall]:
    """Reads ``<function=…>`` with parameters as XML or JSON (Llama 3.1), and ``<invoke name=…>``."""
    named = [(name, _parameters(PARAMETER_XML, body)) for name, body in FUNCTION_XML.find_all(text)]
    return named or [(name, _parameters(NAMED_PARAMETER_XML, body)) for name, body in INVOKE_XML.find_all(text)]


def _parameters(element: Element, body: str) -> str:
    given = {name: _value(value) for name, value in element.find_all(body)}
    return json.dumps(given, ensure_ascii=False) if given or not body.strip() else body.strip()


def _read_argument_xml(text: str) -> list[TextCall]:
    if named := NAME_XML.find_all(text):
        return [(name.strip(), arguments.strip()) for name, arguments in named]
    name, _, rest = text.partition("<arg_key>")
    if not rest or not re.fullmatch(r"[\w.-]+", name.strip()):
        return []
    given = {key.strip(): _value(value) for key, value in ARGUMENT_XML.find_all(text)}
    return [(name.strip(), json.dumps(given, ensure_ascii=False))]


def _read_name_and_json(text: str) -> list[TextCall]:
    """Reads calls with the name before the arguments, each between special tokens."""
    parts = [part.strip() for part in SPECIAL_TOKEN.split(text)]
    found = [NAME_AND_JSON.match(part) for part in (*parts, *map(" ".join, pairwise(parts)))]
    return list(dict.fromkeys((match[1], match[2]) for match in found if match))


def _read_gemma(text: str) -> list[TextCall]:
    return [(name, GEMMA_KEY.sub(_quoted_key, given)) for name, given in GEMMA_CALL.find_all(text)]


def _quoted_key(found: re.Match[str]) -> str:
    """Returns a key in quotes, and a text as it is."""
    return f'{found[1]}"{found[2]}"' if found[2] else found[0]


def _read_broken_json(text: str) -> list[TextCall]:
    """Reads a call whose JSON is broken: the tool says so, and the model may write it again."""
    name, given = NAME_IN_JSON.search(text), ARGUMENTS_IN_JSON.search(text)
    return [(name[1], given[1] if given else "")] if name else []


def _value(text: str) -> Any:
    try:
        return decode_json(text.strip())
    except ValueError:
        return text.strip()


READERS: tuple[Callable[[str], list[TextCall]], ...] = (
    _read_json,
    _read_gemma,
    _read_function_xml,
    _read_argument_xml,
    _read_name_and_json,
    _read_python,
    _read_broken_json,
)
