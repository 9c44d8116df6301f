"""Contract of Store: turns that wait in the table."""

from __future__ import annotations

from typing import cast

import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.errors import LeaseLost
from gateway.domain.models import MessageKind, RunId, TurnId, TurnState
from gateway.domain.platform_events import MessageEdited
from gateway.ports.leased_writes import ParkTurn, ReleaseLease, SetRun
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    ExpireLease,
    answer,
    apply_write,
    audit_log,
    claim_one,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    finish,
    get_turn,
    message,
    new_turn,
    run_concurrently,
)

DAY = 86_400.0


def park(
    store: Store, claim: Claim, key: str = "", *, wake: float = DAY, longest: float = DAY, started: bool = False
) -> None:
    write = ParkTurn(claim.lease, claim.turn, "budget", wake, longest, key, not_started=not started)
    assert apply_write(store, write) is None


def say(store: Store, kind: MessageKind, channel: str = "loft") -> TurnId:
    return enqueue_one(store, message(channel, "!", kind=kind), new_turn()).turn.id


class ParkingContract:
    def test_a_parked_turn_says_why_it_waits_and_keeps_its_place(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        enqueue(store)
        park(store, claim, "k")
        turn = get_turn(peer, claim.turn)
        assert turn.is_parked
        assert (turn.state, turn.attempts, turn.started_at) == (TurnState.QUEUED, 0, None)
        assert turn.parking is not None
        assert (turn.parking.reason, turn.parking.key) == ("budget", "k")
        assert turn.parking.expires_at == turn.parking.since + DAY
        assert peer.claim("two", [PLATFORM], 10) == ()
        assert audit_log(peer, turn)[-1] == (AuditEvent.RELEASED, "one; waits for: budget")
        (depth,) = peer.queue_depths()
        assert (depth.unfinished, depth.parked) == (2, {"budget": 1})

    def test_its_time_wakes_it_in_any_process(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        park(store, claim, wake=0.0)
        woken = claim_one(peer, "two")
        assert woken.turn.id == claim.turn.id
        assert woken.first_attempt
        assert not woken.turn.is_parked
        assert woken.turn.parking is not None
        assert woken.turn.parking.woken_at is not None
        assert not woken.turn.parking.has_expired
        assert peer.queue_depths()[0].parked == {}

    def test_it_waits_no_longer_than_it_may(self, store: Store) -> None:
        park(store, enqueue_and_claim(store), longest=0.0)
        claim = claim_one(store)
        assert claim.turn.parking is not None
        assert claim.turn.parking.has_expired

    def test_time_is_counted_from_the_first_time_for_a_reason(self, store: Store) -> None:
        park(store, enqueue_and_claim(store), wake=0.0)
        again = claim_one(store)
        first = again.turn.parking
        park(store, again, wake=0.0)
        once_more = claim_one(store)
        assert first is not None
        assert once_more.turn.parking is not None
        assert once_more.turn.parking.since == first.since
        apply_write(store, ParkTurn(once_more.lease, once_more.turn, "approval", DAY, 60.0))
        parking = get_turn(store, once_more.turn).parking
        assert parking is not None
        assert parking.since >= first.since
        assert parking.expires_at == parking.since + 60.0

    def test_its_key_wakes_those_that_wait_longest_one_by_one(self, store: Store, peer: Store) -> None:
        claims = [enqueue_and_claim(store, channel) for channel in "abc"]
        for claim, key in zip(claims, ("k", "k", "other"), strict=True):
            park(store, claim, key)
        assert peer.wake("k") == 1
        assert claim_one(peer).turn.id == claims[0].turn.id
        assert peer.wake("k", 10) == 1
        assert claim_one(peer).turn.id == claims[1].turn.id
        assert peer.wake("k") == peer.wake("") == 0

    def test_two_wake_two(self, store: Store, peer: Store) -> None:
        for channel in "abcd":
            park(store, enqueue_and_claim(store, channel), "k")
        assert run_concurrently([lambda: store.wake("k"), lambda: peer.wake("k")]) == [1, 1]
        assert len(store.claim("one", [PLATFORM], 10)) == 2

    def test_without_a_key_nothing_but_time_wakes_it(self, store: Store) -> None:
        park(store, enqueue_and_claim(store))
        assert store.wake("budget") == 0
        assert store.claim("one", [PLATFORM], 10) == ()

    def test_the_lease_is_gone(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        park(store, claim)
        assert isinstance(apply_write(store, answer(claim)), LeaseLost)
        assert isinstance(apply_write(store, ParkTurn(claim.lease, claim.turn, "budget", 0.0, 0.0)), LeaseLost)

    def test_edits_reach_it_and_what_it_was_asked_first_does_not_run(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        park(store, claim, wake=0.0)
        assert store.edit_queued(MessageEdited(PLATFORM, claim.turn.message.message_id, "Hallo"))
        assert claim_one(store).turn.message.text == "Hallo"

    def test_a_started_turn_waits_with_its_run(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, SetRun(claim.lease, claim.turn, RunId("r")))
        park(store, claim, wake=0.0, started=True)
        turn = get_turn(store, claim.turn)
        assert (turn.is_parked, turn.state, turn.run_id) == (True, TurnState.RUNNING, "r")
        assert not store.edit_queued(MessageEdited(PLATFORM, turn.message.message_id, "Hallo"))
        assert not claim_one(store).first_attempt

    @pytest.mark.parametrize("end", ["stop", "reset", "cancel", "forget"])
    def test_what_ends_it_wakes_its_conversation(self, store: Store, peer: Store, end: str) -> None:
        claim = enqueue_and_claim(store)
        park(store, claim, "k")
        match end:
            case "stop":
                say(peer, MessageKind.STOP)
            case "reset":
                say(peer, MessageKind.RESET)
            case "cancel":
                peer.cancel_turn(claim.turn.id)
            case "forget":
                cast("ReportingStore", peer).erase_author(claim.conversation, "Ada")
        turn = get_turn(store, claim.turn)
        assert (turn.state, turn.is_parked) == (TurnState.CANCELLED, False)
        assert claim_one(store, "two").turn.id == turn.id
        assert peer.wake("k") == 0

    def test_a_reset_ends_only_the_parked_turn(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        behind = enqueue(store).turn
        park(store, claim)
        result = enqueue_one(store, message(kind=MessageKind.RESET), new_turn())
        assert result.cancelled == (claim.turn.id,)
        assert get_turn(store, behind).state is TurnState.QUEUED

    def test_a_reset_that_came_before_ends_it_too(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        reset = say(store, MessageKind.RESET)
        park(store, claim)
        assert get_turn(store, claim.turn).state is TurnState.CANCELLED
        ended = claim_one(store)
        following = apply_write(store, finish(ended))
        assert isinstance(following, Claim)
        assert following.turn.id == reset

    def test_a_turn_that_was_stopped_meanwhile_is_not_parked(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        peer.cancel_turn(claim.turn.id)
        park(store, claim, "k")
        assert store.wake("k") == 0
        assert claim_one(store).turn.state is TurnState.CANCELLED

    def test_a_turn_behind_it_can_be_cancelled_without_waking_it(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        behind = enqueue(store).turn
        park(store, claim)
        store.cancel_turn(behind.id)
        assert get_turn(store, claim.turn).is_parked
        assert store.claim("one", [PLATFORM], 10) == ()

    def test_a_long_wait_is_no_clock_skew(self, store: Store, expire_lease: ExpireLease) -> None:
        claim = enqueue_and_claim(store)
        park(store, claim)
        assert store.repair_clock_skew() == 0
        expire_lease(claim.conversation.id)
        released = claim_one(store)
        apply_write(store, ReleaseLease(released.lease, delay_seconds=DAY))
        assert store.repair_clock_skew() == 1

    def test_the_next_turn_does_not_wait(self, store: Store) -> None:
        park(store, enqueue_and_claim(store), wake=0.0)
        behind = enqueue(store).turn
        claim = claim_one(store)
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.turn == get_turn(store, behind)
        assert following.turn.parking is None
