"""Parses what Discord sends: messages of people, their changes, slash commands and buttons."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from adapters.base import text_input as base_text_input
from adapters.base.approvals import verdict_of
from adapters.base.inbound import BOT_TURNS
from adapters.base.json_fields import Fields, id_in, object_in, objects_in, storable, text_in
from adapters.base.language import in_language
from adapters.base.text_input import MENTIONED_ONLY, SOMEBODY, UNREADABLE, YOU
from adapters.discord import commands, text_input
from adapters.discord.buttons import STOP, pressed
from adapters.discord.reply_target import DiscordTarget
from adapters.discord.settings import DiscordSettings
from gateway.domain.approvals import Decider
from gateway.domain.context import ChatContext, Label, clean_name, with_labels
from gateway.domain.errors import MalformedRequest
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, MessageKind
from gateway.domain.platform_events import Feedback, MessageDeleted, MessageEdited
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.platform import ParsedUpdate

SNOWFLAKE = re.compile(r"[0-9]{1,20}")
THREADS = frozenset({10, 11, 12})
"""docs.discord.com/developers/resources/channel#channel-object-channel-types"""
WRITTEN_TYPES = frozenset({0, 19})
"""What a person writes, and a reply: docs.discord.com/developers/resources/message#message-object-message-types"""
PING, COMMAND, COMPONENT = 1, 2, 3
PONG, DEFERRED_REPLY, DEFERRED_UPDATE = '{"type": 1}', '{"type": 5}', '{"type": 6}'
"""docs.discord.com/developers/interactions/receiving-and-responding#interaction-response-object"""
MAX_THREAD_NAME = 80


@dataclass(frozen=True, slots=True)
class DiscordPlace:
    """A channel, as far as it matters here."""

    id: str
    guild: str = ""
    """Empty for a direct message."""
    parent: str = ""
    """Of a thread: the channel that it is in."""
    name: str = field(default="", compare=False)
    """Empty if it is not known."""

    @property
    def channel_name(self) -> str:
        """Returns the name of a channel that is no thread."""
        name = clean_name(self.name)
        return f"#{name}" if name and self.guild and not self.parent else ""

    @classmethod
    def of(cls, channel: Fields, guild: str = "") -> DiscordPlace:
        """Reads a channel as Discord describes it."""
        is_thread = channel.get("type") in THREADS
        parent = _id(channel, "parent_id") if is_thread else ""
        return cls(_id(channel), guild or _id(channel, "guild_id"), parent, " ".join(text_in(channel, "name").split()))


@dataclass(frozen=True, slots=True)
class DiscordRole:
    """docs.discord.com/developers/topics/permissions#role-object"""

    name: str = ""
    """Empty if it is not known."""
    bot: str = ""
    """The id of the user of the bot whose own role it is; empty for any other role."""

    @classmethod
    def of(cls, role: Fields) -> DiscordRole:
        """Reads a role as Discord describes it."""
        return cls(text_in(role, "name"), _id(object_in(role, "tags"), "bot_id"))


NO_ROLE = DiscordRole()


