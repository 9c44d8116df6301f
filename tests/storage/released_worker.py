"""Works on a PostgreSQL database as version 0.1.0 does, with the statements of released_0_1_0."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.storage import released_0_1_0 as sql

Row = dict[str, Any]


@dataclass(frozen=True)
class ReleasedClaim:
    conversation: int
    owner: str
    epoch: int
    turn: str
    thread: str | None
    answered: bool


class LeaseLostInReleased(Exception):
    """The lease is no longer valid."""


class ReleasedWorker:
    """The store of version 0.1.0, reduced to one conversation per call. Each thread uses a connection of its own."""

    version = "old"

    def __init__(self, url: str, platform: str, lease_seconds: float) -> None:
        self._url, self._platform, self._lease_seconds = url.replace("+psycopg", ""), platform, lease_seconds
        self._local = threading.local()
        self._connections: list[psycopg.Connection[Row]] = []

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def enqueue(self, channel: str, message_id: str) -> bool:
        """Returns False when the message was enqueued before."""
        key = {"platform": self._platform, "workspace": "", "channel": channel, "topic": "", "user_id": ""}
        new = {"head": 0, "tail": 1, "wait": 0.0, "holder": None, "claims": 0}
        with self._transaction() as transaction:
            (slot,) = self._run(sql.APPEND_TURN, key | new)
            turn = {
                "conversation_id": slot["id"],
                "seq": slot["tail"],
                "id": uuid.uuid4().hex,
                "platform": self._platform,
                "message_id": message_id,
                "text": "Hello",
                "author": "",
                "address": "{}",
                "state": "queued",
                "attempts": 0,
                "trail": json.dumps([(slot["at"], "received by", self.version)]),
                "received_at": slot["at"],
                "started_at": None,
            }
            if self._connection.execute(sql.INSERT_TURN.encode(), turn).rowcount == 0:
                raise psycopg.Rollback(transaction)
            if slot["tail"] == slot["head"] + 1:
                self._notify()
            return True
        assert self._run(sql.FIND_BY_MESSAGE, {"on": self._platform, "message": message_id})
        return False

    def claim(self, owner: str) -> ReleasedClaim | None:
        wanted = {"holder": owner, "platforms_1": self._platform, "most": 1, "wait": self._lease_seconds}
        with self._transaction():
            for conversation in self._run(sql.CLAIM_DUE, wanted):
                turns = self._next_turns(conversation["id"])
                claim, begun = _claimed(conversation, turns[conversation["head"] + 1], owner)
                self._save(sql.SAVE_STEP_WITH_TRAIL, begun)
                return claim
        return None

    def renew(self, owner: str, conversation: int) -> None:
        mine = {"holder": owner, "wait": self._lease_seconds, "among_1": conversation}
        if self._run(sql.RENEW_SOME, mine):
            self._run(sql.CANCELLED, {"holder": owner})

    # ---------------------------------------------------------------- writes of a lease holder

    def set_thread(self, claim: ReleasedClaim, thread: str) -> None:
        with self._transaction():
            self._lock(claim)
            self._run(sql.SET_THREAD, {"conversation": claim.conversation, "thread": thread, "opener": "b"})

    def set_run(self, claim: ReleasedClaim, run_id: str) -> None:
        with self._current_turn(claim) as (_, turn, _):
            self._save(sql.SAVE_STEP_WITH_TRAIL, turn | {"run_id": run_id, "trail": _appended(turn, "run", run_id)})

    def record_outcome(self, claim: ReleasedClaim, reply: str) -> None:
        with self._current_turn(claim) as (_, turn, _):
            if turn["state"] == "running":
                outcome = {"state": "answered", "reply": reply, "tokens_in": 1, "tokens_out": 2, "model": "m"}
                self._save(sql.SAVE_OUTCOME, turn | outcome | {"answered_at": turn["at"]})

    def set_posted_messages(self, claim: ReleasedClaim, posted: str) -> None:
        with self._current_turn(claim) as (_, turn, _):
            self._save(sql.SAVE_POSTED, turn | {"parts": json.dumps([posted])})

    def finish(self, claim: ReleasedClaim, *, claim_next: bool) -> ReleasedClaim | None:
        with self._current_turn(claim) as (conversation, turn, following):
            finished = turn | {"state": "delivered", "delivered_at": turn["at"]}
            head = turn["seq"]
            if following is None or not claim_next:
                self._save(sql.SAVE_STEP, finished)
                self._set_lease(claim, head, None, None if following is None else 0.0)
                return None
            after, begun = _claimed(conversation, following, claim.owner)
            self._save(sql.SAVE_STEP_WITH_TRAIL, finished, begun)
            self._set_lease(claim, head, claim.owner, self._lease_seconds)
            return after

    def release(self, claim: ReleasedClaim) -> None:
        with self._current_turn(claim) as (conversation, turn, _):
            attempts = turn["attempts"] - (turn["state"] == "running")
            changed = {"attempts": attempts, "trail": _appended(turn, "handed back by", claim.owner)}
            self._save(sql.SAVE_STEP_WITH_TRAIL, turn | changed)
            self._set_lease(claim, conversation["head"], None, 0.0)

    # ---------------------------------------------------------------- statements

    @property
    def _connection(self) -> psycopg.Connection[Row]:
        if not hasattr(self._local, "connection"):
            self._local.connection = psycopg.Connection[Row].connect(self._url, autocommit=True, row_factory=dict_row)
            self._connections.append(self._local.connection)
        connection: psycopg.Connection[Row] = self._local.connection
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Transaction]:
        with self._connection.transaction() as transaction:
            yield transaction

    def _run(self, statement: str, parameters: Row) -> list[Row]:
        cursor = self._connection.execute(statement.encode(), sql.CONSTANTS | parameters)
        return cursor.fetchall() if cursor.description else []

    def _notify(self) -> None:
        self._run(sql.NOTIFY, {"payloads": ["due"]})

    def _lock(self, claim: ReleasedClaim) -> Row:
        """Locks the conversation; raises LeaseLostInReleased."""
        (found,) = self._run(sql.LOCK, {"conversations_1": claim.conversation})
        if (found["owner"], found["epoch"]) != (claim.owner, claim.epoch):
            raise LeaseLostInReleased
        return found

    def _next_turns(self, conversation: int) -> dict[int, Row]:
        return {turn["seq"]: turn for turn in self._run(sql.NEXT_TURNS, {"conversations_1": conversation})}

    @contextmanager
    def _current_turn(self, claim: ReleasedClaim) -> Iterator[tuple[Row, Row, Row | None]]:
        """Yields the locked conversation, its current turn and the one after it, in a transaction."""
        with self._transaction():
            conversation = self._lock(claim)
            turns = self._next_turns(claim.conversation)
            current = turns[conversation["head"] + 1]
            assert current["id"] == claim.turn
            yield conversation, current, turns.get(conversation["head"] + 2)

    def _save(self, statement: str, *turns: Row) -> None:
        for turn in turns:
            self._run(statement, turn | {"conversation": turn["conversation_id"], "place": turn["seq"]})

    def _set_lease(self, claim: ReleasedClaim, head: int, owner: str | None, wait: float | None) -> None:
        lease = {"conversation": claim.conversation, "finished": head, "holder": owner, "wait": wait}
        self._run(sql.SET_LEASE, lease)
        if wait is not None and owner is None:
            self._notify()


def _appended(turn: Row, event: str, detail: str) -> str:
    """Returns the trail with one more entry; like the released code, keeps the first 8 and the newest of 40."""
    trail = [*json.loads(turn["trail"]), (turn["at"], event, detail)]
    return json.dumps(trail if len(trail) <= 40 else trail[:8] + trail[9:])


def _claimed(conversation: Row, turn: Row, owner: str) -> tuple[ReleasedClaim, Row]:
    answered = turn["state"] not in ("queued", "running")
    claim = ReleasedClaim(
        conversation["id"], owner, conversation["epoch"], turn["id"], conversation["thread_id"], answered
    )
    begun = turn | {"trail": _appended(turn, "claimed by", owner)}
    if not answered:
        started = turn["at"] if turn["started_at"] is None else turn["started_at"]
        begun |= {"state": "running", "attempts": turn["attempts"] + 1, "started_at": started}
    return claim, begun
