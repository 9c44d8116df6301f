"""Contract of Store: claims and renewals."""

from __future__ import annotations

import uuid
from functools import partial

from gateway.domain.errors import LeaseLost
from gateway.domain.models import Turn, TurnState
from gateway.ports.store import Renewal, Store
from tests.contracts.store_helpers import (
    PLATFORM,
    Expire,
    answer,
    at_once,
    begin,
    claim_one,
    finish,
    message,
    new_turn,
    read,
    say,
    untrailed,
    write,
)


class ClaimingContract:
    def test_oldest_conversations_are_claimed_first(self, store: Store) -> None:
        turns = [say(store, channel).turn for channel in "abcd"]
        first = store.claim("one", [PLATFORM], 3)
        assert [claim.turn.id for claim in first] == [turn.id for turn in turns[:3]]
        assert [claim.turn.id for claim in store.claim("two", [PLATFORM], 3)] == [turns[3].id]

    def test_only_the_platforms_asked_for_are_claimed(self, store: Store) -> None:
        say(store)
        store.record(message(platform="crow"), new_turn())
        store.record(message(platform="owl"), new_turn())
        claims = store.claim("one", ["crow", "owl"], 10)
        assert {claim.conversation.key.platform for claim in claims} == {"crow", "owl"}
        assert store.claim("one", [], 10) == ()
        assert store.claim("one", [PLATFORM], 0) == ()

    def test_a_claim_is_an_attempt_at_the_oldest_turn(self, store: Store) -> None:
        first, second = say(store).turn, say(store).turn
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.state, claim.turn.attempts) == (first.id, TurnState.RUNNING, 1)
        assert claim.fresh
        assert claim.turn.started_at is not None
        assert claim.turn == read(store, first)
        assert read(store, second) == second

    def test_leased_conversation_is_not_claimed(self, store: Store, peer: Store) -> None:
        begin(store)
        assert store.claim("one", [PLATFORM], 10) == ()
        assert peer.claim("two", [PLATFORM], 10) == ()

    def test_an_idle_conversation_is_never_due(self, store: Store) -> None:
        claim = begin(store)
        store.write([answer(claim), finish(claim)])
        assert store.claim("one", [PLATFORM], 10) == ()

    def test_expired_lease_is_claimed_by_another_owner(self, store: Store, peer: Store, expire_lease: Expire) -> None:
        old = begin(store)
        expire_lease(old.conversation.id)
        new = claim_one(peer, "two")
        assert new.lease.epoch > old.lease.epoch
        assert (new.turn.id, new.turn.attempts, new.fresh) == (old.turn.id, 2, False)
        assert new.turn.started_at == old.turn.started_at
        assert isinstance(write(store, answer(old)), LeaseLost)
        assert isinstance(write(peer, answer(new)), Turn)

    def test_answered_undelivered_turn_is_claimed_unchanged(self, store: Store, expire_lease: Expire) -> None:
        old = begin(store)
        settled = write(store, answer(old))
        expire_lease(old.conversation.id)
        claim = claim_one(store, "two")
        assert untrailed(claim.turn) == untrailed(settled)
        assert (claim.turn.state, claim.turn.attempts, claim.fresh) == (TurnState.ANSWERED, 1, False)

    def test_queued_turn_that_was_cancelled_is_claimed_for_delivery(self, store: Store) -> None:
        turn = say(store).turn
        store.cancel(turn.id)
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.state, claim.turn.attempts) == (turn.id, TurnState.CANCELLED, 0)

    def test_concurrent_claims_do_not_overlap(self, store: Store, peer: Store) -> None:
        turns = {say(store, f"{number}").turn.id for number in range(40)}
        sides = [(store, peer)[number % 2] for number in range(6)]
        claimed = at_once([partial(each.claim, uuid.uuid4().hex, [PLATFORM], 7) for each in sides])
        claims = [claim for each in claimed for claim in each]
        rest = store.claim("rest", [PLATFORM], 40)
        assert len(claims) + len(rest) == 40
        assert {claim.turn.id for claim in [*claims, *rest]} == turns

    def test_a_renewed_lease_lasts(self, store: Store, peer: Store, expire_lease: Expire) -> None:
        claim, other = begin(store), begin(store, "other", owner="two")
        expire_lease(claim.conversation.id)
        renewal = store.renew("one")
        assert renewal == Renewal(frozenset({claim.conversation.id}), frozenset())
        assert other.conversation.id not in renewal.held
        assert peer.claim("two", [PLATFORM], 10) == ()

    def test_a_lost_or_finished_conversation_is_not_renewed(self, store: Store, expire_lease: Expire) -> None:
        lost, finished = begin(store, "lost"), begin(store, "finished")
        store.write([answer(finished), finish(finished)])
        expire_lease(lost.conversation.id)
        claim_one(store, "two")
        assert store.renew("one").held == frozenset()

    def test_renewal_returns_turns_cancelled_meanwhile(self, store: Store) -> None:
        claim, other = begin(store), begin(store, "other")
        waiting = say(store).turn
        store.cancel(claim.turn.id)
        store.cancel(waiting.id)
        renewal = store.renew("one")
        assert renewal.cancelled == {claim.turn.id}
        assert renewal.held == {claim.conversation.id, other.conversation.id}

    def test_renewal_omits_turns_cancelled_before_they_ran(self, store: Store) -> None:
        turn = say(store).turn
        store.cancel(turn.id)
        claim = claim_one(store)
        assert store.renew("one") == Renewal(frozenset({claim.conversation.id}), frozenset())
