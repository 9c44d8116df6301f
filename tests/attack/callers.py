"""Those who are beside an attacker: they ask for /healthz and write messages, and the slowest of them counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp

from tests.attack.stage import AttackedGateway
from tests.bench.measurements import median, p99

HEALTH_PAUSE = 0.05
CALLERS = 4
PATIENCE = aiohttp.ClientTimeout(total=15)
OK = 200
ANOTHER_ADDRESS = "127.0.0.2"
"""From which they come; the attacker has 127.0.0.1."""


@dataclass
class Bystanders:
    """What they saw."""

    health_seconds: list[float] = field(default_factory=list)
    chat_seconds: list[float] = field(default_factory=list)
    failures: int = 0

    def spread(self, seconds: list[float]) -> str:
        """Returns the median and the 99th percentile in milliseconds."""
        if not seconds:
            return "no answer"
        return f"{1000 * median(seconds):.0f} / {1000 * p99(seconds):.0f} ms"

    def slowest(self) -> float:
        """Returns the larger of both 99th percentiles, in seconds."""
        return max(
            (p99(each) for each in (self.health_seconds, self.chat_seconds) if each), default=PATIENCE.total or 0
        )


@asynccontextmanager
async def bystanders(gateway: AttackedGateway) -> AsyncIterator[Bystanders]:
    """Lets them call during the block."""
    seen = Bystanders()
    async with aiohttp.ClientSession(connector=connector(ANOTHER_ADDRESS), timeout=PATIENCE) as session:
        tasks = [asyncio.create_task(_watch_health(session, gateway.url, seen))]
        tasks += [asyncio.create_task(_write(session, gateway.url, seen)) for _ in range(CALLERS)]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def connector(address: str) -> aiohttp.TCPConnector:
    """Returns connections that come from an address of this machine."""
    return aiohttp.TCPConnector(local_addr=(address, 0), limit=0, force_close=True)


async def _watch_health(session: aiohttp.ClientSession, url: str, seen: Bystanders) -> None:
    while True:
        await _timed(session.get(f"{url}/healthz"), seen.health_seconds, seen)
        await asyncio.sleep(HEALTH_PAUSE)


async def _write(session: aiohttp.ClientSession, url: str, seen: Bystanders) -> None:
    while True:
        await _timed(session.post(f"{url}/chat", json={"message": "Hello"}), seen.chat_seconds, seen)
        await asyncio.sleep(HEALTH_PAUSE)


async def _timed(
    request: AbstractAsyncContextManager[aiohttp.ClientResponse],
    seconds: list[float],
    seen: Bystanders,
) -> None:
    begun, answered = time.perf_counter(), False
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with request as response:
            await response.read()
            answered = response.status == OK
    seen.failures += not answered
    if answered:
        seconds.append(time.perf_counter() - begun)
