"""One turn and its reply in the fake Discord: what the worker does with it, and a process that may die at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from adapters.discord import formatter, preview
from adapters.discord.adapter import DiscordReplies
from adapters.discord.api_client import DiscordClient
from adapters.discord.reconciler import SMALL_PRINT, STOPPED
from adapters.discord.reply_target import DiscordTarget
from adapters.discord.settings import DiscordSettings
from gateway.domain.models import ConversationKey, Message, Turn, TurnId, TurnState
from tests.contracts.reply_scene import MortalDelivery, ReplyScene
from tests.fakes.delivery_context import FakeDeliveryContext
from tests.fakes.discord_server import FakeDiscord
from tests.fakes.discord_state import DM, GUILD, GUILD_TEXT, TOKEN, USER, DiscordErrorFault
from tests.fakes.platform_faults import Json
from tests.fakes.simulated_crash import CrashAfterSteps

_numbers = count(70_001)


class MortalDiscordClient(DiscordClient):
    """One step before each call, one after it."""

    def __init__(self, settings: DiscordSettings, mortal: CrashAfterSteps) -> None:
        super().__init__(settings)
        self._mortal = mortal

    async def call(self, method: str, path: str, **more: Any) -> Any:
        self._mortal.step()
        answer = await super().call(method, path, **more)
        self._mortal.step()
        return answer


@dataclass
class DiscordScene(ReplyScene):
    """``where``: direct, channel (answered there), thread (that the reply opens) or command."""

    POST, UPDATE, DELETE, ACTIVITY = "createMessage", "editMessage", "deleteMessage", "triggerTyping"
    LONG = "\n\n".join(f"Paragraph {number}: " + "words and words, " * 24 for number in range(11))
    REFUSED_CONTENT = DiscordErrorFault(400, 50035)
    REFUSED_FOR_GOOD = DiscordErrorFault(403, 50013)

    discord: FakeDiscord
    where: str = "direct"
    delivery: FakeDeliveryContext = field(default_factory=FakeDeliveryContext)

    def __post_init__(self) -> None:
        self.channel = str(next(_numbers))
        described: Json = {"id": self.channel, "type": DM if self.where == "direct" else GUILD_TEXT}
        if self.where != "direct":
            described["guild_id"] = GUILD
        with self.discord.state.notify():
            self.discord.state.channels[self.channel] = described
            self.discord.state.messages[self.channel] = {}
        target = DiscordTarget(self.channel, user=USER)
        if self.where == "command":
            event = self.discord.interaction({"name": "ask"}, self.channel)
            self.discord.state.interactions[event["token"]].acknowledged = {"type": 5}
            target = DiscordTarget(self.channel, user=USER, interaction=event["id"], token=event["token"])
        else:
            asked = self.discord.says("Tell me.", self.channel)["id"]
            name = "Tell me." if self.where == "thread" else ""
            target = DiscordTarget(self.channel, asked, USER, thread_name=name)
        self.place = target.message if self.where == "thread" else self.channel
        message = Message(ConversationKey("discord", "", self.channel), self.channel, "Tell me.", USER, target.address)
        self.turn = Turn(TurnId(f"turn_{self.channel}"), 1, 1, message, TurnState.RUNNING)
        self.settings = settings(self.discord)
        self.start(DiscordClient(self.settings))

    def pushed(self, text: str) -> Turn:
        self.place = self.channel  # there is no message at which a thread could be opened
        return super().pushed(text)

    def start(self, client: DiscordClient) -> None:
        self.client = client
        self.replies = DiscordReplies(client, self.settings)

    async def begin(self, mortal: CrashAfterSteps, **more: Any) -> None:
        await self.client.close()
        self.delivery = MortalDelivery(mortal, files=self.delivery.files, **more)
        self.start(MortalDiscordClient(self.settings, mortal))

    # ------------------------------------------------------------ what is posted

    def messages(self) -> list[Json]:
        return self.discord.bot_messages(self.place)

    @property
    def faults(self) -> Any:
        return self.discord.faults

    @property
    def post_bucket(self) -> str:
        return f"discord:POST messages:{self.place}"

    def texts(self) -> list[str]:
        return [each["content"] for each in self.messages() if not each["attachments"]]

    def files(self) -> list[str]:
        return [file["filename"] for each in self.messages() for file in each["attachments"]]

    def expected(self, reply: str) -> list[str]:
        return formatter.parts(reply)

    def plain(self, reply: str) -> str:
        return reply.replace("*", "")

    def assert_stands(self, reply: str) -> None:
        assert self.texts() == formatter.parts(reply)
        saved = [each for each in self.delivery.posted_messages if not each.startswith(("file:", "deleted:"))]
        ours = [each["id"] for each in self.messages() if not each["attachments"]]
        assert [each.removeprefix("@") for each in saved] == [f"{self.place}/{number}" for number in ours]

    def assert_stopped(self, text: str) -> None:
        assert self.texts() == [f"{text}{SMALL_PRINT}{STOPPED}"]
        assert self.buttons() == []

    def buttons(self) -> list[str]:
        return [
            button["custom_id"]
            for each in self.messages()
            for row in each.get("components", [])
            for button in row["components"]
        ]

    def presses(self) -> list[str]:
        return self.buttons()

    def erase(self, number: int) -> None:
        self.discord.deletes(self.messages()[number])

    def count(self, method: str) -> int:
        places = {self.channel, self.place}
        return sum(call.args["path"].get("channel") in places for call in self.discord.calls(method))


def settings(discord: FakeDiscord, **more: Any) -> DiscordSettings:
    return DiscordSettings.model_validate({"discord_bot_token": TOKEN, "discord_api_url": discord.api_url, **more})


MakeScene = Callable[..., DiscordScene]


@asynccontextmanager
async def scenes(discord: FakeDiscord, pace: float) -> AsyncIterator[MakeScene]:
    """Makes scenes, and closes their connections at the end. ``pace``: seconds between changes of a preview."""
    made: list[DiscordScene] = []

    def make(where: str = "direct") -> DiscordScene:
        made.append(DiscordScene(discord, where))
        return made[-1]

    before, preview.CHANGE_SECONDS = preview.CHANGE_SECONDS, pace
    try:
        yield make
    finally:
        preview.CHANGE_SECONDS = before
        for scene in made:
            await scene.client.close()
