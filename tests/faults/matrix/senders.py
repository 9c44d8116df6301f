"""Users of a platform, who send their messages one after the other, and the replies they see."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tests.fakes.discord_server import FakeDiscord
from tests.fakes.discord_state import CHANNEL, DIRECT, GUILD, GUILD_TEXT
from tests.fakes.discord_state import TOKEN as DISCORD_TOKEN
from tests.fakes.slack_events import SIGNING_SECRET
from tests.fakes.slack_events import TOKEN as SLACK_TOKEN
from tests.fakes.slack_server import FakeSlack
from tests.fakes.telegram_server import FakeTelegram
from tests.fakes.telegram_updates import BOT_NAME, GROUP, SECRET, USER
from tests.fakes.telegram_updates import TOKEN as TELEGRAM_TOKEN
from tests.faults.matrix.scoring import SentMessages
from tests.faults.matrix.sync_point import SyncPoint

TIMEOUT_SECONDS = 40.0
RETRY_DELAYS = [0.1, 0.2] + [0.3] * 200
"""Seconds between a platform's delivery attempts: it retries until a process accepts."""
HEARTBEAT_SECONDS = 0.2
"""Between two messages in which the gateway names the last event that it has committed."""
RESPONSE_TIMEOUT = 1.0
"""Seconds without an answer after which a platform considers a delivery failed."""


class Senders(Protocol):
    port: int
    """Port of the platform's API; 0 if the gateway calls none."""

    def environment(self, port: int) -> Mapping[str, str]:
        """Returns the settings of a gateway that calls the platform at this port."""
        ...

    def deliver_to(self, port: int) -> None:
        """Sets the port to which messages are delivered from now on."""
        ...

    def send_all(self, messages: SentMessages) -> None:
        """Sends all messages, each conversation in its order. Returns when all are accepted. Raises AssertionError."""
        ...

    def hold_reply_call(self, sync: SyncPoint) -> None:
        """Makes the platform's answer to the call that posts a reply wait at this sync point."""
        ...

    def wait_until_idle(self) -> None:
        """Waits until no delivery is in flight."""
        ...

    def replies(self) -> Sequence[Sequence[str]]:
        """Returns the replies visible in each conversation."""
        ...

    def stray_messages(self) -> int:
        """Returns the number of replies outside all conversations."""
        ...

    def close(self) -> None: ...


