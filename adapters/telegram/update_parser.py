"""Verifies Telegram's webhook requests and parses updates into messages and changes. No I/O."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from adapters.base.approvals import verdict_of
from adapters.base.json_fields import Fields, id_in, object_in, parse_object, text_in
from adapters.base.language import in_language
from adapters.base.markdown import utf16_units
from adapters.base.text_input import SOMEBODY
from adapters.base.update_handler import parse_safely
from adapters.telegram import attachments, replies, text_input
from adapters.telegram.api_client import BotProfile
from adapters.telegram.message_entities import BotIdentity, number_in, written
from adapters.telegram.parsed_message import ParsedMessage
from adapters.telegram.reply_target import TelegramTarget
from adapters.telegram.settings import TelegramSettings
from gateway.domain.approvals import Decider
from gateway.domain.context import ChatContext, clean_name
from gateway.domain.errors import MalformedRequest, Unauthenticated
from gateway.domain.models import ConversationKey, Join, Message, MessageKind
from gateway.domain.platform_events import ChannelMigrated, MessageDeleted, MessageEdited
from gateway.languages import ENGLISH_ONLY, Languages
from gateway.ports.platform import ParsedUpdate, Request

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105  # the header's name
"""core.telegram.org/bots/api#setwebhook"""
ID = re.compile(r"[A-Za-z0-9_\-]{1,80}")
"""Ids of business connections and albums; one of each fits into a message id."""
ALBUM_SECONDS = 2.0
"""How long to wait for the next item of an album: each is an update of its own."""
FORWARD_SECONDS = 0.5
"""How long to wait for the next forward: what is forwarded together comes as a burst of updates."""
SPLIT_SECONDS = 1.5
"""How long to wait for the rest of a text that a client may have split."""
SPLIT_UNITS = 3500
"""UTF-16 code units of a text from which on a client may have split it. It does so at 4096, the limit of a message, or
at a line or word before: core.telegram.org/bots/api#message, core.telegram.org/api/config#message-length-max"""
GROUPS = ("group", "supergroup")
LARGEST_UPDATE_ID = 2**63

WRITTEN_FIELDS = frozenset(
    {
        *("text", "caption", "photo", "paid_media", "live_photo", "giveaway", "giveaway_winners"),
        *attachments.DEFAULTS,
        *text_input.CONTENT,
    }
)
"""Fields of which a message has one that somebody wrote. Any other message reports an event, perhaps of a kind that is
newer than this list. core.telegram.org/bots/api#message"""


def is_written(message: Fields) -> bool:
    """Tells whether somebody wrote a message."""
    return not WRITTEN_FIELDS.isdisjoint(message)


