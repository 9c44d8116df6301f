"""Converts what people write in Slack, Slack's markup and blocks, into plain text for an assistant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from adapters.base import text_input
from adapters.base.json_fields import Fields, object_in, objects_in, size_in, text_in
from adapters.base.text_input import MENTION, SOMEBODY, labelled_link, moment, quoted, resolve_mentions
from gateway.domain.models import MessageKind

TOKEN = re.compile(r"<([^<>\n]*)>|&(amp|lt|gt);")
"""A reference in angle brackets, or an entity. What people type has no bare < or &:
docs.slack.dev/messaging/formatting-message-text#escaping"""
ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
ESCAPES = str.maketrans({character: f"&{name};" for name, character in ENTITIES.items()})
CALLS_OTHERS = text_input.calling(r"<(?:@|!subteam\^)[^<>\n]+>")
WORDS = re.compile(r"\w+")
NO_PREVIEW = "no preview available"
"""What Slack gives as the fallback of an attachment that it cannot describe."""
LONGEST_QUOTE = 8000
"""Characters."""
INDENT, MOST_INDENTED = "    ", 8
DEEPEST = 6
"""Levels of rich text that are read: Slack nests text in sections, in lists, in blocks."""


# ---------------------------------------------------------------- Slack's markup


def mentions(text: str, user: str) -> bool:
    return bool(user) and (f"<@{user}>" in text or f"<@{user}|" in text)


def readable(text: str, bot_user: str = "") -> str:
    """Returns Slack's markup as plain text.

    A mention of the bot is removed at the start and at the end; elsewhere it is "@you".
    """
    return resolve_mentions(TOKEN.sub(partial(_readable_token, bot_user), text))


def kind_of(text: str) -> MessageKind:
    """Returns what a readable text asks for: a command may be written with or without a slash."""
    word = text_input.bare_word(text)
    if text_input.CHOICE.fullmatch(word):
        return MessageKind.CHOOSE
    word = word.removeprefix("/")
    return text_input.kind_of(word) if word in text_input.HANDOVER_WORDS else text_input.bare_kind(word)


def command_word(text: str) -> str:
    """Returns a readable text as it is compared with commands."""
    return text_input.bare_word(text).removeprefix("/")


def may_answer(text: str) -> bool:
    """Tells whether a command may as well answer a question."""
    return command_word(text) in text_input.ANSWERS


def calls_others(text: str) -> bool:
    """Tells whether a text in Slack's markup calls upon somebody: "<@U1> can you …?", "can you …, <@U1>?"."""
    return CALLS_OTHERS.search(text) is not None


def _readable_token(bot_user: str, token: re.Match[str]) -> str:
    inner, entity = token.groups()
    if entity:
        return ENTITIES[entity]
    target, _, label = (TOKEN.sub(partial(_readable_token, ""), part) for part in inner.partition("|"))
    return _reference(target, label, bot_user)


def _reference(target: str, label: str, bot_user: str) -> str:
    match target[:1]:
        case "@":
            return MENTION if bot_user and target[1:] == bot_user else f"@{label.lstrip('@') or target[1:]}"
        case "#":
            return f"#{label.lstrip('#') or target[1:]}"
        case "!":
            return _special(target[1:], label)
    return _link(target, label) if ":" in target else f"<{target}>"


def _special(target: str, label: str) -> str:
    name, _, rest = target.partition("^")
    if name == "date":
        return label or moment(rest.partition("^")[0]) or rest
    return f"@{label.lstrip('@') or rest}" if name == "subteam" else f"@{name}"


def _link(url: str, label: str) -> str:
    """Returns a link that Slack made as it was typed, and one that a person made with its label."""
    address = url.removeprefix("mailto:").removeprefix("tel:")
    return labelled_link(label, address) if label and label != url else address


# ---------------------------------------------------------------- blocks and attachments


def whole(message: Fields, bot_user: str) -> str:
    """Returns all that a message says, with what it forwards, as plain text."""
    return with_enclosed(written(message), message, bot_user)


def with_enclosed(said: str, message: Fields, bot_user: str) -> str:
    """Returns what ``whole`` does. ``said``: what is ``written`` in the message."""
    return "\n\n".join(filter(None, [readable(said, bot_user), *enclosed_texts(message)]))


def written(message: Fields) -> str:
    """Returns the text in Slack's markup, with what only its blocks say.

    The text of a person's message is that of its rich text; the text of an app's may be a summary of its blocks.
    """
    text, blocks = text_in(message, "text"), objects_in(message, "blocks")
    if text and not _is_of_app(message):
        blocks = [block for block in blocks if block.get("type") != "rich_text"]
    return _together(text, map(_flat, blocks)) if blocks else text


def _together(text: str, parts: Iterable[str]) -> str:
    """Returns a text with the parts whose words it does not have; without it where they have its words."""
    said = [part for part in parts if part and not _says(text, part)]
    return "\n".join(said if not text or (said and _says("\n".join(said), text)) else [text, *said])


