"""What the bot, people, channels and roles are called, as far as the assistant and operators are told. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from adapters.base.json_fields import Fields, object_in, objects_in, text_in
from adapters.base.text_input import SOMEBODY
from adapters.discord import text_input
from adapters.discord.places import NO_ROLE, DiscordPlace, DiscordRole, id_of
from gateway.domain.context import ChatContext, Label, clean_name


class Names:
    """Knows which user is the bot, and asks for the names of channels and roles."""

    def __init__(self, *, tells_people: bool) -> None:
        """``tells_people``: whether names of people in servers are told."""
        self.tells_people = tells_people
        self.bot = ""
        """The id of the bot's user; "" until Discord has said it."""
        self.channel: Callable[[str], str] = lambda _: ""
        """Returns the name of a channel; "" if it is not known. No I/O."""
        self.role: Callable[[str], DiscordRole] = lambda _: NO_ROLE
        """Returns a role; one without a name if it is not known. No I/O."""

    def is_bot(self, user: Fields) -> bool:
        return bool(self.bot) and id_of(user) == self.bot

    def with_own_role(self, event: Fields) -> Fields:
        """Returns a message in which a mention of the bot's own role is one of the bot.

        Discord gives a bot with permissions a role of its own, and offers both to whoever types the name.
        """
        content = text_in(event, "content")
        said = text_input.ROLE.sub(lambda tag: f"<@{self.bot}>" if self._is_own_role(tag[1]) else tag[0], content)
        if said == content:
            return event
        return {**event, "content": said, "mentions": [*objects_in(event, "mentions"), {"id": self.bot}]}

    def _is_own_role(self, role: str) -> bool:
        return bool(self.bot) and self.role(role).bot == self.bot

    def context(self, event: Fields, author: Fields, member: Fields, place: DiscordPlace) -> ChatContext | None:
        """Returns who speaks in a server, and the names of the people, channels and roles that the message mentions."""
        if not place.guild or not self.tells_people:
            return None
        speaker = shown_name(author, member)
        return ChatContext(speaker if clean_name(speaker) else SOMEBODY, self.labels(event))

    def labels(self, event: Fields) -> tuple[Label, ...]:
        """Returns the names of what a message mentions, and what is shown with it. Thread-safe."""
        mentioned = [user for each in text_input.shown_with(event) for user in objects_in(each, "mentions")]
        others = [user for user in mentioned if id_of(user) != self.bot]
        people = [Label(f"@{id_of(user)}", shown_name(user, object_in(user, "member")), id_of(user)) for user in others]
        channels = [Label(f"#{each}", self.channel(each)) for each in text_input.channels_in(event)]
        roles = [Label(f"@{each}", self.role(each).name) for each in text_input.roles_in(event)]
        labels = (label for label in (*people, *channels, *roles) if label.name and label.mark != "@")
        return tuple(dict.fromkeys(labels))

    def author_name(self, author: Fields, member: Fields) -> str:
        """Returns the author's name, for operators."""
        return clean_name(shown_name(author, member)) if self.tells_people else ""


def shown_name(user: Fields, member: Fields) -> str:
    """Returns the name that a person has in the server, else everywhere. ``member``: empty in a direct message."""
    return text_in(member, "nick") or name_of(user)


def name_of(user: Fields) -> str:
    """Returns a person's name as others see it, in one line."""
    return " ".join((text_in(user, "global_name") or text_in(user, "username")).split())
