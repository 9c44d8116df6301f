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
from tests.faults.gateway_process import GatewayProcess

SHORT = "Hello"
LONG = "Tell me a long story"
LONG_REPLY = "\n\n".join(f"Chapter {number}. {'All was well. ' * 8}" for number in range(50))
"""Longer than one Telegram message may be, and shorter than two."""
REPLIES = {SHORT: "You said: Hello", LONG: LONG_REPLY}
TIMEOUT_SECONDS = 40.0

UpdateMode = Literal["polling", "webhook"]


@dataclass
class TelegramScenario:
    telegram: FakeTelegram
    openai: FakeOpenAI
    folder: Path
    url: str
    update_mode: UpdateMode
    """How updates reach the processes."""
    processes: list[GatewayProcess] = field(default_factory=list)

    def start_process(
        self, *, crash_step: str = "", lock_timeout: float = TIMEOUT_SECONDS, **settings: str
    ) -> GatewayProcess:
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
            "TELEGRAM_NAMES": "false",
            "TELEGRAM_DRAFT_SECONDS": "0.05",
            **({"TELEGRAM_WEBHOOK_SECRET": SECRET} if self.update_mode == "webhook" else {}),
            **settings,
        }
        program = GatewayProcess(self.folder, environment, crash_step, lock_timeout=lock_timeout)
        self.processes.append(program)
        if self.update_mode == "webhook":
            self.telegram.deliver_to(f"{program.url}/telegram/webhook", SECRET)
        return program

    def send(self, text: str, chat: int = USER) -> int:
        """Posts a message as a user; in a group it mentions the bot."""
        return self.telegram.user_says(text if chat > 0 else f"@{BOT_NAME} {text}", chat_id=chat)

    def wait_until_delivered(self, message: int, chat: int = USER) -> None:
        """Waits until the turn of a message is delivered and every update is acknowledged."""
        with closing(SqlStore(self.url)) as store:
            self.telegram.wait_until(partial(_is_done, store, f"{BOT_ID}:{chat}:{message}"), TIMEOUT_SECONDS)
        self.telegram.wait_until_acknowledged(TIMEOUT_SECONDS)

    def assert_replies(self, sent: dict[int, list[str]], *, repeats: int = 0) -> None:
        """Asserts that each chat has its replies, complete and in order, and the assistant was asked once for each.

        ``repeats``: how many messages may be there twice at most, the second one labelled.
        """
        again = 0
        for chat, texts in sent.items():
            shown = [one.text for one in self.telegram.bot_messages(chat)]
            kept = without_labelled_repeats(shown)
            again += len(shown) - len(kept)
            assert split_words(*kept) == split_words(*(REPLIES.get(text, f"You said: {text}") for text in texts))
        assert again <= repeats
        assert sorted(self.assistant_texts()) == sorted(sent.values())

    def assistant_texts(self) -> list[list[str]]:
        """Returns the texts the assistant was asked, for each of its conversations that has any."""
        return [texts for name in self.openai.conversations if (texts := self.openai.user_texts(name))]


def _is_done(store: SqlStore, message_id: str) -> bool:
    turn = store.find_turn_by_message("telegram", message_id)
    return turn is not None and turn.state is TurnState.DELIVERED


def without_labelled_repeats(shown: list[str]) -> list[str]:
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


def split_words(*texts: str) -> list[str]:
    return " ".join(texts).split()


@contextmanager
def open_scenario(
    folder: Path, url: str, update_mode: UpdateMode = "webhook", **telegram: Any
) -> Iterator[TelegramScenario]:
    """Yields a new scenario, and kills all its processes at the end."""
    # Telegram retries until a process accepts the update
    with FakeTelegram(retries=[0.2], retry_after_unit=0.1, **telegram) as there, FakeOpenAI() as openai:
        openai.reply = lambda texts: REPLIES.get(texts[-1], f"You said: {texts[-1]}")
        scene = TelegramScenario(there, openai, folder, url, update_mode)
        try:
            yield scene
        finally:
            for program in scene.processes:
                program.kill()
