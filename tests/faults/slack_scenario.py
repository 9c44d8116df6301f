"""The real gateway between a fake Slack and a fake OpenAI, and checks of the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gateway.domain.models import TurnState
from storage.store import SqlStore
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.slack_events import SIGNING_SECRET, TEAM, TOKEN
from tests.fakes.slack_server import FakeSlack, SlackMessageView
from tests.faults.gateway_process import GatewayProcess

CHANNEL = "C0CHAN"
SHORT = "Hello"
LONG = "Tell me a long story"
LONG_REPLY = "\n\n".join(f"Chapter {number}. {'All was well. ' * 8}" for number in range(100))
"""Longer than one Slack message may be."""
REPLIES = {SHORT: "You said: Hello", LONG: LONG_REPLY}
TIMEOUT_SECONDS = 40.0


@dataclass
class SlackScenario:
    slack: FakeSlack
    openai: FakeOpenAI
    folder: Path
    url: str
    processes: list[GatewayProcess] = field(default_factory=list)

    def start_process(self, *, crash_step: str = "", **settings: str) -> GatewayProcess:
        """Starts another gateway process and makes it the target of all Slack deliveries."""
        environment = {
            "HOST": "127.0.0.1",
            "PORT": "0",
            "DATABASE_URL": self.url,
            "ASSISTANT_BACKEND": "responses",
            "ASSISTANT_POLL_SECONDS": "0.05",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_MODEL": "gpt-test",
            "OPENAI_BASE_URL": self.openai.base_url,
            "SLACK_API_URL": self.slack.api_url,
            "SLACK_BOT_TOKEN": TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "SLACK_STREAM_SECONDS": "0.05",
            "SLACK_NAMES": "false",
            **settings,
        }
        self.processes.append(program := GatewayProcess(self.folder, environment, crash_step))
        self.slack.deliver_to(f"{program.url}/slack/events")
        return program

    def send(self, text: str, channel: str = CHANNEL) -> str:
        """Posts a message as a user; in a channel it mentions the bot, so Slack sends two events."""
        return self.slack.user_says(text, channel=channel, mention=not channel.startswith("D"))

    def wait_until_delivered(self, ts: str, channel: str = CHANNEL) -> None:
        """Waits until the turn of a message is delivered and Slack has no delivery in flight."""
        with closing(SqlStore(self.url)) as store:
            self.slack.wait_until(partial(_is_done, store, f"{TEAM}:{channel}:{ts}"), TIMEOUT_SECONDS)
        self.slack.wait_until_delivered()

    def assert_one_reply(self, text: str, ts: str) -> list[SlackMessageView]:
        """Asserts that the thread holds one complete reply, no other place any, and the assistant was asked once."""
        parts, everywhere = self.slack.bot_messages(CHANNEL, ts), self.slack.bot_messages()
        assert split_words(*(part.text for part in parts)) == split_words(REPLIES[text]), everywhere
        assert not any(part.streaming for part in parts), everywhere
        assert everywhere == parts, everywhere
        assert self.assistant_texts() == [[text]], self.assistant_texts()
        return parts

    def assistant_texts(self) -> list[list[str]]:
        """Returns the texts the assistant was asked, for each of its conversations that has any."""
        return [texts for name in self.openai.conversations if (texts := self.openai.user_texts(name))]


def _is_done(store: SqlStore, message_id: str) -> bool:
    turn = store.find_turn_by_message("slack", message_id)
    return turn is not None and turn.state is TurnState.DELIVERED


def split_words(*texts: str) -> list[str]:
    return " ".join(texts).split()


@contextmanager
def open_scenario(folder: Path, url: str, **slack: Any) -> Iterator[SlackScenario]:
    """Yields a new scenario, and kills all its processes at the end."""
    # Slack retries until a process accepts the event
    with FakeSlack(retries=[0.2] * 50, **slack) as there, FakeOpenAI() as openai:
        openai.reply = lambda texts: REPLIES[texts[-1]]
        scene = SlackScenario(there, openai, folder, url)
        try:
            yield scene
        finally:
            for program in scene.processes:
                program.kill()
