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
from tests.fakes.slack_server import FakeSlack, Posted
from tests.faults.gateway_process import Program

CHANNEL = "C0CHAN"
SHORT = "Hello"
LONG = "Tell me a long story"
STORY = "\n\n".join(f"Chapter {number}. {'All was well. ' * 8}" for number in range(100))
"""Longer than one Slack message may be."""
REPLIES = {SHORT: "You said: Hello", LONG: STORY}
PATIENCE = 40.0


@dataclass
class Scene:
    slack: FakeSlack
    openai: FakeOpenAI
    folder: Path
    url: str
    programs: list[Program] = field(default_factory=list)

    def start(self, *, dies: str = "", **settings: str) -> Program:
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
            **settings,
        }
        self.programs.append(program := Program(self.folder, environment, dies))
        self.slack.deliver_to(f"{program.url}/slack/events")
        return program

    def say(self, text: str, channel: str = CHANNEL) -> str:
        """Posts a message as a user; in a channel it mentions the bot, so Slack sends two events."""
        return self.slack.say(text, channel=channel, mention=not channel.startswith("D"))

    def finish(self, ts: str, channel: str = CHANNEL) -> None:
        """Waits until the turn of a message is delivered and Slack has no delivery in flight."""
        with closing(SqlStore(self.url)) as store:
            self.slack.wait(partial(_is_done, store, f"{TEAM}:{channel}:{ts}"), PATIENCE)
        self.slack.settle()

    def check(self, text: str, ts: str) -> list[Posted]:
        """Asserts that the thread holds one complete reply, no other place any, and the assistant was asked once."""
        parts, everywhere = self.slack.answers(CHANNEL, ts), self.slack.answers()
        assert words(*(part.text for part in parts)) == words(REPLIES[text]), everywhere
        assert not any(part.streaming for part in parts), everywhere
        assert everywhere == parts, everywhere
        assert self.asked() == [[text]], self.asked()
        return parts

    def asked(self) -> list[list[str]]:
        """Returns the texts the assistant was asked, for each of its conversations that has any."""
        return [texts for name in self.openai.conversations if (texts := self.openai.user_texts(name))]


def _is_done(store: SqlStore, message_id: str) -> bool:
    turn = store.turn_of("slack", message_id)
    return turn is not None and turn.state is TurnState.DELIVERED


def words(*texts: str) -> list[str]:
    return " ".join(texts).split()


@contextmanager
def stage(folder: Path, url: str, **slack: Any) -> Iterator[Scene]:
    """Yields a new scenario, and kills all its processes at the end."""
    # Slack retries until a process accepts the event
    with FakeSlack(retries=[0.2] * 50, **slack) as there, FakeOpenAI() as openai:
        openai.reply = lambda texts: REPLIES[texts[-1]]
        scene = Scene(there, openai, folder, url)
        try:
            yield scene
        finally:
            for program in scene.programs:
                program.kill()
