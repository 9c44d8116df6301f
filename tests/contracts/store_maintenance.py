"""Contract of Store: queue depth, clock skew and listening."""

from __future__ import annotations

import threading

from gateway.domain.models import TurnState
from gateway.ports.store import Released, Store
from tests.contracts.store_helpers import (
    PLATFORM,
    answer,
    begin,
    claim_one,
    finish,
    message,
    new_turn,
    read,
    say,
    write,
)

WEEK = 7 * 86400.0


class DepthsContract:
    def test_queue_is_empty_without_unfinished_turns(self, store: Store) -> None:
        claim = begin(store)
        store.write([answer(claim), finish(claim)])
        assert list(store.depths()) == []

    def test_unfinished_turns_are_counted_by_platform(self, store: Store) -> None:
        claim = begin(store)
        for channel in ("loft", "other"):
            say(store, channel)
        store.record(message(platform="crow"), new_turn())
        assert [(depth.platform, depth.turns) for depth in store.depths()] == [("crow", 1), (PLATFORM, 3)]
        store.write([answer(claim), finish(claim)])
        assert [(depth.platform, depth.turns) for depth in store.depths()] == [("crow", 1), (PLATFORM, 2)]

    def test_age_is_that_of_the_oldest_unfinished_turn(self, store: Store) -> None:
        for channel in "ab":
            say(store, channel)
        claims = {claim.conversation.key.channel: claim for claim in store.claim("one", [PLATFORM], 2)}
        (before,) = store.depths()
        last = say(store, "c").turn
        store.write([step(claim) for claim in claims.values() for step in (answer, finish)])
        (after,) = store.depths()
        assert 0.0 <= after.age < 60.0
        assert before.age >= 0.0
        assert after.turns == 1
        assert read(store, last).state is TurnState.QUEUED


class MendingContract:
    def test_conversations_within_reach_are_not_changed(self, store: Store, peer: Store) -> None:
        held, paused = begin(store), begin(store, "paused")
        write(store, Released(paused.lease, after=60.0))
        assert store.mend() == 0
        assert peer.claim("two", [PLATFORM], 10) == ()
        assert store.renew("one").held == {held.conversation.id}

    def test_delay_out_of_reach_is_ended(self, store: Store, peer: Store) -> None:
        claim, idle = begin(store), begin(store, "idle")
        store.write([Released(claim.lease, after=WEEK), answer(idle), finish(idle)])
        assert peer.claim("two", [PLATFORM], 10) == ()
        assert store.mend() == 1
        assert store.mend() == 0
        assert claim_one(peer, "two").turn.id == claim.turn.id


class ListeningContract:
    def test_listen_returns_when_stopped(self, store: Store) -> None:
        stopped = threading.Event()
        listener = threading.Thread(target=store.listen, args=(lambda _: stopped.set(), stopped))
        listener.start()
        listener.join(timeout=20)
        assert not listener.is_alive()
        assert stopped.is_set() is store.shared


class WatchingContract(DepthsContract, MendingContract, ListeningContract):
    """All contracts of this module."""
