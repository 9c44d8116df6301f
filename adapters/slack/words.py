"""What people write in Slack, as an assistant reads it best; and the sentences that we say without an assistant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from gateway.messages import Kind

Fields = Mapping[str, Any]
"""A JSON object of Slack's: everything in it may be missing, or of another type than it should be."""

RESETS = frozenset({"reset", "new", "/reset", "/new"})
STOPS = frozenset({"stop", "cancel", "/stop", "/cancel"})

NOTHING_SAID = "(mentioned you without saying anything)"
UNREADABLE = "(sent something that cannot be shown to you as text)"
RESET_IN_THREADS = """\
Each thread is a conversation of its own: to begin a new one, write a message outside of the thread. To have me forget \
what was said in a thread, write `reset` there; in a channel, mention me with it."""
HELP = """\
I pass on what you write to an assistant, and bring its reply.
• Write to me directly, or mention me in a channel. {scope}
• Attach images or documents, if that is what it is about.
• `stop`, or the Stop button, ends what I am working on. `reset` makes me forget what was said; in a channel, mention \
me with it.
• As long as I have not begun with a message, you can edit it, or delete it."""
REMEMBERED = {
    "topic": "I remember what was said in a thread; a new message begins a new one.",
    "channel": "I remember what was said to me in a channel, whoever said it.",
    "user": "I remember what you said to me in a channel, and nobody else's words.",
}
"""What ``SLACK_SCOPE`` means for people."""

TOKEN = re.compile(r"<([^<>\n]*)>|&(amp|lt|gt);")
"""docs.slack.dev/messaging/formatting-message-text#escaping: a bare < or & is no text of a person."""
ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
ESCAPES = str.maketrans({character: f"&{name};" for name, character in ENTITIES.items()})
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
DEEPEST = 6
"""Elements of rich text within each other; Slack has lists of sections of words in a block."""


# ---------------------------------------------------------------- reading with care


def text_in(fields: Fields, name: str) -> str:
    """A text that can be stored; empty when there is none."""
    value = fields.get(name)
    return UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else ""


def object_in(fields: Fields, name: str) -> Fields:
    """Empty when there is none."""
    value = fields.get(name)
    return value if isinstance(value, Mapping) else {}


def objects_in(fields: Fields, name: str) -> list[Fields]:
    """Empty when there are none."""
    value = fields.get(name)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


# ---------------------------------------------------------------- Slack's text


def mentions(text: str, user: str) -> bool:
    return bool(user) and (f"<@{user}>" in text or f"<@{user}|" in text)


def readable(text: str, bot_user: str = "") -> str:
    """Slack's text in plain words.

    The mention that addresses the bot is taken out where the text begins or ends with it; elsewhere it is "@you".
    """
    return TOKEN.sub(partial(_spoken, bot_user), _unaddressed(text.strip(), bot_user)).strip()


def kind_of(text: str) -> Kind:
    """What a readable text asks for."""
    word = text.strip().rstrip(".!").lower()
    return Kind.RESET if word in RESETS else Kind.STOP if word in STOPS else Kind.ASK


def _unaddressed(text: str, bot_user: str) -> str:
    if not mentions(text, bot_user):
        return text
    opening, closing = _mentions_of(bot_user)
    if found := opening.match(text):
        text = text[found.end() :]
    before, mention, after = text.rpartition(f"<@{bot_user}")
    if mention and (found := closing.fullmatch(after)):
        return before.rstrip(" ,\n") + found[1]
    return text


