"""What people send in Telegram, as an assistant reads it best; and the sentences that stand for what has no words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from adapters.telegram.marks import (
    Fields,
    Me,
    marks,
    number_in,
    object_in,
    objects_in,
    readable,
    storable,
    text_in,
    written,
)
from gateway.messages import Kind

RESETS = frozenset({"new", "reset"})
STOPS = frozenset({"stop", "cancel"})
START, HELP = "start", "help"
OUR_COMMANDS = RESETS | STOPS | {START, HELP}
WORDS_ALONE = {"reset": Kind.RESET, "stop": Kind.STOP, "cancel": Kind.STOP}
"""Commands without a slash. "New" is none: it may be the answer to a question, and what is forgotten is gone."""

NOTHING_SAID = "(mentioned you without saying anything)"
UNREADABLE = "(sent something that cannot be shown to you as text)"
STARTED = "(started the conversation)"
STARTED_WITH = "(started the conversation by a link that says: {payload})"
HELP_WANTED = """\
(asks for help: what you can do for them, and how you are used in Telegram)
These commands work here: /new forgets what was said and begins anew (/reset does the same), /stop ends what you are \
working on (/cancel does the same), /help asks this. {scope} {groups} Photos, documents and voice messages may be sent \
to you. A message that you have not begun with can still be edited."""
REMEMBERED = {
    "topic": "You remember what was said in a chat, or in one topic of it; another topic is another conversation.",
    "chat": "You remember what was said in a chat, whoever said it and in whichever topic.",
    "user": "You remember what a person said in a chat, and nobody else's words.",
}
"""What ``TELEGRAM_SCOPE`` means for people."""
ANSWERED = {
    "mention": "In groups you answer whoever mentions you by name, or replies to a message of yours.",
    "always": "In groups you answer every message.",
    "never": "In groups you answer nobody.",
}
"""What ``TELEGRAM_GROUPS`` means for people."""

COMMAND = re.compile(r"/([A-Za-z0-9_]{1,64})(?:@([A-Za-z0-9_]{1,64}))?(?:\s+(.*))?", re.DOTALL)
"""core.telegram.org/bots/features#commands"""
LONGEST_CONTEXT = 2000
LONGEST_NAME = 100
CUT = " […]"
DEEPEST = 80
"""Levels of a rich message that are read. Telegram has 16 of blocks, each of which may be an item of a list."""


# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    to: str
    """The username of the bot that it names; empty when it names none."""
    rest: str

    @property
    def kind(self) -> Kind:
        return Kind.RESET if self.name in RESETS else Kind.STOP if self.name in STOPS else Kind.ASK

    @property
    def ours(self) -> bool:
        """Whether it is in our menu."""
        return self.name in OUR_COMMANDS

    def is_to(self, me: Me) -> bool:
        return bool(me.username) and self.to.lower() == me.username.lower()


def command_of(text: str) -> Command | None:
    """The command that a readable text is."""
    found = COMMAND.fullmatch(text)
    return Command(found[1].lower(), found[2] or "", (found[3] or "").strip()) if found else None


def word_alone(text: str) -> Kind:
    """What a text without a slash asks for."""
    return WORDS_ALONE.get(text.strip().rstrip(".!").lower(), Kind.ASK)


def asked(command: Command | None, text: str, help_wanted: str) -> str:
    """A text; of a command that the assistant answers, what it means."""
    match command:
        case Command(name="start", rest=""):
            return STARTED
        case Command(name="start", rest=payload):
            return STARTED_WITH.format(payload=payload)
        case Command(name="help", rest=question):
            return f"{help_wanted}\n\n{question}".strip()
        case Command(name=name, to=to, rest=rest) if to:
            return f"/{name} {rest}".strip()
    return text


def help_wanted(scope: str, groups: str) -> str:
    """What a call for help says to the assistant."""
    return HELP_WANTED.format(scope=REMEMBERED[scope], groups=ANSWERED[groups])


