"""Generates load by many callers: ``python -m tests.bench.load ORDER`` in its own process; order and result are JSON.

``closed``: each caller has its own thread and sends the next message as soon as it is answered.
``open``: a fixed rate of turns, whether or not the server keeps up; timed from the planned start.
``hold``: callers arrive at a fixed rate and wait. It prints a line when all are sent, and ends with its stdin.
``poll``: callers begin a run of the Assistants API each, and poll it as often as they are told; every poll is timed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from random import random
from time import perf_counter
from typing import Any, Literal

import aiohttp

from tests.bench.plan import TEXT

LoadKind = Literal["closed", "open", "hold", "poll"]
POLL_AFTER = "openai-poll-after-ms"
WARM_UP = 3


@dataclass(frozen=True)
class LoadOrder:
    kind: LoadKind
    url: str
    callers: int
    seconds: float = 0.0
    rate: float = 0.0
    prefer: str = ""


@dataclass
class LoadResult:
    seconds: float = 0.0
    completed_in_time: int = 0
    """Turns that succeeded before the time was up."""
    times: list[float] = field(default_factory=list)
    """Milliseconds of every successful turn."""
    errors: list[str] = field(default_factory=list)


class LoadRunner:
    """Runs one order. Prints ``ready`` after warming up and waits for a line on stdin before it starts."""

    def __init__(self, order: LoadOrder, http: aiohttp.ClientSession) -> None:
        self._order = order
        self._http = http
        self._result = LoadResult(order.seconds)

    async def closed_loop(self) -> LoadResult:
        threads = await self._open_threads()
        await _signal_ready()
        until = perf_counter() + self._order.seconds
        await asyncio.gather(*(self._send_until(until, thread) for thread in threads))
        return self._result

    async def open_loop(self) -> LoadResult:
        free = deque(await self._open_threads())
        await _signal_ready()
        start = perf_counter()
        turns = (self._send_at(start + number / self._order.rate, free) for number in range(self._turn_count()))
        await asyncio.gather(*turns)
        return self._result

    async def hold(self) -> LoadResult:
        """Keeps all callers waiting; none is answered in the meantime."""
        start = perf_counter()
        callers = [
            asyncio.create_task(self._send_at(start + number / self._order.rate, deque()))
            for number in range(self._order.callers)
        ]
        await asyncio.sleep(self._order.callers / self._order.rate)
        await _signal_ready()
        for caller in callers:
            caller.cancel()
        return self._result

    async def poll(self) -> LoadResult:
        """Polls runs that do not end, for a time, after all have begun."""
        start = perf_counter()
        begun = [self._begin_run(start + number / self._order.rate) for number in range(self._order.callers)]
        runs = [run for run in await asyncio.gather(*begun) if run]
        await _signal_ready()
        until = perf_counter() + self._order.seconds
        await asyncio.gather(*(self._poll_until(until, *run) for run in runs))
        return self._result

    async def _begin_run(self, planned: float) -> tuple[str, float] | None:
        """Returns the path of a new run, and the seconds after which to poll it; None when it failed."""
        await asyncio.sleep(planned - perf_counter())
        messages = [{"role": "user", "content": TEXT}]
        asked = {"assistant_id": "default", "thread": {"messages": messages}}
        try:
            async with self._http.post(f"{self._order.url}/v1/threads/runs", json=asked) as answer:
                said: dict[str, Any] = await answer.json()
                if answer.status == 200:
                    return f"/v1/threads/{said['thread_id']}/runs/{said['id']}", _pause(answer)
                self._result.errors.append(f"{answer.status} {said}")
        except (aiohttp.ClientError, ValueError) as exc:
            self._result.errors.append(repr(exc))
        return None

    async def _poll_until(self, until: float, path: str, pause: float) -> None:
        await asyncio.sleep(pause * random())  # they did not all begin at once
        while (begun := perf_counter()) < until:
            try:
                async with self._http.get(f"{self._order.url}{path}") as answer:
                    await answer.read()
                    pause = _pause(answer)
                    if answer.status == 200:
                        self._record_time(begun)
                        self._result.completed_in_time += perf_counter() < until
                    else:
                        self._result.errors.append(f"{answer.status}")
            except aiohttp.ClientError as exc:
                self._result.errors.append(repr(exc))
            await asyncio.sleep(pause)

    def _turn_count(self) -> int:
        return int(self._order.seconds * self._order.rate)

    async def _open_threads(self) -> list[str | None]:
        return await asyncio.gather(*(self._open_thread() for _ in range(self._order.callers)))

    async def _open_thread(self) -> str | None:
        thread = None
        for _ in range(WARM_UP):
            thread = await self._send(thread)
        return thread

    async def _send_until(self, until: float, thread: str | None) -> None:
        while (begun := perf_counter()) < until:
            thread = await self._send(thread)
            if thread is not None:
                self._record_time(begun)
                self._result.completed_in_time += perf_counter() < until

    async def _send_at(self, planned: float, free: deque[str | None]) -> None:
        await asyncio.sleep(planned - perf_counter())
        thread = await self._send(free.popleft() if free else None)
        if thread is not None:
            free.append(thread)
            self._record_time(planned)

    def _record_time(self, begun: float) -> None:
        self._result.times.append((perf_counter() - begun) * 1000)

    async def _send(self, thread: str | None) -> str | None:
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


def _pause(answer: aiohttp.ClientResponse) -> float:
    """Returns the seconds after which a client of the Assistants API is to ask again."""
    return int(answer.headers[POLL_AFTER]) / 1000


async def _signal_ready() -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def main() -> None:
    order = LoadOrder(**json.loads(sys.argv[1]))
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        load = LoadRunner(order, http)
        kinds = {"closed": load.closed_loop, "open": load.open_loop, "hold": load.hold, "poll": load.poll}
        result = await kinds[order.kind]()
    print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
