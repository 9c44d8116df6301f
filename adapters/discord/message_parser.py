"""Turns a message of Discord's, new or edited, into what it is to the bot. No I/O."""

from __future__ import annotations

from adapters.base import text_input as base_text_input
from adapters.base.edits import stops_by_edit
from adapters.base.inbound import BOT_TURNS
from adapters.base.json_fields import Fields, object_in, storable
from adapters.base.language import in_language
from adapters.base.text_input import MENTIONED_ONLY, SOMEBODY, UNREADABLE, YOU
from adapters.discord import intent, text_input
from adapters.discord.audience import Audience
from adapters.discord.names import Names, name_of
from adapters.discord.places import DiscordPlace, id_of, required_id
from adapters.discord.reply_target import YES, DiscordTarget
from adapters.discord.settings import DiscordSettings
from gateway.domain.context import ChatContext, with_labels
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, MessageKind
from gateway.domain.platform_events import MessageDeleted, MessageEdited
from gateway.languages import Languages
from gateway.ports.platform import ParsedUpdate

MAX_THREAD_NAME = 80
UNTHREADED = (MessageKind.STOP, MessageKind.RESET)
"""What is answered where it is said: no thread is opened for it."""


def key_of(settings: DiscordSettings, place: DiscordPlace, user: str, opened: str = "") -> ConversationKey:
    """Returns the conversation that a message belongs to. ``opened``: the id of the thread that the reply opens."""
    scope, thread = settings.discord_scope, opened or (place.id if place.parent else "")
    return ConversationKey(
        settings.name,
        place.guild,
        place.parent or place.id,
        thread if scope == "topic" else "",
        user if scope == "user" else "",
    )


def stops_channel(settings: DiscordSettings, place: DiscordPlace) -> bool:
    """Tells whether a STOP is also for the threads of the channel that it is given in."""
    return bool(place.guild) and not place.parent and settings.discord_scope == "topic"


class MessageParser:
    """Decides from a message alone what is said to the bot, and in which conversation."""

    def __init__(self, settings: DiscordSettings, languages: Languages, names: Names) -> None:
        self._settings = settings
        self._languages = languages
        self._names = names
        self._audience = Audience(settings, names)

    def parse(self, event: Fields, place: DiscordPlace) -> ParsedUpdate:
        """Parses a new message. ``place``: of its ``channel_id``. Raises MalformedRequest."""
        event = self._names.with_own_role(event)
        if not self._audience.is_answered(event, place):
            return ParsedUpdate()
        addressed = self._audience.is_addressed(event, place)
        if not addressed and not self._audience.joins_thread(event, place):
            return ParsedUpdate()
        return ParsedUpdate((self._message(event, place, addressed=addressed),))

    def parse_edit(self, event: Fields, place: DiscordPlace) -> ParsedUpdate:
        """Parses an edit, which may be what mentions the bot, or no longer does. Raises MalformedRequest.

        The message that it then is has the id of the original, should that be known. Of what a reply answers, an edit
        may say nothing.
        """
        event, author = self._names.with_own_role(event), object_in(event, "author")
        own = text_input.own(event, self._names.bot)
        if not id_of(author) or self._names.is_bot(author) or not (own or text_input.files_of(event)):
            return ParsedUpdate()
        number, heard = required_id(event, "id"), self.parse(event, place).messages
        if not heard and "message_reference" not in event and self._audience.is_answered(event, place):
            return ParsedUpdate(events=(MessageDeleted(self._settings.name, number),))
        stops = stops_by_edit(heard)
        called = stops or (heard if place.guild and self._audience.mentions(event) else ())
        return ParsedUpdate(called, (MessageEdited(self._settings.name, number, self._with_reply(event, own, place)),))

    def _message(self, event: Fields, place: DiscordPlace, *, addressed: bool) -> Message:
        number, author, member = required_id(event, "id"), object_in(event, "author"), object_in(event, "member")
        user, files = id_of(author), text_input.all_files(event)
        text = text_input.own(event, self._names.bot) or self._without_text(event)
        context = self._names.context(event, author, member, place)
        kind = MessageKind.PROMPT if files else intent.kind_of(text, addressed=addressed)
        may_answer = kind is MessageKind.STOP and base_text_input.may_answer(text)
        opens = self._opens_threads(place) and (may_answer or kind not in UNTHREADED)
        target = DiscordTarget(
            *(place.id, number, user, place.guild),
            thread_name=_thread_name(text, context, files) if opens else "",
            mentions=YES if addressed and place.parent else "",
        )
        return Message(
            key_of(self._settings, place, user, number if opens else ""),
            number,
            self._with_reply(event, text, place),
            user,
            target.address,
            kind=kind,
            files=(*files, *self._files_replied_to(event)),
            may_start_conversation=addressed,
            stops_channel=kind is MessageKind.STOP and stops_channel(self._settings, place),
            only_if_running=may_answer or kind is MessageKind.RESUME,
            has_workspace_share=bool(place.guild),
            max_from_author=BOT_TURNS if text_input.is_by_program(event) else 0,
            author_name=self._names.author_name(author, member),
            channel_name=place.channel_name,
            context=in_language(context, self._languages.best()),
        )

    def _opens_threads(self, place: DiscordPlace) -> bool:
        """Tells whether what calls the bot in a place is answered in a thread of its own."""
        in_channel = bool(place.guild) and not place.parent and place.has_threads
        return in_channel and self._settings.discord_replies == "thread"

    def _without_text(self, event: Fields) -> str:
        """Returns what a message without text says, beside its files and what it forwards."""
        if text_input.all_files(event) or any(text_input.forwarded_texts(event, self._names.bot)):
            return ""
        return MENTIONED_ONLY if self._audience.mentions(event) or self._audience.answers_us(event) else UNREADABLE

    def _files_replied_to(self, event: Fields) -> tuple[File, ...]:
        """Returns the files of the message that one replies to, unless that is the bot's own."""
        replied_to = object_in(event, "referenced_message")
        return () if self._audience.answers_us(event) else text_input.all_files(replied_to)

    def _with_reply(self, event: Fields, text: str, place: DiscordPlace) -> str:
        """Puts in front what a message replies to or forwards, and the title of the post of a forum that it begins."""
        bot = self._names.bot
        title = text_input.post_title(place.name) if id_of(event) == place.id else ""
        parts = [title, *text_input.forwarded_texts(event, bot), text]
        answered = object_in(event, "referenced_message")
        if answered and (said := text_input.quoted_text(answered, bot)):
            author = object_in(answered, "author")
            whose = YOU if self._names.is_bot(author) else name_of(author) or SOMEBODY
            parts = [f"In reply to a message of {whose}:\n{base_text_input.quoted(said)}", *parts]
        return "\n\n".join(filter(None, parts))


def _thread_name(text: str, context: ChatContext | None, files: tuple[File, ...]) -> str:
    """Returns a name for a thread: docs.discord.com/developers/resources/channel#start-thread-from-message"""
    said = "" if text in {MENTIONED_ONLY, UNREADABLE} else with_labels(text, context.labels if context else ())
    name = " ".join(said.split()) or (files[0].name if files else "")
    return storable(name if len(name) <= MAX_THREAD_NAME else f"{name[: MAX_THREAD_NAME - 1]}…") or "Conversation"
