"""What processes tell each other through PostgreSQL: enough to wake whoever must know, and nothing beyond."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import psycopg
import pytest

from gateway.messages import Failure, Kind, Message, RunId, TurnId
from gateway.storing import News, Notice, Released, Settled, Started
from storage import notices
from storage.notices import CHANNEL, DUE
from storage.store import SqlStore
from tests import postgres
from tests.contracts.store_words import FAILURE, answer, begin, claim_one, finish, message, new_turn, say, write

END = Notice(News.CANCELLED, TurnId("end"))


class Ear:
    """What another process hears."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")
        self._heard: SimpleQueue[Notice] = SimpleQueue()
        self.hear = self._heard.put

    def next(self) -> Notice:
        return self._heard.get(timeout=20)

    def all(self) -> list[Notice]:
        """What was told since the last time; in the order of the commits, and nothing is on its way any more."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, "cancelled end"))
        return list(iter(self.next, END))


@pytest.fixture(scope="module")
def url(postgres_sockets: str, postgres_url: str) -> str:
    return postgres_url


@contextmanager
def listening(store: SqlStore, ear: Ear) -> Iterator[threading.Thread]:
    stopped = threading.Event()
    listener = threading.Thread(target=store.listen, args=(ear.hear, stopped))
    listener.start()
    try:
        assert ear.next() == DUE
        yield listener
    finally:
        stopped.set()
        listener.join(timeout=20)
    assert not listener.is_alive()


@pytest.fixture
def database_url(url: str) -> str:
    postgres.empty(url)
    return url


@pytest.fixture
def ear(peer: SqlStore, database_url: str) -> Iterator[Ear]:
    ear = Ear(database_url)
    with listening(peer, ear):
        yield ear


def awaited(store: SqlStore, channel: str = "loft", owner: str | None = None, taker: str = "web") -> TurnId:
    return store.record(message(channel, awaited=True), new_turn(), owner=owner, taker=taker).turn.id


class TestDue:
    def test_what_nobody_has_claimed_is_told(self, store: SqlStore, ear: Ear) -> None:
        say(store)
        assert ear.all() == [DUE]

    def test_what_comes_behind_others_is_not_told(self, store: SqlStore, ear: Ear) -> None:
        begin(store, "held")
        say(store, "waits")
        ear.all()
        for channel in ("held", "waits"):
            say(store, channel)
            say(store, channel, owner="one")
        assert ear.all() == []

    def test_what_is_claimed_or_still_to_wait_is_not_told(self, store: SqlStore, ear: Ear) -> None:
        claim = begin(store)
        store.record(message("album", wait=60.0), new_turn())
        store.write([Started(claim.lease, claim.turn.id, RunId("r")), answer(claim), finish(claim)])
        assert ear.all() == []

    def test_what_is_handed_back_is_told(self, store: SqlStore, ear: Ear) -> None:
        claims = [begin(store, channel) for channel in "abc"]
        write(store, Released(claims[0].lease))
        assert ear.all() == [DUE]
        write(store, Released(claims[1].lease, after=5.0))
        assert ear.all() == []
        say(store, "c")
        assert ear.all() == []
        store.write([answer(claims[2]), finish(claims[2], keep=False)])
        assert ear.all() == [DUE]

    def test_the_last_turn_of_a_conversation_leaves_nothing_to_tell(self, store: SqlStore, ear: Ear) -> None:
        claim = begin(store)
        store.write([answer(claim), finish(claim, keep=False)])
        assert ear.all() == []

    def test_many_at_once_are_told_once(self, store: SqlStore, ear: Ear) -> None:
        claims = [begin(store, f"{number}") for number in range(5)]
        store.write([Released(claim.lease) for claim in claims])
        assert ear.all() == [DUE]

    def test_a_refusal_and_a_retry_are_told_where_nothing_waited(self, store: SqlStore, ear: Ear) -> None:
        refused = store.refuse(message(), new_turn(), FAILURE)
        assert refused is not None
        assert ear.all() == [DUE]
        store.retry(refused.id, new_turn())
        store.refuse(message(), new_turn(), Failure("other", "Not now."))
        assert ear.all() == []
        first = claim_one(store)
        write(store, finish(first, keep=False))
        assert ear.all() == [DUE]

    def test_what_is_rolled_back_is_not_told(self, store: SqlStore, ear: Ear) -> None:
        told = message()
        store.record(told, new_turn(), owner="one")
        store.record(Message(message("other").key, told.message_id, "Hello"), new_turn())
        assert ear.all() == []


class TestDecided:
    def test_who_waits_is_told_what_another_decided(self, store: SqlStore, ear: Ear) -> None:
        turns = [awaited(store, channel) for channel in "ab"]
        ear.all()
        claims = {claim.turn.id: claim for claim in store.claim("worker", ["pigeon"], 2)}
        first, second = (claims[turn] for turn in turns)
        store.write([answer(first), Settled(second.lease, second.turn.id, failure=FAILURE)])
        assert ear.all() == [Notice(News.DECIDED, turn) for turn in turns]
        store.write([answer(first), finish(first), finish(second)])
        assert ear.all() == []

    def test_nobody_is_told_of_what_nobody_waits_for(self, store: SqlStore, ear: Ear) -> None:
        claim = store.record(message(), new_turn(), owner="worker", taker="web").claim
        own = store.record(message("own", awaited=True), new_turn(), owner="web", taker="web").claim
        assert claim is not None
        assert own is not None
        store.write([answer(claim), finish(claim), answer(own), finish(own)])
        assert ear.all() == []

    def test_who_waits_is_told_that_it_was_cancelled(self, store: SqlStore, ear: Ear) -> None:
        first, second = awaited(store), awaited(store)
        ear.all()
        store.cancel(first)
        assert ear.all() == [Notice(News.DECIDED, first)]
        store.record(message(kind=Kind.STOP), new_turn())
        assert ear.all() == [Notice(News.DECIDED, second)]
        store.cancel(first)
        assert ear.all() == []


class TestCancelled:
    def test_whoever_runs_a_turn_is_told_that_it_was_cancelled(self, store: SqlStore, ear: Ear) -> None:
        claim, stopped = begin(store), begin(store, "other")
        waiting = say(store).turn
        store.cancel(waiting.id)
        assert ear.all() == []
        store.cancel(claim.turn.id)
        assert ear.all() == [Notice(News.CANCELLED, claim.turn.id)]
        say(store, "other")
        store.record(message("other", kind=Kind.STOP), new_turn())
        assert ear.all() == [Notice(News.CANCELLED, stopped.turn.id)]


class TestListening:
    def test_a_connection_that_breaks_is_opened_again(self, store: SqlStore, ear: Ear, database_url: str) -> None:
        listening = "datname = current_database() AND query LIKE 'LISTEN%'"  # others have theirs on this server
        kill = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {listening}"
        for _ in range(2):
            with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute(kill)
            assert ear.next() == DUE
        claim = begin(store)
        store.cancel(claim.turn.id)
        assert ear.all() == [Notice(News.CANCELLED, claim.turn.id)]

    def test_what_only_a_newer_version_would_say_is_passed_over(self, ear: Ear, database_url: str) -> None:
        with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, 'moon full'), pg_notify(%s, '')", (CHANNEL, CHANNEL))
        assert ear.all() == []

    def test_a_server_that_is_away_ends_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stopped, tried = threading.Event(), 0

        def connect() -> psycopg.Connection:
            nonlocal tried
            tried += 1
            if tried == 3:
                stopped.set()
            raise psycopg.OperationalError("password hunter2")

        monkeypatch.setattr(notices, "PAUSES", (0.0, 0.01))
        notices.listen(connect, lambda notice: pytest.fail(f"{notice}"), stopped)
        assert tried == 3

    def test_whoever_cannot_hear_is_told_again(self, peer: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
        stopped, heard = threading.Event(), SimpleQueue[Notice]()

        def hear(notice: Notice) -> None:
            heard.put(notice)
            if heard.qsize() < 3:
                raise RuntimeError("not now")
            stopped.set()

        monkeypatch.setattr(notices, "PAUSES", (0.0,))
        peer.listen(hear, stopped)
        assert [heard.get() for _ in range(3)] == [DUE] * 3


def test_connections_stay_within_the_stated_number(database_url: str) -> None:
    store = SqlStore(f"{database_url}&pool_size=3&application_name=counted")
    ear, most = Ear(database_url), 0

    def work(number: int) -> None:
        for _ in range(10):
            claim = begin(store, f"{number}")
            store.write([answer(claim), finish(claim)])

    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'"
    with listening(store, ear), psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        workers = [threading.Thread(target=work, args=(number,)) for number in range(12)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            most = max(most, connection.execute(count).fetchall()[0][0])
    assert 2 <= most <= 3 + 1
    store.close()