class UpdateParser:
    """Decides from one update alone what is said to the bot, and in which conversation. Keeps only who the bot is."""

    def __init__(self, settings: TelegramSettings, me: BotIdentity, languages: Languages = ENGLISH_ONLY) -> None:
        self._languages = languages
        secret = settings.telegram_webhook_secret
        self._secret = secret.get_secret_value().encode() if secret else b""
        self._name = settings.name
        self._scope = settings.telegram_scope
        self._groups = settings.telegram_groups
        self._has_names = settings.telegram_names
        self._join_seconds = settings.telegram_join_seconds
        self._allowed = settings.allowed_chats
        self._help = replies.help_wanted(self._scope, self._groups)
        self._me = me

    @property
    def bot_id(self) -> str:
        return str(self._me.id)

    def learn(self, who: BotProfile) -> None:
        """Sets the username, by which the bot is mentioned. Thread-safe."""
        self._me = BotIdentity(self._me.id, who.username)

    def receive(self, request: Request) -> ParsedUpdate:
        """Parses a webhook request. Raises Unauthenticated, and MalformedRequest for what is not an update."""
        shown = request.headers.get(SECRET_HEADER, "").encode(errors="backslashreplace")
        if not self._secret or not hmac.compare_digest(shown, self._secret):
            raise Unauthenticated("The secret is missing or wrong.")
        return self.receive_update(parse_object(request.body))

    def receive_update(self, update: object) -> ParsedUpdate:
        """Parses an update that is known to be from Telegram. Raises MalformedRequest for what is not an update."""
        return parse_safely(self.parse, checked(update))

    def parse(self, update: Fields) -> ParsedUpdate:
        """Returns what an update says; an empty receipt for unknown kinds.

        Raises MalformedRequest if it is of a known kind, but not as Telegram documents it.
        """
        match update:
            case {"message": message} | {"business_message": message}:
                return self._message(_object(message))
            case {"edited_message": message} | {"edited_business_message": message}:
                return self._edited(_object(message))
            case {"deleted_business_messages": deleted}:
                return self._deleted(_object(deleted))
            case {"stopped_message_generation": stopped}:
                return self._stopped(_object(stopped))
            case {"callback_query": pressed}:
                return self._pressed(_object(pressed))
        return ParsedUpdate()

    def _pressed(self, query: Fields) -> ParsedUpdate:
        """Parses a press of a button below a message: core.telegram.org/bots/api#callbackquery"""
        who = object_in(query, "from")
        decider = Decider(self._name, str(number_in(who, "id") or ""), name=text_input.name_of(who))
        verdict = verdict_of(text_in(query, "data"), decider)
        return ParsedUpdate(events=(verdict,) if verdict else ())

    # ------------------------------------------------------------ new messages

    def _message(self, message: Fields) -> ParsedUpdate:
        context = _target(message, self._author(message))
        if move := self._move(message, context):
            return ParsedUpdate(events=(move,))
        if not context.user or not is_written(message) or not self._allows(context):
            return ParsedUpdate()
        parsed = ParsedMessage.of(message, self._me)
        messages = tuple(self._messages(context, parsed))
        if self._is_for_bot(context, parsed):
            return ParsedUpdate(messages)
        # Of an album, and of a text that the client has split, only one message mentions the bot: the others join it.
        return ParsedUpdate(tuple(filter(None, map(self._rest, messages))) if self._hears(context, parsed) else ())

    def _rest(self, message: Message) -> Message | None:
        """Returns what a message may be that is not for the bot itself: a part of one that is."""
        if message.album_item_id:
            return replace(message, may_start_conversation=False)
        join = replace(message.join, required=True) if message.join else None
        return replace(message, may_start_conversation=False, join=join) if join else None

    def _messages(self, context: TelegramTarget, parsed: ParsedMessage) -> Iterator[Message]:
        """Yields what a message is to the bot: usually one message, and a second one for a question behind /new."""
        key, address, message_id = self._key(context), context.address, self._message_id(context, parsed)
        language = self._languages.best(text_in(object_in(parsed.message, "from"), "language_code"))
        who = in_language(self._speaker(context, parsed), language)
        author, chat = self._names(context, parsed.message)
        base = Message(
            *(key, message_id, parsed.own, context.user, address), context=who, author_name=author, channel_name=chat
        )
        match self._kind(context, parsed):
            case MessageKind.STOP:
                answers = not parsed.command and text_input.may_answer(parsed.own)
                opens = answers and self._is_addressed(context, parsed)
                yield replace(base, kind=MessageKind.STOP, may_start_conversation=opens, only_if_running=answers)
            case MessageKind.RESET:
                yield replace(base, kind=MessageKind.RESET, may_start_conversation=self._is_addressed(context, parsed))
                if parsed.command and parsed.command.rest:
                    yield replace(base, message_id=f"{message_id}:asked", text=parsed.command.rest)
            case MessageKind.HAND_OVER | MessageKind.RESUME as kind:
                yield replace(base, kind=kind, may_start_conversation=kind is MessageKind.HAND_OVER)
            case MessageKind.CHOOSE:
                yield replace(base, kind=MessageKind.CHOOSE, text=text_input.question(parsed.command, parsed.own, ""))
            case MessageKind.PROMPT:
                piece, join, wait = context.message if _album(parsed) else "", *self._join(context, parsed)
                said, files = parsed.text(self._help), (*parsed.files, *parsed.replied_to_files)
                yield replace(base, text=said, files=files, album_item_id=piece, debounce_seconds=wait, join=join)

    def _join(self, context: TelegramTarget, parsed: ParsedMessage) -> tuple[Join | None, float]:
        """Returns which turn a message may join, and how many seconds it waits for what may follow.

        A comment comes just before the forwards that it is about. Where the bot has to be mentioned, forwards are not
        for it, and of a text that the client has split only one piece mentions it.
        """
        album_wait, hears_all = ALBUM_SECONDS if _album(parsed) else 0.0, context.direct or self._groups == "always"
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

    def _speaker(self, context: TelegramTarget, parsed: ParsedMessage) -> ChatContext | None:
        """Returns who speaks, where several people take part in the conversation."""
        if context.direct or self._scope == "user" or not self._has_names:
            return None
        name = text_input.author_of(parsed.message, self._me)
        return ChatContext(name if clean_name(name) else SOMEBODY)

    def _names(self, context: TelegramTarget, message: Fields) -> tuple[str, str]:
        """Returns the names of author and chat, for operators."""
        author = text_input.author_of(message, self._me) if self._has_names else ""
        chat = "" if context.direct else text_in(object_in(message, "chat"), "title")
        return clean_name(author), clean_name(chat)

    def _author(self, message: Fields) -> str:
        """Returns the author; "" for those who get no answer: the bot itself, other bots, a linked channel.

        The author of a message in the name of a chat is a bot of Telegram's: core.telegram.org/bots/api#message,
        sender_chat.
        """
        sender, chat = object_in(message, "from"), object_in(message, "sender_chat")
        via_us = number_in(object_in(message, "via_bot"), "id") == self._me.id
        if via_us or message.get("is_automatic_forward") or message.get("sender_business_bot"):
            return ""
        if chat:
            return _number(chat, "id")
        owner = "business_connection_id" in message and sender.get("id") != object_in(message, "chat").get("id")
        return "" if owner or sender.get("is_bot") else _number(sender, "id")

    def _allows(self, context: TelegramTarget) -> bool:
        return not self._allowed or not self._allowed.isdisjoint({context.chat, context.user})

    def _hears(self, context: TelegramTarget, parsed: ParsedMessage) -> bool:
        """Tells whether the bot answers in this chat at all."""
        return context.direct or (self._groups != "never" and context.type in GROUPS and not parsed.in_channel_inbox)

    def _is_for_bot(self, context: TelegramTarget, parsed: ParsedMessage) -> bool:
        if context.direct or not self._hears(context, parsed):
            return context.direct
        # Where several bots could be meant, Telegram's clients write the bot's name behind a command.
        # core.telegram.org/bots/features#commands
        if parsed.command and not parsed.mentions_bot:
            return parsed.command.is_known and not parsed.command.to
        return self._is_addressed(context, parsed)

    def _is_addressed(self, context: TelegramTarget, parsed: ParsedMessage) -> bool:
        """Tells whether the bot is meant beyond doubt: a reset by mistake cannot be undone."""
        if context.direct or self._groups == "always" or parsed.mentions_bot:
            return True
        return parsed.replies_to_bot and not parsed.calls_others

    def _kind(self, context: TelegramTarget, parsed: ParsedMessage) -> MessageKind:
        """Returns what a message asks for. A bare word is a command too.

        Not so to a business: there, "cancel" may be about an order.
        """
        if parsed.command:
            return parsed.command.kind
        bare = parsed.mentions_bot or (context.direct and not context.business)
        return text_input.kind_of(parsed.own) if bare and parsed.is_plain else MessageKind.PROMPT

    # ------------------------------------------------------------ other updates

    def _edited(self, message: Fields) -> ParsedUpdate:
        """Parses an edit. Not each changes the text: updates of a live location come as edits, too."""
        context = _target(message, self._author(message))
        if not context.user or not written(message)[0]:
            return ParsedUpdate()
        parsed = ParsedMessage.of(message, self._me)
        edit = MessageEdited(self._name, self._message_id(context, parsed), parsed.text(self._help))
        return ParsedUpdate(tuple(self._called_by_edit(context, parsed)), (edit,))

    def _called_by_edit(self, context: TelegramTarget, parsed: ParsedMessage) -> Iterator[Message]:
        """Yields what an edit addresses to the bot; it has the id of the original, should that be known."""
        if not context.direct and parsed.mentions_bot and self._allows(context) and self._is_for_bot(context, parsed):
            for message in self._messages(context, parsed):
                yield replace(message, album_item_id="", debounce_seconds=0.0, join=None)

    def _deleted(self, deleted: Fields) -> ParsedUpdate:
        """Parses the deletion of messages, which Telegram reports for business chats only."""
        business, chat = _id(deleted, "business_connection_id"), _number(object_in(deleted, "chat"), "id")
        numbers = deleted.get("message_ids")
        if not (business and chat and isinstance(numbers, list)):
            raise MalformedRequest("The update does not say what was deleted where.")
        ids = (_number({"id": number}, "id") for number in numbers)
        within = f"{self.bot_id}:{TelegramTarget(chat, business=business).channel}"
        names = (f"{within}:{message}" for message in ids if message)
        return ParsedUpdate(events=tuple(MessageDeleted(self._name, name) for name in names))

    def _stopped(self, stopped: Fields) -> ParsedUpdate:
        """Parses a press of the button under a draft: core.telegram.org/bots/api#messagegenerationstopped"""
        chat, draft = _number(object_in(stopped, "chat"), "id"), _number(stopped, "draft_id")
        if not (chat and draft):
            raise MalformedRequest("The update does not say what was stopped where.")
        context = TelegramTarget(chat, topic=_number(stopped, "message_thread_id"), user=chat, type="private")
        stop = f"{self.bot_id}:{chat}:stop:{draft}"
        return ParsedUpdate(
            (
                Message(
                    self._key(context),
                    stop,
                    "stop",
                    chat,
                    context.address,
                    MessageKind.STOP,
                    may_start_conversation=False,
                ),
            )
        )

    def _move(self, message: Fields, context: TelegramTarget) -> ChannelMigrated | None:
        """Returns the move of a group that became a supergroup: both chats report it, in any order."""
        if to := _number(message, "migrate_to_chat_id"):
            return ChannelMigrated(self._name, self.bot_id, context.chat, to)
        if old := _number(message, "migrate_from_chat_id"):
            return ChannelMigrated(self._name, self.bot_id, old, context.chat)
        return None

    def _key(self, context: TelegramTarget) -> ConversationKey:
        topic = context.topic if self._scope == "topic" else ""
        user = context.user if self._scope == "user" else ""
        return ConversationKey(self._name, self.bot_id, context.channel, topic, user)

    def _message_id(self, context: TelegramTarget, parsed: ParsedMessage) -> str:
        """Returns the same id for all items of an album."""
        album = _album(parsed)
        return f"{self.bot_id}:{context.channel}:{f'album:{album}' if album else context.message}"