def _is_of_app(message: Fields) -> bool:
    return bool(message.get("bot_id") or message.get("app_id") or "user" not in message)


def _says(text: str, part: str) -> bool:
    """Tells whether a text has the words of another in their order."""
    return f" {_words(part)} " in f" {_words(text)} " if _words(part) else part in text


def _words(text: str) -> str:
    return " ".join(WORDS.findall(readable(text).casefold()))


def enclosed(message: Fields) -> list[Fields]:
    """Returns the attachments that are part of the message: messages that it forwards or links, and apps' content.

    Previews of other links are not.
    """
    return [
        attachment
        for attachment in objects_in(message, "attachments")
        if attachment.get("is_share") or attachment.get("is_msg_unfurl") or not attachment.get("from_url")
    ]


def enclosed_texts(message: Fields) -> list[str]:
    return list(filter(None, map(attachment_text, enclosed(message)))) if "attachments" in message else []


def is_linked(attachment: Fields) -> bool:
    """Tells whether it is a message that a link leads to. One that is forwarded is unfurled too."""
    return bool(attachment.get("is_msg_unfurl")) and not attachment.get("is_share")


def attachment_text(attachment: Fields) -> str:
    """Returns an attachment as plain text; "" if it has none."""
    body = _together(written(attachment), _quoted_blocks(attachment)) or _fallback(attachment)
    facts = [f"{text_in(field, 'title')}: {text_in(field, 'value')}" for field in objects_in(attachment, "fields")]
    parts = [text_in(attachment, "pretext"), _title(attachment), body, *facts]
    text = "\n".join(readable(part) for part in parts if part)
    author = readable(text_in(attachment, "author_name"))
    if is_linked(attachment):
        return _linked(attachment, author or SOMEBODY, text)
    if attachment.get("is_share"):
        return text_input.forwarded(author or SOMEBODY, text) if text else ""
    footer = readable(text_in(attachment, "footer")) if text else ""
    return "\n".join(filter(None, [author, text, footer]))


def _title(attachment: Fields) -> str:
    title, address = text_in(attachment, "title"), text_in(attachment, "title_link")
    return f"<{address}|{title}>" if title and address else title


def _linked(attachment: Fields, author: str, text: str) -> str:
    """Returns a message that a link leads to, as a quotation. Its files are named only."""
    names = [text_in(file, "name") or text_in(file, "title") for file in objects_in(attachment, "files")]
    said = "\n".join(filter(None, [text, *(f"[attached: {name}]" for name in names if name)]))
    if len(said) > LONGEST_QUOTE:
        said = f"{said[:LONGEST_QUOTE].rstrip()} […]"
    channel = text_in(attachment, "channel_name")
    where = f" in #{channel}" if channel else ""
    return f"The link leads to a message of {author}{where}:\n{quoted(said)}" if said else ""


def _fallback(attachment: Fields) -> str:
    text = text_in(attachment, "fallback")
    return "" if text.strip("[]. ").casefold() == NO_PREVIEW else text


def _quoted_blocks(attachment: Fields) -> Iterator[str]:
    """Yields the blocks of a message that is forwarded. The text of a person's is that of its rich text."""
    has_text = bool(attachment.get("text") and attachment.get("author_id"))
    for quote in objects_in(attachment, "message_blocks"):
        blocks = objects_in(object_in(quote, "message"), "blocks")
        yield from (_flat(block) for block in blocks if not (has_text and block.get("type") == "rich_text"))


def _flat(element: Fields, depth: int = 0) -> str:
    """Returns a block, or an element of one, in Slack's markup. docs.slack.dev/reference/block-kit/blocks"""
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
    return [_flat(child, depth + 1) for child in children if isinstance(child, Mapping)]


def _table(rows: Sequence[object], depth: int) -> str:
    """Returns a table in Markdown. docs.slack.dev/reference/block-kit/blocks/table-block"""
    found = [[_cell(cell, depth) for cell in row] for row in rows if isinstance(row, list)]
    rule = [["---"] * len(row) for row in found[:1]]
    return "\n".join(f"| {' | '.join(row)} |" for row in (*found[:1], *rule, *found[1:]))


def _cell(cell: object, depth: int) -> str:
    """Returns a cell in one line. In a link or a mention "|" is Slack's."""
    said = " ".join((_flat(cell, depth + 1) if isinstance(cell, Mapping) else "").split())
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
    return _lines([_flat(object_in(element, "title")), _escaped("alt_text", element)])


def _escaped(name: str, element: Fields) -> str:
    return text_in(element, name).translate(ESCAPES)


def _styled(element: Fields) -> str:
    """Returns a text with the formatting that says something. Slack's text of a message has it already."""
    text, style = _escaped("text", element), object_in(element, "style")
    mark = "`" if style.get("code") else "~" if style.get("strike") else ""
    return f"{mark}{text}{mark}" if text else ""


def _token(sign: str, name: str, element: Fields) -> str:
    return f"<{sign}{_escaped(name, element)}>" if element.get(name) else ""


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
    "emoji": lambda element: f":{text_in(element, 'name')}:",
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
