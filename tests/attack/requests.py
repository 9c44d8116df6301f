"""Requests that cost others something: guesses of keys, and reads of threads that nobody knows."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from tests.attack.stage import Row, attacked
from tests.fakes.openai_server import FakeOpenAI

GUESSES = 300
READS = 1000
KEY = "a-key-of-more-than-sixteen-characters"
READS_PER_MINUTE = 600
"""What CHAT_READS_PER_MINUTE allows if it is not set: so many at once, and as many more in each minute."""
SOME_READS = 20
"""Those under way at the same time."""
MOST_GUESSES = 100
"""Answered as wrong before the address is told to wait."""
UNAUTHORIZED = 401


def guessed_keys(folder: Path) -> Iterator[Row]:
    """300 wrong keys, as fast as they go; then the right one from the same address."""
    with attacked(folder, {"ASSISTANT_BACKEND": "offline", "GATEWAY_API_KEYS": KEY}) as gateway:
        statuses, seconds = asyncio.run(_send([(f"{gateway.url}/chat/turns/x", f"wrong-{n}") for n in range(GUESSES)]))
        right, _ = asyncio.run(_send([(f"{gateway.url}/chat/turns/turn_x", KEY)]))
    compared = statuses[UNAUTHORIZED]
    attack = f"{GUESSES} guesses of a key"
    yield Row(
        attack,
        "compared, of all in so many seconds",
        f"{compared} in {seconds:.2f} s",
        f"{MOST_GUESSES}",
        compared <= MOST_GUESSES,
    )
    yield Row(attack, "answers", _told(statuses), "")
    yield Row(attack, "the right key from there", _told(right), "404: it is let in", set(right) == {404})


def junk_threads(folder: Path) -> Iterator[Row]:
    """1,000 reads of threads that do not exist, with a key of ours at the backend."""
    with FakeOpenAI() as openai:
        settings = {
            "ASSISTANT_BACKEND": "responses",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": openai.base_url,
            "OPENAI_MODEL": "gpt-test",
        }
        with attacked(folder, settings) as gateway:
            urls = [(f"{gateway.url}/chat/threads/conv_junk{number}", "") for number in range(READS)]
            statuses, seconds = asyncio.run(_send(urls))
        asked = len([one for one in openai.requests if "/conversations" in one.path])
    attack = f"{READS:,} reads of junk threads"
    most = int(READS_PER_MINUTE * (1 + seconds / 60)) + SOME_READS
    yield Row(attack, "calls of the backend", f"{asked} in {seconds:.2f} s", f"{most} in this time", asked <= most)
    yield Row(attack, "answers", _told(statuses), "")


async def _send(requests: list[tuple[str, str]]) -> tuple[Counter[int], float]:
    """Sends them, some at a time; returns the statuses and how long it took."""
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:

        async def send(url: str, key: str) -> None:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with session.get(url, headers=headers) as response:
                await response.read()
                statuses[response.status] += 1

        begun = time.perf_counter()
        await asyncio.gather(*(send(*one) for one in requests))
        return statuses, time.perf_counter() - begun


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
