"""What Telegram tells us, in the words of the core: updates verified and read, and what they ask for. No I/O."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from adapters.telegram import words
from adapters.telegram.api_client import BotProfile
from adapters.telegram.marks import Fields, Me, number_in, object_in, text_in, written
from adapters.telegram.reply_target import NAME
from adapters.telegram.sayings import Saying
from adapters.telegram.settings import TelegramSettings
from gateway.errors import Unreadable, Unverified
from gateway.messages import Address, ConversationKey, Edit, Kind, Message, Move, Withdrawal
from gateway.ports import Receipt, Request

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105  # the header's name
"""core.telegram.org/bots/api#setwebhook"""
ID = re.compile(r"[A-Za-z0-9_\-]{1,80}")
"""What ids of business connections and albums are made of; one of each fits into a message id."""
ALBUM_SECONDS = 2.0
"""How long to wait for the next picture of an album: each comes as an update of its own."""
GROUPS = ("group", "supergroup")

SERVICE = frozenset(
    {
        "boost_added",
        "channel_chat_created",
        "chat_background_set",
        "chat_owner_changed",
        "chat_owner_left",
        "chat_shared",
        "checklist_tasks_added",
        "checklist_tasks_done",
        "community_chat_added",
        "community_chat_removed",
        "connected_website",
        "delete_chat_photo",
        "direct_message_price_changed",
        "forum_topic_closed",
        "forum_topic_created",
        "forum_topic_edited",
        "forum_topic_reopened",
        "general_forum_topic_hidden",
        "general_forum_topic_unhidden",
        "gift",
        "gift_upgrade_sent",
        "giveaway_completed",
        "giveaway_created",
        "group_chat_created",
        "left_chat_member",
        "managed_bot_created",
        "message_auto_delete_timer_changed",
        "new_chat_member",
        "new_chat_members",
        "new_chat_participant",
        "new_chat_photo",
        "new_chat_title",
        "paid_message_price_changed",
        "passport_data",
        "pinned_message",
        "poll_option_added",
        "poll_option_deleted",
        "proximity_alert_triggered",
        "refunded_payment",
        "successful_payment",
        "suggested_post_approval_failed",
        "suggested_post_approved",
        "suggested_post_declined",
        "suggested_post_paid",
        "suggested_post_refunded",
        "supergroup_chat_created",
        "unique_gift",
        "users_shared",
        "video_chat_ended",
        "video_chat_participants_invited",
        "video_chat_scheduled",
        "video_chat_started",
        "web_app_data",
        "write_access_allowed",
    }
)
"""What a message has that tells of something that happened, and that nobody said. core.telegram.org/bots/api#message"""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where something was said, and by whom."""

    chat: str
    kind: str
    """Telegram's type of the chat: private, group, supergroup, channel."""
    message: str = ""
    """Empty where it was none."""
    topic: str = ""
    """Empty outside of topics, and in the general one."""
    user: str = ""
    """Empty when it is nobody whom we answer."""
    business: str = ""
    """The business connection over which it came."""

    @classmethod
    def of(cls, message: Fields, user: str) -> Spot:
        """Raises Unreadable when it is no message."""
        chat, number = object_in(message, "chat"), _number(message, "message_id")
        if not (_number(chat, "id") and _id(chat, "type") and number):
            raise Unreadable("The message names no chat, or has no number.")
        # Outside of topics this is the number of the message at the root of replies.
        topic = _number(message, "message_thread_id") if message.get("is_topic_message") is True else ""
        business = _id(message, "business_connection_id")
        return cls(_number(chat, "id"), _id(chat, "type"), number, topic, user, business)

    @property
    def direct(self) -> bool:
        """Whether all that is said there is said to us."""
        return self.kind == "private"

    @property
    def channel(self) -> str:
        """A chat over a business connection is another than the bot's own with the same person."""
        return f"biz:{self.business}:{self.chat}" if self.business else self.chat


