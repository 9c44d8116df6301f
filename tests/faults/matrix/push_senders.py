"""Programs that bring messages to channels of Discord, at once or at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from tests.fakes.discord_state import DIRECT, GUILD
from tests.faults.matrix.api_senders import RETRY_SECONDS, ApiSenders
from tests.faults.matrix.proxy import TcpProxy
from tests.faults.matrix.scoring import SentMessages, reply_to
from tests.faults.matrix.senders import TIMEOUT_SECONDS, DiscordSenders, run_in_threads

KEY = "push-key"
PATH = "/messages"
APART_SECONDS = 0.2
"""Between the times of two scheduled messages of a channel."""


class PushSenders(DiscordSenders):
    """The first message of each channel is a text, which the assistant does not write; the others ask the assistant."""

    def __init__(self, gateway_proxy: TcpProxy, *, scheduled: bool) -> None:
        super().__init__()
        self._program = ApiSenders(gateway_proxy, timeout=10.0)
        self._scheduled = scheduled
        self._texts: set[str] = set()

    def environment(self, port: int) -> Mapping[str, str]:
        return {**super().environment(port), "PUSH_API_KEYS": KEY}

    def send_all(self, messages: SentMessages) -> None:
        pairs = zip(self.CHANNELS, messages, strict=True)
        run_in_threads([partial(self._push_all, channel, texts) for channel, texts in pairs])

    def _push_all(self, channel: str, texts: Sequence[str]) -> None:
        begun = time.time()
        self._texts.add(texts[0])
        for number, text in enumerate(texts):
            body = {"platform": "discord", "channel": channel, "text" if text == texts[0] else "prompt": text}
            body |= {} if channel == DIRECT else {"workspace": GUILD}
            body |= {"at": _iso(begun + number * APART_SECONDS)} if self._scheduled else {}
            self._program.request("POST", PATH, body, Authorization=f"Bearer {KEY}")

    def wait_until_idle(self) -> None:
        """Waits until each schedule has become a turn."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while self._scheduled and self._due():
            assert time.monotonic() < end, "a schedule is still due"
            time.sleep(RETRY_SECONDS)

    def _due(self) -> int:
        listed = self._program.request("GET", f"{PATH}/schedules", Authorization=f"Bearer {KEY}")["schedules"]
        return sum(each["next_at"] is not None for each in listed)

    def replies(self) -> Sequence[Sequence[str]]:
        return [[reply_to(text) if text in self._texts else text for text in texts] for texts in super().replies()]


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
