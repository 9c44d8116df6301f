"""Contract of Store: writes of lease holders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.errors import LeaseLost
from gateway.domain.models import Claim, Failure, Lease, RunId, ThreadId, Turn, TurnState, Usage
from gateway.ports.store import Bound, Brought, Change, Finished, Released, Settled, Started, Store
from tests.contracts.store_helpers import (
    FAILURE,
    FILES,
    PLATFORM,
    STORED,
    UNSTORABLE,
    Expire,
    answer,
    at_once,
    begin,
    claim_one,
    finish,
    key,
    read,
    say,
    untrailed,
    write,
)


class WritingContract:
    def test_thread_is_set(self, store: Store) -> None:
        claim = begin(store)
        assert write(store, Bound(claim.lease, ThreadId("thread_1"), "threads")) is None
        conversation = store.conversation(key())
        assert conversation == store.conversation_of(ThreadId("thread_1"))
        assert conversation is not None
        assert (conversation.id, conversation.backend) == (claim.conversation.id, "threads")

    def test_thread_is_unset(self, store: Store) -> None:
        claim = begin(store)
        say(store)
        store.write([Bound(claim.lease, ThreadId("thread_1"), "threads")])
        assert store.conversation_of(ThreadId("thread_1")) is not None
        *_, following = store.write([Bound(claim.lease, None, ""), answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.conversation == claim.conversation == store.conversation(key())
        assert (following.conversation.thread, following.conversation.backend) == (None, "")
        assert store.conversation_of(ThreadId("thread_1")) is None

    def test_former_threads_are_kept_until_the_conversation_is_deleted(self, store: Store) -> None:
        claim = begin(store)
        for thread in ("thread_1", "thread_1", None, "conv_1", "conv_2"):
            bound = Bound(claim.lease, None if thread is None else ThreadId(thread), (thread or "").partition("_")[0])
            assert write(store, bound) is None
        conversation = claim.conversation.id
        assert store.former_threads(conversation) == [("thread_1", "thread"), ("conv_1", "conv")]
        store.forget(conversation)
        assert store.former_threads(conversation) == []

    def test_a_runs_id_is_stored(self, store: Store, expire_lease: Expire) -> None:
        claim = begin(store)
        assert write(store, Started(claim.lease, claim.turn.id, RunId("run_1"))) is None
        expire_lease(claim.conversation.id)
        assert claim_one(store, "two").turn.run_id == "run_1"

    def test_reply_resolves_a_turn(self, store: Store) -> None:
        claim = begin(store)
        turn = write(store, Settled(claim.lease, claim.turn.id, "Hi\x00 🕊", Usage(3, 4)))
        assert turn == read(store, claim.turn)
        assert isinstance(turn, Turn)
        assert (turn.state, turn.reply, turn.usage) == (TurnState.ANSWERED, "Hi\ufffd 🕊", Usage(3, 4))
        assert turn.answered_at is not None
        assert turn.answered_at >= turn.received_at
        assert turn.delivered_at is None

    def test_files_of_the_reply_are_stored(self, store: Store) -> None:
        claim = begin(store)
        settled = write(store, Settled(claim.lease, claim.turn.id, files=(*FILES, UNSTORABLE)))
        assert isinstance(settled, Turn)
        assert settled.files == (*FILES, STORED)
        write(store, finish(claim))
        assert read(store, claim.turn).files == settled.files

    def test_posted_messages_are_stored(self, store: Store, expire_lease: Expire) -> None:
        claim = begin(store)
        assert write(store, Brought(claim.lease, claim.turn.id, ("1.1", "1.2"))) is None
        assert read(store, claim.turn) == replace(claim.turn, parts=("1.1", "1.2"))
        brought = Brought(claim.lease, claim.turn.id, ("a\x00b\ud800",))
        settled, _ = store.write([answer(claim), brought])
        assert isinstance(settled, Turn)
        assert read(store, claim.turn) == replace(settled, parts=("a\ufffdb\ufffd",))
        expire_lease(claim.conversation.id)
        again = claim_one(store, "two")
        assert again.turn == read(store, claim.turn)
        write(store, Brought(again.lease, again.turn.id, ()))
        assert read(store, claim.turn) == replace(again.turn, parts=())

    def test_posted_messages_of_cancelled_turn_are_stored(self, store: Store) -> None:
        claim = begin(store)
        store.cancel(claim.turn.id)
        write(store, Brought(claim.lease, claim.turn.id, ("1.1",)))
        turn = read(store, claim.turn)
        assert (turn.state, turn.parts) == (TurnState.CANCELLED, ("1.1",))

    def test_posted_messages_are_stored_for_the_current_turn_only(self, store: Store) -> None:
        claim, waiting = begin(store), say(store).turn
        _, following = store.write([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        later = say(store).turn
        before = [read(store, turn) for turn in (claim.turn, waiting, later)]
        assert store.write([Brought(claim.lease, turn.id, ("1.1",)) for turn in (claim.turn, later)]) == [None, None]
        assert [read(store, turn) for turn in (claim.turn, waiting, later)] == before

    def test_writes_of_several_turns_are_applied_together(self, store: Store) -> None:
        begun, answered, noted, both, all_of_it = (begin(store, channel) for channel in "abcde")
        store.write(
            [
                *(Started(claim.lease, claim.turn.id, RunId("r")) for claim in (begun, both, all_of_it)),
                *(Brought(claim.lease, claim.turn.id, ("1.1",)) for claim in (noted, both, all_of_it)),
                *(answer(claim) for claim in (answered, all_of_it)),
                finish(all_of_it),
            ]
        )
        turns = [read(store, claim.turn) for claim in (begun, answered, noted, both, all_of_it)]
        assert [turn.run_id for turn in turns] == ["r", None, None, "r", "r"]
        assert [turn.parts for turn in turns] == [(), (), ("1.1",), ("1.1",), ("1.1",)]
        assert [turn.reply for turn in turns] == ["", "Hi", "", "", "Hi"]
        assert turns[-1].state is TurnState.DELIVERED

    def test_failure_resolves_a_turn(self, store: Store) -> None:
        claim = begin(store)
        turn = write(store, Settled(claim.lease, claim.turn.id, failure=FAILURE))
        assert turn == read(store, claim.turn)
        assert isinstance(turn, Turn)
        assert (turn.state, turn.failure, turn.reply) == (TurnState.FAILED, FAILURE, "")

    def test_turn_is_resolved_once(self, store: Store) -> None:
        claim = begin(store)
        first = write(store, answer(claim, "first"))
        assert write(store, answer(claim, "second")) == first == read(store, claim.turn)

    def test_a_cancelled_turn_stays_cancelled(self, store: Store) -> None:
        claim = begin(store)
        cancelled = store.cancel(claim.turn.id)
        assert write(store, answer(claim)) == cancelled == read(store, claim.turn)

    def test_a_finished_turn_is_delivered_and_the_conversation_idle(self, store: Store) -> None:
        claim = begin(store)
        store.write([answer(claim)])
        assert write(store, finish(claim)) is None
        turn = read(store, claim.turn)
        assert turn.state is TurnState.DELIVERED
        assert turn.delivered_at is not None
        assert isinstance(write(store, finish(claim)), LeaseLost)
        assert say(store, owner="two").claim is not None

    def test_finishing_claims_the_next_turn(self, store: Store, peer: Store) -> None:
        claim = begin(store)
        turn = say(store).turn
        _, following = store.write([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert (following.lease, following.conversation) == (claim.lease, claim.conversation)
        assert following.turn == read(store, turn)
        assert (following.turn.state, following.turn.attempts, following.fresh) == (TurnState.RUNNING, 1, True)
        assert following.turn.started_at is not None
        assert peer.claim("two", [PLATFORM], 10) == ()
        assert isinstance(write(store, answer(following)), Turn)

    def test_next_claim_has_the_new_thread(self, store: Store) -> None:
        claim = begin(store)
        say(store)
        bound = Bound(claim.lease, ThreadId("t"), "threads")
        *_, following = store.write(
            [bound, Started(claim.lease, claim.turn.id, RunId("r")), answer(claim), finish(claim)]
        )
        assert isinstance(following, Claim)
        assert following.conversation == store.conversation(key())
        assert following.conversation.thread == "t"
        assert read(store, claim.turn).run_id == "r"

    def test_finishing_claims_a_cancelled_turn_unchanged(self, store: Store) -> None:
        claim = begin(store)
        turn = say(store).turn
        cancelled = store.cancel(turn.id)
        _, following = store.write([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert (untrailed(following.turn), following.fresh) == (untrailed(cancelled), False)

    def test_finishing_can_release_the_lease(self, store: Store, peer: Store) -> None:
        claim = begin(store)
        turn = say(store).turn
        assert store.write([answer(claim), finish(claim, keep=False)])[1] is None
        assert isinstance(write(store, finish(claim)), LeaseLost)
        assert claim_one(peer, "two").turn.id == turn.id

    def test_finishing_again_has_the_same_result(self, store: Store) -> None:
        """As when the connection broke before the first result arrived."""
        claim = begin(store)
        say(store)
        say(store)
        _, first = store.write([answer(claim), finish(claim)])
        again = write(store, finish(claim))
        assert isinstance(first, Claim)
        assert isinstance(again, Claim)
        assert (again.turn.id, again.lease, again.fresh) == (first.turn.id, first.lease, False)

    def test_a_turn_without_an_outcome_cannot_be_finished(self, store: Store) -> None:
        claim = begin(store)
        again = write(store, finish(claim))
        assert isinstance(again, Claim)
        assert (again.turn.id, again.turn.attempts, again.fresh) == (claim.turn.id, 2, False)

    def test_failed_and_cancelled_turns_keep_their_state_when_finished(self, store: Store) -> None:
        failed, cancelled = begin(store, "failed"), begin(store, "cancelled")
        store.cancel(cancelled.turn.id)
        store.write([Settled(failed.lease, failed.turn.id, failure=FAILURE), finish(failed), finish(cancelled)])
        for claim, state in ((failed, TurnState.FAILED), (cancelled, TurnState.CANCELLED)):
            turn = read(store, claim.turn)
            assert turn.state is state
            assert turn.delivered_at is not None

    def test_undeliverable_reply_is_kept_with_the_reason(self, store: Store) -> None:
        claim = begin(store)
        store.write([answer(claim), Finished(claim.lease, claim.turn.id, failure=FAILURE)])
        turn = read(store, claim.turn)
        assert (turn.state, turn.reply, turn.failure) == (TurnState.FAILED, "Hi", FAILURE)
        assert (turn.usage, turn.delivered_at) == (Usage(3, 4), None)

    def test_undeliverable_failure_is_not_changed(self, store: Store) -> None:
        claim = begin(store)
        settled = write(store, Settled(claim.lease, claim.turn.id, failure=FAILURE))
        write(store, Finished(claim.lease, claim.turn.id, failure=Failure("undeliverable", "No.")))
        assert read(store, claim.turn) == settled

    def test_released_conversation_is_claimable_at_once(self, store: Store, peer: Store) -> None:
        claim = begin(store)
        assert write(store, Released(claim.lease)) is None
        assert isinstance(write(store, answer(claim)), LeaseLost)
        again = claim_one(peer, "two")
        assert (again.turn.id, again.turn.attempts, again.fresh) == (claim.turn.id, 1, False)

    def test_turn_released_unstarted_is_a_first_attempt_again(self, store: Store) -> None:
        claim = begin(store)
        write(store, Released(claim.lease, fresh=True))
        turn = read(store, claim.turn)
        assert (turn.state, turn.attempts, turn.started_at) == (TurnState.QUEUED, 0, None)
        again = claim_one(store)
        assert (again.turn.attempts, again.fresh) == (1, True)

    def test_conversation_released_with_delay_waits(self, store: Store, expire_lease: Expire) -> None:
        claim = begin(store)
        write(store, Released(claim.lease, after=60.0))
        assert store.claim("two", [PLATFORM], 10) == ()
        expire_lease(claim.conversation.id)
        assert claim_one(store, "two").turn.id == claim.turn.id

    def test_released_turn_keeps_its_reply(self, store: Store) -> None:
        claim = begin(store)
        settled = write(store, answer(claim))
        write(store, Released(claim.lease, fresh=True))
        assert untrailed(claim_one(store).turn) == untrailed(settled)

    @pytest.mark.parametrize("kind", ["bound", "started", "settled", "brought", "finished", "released"])
    def test_write_with_lost_lease_changes_nothing(self, store: Store, expire_lease: Expire, kind: str) -> None:
        old, good = begin(store), begin(store, "other")
        expire_lease(old.conversation.id)
        new = claim_one(store, "two")
        lease, turn = old.lease, old.turn.id
        changes: dict[str, Change] = {
            "bound": Bound(lease, ThreadId("t"), "threads"),
            "started": Started(lease, turn, RunId("r")),
            "settled": Settled(lease, turn, "late"),
            "brought": Brought(lease, turn, ("1.1",)),
            "finished": Finished(lease, turn),
            "released": Released(lease, fresh=True),
        }
        before, result, after = store.write([answer(good), changes[kind], finish(good)])
        assert isinstance(result, LeaseLost)
        assert isinstance(before, Turn)
        assert after is None
        assert read(store, turn) == new.turn
        assert store.conversation(key()) == old.conversation
        assert isinstance(write(store, answer(new)), Turn)

    def test_lease_is_valid_for_its_owner_only(self, store: Store) -> None:
        claim = begin(store)
        stolen = Lease(claim.lease.conversation, "two", claim.lease.epoch)
        assert isinstance(write(store, Settled(stolen, claim.turn.id, "mine")), LeaseLost)
        nowhere = Lease(10**9, "one", 1)
        assert isinstance(write(store, Settled(nowhere, claim.turn.id, "mine")), LeaseLost)

    def test_writes_of_one_conversation_apply_in_order(self, store: Store) -> None:
        claim = begin(store)
        results = store.write([Released(claim.lease), answer(claim), finish(claim)])
        assert results[0] is None
        assert all(isinstance(result, LeaseLost) for result in results[1:])
        assert read(store, claim.turn).state is TurnState.RUNNING

    def test_results_are_in_the_order_of_the_writes(self, store: Store) -> None:
        claims = [begin(store, f"{number}") for number in range(30)]
        claims = claims[::2] + claims[1::2][::-1]
        results = store.write([answer(claim, f"to {claim.turn.id}") for claim in claims])
        turns = [result for result in results if isinstance(result, Turn)]
        assert [(turn.id, turn.reply) for turn in turns] == [(c.turn.id, f"to {c.turn.id}") for c in claims]
        assert store.write([]) == ()

    def test_concurrent_batches_do_not_deadlock(self, store: Store, peer: Store) -> None:
        claims = [begin(store, f"{number}") for number in range(12)]

        def many(each: Store, changes: list[Change]) -> None:
            for _ in range(5):
                assert not any(isinstance(result, LeaseLost) for result in each.write(changes))
                each.renew("one")

        forth: list[Change] = [Started(claim.lease, claim.turn.id, RunId("r")) for claim in claims]
        at_once(
            [lambda: many(store, forth), lambda: many(peer, forth[::-1]), lambda: many(peer, forth[::2] + forth[1::2])]
        )
