"""Decides whether a message in Discord is for the bot. No I/O."""

from __future__ import annotations

from adapters.base.json_fields import Fields, object_in, objects_in
from adapters.discord import text_input
from adapters.discord.names import Names
from adapters.discord.places import DiscordPlace, id_of, type_of
from adapters.discord.settings import DiscordSettings

WRITTEN_TYPES = frozenset({0, 19})
"""What a person writes, and a reply: docs.discord.com/developers/resources/message#message-object-message-types"""


class Audience:
    """Decides from one message, and from where it was written."""

    def __init__(self, settings: DiscordSettings, names: Names) -> None:
        self._settings = settings
        self._names = names

    def is_answered(self, event: Fields, place: DiscordPlace) -> bool:
        """Tells whether such an author gets answers in such a place at all."""
        author = object_in(event, "author")
        if type_of(event) not in WRITTEN_TYPES or not id_of(author) or self._names.is_bot(author):
            return False
        if text_input.is_by_program(event) and not (self._settings.allows_bot(id_of(author)) and self.mentions(event)):
            return False
        return self._settings.allows(place.guild, (place.id, place.parent))

    def is_addressed(self, event: Fields, place: DiscordPlace) -> bool:
        """Tells whether a message calls the bot, and not only goes on in a thread that the bot is in."""
        return not place.guild or self.mentions(event) or self._continues(event)

    def joins_thread(self, event: Fields, place: DiscordPlace) -> bool:
        """Tells whether a message that does not address the bot may be for it: in a thread that the bot may be in.

        What calls upon somebody else, or replies to them, is for them; other bots have to mention us.
        """
        if not place.parent or self._settings.discord_scope != "topic" or self.answers_others(event):
            return False
        return object_in(event, "author").get("bot") is not True and not text_input.calls_others(event)

    def mentions(self, event: Fields) -> bool:
        """Tells whether a message mentions the bot: by its name, or by being a reply to it."""
        if not any(map(self._names.is_bot, objects_in(event, "mentions"))):
            return False
        return text_input.names(event, self._names.bot) or not self.answers_us(event) or self._continues(event)

    def _continues(self, event: Fields) -> bool:
        """Tells whether a message replies to the bot, and calls upon nobody else: "<@1> look at this"."""
        return self.answers_us(event) and not text_input.calls_others(event)

    def answers_us(self, event: Fields) -> bool:
        """Tells whether a message replies to one of the bot."""
        return self._names.is_bot(object_in(object_in(event, "referenced_message"), "author"))

    def answers_others(self, event: Fields) -> bool:
        """Tells whether a message replies to one of somebody else. Who replies to their own goes on with it."""
        answered = id_of(object_in(object_in(event, "referenced_message"), "author"))
        return answered not in ("", self._names.bot, id_of(object_in(event, "author")))
