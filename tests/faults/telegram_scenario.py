"""The real gateway between a fake Telegram and a fake OpenAI, and checks of the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from adapters.telegram.reconciler import SENT_AGAIN
from gateway.domain.models import TurnState
from storage.store import SqlStore
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import BOT_ID, BOT_NAME, SECRET, TOKEN, USER
from tests.faults.gateway_process import Program

SHORT = "Hello"
LONG = "Tell me a long story"
STORY = "\n\n".join(f"Chapter {number}. {'All was well. ' * 8}" for number in range(50))
"""Longer than one Telegram message may be, and shorter than two."""
REPLIES = {SHORT: "You said: Hello", LONG: STORY}
PATIENCE = 40.0

Way = Literal["polling", "webhook"]


@dataclass
class Scene:
    telegram: FakeTelegram
    openai: FakeOpenAI
    folder: Path
    url: str
    way: Way
    """How updates reach the processes."""
    programs: list[Program] = field(default_factory=list)

    def start(self, *, dies: str = "", database_seconds: float = PATIENCE, **settings: str) -> Program:
        """Starts another gateway process; in webhook mode, makes it the target of all updates."""
        environment = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATABASE_URL": self.url,
            "ASSISTANT_BACKEND": "responses",
            "ASSISTANT_POLL_SECONDS": "0.05",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": self.openai.base_url,
            "TELEGRAM_API_URL": self.telegram.url,
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_DRAFT_SECONDS": "0.05",
            **({"TELEGRAM_WEBHOOK_SECRET": SECRET} if self.way == "webhook" else {}),
            **settings,
        }
        program = Program(self.folder, environment, dies, database_seconds=database_seconds)
        self.programs.append(program)
        if self.way == "webhook":
            self.telegram.bring_to(f"{program.url}/telegram/webhook", SECRET)
        return program

    def say(self, text: str, chat: int = USER) -> int:
        """Posts a message as a user; in a group it mentions the bot."""
        return self.telegram.say(text if chat > 0 else f"@{BOT_NAME} {text}", chat_id=chat)

    def finish(self, message: int, chat: int = USER) -> None:
        """Waits until the turn of a message is delivered and every update is acknowledged."""
        with closing(SqlStore(self.url)) as store:
            self.telegram.wait(partial(_is_done, store, f"{BOT_ID}:{chat}:{message}"), PATIENCE)
        self.telegram.settle(PATIENCE)

    def check(self, said: dict[int, list[str]], *, repeats: int = 0) -> None:
        """Asserts that each chat has its replies, complete and in order, and the assistant was asked once for each.

        ``repeats``: how many messages may be there twice at most, the second one labelled.
        """
        again = 0
        for chat, texts in said.items():
            shown = [one.text for one in self.telegram.answers(chat)]
            kept = without_repeats(shown)
            again += len(shown) - len(kept)
            assert words(*kept) == words(*(REPLIES.get(text, f"You said: {text}") for text in texts))
        assert again <= repeats
        assert sorted(self.asked()) == sorted(said.values())

    def asked(self) -> list[list[str]]:
        """Returns the texts the assistant was asked, for each of its conversations that has any."""
        return [texts for name in self.openai.conversations if (texts := self.openai.user_texts(name))]


def _is_done(store: SqlStore, message_id: str) -> bool:
    turn = store.turn_of("telegram", message_id)
    return turn is not None and turn.state is TurnState.DELIVERED


def without_repeats(shown: list[str]) -> list[str]:
    """Returns the messages without labels, and without those whose text a labelled next message repeats, in whole or in
    part.
    """
    plain = [text.removeprefix(SENT_AGAIN).strip() for text in shown]
    last = plain[-1:]
    return [
        one
        for (one, other), labelled in zip(pairwise(plain), shown[1:], strict=True)
        if not (labelled.startswith(SENT_AGAIN) and other.startswith(one))
    ] + last


def words(*texts: str) -> list[str]:
    return " ".join(texts).split()


@contextmanager
def stage(folder: Path, url: str, way: Way = "webhook", **telegram: Any) -> Iterator[Scene]:
    """Yields a new scenario, and kills all its processes at the end."""
    # Telegram retries until a process accepts the update
    with FakeTelegram(retries=[0.2], second=0.1, **telegram) as there, FakeOpenAI() as openai:
        openai.reply = lambda texts: REPLIES.get(texts[-1], f"You said: {texts[-1]}")
        scene = Scene(there, openai, folder, url, way)
        try:
            yield scene
        finally:
            for program in scene.programs:
                program.kill()
