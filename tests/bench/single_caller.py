"""Times a single caller: a turn and its first token, through the gateway and through the SDK alone."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from time import perf_counter

from tests.bench.caller import Caller
from tests.bench.plan import PAUSE_SECONDS, TEXT, TURNS_PER_THREAD, Backend
from tests.bench.processes import Server
from tests.bench.sdk_callers import DIRECT, Direct, client_of

WARM_UP = 10

Samples = tuple[Sequence[float], Sequence[float]]
"""Milliseconds of the SDK and of the server, measured alternately, so that noise affects both alike."""


class Lone:
    """A caller of the SDK and a caller of the gateway, which take turns."""

    def __init__(self, fake: Server, backend: Backend, server: Server) -> None:
        self._fake = fake
        self._backend: Backend = backend
        self._server = server

    def follow_ups(self, turns: int) -> Samples:
        """Times whole turns in existing threads."""
        return asyncio.run(self._measure(turns))

    def new_threads(self, turns: int) -> Samples:
        """Times whole turns, each in a new thread."""
        return asyncio.run(self._measure(turns, turns_per_thread=1))

    def first_tokens(self, turns: int) -> Samples:
        """Times from the message to the first text of the reply, in existing threads."""
        return asyncio.run(self._measure(turns, watched=True))

    async def _measure(self, turns: int, *, watched: bool = False, turns_per_thread: int = TURNS_PER_THREAD) -> Samples:
        samples: tuple[list[float], list[float]] = ([], [])
        caller = Caller(self._server.url)
        async with client_of(self._fake.url) as client:
            direct = DIRECT[self._backend](client)
            for turn in range(-WARM_UP, turns):
                if turn == 0:
                    gc.collect()
                    gc.freeze()  # so that garbage of earlier turns is not collected during a measurement
                if turn % turns_per_thread == 0:
                    direct.leave()
                    caller.leave()
                    if turns_per_thread > 1:
                        await direct.say(TEXT)
                        caller.say(TEXT)
                        _pause()
                times = await _one_sdk_turn(direct, watched=watched), _one_turn(caller, watched=watched)
                for side, ms in zip(samples, times, strict=True):
                    if turn >= 0:
                        side.append(ms)
        caller.close()
        return samples


async def _one_sdk_turn(direct: Direct, *, watched: bool) -> float:
    begun = perf_counter()
    first = await direct.say(TEXT)
    ended = first if watched else perf_counter()
    _pause()
    return (ended - begun) * 1000


def _one_turn(caller: Caller, *, watched: bool) -> float:
    begun = perf_counter()
    ended = caller.watch(TEXT) if watched else caller.say(TEXT)
    _pause()
    return (ended - begun) * 1000


def _pause() -> None:
    """Pauses, so that work after one reply is not measured in the next turn."""
    time.sleep(PAUSE_SECONDS)
