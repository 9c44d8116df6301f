"""Databases with many turns in them, and what one message costs there."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter

from sqlalchemy import create_engine, text

from gateway.messages import Claim, ConversationKey, Message, TurnId
from gateway.storing import Finished, Settled
from storage.store import SqlStore
from tests.bench.plan import TEXT
from tests.bench.scale_core import PLATFORM

OWNER = "bench"
TURNS_EACH = 10
"""Of one conversation."""
SCATTERED = "(CAST(i AS BIGINT) * 2654435761 % 4294967296)"
"""Numbers in no order, each once: as ids are."""
NUMBERS = "WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count)"
CONVERSATIONS = f"""
INSERT INTO conversations
    (platform, workspace, channel, topic, user_id, thread_id, backend, head, tail, epoch, created_at)
{NUMBERS}
SELECT '{PLATFORM}', '', 'c' || i, '', '', 'thread_' || {SCATTERED}, 'waiting', {TURNS_EACH}, {TURNS_EACH}, 1, i
FROM numbers
"""
TURNS = f"""
INSERT INTO turns
    (conversation_id, seq, id, platform, message_id, text, author, address, state, reply,
     received_at, started_at, answered_at, delivered_at)
{NUMBERS}
SELECT (i - 1) % (:count / {TURNS_EACH}) + 1, (i - 1) / (:count / {TURNS_EACH}) + 1,
    'turn_' || {SCATTERED}, '{PLATFORM}', 'message_' || {SCATTERED}, '{TEXT}', 'ann', '{{}}', 'delivered',
    'You said: {TEXT}', i, i, i + 1, i + 1
FROM numbers
"""
"""Everybody's first turn, then everybody's second one, and so on: as they come."""

Samples = tuple[list[float], list[float]]
"""Milliseconds to accept, and to claim."""


@dataclass
class FullTable:
    """A database in which every conversation has had its turns, and one more message comes now and then."""

    store: SqlStore
    conversations: int
    dice: Random

    def message(self) -> tuple[float, float]:
        """Milliseconds to accept one, and to claim it. It is settled and finished before this returns."""
        key = ConversationKey(PLATFORM, channel=f"c{self.dice.randint(1, self.conversations)}")
        name = secrets.token_hex(8)
        begun = perf_counter()
        self.store.record(Message(key, name, TEXT, "ann"), TurnId(f"turn_{name}"))
        recorded = perf_counter()
        (claim,) = self.store.claim(OWNER, (PLATFORM,), 1)
        claimed = perf_counter()
        self._finish(claim)
        return (recorded - begun) * 1000, (claimed - recorded) * 1000

    def _finish(self, claim: Claim) -> None:
        self.store.write([Settled(claim.lease, claim.turn.id, f"You said: {TEXT}")])
        self.store.write([Finished(claim.lease, claim.turn.id)])


def filled(url: str, turns: int) -> FullTable:
    """The database with so many turns in it; our tables are there, and empty."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(CONVERSATIONS), {"count": turns // TURNS_EACH})
        connection.execute(text(TURNS), {"count": turns})
    if engine.name == "postgresql":  # what it would do by itself, a little later
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
    engine.dispose()
    return FullTable(SqlStore(url), turns // TURNS_EACH, Random(turns))


def side_by_side(tables: Sequence[FullTable], messages: int, warm_up: int) -> list[Samples]:
    """A message in each, in turns, so that noise falls on all alike."""
    samples: list[Samples] = [([], []) for _ in tables]
    for number in range(-warm_up, messages):
        for table, (accepted, claimed) in zip(tables, samples, strict=True):
            ms = table.message()
            if number >= 0:
                accepted.append(ms[0])
                claimed.append(ms[1])
    return samples
