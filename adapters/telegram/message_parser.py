"""Turns a message of Telegram's, new or edited, into what it is to the bot. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from adapters.base.json_fields import Fields, object_in, text_in
from adapters.base.language import in_language
from adapters.base.markdown.splitting import utf16_units
from adapters.base.text_input import SOMEBODY
from adapters.telegram import attachments, replies, text_input
from adapters.telegram.audience import GROUPS, Audience, author_of
from adapters.telegram.message_entities import BotIdentity, written
from adapters.telegram.parsed_message import ParsedMessage, id_of, number_of
from adapters.telegram.reply_target import TelegramTarget
from adapters.telegram.settings import TelegramSettings
from gateway import logs
from gateway.domain.context import ChatContext, clean_name
from gateway.domain.errors import MalformedRequest
from gateway.domain.models import ConversationKey, Join, Message, MessageKind
from gateway.domain.platform_events import ChannelMigrated, MessageDeleted, MessageEdited
from gateway.languages import Languages
from gateway.ports.platform import ParsedUpdate

ALBUM_SECONDS = 2.0
"""How long to wait for the next item of an album: each is an update of its own."""
FORWARD_SECONDS = 0.5
"""How long to wait for the next forward: what is forwarded together comes as a burst of updates."""
SPLIT_SECONDS = 1.5
"""How long to wait for the rest of a text that a client may have split."""
SPLIT_UNITS = 3500
"""UTF-16 code units of a text from which on a client may have split it. It does so at 4096, the limit of a message, or
at a line or word before: core.telegram.org/bots/api#message, core.telegram.org/api/config#message-length-max"""
GENERAL_TOPIC = "1"
"""Of a group. Telegram posts nothing to it by this number, only without one."""

WRITTEN_FIELDS = frozenset(
    {
        *("text", "caption", "photo", "paid_media", "live_photo", "giveaway", "giveaway_winners"),
        *attachments.DEFAULTS,
        *text_input.CONTENT,
    }
)
"""Fields of which a message has one that somebody wrote. Any other message reports an event, perhaps of a kind that is
newer than this list. core.telegram.org/bots/api#message"""

log = logs.get_logger(__name__)


def is_written(message: Fields) -> bool:
    """Tells whether somebody wrote a message."""
    return not WRITTEN_FIELDS.isdisjoint(message)


