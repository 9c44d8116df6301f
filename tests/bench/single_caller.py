"""Times a single caller: a turn and its first token, through the gateway and through the SDK alone."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from time import perf_counter

from tests.bench.caller import ChatCaller, RunCaller
from tests.bench.plan import SETTLE_PAUSE_SECONDS, TEXT, TURNS_PER_THREAD, Backend
from tests.bench.processes import BenchServer
from tests.bench.sdk_callers import SDK_CALLERS, SdkCaller, new_client

WARM_UP = 10
CPU_ROUNDS = 4
"""In how many alternating parts the CPU of two ways is measured."""

SdkAndServerTimes = tuple[Sequence[float], Sequence[float]]
"""Milliseconds of the SDK and of the server, measured alternately, so that noise affects both alike."""


class SingleCaller:
    """A caller of the SDK and a caller of the gateway, which take turns."""

    def __init__(self, fake: BenchServer, backend: Backend, server: BenchServer) -> None:
        self._fake = fake
        self._backend: Backend = backend
        self._server = server

    def turns_in_open_threads(self, turns: int) -> SdkAndServerTimes:
        """Times whole turns in existing threads."""
        return asyncio.run(self._measure(turns))

    def turns_in_new_threads(self, turns: int) -> SdkAndServerTimes:
        """Times whole turns, each in a new thread."""
        return asyncio.run(self._measure(turns, turns_per_thread=1))

    def times_to_first_text(self, turns: int) -> SdkAndServerTimes:
        """Times from the message to the first text of the reply, in existing threads."""
        return asyncio.run(self._measure(turns, first_text_only=True))

    def turns_of_both_apis(self, turns: int) -> SdkAndServerTimes:
        """Times whole turns in existing threads: by ``/chat``, and by a run of the Assistants API."""
        samples: tuple[list[float], list[float]] = ([], [])
        callers = (ChatCaller(self._server.url), RunCaller(self._server.url))
        for turn in range(-WARM_UP, turns):
            if turn % TURNS_PER_THREAD == 0:
                for caller in callers:
                    caller.start_new_thread()
                    caller.send(TEXT)
            for side, caller in zip(samples, callers, strict=True):
                ms = _one_turn(caller, first_text_only=False)
                if turn >= 0:
                    side.append(ms)
        for caller in callers:
            caller.close()
        return samples

    def cpu_of_both_apis(self, turns: int) -> tuple[float, float]:
        """Returns the server's CPU milliseconds a turn: by ``/chat``, and by a run of the Assistants API."""
        spent = [0.0, 0.0]
        for _ in range(CPU_ROUNDS):
            for side, kind in enumerate((ChatCaller, RunCaller)):
                caller = kind(self._server.url)
                caller.send(TEXT)
                before = self._server.usage().cpu_seconds
                for _ in range(turns // CPU_ROUNDS):
                    caller.send(TEXT)
                _let_server_settle()
                spent[side] += self._server.usage().cpu_seconds - before
                caller.close()
        chat, runs = (1000 * seconds / (turns // CPU_ROUNDS * CPU_ROUNDS) for seconds in spent)
        return chat, runs

    async def _measure(
        self, turns: int, *, first_text_only: bool = False, turns_per_thread: int = TURNS_PER_THREAD
    ) -> SdkAndServerTimes:
        samples: tuple[list[float], list[float]] = ([], [])
        caller = ChatCaller(self._server.url)
        async with new_client(self._fake.url) as client:
            direct = SDK_CALLERS[self._backend](client)
            for turn in range(-WARM_UP, turns):
                if turn == 0:
                    gc.collect()
                    gc.freeze()  # so that garbage of earlier turns is not collected during a measurement
                if turn % turns_per_thread == 0:
                    direct.start_new_thread()
                    caller.start_new_thread()
                    if turns_per_thread > 1:
                        await direct.send(TEXT)
                        caller.send(TEXT)
                        _let_server_settle()
                times = (
                    await _one_sdk_turn(direct, first_text_only=first_text_only),
                    _one_turn(caller, first_text_only=first_text_only),
                )
                for side, ms in zip(samples, times, strict=True):
                    if turn >= 0:
                        side.append(ms)
        caller.close()
        return samples


async def _one_sdk_turn(direct: SdkCaller, *, first_text_only: bool) -> float:
    begun = perf_counter()
    first = await direct.send(TEXT)
    ended = first if first_text_only else perf_counter()
    _let_server_settle()
    return (ended - begun) * 1000


def _one_turn(caller: ChatCaller, *, first_text_only: bool) -> float:
    begun = perf_counter()
    ended = caller.send_streaming(TEXT) if first_text_only else caller.send(TEXT)
    _let_server_settle()
    return (ended - begun) * 1000


def _let_server_settle() -> None:
    """Pauses, so that work after one reply is not measured in the next turn."""
    time.sleep(SETTLE_PAUSE_SECONDS)
