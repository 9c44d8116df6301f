"""How much is measured: enough to believe, or just enough to see that it works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Backend = Literal["responses", "threads", "chat"]
BACKENDS: tuple[Backend, ...] = ("responses", "threads", "chat")

TEXT = "What is the weather like in Reykjavik today?"
TURNS_PER_THREAD = 20
"""So that a thread is as long as one between people and an assistant, and no row measures a longer one than another."""
PAUSE_SECONDS = 0.005
"""Between two lone turns: what a server does after its answer must not be in the next one's time."""
CALLERS = 50
IN_FLIGHT = 1000
ARRIVALS_PER_SECOND = 200.0
"""At which the turns in flight are handed in."""
CHUNK_SECONDS = 0.01
"""Between two chunks of a reply, where the first token is timed."""
THINK_SECONDS = 600.0
"""Before a reply, where turns are held in flight: longer than the measurement."""
SLACK_IN_FLIGHT = 500
SLACK_RATE = 100.0
"""Events a second, on a plan, while those wait."""


@dataclass(frozen=True)
class Plan:
    """Sizes of one run."""

    lone_turns: int
    """Of each kind, on each side."""
    rounds: int
    """How often each server is loaded, in turns; the median counts."""
    load_seconds: float
    patient: bool
    """Whether the program that sleeps before it looks is loaded too. It takes its time."""
    rates: tuple[float, ...]
    """Turns per second that are sent on a plan, whether or not the server keeps up."""
    rate_seconds: float
    first_tokens: int
    held_by: tuple[Backend, ...]
    """Backends with which turns are held in flight."""
    held_quietly: tuple[Backend, ...]
    """Backends with which they are held a second time, with nobody waiting for them."""
    slack_events: int
    """Written by people as fast as they are acknowledged, while runs wait."""
    slack_bursts: tuple[int, ...]
    """Direct messages that are to be answered, in each burst."""
    telegram_burst: int
    """Messages that are to be answered, each in a chat of its own."""
    free_turns: int
    """For several processes, when the assistant answers at once."""
    waiting_turns: int
    """When it only waits, and each process has little room."""
    crowded_turns: int
    """When it only waits, and each process has much room."""
    table_turns: int
    """In a full table."""
    table_messages: int
    """That come into it, and into a table with few turns, for each median."""
    sqlite_too: bool
    """Whether a table in SQLite is filled as well."""


FULL = Plan(
    lone_turns=250,
    rounds=3,
    load_seconds=4.0,
    patient=True,
    rates=(40.0, 80.0),
    rate_seconds=6.0,
    first_tokens=80,
    held_by=BACKENDS,
    held_quietly=("responses",),
    slack_events=900,
    slack_bursts=(600, 1000),
    telegram_burst=1000,
    free_turns=3200,
    waiting_turns=720,
    crowded_turns=4000,
    table_turns=1_000_000,
    table_messages=400,
    sqlite_too=True,
)
QUICK = Plan(
    lone_turns=40,
    rounds=1,
    load_seconds=2.0,
    patient=False,
    rates=(40.0,),
    rate_seconds=2.0,
    first_tokens=15,
    held_by=("responses",),
    held_quietly=(),
    slack_events=300,
    slack_bursts=(600,),
    telegram_burst=200,
    free_turns=960,
    waiting_turns=240,
    crowded_turns=1200,
    table_turns=100_000,
    table_messages=100,
    sqlite_too=False,
)
