"""Contract of Store: queue depth, clock skew and listening."""

from __future__ import annotations

import threading

from gateway.domain.models import TurnState
from gateway.ports.leased_writes import ReleaseLease
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    answer,
    apply_write,
    claim_one,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    finish,
    get_turn,
    message,
    new_turn,
)

WEEK = 7 * 86400.0


class QueueDepthContract:
    def test_queue_is_empty_without_unfinished_turns(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([answer(claim), finish(claim)])
        assert list(store.queue_depths()) == []

    def test_unfinished_turns_are_counted_by_platform(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        for channel in ("loft", "other"):
            enqueue(store, channel)
        enqueue_one(store, message(platform="crow"), new_turn())
        assert [(depth.platform, depth.unfinished) for depth in store.queue_depths()] == [("crow", 1), (PLATFORM, 3)]
        store.apply_writes([answer(claim), finish(claim)])
        assert [(depth.platform, depth.unfinished) for depth in store.queue_depths()] == [("crow", 1), (PLATFORM, 2)]

    def test_age_is_that_of_the_oldest_unfinished_turn(self, store: Store) -> None:
        for channel in "ab":
            enqueue(store, channel)
        claims = {claim.conversation.key.channel: claim for claim in store.claim("one", [PLATFORM], 2)}
        (before,) = store.queue_depths()
        last = enqueue(store, "c").turn
        store.apply_writes([step(claim) for claim in claims.values() for step in (answer, finish)])
        (after,) = store.queue_depths()
        assert 0.0 <= after.oldest_age_seconds < 60.0
        assert before.oldest_age_seconds >= 0.0
        assert after.unfinished == 1
        assert get_turn(store, last).state is TurnState.QUEUED


class ClockSkewContract:
    def test_conversations_within_reach_are_not_changed(self, store: Store, peer: Store) -> None:
        held, paused = enqueue_and_claim(store), enqueue_and_claim(store, "paused")
        apply_write(store, ReleaseLease(paused.lease, delay_seconds=60.0))
        assert store.repair_clock_skew() == 0
        assert peer.claim("two", [PLATFORM], 10) == ()
        assert store.renew_leases("one").held_conversations == {held.conversation.id}

    def test_delay_out_of_reach_is_ended(self, store: Store, peer: Store) -> None:
        claim, idle = enqueue_and_claim(store), enqueue_and_claim(store, "idle")
        store.apply_writes([ReleaseLease(claim.lease, delay_seconds=WEEK), answer(idle), finish(idle)])
        assert peer.claim("two", [PLATFORM], 10) == ()
        assert store.repair_clock_skew() == 1
        assert store.repair_clock_skew() == 0
        assert claim_one(peer, "two").turn.id == claim.turn.id


class ListenContract:
    def test_listen_returns_when_stopped(self, store: Store) -> None:
        stopped = threading.Event()
        listener = threading.Thread(target=store.listen, args=(lambda _: stopped.set(), stopped))
        listener.start()
        listener.join(timeout=20)
        assert not listener.is_alive()
        assert stopped.is_set() is store.is_shared


class MaintenanceContract(QueueDepthContract, ClockSkewContract, ListenContract):
    """All contracts of this module."""
