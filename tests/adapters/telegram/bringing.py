"""One turn and its reply in the fake Telegram: what the engine does with it, and a process that may die at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import Any

import httpx
import pytest

from adapters.telegram import formatter
from adapters.telegram.adapter import TelegramReplies
from adapters.telegram.api_client import TelegramClient
from adapters.telegram.reconciler import SENT_AGAIN
from adapters.telegram.settings import TelegramSettings
from gateway.errors import DeliveryError
from gateway.messages import ConversationKey, Failure, File, Message, Shown, TextDelta, Turn, TurnId, TurnState
from gateway.storing import Rate
from tests.fakes import telegram_server as fake
from tests.fakes.mortal import Mortal
from tests.fakes.outbox import FakeOutbox
from tests.fakes.telegram_messages import BOT_ID, TOKEN, group, private

WAIT_SECONDS = 10.0
TRIES = 12
TOPIC = 7
LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 50 for number in range(12))
"""Three messages."""
CHART = File("chart.png", "file-1", "image/png")
NOTES = File("notes.txt", "file-2", "text/plain")
FILES = {"file-1": b"\x89PNG\r\n\x1a\nchart", "file-2": b"notes"}

trust = cache(httpx.create_ssl_context)
"""The certificates of this machine: to read them takes longer than a test."""

_numbers = count(1)


class MortalCalls(TelegramClient):
    """One step before each call, one after it."""

    def __init__(self, settings: TelegramSettings, mortal: Mortal) -> None:
        super().__init__(settings)
        self._mortal = mortal

    async def call(self, method: str, chat: int | str | None = None, **args: Any) -> Any:
        self._mortal.step()
        answer = await super().call(method, chat, **args)
        self._mortal.step()
        return answer


class MortalOutbox(FakeOutbox):
    """One step before each note, one after it."""

    def __init__(self, mortal: Mortal, **more: Any) -> None:
        super().__init__(**more)
        self._mortal = mortal

    async def note(self, parts: Sequence[str]) -> None:
        if tuple(parts) == self.parts:  # the core passes it over, too
            return
        self._mortal.step()
        await super().note(parts)
        self._mortal.step()


class Stingy(FakeOutbox):
    """Has no place for those that would not wait, but for so many."""

    places: int = 0

    async def take(self, bucket: str, rate: Rate, *, patience: float) -> bool:
        self.taken.append(bucket)
        if patience or bucket.count(":") == 1:
            return True
        self.places -= 1
        return self.places >= 0


@dataclass
class Scene:
    """A message in the fake Telegram, its turn, and the processes that bring its reply one after another.

    ``where``: private, group, topic (of a forum) or business; each scene has a chat of its own.
    """

    telegram: fake.FakeTelegram
    where: str = "private"
    settings: Mapping[str, Any] = field(default_factory=dict)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)
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
        chat = private(self.chat) if self.chat > 0 else group(self.chat, forum=self.where == "topic")
        self.telegram.add_chat(chat, business=self.business)
        self.asked = self.telegram.say("Tell me.", chat_id=self.chat, thread=self.thread, business=self.business)
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

    async def restart(self, mortal: Mortal | None = None) -> None:
        """Another process, which knows what was noted."""
        await self.begin(mortal or Mortal(), fresh=False, parts=self.outbox.parts)

    async def begin(self, mortal: Mortal, **more: Any) -> None:
        """A process, which may die."""
        await self.calls.close()
        self.outbox = MortalOutbox(mortal, files=self.outbox.files, **more)
        self.start(MortalCalls(self.made, mortal))

    # ------------------------------------------------------------ what the engine does

    async def follow(self, *told: Told) -> None:
        """Until nothing follows."""
        await self.replies.follow(self.turn, telling(*told), self.outbox)

    async def deliver(self, turn: Turn) -> int:
        """As the engine, but without a pause; how often it was put off."""
        for tries in range(TRIES):
            try:
                await self.replies.deliver(turn, self.outbox)
            except DeliveryError as exc:
                if exc.retry_after is None:
                    raise
            else:
                return tries
        raise AssertionError(f"not delivered in {TRIES} tries")

    def answered(self, reply: str, *files: File) -> Turn:
        return replace(self.turn, state=TurnState.ANSWERED, reply=reply, files=files)

    def failed(self, sentence: str = "The assistant could not answer.") -> Turn:
        return replace(self.turn, state=TurnState.FAILED, failure=Failure("refused", sentence))

    def cancelled(self) -> Turn:
        return replace(self.turn, state=TurnState.CANCELLED, failure=Failure("cancelled", "It was cancelled."))

    # ------------------------------------------------------------ what stands there

    def said(self) -> list[fake.Shown]:
        """Our messages."""
        return self.telegram.answers(self.chat, business=self.business)

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
        assert self.texts() == shown_of(reply)
        said = [shown for shown in self.said() if not shown.files]
        assert [note for note in self.outbox.parts if not note.startswith("file:")] == [
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


MakeScene = Callable[..., Scene]


@asynccontextmanager
async def scenes(telegram: fake.FakeTelegram) -> AsyncIterator[MakeScene]:
    """Makes scenes, and closes their connections at the end."""
    made: list[Scene] = []
    patch = pytest.MonkeyPatch()
    patch.setattr(httpx, "create_ssl_context", trust)

    def make(where: str = "private", **more: Any) -> Scene:
        made.append(Scene(telegram, where, **more))
        return made[-1]

    try:
        yield make
    finally:
        patch.undo()
        for scene in made:
            await scene.calls.close()


Told = Shown | Callable[[], Any]


async def telling(*told: Told) -> AsyncIterator[Shown]:
    """What a run shows. What can be called is waited for: until it says something truthy."""
    for one in told:
        if callable(one):
            async with asyncio.timeout(WAIT_SECONDS):
                while not one():  # noqa: ASYNC110  # of what stands at the fake nobody tells this loop
                    await asyncio.sleep(0.002)
        else:
            yield one


def deltas(reply: str, size: int = 40) -> list[Shown]:
    return [TextDelta(reply[start : start + size]) for start in range(0, len(reply), size)]


def a_while(looks: int = 7) -> Told:
    """Long enough for a preview to have done what it can."""
    left = iter(range(looks))
    return lambda: next(left, None) is None


async def previewed(scene: Scene, words: str = "Some words ") -> None:
    """Let a message stand that shows how the reply begins."""
    await scene.follow(TextDelta(words), scene.texts)
