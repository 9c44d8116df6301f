"""State of the fake Telegram: chats, topics, messages, drafts, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from tests.fakes.change_signal import Bell
from tests.fakes.platform_faults import Call, Faults
from tests.fakes.telegram_faults import TelegramError, bad
from tests.fakes.telegram_messages import BOT_ID, BOT_NAME, GENERAL_TOPIC, GROUP, USER, Json, bot, place

DRAFT_SECONDS = 30
"""Seconds a draft is visible: core.telegram.org/bots/api#sendmessagedraft."""
TYPING_SECONDS = 5
DATE = 1_790_000_000

Where = tuple[str, int]
"""Business connection id (or empty) and chat id."""


@dataclass(frozen=True, slots=True)
class File:
    """A stored file. ``size`` may be larger than ``content``."""

    id: str
    kind: str
    """photo, document, voice ..."""
    name: str
    mime_type: str
    content: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Shown:
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
    files: tuple[File, ...]
    markup: Json | None
    group_id: str = ""
    """media_group_id, shared by all items of an album."""
    reactions: tuple[str, ...] = ()
    """Reactions of the bot."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft shown while the bot is still writing."""

    draft_id: int
    thread: int | None
    text: str
    entities: tuple[Json, ...]
    can_stop: bool
    keep_on_stop: bool
    until: float


@dataclass(frozen=True, slots=True)
class Action:
    """A chat action: ``typing`` and the like."""

    action: str
    thread: int | None
    at: float


@dataclass(slots=True)
class Entry:
    """A message, as users see it and as JSON of the API."""

    shown: Shown
    json: Json


@dataclass(slots=True)
class Chat:
    json: Json
    business: str = ""
    entries: dict[int, Entry] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    """Topic names by message_thread_id."""
    drafts: dict[tuple[int | None, int], Draft] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    typing: dict[int | None, float] = field(default_factory=dict)
    """Time until which the bot is shown as typing, by topic."""
    shut_out: str = ""
    """Why the bot may not post here, as the server words it; empty if it may."""
    migrated_to: int = 0
    last: int = 0
    """The highest message_id."""

    @property
    def id(self) -> int:
        chat_id: int = self.json["id"]
        return chat_id

    @property
    def private(self) -> bool:
        return bool(self.json["type"] == "private")

    @property
    def has_topics(self) -> bool:
        return self.private or bool(self.json.get("is_forum"))

    def put(self, shown: Shown, json: Json) -> Entry:
        """Adds or replaces a message."""
        entry = self.entries.get(shown.message_id)
        if entry is None:
            self.last = max(self.last, shown.message_id)
            entry = self.entries[shown.message_id] = Entry(shown, json)
        else:
            entry.shown, entry.json = shown, json
        return entry

    def act(self, action: Action) -> None:
        self.actions.append(action)
        self.typing[action.thread] = action.at + TYPING_SECONDS

    def end_drafts(self, thread: int | None) -> None:
        """Removes drafts and typing of a topic, as a new message of the bot does."""
        self.typing.pop(thread, None)
        for key in [key for key in self.drafts if key[0] == thread]:
            del self.drafts[key]


class World(Bell):
    """All state of the fake. Hold ``lock`` to read or write; ``change`` takes it and wakes the waiting threads."""

    def __init__(self, clock: Callable[[], float], token: str, me: Json) -> None:
        super().__init__()
        self.clock = clock
        self.token = token
        self.me = profile(**me)
        self.faults = Faults()
        self.calls: list[Call] = []
        self.chats: dict[Where, Chat] = {}
        self.files: dict[str, File] = {}
        self.commands: dict[str, list[Json]] = {}
        """Command menus by the JSON of their scope."""
        self.answered: dict[str, Json] = {}
        """Answers to queries by query id."""
        self.revoked = False
        self.numbers = count(1)
        self.enter(USER)
        self.enter(GROUP)

    def enter(self, chat: Json | int, thread: int | None = None, business: str = "") -> Chat:
        """Returns the chat, creating chat and topic if they do not exist."""
        where = (business, chat if isinstance(chat, int) else chat["id"])
        found = self.chats.get(where)
        if found is None:
            found = self.chats[where] = Chat(place(chat, thread), business)
            found.last = 0 if found.private else GENERAL_TOPIC
        elif not isinstance(chat, int):
            found.json = chat
        if thread is not None and found.has_topics:
            found.topics.setdefault(thread, f"Topic {thread}")
        return found

    def chat(self, chat_id: int, business: str = "") -> Chat:
        """Returns an existing chat. Raises ``chat not found`` or ``business connection not found``."""
        found = self.chats.get((business, chat_id))
        if found is not None:
            return found
        known = not business or any(business == connection for connection, _ in self.chats)
        raise bad("chat not found" if known else "business connection not found")

    def open_chat(self, chat_id: int, business: str = "") -> Chat:
        """Returns a chat the bot may post in. Raises TelegramError if it may not."""
        chat = self.chat(chat_id, business)
        if chat.migrated_to:
            why = "group chat was upgraded to a supergroup chat"
            raise TelegramError(400, why, migrate_to_chat_id=chat.migrated_to)
        if chat.shut_out:
            raise TelegramError(403, chat.shut_out)
        return chat

    def drafts(self, chat: Chat) -> list[Draft]:
        """Returns the drafts that have not expired."""
        now = self.clock()
        return [draft for draft in chat.drafts.values() if now < draft.until]

    def say(self, chat: Chat, shown: Shown, json: Json) -> Json:
        """Adds a message of the bot, which replaces its drafts and typing; returns its JSON."""
        chat.end_drafts(shown.thread)
        return chat.put(shown, json).json

    def react(self, entry: Entry, emoji: tuple[str, ...]) -> None:
        entry.shown = replace(entry.shown, reactions=emoji)


def profile(**more: Any) -> Json:
    """Returns the result of getMe."""
    abilities = {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}
    newer = {"can_connect_to_business": True, "has_main_web_app": False, "has_topics_enabled": True}
    return bot() | {"username": BOT_NAME, "id": BOT_ID} | abilities | newer | more
