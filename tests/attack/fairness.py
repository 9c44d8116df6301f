"""One caller with thousands of queued turns, and another's single message beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp

from tests.attack.stage import AttackedGateway, Row, attacked
from tests.fakes.openai_server import FakeOpenAI

QUEUED = 5000
RUNS = 20
THINK_SECONDS = 2.0
"""How long each run lasts. All of the queue would take eight minutes."""
PATIENCE_SECONDS = 60.0
MOST_RATIO = 2.0
BUSY, IDLE = "the-key-of-the-busy-caller-0001", "the-key-of-the-other-caller-0002"
MANY = 20_000


def long_queue(folder: Path) -> Iterator[Row]:
    """5,000 turns in 5,000 conversations of one key; the message of another key, compared with an idle gateway."""
    with FakeOpenAI(record=False, max_kept=1000) as openai:
        openai.think = THINK_SECONDS
        settings = {
            "ASSISTANT_BACKEND": "chat",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": openai.base_url,
            "OPENAI_MODEL": "gpt-test",
            "GATEWAY_API_KEYS": f"{BUSY},{IDLE}",
            "MAX_RUNS": str(RUNS),
            "MAX_QUEUE": str(MANY),
            "MAX_QUEUE_PER_PLATFORM": str(MANY),
        }
        with attacked(folder, settings) as gateway:
            alone, beside, queued = asyncio.run(_measure(gateway))
    attack = f"{queued:,} turns of one caller queued"
    ratio = beside / alone
    more = ">" if beside >= PATIENCE_SECONDS else ""
    yield Row(attack, "another's message, alone / beside them", f"{alone:.2f} / {more}{beside:.2f} s", "")
    yield Row(attack, "ratio", f"{more}{ratio:.1f}", f"{MOST_RATIO:g}", ratio <= MOST_RATIO)


async def _measure(gateway: AttackedGateway) -> tuple[float, float, int]:
    """Returns the seconds of a message alone and beside the queue, and how many turns were accepted."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:
        await _ask(session, gateway)  # what is made once at the first message
        alone = await _ask(session, gateway)
        accepted = await asyncio.gather(*(_queue(session, gateway) for _ in range(QUEUED)))
        return alone, await _ask(session, gateway), sum(accepted)


async def _queue(session: aiohttp.ClientSession, gateway: AttackedGateway) -> bool:
    headers = {"Authorization": f"Bearer {BUSY}", "Prefer": "respond-async"}
    async with session.post(f"{gateway.url}/chat", json={"message": "Work"}, headers=headers) as response:
        await response.read()
        return response.ok


async def _ask(session: aiohttp.ClientSession, gateway: AttackedGateway) -> float:
    """Returns the seconds to the reply, at most ``PATIENCE_SECONDS``."""
    begun = time.perf_counter()
    patience = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    headers = {"Authorization": f"Bearer {IDLE}"}
    try:
        async with session.post(
            f"{gateway.url}/chat", json={"message": "Hello"}, headers=headers, timeout=patience
        ) as response:
            response.raise_for_status()
            await response.read()
    except TimeoutError:
        return PATIENCE_SECONDS
    return time.perf_counter() - begun
