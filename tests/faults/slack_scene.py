"""A fake Slack, a fake OpenAI and the real program between them; and what is to be seen there in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gateway.messages import TurnState
from storage.store import SqlStore
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.slack_events import SIGNING_SECRET, TEAM, TOKEN
from tests.fakes.slack_server import FakeSlack, Posted
from tests.faults.program import Program

CHANNEL = "C0CHAN"
SHORT = "Hello"
LONG = "Tell me a long story"
STORY = "\n\n".join(f"Chapter {number}. {'All was well. ' * 8}" for number in range(100))
"""More than Slack takes in one message."""
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
        """One more program, to which Slack brings everything from now on."""
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
        """In a channel of several the bot is mentioned, of which Slack tells twice."""
        return self.slack.say(text, channel=channel, mention=not channel.startswith("D"))

    def finish(self, ts: str, channel: str = CHANNEL) -> None:
        """Wait until we are done with a message, and Slack is done with us."""
        with closing(SqlStore(self.url)) as store:
            self.slack.wait(partial(_is_done, store, f"{TEAM}:{channel}:{ts}"), PATIENCE)
        self.slack.settle()

    def check(self, text: str, ts: str) -> list[Posted]:
        """One whole reply stands in the thread of this message, nothing stands elsewhere, and it was asked once."""
        parts, everywhere = self.slack.answers(CHANNEL, ts), self.slack.answers()
        assert words(*(part.text for part in parts)) == words(REPLIES[text]), everywhere
        assert not any(part.streaming for part in parts), everywhere
        assert everywhere == parts, everywhere
        assert self.asked() == [[text]], self.asked()
        return parts

    def asked(self) -> list[list[str]]:
        """What the assistant was asked, in each conversation that it was asked something in."""
        return [texts for name in self.openai.conversations if (texts := self.openai.user_texts(name))]


def _is_done(store: SqlStore, message_id: str) -> bool:
    turn = store.turn_of("slack", message_id)
    return turn is not None and turn.state is TurnState.DELIVERED


def words(*texts: str) -> list[str]:
    return " ".join(texts).split()


@contextmanager
def stage(folder: Path, url: str, **slack: Any) -> Iterator[Scene]:
    """A scene of its own, and at its end the end of all programs in it."""
    # Slack tries again until there is somebody to take it
    with FakeSlack(retries=[0.2] * 50, **slack) as there, FakeOpenAI() as openai:
        openai.reply = lambda texts: REPLIES[texts[-1]]
        scene = Scene(there, openai, folder, url)
        try:
            yield scene
        finally:
            for program in scene.programs:
                program.kill()
