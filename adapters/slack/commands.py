"""Parses slash commands, which name no thread: docs.slack.dev/interactivity/implementing-slash-commands. No I/O."""

from __future__ import annotations

import json
from collections.abc import Callable

from adapters.base import text_input
from adapters.base.json_fields import Fields, text_in
from adapters.slack import replies
from adapters.slack.event_context import MessageContext, TeamContext, id_of, is_direct
from adapters.slack.places import Places
from gateway.domain.models import Message, MessageKind
from gateway.domain.sentences import Sentence
from gateway.languages import say
from gateway.ports.platform import ParsedUpdate

WORDS = frozenset({"reset", *text_input.HANDOVER_WORDS})
"""Commands that are one word."""


class CommandParser:
    """Makes messages of the commands that concern a conversation, and answers all others."""

    def __init__(self, places: Places, language_of: Callable[[Fields], str]) -> None:
        """``language_of``: returns the language of whoever gave a command, as far as it is known. No I/O."""
        self._places = places
        self._language_of = language_of

    def parse(self, form: Fields) -> ParsedUpdate:
        kind, text = _asked(form)
        team = TeamContext(id_of(form, "team_id"), id_of(form, "enterprise_id"))
        channel, user, trigger = (id_of(form, name) for name in ("channel_id", "user_id", "trigger_id"))
        scope = self._places.scope(team, channel)
        if kind is MessageKind.PROMPT:
            return self._answered(form, replies.help_text(scope))
        if scope == "topic":
            return self._answered(form, replies.IN_THREADS[kind])
        if not (team.team_id and channel and user and trigger):
            return ParsedUpdate()
        context = MessageContext(channel, user, is_direct(channel, None), kind="command")
        place = self._places.of(team, context)
        return ParsedUpdate((Message(place.key, f"{team.team_id}:command:{trigger}", text, user, place.address, kind),))

    def _answered(self, form: Fields, said: Sentence) -> ParsedUpdate:
        """Returns an answer that only the person who gave the command sees."""
        answer = {"response_type": "ephemeral", "text": say(said, self._language_of(form))}
        return ParsedUpdate(response_body=json.dumps(answer, ensure_ascii=False))


def _asked(form: Fields) -> tuple[MessageKind, str]:
    """Returns what a command asks for, PROMPT for help, and the text of its message."""
    name = text_in(form, "command").replace("-", "/").rpartition("/")[2].lower()
    said = text_in(form, "text").strip()
    choice = f"/{name} {said}".strip() if name in text_input.CHOICES else f"/{said}"
    if text_input.bare_kind(choice) is MessageKind.CHOOSE:
        return MessageKind.CHOOSE, choice
    word = next((word for word in (name, said.lower()) if word in WORDS), "")
    kind = text_input.kind_of(word)
    return kind, word if kind is MessageKind.RESET else f"/{word}"
