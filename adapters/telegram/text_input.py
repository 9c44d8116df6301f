"""Converts what people send in Telegram into plain text for an assistant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapters.base import text_input
from adapters.base.json_fields import Fields, object_in, objects_in, storable, text_in
from adapters.base.text_input import LONGEST_QUOTE, SOMEBODY, YOU
from adapters.telegram import replies
from adapters.telegram.message_entities import BotIdentity, entity_spans, number_in, readable, written
from gateway.domain.models import MessageKind

COMMAND = re.compile(r"/([A-Za-z0-9_]{1,64})(?:@([A-Za-z0-9_]{1,64}))?(?:\s+(.*))?", re.DOTALL)
"""core.telegram.org/bots/features#commands"""
LONGEST_NAME = 100
CUT = " […]"
ABOUT = "About this part of it:"
NONE = object()
"""Stands for the id that no task and no option has."""
DEEPEST = 80
"""Levels of a rich message that are read. Telegram has 16 of blocks, each of which may be an item of a list."""


# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    to: str
    """The username of the bot that it names, or ""."""
    rest: str

    @property
    def kind(self) -> MessageKind:
        return text_input.kind_of(self.name)

    @property
    def without_bot(self) -> str:
        """Returns it as it is written where no bot has to be named."""
        return f"/{self.name} {self.rest}".strip()

    def is_to(self, me: BotIdentity) -> bool:
        return bool(me.username) and self.to.lower() == me.username.lower()


def command_of(text: str) -> Command | None:
    """Parses a readable text that is a command."""
    found = COMMAND.fullmatch(text)
    return Command(found[1].lower(), found[2] or "", (found[3] or "").strip()) if found else None


def kind_of(text: str) -> MessageKind:
    """Returns what a text without a slash asks for."""
    return text_input.bare_kind(text_input.bare_word(text))


def may_answer(text: str) -> bool:
    """Tells whether a text that is a command may as well answer a question."""
    return text_input.bare_word(text) in text_input.ANSWERS


def question(command: Command | None, text: str, help_wanted: str) -> str:
    """Returns what the assistant is told: the text, or what a command means that it answers."""
    match command:
        case Command(name="start", rest=""):
            return replies.STARTED
        case Command(name="start", rest=payload):
            return replies.STARTED_WITH.format(payload=payload)
        case Command(name="help", rest=rest):
            return f"{help_wanted}\n\n{rest}".strip()
        case Command(to=to) if to:
            return command.without_bot
    return text


# ---------------------------------------------------------------- authors


def name_of(sender: Fields) -> str:
    """Returns the name of a person or a chat as people see it, or ""."""
    named = (text_in(sender, "first_name"), text_in(sender, "last_name"))
    name = " ".join(filter(None, named)) or text_in(sender, "title") or text_in(sender, "username")
    return cut(" ".join(name.split()), LONGEST_NAME)


def author_of(message: Fields, me: BotIdentity) -> str:
    """Returns the author's name; "you" for the bot itself."""
    if number_in(object_in(message, "from"), "id") == me.id:
        return YOU
    return name_of(object_in(message, "sender_chat")) or name_of(object_in(message, "from")) or SOMEBODY


def origin_of(origin: Fields) -> str:
    """Returns whom a message was forwarded from. core.telegram.org/bots/api#messageorigin"""
    people = ("sender_user", "sender_chat", "chat")
    hidden = {"first_name": origin.get("sender_user_name")}
    return next(filter(None, map(name_of, (*(object_in(origin, kind) for kind in people), hidden))), SOMEBODY)


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rstrip() + CUT


# ---------------------------------------------------------------- messages


def own(message: Fields, me: BotIdentity) -> str:
    """Returns what a message itself says, without what it replies to."""
    return "\n".join(filter(None, [readable(*written(message), me), *content_texts(message)]))


def context(message: Fields, files: Sequence[str], me: BotIdentity) -> str:
    """Returns what a message replies to, and what it quotes of that; "" if nothing.

    ``files``: the names of the files of the message that it replies to.
    """
    return "\n\n".join(filter(None, [_replied(message, files, me), _quoted(message) or _chosen(message)]))


def forwarded(message: Fields, text: str) -> str:
    """Returns the text of a message, with its first author if it is forwarded."""
    origin = object_in(message, "forward_origin")
    return text_input.forwarded(origin_of(origin), text) if origin else text


def replied_to(message: Fields) -> Fields:
    """Returns the message that is replied to, in this chat or another; an empty object if there is none.

    Each message in a topic is sent as a reply to the one that opened the topic, which does not count.
    """
    reply = object_in(message, "reply_to_message")
    opened = message.get("is_topic_message") is True and reply.get("message_id") == message.get("message_thread_id")
    if opened or "forum_topic_created" in reply:
        reply = {}
    return reply or object_in(message, "external_reply")


def _replied(message: Fields, files: Sequence[str], me: BotIdentity) -> str:
    reply = replied_to(message)
    if not reply:
        return "(replies to a story)" if message.get("reply_to_story") else ""
    elsewhere = object_in(reply, "origin")
    whose = f"{origin_of(elsewhere)}, in another chat" if elsewhere else author_of(reply, me)
    text = "\n".join([*filter(None, [own(reply, me)]), *(f"[attached: {file}]" for file in files)])
    return f"In reply to a message of {whose}:\n{_excerpt(text)}" if text else f"In reply to a message of {whose}."


