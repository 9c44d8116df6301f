"""State of the fake Telegram: chats, topics, messages, drafts, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.fakes.change_signal import ChangeSignal
from tests.fakes.platform_faults import PlatformFaults, RecordedCall
from tests.fakes.telegram_faults import TelegramError, bad_request
from tests.fakes.telegram_messages import BOT_ID, BOT_NAME, GENERAL_TOPIC, GROUP, USER, Json, bot_user, chat_of

DRAFT_SECONDS = 30
"""Seconds a draft is visible: core.telegram.org/bots/api#sendmessagedraft."""
TYPING_SECONDS = 5
DATE = 1_790_000_000

ChatAddress = tuple[str, int]
"""Business connection id (or empty) and chat id."""


@dataclass(frozen=True, slots=True)
class TelegramFile:
    """A stored file. ``size`` may be larger than ``content``."""

    id: str
    kind: str
    """photo, document, voice ..."""
    name: str
    mime_type: str
    content: bytes
    size: int


@dataclass(frozen=True, slots=True)
class TelegramMessageView:
    """A message as users see it now."""

    message_id: int
    chat_id: int
    thread: int | None
    """Topic (message_thread_id)."""
    text: str
    """Text, or the caption of a file."""
    entities: tuple[Json, ...]
    """Entities as given, without those that Telegram ignores."""
    from_bot: bool
    user: int
    """Id of the author."""
    reply_to: int | None
    edited: bool
    files: tuple[TelegramFile, ...]
    markup: Json | None
    """Reactions of the bot."""


@dataclass(frozen=True, slots=True)
class TelegramDraft:
    """A draft shown while the bot is still writing."""

    draft_id: int
    thread: int | None
    text: str
    entities: tuple[Json, ...]
    can_stop: bool
    keep_on_stop: bool
    expires_at: float


@dataclass(frozen=True, slots=True)
class ChatAction:
    """A chat action: ``typing`` and the like."""

    action: str
    thread: int | None
    at: float


@dataclass(slots=True)
class FakeChatMessage:
    """A message, as users see it and as JSON of the API."""

    view: TelegramMessageView
    json: Json


@dataclass(slots=True)
class TelegramChat:
    json: Json
    business: str = ""
    messages: dict[int, FakeChatMessage] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    """Topic names by message_thread_id."""
    drafts: dict[tuple[int | None, int], TelegramDraft] = field(default_factory=dict)
    actions: list[ChatAction] = field(default_factory=list)
    typing_until: dict[int | None, float] = field(default_factory=dict)
    """Time until which the bot is shown as typing, by topic."""
    forbidden_reason: str = ""
    """Why the bot may not post here, as the server words it; empty if it may."""
    migrated_to: int = 0
    last_message_id: int = 0
    """The highest message_id."""

    @property
    def id(self) -> int:
        chat_id: int = self.json["id"]
        return chat_id

    @property
    def is_private(self) -> bool:
        return bool(self.json["type"] == "private")

    @property
    def has_topics(self) -> bool:
        return self.is_private or bool(self.json.get("is_forum"))

    def put_message(self, shown: TelegramMessageView, json: Json) -> FakeChatMessage:
        """Adds or replaces a message."""
        entry = self.messages.get(shown.message_id)
        if entry is None:
            self.last_message_id = max(self.last_message_id, shown.message_id)
            entry = self.messages[shown.message_id] = FakeChatMessage(shown, json)
        else:
            entry.view, entry.json = shown, json
        return entry

    def record_action(self, action: ChatAction) -> None:
        self.actions.append(action)
        self.typing_until[action.thread] = action.at + TYPING_SECONDS

    def end_drafts(self, thread: int | None) -> None:
        """Removes drafts and typing of a topic, as a new message of the bot does."""
        self.typing_until.pop(thread, None)
        for key in [key for key in self.drafts if key[0] == thread]:
            del self.drafts[key]


class TelegramState(ChangeSignal):
    """All state of the fake. Hold ``lock`` to read or write; ``change`` takes it and wakes the waiting threads."""

    def __init__(self, clock: Callable[[], float], token: str, me: Json) -> None:
        super().__init__()
        self.clock = clock
        self.token = token
        self.me = bot_profile(**me)
        self.faults = PlatformFaults()
        self.calls: list[RecordedCall] = []
        self.chats: dict[ChatAddress, TelegramChat] = {}
        self.files: dict[str, TelegramFile] = {}
        self.commands: dict[str, list[Json]] = {}
        """Command menus by the JSON of their scope."""
        self.query_answers: dict[str, Json] = {}
        """Answers to queries by query id."""
        self.revoked = False
        self.ids = count(1)
        self.ensure_chat(USER)
        self.ensure_chat(GROUP)

    def ensure_chat(self, chat: Json | int, thread: int | None = None, business: str = "") -> TelegramChat:
        """Returns the chat, creating chat and topic if they do not exist."""
        where = (business, chat if isinstance(chat, int) else chat["id"])
        found = self.chats.get(where)
        if found is None:
            found = self.chats[where] = TelegramChat(chat_of(chat, thread), business)
            found.last_message_id = 0 if found.is_private else GENERAL_TOPIC
        elif not isinstance(chat, int):
            found.json = chat
        if thread is not None and found.has_topics:
            found.topics.setdefault(thread, f"Topic {thread}")
        return found

    def find_chat(self, chat_id: int, business: str = "") -> TelegramChat:
        """Returns an existing chat. Raises ``chat not found`` or ``business connection not found``."""
        found = self.chats.get((business, chat_id))
        if found is not None:
            return found
        known = not business or any(business == connection for connection, _ in self.chats)
        raise bad_request("chat not found" if known else "business connection not found")

    def writable_chat(self, chat_id: int, business: str = "") -> TelegramChat:
        """Returns a chat the bot may post in. Raises TelegramError if it may not."""
        chat = self.find_chat(chat_id, business)
        if chat.migrated_to:
            why = "group chat was upgraded to a supergroup chat"
            raise TelegramError(400, why, migrate_to_chat_id=chat.migrated_to)
        if chat.forbidden_reason:
            raise TelegramError(403, chat.forbidden_reason)
        return chat

    def visible_drafts(self, chat: TelegramChat) -> list[TelegramDraft]:
        """Returns the drafts that have not expired."""
        now = self.clock()
        return [draft for draft in chat.drafts.values() if now < draft.expires_at]

    def add_bot_message(self, chat: TelegramChat, shown: TelegramMessageView, json: Json) -> Json:
        """Adds a message of the bot, which replaces its drafts and typing; returns its JSON."""
        chat.end_drafts(shown.thread)
        return chat.put_message(shown, json).json


def bot_profile(**more: Any) -> Json:
    """Returns the result of getMe."""
    abilities = {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}
    newer = {"can_connect_to_business": True, "has_main_web_app": False, "has_topics_enabled": True}
    return bot_user() | {"username": BOT_NAME, "id": BOT_ID} | abilities | newer | more
