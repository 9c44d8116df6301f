"""Sizes of the benchmarks: full, or quick to see that they work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Backend = Literal["responses", "threads", "chat"]
BACKENDS: tuple[Backend, ...] = ("responses", "threads", "chat")

TEXT = "What is the weather like in Reykjavik today?"
TURNS_PER_THREAD = 20
"""Realistic length of a thread, and the same for every measurement."""
SETTLE_PAUSE_SECONDS = 0.005
"""Between two turns of a single caller, so that work after one reply is not measured in the next turn."""
CALLERS = 50
IN_FLIGHT = 1000
ARRIVALS_PER_SECOND = 200.0
"""Rate at which the turns in flight are sent."""
RUNS_OF_MANY = 2000
"""How many runs the gateway has at once while more callers than that wait."""
CHUNK_SECONDS = 0.01
"""Between two chunks of a reply, when the first token is timed."""
THINK_SECONDS = 600.0
"""Before a reply, when turns are held in flight; longer than the measurement."""
SLACK_IN_FLIGHT = 500
SLACK_RATE = 100.0
"""Events a second at a fixed rate, while those runs wait."""


@dataclass(frozen=True)
class BenchPlan:
    """Sizes of one run of the benchmarks."""

    single_turns: int
    """Turns of a single caller for each measurement, for the SDK and for the gateway."""
    rounds: int
    """How often each server is loaded, alternating; the median is shown."""
    load_seconds: float
    with_sleep_first: bool
    """Whether the program that sleeps before it polls is measured too. It is slow."""
    rates: tuple[float, ...]
    """Fixed rates in turns per second, whether or not the server keeps up."""
    rate_seconds: float
    first_tokens: int
    polling: int
    """Clients that poll a run of the Assistants API each."""
    held_by: tuple[Backend, ...]
    """Backends whose memory with turns in flight is measured."""
    held_without_callers: tuple[Backend, ...]
    """Backends for which that is repeated without waiting callers."""
    most_waiting: int
    """Callers that wait in one process, more than it has runs; 0: not measured."""
    slack_events: int
    """Events sent as fast as they are acknowledged, while runs wait."""
    slack_bursts: tuple[int, ...]
    """Direct messages to answer, for each burst."""
    telegram_burst: int
    """Messages to answer, each in its own chat."""
    discord_burst: int
    """Direct messages to answer, each in its own channel."""
    instant_turns: int
    """Turns for several processes, with an assistant that answers at once."""
    low_capacity_turns: int
    """Turns with an assistant that only waits, and few runs for each process."""
    high_capacity_turns: int
    """Turns with an assistant that only waits, and many runs for each process."""
    table_turns: int
    """Turns in a full table."""
    table_messages: int
    """Messages into the full table, and into a small one, for each median."""
    with_sqlite: bool
    """Whether a full table in SQLite is measured too."""


FULL = BenchPlan(
    single_turns=250,
    rounds=3,
    load_seconds=4.0,
    with_sleep_first=True,
    rates=(40.0, 80.0),
    rate_seconds=6.0,
    first_tokens=80,
    polling=1000,
    held_by=BACKENDS,
    held_without_callers=("responses",),
    most_waiting=10_000,
    slack_events=900,
    slack_bursts=(600, 1000),
    telegram_burst=1000,
    discord_burst=1000,
    instant_turns=3200,
    low_capacity_turns=720,
    high_capacity_turns=4000,
    table_turns=1_000_000,
    table_messages=400,
    with_sqlite=True,
)
QUICK = BenchPlan(
    single_turns=40,
    rounds=1,
    load_seconds=2.0,
    with_sleep_first=False,
    rates=(40.0,),
    rate_seconds=2.0,
    first_tokens=15,
    polling=200,
    held_by=("responses",),
    held_without_callers=("responses",),
    most_waiting=0,
    slack_events=300,
    slack_bursts=(600,),
    telegram_burst=200,
    discord_burst=200,
    instant_turns=960,
    low_capacity_turns=240,
    high_capacity_turns=1200,
    table_turns=100_000,
    table_messages=100,
    with_sqlite=False,
)