def _quoted(message: Fields) -> str:
    quote = object_in(message, "quote")
    text = readable(
        text_in(quote, "text"), entity_spans(text_in(quote, "text"), objects_in(quote, "entities")), BotIdentity(0)
    )
    return f"{ABOUT}\n{_excerpt(text)}" if text else ""


def _chosen(message: Fields) -> str:
    """Returns the task of a checklist or the option of a poll that a message replies to; "" if it does to none."""
    reply = replied_to(message)
    tasks = objects_in(object_in(reply, "checklist"), "tasks")
    chosen = [task for task in tasks if task.get("id") == message.get("reply_to_checklist_task_id", NONE)]
    options = _options(object_in(reply, "poll"))
    chosen += [one for one in options if one.get("persistent_id") == message.get("reply_to_poll_option_id", NONE)]
    text = "\n".join(text_in(one, "text") for one in chosen)
    return f"{ABOUT}\n{_excerpt(text)}" if text else ""


def _excerpt(text: str) -> str:
    return text_input.quoted(cut(text, LONGEST_QUOTE))


# ---------------------------------------------------------------- content without text


def content_texts(message: Fields) -> Iterator[str]:
    """Yields descriptions of what a message has beside text and files."""
    for name, describe in CONTENT.items():
        if name in message and not (name == "location" and "venue" in message):
            yield describe(object_in(message, name))


def _listed(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *(f"- {line}" for line in lines if line)])


def _contact(contact: Fields) -> str:
    facts = [name_of(contact), text_in(contact, "phone_number"), text_in(contact, "vcard")]
    return f"(shares a contact: {', '.join(filter(None, facts))})"


def _location(location: Fields) -> str:
    kind = "where they are, for a while" if "live_period" in location else "a location"
    return f"(shares {kind}: {_coordinates(location)})"


def _venue(venue: Fields) -> str:
    facts = [text_in(venue, "title"), text_in(venue, "address"), _coordinates(object_in(venue, "location"))]
    return f"(shares a place: {', '.join(filter(None, facts))})"


def _coordinates(location: Fields) -> str:
    values = (location.get("latitude"), location.get("longitude"))
    numbers = [f"{value:.6f}" for value in values if isinstance(value, float | int) and abs(value) <= 180]  # noqa: PLR2004  # degrees
    return ", ".join(numbers)


def _poll(poll: Fields) -> str:
    return _listed(f"(poll) {text_in(poll, 'question')}", [text_in(option, "text") for option in _options(poll)])


def _options(poll: Fields) -> list[Fields]:
    return objects_in(poll, "options")


def _checklist(checklist: Fields) -> str:
    tasks = objects_in(checklist, "tasks")
    lines = [f"[{'x' if task.get('completion_date') else ' '}] {text_in(task, 'text')}" for task in tasks]
    return _listed(f"(checklist) {text_in(checklist, 'title')}", lines)


def _dice(dice: Fields) -> str:
    return f"(throws {text_in(dice, 'emoji') or 'a die'} and gets {number_in(dice, 'value') or 'nothing'})"


def _sticker(sticker: Fields) -> str:
    return f"(sends a sticker: {text_in(sticker, 'emoji') or 'without a meaning'})"


def _story(story: Fields) -> str:
    return f"(shares a story of {name_of(object_in(story, 'chat')) or 'somebody'})"


def _titled(kind: str, thing: Fields) -> str:
    facts = [text_in(thing, "title"), text_in(thing, "description")]
    return f"(shares {kind}: {', '.join(filter(None, facts))})"


def _rich(between: str, thing: Any, depth: int = 0) -> str:
    """Returns the text of a rich message, or of a part of one. core.telegram.org/bots/api#richmessage

    ``between``: joins the parts of a list.
    """
    if isinstance(thing, str):
        return storable(thing)
    if depth == DEEPEST:
        return ""
    if isinstance(thing, list):
        parts = [_rich(" | " if between == "\n" else between, part, depth + 1) for part in thing]
        return between.join(filter(None, parts))
    if not isinstance(thing, Mapping):
        return ""
    said = "\n".join(filter(None, (_rich(inner, thing.get(name), depth + 1) for name, inner in RICH.items())))
    url = text_in(thing, "url")
    return said if url in said else f"{said} ({url})"


RICH = {
    "summary": "",
    "text": "",
    "expression": "",
    "alternative_text": "",
    "items": "\n",
    "cells": "\n",
    "blocks": "\n",
    "caption": "",
    "credit": "",
}
"""Fields of a part of a rich message that hold text, and what joins the parts of a list in them."""

CONTENT: Mapping[str, Callable[[Fields], str]] = {
    "contact": _contact,
    "location": _location,
    "venue": _venue,
    "poll": _poll,
    "checklist": _checklist,
    "dice": _dice,
    "sticker": _sticker,
    "story": _story,
    "game": partial(_titled, "a game"),
    "invoice": partial(_titled, "an invoice"),
    "rich_message": partial(_rich, "\n"),
}
"""How to describe what is neither text nor a file. core.telegram.org/bots/api#message"""