# ---------------------------------------------------------------- whom and what a message is from


def name_of(somebody: Fields) -> str:
    """A person, or a chat, as people see it; empty when it has no name."""
    named = (text_in(somebody, "first_name"), text_in(somebody, "last_name"))
    name = " ".join(filter(None, named)) or text_in(somebody, "title") or text_in(somebody, "username")
    return cut(" ".join(name.split()), LONGEST_NAME)


def author_of(message: Fields, me: Me) -> str:
    """Who said something, to be read."""
    if number_in(object_in(message, "from"), "id") == me.id:
        return "you"
    return name_of(object_in(message, "sender_chat")) or name_of(object_in(message, "from")) or "somebody"


def origin_of(origin: Fields) -> str:
    """Whom something was forwarded from. core.telegram.org/bots/api#messageorigin"""
    people = ("sender_user", "sender_chat", "chat")
    hidden = {"first_name": origin.get("sender_user_name")}
    return next(filter(None, map(name_of, (*(object_in(origin, kind) for kind in people), hidden))), "somebody")


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rstrip() + CUT


# ---------------------------------------------------------------- all that a message says


def own(message: Fields, me: Me) -> str:
    """What a message itself says."""
    return "\n".join(filter(None, [readable(*written(message), me), *shown(message)]))


def context(message: Fields, files: Sequence[str], me: Me) -> str:
    """What a message is about: what it replies to, and what it quotes of that; empty when nothing.

    ``files``: the names of the files of what it replies to.
    """
    return "\n\n".join(filter(None, [_replied(message, files, me), _quoted(message)]))


def forwarded(message: Fields, text: str) -> str:
    """The text, with whom it is from if its author only passes it on."""
    origin = object_in(message, "forward_origin")
    return f"Forwarded message from {origin_of(origin)}:\n{text}".strip() if origin else text


def replied_to(message: Fields) -> Fields:
    """The message that is replied to, wherever it stands. Empty for what only belongs to a topic.

    Such a message comes as a reply to the one that opened the topic.
    """
    reply = object_in(message, "reply_to_message")
    opened = message.get("is_topic_message") is True and reply.get("message_id") == message.get("message_thread_id")
    return {} if opened or "forum_topic_created" in reply else reply or object_in(message, "external_reply")


def _replied(message: Fields, files: Sequence[str], me: Me) -> str:
    reply = replied_to(message)
    if not reply:
        return "(replies to a story)" if message.get("reply_to_story") else ""
    elsewhere = object_in(reply, "origin")
    whose = f"{origin_of(elsewhere)}, in another chat" if elsewhere else author_of(reply, me)
    said = "\n".join([*filter(None, [own(reply, me)]), *(f"[attached: {file}]" for file in files)])
    return f"In reply to a message of {whose}:\n{_cited(said)}" if said else f"In reply to a message of {whose}."


def _quoted(message: Fields) -> str:
    quote = object_in(message, "quote")
    said = readable(text_in(quote, "text"), marks(text_in(quote, "text"), objects_in(quote, "entities")), Me(0))
    return f"About this part of it:\n{_cited(said)}" if said else ""


def _cited(text: str) -> str:
    return "\n".join(f"> {line}" for line in cut(text, LONGEST_CONTEXT).split("\n"))


# ---------------------------------------------------------------- what has no text


def shown(message: Fields) -> Iterator[str]:
    """What a message carries beside text and files, in words."""
    for name, tell in TOLD.items():
        if name in message and not (name == "location" and "venue" in message):
            yield tell(object_in(message, name))


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
    """The words of a rich message, or of a part of one. core.telegram.org/bots/api#richmessage

    ``between``: what stands between those of a list.
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
"""Where a part of a rich message has its words, and what stands between them."""

TOLD: Mapping[str, Callable[[Fields], str]] = {
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
"""What people can send that is neither text nor a file. core.telegram.org/bots/api#message"""