def run_in_threads(tasks: Sequence[Callable[[], Any]]) -> None:
    """Runs each task in a thread of its own. Raises the first error."""
    errors: list[BaseException] = []

    def run(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001  # reraised in the calling thread
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class SlackSenders:
    """One user in a direct message, the others in channels, each in a thread of their own."""

    CHANNELS = ("D0DM", "C0ONE", "C0TWO")

    def __init__(self) -> None:
        self._slack = FakeSlack(retries=RETRY_DELAYS, response_timeout=RESPONSE_TIMEOUT)
        self._slack.start()
        self.port = self._slack.port
        self._roots: dict[str, str] = {}

    def environment(self, port: int) -> Mapping[str, str]:
        return {
            "SLACK_API_URL": f"http://127.0.0.1:{port}/api/",
            "SLACK_BOT_TOKEN": SLACK_TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "SLACK_STREAM_SECONDS": "0.05",
            "SLACK_NAMES": "false",
        }

    def deliver_to(self, port: int) -> None:
        self._slack.deliver_to(f"http://127.0.0.1:{port}/slack/events")

    def send_all(self, messages: SentMessages) -> None:
        pairs = zip(self.CHANNELS, messages, strict=True)
        run_in_threads([partial(self._send_conversation, channel, texts) for channel, texts in pairs])

    def _send_conversation(self, channel: str, texts: Sequence[str]) -> None:
        for text in texts:
            root = self._roots.get(channel)
            mention = root is None and not channel.startswith("D")
            ts = self._slack.user_says(text, channel=channel, thread_ts=root, mention=mention)
            self._roots.setdefault(channel, ts)
            self._slack.wait_until(partial(self._is_accepted, ts), TIMEOUT_SECONDS)

    def _is_accepted(self, ts: str) -> bool:
        parcels = [delivery.request for delivery in self._slack.deliveries if delivery.accepted]
        return any(parcel and parcel.payload["event"]["ts"] == ts for parcel in parcels)

    def hold_reply_call(self, sync: SyncPoint) -> None:
        self._slack.faults.after("chat.postMessage", lambda _: sync.reach())

    def wait_until_idle(self) -> None:
        self._slack.wait_until_delivered(TIMEOUT_SECONDS)

    def replies(self) -> Sequence[Sequence[str]]:
        return [self._texts(channel, self._roots.get(channel, "")) for channel in self.CHANNELS]

    def _texts(self, channel: str, root: str) -> list[str]:
        return [posted.text for posted in self._slack.bot_messages(channel, root)]

    def stray_messages(self) -> int:
        return len(self._slack.bot_messages()) - sum(map(len, self.replies()))

    def close(self) -> None:
        self._slack.stop()


class TelegramSenders:
    """Two users in private chats, the third in a group."""

    CHATS = (USER, USER + 1, GROUP)

    def __init__(self, *, polling: bool) -> None:
        self._telegram = FakeTelegram(retries=RETRY_DELAYS, retry_after_unit=0.1, response_timeout=RESPONSE_TIMEOUT)
        self._telegram.start()
        self.port = self._telegram.port
        self._polling = polling

    def environment(self, port: int) -> Mapping[str, str]:
        return {
            "TELEGRAM_API_URL": f"http://127.0.0.1:{port}",
            "TELEGRAM_BOT_TOKEN": TELEGRAM_TOKEN,
            "TELEGRAM_DRAFT_SECONDS": "0.05",
            "TELEGRAM_NAMES": "false",
            **({} if self._polling else {"TELEGRAM_WEBHOOK_SECRET": SECRET}),
        }

    def deliver_to(self, port: int) -> None:
        if not self._polling:
            self._telegram.deliver_to(f"http://127.0.0.1:{port}/telegram/webhook", SECRET)

    def send_all(self, messages: SentMessages) -> None:
        """Sends all at once: Telegram itself keeps the order of each chat."""
        for chat, texts in zip(self.CHATS, messages, strict=True):
            for text in texts:
                self._telegram.user_says(text if chat > 0 else f"@{BOT_NAME} {text}", chat_id=chat)
        self.wait_until_idle()

    def hold_reply_call(self, sync: SyncPoint) -> None:
        self._telegram.faults.after("sendMessage", lambda _: sync.reach())

    def wait_until_idle(self) -> None:
        self._telegram.wait_until_acknowledged(TIMEOUT_SECONDS)

    def replies(self) -> Sequence[Sequence[str]]:
        return [[shown.text for shown in self._telegram.bot_messages(chat)] for chat in self.CHATS]

    def stray_messages(self) -> int:
        return 0  # there are no other chats

    def close(self) -> None:
        self._telegram.stop()


class DiscordSenders:
    """One user in a direct message, the others in channels, where they mention the bot."""

    CHANNELS = (DIRECT, CHANNEL, "2003")

    def __init__(self) -> None:
        self._discord = FakeDiscord(heartbeat=HEARTBEAT_SECONDS)
        self._discord.state.channels["2003"] = {"id": "2003", "type": GUILD_TEXT, "guild_id": GUILD}
        self._discord.state.messages["2003"] = {}
        self._discord.start()
        self.port = self._discord.port

    def environment(self, port: int) -> Mapping[str, str]:
        return {
            "DISCORD_API_URL": f"http://127.0.0.1:{port}/api/v10",
            "DISCORD_BOT_TOKEN": DISCORD_TOKEN,
            "DISCORD_REPLIES": "channel",
            "DISCORD_NAMES": "false",
        }

    def deliver_to(self, port: int) -> None:
        """Waits until the gateway has connected itself."""
        self._discord.wait_until(lambda: self._discord.connected, TIMEOUT_SECONDS)

    def send_all(self, messages: SentMessages) -> None:
        """Sends all at once: Discord itself keeps the order of each channel."""
        for channel, texts in zip(self.CHANNELS, messages, strict=True):
            for text in texts:
                self._discord.says(text, channel, mentions=channel != DIRECT)
        self.wait_until_idle()

    def hold_reply_call(self, sync: SyncPoint) -> None:
        self._discord.faults.after("createMessage", lambda _: sync.reach())

    def wait_until_idle(self) -> None:
        self._discord.wait_until(lambda: self._discord.is_all_committed, TIMEOUT_SECONDS)

    def replies(self) -> Sequence[Sequence[str]]:
        return [[each["content"] for each in self._discord.bot_messages(channel)] for channel in self.CHANNELS]

    def stray_messages(self) -> int:
        return 0  # there are no other channels

    def close(self) -> None:
        self._discord.stop()
