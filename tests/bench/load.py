"""Generates load by many callers: ``python -m tests.bench.load ORDER`` in its own process; order and result are JSON.

``closed``: each caller has its own thread and sends the next message as soon as it is answered.
``open``: a fixed rate of turns, whether or not the server keeps up; timed from the planned start.
``hold``: callers arrive at a fixed rate and wait. It prints a line when all are sent, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Literal

import aiohttp

from tests.bench.plan import TEXT

Kind = Literal["closed", "open", "hold"]
WARM_UP = 3


@dataclass(frozen=True)
class Order:
    kind: Kind
    url: str
    callers: int
    seconds: float = 0.0
    rate: float = 0.0
    prefer: str = ""


@dataclass
class Result:
    seconds: float = 0.0
    in_time: int = 0
    """Turns that succeeded before the time was up."""
    times: list[float] = field(default_factory=list)
    """Milliseconds of every successful turn."""
    errors: list[str] = field(default_factory=list)


class Load:
    """Runs one order. Prints ``ready`` after warming up and waits for a line on stdin before it starts."""

    def __init__(self, order: Order, http: aiohttp.ClientSession) -> None:
        self._order = order
        self._http = http
        self._result = Result(order.seconds)

    async def closed(self) -> Result:
        threads = await self._all_opened()
        await _ready()
        until = perf_counter() + self._order.seconds
        await asyncio.gather(*(self._speak_until(until, thread) for thread in threads))
        return self._result

    async def open(self) -> Result:
        free = deque(await self._all_opened())
        await _ready()
        start = perf_counter()
        turns = (self._in_time(start + number / self._order.rate, free) for number in range(self._count()))
        await asyncio.gather(*turns)
        return self._result

    async def hold(self) -> Result:
        """Keeps all callers waiting; none is answered in the meantime."""
        start = perf_counter()
        callers = [
            asyncio.create_task(self._in_time(start + number / self._order.rate, deque()))
            for number in range(self._order.callers)
        ]
        await asyncio.sleep(self._order.callers / self._order.rate)
        await _ready()
        for caller in callers:
            caller.cancel()
        return self._result

    def _count(self) -> int:
        return int(self._order.seconds * self._order.rate)

    async def _all_opened(self) -> list[str | None]:
        return await asyncio.gather(*(self._opened() for _ in range(self._order.callers)))

    async def _opened(self) -> str | None:
        thread = None
        for _ in range(WARM_UP):
            thread = await self._say(thread)
        return thread

    async def _speak_until(self, until: float, thread: str | None) -> None:
        while (begun := perf_counter()) < until:
            thread = await self._say(thread)
            if thread is not None:
                self._note(begun)
                self._result.in_time += perf_counter() < until

    async def _in_time(self, planned: float, free: deque[str | None]) -> None:
        await asyncio.sleep(planned - perf_counter())
        thread = await self._say(free.popleft() if free else None)
        if thread is not None:
            free.append(thread)
            self._note(planned)

    def _note(self, begun: float) -> None:
        self._result.times.append((perf_counter() - begun) * 1000)

    async def _say(self, thread: str | None) -> str | None:
        """Sends a message and returns its thread; None when it failed."""
        asked = {"message": TEXT} if thread is None else {"message": TEXT, "thread_id": thread}
        headers = {"Prefer": self._order.prefer} if self._order.prefer else None
        try:
            async with self._http.post(f"{self._order.url}/chat", json=asked, headers=headers) as answer:
                said: dict[str, Any] = await answer.json()
                if answer.status in {200, 202}:
                    return str(said["thread_id"])
                self._result.errors.append(f"{answer.status} {said}")
        except (aiohttp.ClientError, ValueError) as exc:
            self._result.errors.append(repr(exc))
        return None


async def _ready() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        load = Load(order, http)
        result = await {"closed": load.closed, "open": load.open, "hold": load.hold}[order.kind]()
    print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
