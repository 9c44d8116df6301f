"""Files attached in Slack: what they cost the process, and whether it lives under a limit of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.attack.reading_assistant import ReadingAssistant
from tests.attack.stage import AttackedGateway, Row, attacked
from tests.fakes.slack_events import SIGNING_SECRET, TOKEN
from tests.fakes.slack_server import FakeSlack, FileAttachment

FILES = 10
FILE_BYTES = 20_000_000
MESSAGES = 12
LIMIT_BYTES = 450_000_000
MOST_MORE_MB = 150.0
"""Beyond what the process has at rest."""
PATIENCE_SECONDS = 180.0
SAMPLE_SECONDS = 0.02
ALL = {"MAX_MESSAGE_FILE_BYTES": str(2 * FILES * FILE_BYTES)}
"""Lets all files of a message through, instead of the 50 MB that one may bring."""
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(FILE_BYTES - 8)


@dataclass
class Memory:
    """The memory of a process, in MB."""

    at_rest: float
    most: float


def attached_files(folder: Path) -> Iterator[Row]:
    """One message with 10 files of 20 MB, twelve at once, and the same under a limit of 450 MB."""
    plays: Sequence[tuple[str, int, Mapping[str, str], int | None]] = (
        ("1 message, 10 files of 20 MB", 1, {}, None),
        ("1 message, all its files let through", 1, ALL, None),
        ("12 such messages at once", MESSAGES, {}, None),
        ("12 at once, all files let through", MESSAGES, ALL, None),
        ("12 at once, all files, under 450 MB", MESSAGES, ALL, LIMIT_BYTES),
    )
    for number, (attack, messages, settings, limit) in enumerate(plays):
        yield from _play(folder / str(number), attack, messages, settings, limit)


def _play(
    folder: Path, attack: str, messages: int, settings: Mapping[str, str], data_limit: int | None
) -> Iterator[Row]:
    with FakeSlack(retries=[0.5] * 20) as slack, ReadingAssistant() as assistant:
        environment = {
            "ASSISTANT_BACKEND": "chat",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": f"{assistant.url}/v1",
            "OPENAI_MODEL": "gpt-test",
            "SLACK_API_URL": slack.api_url,
            "SLACK_BOT_TOKEN": TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            **settings,
        }
        with attacked(folder, environment, data_limit=data_limit) as gateway:
            slack.deliver_to(f"{gateway.url}/slack/events")
            with _measured(gateway) as memory:
                answered = _send(slack, gateway, messages)
            alive = gateway.is_alive
        received = assistant.received / 1e6
    more = memory.most - memory.at_rest
    yield Row(
        attack,
        "RSS at rest -> most",
        f"{memory.at_rest:.0f} -> {memory.most:.0f} MB",
        f"+{MOST_MORE_MB:.0f} MB",
        more <= MOST_MORE_MB,
    )
    yield Row(
        attack,
        "answered, and the process lives",
        f"{answered} of {messages}, {'yes' if alive else 'no'}",
        "all, yes",
        alive and answered == messages,
    )
    yield Row(attack, "sent to the assistant, in base64", f"{received:,.0f} MB", "")


def _send(slack: FakeSlack, gateway: AttackedGateway, messages: int) -> int:
    """Sends the messages at once, and waits until each is answered or the process is dead. Returns the answers."""
    files: list[FileAttachment] = [(f"{number}.png", PICTURE, "image/png") for number in range(FILES)]
    for number in range(messages):
        slack.user_says("Look at these", channel=f"D0DM{number}", files=files)
    until = time.monotonic() + PATIENCE_SECONDS
    while (answered := len(slack.bot_messages())) < messages and gateway.is_alive and time.monotonic() < until:
        time.sleep(0.1)
    return answered


@contextmanager
def _measured(gateway: AttackedGateway) -> Iterator[Memory]:
    """Samples the memory of the process during the block."""
    at_rest = gateway.rss_mb
    memory, ended = Memory(at_rest, at_rest), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS) and gateway.is_alive:
            memory.most = max(memory.most, gateway.rss_mb)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield memory
    finally:
        ended.set()
        sampler.join()
