"""Reads Slack's markup, in which people write, as plain text."""

from __future__ import annotations

import re
from functools import partial

from adapters.base import text_input
from adapters.base.text_input import MENTION, labelled_link, moment, resolve_mentions

TOKEN = re.compile(r"<([^<>\n]*)>|&(amp|lt|gt);")
"""A reference in angle brackets, or an entity. What people type has no bare < or &:
docs.slack.dev/messaging/formatting-message-text#escaping"""
ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
CALLS_OTHERS = text_input.calling(r"<(?:@|!subteam\^)[^<>\n]+>")


def mentions(text: str, user: str) -> bool:
    return bool(user) and (f"<@{user}>" in text or f"<@{user}|" in text)


def readable(text: str, bot_user: str = "") -> str:
    """Returns Slack's markup as plain text.

    A mention of the bot is removed at the start and at the end; elsewhere it is "@you".
    """
    return resolve_mentions(TOKEN.sub(partial(_readable_token, bot_user), text))


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
