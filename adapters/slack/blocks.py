"""Writes blocks, and the elements that they consist of, in Slack's markup: docs.slack.dev/reference/block-kit/blocks"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from adapters.base.json_fields import Fields, object_in, size_in, text_in
from adapters.base.text_input import moment, quoted

ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
INDENT, MOST_INDENTED = "    ", 8
DEEPEST = 6
"""Levels of rich text that are read: Slack nests text in sections, in lists, in blocks."""


def in_markup(element: Fields, depth: int = 0) -> str:
    """Returns a block, or an element of one, in Slack's markup; "" if it says nothing. ``depth``: of the element."""
    kind = text_in(element, "type")
    if kind in LEAVES:
        return LEAVES[kind](element)
    if depth == DEEPEST:
        return ""
    if not kind and "label" in element:  # a point of a chart
        return _number(element)
    parts = [part for name in PARTS if name in element for part in _part(element, name, depth)]
    if kind == "rich_text_list":
        return _listed(element, parts)
    return STYLES.get(kind, _lines)(parts)


def _part(element: Fields, name: str, depth: int) -> list[str]:
    """Returns what a field of an element says: a text, an element, or several."""
    value = element[name]
    if name == "rows":
        return [_table(value, depth)] if isinstance(value, list) else []
    if isinstance(value, str):
        return [_escaped(name, element)]
    children = [value] if isinstance(value, Mapping) else value if isinstance(value, list) else []
    return [in_markup(child, depth + 1) for child in children if isinstance(child, Mapping)]


def _table(rows: Sequence[object], depth: int) -> str:
    """Returns a table in Markdown. docs.slack.dev/reference/block-kit/blocks/table-block"""
    found = [[_cell(cell, depth) for cell in row] for row in rows if isinstance(row, list)]
    rule = [["---"] * len(row) for row in found[:1]]
    return "\n".join(f"| {' | '.join(row)} |" for row in (*found[:1], *rule, *found[1:]))


def _cell(cell: object, depth: int) -> str:
    """Returns a cell in one line. In a link or a mention "|" is Slack's."""
    said = " ".join((in_markup(cell, depth + 1) if isinstance(cell, Mapping) else "").split())
    return said if "<" in said else said.replace("|", "\\|")


def _lines(parts: Sequence[str]) -> str:
    return "\n".join(filter(None, parts))


def _listed(element: Fields, parts: Sequence[str]) -> str:
    """Returns a list as Slack writes it into the text of a person's message."""
    indent = INDENT * min(size_in(element, "indent"), MOST_INDENTED)
    if element.get("style") != "ordered":
        return "\n".join(f"{indent}• {part}" for part in parts)
    first = size_in(element, "offset") + 1
    return "\n".join(f"{indent}{number}. {part}" for number, part in enumerate(parts, first))


def _quote(parts: Sequence[str]) -> str:
    return quoted("".join(parts))


def _fenced(parts: Sequence[str]) -> str:
    return f"```\n{''.join(parts)}\n```"


def _number(element: Fields) -> str:
    """Returns a number of a table, or a point of a chart with its label."""
    value, label = element.get("value"), _escaped("label", element)
    shown = _escaped("text", element) or (str(value) if isinstance(value, int | float) else _escaped("value", element))
    return f"{label}: {shown}" if label and shown else shown or label


def _date(element: Fields) -> str:
    return _escaped("fallback", element) or moment(str(element.get("timestamp", "")))


def _image(element: Fields) -> str:
    return _lines([in_markup(object_in(element, "title")), _escaped("alt_text", element)])


def _escaped(name: str, element: Fields) -> str:
    return text_in(element, name).translate(ESCAPES)


def _styled(element: Fields) -> str:
    """Returns a text with the formatting that says something. Slack's text of a message has it already."""
    text, style = _escaped("text", element), object_in(element, "style")
    mark = "`" if style.get("code") else "~" if style.get("strike") else ""
    return f"{mark}{text}{mark}" if text else ""


def _token(sign: str, name: str, element: Fields) -> str:
    return f"<{sign}{_escaped(name, element)}>" if element.get(name) else ""


def _emoji(element: Fields) -> str:
    tone = size_in(element, "skin_tone")
    return f":{text_in(element, 'name')}:" + (f":skin-tone-{tone}:" if tone else "")


def _labelled(element: Fields) -> str:
    url, label = _escaped("url", element), _escaped("text", element)
    return f"<{url}|{label}>" if label else f"<{url}>" if url else ""


LEAVES: Mapping[str, Callable[[Fields], str]] = {
    "text": _styled,
    "raw_text": partial(_escaped, "text"),
    "raw_number": _number,
    "markdown": partial(_escaped, "text"),
    "plain_text": partial(_escaped, "text"),
    "mrkdwn": lambda element: text_in(element, "text"),
    "link": _labelled,
    "user": partial(_token, "@", "user_id"),
    "channel": partial(_token, "#", "channel_id"),
    "usergroup": partial(_token, "!subteam^", "usergroup_id"),
    "broadcast": partial(_token, "!", "range"),
    "emoji": _emoji,
    "color": partial(_escaped, "value"),
    "date": _date,
    "image": _image,
    "url": _labelled,
}
"""Elements without children. docs.slack.dev/reference/block-kit/blocks/rich-text-block#element-types"""


PARTS = (
    *("name", "title", "rich_text_title", "subtitle", "title_url", "label", "text", "description", "body", "caption"),
    *("rows", "details", "output", "elements", "fields", "child_blocks", "tasks", "sources"),
    *("chart", "segments", "series", "data", "call", "v1", "join_url"),
)
"""The fields of blocks and of their elements that say something, in the order in which they are shown."""


STYLES: Mapping[str, Callable[[Sequence[str]], str]] = {
    "rich_text_section": "".join,
    "rich_text_quote": _quote,
    "rich_text_preformatted": _fenced,
}
"""How elements join their children, if not as lines."""