@lru_cache(maxsize=1000)
def _mentions_of(bot_user: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Mentions at the beginning, and what follows the last ``<@…`` if nothing but a full stop comes after it."""
    return re.compile(rf"(?:<@{re.escape(bot_user)}(?:\|[^<>]*)?>[,:]?\s*)+"), re.compile(r"(?:\|[^<>]*)?>\s*([.!?]*)")


def _spoken(bot_user: str, token: re.Match[str]) -> str:
    inner, entity = token.groups()
    if entity:
        return ENTITIES[entity]
    target, _, label = (TOKEN.sub(partial(_spoken, ""), part) for part in inner.partition("|"))
    return _name(target, label, bot_user)


def _name(target: str, label: str, bot_user: str) -> str:
    match target[:1]:
        case "@":
            return "@you" if bot_user and target[1:] == bot_user else f"@{label.lstrip('@') or target[1:]}"
        case "#":
            return f"#{label.lstrip('#') or target[1:]}"
        case "!":
            return _special(target[1:], label)
    return _link(target, label) if ":" in target else f"<{target}>"


def _special(target: str, label: str) -> str:
    name, _, rest = target.partition("^")
    if name == "date":
        return label or rest
    return f"@{label.lstrip('@') or rest}" if name == "subteam" else f"@{name}"


def _link(url: str, label: str) -> str:
    """As it was typed, if Slack made the link; with its label, if somebody did."""
    address = url.removeprefix("mailto:").removeprefix("tel:")
    if not label or label == url:
        return address
    bare = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    return label if label.rstrip("/") in {address, bare} else f"{label} ({address})"


# ---------------------------------------------------------------- blocks and attachments


def whole(message: Fields, bot_user: str) -> str:
    """All that a message says, in plain words."""
    said: Sequence[str] = [readable(written(message), bot_user), *map(quoted, enclosed(message))]
    return "\n\n".join(filter(None, said))


def written(message: Fields) -> str:
    """What somebody wrote, as Slack's text. It stands in the blocks alone where an app posted no text."""
    return text_in(message, "text") or "\n".join(filter(None, map(_flat, objects_in(message, "blocks"))))


def enclosed(message: Fields) -> Iterator[Fields]:
    """The attachments that are part of what was said: forwarded messages and what apps say; no previews of links."""
    for attachment in objects_in(message, "attachments"):
        if attachment.get("is_share") or not attachment.get("from_url"):
            yield attachment


def quoted(attachment: Fields) -> str:
    """An attachment as readable text; empty when there is nothing in it."""
    body = written(attachment) or "\n".join(_quoted_blocks(attachment)) or text_in(attachment, "fallback")
    facts = [f"{text_in(field, 'title')}: {text_in(field, 'value')}" for field in objects_in(attachment, "fields")]
    parts = [text_in(attachment, "pretext"), text_in(attachment, "title"), body, *facts]
    text = "\n".join(readable(part) for part in parts if part)
    author = readable(text_in(attachment, "author_name")) or "somebody"
    return f"Forwarded message from {author}:\n{text}" if text and attachment.get("is_share") else text


def _quoted_blocks(attachment: Fields) -> Iterator[str]:
    for quote in objects_in(attachment, "message_blocks"):
        yield from map(_flat, objects_in(object_in(quote, "message"), "blocks"))


def _flat(element: Fields, depth: int = 0) -> str:
    """A block, or an element of one, as Slack's text. docs.slack.dev/reference/block-kit/blocks"""
    kind = text_in(element, "type")
    if kind in LEAVES:
        return LEAVES[kind](element)
    if depth == DEEPEST:
        return ""
    inner = [object_in(element, "text"), *objects_in(element, "elements"), *objects_in(element, "fields")]
    return STYLES.get(kind, _lines)([_flat(child, depth + 1) for child in inner if child])


def _lines(parts: Sequence[str]) -> str:
    return "\n".join(filter(None, parts))


def _listed(parts: Sequence[str]) -> str:
    return "\n".join(f"• {part}" for part in parts)


def _cited(parts: Sequence[str]) -> str:
    return "\n".join(f"> {line}" for line in "".join(parts).split("\n"))


def _fenced(parts: Sequence[str]) -> str:
    return f"```\n{''.join(parts)}\n```"


def _escaped(name: str, element: Fields) -> str:
    return text_in(element, name).translate(ESCAPES)


def _token(sign: str, name: str, element: Fields) -> str:
    return f"<{sign}{_escaped(name, element)}>" if element.get(name) else ""


def _labelled(element: Fields) -> str:
    url, label = _escaped("url", element), _escaped("text", element)
    return f"<{url}|{label}>" if label else f"<{url}>" if url else ""


LEAVES: Mapping[str, Callable[[Fields], str]] = {
    "text": partial(_escaped, "text"),
    "markdown": partial(_escaped, "text"),
    "plain_text": partial(_escaped, "text"),
    "mrkdwn": lambda element: text_in(element, "text"),
    "link": _labelled,
    "user": partial(_token, "@", "user_id"),
    "channel": partial(_token, "#", "channel_id"),
    "usergroup": partial(_token, "!subteam^", "usergroup_id"),
    "broadcast": partial(_token, "!", "range"),
    "emoji": lambda element: f":{text_in(element, 'name')}:",
    "date": partial(_escaped, "fallback"),
    "image": partial(_escaped, "alt_text"),
}
"""Elements that hold no others. docs.slack.dev/reference/block-kit/blocks/rich-text-block#element-types"""


STYLES: Mapping[str, Callable[[Sequence[str]], str]] = {
    "rich_text_section": "".join,
    "rich_text_list": _listed,
    "rich_text_quote": _cited,
    "rich_text_preformatted": _fenced,
}
"""How others hold theirs, if not as lines."""