class DiscordParser:
    """Knows who the bot is, and what channels are called. No I/O."""

    def __init__(self, settings: DiscordSettings, languages: Languages = ENGLISH_ONLY) -> None:
        self._languages = languages
        self._settings = settings
        self.bot = ""
        """The id of the bot's user; "" until Discord has said it."""
        self.channel_name: Callable[[str], str] = lambda _: ""
        """Returns the name of a channel; "" if it is not known. No I/O."""
        self.role: Callable[[str], DiscordRole] = lambda _: NO_ROLE
        """Returns a role; one without a name if it is not known. No I/O."""

    def parse(self, kind: str, event: Fields, place: DiscordPlace) -> ParsedUpdate:
        """Returns what a gateway event says; an empty update for other kinds. ``place``: of its ``channel_id``.

        Raises MalformedRequest.
        """
        match kind:
            case "MESSAGE_CREATE":
                return self._message(self._with_own_role(event), place)
            case "MESSAGE_UPDATE" if event.get("edited_timestamp"):
                return self._edited(self._with_own_role(event), place)
            case "MESSAGE_DELETE":
                return ParsedUpdate(events=(MessageDeleted(self._settings.name, _required(event, "id")),))
            case "MESSAGE_DELETE_BULK":
                ids = event.get("ids")
                known = [each for each in ids if isinstance(each, str)] if isinstance(ids, list) else []
                return ParsedUpdate(events=tuple(MessageDeleted(self._settings.name, each) for each in known))
            case "INTERACTION_CREATE":
                return self.interaction(event)
        return ParsedUpdate()

    # ------------------------------------------------------------ messages

    def _message(self, event: Fields, place: DiscordPlace) -> ParsedUpdate:
        author = object_in(event, "author")
        if not self._is_answered(event, author, place):
            return ParsedUpdate()
        addressed = not place.guild or self._mentions(event) or self._continues(event)
        if not addressed and not self._joins_thread(event, place):
            return ParsedUpdate()
        number, user, files = _required(event, "id"), _id(author), text_input.all_files(event)
        text = text_input.own(event, self.bot) or self._without_text(event)
        context = self._context(event, author, object_in(event, "member"), place)
        opens = bool(place.guild) and not place.parent and self._settings.discord_replies == "thread"
        name = _thread_name(with_labels(text, context.labels if context else ()), files) if opens else ""
        target = DiscordTarget(place.id, number, user, place.guild, thread_name=name)
        key = self._key(place, number if opens else "", user)
        kind = MessageKind.PROMPT if files or not addressed else _kind_of(text)
        message = Message(
            key,
            number,
            self._with_reply(event, text, place),
            user,
            target.address,
            kind=kind,
            files=(*files, *self._files_replied_to(event)),
            may_start_conversation=addressed,
            only_if_running=kind is MessageKind.RESUME,
            has_workspace_share=bool(place.guild),
            max_from_author=BOT_TURNS if text_input.is_by_program(event) else 0,
            author_name=self._author_name(author, object_in(event, "member")),
            channel_name=place.channel_name,
            context=in_language(context, self._languages.best()),
        )
        return ParsedUpdate((message,))

    def _is_answered(self, event: Fields, author: Fields, place: DiscordPlace) -> bool:
        if event.get("type", 0) not in WRITTEN_TYPES or not _id(author) or self._is_bot(author):
            return False
        if text_input.is_by_program(event) and not (self._settings.allows_bot(_id(author)) and self._mentions(event)):
            return False
        return self._settings.allows(place.guild, (place.id, place.parent))

    def _joins_thread(self, event: Fields, place: DiscordPlace) -> bool:
        """Tells whether a message that does not address the bot may be for it: in a thread that the bot may be in.

        What calls upon somebody else, or replies to them, is for them; other bots have to mention us.
        """
        if not place.parent or self._settings.discord_scope != "topic" or self._answers_others(event):
            return False
        return object_in(event, "author").get("bot") is not True and not text_input.calls_others(event)

    def _edited(self, event: Fields, place: DiscordPlace) -> ParsedUpdate:
        """Parses an edit, which may be what mentions the bot.

        The message that it then is has the id of the original, should that be known.
        """
        author = object_in(event, "author")
        if not _id(author) or self._is_bot(author) or not text_in(event, "content"):
            return ParsedUpdate()
        text = self._with_reply(event, text_input.own(event, self.bot), place)
        called = self._message(event, place).messages if place.guild and self._mentions(event) else ()
        return ParsedUpdate(called, (MessageEdited(self._settings.name, _required(event, "id"), text),))

    def _without_text(self, event: Fields) -> str:
        """Returns what a message without text says, beside its files and what it forwards."""
        if text_input.all_files(event) or any(text_input.forwarded_texts(event, self.bot)):
            return ""
        return MENTIONED_ONLY if self._mentions(event) or self._answers_us(event) else UNREADABLE

    def _files_replied_to(self, event: Fields) -> tuple[File, ...]:
        """Returns the files of the message that one replies to, unless that is the bot's own."""
        return () if self._answers_us(event) else text_input.all_files(object_in(event, "referenced_message"))

    def _with_own_role(self, event: Fields) -> Fields:
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

    def _mentions(self, event: Fields) -> bool:
        """Tells whether a message mentions the bot: by its name, or by being a reply to it."""
        if not any(self._is_bot(user) for user in objects_in(event, "mentions")):
            return False
        return text_input.names(event, self.bot) or not self._answers_us(event) or self._continues(event)

    def _continues(self, event: Fields) -> bool:
        """Tells whether a message replies to the bot, and calls upon nobody else: "<@1> look at this"."""
        return self._answers_us(event) and not text_input.calls_others(event)

    def _answers_us(self, event: Fields) -> bool:
        return self._is_bot(object_in(object_in(event, "referenced_message"), "author"))

    def _answers_others(self, event: Fields) -> bool:
        """Tells whether a message replies to one of somebody else. Who replies to their own goes on with it."""
        answered = _id(object_in(object_in(event, "referenced_message"), "author"))
        return answered not in ("", self.bot, _id(object_in(event, "author")))

    def _is_bot(self, user: Fields) -> bool:
        return bool(self.bot) and _id(user) == self.bot

    def _key(self, place: DiscordPlace, opened: str, user: str) -> ConversationKey:
        """``opened``: the id of the thread that the reply opens."""
        scope, thread = self._settings.discord_scope, opened or (place.id if place.parent else "")
        return ConversationKey(
            self._settings.name,
            place.guild,
            place.parent or place.id,
            thread if scope == "topic" else "",
            user if scope == "user" else "",
        )

    # ------------------------------------------------------------ interactions

    def interaction(self, event: Fields) -> ParsedUpdate:
        """Parses a slash command or a button, and says how it is acknowledged. Raises MalformedRequest."""
        if event.get("type") == PING:
            return ParsedUpdate(response_body=PONG)
        number, data = _required(event, "id"), object_in(event, "data")
        place = DiscordPlace.of({"id": event.get("channel_id"), **object_in(event, "channel")}, _id(event, "guild_id"))
        user = _id(object_in(object_in(event, "member"), "user")) or _id(object_in(event, "user"))
        language = self._languages.best(text_in(event, "locale"))
        if not user or not place.id:
            raise MalformedRequest("The interaction names no channel or no user.")
        if not self._settings.allows(place.guild, (place.id, place.parent)):
            return ParsedUpdate(response_body=commands.not_here(language))
        key = self._key(place, "", user)
        member = object_in(event, "member")
        who = object_in(member, "user") or object_in(event, "user")
        if event.get("type") == COMPONENT:
            target = DiscordTarget(place.id, "", user, place.guild)
            press = Message(key, number, "stop", user, target.address, context=in_language(None, language))
            return self._pressed(text_in(data, "custom_id"), press, _shown_name(who, member))
        if event.get("type") != COMMAND:
            return ParsedUpdate()
        target = DiscordTarget(place.id, "", user, place.guild, interaction=number, token=text_in(event, "token"))
        kind, said = commands.read(data, self._settings)
        text = text_input.readable(said, self.bot) or MENTIONED_ONLY
        message = Message(
            *(key, number, text, user, target.address, kind),
            has_workspace_share=bool(place.guild),
            author_name=self._author_name(who, member),
            channel_name=place.channel_name,
            context=in_language(self._context({"content": said}, who, member, place), language),
        )
        return ParsedUpdate((message,), response_body=DEFERRED_REPLY)

    def _pressed(self, value: str, press: Message, name: str) -> ParsedUpdate:
        """``value``: of the pressed button, below a reply or a question. ``name``: of whoever pressed it."""
        if verdict := verdict_of(value, Decider(self._settings.name, press.author, name=name)):
            return ParsedUpdate(events=(verdict,), response_body=DEFERRED_UPDATE)
        button = pressed(value)
        if button is None:
            return ParsedUpdate(response_body=DEFERRED_UPDATE)
        action, turn = button
        if action != STOP:
            return ParsedUpdate(events=(Feedback(turn, press.author, action),), response_body=DEFERRED_UPDATE)
        stop = replace(press, kind=MessageKind.STOP, may_start_conversation=False)
        return ParsedUpdate((stop,), response_body=DEFERRED_UPDATE)

    # ------------------------------------------------------------ text

    def _context(self, event: Fields, author: Fields, member: Fields, place: DiscordPlace) -> ChatContext | None:
        """Returns who speaks in a server, and the names of the people, channels and roles that the message mentions."""
        if not place.guild or not self._settings.discord_names:
            return None
        speaker = _shown_name(author, member)
        return ChatContext(speaker if clean_name(speaker) else SOMEBODY, self.labels(event))

    def labels(self, event: Fields) -> tuple[Label, ...]:
        """Returns the names of what a message mentions, and what is shown with it. Thread-safe."""
        mentioned = [user for each in text_input.shown_with(event) for user in objects_in(each, "mentions")]
        people = [Label(f"@{_id(user)}", name_of(user), _id(user)) for user in mentioned if _id(user) != self.bot]
        channels = [Label(f"#{each}", self.channel_name(each)) for each in text_input.channels_in(event)]
        roles = [Label(f"@{each}", self.role(each).name) for each in text_input.roles_in(event)]
        labels = (label for label in (*people, *channels, *roles) if label.name and label.mark != "@")
        return tuple(dict.fromkeys(labels))

    def _author_name(self, author: Fields, member: Fields) -> str:
        """Returns the author's name, for operators."""
        return clean_name(_shown_name(author, member)) if self._settings.discord_names else ""

    def _with_reply(self, event: Fields, text: str, place: DiscordPlace) -> str:
        """Puts in front what a message replies to or forwards, and the title of the post of a forum that it begins."""
        title = text_input.post_title(place.name) if _id(event) == place.id else ""
        parts = [title, *text_input.forwarded_texts(event, self.bot), text]
        answered = object_in(event, "referenced_message")
        if answered and (said := text_input.quoted_text(answered, self.bot)):
            author = object_in(answered, "author")
            whose = YOU if self._is_bot(author) else name_of(author) or SOMEBODY
            parts = [f"In reply to a message of {whose}:\n{base_text_input.quoted(said)}", *parts]
        return "\n\n".join(filter(None, parts))


