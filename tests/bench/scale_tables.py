"""Fills databases with many turns, and times one message there."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter

from sqlalchemy import create_engine, select, text

from gateway.coordination.shares import SharedPlaces
from gateway.domain.conversations import Claim
from gateway.domain.models import ConversationKey, Message, TurnId
from gateway.domain.shares import Share
from gateway.ports.leased_writes import FinishTurn, RecordOutcome
from storage.clock import clock
from storage.store import SqlStore
from tests.bench.plan import TEXT
from tests.bench.scale_core import PLATFORM
from tests.contracts.store_helpers import enqueue_one

WORKER_NAME = "bench"
MAX_RUNS, CALLER_SHARE = 60, 0.8
TURNS_PER_CONVERSATION = 10
"""Turns in each conversation."""
SHUFFLED_NUMBER = "(CAST(i AS BIGINT) * 2654435761 % 4294967296)"
"""Distinct numbers in pseudo-random order, like ids."""
NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count)"
CONVERSATIONS = f"""
INSERT INTO conversations
    (platform, workspace, channel, topic, user_id, thread_id, backend, head, tail, epoch, created_at)
{NUMBERS}
SELECT '{PLATFORM}', '', 'c' || i, '', '', 'thread_' || {SHUFFLED_NUMBER}, 'waiting', {TURNS_PER_CONVERSATION},
    {TURNS_PER_CONVERSATION}, 1, i
FROM numbers
"""
TURNS = f"""
INSERT INTO turns
    (conversation_id, seq, id, platform, message_id, text, author, address, state, reply,
     received_at, started_at, answered_at, delivered_at)
{NUMBERS}
SELECT (i - 1) % (:count / {TURNS_PER_CONVERSATION}) + 1, (i - 1) / (:count / {TURNS_PER_CONVERSATION}) + 1,
    'turn_' || {SHUFFLED_NUMBER}, '{PLATFORM}', 'message_' || {SHUFFLED_NUMBER}, '{TEXT}', 'ann', '{{}}', 'delivered',
    'You said: {TEXT}', i, i, i + 1, i + 1
FROM numbers
"""
"""The first turn of every conversation, then the second ones, and so on, as in real use."""

FLOOD = """
UPDATE conversations SET tail = tail + 1, next_at = :at + id * 0.000001, share = 'flood'
WHERE id > (SELECT max(id) - :count FROM conversations)
"""
FLOOD_TURNS = f"""
INSERT INTO turns (conversation_id, seq, id, platform, message_id, text, author, address, state, reply, received_at)
SELECT id, tail, 'flood_' || id, '{PLATFORM}', 'flood_' || id, '{TEXT}', 'flood', '{{}}', 'queued', '', :at
FROM conversations WHERE share = 'flood'
"""
"""One caller's messages that all wait, in as many conversations."""

AcceptAndClaimTimes = tuple[list[float], list[float]]
"""Milliseconds to accept, and milliseconds to claim."""


@dataclass
class FilledTable:
    """A database in which every conversation has finished turns."""

    store: SqlStore
    conversations: int
    rng: Random

    def time_one_message(self) -> tuple[float, float]:
        """Accepts a message and claims it; returns the milliseconds of both. Then answers and finishes the turn."""
        key = ConversationKey(PLATFORM, channel=f"c{self.rng.randint(1, self.conversations)}")
        name = secrets.token_hex(8)
        begun = perf_counter()
        enqueue_one(self.store, Message(key, name, TEXT, "ann"), TurnId(f"turn_{name}"))
        recorded = perf_counter()
        (claim,) = self.store.claim(WORKER_NAME, (PLATFORM,), 1)
        claimed = perf_counter()
        self._finish(claim)
        return (recorded - begun) * 1000, (claimed - recorded) * 1000

    def add_flood(self, count: int) -> None:
        """Lets one caller have so many messages that wait, each in a conversation of its own."""
        with self.store._database.transaction() as connection:
            at = connection.execute(select(clock())).scalar_one()
            connection.execute(text(FLOOD), {"count": count, "at": at - 3600.0})
            connection.execute(text(FLOOD_TURNS), {"at": at - 3600.0})

    def time_one_claim_beside_a_flood(self) -> float:
        """Returns the milliseconds of a claim of another caller's message, while the flood holds all it may."""
        name = secrets.token_hex(8)
        key = ConversationKey(PLATFORM, channel=f"late-{name}")
        enqueue_one(self.store, Message(key, name, TEXT, "late"), TurnId(f"turn_{name}"))
        places = SharedPlaces(MAX_RUNS, CALLER_SHARE, {Share("flood"): int(MAX_RUNS * CALLER_SHARE)})
        begun = perf_counter()
        (claim,) = self.store.claim(WORKER_NAME, (PLATFORM,), MAX_RUNS, places)
        ms = (perf_counter() - begun) * 1000
        self._finish(claim)
        return ms

    def _finish(self, claim: Claim) -> None:
        self.store.apply_writes([RecordOutcome(claim.lease, claim.turn, f"You said: {TEXT}")])
        self.store.apply_writes([FinishTurn(claim.lease, claim.turn)])


def fill_table(url: str, turns: int) -> FilledTable:
    """Fills the empty tables of a database with so many turns."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(CONVERSATIONS), {"count": turns // TURNS_PER_CONVERSATION})
        connection.execute(text(TURNS), {"count": turns})
    if engine.name == "postgresql":  # autovacuum would do this a little later
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
    engine.dispose()
    return FilledTable(SqlStore(url), turns // TURNS_PER_CONVERSATION, Random(turns))


def measure_in_turns(tables: Sequence[FilledTable], messages: int, warm_up: int) -> list[AcceptAndClaimTimes]:
    """Times messages in each table, alternating, so that noise affects all alike."""
    samples: list[AcceptAndClaimTimes] = [([], []) for _ in tables]
    for number in range(-warm_up, messages):
        for table, (accepted, claimed) in zip(tables, samples, strict=True):
            ms = table.time_one_message()
            if number >= 0:
                accepted.append(ms[0])
                claimed.append(ms[1])
    return samples
