"""After the database's clock is set back or forward, everything stays reachable and live owners keep their leases."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import event

from gateway.domain.approvals import Decision
from gateway.domain.conversations import Claim
from gateway.domain.models import AWAITS_APPROVAL, Parking, Turn
from gateway.ports.callbacks import Callback
from gateway.ports.leased_writes import ParkTurn, ReleaseLease
from gateway.ports.token_buckets import Rate
from storage.store import SqlStore
from tests.contracts.store_approvals import hold
from tests.contracts.store_helpers import PLATFORM, answer, apply_write, claim_one, enqueue, enqueue_and_claim, finish

HOUR = 3600.0
Jump = Callable[[float], None]
"""Sets the database's clock to so many seconds ahead, or behind if negative."""

JULIAN_EPOCH, DAY = 2440587.5, 86400.0


@pytest.fixture
def jump(request: pytest.FixtureRequest, store: SqlStore, peer: SqlStore, database_url: str) -> Iterator[Jump]:
    shifted = (_on_sqlite if store._database.kind == "sqlite" else _on_postgresql)([store, peer], database_url)
    yield shifted
    shifted(0.0)


def _on_sqlite(stores: list[SqlStore], _: str) -> Jump:
    """Replaces SQLite's function by one of the test."""
    ahead = 0.0

    def julianday(_: str) -> float:
        return (time.time() + ahead) / DAY + JULIAN_EPOCH

    def jump(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds

    def connect(connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("julianday", 1, julianday)

    for store in stores:
        event.listen(store._database._engine, "connect", connect)
    return jump


def _on_postgresql(stores: list[SqlStore], url: str) -> Jump:
    """Creates a function that is found before PostgreSQL's own."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS shifted")
        connection.execute("CREATE TABLE IF NOT EXISTS shifted.clock (ahead interval)")
        connection.execute(
            "CREATE OR REPLACE FUNCTION shifted.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql"
            " AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM shifted.clock'"
        )

    def jump(seconds: float) -> None:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("DELETE FROM shifted.clock")
            connection.execute("INSERT INTO shifted.clock VALUES (make_interval(secs => %s))", (seconds,))

    jump(0.0)
    for store in stores:
        event.listen(store._database._engine, "connect", _look_there_first)
    return jump


def _look_there_first(connection: psycopg.Connection, _: object) -> None:
    connection.execute("SET search_path = shifted, pg_catalog, public")
    connection.commit()


def test_jump_sets_the_clock_of_the_database(store: SqlStore, jump: Jump) -> None:
    before = enqueue(store).turn.received_at
    jump(HOUR)
    assert enqueue(store).turn.received_at - before > HOUR - 60
    jump(-HOUR)
    assert before - enqueue(store).turn.received_at > HOUR - 60


def test_after_clock_set_back_live_holder_keeps_its_lease(store: SqlStore, peer: SqlStore, jump: Jump) -> None:
    claim = enqueue_and_claim(store)
    jump(-HOUR)
    assert peer.repair_clock_skew() == 1
    assert peer.claim("two", [PLATFORM], 10) == ()
    assert store.renew_leases("one").held_conversations == {claim.conversation.id}
    assert peer.repair_clock_skew() == 0
    jump(-HOUR + 10.0)
    assert peer.claim("two", [PLATFORM], 10) == ()
    assert isinstance(apply_write(store, answer(claim)), Turn)
    assert apply_write(store, finish(claim)) is None


def test_after_clock_set_back_lease_of_dead_holder_is_claimed(store: SqlStore, peer: SqlStore, jump: Jump) -> None:
    claim = enqueue_and_claim(store)
    jump(-HOUR)
    assert peer.claim("two", [PLATFORM], 10) == ()
    peer.repair_clock_skew()
    jump(-HOUR + 16.0)
    assert claim_one(peer, "two").turn.id == claim.turn.id


def test_after_clock_set_back_delayed_conversation_is_claimable(store: SqlStore, peer: SqlStore, jump: Jump) -> None:
    claim = enqueue_and_claim(store)
    apply_write(store, ReleaseLease(claim.lease, delay_seconds=30.0))
    waiting = enqueue(store, "new").turn
    jump(-HOUR)
    assert peer.repair_clock_skew() == 2
    taken = {claim.turn.id for claim in peer.claim("two", [PLATFORM], 10)}
    assert taken == {claim.turn.id, waiting.id}


def test_after_clock_set_back_any_number_of_conversations_is_repaired(
    store: SqlStore, peer: SqlStore, jump: Jump, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.leases.REPAIR_BATCH", 2)
    for channel in "abcde":
        enqueue(store, channel)
    jump(-HOUR)
    assert peer.repair_clock_skew() == 5
    assert len(peer.claim("two", [PLATFORM], 10)) == 5


def test_after_clock_set_back_callback_is_tried_again_in_the_same_time(
    store: SqlStore, peer: SqlStore, jump: Jump
) -> None:
    turn = enqueue(store).turn.id
    store.callbacks.add(Callback("msg_1", "lane", "http://127.0.0.1:9/", "turn.answered", turn, "{}"), 10)
    assert len(store.callbacks.claim(10, 60.0)[1]) == 1
    jump(-HOUR)
    peer.repair_clock_skew()
    assert peer.callbacks.claim(10, 60.0)[1] == []
    jump(-HOUR + 61.0)
    assert [each.attempts for each in peer.callbacks.claim(10, 60.0)[1]] == [2]


def _parking(claim: Claim) -> Parking:
    assert claim.turn.parking is not None
    return claim.turn.parking


def _park(store: SqlStore, claim: Claim, wake: float, key: str = "") -> None:
    apply_write(store, ParkTurn(claim.lease, claim.turn, "budget", wake, 600.0, key, worked_seconds=0.0))


def test_after_clock_set_forward_parked_turn_has_waited_as_long_as_it_was_to(store: SqlStore, jump: Jump) -> None:
    _park(store, enqueue_and_claim(store), wake=60.0)
    jump(HOUR)
    woken = claim_one(store)
    parking = _parking(woken)
    assert not parking.has_expired
    assert parking.woken_at is not None
    assert parking.woken_at - parking.since == pytest.approx(60.0, abs=20.0)
    _park(store, woken, wake=600.0)
    jump(HOUR + 630.0)
    assert _parking(claim_one(store)).has_expired


def test_after_clock_set_forward_woken_turn_has_waited_until_it_was_woken(store: SqlStore, jump: Jump) -> None:
    _park(store, enqueue_and_claim(store), wake=600.0, key="k")
    store.wake("k")
    jump(HOUR)
    assert not _parking(claim_one(store)).has_expired


def test_clock_set_forward_while_a_turn_is_looked_at_again_takes_none_of_its_wait(store: SqlStore, jump: Jump) -> None:
    _park(store, enqueue_and_claim(store), wake=0.0)
    again = claim_one(store)
    jump(HOUR)
    _park(store, again, wake=0.0)
    assert not _parking(claim_one(store)).has_expired


def test_after_clock_set_forward_key_wakes_those_that_are_not_due_yet(store: SqlStore, jump: Jump) -> None:
    _park(store, enqueue_and_claim(store, "due"), wake=60.0, key="k")
    _park(store, enqueue_and_claim(store, "later"), wake=600.0, key="k")
    jump(70.0)
    assert store.wake("k") == 1
    assert len(store.claim("one", [PLATFORM], 10)) == 2
    jump(HOUR)
    assert store.wake("k") == 0


def _park_for_approval(store: SqlStore, claim: Claim, wake: float) -> None:
    where = (claim.lease, claim.turn, AWAITS_APPROVAL, wake, DAY, claim.turn.id)
    apply_write(store, ParkTurn(*where, not_started=False, awaits_approvals=True, worked_seconds=0.0))


def test_after_clock_set_forward_a_call_may_be_approved_for_as_long_as_it_was_to(store: SqlStore, jump: Jump) -> None:
    claim, (asked, _) = hold(store, enqueue_and_claim(store), seconds=DAY)
    _park_for_approval(store, claim, wake=HOUR)
    jump(2 * DAY)
    (seen,) = store.open_approvals()
    assert seen == asked
    woken = claim_one(store)
    assert not _parking(woken).has_expired
    (seen,) = store.open_approvals()
    assert seen.expires_at - asked.expires_at == pytest.approx(2 * DAY - HOUR, abs=20.0)
    _park_for_approval(store, woken, wake=DAY)
    jump(3 * DAY - HOUR)
    assert _parking(claim_one(store)).has_expired
    assert store.decide(asked.id, Decision.APPROVED, "one") is None
    assert store.approvals_of(claim.turn.id)[0].decision is Decision.EXPIRED


def test_after_clock_set_forward_a_call_may_be_approved_before_its_turn_is_claimed(store: SqlStore, jump: Jump) -> None:
    claim, (asked, _) = hold(store, enqueue_and_claim(store), seconds=DAY)
    jump(2 * DAY)
    _park_for_approval(store, claim, wake=HOUR)
    assert store.claim("one", [PLATFORM], 10) == ()
    assert store.decide(asked.id, Decision.APPROVED, "one") is not None
    assert [each.may_run for each in store.approvals_of(claim_one(store).turn.id)] == [True, True]


def test_after_clock_set_back_a_call_may_be_approved_for_as_long_as_it_was_to(
    store: SqlStore, peer: SqlStore, jump: Jump
) -> None:
    jump(10 * DAY)
    claim, (asked, _) = hold(store, enqueue_and_claim(store), seconds=DAY)
    _park_for_approval(store, claim, wake=HOUR)
    jump(0.0)
    peer.repair_clock_skew()
    assert not _parking(claim_one(peer)).has_expired
    (seen,) = store.open_approvals()
    assert seen.expires_at - store.now() == pytest.approx(DAY, abs=20.0)
    assert seen.expires_at - seen.requested_at == pytest.approx(DAY, abs=20.0)
    assert seen.id == asked.id


def test_after_clock_set_back_lock_keeps_its_duration(store: SqlStore, peer: SqlStore, jump: Jump) -> None:
    assert store.try_lock("poll", "one", 60.0)
    jump(-HOUR)
    assert not peer.try_lock("poll", "two", 60.0)
    jump(-HOUR + 30.0)
    assert store.try_lock("poll", "one", 60.0)
    jump(-HOUR + 80.0)
    assert not peer.try_lock("poll", "two", 60.0)
    jump(-HOUR + 91.0)
    assert peer.try_lock("poll", "two", 60.0)


def test_after_clock_set_back_lock_of_dead_owner_expires(store: SqlStore, peer: SqlStore, jump: Jump) -> None:
    assert store.try_lock("poll", "one", 60.0)
    jump(-HOUR)
    peer.repair_clock_skew()
    assert not peer.try_lock("poll", "two", 60.0)
    jump(-HOUR + 61.0)
    assert peer.try_lock("poll", "two", 60.0)


def test_after_clock_set_back_token_becomes_valid_with_zero_max_wait(
    store: SqlStore, peer: SqlStore, jump: Jump
) -> None:
    rate = Rate(interval=20.0)
    store.take_token("post", rate, 0.0)
    jump(-HOUR)
    peer.repair_clock_skew()
    assert peer.take_token("post", rate, 0.0) is None
    jump(-HOUR + 21.0)
    assert peer.take_token("post", rate, 0.0) == 0.0


def test_after_clock_set_back_tokens_are_as_near_as_before(store: SqlStore, peer: SqlStore, jump: Jump) -> None:
    rate = Rate(interval=100.0)
    for _ in range(2):
        store.take_token("post", rate, 1000.0)
    store.block_for("call", 50.0)
    jump(-HOUR)
    assert peer.take_token("post", rate, 1000.0) == pytest.approx(200.0, abs=20.0)
    assert peer.take_token("call", rate, 1000.0) == pytest.approx(50.0, abs=20.0)
    assert peer.take_token("post", rate, 10.0) is None
    jump(-2 * HOUR)
    peer.block_for("call", 20.0)
    assert peer.take_token("call", rate, 1000.0) == pytest.approx(150.0, abs=20.0)


def test_after_clock_set_forward_and_back_everything_is_claimable(store: SqlStore, peer: SqlStore, jump: Jump) -> None:
    jump(HOUR)
    claim = enqueue_and_claim(store)
    store.take_token("post", Rate(1.0), 1.0)
    store.try_lock("poll", "one", 10.0)
    jump(0.0)
    assert peer.take_token("post", Rate(1.0), 10.0) is not None
    peer.repair_clock_skew()
    jump(16.0)
    assert claim_one(peer, "two").turn.id == claim.turn.id
