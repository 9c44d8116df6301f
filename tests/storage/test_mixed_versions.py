"""Workers of the released version and of this one share a PostgreSQL database, and together lose and repeat nothing."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from gateway.domain.conversations import Claim
from gateway.domain.errors import LeaseLost
from gateway.domain.models import ConversationKey, Message, RunId, ThreadId, Turn, TurnState, Usage
from gateway.ports.leased_writes import FinishTurn, LeasedWrite, RecordOutcome, ReleaseLease, SetPostedMessages, SetRun
from gateway.ports.leased_writes import SetThread as SetThreadWrite
from storage import migrations
from storage.migrations import REVISIONS, SchemaStatus, schema_status, upgrade
from storage.store import SqlStore
from tests import postgres
from tests.contracts.store_helpers import PLATFORM, enqueue_one, new_turn
from tests.storage.released_worker import LeaseLostInReleased, ReleasedClaim, ReleasedWorker

RELEASED_REVISION = "0004"
LEASE_SECONDS = 60.0
"""Longer than the test, so that a lease only expires when the test ends it."""
CHANNELS = 6
BEFORE_UPGRADE = 60
"""Messages that are sent while only the released version runs."""
TOTAL = 240
TAKEOVERS = 4
"""How often each version pauses after it abandoned a turn, so that the other version takes over for certain."""
WORKERS = 3
"""Threads of each version."""


class CurrentWorker:
    """A SqlStore with the same methods as ReleasedWorker."""

    version = "new"

    def __init__(self, url: str) -> None:
        self.store = SqlStore(url, lease_seconds=LEASE_SECONDS)

    def close(self) -> None:
        self.store.close()

    def enqueue(self, channel: str, message_id: str) -> bool:
        message = Message(ConversationKey(PLATFORM, "", channel), message_id, "Hello")
        return enqueue_one(self.store, message, new_turn(), received_by=self.version).is_new

    def claim(self, owner: str) -> Held | None:
        return next(map(Held, self.store.claim(owner, [PLATFORM], 1)), None)

    def renew(self, owner: str, conversation: int) -> None:
        self.store.renew_leases(owner, [conversation])

    def set_thread(self, held: Held, thread: str) -> None:
        self._write(held, SetThreadWrite(held.claim.lease, ThreadId(thread), "b"))

    def set_run(self, held: Held, run_id: str) -> None:
        self._write(held, SetRun(held.claim.lease, held.claim.turn, RunId(run_id)))

    def record_outcome(self, held: Held, reply: str) -> None:
        self._write(held, RecordOutcome(held.claim.lease, held.claim.turn, reply, Usage(1, 2)))

    def set_posted_messages(self, held: Held, posted: str) -> None:
        self._write(held, SetPostedMessages(held.claim.lease, held.claim.turn, (posted,)))

    def finish(self, held: Held, *, claim_next: bool) -> Held | None:
        following = self._write(held, FinishTurn(held.claim.lease, held.claim.turn, claim_next=claim_next))
        return Held(following) if isinstance(following, Claim) else None

    def release(self, held: Held) -> None:
        self._write(held, ReleaseLease(held.claim.lease))

    def _write(self, held: Held, write: LeasedWrite) -> Turn | Claim | None:
        (result,) = self.store.apply_writes([write])
        if isinstance(result, LeaseLost):
            raise result
        if isinstance(result, Turn):
            held.claim = replace(held.claim, turn=result)
        return result


class Held:
    """A Claim with the attributes of ReleasedClaim."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.conversation = claim.conversation.id
        self.turn = claim.turn.id
        self.thread = claim.conversation.thread_id
        self.answered = claim.turn.state.is_resolved


Worker = Any
"""ReleasedWorker or CurrentWorker."""
AnyClaim = ReleasedClaim | Held


