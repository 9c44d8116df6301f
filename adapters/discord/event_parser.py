"""Parses what Discord sends: messages of people, their changes, slash commands and buttons. No I/O."""

from __future__ import annotations

from adapters.base.json_fields import Fields
from adapters.discord.interaction_parser import InteractionParser
from adapters.discord.message_parser import MessageParser
from adapters.discord.names import Names
from adapters.discord.places import SNOWFLAKE, DiscordPlace, required_id
from adapters.discord.settings import DiscordSettings
from gateway.domain.platform_events import MessageDeleted
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.platform import ParsedUpdate


class DiscordParser:
    """Decides from one event alone what is said to the bot. Keeps only what things are called."""

    def __init__(self, settings: DiscordSettings, languages: Languages = ENGLISH_ONLY) -> None:
        self._name = settings.name
        self.names = Names(tells_people=settings.discord_names)
        self._messages = MessageParser(settings, languages, self.names)
        self._interactions = InteractionParser(settings, languages, self.names)

    def parse(self, kind: str, event: Fields, place: DiscordPlace) -> ParsedUpdate:
        """Returns what a gateway event says; an empty update for other kinds. ``place``: of its ``channel_id``.

        Raises MalformedRequest.
        """
        match kind:
            case "MESSAGE_CREATE":
                return self._messages.parse(event, place)
            case "MESSAGE_UPDATE" if event.get("edited_timestamp"):
                return self._messages.parse_edit(event, place)
            case "MESSAGE_DELETE":
                return self._deleted([required_id(event, "id")])
            case "MESSAGE_DELETE_BULK":
                return self._deleted(event.get("ids"))
            case "INTERACTION_CREATE":
                return self.interaction(event)
        return ParsedUpdate()

    def _deleted(self, ids: object) -> ParsedUpdate:
        known = [each for each in ids if isinstance(each, str)] if isinstance(ids, list) else []
        return ParsedUpdate(
            events=tuple(MessageDeleted(self._name, each) for each in known if SNOWFLAKE.fullmatch(each))
        )

    def interaction(self, event: Fields) -> ParsedUpdate:
        """Parses a slash command or a button, and says how it is acknowledged. Raises MalformedRequest."""
        return self._interactions.parse(event)
