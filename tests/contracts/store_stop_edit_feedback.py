"""Contract of Store: stop, edit and feedback."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.conversations import Claim
from gateway.domain.errors import Overloaded, ThreadNotFound
from gateway.domain.models import MessageKind, Turn, TurnId, TurnState
from gateway.domain.platform_events import Feedback, MessageEdited
from gateway.ports.enqueue import EnqueueResult
from gateway.ports.leased_writes import RecordOutcome, ReleaseLease
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FAILURE,
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
    key,
    message,
    new_turn,
    run_concurrently,
)


def stop(store: Store, channel: str = "loft", owner: str | None = None, backlog: int = 100) -> EnqueueResult:
    return enqueue_one(
        store, message(channel, "Stop", kind=MessageKind.STOP), new_turn(), owner=owner, max_backlog=backlog
    )


def change_of(turn: Turn, text: str = "Hallo") -> MessageEdited:
    return MessageEdited(turn.message.key.platform, turn.message.message_id, text)


def wait_for_the_clock(store: Store) -> None:
    """Waits until the database's clock, which may tick in milliseconds, has advanced."""
    since = enqueue(store, "clock").turn.received_at
    while enqueue(store, "clock").turn.received_at <= since:
        pass


class StopContract:
    def test_stop_cancels_all_unresolved_prompts_before_it(self, store: Store) -> None:
        claim, second, elsewhere = enqueue_and_claim(store), enqueue(store).turn, enqueue(store, "other").turn
        recorded = stop(store, owner="one")
        assert recorded.cancelled == (claim.turn.id, second.id)
        assert (recorded.is_new, recorded.claim, recorded.turn.state) == (True, None, TurnState.QUEUED)
        for turn in (get_turn(store, claim.turn), get_turn(store, second)):
            assert turn.state is TurnState.CANCELLED
            assert turn.answered_at is not None
            assert turn.answered_at >= turn.received_at
        assert get_turn(store, recorded.turn) == recorded.turn
        assert get_turn(store, elsewhere) == elsewhere

    def test_a_stop_of_the_channel_cancels_what_its_author_has_in_other_topics(self, store: Store) -> None:
        said = [message(text=str(number)) for number in range(4)]
        topics = [replace(one, key=replace(one.key, topic=f"t{number}")) for number, one in enumerate(said)]
        topics[3] = replace(topics[3], author="Bob")
        turns = [enqueue_one(store, one, new_turn(), owner="one").turn for one in topics]
        elsewhere = enqueue(store, "other").turn
        told = message(text="stop", kind=MessageKind.STOP, stops_channel=True)
        stopped = enqueue_one(store, replace(told, key=replace(told.key, topic="new")), new_turn(), owner="one")
        assert set(stopped.cancelled) == {turn.id for turn in turns[:3]}
        assert [get_turn(store, turn).state for turn in (*turns[3:], elsewhere)] == [
            TurnState.RUNNING,
            TurnState.QUEUED,
        ]
        assert store.stopped_in_channel(stopped.turn)
        again = replace(told, message_id="again", key=replace(told.key, topic="newer"))
        second = enqueue_one(store, again, new_turn())
        assert second.cancelled == ()
        assert not store.stopped_in_channel(replace(second.turn, received_at=second.turn.received_at + 60))
        assert get_turn(store, stopped.turn).message == replace(
            stopped.turn.message, key=replace(told.key, topic="new"), stops_channel=False
        )

    @pytest.mark.parametrize("where", ["same", "elsewhere", "nowhere", "finished"])
    def test_a_word_that_may_be_an_answer_stops_only_what_runs(self, store: Store, where: str) -> None:
        claim = enqueue_and_claim(store, "other" if where == "nowhere" else "loft")
        if where == "finished":
            store.apply_writes([answer(claim), finish(claim)])
        told = message(text="cancel", kind=MessageKind.STOP, only_if_running=True, stops_channel=where == "elsewhere")
        topic = "another" if where == "elsewhere" else told.key.topic
        recorded = enqueue_one(store, replace(told, key=replace(told.key, topic=topic)), new_turn())
        runs = where in {"same", "elsewhere"}
        assert recorded.turn.message.kind is (MessageKind.STOP if runs else MessageKind.PROMPT)
        assert recorded.cancelled == ((claim.turn.id,) if runs else ())
        assert get_turn(store, recorded.turn) == recorded.turn

    def test_turns_of_an_author_are_counted(self, store: Store) -> None:
        for _ in range(2):
            enqueue(store)
        enqueue_one(store, replace(message(), author="Bob"), new_turn())
        enqueue(store, "other")
        counted = [store.count_turns(key(), author, 60.0) for author in ("Ada", "Bob", "Eve")]
        assert counted == [2, 1, 0]
        assert store.count_turns(key(), "Ada", -60.0) == 0

    def test_resolved_turn_is_not_stopped(self, store: Store) -> None:
        delivered = enqueue_and_claim(store)
        store.apply_writes([answer(delivered), finish(delivered)])
        failed, cancelled = enqueue_and_claim(store), enqueue(store).turn
        store.apply_writes([RecordOutcome(failed.lease, failed.turn, failure=FAILURE)])
        store.cancel_turn(cancelled.id)
        before = store.transcript(failed.conversation.id)
        assert stop(store).cancelled == ()
        assert store.transcript(failed.conversation.id)[:3] == before

    def test_undelivered_reply_is_not_stopped(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        settled = apply_write(store, answer(claim))
        assert stop(store).cancelled == ()
        assert get_turn(store, claim.turn) == settled

    def test_a_reset_and_another_stop_are_not_stopped(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        resetting = enqueue_one(store, message(kind=MessageKind.RESET), new_turn()).turn
        first = stop(store)
        assert (first.cancelled, stop(store).cancelled) == ((claim.turn.id,), ())
        assert get_turn(store, resetting) == resetting
        assert get_turn(store, first.turn) == first.turn

    def test_messages_after_a_stop_are_not_stopped(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        told = message(kind=MessageKind.STOP)
        assert enqueue_one(store, told, new_turn()).cancelled == (claim.turn.id,)
        behind = enqueue(store).turn
        again = enqueue_one(store, told, new_turn())
        assert (again.is_new, again.cancelled) == (False, ())
        assert get_turn(store, behind) == behind

    def test_stop_in_idle_conversation_is_an_ordinary_turn(self, store: Store) -> None:
        recorded = stop(store, owner="one")
        assert recorded.cancelled == ()
        assert recorded.claim is not None
        assert (recorded.claim.turn.message.kind, recorded.claim.turn.state) == (MessageKind.STOP, TurnState.RUNNING)

    def test_stop_that_may_not_start_a_conversation_is_rejected(self, store: Store) -> None:
        with pytest.raises(ThreadNotFound):
            enqueue_one(store, message(kind=MessageKind.STOP, may_start_conversation=False), new_turn())
        assert store.find_conversation(key()) is None
        claim = enqueue_and_claim(store)
        assert enqueue_one(
            store, message(kind=MessageKind.STOP, may_start_conversation=False), new_turn()
        ).cancelled == (claim.turn.id,)

    def test_stop_is_accepted_with_full_backlog(self, store: Store) -> None:
        turns = [enqueue(store).turn for _ in range(2)]
        with pytest.raises(Overloaded):
            enqueue_one(store, message(kind=MessageKind.RESET), new_turn(), max_backlog=2)
        assert stop(store, backlog=2).cancelled == tuple(turn.id for turn in turns)

    def test_holder_of_a_stopped_turn_is_told_and_proceeds(self, store: Store, peer: Store) -> None:
        claim, waiting = enqueue_and_claim(store), enqueue(store).turn
        stopping = stop(peer).turn
        assert store.renew_leases("one").cancelled_turns == {claim.turn.id}
        settled, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(settled, Turn)
        assert (settled.state, settled.reply) == (TurnState.CANCELLED, "")
        assert isinstance(following, Claim)
        assert (following.turn.id, following.turn.state) == (waiting.id, TurnState.CANCELLED)
        last = apply_write(store, finish(following))
        assert isinstance(last, Claim)
        assert (last.turn.id, last.turn.state, last.first_attempt) == (stopping.id, TurnState.RUNNING, True)

    def test_stopped_turn_is_not_run_again(self, store: Store, expire_lease: ExpireLease) -> None:
        claim = enqueue_and_claim(store)
        stop(store)
        expire_lease(claim.conversation.id)
        again = claim_one(store, "two")
        assert (again.turn.id, again.turn.state, again.turn.attempts) == (claim.turn.id, TurnState.CANCELLED, 1)

    def test_concurrent_reply_and_stop_have_one_winner(self, store: Store, peer: Store) -> None:
        for number in range(10):
            claim = enqueue_and_claim(store, f"{number}")
            settled, stopping = run_concurrently(
                [partial(apply_write, store, answer(claim)), partial(stop, peer, f"{number}")]
            )
            turn = get_turn(store, claim.turn)
            assert settled == turn
            assert stopping.cancelled == ((claim.turn.id,) if turn.state is TurnState.CANCELLED else ())

    def test_concurrent_stops_cancel_each_turn_once(self, store: Store, peer: Store) -> None:
        turns = [enqueue(store).turn for _ in range(3)]
        stopping = run_concurrently([partial(stop, (store, peer)[number % 2]) for number in range(4)])
        stopped = [turn for each in stopping for turn in each.cancelled]
        assert len(stopped) == len(set(stopped))
        assert {turn.id for turn in turns} <= set(stopped)
        assert (
            get_turn(store, max((each.turn for each in stopping), key=lambda turn: turn.seq)).state is TurnState.QUEUED
        )


class EditingContract:
    def test_a_queued_turn_is_edited(self, store: Store, peer: Store) -> None:
        turn = enqueue(store).turn
        assert peer.edit_queued(change_of(turn, "a\x00b\ud800c 🕊"))
        assert get_turn(store, turn).message.text == "a\ufffdb\ufffdc 🕊"
        assert claim_one(store).turn.message.text == "a\ufffdb\ufffdc 🕊"

    def test_missing_turn_is_not_edited(self, store: Store) -> None:
        turn = enqueue(store).turn
        assert not store.edit_queued(MessageEdited(PLATFORM, "nothing", "Hallo"))
        assert not store.edit_queued(MessageEdited("crow", turn.message.message_id, "Hallo"))
        assert get_turn(store, turn) == turn

    def test_started_turn_is_not_edited(self, store: Store) -> None:
        claim, cancelled = enqueue_and_claim(store), enqueue(store).turn
        store.cancel_turn(cancelled.id)
        assert not store.edit_queued(change_of(claim.turn))
        assert not store.edit_queued(change_of(cancelled))
        assert get_turn(store, claim.turn) == claim.turn

    def test_turn_released_unstarted_is_edited(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, ReleaseLease(claim.lease, not_started=True))
        assert store.edit_queued(change_of(claim.turn))
        assert claim_one(store).turn.message.text == "Hallo"

    def test_claim_concurrent_with_edit_has_the_stored_text(self, store: Store, peer: Store) -> None:
        for _ in range(10):
            turn = enqueue(store).turn
            claims, edited = run_concurrently(
                [partial(store.claim, "one", [PLATFORM], 1), partial(peer.edit_queued, change_of(turn))],
            )
            assert claims[0].turn == get_turn(store, turn)
            assert (claims[0].turn.message.text == "Hallo") is edited
            store.apply_writes([answer(claims[0]), finish(claims[0])])

    def test_a_turn_is_found_by_its_message(self, store: Store) -> None:
        turn = enqueue(store).turn
        assert store.find_turn_by_message(PLATFORM, turn.message.message_id) == turn
        assert store.find_turn_by_message("crow", turn.message.message_id) is None
        assert store.find_turn_by_message(PLATFORM, "nothing") is None


class FeedbackContract:
    def test_feedback_is_stored_with_its_turn(self, store: Store, peer: Store) -> None:
        turn, other = enqueue(store).turn.id, enqueue(store).turn.id
        assert store.feedback_on(turn) == []
        verdicts = [Feedback(turn, "Bob\ud800", "good\x00"), Feedback(turn, "Ada", "bad")]
        for verdict in verdicts:
            assert store.record_feedback(verdict)
            wait_for_the_clock(store)
        assert peer.feedback_on(turn) == [Feedback(turn, "Bob\ufffd", "good\ufffd"), verdicts[1]]
        assert store.feedback_on(other) == []

    def test_newer_feedback_of_a_person_replaces_older(self, store: Store) -> None:
        turn = enqueue(store).turn.id
        for author, value in (("Ada", "good"), ("Bob", "good"), ("Ada", "bad")):
            assert store.record_feedback(Feedback(turn, author, value))
            wait_for_the_clock(store)
        assert store.feedback_on(turn) == [Feedback(turn, "Bob", "good"), Feedback(turn, "Ada", "bad")]

    def test_feedback_on_missing_turn_is_rejected(self, store: Store) -> None:
        assert not store.record_feedback(Feedback(TurnId("nobody"), "Ada", "good"))
        assert store.feedback_on(TurnId("nobody")) == []

    def test_feedback_is_deleted_with_its_turn(self, store: Store) -> None:
        turn = enqueue(store).turn
        store.record_feedback(Feedback(turn.id, "Ada", "good"))
        store.delete_conversation(turn.conversation_id)
        assert store.feedback_on(turn.id) == []
        again = enqueue_one(store, turn.message, turn.id).turn
        assert (again.id, store.feedback_on(again.id)) == (turn.id, [])

    def test_feedback_concurrent_with_deletion_leaves_nothing(self, store: Store, peer: Store) -> None:
        for _ in range(10):
            turn = enqueue(store).turn
            judged, _ = run_concurrently(
                [
                    partial(store.record_feedback, Feedback(turn.id, "Ada", "good")),
                    partial(peer.delete_conversation, turn.conversation_id),
                ]
            )
            assert judged in (True, False)
            assert store.feedback_on(turn.id) == []

    def test_of_many_verdicts_of_one_person_at_once_one_is_kept(self, store: Store, peer: Store) -> None:
        turn = enqueue(store).turn.id
        given = [Feedback(turn, "Ada", f"{number}") for number in range(6)]
        assert all(
            run_concurrently([partial((store, peer)[at % 2].record_feedback, each) for at, each in enumerate(given)])
        )
        (kept,) = store.feedback_on(turn)
        assert kept in given


class ChangingContract(StopContract, EditingContract, FeedbackContract):
    """All contracts of this module."""
