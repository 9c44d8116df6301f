"""The fake Discord of the tests as a program, with people who write direct messages and wait for the replies.

``python -m tests.bench.discord_stub`` prints its URL and takes orders as slack_stub.py does. Every message is in its
own channel, so that the limit of a channel is not what is measured.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from itertools import islice
from time import perf_counter, sleep

from tests.bench.slack_stub import ANSWER_TIMEOUT_SECONDS, SETTLED_SECONDS, EventOrder, EventResult, marker
from tests.fakes.discord_server import FakeDiscord
from tests.fakes.discord_state import DM

FIRST_CHANNEL = 50_000_000
AT_ONCE = 200
"""Messages that wait for their replies at the same time."""
LOOK_SECONDS = 0.02
"""Between two looks at the replies."""


def run_order(discord: FakeDiscord, order: EventOrder, first: int) -> EventResult:
    """Lets people write in ``order.messages`` channels, and waits for all replies.

    ``first``: the number of the first message. ``times`` are milliseconds since the first message to each reply.
    """
    discord.wait_until(lambda: discord.connected, ANSWER_TIMEOUT_SECONDS)
    numbers, missing = iter(range(first, first + order.messages)), set[int]()
    result, begun = EventResult(), perf_counter()
    while len(result.times) < order.messages and perf_counter() < begun + ANSWER_TIMEOUT_SECONDS:
        for number in islice(numbers, AT_ONCE - len(missing)):
            says(discord, number)
            missing.add(number)
        sleep(LOOK_SECONDS)
        answered = {number for number in missing if is_answered(discord, number)}
        result.answered_seconds = perf_counter() - begun
        result.times += [result.answered_seconds * 1000] * len(answered)
        missing -= answered
    if missing:
        result.errors.append(f"{len(missing)} messages were not answered within {ANSWER_TIMEOUT_SECONDS:g} s")
    sleep(SETTLED_SECONDS)
    return result


def says(discord: FakeDiscord, number: int) -> None:
    """Lets a person write the message of this number, in a new channel."""
    channel = channel_of(number)
    with discord.state.notify():
        discord.state.channels[channel] = {"id": channel, "type": DM}
        discord.state.messages[channel] = {}
    discord.says(f"What is the weather like in Reykjavik today, {marker(number)}", channel)


def is_answered(discord: FakeDiscord, number: int) -> bool:
    return any(marker(number) in reply["content"] for reply in discord.bot_messages(channel_of(number)))


def channel_of(number: int) -> str:
    return str(FIRST_CHANNEL + number)


def main() -> None:
    sent = 0
    with FakeDiscord() as discord:
        print(discord.url, flush=True)
        for line in sys.stdin:
            order = EventOrder(**json.loads(line))
            print(json.dumps(asdict(run_order(discord, order, sent))), flush=True)
            sent += order.messages


if __name__ == "__main__":
    main()