def checked(update: object) -> dict[str, Any]:
    """Returns what is an update, at least by its id. Raises MalformedRequest."""
    if not isinstance(update, dict):
        raise MalformedRequest("This is not an update.")
    update_id = update.get("update_id")
    if not isinstance(update_id, int) or isinstance(update_id, bool) or not 0 <= update_id < LARGEST_UPDATE_ID:
        raise MalformedRequest("This is not an update: it has no update_id.")
    return update


def _target(message: Fields, user: str) -> TelegramTarget:
    """Returns where a message was written. Raises MalformedRequest if it is not a message."""
    chat, number = object_in(message, "chat"), _number(message, "message_id")
    if not (_number(chat, "id") and _id(chat, "type") and number):
        raise MalformedRequest("The message names no chat, or has no number.")
    # Outside of topics this is the number of the message at the root of replies.
    topic = _number(message, "message_thread_id") if message.get("is_topic_message") is True else ""
    business = _id(message, "business_connection_id")
    return TelegramTarget(_number(chat, "id"), topic, number, user, business, _id(chat, "type"))


def _object(value: Any) -> Fields:
    found = object_in({"it": value}, "it")
    if not found:
        raise MalformedRequest("The update is empty.")
    return found


def _number(fields: Fields, name: str) -> str:
    """Returns a number as text, for keys and addresses; "" if there is none. Telegram does not use 0."""
    return str(number_in(fields, name) or "")


def _id(fields: Fields, name: str) -> str:
    """Returns an id; "" if there is none."""
    return id_in(fields, name, ID)


def _album(parsed: ParsedMessage) -> str:
    return _id(parsed.message, "media_group_id") if parsed.files else ""