class Reader:
    """Decides from one update alone what is said to us, and where it belongs. Keeps nothing but who we are."""

    def __init__(self, settings: TelegramSettings, me: Me) -> None:
        secret = settings.telegram_webhook_secret
        self._secret = secret.get_secret_value().encode() if secret else b""
        self._scope = settings.telegram_scope
        self._groups = settings.telegram_groups
        self._allowed = settings.allowed_chats
        self._help = words.help_wanted(self._scope, self._groups)
        self._me = me

    @property
    def bot_id(self) -> str:
        return str(self._me.id)

    def learn(self, who: BotProfile) -> None:
        """From now on, whoever mentions the bot by name is heard. In any thread."""
        self._me = Me(self._me.id, who.username)

    def receive(self, request: Request) -> Receipt:
        """A request to our webhook. Raises Unverified, Unreadable."""
        shown = request.headers.get(SECRET_HEADER, "").encode(errors="backslashreplace")
        if not self._secret or not hmac.compare_digest(shown, self._secret):
            raise Unverified("The secret is missing or wrong.")
        return self.read(decode(request.body))

    def read(self, update: Fields) -> Receipt:
        """An update that is known to be Telegram's; what we do not know is nothing to us.

        Raises Unreadable when it is of a kind that we know, and not what Telegram documents.
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
        return Receipt()

    # ------------------------------------------------------------ what is said

    def _message(self, message: Fields) -> Receipt:
        spot = Spot.of(message, self._author(message))
        if move := self._move(message, spot):
            return Receipt(changes=(move,))
        if not spot.user or not SERVICE.isdisjoint(message) or not self._allows(spot):
            return Receipt()
        saying = Saying.of(message, self._me)
        said = tuple(self._said(spot, saying))
        if self._hears(spot, saying):
            return Receipt(said)
        # Of an album, one picture mentions us: the others come along.
        return Receipt(tuple(replace(one, opens=False) for one in said if one.piece and self._groups != "never"))

    def _said(self, spot: Spot, saying: Saying) -> Iterator[Message]:
        """Mostly one message. A question behind the command to begin anew is another one."""
        key, address, message_id = self._key(spot), _address(spot), self._message_id(spot, saying)
        said = Message(key, message_id, saying.own, spot.user, address)
        match self._kind(spot, saying):
            case Kind.STOP:
                yield replace(said, kind=Kind.STOP, opens=False)
            case Kind.RESET:
                yield replace(said, kind=Kind.RESET, opens=self._is_addressed(spot, saying))
                if saying.command and saying.command.rest:
                    yield replace(said, message_id=f"{message_id}:asked", text=saying.command.rest)
            case Kind.ASK:
                piece, wait = (spot.message, ALBUM_SECONDS) if _album(saying) else ("", 0.0)
                files = (*saying.files, *saying.files_about)
                yield replace(said, text=saying.text(self._help), files=files, piece=piece, wait=wait)

    def _author(self, message: Fields) -> str:
        """Who says it; empty when it is nobody whom we answer: we ourselves, another bot, a channel that is linked.

        Who speaks as a chat is shown as a bot of Telegram's: core.telegram.org/bots/api#message, sender_chat.
        """
        sender, chat = object_in(message, "from"), object_in(message, "sender_chat")
        ours = number_in(object_in(message, "via_bot"), "id") == self._me.id
        if ours or message.get("is_automatic_forward") or message.get("sender_business_bot"):
            return ""
        if chat:
            return _number(chat, "id")
        owner = "business_connection_id" in message and sender.get("id") != object_in(message, "chat").get("id")
        return "" if owner or sender.get("is_bot") else _number(sender, "id")

    def _allows(self, spot: Spot) -> bool:
        return not self._allowed or not self._allowed.isdisjoint({spot.chat, spot.user})

    def _hears(self, spot: Spot, saying: Saying) -> bool:
        if spot.direct:
            return True
        if self._groups == "never" or spot.kind not in GROUPS or saying.in_direct_messages:
            return False
        # A client writes our name behind a command of ours where other bots could be meant.
        # core.telegram.org/bots/features#commands
        if saying.command and not saying.called:
            return saying.command.ours and not saying.command.to
        return self._is_addressed(spot, saying)

    def _is_addressed(self, spot: Spot, saying: Saying) -> bool:
        """Whether we are meant beyond doubt: what is forgotten by mistake is gone."""
        return spot.direct or self._groups == "always" or saying.called or saying.answers_us

    def _kind(self, spot: Spot, saying: Saying) -> Kind:
        """A word alone is a command too; to a business it may be an order."""
        if saying.command:
            return saying.command.kind
        alone = saying.called or (spot.direct and not spot.business)
        return words.word_alone(saying.own) if alone and saying.is_plain else Kind.ASK

    # ------------------------------------------------------------ what becomes of it

    def _edited(self, message: Fields) -> Receipt:
        """Also a change that is none to the text, such as another place of somebody who shares theirs."""
        spot = Spot.of(message, self._author(message))
        if not spot.user or not written(message)[0]:
            return Receipt()
        saying = Saying.of(message, self._me)
        return Receipt(changes=(Edit(NAME, self._message_id(spot, saying), saying.text(self._help)),))

    def _deleted(self, deleted: Fields) -> Receipt:
        """Only for business chats, deleted messages are told of."""
        business, chat = _id(deleted, "business_connection_id"), _number(object_in(deleted, "chat"), "id")
        numbers = deleted.get("message_ids")
        if not (business and chat and isinstance(numbers, list)):
            raise Unreadable("What was deleted where is not told.")
        ids = (_number({"id": number}, "id") for number in numbers)
        within = f"{self.bot_id}:{Spot(chat, 'private', business=business).channel}"
        return Receipt(changes=tuple(Withdrawal(NAME, f"{within}:{message}") for message in ids if message))

    def _stopped(self, stopped: Fields) -> Receipt:
        """The button under a draft. core.telegram.org/bots/api#messagegenerationstopped"""
        chat, draft = _number(object_in(stopped, "chat"), "id"), _number(stopped, "draft_id")
        if not (chat and draft):
            raise Unreadable("What was stopped where is not told.")
        spot = Spot(chat, "private", topic=_number(stopped, "message_thread_id"), user=chat)
        stop = f"{self.bot_id}:{chat}:stop:{draft}"
        return Receipt((Message(self._key(spot), stop, "stop", chat, _address(spot), Kind.STOP, opens=False),))

    def _move(self, message: Fields, spot: Spot) -> Move | None:
        """A group became a supergroup: both tell of it, in any order."""
        if to := _number(message, "migrate_to_chat_id"):
            return Move(NAME, self.bot_id, spot.chat, to)
        if old := _number(message, "migrate_from_chat_id"):
            return Move(NAME, self.bot_id, old, spot.chat)
        return None

    def _key(self, spot: Spot) -> ConversationKey:
        topic = spot.topic if self._scope == "topic" else ""
        user = spot.user if self._scope == "user" else ""
        return ConversationKey(NAME, self.bot_id, spot.channel, topic, user)

    def _message_id(self, spot: Spot, saying: Saying) -> str:
        """The same for all pieces of an album."""
        album = _album(saying)
        return f"{self.bot_id}:{spot.channel}:{f'album:{album}' if album else spot.message}"


