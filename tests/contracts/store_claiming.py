"""Contract of Store: claims and renewals."""

from __future__ import annotations

import uuid
from functools import partial

from gateway.domain.errors import LeaseLost
from gateway.domain.models import Turn, TurnState
from gateway.ports.store import ANY_PLACES, LeaseRenewal, Store
from tests.contracts.store_helpers import (
    PLATFORM,
    ExpireLease,
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
    run_concurrently,
    without_audit_log,
)


class ClaimingContract:
    def test_oldest_conversations_are_claimed_first(self, store: Store) -> None:
        turns = [enqueue(store, channel).turn for channel in "abcd"]
        first = store.claim("one", [PLATFORM], 3)
        assert [claim.turn.id for claim in first] == [turn.id for turn in turns[:3]]
        assert [claim.turn.id for claim in store.claim("two", [PLATFORM], 3)] == [turns[3].id]

    def test_only_the_platforms_asked_for_are_claimed(self, store: Store) -> None:
        enqueue(store)
        enqueue_one(store, message(platform="crow"), new_turn())
        enqueue_one(store, message(platform="owl"), new_turn())
        claims = store.claim("one", ["crow", "owl"], 10)
        assert {claim.conversation.key.platform for claim in claims} == {"crow", "owl"}
        assert store.claim("one", [], 10) == ()
        assert store.claim("one", [PLATFORM], 0) == ()

    def test_what_has_not_waited_long_enough_is_left_to_others(self, store: Store, expire_lease: ExpireLease) -> None:
        waiting = enqueue(store, "waiting").turn
        expired = enqueue_and_claim(store, "expired").turn
        expire_lease(expired.conversation_id)
        claims = store.claim("one", [PLATFORM], 10, ANY_PLACES, 60.0)
        assert [claim.turn.id for claim in claims] == [expired.id]
        assert [claim.turn.id for claim in store.claim("one", [PLATFORM], 10, ANY_PLACES, 0.0)] == [waiting.id]

    def test_a_claim_is_an_attempt_at_the_oldest_turn(self, store: Store) -> None:
        first, second = enqueue(store).turn, enqueue(store).turn
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.state, claim.turn.attempts) == (first.id, TurnState.RUNNING, 1)
        assert claim.first_attempt
        assert claim.turn.started_at is not None
        assert claim.turn == get_turn(store, first)
        assert get_turn(store, second) == second

    def test_leased_conversation_is_not_claimed(self, store: Store, peer: Store) -> None:
        enqueue_and_claim(store)
        assert store.claim("one", [PLATFORM], 10) == ()
        assert peer.claim("two", [PLATFORM], 10) == ()

    def test_an_idle_conversation_is_never_due(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([answer(claim), finish(claim)])
        assert store.claim("one", [PLATFORM], 10) == ()

    def test_expired_lease_is_claimed_by_another_owner(
        self, store: Store, peer: Store, expire_lease: ExpireLease
    ) -> None:
        old = enqueue_and_claim(store)
        expire_lease(old.conversation.id)
        new = claim_one(peer, "two")
        assert new.lease.epoch > old.lease.epoch
        assert (new.turn.id, new.turn.attempts, new.first_attempt) == (old.turn.id, 2, False)
        assert new.turn.started_at == old.turn.started_at
        assert isinstance(apply_write(store, answer(old)), LeaseLost)
        assert isinstance(apply_write(peer, answer(new)), Turn)

    def test_answered_undelivered_turn_is_claimed_unchanged(self, store: Store, expire_lease: ExpireLease) -> None:
        old = enqueue_and_claim(store)
        settled = apply_write(store, answer(old))
        expire_lease(old.conversation.id)
        claim = claim_one(store, "two")
        assert without_audit_log(claim.turn) == without_audit_log(settled)
        assert (claim.turn.state, claim.turn.attempts, claim.first_attempt) == (TurnState.ANSWERED, 1, False)

    def test_queued_turn_that_was_cancelled_is_claimed_for_delivery(self, store: Store) -> None:
        turn = enqueue(store).turn
        store.cancel_turn(turn.id)
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.state, claim.turn.attempts) == (turn.id, TurnState.CANCELLED, 0)

    def test_concurrent_claims_do_not_overlap(self, store: Store, peer: Store) -> None:
        turns = {enqueue(store, f"{number}").turn.id for number in range(40)}
        sides = [(store, peer)[number % 2] for number in range(6)]
        claimed = run_concurrently([partial(each.claim, uuid.uuid4().hex, [PLATFORM], 7) for each in sides])
        claims = [claim for each in claimed for claim in each]
        rest = store.claim("rest", [PLATFORM], 40)
        assert len(claims) + len(rest) == 40
        assert {claim.turn.id for claim in [*claims, *rest]} == turns

    def test_a_renewed_lease_lasts(self, store: Store, peer: Store, expire_lease: ExpireLease) -> None:
        claim, other = enqueue_and_claim(store), enqueue_and_claim(store, "other", owner="two")
        expire_lease(claim.conversation.id)
        renewal = store.renew_leases("one")
        assert renewal == LeaseRenewal(frozenset({claim.conversation.id}), frozenset())
        assert other.conversation.id not in renewal.held_conversations
        assert peer.claim("two", [PLATFORM], 10) == ()

    def test_a_lost_or_finished_conversation_is_not_renewed(self, store: Store, expire_lease: ExpireLease) -> None:
        lost, finished = enqueue_and_claim(store, "lost"), enqueue_and_claim(store, "finished")
        store.apply_writes([answer(finished), finish(finished)])
        expire_lease(lost.conversation.id)
        claim_one(store, "two")
        assert store.renew_leases("one").held_conversations == frozenset()

    def test_renewal_returns_turns_cancelled_meanwhile(self, store: Store) -> None:
        claim, other = enqueue_and_claim(store), enqueue_and_claim(store, "other")
        waiting = enqueue(store).turn
        store.cancel_turn(claim.turn.id)
        store.cancel_turn(waiting.id)
        renewal = store.renew_leases("one")
        assert renewal.cancelled_turns == {claim.turn.id}
        assert renewal.held_conversations == {claim.conversation.id, other.conversation.id}

    def test_renewal_omits_turns_cancelled_before_they_ran(self, store: Store) -> None:
        turn = enqueue(store).turn
        store.cancel_turn(turn.id)
        claim = claim_one(store)
        assert store.renew_leases("one") == LeaseRenewal(frozenset({claim.conversation.id}), frozenset())
