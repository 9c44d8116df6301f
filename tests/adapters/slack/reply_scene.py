"""One turn and its reply in the fake Slack: what the engine does with an adapter, and a process that may die at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from adapters.slack import formatter
from adapters.slack.adapter import SlackReplies
from adapters.slack.api_client import SlackClient
from adapters.slack.reply_target import Workspace
from adapters.slack.settings import SlackSettings
from gateway.domain.errors import DeliveryError
from gateway.domain.models import ConversationKey, Message, MessageKind, Turn, TurnId, TurnState
from gateway.ports.platform import DeliveryContext
from gateway.ports.token_buckets import Rate
from tests.contracts.reply_scene import MortalDelivery, ReplyScene
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.simulated_crash import CrashAfterSteps
from tests.fakes.slack_events import BOT_ID, BOT_USER, TEAM, TOKEN, USER
from tests.fakes.slack_server import FakeSlack, SlackErrorFault, SlackMessageView

_numbers = count(1)


class MortalSlackClient(SlackClient):
    """One step before each call, one after it."""

    def __init__(self, api_url: str, mortal: CrashAfterSteps) -> None:
        super().__init__(api_url)
        self._mortal = mortal

    async def call(
        self,
        method: str,
        args: Mapping[str, Any],
        *,
        workspace: Workspace,
        delivery: DeliveryContext | None,
        max_wait: float = 60.0,
    ) -> dict[str, Any]:
        self._mortal.step()
        answer = await super().call(method, args, workspace=workspace, delivery=delivery, max_wait=max_wait)
        self._mortal.step()
        return answer


class Stingy(FakeDeliveryContext):
    """Has so many places in each bucket, and none after that."""

    def __init__(self, places: Mapping[str, int], **more: Any) -> None:
        super().__init__(**more)
        self.places = dict(places)

    async def acquire(self, bucket: str, rate: Rate, *, max_wait: float) -> bool:
        self.acquired.append(bucket)
        name = bucket.rpartition(":")[2]
        if max_wait or name not in self.places:
            return True
        self.places[name] -= 1
        return self.places[name] >= 0


class Installed:
    """``Workspaces`` with one in it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.dropped: list[str] = []
        self.problem: DeliveryError | None = None

    async def find(self, address: Mapping[str, str]) -> Workspace:
        return self.look_up(address)

    def look_up(self, address: Mapping[str, str]) -> Workspace:
        if self.problem:
            raise self.problem
        return self.workspace

    def drop(self, team: str) -> None:
        self.dropped.append(team)


@dataclass
class SlackScene(ReplyScene):
    """A message in the fake Slack, its turn, and the processes that bring its reply one after another."""

    POST, UPDATE, DELETE = "chat.postMessage", "chat.update", "chat.delete"
    ACTIVITY = "agents.sessions.setStatus"
    LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 60 for number in range(24))
    REFUSED_CONTENT, REFUSED_FOR_GOOD = SlackErrorFault("invalid_blocks"), SlackErrorFault("is_archived")

    slack: FakeSlack
    channel: str = "D0DM"
    key_user: str = ""
    threaded: bool = True
    known_bot: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    delivery: FakeDeliveryContext = field(default_factory=FakeDeliveryContext)
    asked_ts: str = ""
    turn: Turn = field(init=False)
    replies: SlackReplies = field(init=False)
    workspaces: Installed = field(init=False)
    calls: SlackClient = field(init=False)

    def __post_init__(self) -> None:
        self.asked_ts = self.asked_ts or self.slack.user_says("Tell me.", channel=self.channel)
        number = next(_numbers)
        address = {
            "team": TEAM,
            "channel": self.channel,
            "channel_type": "im" if self.channel.startswith("D") else "channel",
            "ts": self.asked_ts,
            "user": USER,
        }
        if self.threaded:
            address["thread_ts"] = self.asked_ts
        key = ConversationKey("slack", TEAM, self.channel, address.get("thread_ts", ""), self.key_user)
        message = Message(key, f"{TEAM}:{self.channel}:{number}", "Tell me.", USER, address)
        self.turn = Turn(TurnId(f"turn_{number}"), 1, number, message, TurnState.RUNNING, received_at=1.0)
        known = (BOT_USER, BOT_ID) if self.known_bot else ("", "")
        self.workspaces = Installed(Workspace(TEAM, TOKEN, *known))
        self.start(SlackClient(self.slack.api_url))

    def start(self, calls: SlackClient) -> None:
        """A process."""
        self.calls = calls
        settings = SlackSettings.model_validate({"slack_stream_seconds": 0.004, **self.settings})
        self.replies = SlackReplies(calls, self.workspaces, settings)

    async def begin(self, mortal: CrashAfterSteps, **more: Any) -> None:
        await self.calls.close()
        self.delivery = MortalDelivery(mortal, files=self.delivery.files, **more)
        self.start(MortalSlackClient(self.slack.api_url, mortal))

    def of_kind(self, kind: MessageKind) -> None:
        self.turn = replace(self.turn, message=replace(self.turn.message, kind=kind))

    # ------------------------------------------------------------ what stands there

    def said(self) -> list[SlackMessageView]:
        """Our messages that answer."""
        if self.threaded:
            return self.slack.bot_messages(self.channel, self.asked_ts)
        return [posted for posted in self.slack.bot_messages(self.channel) if posted.ts > self.asked_ts]

    @property
    def faults(self) -> Any:
        return self.slack.faults

    @property
    def post_bucket(self) -> str:
        return f"slack:{TEAM}:{self.POST}"

    def files(self) -> list[str]:
        return [file.name for posted in self.said() for file in posted.files]

    def expected(self, reply: str) -> list[str]:
        return [piece.strip() for piece in formatter.pieces(reply)]

    def plain(self, reply: str) -> str:
        return "\n".join(formatter.plain(reply))

    def assert_stopped(self, text: str) -> None:
        self.assert_stand([text])
        assert "_Stopped._" in str(self.said()[0].blocks)

    def erase(self, number: int) -> None:
        self.slack.user_deletes(self.said()[number].ts)

    def texts(self) -> list[str]:
        return [posted.text for posted in self.said() if not posted.files]

    def assert_stands(self, reply: str) -> None:
        """The reply, once, whole, in order, ended, and marked as ours."""
        self.assert_stand(formatter.pieces(reply))

    def assert_stand(self, pieces: Sequence[str]) -> None:
        said = [posted for posted in self.said() if not posted.files]
        assert [posted.text.strip() for posted in said] == [piece.strip() for piece in pieces]
        assert not any(posted.streaming for posted in said)
        marks = [(posted.metadata or {})["event_payload"] for posted in said]
        assert [(mark["turn_id"], mark["part"]) for mark in marks] == [
            (self.turn.id, number) for number in range(len(said))
        ]
        assert [part for part in self.delivery.posted_messages if not part.startswith("file:")] == [
            posted.ts for posted in said
        ]

    def presses(self) -> list[str]:
        blocks = [block for posted in self.said() for block in posted.blocks if block["type"] == "actions"]
        return [element["value"] for block in blocks for element in block["elements"]]

    def count(self, method: str) -> int:
        return len(self.slack.calls(method))


MakeScene = Callable[..., SlackScene]


@asynccontextmanager
async def scenes(slack: FakeSlack) -> AsyncIterator[MakeScene]:
    """Makes scenes, and closes their connections at the end."""
    made: list[SlackScene] = []

    def make(**more: Any) -> SlackScene:
        made.append(SlackScene(slack, **more))
        return made[-1]

    try:
        yield make
    finally:
        for scene in made:
            await scene.calls.close()
