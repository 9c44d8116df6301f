"""Contract of Store: messages recorded as failed, and retries."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.errors import Conflict, TurnNotFound
from gateway.domain.models import NO_TOKENS, Claim, Failure, Kind, Mark, Turn, TurnId, TurnState
from gateway.ports.store import Brought, Finished, Settled, Store
from tests.contracts.store_helpers import (
    FAILURE,
    FILES,
    PLATFORM,
    Expire,
    answer,
    at_once,
    begin,
    claim_one,
    finish,
    key,
    message,
    new_turn,
    read,
    say,
    trail,
    write,
)

BUSY = Failure("overloaded", "Not now.", "600 turns wait", 30.0)


class RefusingContract:
    def test_enqueue_failed_records_a_failed_turn(self, store: Store) -> None:
        told = message(files=FILES, wait=1e6, awaited=True)
        refused = store.refuse(told, new_turn(), BUSY)
        assert refused is not None
        assert refused == read(store, refused)
        assert (refused.state, refused.failure, refused.attempts, refused.seq) == (TurnState.FAILED, BUSY, 0, 1)
        assert refused.answered_at == refused.received_at
        assert refused.message.awaited is False
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.state, claim.fresh) == (refused.id, TurnState.FAILED, False)
        assert write(store, finish(claim)) is None
        assert store.claim("one", [PLATFORM], 1) == ()

    def test_failure_is_delivered_after_earlier_turns(self, store: Store) -> None:
        claim = begin(store)
        refused = store.refuse(message(), new_turn(), BUSY)
        assert refused is not None
        behind = say(store).turn
        _, following = store.write([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.turn.id == refused.id
        last = write(store, finish(following))
        assert isinstance(last, Claim)
        assert (last.turn.id, last.fresh) == (behind.id, True)

    def test_undelivered_failure_covers_later_ones(self, store: Store, peer: Store) -> None:
        assert store.refuse(message(), new_turn(), BUSY) is not None
        assert peer.refuse(message(), new_turn(), BUSY) is None
        assert peer.refuse(message(), new_turn(), FAILURE) is not None
        assert peer.refuse(message(), new_turn(), BUSY) is not None
        claim = claim_one(store)
        assert store.refuse(message(), new_turn(), BUSY) is None
        assert len(store.transcript(claim.conversation.id)) == 3

    def test_delivered_failure_does_not_cover_the_next(self, store: Store) -> None:
        store.refuse(message(), new_turn(), BUSY)
        write(store, finish(claim_one(store)))
        assert store.refuse(message(), new_turn(), BUSY) is not None

    def test_turn_that_failed_while_running_covers_nothing(self, store: Store) -> None:
        claim = begin(store)
        write(store, Settled(claim.lease, claim.turn.id, failure=BUSY))
        assert store.refuse(message(), new_turn(), BUSY) is not None

    def test_known_or_not_starting_message_records_no_failure(self, store: Store) -> None:
        assert store.refuse(message(opens=False), new_turn(), BUSY) is None
        assert store.conversation(key()) is None
        told = message()
        turn = store.record(told, new_turn()).turn
        assert store.refuse(told, new_turn(), BUSY) is None
        assert store.transcript(turn.conversation) == [turn]
        assert store.refuse(message(opens=False), new_turn(), BUSY) is not None

    def test_failed_stop_cancels_nothing(self, store: Store) -> None:
        waiting = say(store).turn
        assert store.refuse(message(kind=Kind.STOP), new_turn(), BUSY) is not None
        assert read(store, waiting) == waiting

    def test_concurrent_failures_record_one_turn(self, store: Store, peer: Store) -> None:
        refusals = [partial((store, peer)[n % 2].refuse, message(), new_turn(), BUSY) for n in range(6)]
        assert sum(refused is not None for refused in at_once(refusals)) == 1


class RetryingContract:
    def failed(self, store: Store) -> Turn:
        told = message(kind=Kind.RESET, files=FILES, trace="00-trace", awaited=True)
        claim = store.record(told, new_turn(), owner="one", taker="web").claim
        assert claim is not None
        store.write([Settled(claim.lease, claim.turn.id, failure=FAILURE), finish(claim)])
        return read(store, claim.turn)

    def test_failed_turn_is_retried_at_the_end_of_its_conversation(self, store: Store, peer: Store) -> None:
        failed = self.failed(store)
        behind = say(store).turn
        recorded = peer.retry(failed.id, TurnId("again"))
        again = recorded.turn
        assert (recorded.new, recorded.claim, recorded.stopped) == (True, None, ())
        assert (again.id, again.seq, again.state, again.attempts) == ("again", behind.seq + 1, TurnState.QUEUED, 0)
        name = again.message.message_id
        assert again.message == replace(failed.message, message_id=name, trace="", awaited=False)
        assert again == read(store, again)
        assert trail(store, failed)[-1] == (Mark.RETRIED, "again")
        ((mark, detail),) = trail(store, again)
        assert mark is Mark.RECEIVED
        assert failed.id in detail
        assert replace(read(store, failed), trail=failed.trail) == failed

    def test_retry_makes_an_idle_conversation_due(self, store: Store) -> None:
        failed = self.failed(store)
        assert store.claim("two", [PLATFORM], 10) == ()
        again = store.retry(failed.id, new_turn()).turn
        claim = claim_one(store, "two")
        assert (claim.turn.id, claim.turn.attempts, claim.fresh) == (again.id, 1, True)

    def test_cancelled_turn_is_retried(self, store: Store) -> None:
        turn = say(store).turn
        store.cancel(turn.id)
        again = store.retry(turn.id, new_turn()).turn
        claim = claim_one(store)
        assert claim.turn.id == turn.id
        following = write(store, finish(claim))
        assert isinstance(following, Claim)
        assert (following.turn.id, following.turn.state) == (again.id, TurnState.RUNNING)

    def test_retry_of_undelivered_reply_only_delivers_it(self, store: Store) -> None:
        claim = begin(store)
        answered = replace(answer(claim), files=FILES, model="m", cost=5)
        noted = Brought(claim.lease, claim.turn.id, ("1.1",))
        store.write([answered, noted, Finished(claim.lease, claim.turn.id, failure=FAILURE)])
        again = store.retry(claim.turn.id, new_turn()).turn
        assert again == read(store, again)
        assert (again.state, again.reply, again.files, again.parts) == (TurnState.ANSWERED, "Hi", FILES, ("1.1",))
        assert (again.failure, again.usage, again.cost, again.model) == (None, NO_TOKENS, 0, "m")
        claimed = claim_one(store)
        assert (claimed.turn.id, claimed.turn.attempts) == (again.id, 0)
        write(store, finish(claimed))
        assert read(store, again).state is TurnState.DELIVERED

    def test_a_turn_is_retried_once(self, store: Store, peer: Store) -> None:
        failed = self.failed(store)
        outcomes = at_once([partial(self.try_to, (store, peer)[n % 2], failed) for n in range(4)])
        assert sorted(outcomes) == [False, False, False, True]
        first, second = store.transcript(failed.conversation)
        claim = claim_one(store)
        store.write([Settled(claim.lease, claim.turn.id, failure=FAILURE), finish(claim)])
        assert store.retry(second.id, new_turn()).new
        assert (first.id, claim.turn.id) == (failed.id, second.id)

    def try_to(self, store: Store, turn: Turn) -> bool:
        try:
            return store.retry(turn.id, new_turn()).new
        except Conflict:
            return False

    def test_turn_that_did_not_fail_is_not_retried(self, store: Store, expire_lease: Expire) -> None:
        claim, queued = begin(store), say(store).turn
        for turn in (claim.turn, queued):
            with pytest.raises(Conflict):
                store.retry(turn.id, new_turn())
        store.write([answer(claim), finish(claim)])
        with pytest.raises(Conflict):
            store.retry(claim.turn.id, new_turn())
        assert len(store.transcript(claim.conversation.id)) == 2
        expire_lease(claim.conversation.id)
        assert claim_one(store).turn.id == queued.id

    def test_missing_turn_is_not_retried(self, store: Store) -> None:
        with pytest.raises(TurnNotFound):
            store.retry(TurnId("nobody"), new_turn())

    def test_retry_with_used_turn_id_is_rejected(self, store: Store) -> None:
        failed = self.failed(store)
        with pytest.raises(Conflict):
            store.retry(failed.id, failed.id)
        assert read(store, failed) == failed