def decode(body: bytes) -> dict[str, Any]:
    """The update that a request brings. Raises Unreadable."""
    try:
        update = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise Unreadable("The body is not JSON.") from None
    if not isinstance(update, dict) or number_in(update, "update_id") is None:
        raise Unreadable("The body is no update.")
    return update


def _object(value: Any) -> Fields:
    found = object_in({"it": value}, "it")
    if not found:
        raise Unreadable("The update is empty.")
    return found


def _number(fields: Fields, name: str) -> str:
    """A number as it stands in keys and addresses; empty when there is none. Telegram numbers nothing 0."""
    return str(number_in(fields, name) or "")


def _id(fields: Fields, name: str) -> str:
    """Empty when there is none, or none that can be Telegram's."""
    value = text_in(fields, name)
    return value if ID.fullmatch(value) else ""


def _album(saying: Saying) -> str:
    return _id(saying.message, "media_group_id") if saying.files else ""


def _address(spot: Spot) -> Address:
    """An address as ``places.TelegramTarget.of`` reads it. What is empty is left out."""
    parts = {
        "chat": spot.chat,
        "topic": spot.topic,
        "message": spot.message,
        "user": spot.user,
        "business": spot.business,
        "type": spot.kind,
    }
    return {name: part for name, part in parts.items() if part}
