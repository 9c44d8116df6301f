"""Parses slash commands and buttons, and says how Discord is answered.

docs.discord.com/developers/interactions/receiving-and-responding
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base.approvals import verdict_of
from adapters.base.json_fields import Fields, object_in, text_in
from adapters.base.language import in_language
from adapters.base.text_input import MENTIONED_ONLY
from adapters.discord import commands, text_input
from adapters.discord.buttons import STOP, pressed
from adapters.discord.message_parser import key_of, stops_channel
from adapters.discord.names import Names, shown_name
from adapters.discord.places import DiscordPlace, id_of, required_id
from adapters.discord.reply_target import YES, DiscordTarget
from adapters.discord.settings import DiscordSettings
from gateway.domain.approvals import Decider
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import Message, MessageKind
from gateway.domain.platform_events import Feedback
from gateway.languages import Languages
from gateway.ports.platform import ParsedUpdate

PING, COMMAND, COMPONENT = 1, 2, 3
PONG, DEFERRED_REPLY, DEFERRED_UPDATE = '{"type": 1}', '{"type": 5}', '{"type": 6}'
"""docs.discord.com/developers/interactions/receiving-and-responding#interaction-response-object"""


@dataclass(frozen=True, slots=True)
class Interaction:
    """Who did something where."""

    id: str
    place: DiscordPlace
    person: Fields
    """The user, as Discord describes it."""
    member: Fields
    """The same in a server; empty in a direct message."""
    user: str
    """The id of the user."""
    language: str
    """That the user reads."""


class InteractionParser:
    """Decides from an interaction alone what it asks for."""

    def __init__(self, settings: DiscordSettings, languages: Languages, names: Names) -> None:
        self._settings = settings
        self._languages = languages
        self._names = names

    def parse(self, event: Fields) -> ParsedUpdate:
        """Returns what an interaction says, with the answer to Discord. Raises MalformedRequest."""
        if event.get("type") == PING:
            return ParsedUpdate(response_body=PONG)
        about = self._read(event)
        if not self._settings.allows(about.place.guild, (about.place.id, about.place.parent)):
            return ParsedUpdate(response_body=commands.not_here(about.language))
        if event.get("type") == COMPONENT:
            return self._pressed(text_in(object_in(event, "data"), "custom_id"), about)
        if event.get("type") == COMMAND:
            return ParsedUpdate((self._command(event, about),), response_body=DEFERRED_REPLY)
        return ParsedUpdate()

    def _read(self, event: Fields) -> Interaction:
        channel = {"id": event.get("channel_id"), **object_in(event, "channel")}
        place, member = DiscordPlace.of(channel, id_of(event, "guild_id")), object_in(event, "member")
        person = object_in(member, "user") or object_in(event, "user")
        number, user = required_id(event, "id"), id_of(person)
        if not user or not place.id:
            raise MalformedRequest("The interaction names no channel or no user.")
        return Interaction(number, place, person, member, user, self._languages.best(text_in(event, "locale")))

    def _command(self, event: Fields, about: Interaction) -> Message:
        place, data = about.place, object_in(event, "data")
        kind, said = commands.read(data, self._settings)
        target = DiscordTarget(
            *(place.id, "", about.user, place.guild),
            interaction=about.id,
            token=text_in(event, "token"),
            mentions=YES if place.parent else "",
        )
        context = self._names.context({"content": said}, about.person, about.member, place)
        return Message(
            key_of(self._settings, place, about.user),
            about.id,
            text_input.readable(said, self._names.bot) or MENTIONED_ONLY,
            about.user,
            target.address,
            kind,
            text_input.files_of({"attachments": commands.attached(data)}),
            stops_channel=kind is MessageKind.STOP and stops_channel(self._settings, place),
            has_workspace_share=bool(place.guild),
            author_name=self._names.author_name(about.person, about.member),
            channel_name=place.channel_name,
            context=in_language(context, about.language),
        )

    def _pressed(self, value: str, about: Interaction) -> ParsedUpdate:
        """``value``: of the pressed button, below a reply or a question."""
        decider = Decider(self._settings.name, about.user, name=shown_name(about.person, about.member))
        if verdict := verdict_of(value, decider):
            return ParsedUpdate(events=(verdict,), response_body=DEFERRED_UPDATE)
        button = pressed(value)
        if button is None:
            return ParsedUpdate(response_body=DEFERRED_UPDATE)
        action, turn = button
        if action != STOP:
            return ParsedUpdate(events=(Feedback(turn, about.user, action),), response_body=DEFERRED_UPDATE)
        return ParsedUpdate((self._stop(about),), response_body=DEFERRED_UPDATE)

    def _stop(self, about: Interaction) -> Message:
        target = DiscordTarget(about.place.id, "", about.user, about.place.guild)
        return Message(
            *(key_of(self._settings, about.place, about.user), about.id, "stop", about.user, target.address),
            kind=MessageKind.STOP,
            may_start_conversation=False,
            context=in_language(None, about.language),
        )