class MessageParser:
    """Decides from a message alone what is said to the bot, and in which conversation. Keeps only who the bot is."""

    def __init__(self, settings: TelegramSettings, me: BotIdentity, languages: Languages, audience: Audience) -> None:
        self.me = me
        self._languages = languages
        self._audience = audience
        self._name = settings.name
        self._scope = settings.telegram_scope
        self._has_names = settings.telegram_names
        self._join_seconds = settings.telegram_join_seconds
        self._help = replies.help_wanted(self._scope, settings.telegram_groups)

    def key(self, target: TelegramTarget) -> ConversationKey:
        """Returns the conversation that a message belongs to."""
        topic = target.topic if self._scope == "topic" else ""
        user = target.user if self._scope == "user" else ""
        return ConversationKey(self._name, str(self.me.id), target.channel, topic, user)

    def id_of(self, target: TelegramTarget, message: str) -> str:
        """Returns the id of a message of a chat. ``message``: its number, or what stands for several."""
        return f"{self.me.id}:{target.channel}:{message}"

    # ------------------------------------------------------------ new messages

    def parse(self, message: Fields) -> ParsedUpdate:
        """Parses a new message. Raises MalformedRequest if it is not as Telegram documents it."""
        target = target_of(message, author_of(message, self.me))
        if move := self._move(message, target):
            return ParsedUpdate(events=(move,))
        if not target.user or not is_written(message) or not self._audience.allows(target):
            return ParsedUpdate()
        parsed = ParsedMessage.of(message, self.me)
        messages = tuple(self._messages(target, parsed))
        if self._audience.is_meant(target, parsed):
            return ParsedUpdate(messages)
        # Of an album, and of a text that the client has split, only one message mentions the bot: the others join it.
        hears = self._audience.hears(target, parsed)
        return ParsedUpdate(tuple(filter(None, map(_as_part, messages))) if hears else ())

    def _move(self, message: Fields, target: TelegramTarget) -> ChannelMigrated | None:
        """Returns the move of a group that became a supergroup: both chats report it, in any order."""
        if to := number_of(message, "migrate_to_chat_id"):
            if self._audience.allows(target) and not self._audience.allows(replace(target, chat=to)):
                log.warning(
                    "a group that is answered became another chat: put its id into TELEGRAM_ALLOWED_CHATS", id=to
                )
            return ChannelMigrated(self._name, str(self.me.id), target.chat, to)
        if old := number_of(message, "migrate_from_chat_id"):
            return ChannelMigrated(self._name, str(self.me.id), old, target.chat)
        return None

    def _messages(self, target: TelegramTarget, parsed: ParsedMessage) -> Iterator[Message]:
        """Yields what a message is to the bot: usually one message, and a second one for a question behind /new."""
        base = self._base(target, parsed)
        match self._kind(target, parsed):
            case MessageKind.STOP:
                answers = not parsed.command and text_input.may_answer(parsed.own)
                opens = answers and self._audience.is_addressed(target, parsed)
                yield replace(base, kind=MessageKind.STOP, may_start_conversation=opens, only_if_running=answers)
            case MessageKind.RESET:
                opens = self._audience.is_addressed(target, parsed)
                yield replace(base, kind=MessageKind.RESET, may_start_conversation=opens)
                if parsed.own_command and parsed.own_command.rest:
                    yield replace(base, message_id=_asked_behind(base.message_id), text=parsed.own_command.rest)
            case MessageKind.HAND_OVER | MessageKind.RESUME as kind:
                yield replace(base, kind=kind, may_start_conversation=kind is MessageKind.HAND_OVER)
            case MessageKind.CHOOSE:
                yield replace(
                    base, kind=MessageKind.CHOOSE, text=text_input.question(parsed.own_command, parsed.own, "")
                )
            case MessageKind.PROMPT:
                yield self._prompt(base, target, parsed)

    def _base(self, target: TelegramTarget, parsed: ParsedMessage) -> Message:
        """Returns what is the same of a message whatever it asks for."""
        language = self._languages.best(text_in(object_in(parsed.message, "from"), "language_code"))
        author, chat = self._names(target, parsed.message)
        message_id = self.id_of(target, f"album:{parsed.album}" if parsed.album else target.message)
        return Message(
            *(self.key(target), message_id, parsed.own, target.user, target.address),
            context=in_language(self._speaker(target, parsed), language),
            author_name=author,
            channel_name=chat,
        )

    def _prompt(self, base: Message, target: TelegramTarget, parsed: ParsedMessage) -> Message:
        join, wait = self._join(target, parsed)
        return replace(
            base,
            text=parsed.text(self._help),
            files=(*parsed.files, *parsed.replied_to_files),
            album_item_id=target.message if parsed.album else "",
            debounce_seconds=wait,
            join=join,
        )

    def _kind(self, target: TelegramTarget, parsed: ParsedMessage) -> MessageKind:
        """Returns what a message asks for. A bare word is a command too.

        Not so to a business: there, "cancel" may be about an order.
        """
        if parsed.own_command:
            return parsed.own_command.kind
        bare = parsed.mentions_bot or (target.direct and not target.business)
        return text_input.kind_of(parsed.own) if bare and parsed.is_plain else MessageKind.PROMPT

    def _join(self, target: TelegramTarget, parsed: ParsedMessage) -> tuple[Join | None, float]:
        """Returns which turn a message may join, and how many seconds it waits for what may follow.

        A comment comes just before the forwards that it is about. Where the bot has to be mentioned, forwards are not
        for it, and of a text that the client has split only one piece mentions it.
        """
        album_wait, hears_all = ALBUM_SECONDS if parsed.album else 0.0, self._audience.hears_all(target)
        is_forward = "forward_origin" in parsed.message
        if not self._join_seconds or (is_forward and not hears_all):
            return None, album_wait
        if is_forward:
            return Join(max(FORWARD_SECONDS, self._join_seconds)), album_wait or FORWARD_SECONDS
        if not parsed.is_plain or parsed.command or "text" not in parsed.message:
            return None, album_wait
        longest = max(SPLIT_SECONDS, self._join_seconds)
        if utf16_units(written(parsed.message)[0]) >= SPLIT_UNITS:
            return Join(longest, SPLIT_UNITS), longest
        return Join(longest, SPLIT_UNITS), self._join_seconds if hears_all else 0.0

    def _speaker(self, target: TelegramTarget, parsed: ParsedMessage) -> ChatContext | None:
        """Returns who speaks, where several people take part in the conversation."""
        if target.direct or self._scope == "user" or not self._has_names:
            return None
        name = text_input.author_of(parsed.message, self.me)
        return ChatContext(name if clean_name(name) else SOMEBODY)

    def _names(self, target: TelegramTarget, message: Fields) -> tuple[str, str]:
        """Returns the names of author and chat, for operators."""
        author = text_input.author_of(message, self.me) if self._has_names else ""
        chat = "" if target.direct else text_in(object_in(message, "chat"), "title")
        return clean_name(author), clean_name(chat)

    # ------------------------------------------------------------ edits

    def parse_edit(self, message: Fields) -> ParsedUpdate:
        """Parses an edit. Not each changes what is said: where somebody is by now comes as one, too.

        One after which nothing is said to the bot withdraws the message. Raises MalformedRequest if it is not as
        Telegram documents it.
        """
        target = target_of(message, author_of(message, self.me))
        if not target.user or not is_written(message) or "location" in message:
            return ParsedUpdate()
        parsed = ParsedMessage.of(message, self.me)
        edits = tuple(self._edits(target, parsed))
        if self._is_taken_back(target, parsed):
            gone = MessageDeleted(self._name, self.id_of(target, target.message), as_part=False)
            return ParsedUpdate(events=(*edits, gone))
        return ParsedUpdate(tuple(self._called_by_edit(target, parsed)), edits)

    def _is_taken_back(self, target: TelegramTarget, parsed: ParsedMessage) -> bool:
        """Tells whether an edited message is not said to the bot, perhaps no longer.

        Of an album, and of a text that the client has split, another message may be what calls the bot.
        """
        hears = self._audience.allows(target) and self._audience.hears(target, parsed)
        is_edited = bool(number_of(parsed.message, "edit_date"))
        return is_edited and hears and not parsed.album and not self._audience.is_meant(target, parsed)

    def _edits(self, target: TelegramTarget, parsed: ParsedMessage) -> Iterator[MessageEdited]:
        """Yields the edit of a message, of an album's item alone, and that of a question behind /new."""
        base = self._base(target, parsed)
        own_id = replace(base, album_item_id=target.message if parsed.album else "").own_id
        yield MessageEdited(self._name, own_id, parsed.text(self._help))
        command = parsed.own_command
        if command and command.kind is MessageKind.RESET and command.rest:
            yield MessageEdited(self._name, _asked_behind(own_id), command.rest)

    def _called_by_edit(self, target: TelegramTarget, parsed: ParsedMessage) -> Iterator[Message]:
        """Yields what an edit says to the bot: to stop, or what it addresses to it for the first time.

        That has the id of the original, should it be known. Without a date nobody has edited anything: Telegram also
        reports changes that bots do not see, core.telegram.org/bots/api#update, edited_message.
        """
        if not (self._audience.allows(target) and self._audience.is_meant(target, parsed)):
            return
        for message in self._messages(target, parsed):
            if message.kind is MessageKind.STOP:
                if number_of(parsed.message, "edit_date"):
                    yield replace(message, message_id=f"{message.own_id}:stop", may_start_conversation=False)
            elif parsed.mentions_bot and not target.direct:
                yield replace(message, message_id=message.own_id, album_item_id="", debounce_seconds=0.0, join=None)


def _as_part(message: Message) -> Message | None:
    """Returns what a message may be that is not for the bot itself: a part of one that is."""
    if message.album_item_id:
        return replace(message, may_start_conversation=False)
    join = replace(message.join, required=True) if message.join else None
    return replace(message, may_start_conversation=False, join=join) if join else None


def _asked_behind(message_id: str) -> str:
    """Returns the id of the question behind the command to begin anew."""
    return f"{message_id}:asked"


def target_of(message: Fields, user: str) -> TelegramTarget:
    """Returns where a message was written. Raises MalformedRequest if it is not a message."""
    chat, number = object_in(message, "chat"), number_of(message, "message_id")
    if not (number_of(chat, "id") and id_of(chat, "type") and number):
        raise MalformedRequest("The message names no chat, or has no number.")
    # Outside of topics this is the number of the message at the root of replies.
    topic = number_of(message, "message_thread_id") if message.get("is_topic_message") is True else ""
    if topic == GENERAL_TOPIC and id_of(chat, "type") in GROUPS:
        topic = ""
    business = id_of(message, "business_connection_id")
    return TelegramTarget(number_of(chat, "id"), topic, number, user, business, id_of(chat, "type"))
