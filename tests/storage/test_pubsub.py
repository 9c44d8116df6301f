"""Events between processes through PostgreSQL: sent to processes that need them, and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import psycopg
import pytest

from gateway.domain.models import Failure, Message, MessageKind, RunId, TurnId
from gateway.ports.cluster import ClusterEvent, EventKind
from gateway.ports.leased_writes import RecordOutcome, ReleaseLease, SetRun
from storage import pubsub
from storage.pubsub import CHANNEL, DUE
from storage.store import SqlStore
from tests import postgres
from tests.contracts.store_helpers import (
    FAILURE,
    answer,
    apply_write,
    claim_one,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    finish,
    message,
    new_turn,
)

END = ClusterEvent(EventKind.CANCELLED, TurnId("end"))


class EventListener:
    """Collects the events that another process receives."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")
        self._heard: SimpleQueue[ClusterEvent] = SimpleQueue()
        self.hear = self._heard.put

    def next(self) -> ClusterEvent:
        return self._heard.get(timeout=20)

    def all(self) -> list[ClusterEvent]:
        """Returns the events since the last call, in commit order; none is in flight any more."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, "cancelled end"))
        return list(iter(self.next, END))


@pytest.fixture(scope="module")
def url(postgres_sockets: str, postgres_url: str) -> str:
    return postgres_url


@contextmanager
def listening(store: SqlStore, listener: EventListener) -> Iterator[threading.Thread]:
    stopped = threading.Event()
    thread = threading.Thread(target=store.listen, args=(listener.hear, stopped))
    thread.start()
    try:
        assert listener.next() == DUE
        yield thread
    finally:
        stopped.set()
        thread.join(timeout=20)
    assert not thread.is_alive()


@pytest.fixture
def database_url(url: str) -> str:
    postgres.delete_all_rows(url)
    return url


@pytest.fixture
def listener(peer: SqlStore, database_url: str) -> Iterator[EventListener]:
    listener = EventListener(database_url)
    with listening(peer, listener):
        yield listener


def awaited(store: SqlStore, channel: str = "loft", owner: str | None = None, taker: str = "web") -> TurnId:
    return enqueue_one(
        store, message(channel, has_waiting_caller=True), new_turn(), owner=owner, received_by=taker
    ).turn.id


class TestDue:
    def test_unclaimed_turn_publishes_due(self, store: SqlStore, listener: EventListener) -> None:
        enqueue(store)
        assert listener.all() == [DUE]

    def test_turn_behind_others_publishes_nothing(self, store: SqlStore, listener: EventListener) -> None:
        enqueue_and_claim(store, "held")
        enqueue(store, "waits")
        listener.all()
        for channel in ("held", "waits"):
            enqueue(store, channel)
            enqueue(store, channel, owner="one")
        assert listener.all() == []

    def test_claimed_or_debounced_turn_publishes_nothing(self, store: SqlStore, listener: EventListener) -> None:
        claim = enqueue_and_claim(store)
        enqueue_one(store, message("album", debounce_seconds=60.0), new_turn())
        store.apply_writes([SetRun(claim.lease, claim.turn, RunId("r")), answer(claim), finish(claim)])
        assert listener.all() == []

    def test_released_lease_publishes_due(self, store: SqlStore, listener: EventListener) -> None:
        claims = [enqueue_and_claim(store, channel) for channel in "abc"]
        apply_write(store, ReleaseLease(claims[0].lease))
        assert listener.all() == [DUE]
        apply_write(store, ReleaseLease(claims[1].lease, delay_seconds=5.0))
        assert listener.all() == []
        enqueue(store, "c")
        assert listener.all() == []
        store.apply_writes([answer(claims[2]), finish(claims[2], keep=False)])
        assert listener.all() == [DUE]

    def test_finishing_the_last_turn_publishes_nothing(self, store: SqlStore, listener: EventListener) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([answer(claim), finish(claim, keep=False)])
        assert listener.all() == []

    def test_equal_events_of_one_transaction_are_published_once(self, store: SqlStore, listener: EventListener) -> None:
        claims = [enqueue_and_claim(store, f"{number}") for number in range(5)]
        store.apply_writes([ReleaseLease(claim.lease) for claim in claims])
        assert listener.all() == [DUE]

    def test_failed_enqueue_and_retry_in_idle_conversation_publish_due(
        self, store: SqlStore, listener: EventListener
    ) -> None:
        refused = store.enqueue_failed(message(), new_turn(), FAILURE)
        assert refused is not None
        assert listener.all() == [DUE]
        store.retry_turn(refused.id, new_turn())
        store.enqueue_failed(message(), new_turn(), Failure("other", "Not now."))
        assert listener.all() == []
        first = claim_one(store)
        apply_write(store, finish(first, keep=False))
        assert listener.all() == [DUE]

    def test_rolled_back_transaction_publishes_nothing(self, store: SqlStore, listener: EventListener) -> None:
        told = message()
        enqueue_one(store, told, new_turn(), owner="one")
        enqueue_one(store, Message(message("other").key, told.message_id, "Hello"), new_turn())
        assert listener.all() == []


class TestDecided:
    def test_waiting_process_is_told_of_outcome_by_another(self, store: SqlStore, listener: EventListener) -> None:
        turns = [awaited(store, channel) for channel in "ab"]
        listener.all()
        claims = {claim.turn.id: claim for claim in store.claim("worker", ["pigeon"], 2)}
        first, second = (claims[turn] for turn in turns)
        store.apply_writes([answer(first), RecordOutcome(second.lease, second.turn, failure=FAILURE)])
        assert listener.all() == [ClusterEvent(EventKind.RESOLVED, turn) for turn in turns]
        store.apply_writes([answer(first), finish(first), finish(second)])
        assert listener.all() == []

    def test_outcome_without_waiting_caller_publishes_nothing(self, store: SqlStore, listener: EventListener) -> None:
        claim = enqueue_one(store, message(), new_turn(), owner="worker", received_by="web").claim
        own = enqueue_one(
            store, message("own", has_waiting_caller=True), new_turn(), owner="web", received_by="web"
        ).claim
        assert claim is not None
        assert own is not None
        store.apply_writes([answer(claim), finish(claim), answer(own), finish(own)])
        assert listener.all() == []

    def test_waiting_process_is_told_of_cancellation(self, store: SqlStore, listener: EventListener) -> None:
        first, second = awaited(store), awaited(store)
        listener.all()
        store.cancel_turn(first)
        assert listener.all() == [ClusterEvent(EventKind.RESOLVED, first)]
        enqueue_one(store, message(kind=MessageKind.STOP), new_turn())
        assert listener.all() == [ClusterEvent(EventKind.RESOLVED, second)]
        store.cancel_turn(first)
        assert listener.all() == []


class TestCancelled:
    def test_running_process_is_told_of_cancellation(self, store: SqlStore, listener: EventListener) -> None:
        claim, stopped = enqueue_and_claim(store), enqueue_and_claim(store, "other")
        waiting = enqueue(store).turn
        store.cancel_turn(waiting.id)
        assert listener.all() == []
        store.cancel_turn(claim.turn.id)
        assert listener.all() == [ClusterEvent(EventKind.CANCELLED, claim.turn.id)]
        enqueue(store, "other")
        enqueue_one(store, message("other", kind=MessageKind.STOP), new_turn())
        assert listener.all() == [ClusterEvent(EventKind.CANCELLED, stopped.turn.id)]


class TestListening:
    def test_broken_listen_connection_is_reopened(
        self, store: SqlStore, listener: EventListener, database_url: str
    ) -> None:
        listening = "datname = current_database() AND query LIKE 'LISTEN%'"  # other tests listen on this server too
        kill = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {listening}"
        for _ in range(2):
            with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute(kill)
            assert listener.next() == DUE
        claim = enqueue_and_claim(store)
        store.cancel_turn(claim.turn.id)
        assert listener.all() == [ClusterEvent(EventKind.CANCELLED, claim.turn.id)]

    def test_unknown_event_kind_is_ignored(self, listener: EventListener, database_url: str) -> None:
        with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, 'moon full'), pg_notify(%s, '')", (CHANNEL, CHANNEL))
        assert listener.all() == []

    def test_unreachable_server_does_not_end_listening(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stopped, tried = threading.Event(), 0

        def connect() -> psycopg.Connection:
            nonlocal tried
            tried += 1
            if tried == 3:
                stopped.set()
            raise psycopg.OperationalError("password hunter2")

        monkeypatch.setattr(pubsub, "RECONNECT_DELAYS", (0.0, 0.01))
        pubsub.listen(connect, lambda notice: pytest.fail(f"{notice}"), stopped)
        assert tried == 3

    def test_failing_callback_is_called_again_after_reconnect(
        self, peer: SqlStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stopped, heard = threading.Event(), SimpleQueue[ClusterEvent]()

        def hear(notice: ClusterEvent) -> None:
            heard.put(notice)
            if heard.qsize() < 3:
                raise RuntimeError("not now")
            stopped.set()

        monkeypatch.setattr(pubsub, "RECONNECT_DELAYS", (0.0,))
        peer.listen(hear, stopped)
        assert [heard.get() for _ in range(3)] == [DUE] * 3


def test_pool_size_limits_connections_under_load(database_url: str) -> None:
    store = SqlStore(f"{database_url}&pool_size=3&application_name=counted")
    listener, most = EventListener(database_url), 0

    def work(number: int) -> None:
        for _ in range(10):
            claim = enqueue_and_claim(store, f"{number}")
            store.apply_writes([answer(claim), finish(claim)])

    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'"
    with (
        listening(store, listener),
        psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection,
    ):
        workers = [threading.Thread(target=work, args=(number,)) for number in range(12)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            most = max(most, connection.execute(count).fetchall()[0][0])
    assert 2 <= most <= 3 + 1
    store.close()