class MixedCrew:
    """Threads of both versions that send and process messages; some turns are abandoned and taken over."""

    def __init__(self, url: str) -> None:
        self.url = url.replace("+psycopg", "")
        self.changed = threading.Condition()
        self.finished: list[str] = []
        self.sent_new: list[str] = []
        self.abandoned: dict[int, tuple[Worker, AnyClaim]] = {}
        self.taken_over: Counter[tuple[str, str]] = Counter()
        self.both_run = False
        self.paused = ""
        """The version that claims nothing until the other one has taken over what it abandoned."""
        self.deadline = time.monotonic() + 45

    @property
    def is_running(self) -> bool:
        """Whether work remains. Ends at the deadline, so that the test fails instead of hanging if a turn is lost."""
        return len(self.finished) < TOTAL and time.monotonic() < self.deadline

    def wait_for_finished(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.finished) >= count or not self.deadline, timeout=20)

    def stop(self) -> None:
        """Makes all threads end after an error in one of them."""
        with self.changed:
            self.deadline = 0.0
            self.changed.notify_all()

    def send(self, worker: Worker, numbers: range) -> None:
        """Sends messages of these numbers; the platform delivers every fifth to both versions."""
        try:
            for number in numbers:
                if number % 5 == 0 or (number % 2 == 0) == (worker.version == "old"):
                    self.send_one(worker, number)
        except BaseException:
            self.stop()
            raise

    def send_one(self, worker: Worker, number: int) -> None:
        if worker.enqueue(f"{number % CHANNELS}", f"m{number}"):
            with self.changed:
                self.sent_new.append(f"m{number}")
                self.changed.notify_all()

    def work(self, worker: Worker, seed: int) -> None:
        chance = random.Random(seed)
        try:
            while self.is_running:
                with self.changed:
                    self.changed.wait_for(lambda: self.paused != worker.version or not self.is_running, timeout=30)
                claim = worker.claim(worker.version)  # one owner for all threads, like one gateway process
                if claim is None:
                    with self.changed:
                        self.changed.wait(0.01)
                elif chance.random() < 0.1:
                    worker.renew(worker.version, claim.conversation)
                while claim is not None:
                    claim = self.process(worker, claim, chance)
        except BaseException:
            self.stop()
            raise

    def process(self, worker: Worker, claim: AnyClaim, chance: random.Random) -> AnyClaim | None:
        """Processes a turn; returns the claim on the next one, if it was claimed."""
        self.refuse_stale_writes(worker, claim)
        if chance.random() < 0.05:
            worker.release(claim)
            return None
        stop_after = chance.randrange(4) if chance.random() < 0.15 else None
        steps: list[Callable[[], None]] = [
            lambda: None if claim.thread else worker.set_thread(claim, f"thread {claim.conversation}"),
            lambda: worker.set_run(claim, f"run {claim.turn}"),
            lambda: None if claim.answered else worker.record_outcome(claim, worker.version),
            lambda: worker.set_posted_messages(claim, worker.version),
        ]
        for number, step in enumerate(steps):
            step()
            if number == stop_after:
                self.abandon(worker, claim)
                return None
        following: AnyClaim | None = worker.finish(claim, claim_next=chance.random() < 0.5)
        with self.changed:
            self.finished.append(worker.version)
            self.changed.notify_all()
        return following

    def abandon(self, worker: Worker, claim: AnyClaim) -> None:
        """Lets the lease expire in the middle of the turn."""
        with self.changed:
            self.abandoned[claim.conversation] = worker, claim
            other = "new" if worker.version == "old" else "old"
            if self.both_run and not self.paused and self.taken_over[worker.version, other] < TAKEOVERS:
                self.paused = worker.version
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("UPDATE conversations SET next_at = 1 WHERE id = %s", [claim.conversation])

    def refuse_stale_writes(self, worker: Worker, claim: AnyClaim) -> None:
        """If the turn was abandoned before, its former worker goes on now, and each of its writes must be refused."""
        former, stale = self.abandoned.pop(claim.conversation, (None, claim))
        if former is None:
            return
        with self.changed:
            self.taken_over[former.version, worker.version] += 1
            if self.paused == former.version != worker.version:
                self.paused = ""
                self.changed.notify_all()
        writes: tuple[Callable[[], object], ...] = (
            lambda: former.set_thread(stale, "stale"),
            lambda: former.set_run(stale, "stale"),
            lambda: former.record_outcome(stale, "stale"),
            lambda: former.set_posted_messages(stale, "stale"),
            lambda: former.finish(stale, claim_next=True),
            lambda: former.release(stale),
        )
        for write in writes:
            with pytest.raises((LeaseLost, LeaseLostInReleased)):
                write()


