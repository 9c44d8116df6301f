"""Contract of Store: writes of lease holders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.conversations import AssistantThread, Claim, Lease
from gateway.domain.errors import LeaseLost, ThreadNotFound
from gateway.domain.exchange import Exchange, RequestedCall
from gateway.domain.models import Failure, RunId, ThreadId, Turn, TurnState, Usage
from gateway.ports.leased_writes import (
    FinishTurn,
    LeasedWrite,
    RecordOutcome,
    ReleaseLease,
    SetPostedMessages,
    SetRun,
    SetThread,
)
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FAILURE,
    FILES,
    PLATFORM,
    STORED_FILE,
    UNSTORABLE_FILE,
    ExpireLease,
    answer,
    apply_write,
    claim_one,
    enqueue,
    enqueue_and_claim,
    finish,
    get_turn,
    key,
    run_concurrently,
    without_audit_log,
)


class WritingContract:
    def test_thread_is_set(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        assert apply_write(store, SetThread(claim.lease, ThreadId("thread_1"), "threads")) is None
        conversation = store.find_conversation(key())
        assert conversation == store.find_conversation_by_thread(ThreadId("thread_1"))
        assert conversation is not None
        assert (conversation.id, conversation.backend) == (claim.conversation.id, "threads")

    def test_the_calls_of_a_reply_are_stored(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        calls = (RequestedCall("call_1", "weather", "{}"), RequestedCall("call_2", "time", "{}", "noon"))
        answered = apply_write(store, replace(answer(claim, ""), calls=calls))
        assert isinstance(answered, Turn)
        assert answered.calls == get_turn(store, answered).calls == calls

    def test_thread_is_unset(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        enqueue(store)
        store.apply_writes([SetThread(claim.lease, ThreadId("thread_1"), "threads")])
        assert store.find_conversation_by_thread(ThreadId("thread_1")) is not None
        *_, following = store.apply_writes([SetThread(claim.lease, None, ""), answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.conversation == claim.conversation == store.find_conversation(key())
        assert (following.conversation.thread_id, following.conversation.backend) == (None, "")

    def test_a_thread_belongs_to_its_conversation_for_good(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        thread, other = ThreadId("thread_1"), replace(key(), channel="other")
        store.apply_writes([SetThread(claim.lease, thread, "threads"), SetThread(claim.lease, None, "")])
        owner = store.find_conversation(key())
        assert store.find_conversation_by_thread(thread) == owner
        assert store.import_thread(other, thread, "threads", []) == owner
        store.delete_conversation(claim.conversation.id)
        assert store.find_conversation_by_thread(thread) is None
        with pytest.raises(ThreadNotFound):
            store.import_thread(other, thread, "threads", [])

    def test_the_thread_of_a_deleted_conversation_is_not_imported_again(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([SetThread(claim.lease, ThreadId("thread_1"), "threads")])
        store.delete_conversation(claim.conversation.id)
        with pytest.raises(ThreadNotFound):
            store.import_thread(key(), ThreadId("thread_1"), "threads", [])

    def test_a_thread_that_was_only_imported_may_be_imported_again(self, store: Store) -> None:
        imported = store.import_thread(key(), ThreadId("thread_1"), "threads", [Exchange("a", "b")])
        store.release_adopted(imported.id)
        assert store.find_conversation(key()) is None
        assert store.import_thread(key(), ThreadId("thread_1"), "threads", []).thread_id == "thread_1"

    def test_former_threads_are_kept_until_the_conversation_is_deleted(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        for thread in ("thread_1", "thread_1", None, "conv_1", "conv_2"):
            bound = SetThread(
                claim.lease, None if thread is None else ThreadId(thread), (thread or "").partition("_")[0]
            )
            assert apply_write(store, bound) is None
        conversation = claim.conversation.id
        former = [AssistantThread(ThreadId("thread_1"), "thread"), AssistantThread(ThreadId("conv_1"), "conv")]
        assert store.former_threads(conversation) == former
        store.delete_conversation(conversation)
        assert store.former_threads(conversation) == []

    def test_a_runs_id_is_stored(self, store: Store, expire_lease: ExpireLease) -> None:
        claim = enqueue_and_claim(store)
        assert apply_write(store, SetRun(claim.lease, claim.turn, RunId("run_1"))) == get_turn(store, claim.turn)
        expire_lease(claim.conversation.id)
        assert claim_one(store, "two").turn.run_id == "run_1"

    def test_reply_resolves_a_turn(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        turn = apply_write(store, RecordOutcome(claim.lease, claim.turn, "Hi\x00 🕊", Usage(3, 4)))
        assert turn == get_turn(store, claim.turn)
        assert isinstance(turn, Turn)
        assert (turn.state, turn.reply, turn.usage) == (TurnState.ANSWERED, "Hi\ufffd 🕊", Usage(3, 4))
        assert turn.answered_at is not None
        assert turn.answered_at >= turn.received_at
        assert turn.delivered_at is None

    def test_a_refusal_is_stored_with_its_reply(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        turn = apply_write(store, RecordOutcome(claim.lease, claim.turn, "Hm.\n\nNo\x00", refusal="No\x00"))
        assert turn == get_turn(store, claim.turn)
        assert isinstance(turn, Turn)
        assert (turn.reply, turn.refusal) == ("Hm.\n\nNo\ufffd", "No\ufffd")

    def test_files_of_the_reply_are_stored(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        settled = apply_write(store, RecordOutcome(claim.lease, claim.turn, files=(*FILES, UNSTORABLE_FILE)))
        assert isinstance(settled, Turn)
        assert settled.reply_files == (*FILES, STORED_FILE)
        apply_write(store, finish(claim))
        assert get_turn(store, claim.turn).reply_files == settled.reply_files

    def test_posted_messages_are_stored(self, store: Store, expire_lease: ExpireLease) -> None:
        claim = enqueue_and_claim(store)
        noted = apply_write(store, SetPostedMessages(claim.lease, claim.turn, ("1.1", "1.2")))
        assert noted == get_turn(store, claim.turn) == replace(claim.turn, posted_messages=("1.1", "1.2"))
        brought = SetPostedMessages(claim.lease, claim.turn, ("a\x00b\ud800",))
        settled, _ = store.apply_writes([answer(claim), brought])
        assert isinstance(settled, Turn)
        assert get_turn(store, claim.turn) == replace(settled, posted_messages=("a\ufffdb\ufffd",))
        expire_lease(claim.conversation.id)
        again = claim_one(store, "two")
        assert again.turn == get_turn(store, claim.turn)
        apply_write(store, SetPostedMessages(again.lease, again.turn, ()))
        assert get_turn(store, claim.turn) == replace(again.turn, posted_messages=())

    def test_posted_messages_of_cancelled_turn_are_stored(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.cancel_turn(claim.turn.id)
        apply_write(store, SetPostedMessages(claim.lease, claim.turn, ("1.1",)))
        turn = get_turn(store, claim.turn)
        assert (turn.state, turn.posted_messages) == (TurnState.CANCELLED, ("1.1",))

    def test_posted_messages_are_stored_for_the_current_turn_only(self, store: Store) -> None:
        claim, waiting = enqueue_and_claim(store), enqueue(store).turn
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        later = enqueue(store).turn
        before = [get_turn(store, turn) for turn in (claim.turn, waiting, later)]
        writes = [SetPostedMessages(claim.lease, turn, ("1.1",)) for turn in (claim.turn, later)]
        assert store.apply_writes(writes) == [before[0], before[2]]
        assert [get_turn(store, turn) for turn in (claim.turn, waiting, later)] == before

    def test_writes_of_several_turns_are_applied_together(self, store: Store) -> None:
        begun, answered, noted, both, all_of_it = (enqueue_and_claim(store, channel) for channel in "abcde")
        store.apply_writes(
            [
                *(SetRun(claim.lease, claim.turn, RunId("r")) for claim in (begun, both, all_of_it)),
                *(SetPostedMessages(claim.lease, claim.turn, ("1.1",)) for claim in (noted, both, all_of_it)),
                *(answer(claim) for claim in (answered, all_of_it)),
                finish(all_of_it),
            ]
        )
        turns = [get_turn(store, claim.turn) for claim in (begun, answered, noted, both, all_of_it)]
        assert [turn.run_id for turn in turns] == ["r", None, None, "r", "r"]
        assert [turn.posted_messages for turn in turns] == [(), (), ("1.1",), ("1.1",), ("1.1",)]
        assert [turn.reply for turn in turns] == ["", "Hi", "", "", "Hi"]
        assert turns[-1].state is TurnState.DELIVERED

    def test_failure_resolves_a_turn(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        turn = apply_write(store, RecordOutcome(claim.lease, claim.turn, failure=FAILURE))
        assert turn == get_turn(store, claim.turn)
        assert isinstance(turn, Turn)
        assert (turn.state, turn.failure, turn.reply) == (TurnState.FAILED, FAILURE, "")

    def test_turn_is_resolved_once(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        first = apply_write(store, answer(claim, "first"))
        assert apply_write(store, answer(claim, "second")) == first == get_turn(store, claim.turn)

    def test_a_cancelled_turn_stays_cancelled(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        cancelled = store.cancel_turn(claim.turn.id)
        assert apply_write(store, answer(claim)) == cancelled == get_turn(store, claim.turn)

    def test_a_cancelled_turn_keeps_what_was_shown_of_its_reply(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        cancelled = store.cancel_turn(claim.turn.id)
        assert cancelled is not None
        settled = apply_write(store, replace(answer(claim), shown="Once upon\0"))
        assert settled == replace(cancelled, reply="Once upon\ufffd") == get_turn(store, claim.turn)
        assert apply_write(store, replace(answer(claim), shown="other")) == settled

    def test_a_finished_turn_is_delivered_and_the_conversation_idle(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([answer(claim)])
        assert apply_write(store, finish(claim)) is None
        turn = get_turn(store, claim.turn)
        assert turn.state is TurnState.DELIVERED
        assert turn.delivered_at is not None
        assert isinstance(apply_write(store, finish(claim)), LeaseLost)
        assert enqueue(store, owner="two").claim is not None

    def test_finishing_claims_the_next_turn(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        turn = enqueue(store).turn
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert (following.lease, following.conversation) == (claim.lease, claim.conversation)
        assert following.turn == get_turn(store, turn)
        assert (following.turn.state, following.turn.attempts, following.first_attempt) == (TurnState.RUNNING, 1, True)
        assert following.turn.started_at is not None
        assert peer.claim("two", [PLATFORM], 10) == ()
        assert isinstance(apply_write(store, answer(following)), Turn)

    def test_next_claim_has_the_new_thread(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        enqueue(store)
        bound = SetThread(claim.lease, ThreadId("t"), "threads")
        *_, following = store.apply_writes(
            [bound, SetRun(claim.lease, claim.turn, RunId("r")), answer(claim), finish(claim)]
        )
        assert isinstance(following, Claim)
        assert following.conversation == store.find_conversation(key())
        assert following.conversation.thread_id == "t"
        assert get_turn(store, claim.turn).run_id == "r"

    def test_finishing_claims_a_cancelled_turn_unchanged(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        turn = enqueue(store).turn
        cancelled = store.cancel_turn(turn.id)
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert (without_audit_log(following.turn), following.first_attempt) == (without_audit_log(cancelled), False)

    def test_finishing_can_release_the_lease(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        turn = enqueue(store).turn
        assert store.apply_writes([answer(claim), finish(claim, keep=False)])[1] is None
        assert isinstance(apply_write(store, finish(claim)), LeaseLost)
        assert claim_one(peer, "two").turn.id == turn.id

    def test_finishing_again_has_the_same_result(self, store: Store) -> None:
        """As when the connection broke before the first result arrived."""
        claim = enqueue_and_claim(store)
        enqueue(store)
        enqueue(store)
        _, first = store.apply_writes([answer(claim), finish(claim)])
        again = apply_write(store, finish(claim))
        assert isinstance(first, Claim)
        assert isinstance(again, Claim)
        assert (again.turn.id, again.lease, again.first_attempt) == (first.turn.id, first.lease, False)

    def test_a_turn_without_an_outcome_cannot_be_finished(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        again = apply_write(store, finish(claim))
        assert isinstance(again, Claim)
        assert (again.turn.id, again.turn.attempts, again.first_attempt) == (claim.turn.id, 2, False)

    def test_failed_and_cancelled_turns_keep_their_state_when_finished(self, store: Store) -> None:
        failed, cancelled = enqueue_and_claim(store, "failed"), enqueue_and_claim(store, "cancelled")
        store.cancel_turn(cancelled.turn.id)
        store.apply_writes(
            [RecordOutcome(failed.lease, failed.turn, failure=FAILURE), finish(failed), finish(cancelled)]
        )
        for claim, state in ((failed, TurnState.FAILED), (cancelled, TurnState.CANCELLED)):
            turn = get_turn(store, claim.turn)
            assert turn.state is state
            assert turn.delivered_at is not None

    def test_undeliverable_reply_is_kept_with_the_reason(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([answer(claim), FinishTurn(claim.lease, claim.turn, failure=FAILURE)])
        turn = get_turn(store, claim.turn)
        assert (turn.state, turn.reply, turn.failure) == (TurnState.FAILED, "Hi", FAILURE)
        assert (turn.usage, turn.delivered_at) == (Usage(3, 4), None)

    def test_undeliverable_failure_is_not_changed(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        settled = apply_write(store, RecordOutcome(claim.lease, claim.turn, failure=FAILURE))
        apply_write(store, FinishTurn(claim.lease, claim.turn, failure=Failure("undeliverable", "No.")))
        assert get_turn(store, claim.turn) == settled

    def test_released_conversation_is_claimable_at_once(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        assert apply_write(store, ReleaseLease(claim.lease)) is None
        assert isinstance(apply_write(store, answer(claim)), LeaseLost)
        again = claim_one(peer, "two")
        assert (again.turn.id, again.turn.attempts, again.first_attempt) == (claim.turn.id, 1, False)

    def test_turn_released_unstarted_is_a_first_attempt_again(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, ReleaseLease(claim.lease, not_started=True))
        turn = get_turn(store, claim.turn)
        assert (turn.state, turn.attempts, turn.started_at) == (TurnState.QUEUED, 0, None)
        again = claim_one(store)
        assert (again.turn.attempts, again.first_attempt) == (1, True)

    @pytest.mark.parametrize("not_started", [False, True])
    def test_an_attempt_that_failed_is_counted(self, store: Store, *, not_started: bool) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, ReleaseLease(claim.lease, not_started=not_started, failed=True))
        again = claim_one(store)
        assert (again.turn.attempts, again.first_attempt) == (2, not_started)

    def test_conversation_released_with_delay_waits(self, store: Store, expire_lease: ExpireLease) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, ReleaseLease(claim.lease, delay_seconds=60.0))
        assert store.claim("two", [PLATFORM], 10) == ()
        expire_lease(claim.conversation.id)
        assert claim_one(store, "two").turn.id == claim.turn.id

    def test_released_turn_keeps_its_reply(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        settled = apply_write(store, answer(claim))
        apply_write(store, ReleaseLease(claim.lease, not_started=True))
        assert without_audit_log(claim_one(store).turn) == without_audit_log(settled)

    @pytest.mark.parametrize("kind", ["bound", "started", "settled", "brought", "finished", "released"])
    def test_write_with_lost_lease_changes_nothing(self, store: Store, expire_lease: ExpireLease, kind: str) -> None:
        old, good = enqueue_and_claim(store), enqueue_and_claim(store, "other")
        expire_lease(old.conversation.id)
        new = claim_one(store, "two")
        lease, turn = old.lease, old.turn
        changes: dict[str, LeasedWrite] = {
            "bound": SetThread(lease, ThreadId("t"), "threads"),
            "started": SetRun(lease, turn, RunId("r")),
            "settled": RecordOutcome(lease, turn, "late"),
            "brought": SetPostedMessages(lease, turn, ("1.1",)),
            "finished": FinishTurn(lease, turn),
            "released": ReleaseLease(lease, not_started=True),
        }
        before, result, after = store.apply_writes([answer(good), changes[kind], finish(good)])
        assert isinstance(result, LeaseLost)
        assert isinstance(before, Turn)
        assert after is None
        assert get_turn(store, turn) == new.turn
        assert store.find_conversation(key()) == old.conversation
        assert isinstance(apply_write(store, answer(new)), Turn)

    def test_lease_is_valid_for_its_owner_only(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        stolen = Lease(claim.lease.conversation_id, "two", claim.lease.epoch)
        assert isinstance(apply_write(store, RecordOutcome(stolen, claim.turn, "mine")), LeaseLost)
        nowhere = Lease(10**9, "one", 1)
        assert isinstance(apply_write(store, RecordOutcome(nowhere, claim.turn, "mine")), LeaseLost)

    def test_writes_of_one_conversation_apply_in_order(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        results = store.apply_writes([ReleaseLease(claim.lease), answer(claim), finish(claim)])
        assert results[0] is None
        assert all(isinstance(result, LeaseLost) for result in results[1:])
        assert get_turn(store, claim.turn).state is TurnState.RUNNING

    def test_results_are_in_the_order_of_the_writes(self, store: Store) -> None:
        claims = [enqueue_and_claim(store, f"{number}") for number in range(30)]
        claims = claims[::2] + claims[1::2][::-1]
        results = store.apply_writes([answer(claim, f"to {claim.turn.id}") for claim in claims])
        turns = [result for result in results if isinstance(result, Turn)]
        assert [(turn.id, turn.reply) for turn in turns] == [(c.turn.id, f"to {c.turn.id}") for c in claims]
        assert store.apply_writes([]) == ()

    def test_concurrent_batches_do_not_deadlock(self, store: Store, peer: Store) -> None:
        claims = [enqueue_and_claim(store, f"{number}") for number in range(12)]

        def many(each: Store, changes: list[LeasedWrite]) -> None:
            for _ in range(5):
                assert not any(isinstance(result, LeaseLost) for result in each.apply_writes(changes))
                each.renew_leases("one")

        forth: list[LeasedWrite] = [SetRun(claim.lease, claim.turn, RunId("r")) for claim in claims]
        run_concurrently(
            [lambda: many(store, forth), lambda: many(peer, forth[::-1]), lambda: many(peer, forth[::2] + forth[1::2])]
        )
