"""Contract of Store: messages recorded as failed, and retries."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.errors import Conflict, TurnNotFound
from gateway.domain.models import NO_TOKENS, Failure, MessageKind, Turn, TurnId, TurnState
from gateway.ports.leased_writes import FinishTurn, RecordOutcome, SetPostedMessages
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FAILURE,
    FILES,
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
    key,
    message,
    new_turn,
    run_concurrently,
)

BUSY = Failure("overloaded", "Not now.", "600 turns wait", 30.0)


class EnqueueFailedContract:
    def test_enqueue_failed_records_a_failed_turn(self, store: Store) -> None:
        told = message(files=FILES, debounce_seconds=1e6, has_waiting_caller=True)
        refused = store.enqueue_failed(told, new_turn(), BUSY)
        assert refused is not None
        assert refused == get_turn(store, refused)
        assert (refused.state, refused.failure, refused.attempts, refused.seq) == (TurnState.FAILED, BUSY, 0, 1)
        assert refused.answered_at == refused.received_at
        assert refused.message.has_waiting_caller is False
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.state, claim.first_attempt) == (refused.id, TurnState.FAILED, False)
        assert apply_write(store, finish(claim)) is None
        assert store.claim("one", [PLATFORM], 1) == ()

    def test_failure_is_delivered_after_earlier_turns(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        refused = store.enqueue_failed(message(), new_turn(), BUSY)
        assert refused is not None
        behind = enqueue(store).turn
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.turn.id == refused.id
        last = apply_write(store, finish(following))
        assert isinstance(last, Claim)
        assert (last.turn.id, last.first_attempt) == (behind.id, True)

    def test_undelivered_failure_covers_later_ones(self, store: Store, peer: Store) -> None:
        assert store.enqueue_failed(message(), new_turn(), BUSY) is not None
        assert peer.enqueue_failed(message(), new_turn(), BUSY) is None
        assert peer.enqueue_failed(message(), new_turn(), FAILURE) is not None
        assert peer.enqueue_failed(message(), new_turn(), BUSY) is not None
        claim = claim_one(store)
        assert store.enqueue_failed(message(), new_turn(), BUSY) is None
        assert len(store.transcript(claim.conversation.id)) == 3

    def test_delivered_failure_does_not_cover_the_next(self, store: Store) -> None:
        store.enqueue_failed(message(), new_turn(), BUSY)
        apply_write(store, finish(claim_one(store)))
        assert store.enqueue_failed(message(), new_turn(), BUSY) is not None

    def test_turn_that_failed_while_running_covers_nothing(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, RecordOutcome(claim.lease, claim.turn, failure=BUSY))
        assert store.enqueue_failed(message(), new_turn(), BUSY) is not None

    def test_known_or_not_starting_message_records_no_failure(self, store: Store) -> None:
        assert store.enqueue_failed(message(may_start_conversation=False), new_turn(), BUSY) is None
        assert store.find_conversation(key()) is None
        told = message()
        turn = enqueue_one(store, told, new_turn()).turn
        assert store.enqueue_failed(told, new_turn(), BUSY) is None
        assert store.transcript(turn.conversation_id) == [turn]
        assert store.enqueue_failed(message(may_start_conversation=False), new_turn(), BUSY) is not None

    def test_failed_stop_cancels_nothing(self, store: Store) -> None:
        waiting = enqueue(store).turn
        assert store.enqueue_failed(message(kind=MessageKind.STOP), new_turn(), BUSY) is not None
        assert get_turn(store, waiting) == waiting

    def test_concurrent_failures_record_one_turn(self, store: Store, peer: Store) -> None:
        refusals = [partial((store, peer)[n % 2].enqueue_failed, message(), new_turn(), BUSY) for n in range(6)]
        assert sum(refused is not None for refused in run_concurrently(refusals)) == 1


class RetryContract:
    def failed(self, store: Store) -> Turn:
        told = message(kind=MessageKind.RESET, files=FILES, traceparent="00-trace", has_waiting_caller=True)
        claim = enqueue_one(store, told, new_turn(), owner="one", received_by="web").claim
        assert claim is not None
        store.apply_writes([RecordOutcome(claim.lease, claim.turn, failure=FAILURE), finish(claim)])
        return get_turn(store, claim.turn)

    def test_failed_turn_is_retried_at_the_end_of_its_conversation(self, store: Store, peer: Store) -> None:
        failed = self.failed(store)
        behind = enqueue(store).turn
        recorded = peer.retry_turn(failed.id, TurnId("again"))
        again = recorded.turn
        assert (recorded.is_new, recorded.claim, recorded.cancelled) == (True, None, ())
        assert (again.id, again.seq, again.state, again.attempts) == ("again", behind.seq + 1, TurnState.QUEUED, 0)
        name = again.message.message_id
        assert again.message == replace(failed.message, message_id=name, traceparent="", has_waiting_caller=False)
        assert again == get_turn(store, again)
        assert audit_log(store, failed)[-1] == (AuditEvent.RETRIED_AS, "again")
        ((mark, detail),) = audit_log(store, again)
        assert mark is AuditEvent.RECEIVED
        assert failed.id in detail
        assert replace(get_turn(store, failed), audit_log=failed.audit_log) == failed

    def test_a_stop_that_is_retried_stops_what_came_since(self, store: Store) -> None:
        claim = enqueue_one(store, message(kind=MessageKind.STOP), new_turn(), owner="one").claim
        assert claim is not None
        store.apply_writes([RecordOutcome(claim.lease, claim.turn, failure=FAILURE), finish(claim)])
        waiting = enqueue(store).turn
        assert store.retry_turn(claim.turn.id, new_turn()).cancelled == (waiting.id,)
        assert get_turn(store, waiting).state is TurnState.CANCELLED

    def test_retry_makes_an_idle_conversation_due(self, store: Store) -> None:
        failed = self.failed(store)
        assert store.claim("two", [PLATFORM], 10) == ()
        again = store.retry_turn(failed.id, new_turn()).turn
        claim = claim_one(store, "two")
        assert (claim.turn.id, claim.turn.attempts, claim.first_attempt) == (again.id, 1, True)

    def test_cancelled_turn_is_retried(self, store: Store) -> None:
        turn = enqueue(store).turn
        store.cancel_turn(turn.id)
        again = store.retry_turn(turn.id, new_turn()).turn
        claim = claim_one(store)
        assert claim.turn.id == turn.id
        following = apply_write(store, finish(claim))
        assert isinstance(following, Claim)
        assert (following.turn.id, following.turn.state) == (again.id, TurnState.RUNNING)

    @pytest.mark.parametrize("reply", ["Hi", ""])
    def test_retry_of_undelivered_reply_only_delivers_it(self, store: Store, reply: str) -> None:
        claim = enqueue_and_claim(store)
        answered = replace(answer(claim, reply), files=FILES, model="m", cost=5)
        noted = SetPostedMessages(claim.lease, claim.turn, ("1.1",))
        store.apply_writes([answered, noted, FinishTurn(claim.lease, claim.turn, failure=FAILURE)])
        again = store.retry_turn(claim.turn.id, new_turn()).turn
        assert again == get_turn(store, again)
        assert (again.state, again.reply, again.reply_files, again.posted_messages) == (
            TurnState.ANSWERED,
            reply,
            FILES,
            ("1.1",),
        )
        assert (again.failure, again.usage, again.cost, again.model) == (None, NO_TOKENS, 0, "m")
        claimed = claim_one(store)
        assert (claimed.turn.id, claimed.turn.attempts) == (again.id, 0)
        apply_write(store, finish(claimed))
        assert get_turn(store, again).state is TurnState.DELIVERED

    def test_a_turn_is_retried_once(self, store: Store, peer: Store) -> None:
        failed = self.failed(store)
        outcomes = run_concurrently([partial(self.try_to, (store, peer)[n % 2], failed) for n in range(4)])
        assert sorted(outcomes) == [False, False, False, True]
        first, second = store.transcript(failed.conversation_id)
        claim = claim_one(store)
        store.apply_writes([RecordOutcome(claim.lease, claim.turn, failure=FAILURE), finish(claim)])
        assert store.retry_turn(second.id, new_turn()).is_new
        assert (first.id, claim.turn.id) == (failed.id, second.id)

    def try_to(self, store: Store, turn: Turn) -> bool:
        try:
            return store.retry_turn(turn.id, new_turn()).is_new
        except Conflict:
            return False

    def test_turn_that_did_not_fail_is_not_retried(self, store: Store, expire_lease: ExpireLease) -> None:
        claim, queued = enqueue_and_claim(store), enqueue(store).turn
        for turn in (claim.turn, queued):
            with pytest.raises(Conflict):
                store.retry_turn(turn.id, new_turn())
        store.apply_writes([answer(claim), finish(claim)])
        with pytest.raises(Conflict):
            store.retry_turn(claim.turn.id, new_turn())
        assert len(store.transcript(claim.conversation.id)) == 2
        expire_lease(claim.conversation.id)
        assert claim_one(store).turn.id == queued.id

    def test_missing_turn_is_not_retried(self, store: Store) -> None:
        with pytest.raises(TurnNotFound):
            store.retry_turn(TurnId("nobody"), new_turn())

    def test_retry_with_used_turn_id_is_rejected(self, store: Store) -> None:
        failed = self.failed(store)
        with pytest.raises(Conflict):
            store.retry_turn(failed.id, failed.id)
        assert get_turn(store, failed) == failed