def _kind_of(text: str) -> MessageKind:
    """Returns what a written text asks for; the other commands are slash commands."""
    word = base_text_input.bare_word(text)
    if word.removeprefix("/") in base_text_input.HANDOVER_WORDS:
        return base_text_input.kind_of(word.removeprefix("/"))
    return MessageKind.CHOOSE if base_text_input.bare_kind(word) is MessageKind.CHOOSE else MessageKind.PROMPT


def _shown_name(user: Fields, member: Fields) -> str:
    """Returns the name that a person has in the server, else everywhere. ``member``: empty in a direct message."""
    return text_in(member, "nick") or name_of(user)


def name_of(user: Fields) -> str:
    """Returns a person's name as others see it, in one line."""
    return " ".join((text_in(user, "global_name") or text_in(user, "username")).split())


def _id(fields: Fields, name: str = "id") -> str:
    return id_in(fields, name, SNOWFLAKE)


def _required(fields: Fields, name: str) -> str:
    found = _id(fields, name)
    if not found:
        raise MalformedRequest(f"The event has no {name}.")
    return found


def _thread_name(text: str, files: tuple[File, ...]) -> str:
    """Returns a name for a thread: docs.discord.com/developers/resources/channel#start-thread-from-message"""
    said = "" if text in {MENTIONED_ONLY, UNREADABLE} else text
    name = " ".join(said.split()) or (files[0].name if files else "")
    return storable(name if len(name) <= MAX_THREAD_NAME else f"{name[: MAX_THREAD_NAME - 1]}…") or "Conversation"
