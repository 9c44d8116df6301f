"""One turn and its reply in the fake Telegram: what the engine does with it, and a process that may die at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

from adapters.telegram import formatter
from adapters.telegram.adapter import TelegramReplies
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.reconciler import SENT_AGAIN, STOPPED
from adapters.telegram.settings import TelegramSettings
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from tests.contracts.reply_scene import MortalDelivery, ReplyScene
from tests.fakes import telegram_server as fake
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.simulated_crash import CrashAfterSteps
from tests.fakes.telegram_messages import BOT_ID, TOKEN, group_chat, private_chat

TOPIC = 7
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 50 for number in range(12))
"""Three messages."""
CHART = File("chart.png", "file-1", "image/png")
NOTES = File("notes.txt", "file-2", "text/plain")
FILES = {"file-1": b"\x89PNG\r\n\x1a\nchart", "file-2": b"notes"}

_numbers = count(1)


class MortalTelegramClient(TelegramClient):
    """One step before each call, one after it."""

    def __init__(self, settings: TelegramSettings, mortal: CrashAfterSteps) -> None:
        super().__init__(settings)
        self._mortal = mortal

    async def call(self, method: str, chat: int | str | None = None, **args: Any) -> Any:
        self._mortal.step()
        answer = await super().call(method, chat, **args)
        self._mortal.step()
        return answer


@dataclass
class TelegramScene(ReplyScene):
    """A message in the fake Telegram, its turn, and the processes that bring its reply one after another.

    ``where``: private, group, topic (of a forum) or business; each scene has a chat of its own.
    """

    POST, UPDATE, DELETE = "sendMessage", "editMessageText", "deleteMessage"
    ACTIVITY = "sendChatAction"
    LONG = LONG
    REFUSED_CONTENT = fake.TelegramErrorFault(400, "can't parse entities")
    REFUSED_FOR_GOOD = fake.TelegramErrorFault(403, "bot was kicked from the supergroup chat")

    telegram: fake.FakeTelegram
    where: str = "private"
    settings: Mapping[str, Any] = field(default_factory=dict)
    delivery: FakeDeliveryContext = field(default_factory=FakeDeliveryContext)
    chat: int = 0
    asked: int = 0
    turn: Turn = field(init=False)
    replies: TelegramReplies = field(init=False)
    calls: TelegramClient = field(init=False)

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.business = f"biz{number}" if self.where == "business" else ""
        self.chat = 5_000_000 + number if self.where in {"private", "business"} else -1_005_000_000_000 - number
        self.thread = TOPIC if self.where == "topic" else None
        chat = private_chat(self.chat) if self.chat > 0 else group_chat(self.chat, forum=self.where == "topic")
        self.telegram.add_chat(chat, business=self.business)
        self.asked = self.telegram.user_says("Tell me.", chat_id=self.chat, thread=self.thread, business=self.business)
        found = {
            "chat": str(self.chat),
            "type": chat["type"],
            "message": str(self.asked),
            "user": "1",
            "business": self.business,
            "topic": str(self.thread or ""),
        }
        address = {name: value for name, value in found.items() if value}
        key = ConversationKey("telegram", str(BOT_ID), str(self.chat), address.get("topic", ""))
        message = Message(key, f"{BOT_ID}:{self.chat}:{number}", "Tell me.", "1", address)
        self.turn = Turn(TurnId(f"turn_{number}"), 1, number, message, TurnState.RUNNING, received_at=1.0)
        self.made = settings_of(self.telegram.url, **self.settings)
        self.start(TelegramClient(self.made))

    def start(self, calls: TelegramClient) -> None:
        """A process."""
        self.calls = calls
        self.replies = TelegramReplies(calls, self.made)

    async def begin(self, mortal: CrashAfterSteps, **more: Any) -> None:
        await self.calls.close()
        self.delivery = MortalDelivery(mortal, files=self.delivery.files, **more)
        self.start(MortalTelegramClient(self.made, mortal))

    # ------------------------------------------------------------ what stands there

    def said(self) -> list[fake.TelegramMessageView]:
        """Our messages."""
        return self.telegram.bot_messages(self.chat, business=self.business)

    @property
    def faults(self) -> Any:
        return self.telegram.faults

    @property
    def post_bucket(self) -> str:
        return f"telegram:{self.calls.bot_id}"

    def expected(self, reply: str) -> list[str]:
        return shown_of(reply)

    def plain(self, reply: str) -> str:
        return reply

    def assert_stopped(self, text: str) -> None:
        assert self.texts() == [f"{text}\n\n{STOPPED}"]

    def erase(self, number: int) -> None:
        self.telegram.user_deletes(self.said()[number].message_id, chat_id=self.chat)

    def presses(self) -> list[str]:
        rows = [row for shown in self.said() for row in (shown.markup or {}).get("inline_keyboard", [])]
        return [button["callback_data"] for row in rows for button in row]

    def texts(self) -> list[str]:
        return [shown.text for shown in self.said() if not shown.files]

    def files(self) -> list[str]:
        return [file.name for shown in self.said() for file in shown.files]

    def drafts(self) -> list[str]:
        return [draft.text for draft in self.telegram.drafts(self.chat)]

    def again(self) -> int:
        """How many messages say that they are sent again."""
        return sum(words.startswith(SENT_AGAIN) for words in self.texts())

    def assert_stands(self, reply: str) -> None:
        """The reply, once, whole, in order, and noted."""
        assert [words.strip(" \n") for words in self.texts()] == shown_of(reply)
        said = [shown for shown in self.said() if not shown.files]
        assert [note for note in self.delivery.posted_messages if not note.startswith("file:")] == [
            str(shown.message_id) for shown in said
        ]
        assert [shown.thread for shown in said] == [self.thread] * len(said)

    def assert_came(self, reply: str) -> None:
        """The reply, whole and in order; what may have come before it was sent again aside."""
        assert bare("".join(shown_of(reply))) in readings(self.texts())

    def count(self, method: str) -> int:
        """TelegramClient of it in this chat."""
        return len([call for call in self.telegram.calls(method) if call.args.get("chat_id") == self.chat])


@cache
def settings_of(url: str, **more: Any) -> TelegramSettings:
    given = {"telegram_bot_token": TOKEN, "telegram_api_url": url, "telegram_draft_seconds": 0.002}
    return TelegramSettings.model_validate({**given, **more})


def shown_of(reply: str) -> list[str]:
    return [part.text.strip(" \n") for part in formatter.parts(reply)]


def bare(words: str) -> str:
    return "".join(words.split())


def readings(texts: Sequence[str]) -> set[str]:
    """What it says when each message that was sent again takes the place of the one before, or does not."""
    found: set[tuple[str, ...]] = {()}
    for words in texts:
        kept = {(*said, bare(words.removeprefix(SENT_AGAIN))) for said in found}
        if words.startswith(SENT_AGAIN):
            kept |= {(*said[:-1], bare(words.removeprefix(SENT_AGAIN))) for said in found if said}
        found = kept
    return {"".join(said) for said in found}


MakeScene = Callable[..., TelegramScene]


@asynccontextmanager
async def scenes(telegram: fake.FakeTelegram) -> AsyncIterator[MakeScene]:
    """Makes scenes, and closes their connections at the end."""
    made: list[TelegramScene] = []

    def make(where: str = "private", **more: Any) -> TelegramScene:
        made.append(TelegramScene(telegram, where, **more))
        return made[-1]

    try:
        yield make
    finally:
        for scene in made:
            await scene.calls.close()
