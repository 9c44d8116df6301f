"""What is in the fake Telegram: chats, topics, messages, drafts, files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from tests.fakes.bell import Bell
from tests.fakes.telegram_faults import TelegramError, bad
from tests.fakes.telegram_messages import BOT_ID, BOT_NAME, GENERAL_TOPIC, GROUP, USER, Json, bot, place
from tests.fakes.web_faults import Call, Faults

DRAFT_SECONDS = 30
"""A draft lasts so long: core.telegram.org/bots/api#sendmessagedraft."""
TYPING_SECONDS = 5
DATE = 1_790_000_000

Where = tuple[str, int]
"""A chat; in a business connection, whose chats are others."""


@dataclass(frozen=True, slots=True)
class File:
    """A file as Telegram keeps it. ``size`` may be said to be larger than ``content`` is."""

    id: str
    kind: str
    """photo, document, voice ..."""
    name: str
    mime_type: str
    content: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as people see it now."""

    message_id: int
    chat_id: int
    thread: int | None
    """Its topic."""
    text: str
    """Of a file: what stands under it."""
    entities: tuple[Json, ...]
    """As they were given, those aside that Telegram does not take."""
    from_bot: bool
    user: int
    """Who has written it."""
    reply_to: int | None
    edited: bool
    files: tuple[File, ...]
    markup: Json | None
    group_id: str = ""
    """What the pieces of an album share."""
    reactions: tuple[str, ...] = ()
    """Of the bot."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a bot shows of a message that it is still writing."""

    draft_id: int
    thread: int | None
    text: str
    entities: tuple[Json, ...]
    can_stop: bool
    keep_on_stop: bool
    until: float


@dataclass(frozen=True, slots=True)
class Action:
    """``typing`` and the like."""

    action: str
    thread: int | None
    at: float


@dataclass(slots=True)
class Entry:
    """A message, as it is shown and as the API tells it."""

    shown: Shown
    json: Json


@dataclass(slots=True)
class Chat:
    json: Json
    business: str = ""
    entries: dict[int, Entry] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    """Names by message_thread_id."""
    drafts: dict[tuple[int | None, int], Draft] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    typing: dict[int | None, float] = field(default_factory=dict)
    """Until when the bot is seen to be typing, by topic."""
    shut_out: str = ""
    """Why the bot may not speak here, in the server's words."""
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
        """Let a message stand, or stand otherwise. A bot's message ends what it was writing there."""
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
        """A real message of the bot takes the place of its drafts, and of its typing."""
        self.typing.pop(thread, None)
        for key in [key for key in self.drafts if key[0] == thread]:
            del self.drafts[key]


class World(Bell):
    """All that is remembered. Whoever reads or changes it holds ``lock``; ``change`` does, and tells."""

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
        """By scope, as it is written in JSON."""
        self.answered: dict[str, Json] = {}
        """What was said to queries, by their id."""
        self.revoked = False
        self.numbers = count(1)
        self.enter(USER)
        self.enter(GROUP)

    def enter(self, chat: Json | int, thread: int | None = None, business: str = "") -> Chat:
        """A chat, which is there from now on."""
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
        """Raises chat not found, business connection not found."""
        found = self.chats.get((business, chat_id))
        if found is not None:
            return found
        known = not business or any(business == connection for connection, _ in self.chats)
        raise bad("chat not found" if known else "business connection not found")

    def open_chat(self, chat_id: int, business: str = "") -> Chat:
        """Where the bot may speak. Raises what keeps it from it."""
        chat = self.chat(chat_id, business)
        if chat.migrated_to:
            why = "group chat was upgraded to a supergroup chat"
            raise TelegramError(400, why, migrate_to_chat_id=chat.migrated_to)
        if chat.shut_out:
            raise TelegramError(403, chat.shut_out)
        return chat

    def drafts(self, chat: Chat) -> list[Draft]:
        """Those that are still seen."""
        now = self.clock()
        return [draft for draft in chat.drafts.values() if now < draft.until]

    def say(self, chat: Chat, shown: Shown, json: Json) -> Json:
        """A message of the bot's: it ends what was being written there."""
        chat.end_drafts(shown.thread)
        return chat.put(shown, json).json

    def react(self, entry: Entry, emoji: tuple[str, ...]) -> None:
        entry.shown = replace(entry.shown, reactions=emoji)


def profile(**more: Any) -> Json:
    """What getMe says."""
    abilities = {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}
    newer = {"can_connect_to_business": True, "has_main_web_app": False, "has_topics_enabled": True}
    return bot() | {"username": BOT_NAME, "id": BOT_ID} | abilities | newer | more