WITNESS = """
CREATE TABLE witness (at bigserial, conversation_id bigint, seq integer, event text);
CREATE FUNCTION note_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness (conversation_id, seq, event) VALUES (NEW.conversation_id, NEW.seq, TG_ARGV[0]);
    RETURN NULL;
END $$;
CREATE TRIGGER note_answer AFTER UPDATE ON turns FOR EACH ROW
    WHEN (OLD.answered_at IS DISTINCT FROM NEW.answered_at OR OLD.reply IS DISTINCT FROM NEW.reply)
    EXECUTE FUNCTION note_event('answered');
CREATE TRIGGER note_delivery AFTER UPDATE ON turns FOR EACH ROW
    WHEN (OLD.delivered_at IS DISTINCT FROM NEW.delivered_at)
    EXECUTE FUNCTION note_event('delivered');
"""
"""Lets the database itself note each outcome and each delivery, whichever version writes it."""


@pytest.fixture
def released_url(postgres_sockets: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns the URL of a database as the released version left it."""
    url = postgres.new_database(postgres_sockets)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "REVISIONS", REVISIONS[: REVISIONS.index(RELEASED_REVISION) + 1])
        upgrade(url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(WITNESS.encode())
    return url


@pytest.fixture
def old(released_url: str) -> Iterator[ReleasedWorker]:
    worker = ReleasedWorker(released_url, PLATFORM, LEASE_SECONDS)
    yield worker
    worker.close()


@pytest.fixture
def new(released_url: str) -> Iterator[CurrentWorker]:
    worker = CurrentWorker(released_url)
    yield worker
    worker.close()


def test_both_versions_process_every_message_once_in_order(
    released_url: str, old: ReleasedWorker, new: CurrentWorker
) -> None:
    crew = MixedCrew(released_url)
    with ThreadPoolExecutor(2 * WORKERS + 3) as pool:
        running: list[Future[None]] = [pool.submit(crew.work, old, seed) for seed in range(WORKERS)]
        running += [pool.submit(crew.send, old, range(0, 2 * BEFORE_UPGRADE, 2))]
        crew.wait_for_finished(BEFORE_UPGRADE // 4)
        upgrade(released_url)
        assert schema_status(released_url) is SchemaStatus.CURRENT
        crew.both_run = True
        running += [pool.submit(crew.work, new, seed) for seed in range(WORKERS, 2 * WORKERS)]
        running += [pool.submit(crew.send, new, range(1, 2 * BEFORE_UPGRADE, 2))]
        running += [pool.submit(crew.send, each, range(2 * BEFORE_UPGRADE, TOTAL)) for each in (old, new)]
    for each in running:
        each.result()
    assert sorted(crew.sent_new) == sorted(f"m{number}" for number in range(TOTAL))
    check_every_turn(released_url, new.store)
    assert Counter(crew.finished).total() == TOTAL
    assert set(crew.finished) == {"old", "new"}
    assert crew.taken_over["old", "new"]
    assert crew.taken_over["new", "old"]
    assert not crew.abandoned


def check_every_turn(url: str, store: SqlStore) -> None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        conversations = connection.execute("SELECT id, head, tail, owner, next_at FROM conversations").fetchall()
        events = connection.execute("SELECT conversation_id, seq, event FROM witness ORDER BY at").fetchall()
    assert len(conversations) == CHANNELS
    assert sum(tail for _, _, tail, _, _ in conversations) == TOTAL
    for conversation, head, tail, owner, next_at in conversations:
        assert (head, owner, next_at) == (tail, None, None)
        noted = [(seq, event) for number, seq, event in events if number == conversation]
        assert noted == [(seq, event) for seq in range(1, tail + 1) for event in ("answered", "delivered")]
        turns = store.transcript(conversation)
        assert [turn.seq for turn in turns] == list(range(1, tail + 1))
        assert {turn.state for turn in turns} == {TurnState.DELIVERED}
        assert {turn.reply for turn in turns} <= {"old", "new"}
        assert {turn.run_id for turn in turns} == {f"run {turn.id}" for turn in turns}
