"""Contract of Store: stop, edit and feedback."""

from __future__ import annotations

from functools import partial

import pytest

from gateway.domain.errors import Overloaded, ThreadNotFound
from gateway.domain.models import Claim, Edit, Kind, Turn, TurnId, TurnState, Verdict
from gateway.ports.store import Recorded, Released, Settled, Store
from tests.contracts.store_helpers import (
    FAILURE,
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
    write,
)


def stop(store: Store, channel: str = "loft", owner: str | None = None, backlog: int = 100) -> Recorded:
    return store.record(message(channel, "Stop", kind=Kind.STOP), new_turn(), owner=owner, backlog=backlog)


def change_of(turn: Turn, text: str = "Hallo") -> Edit:
    return Edit(turn.message.key.platform, turn.message.message_id, text)


def wait_for_the_clock(store: Store) -> None:
    """Waits until the database's clock, which may tick in milliseconds, has advanced."""
    since = say(store, "clock").turn.received_at
    while say(store, "clock").turn.received_at <= since:
        pass


class StoppingContract:
    def test_stop_cancels_all_unresolved_prompts_before_it(self, store: Store) -> None:
        claim, second, elsewhere = begin(store), say(store).turn, say(store, "other").turn
        recorded = stop(store, owner="one")
        assert recorded.stopped == (claim.turn.id, second.id)
        assert (recorded.new, recorded.claim, recorded.turn.state) == (True, None, TurnState.QUEUED)
        for turn in (read(store, claim.turn), read(store, second)):
            assert turn.state is TurnState.CANCELLED
            assert turn.answered_at is not None
            assert turn.answered_at >= turn.received_at
        assert read(store, recorded.turn) == recorded.turn
        assert read(store, elsewhere) == elsewhere

    def test_resolved_turn_is_not_stopped(self, store: Store) -> None:
        delivered = begin(store)
        store.write([answer(delivered), finish(delivered)])
        failed, cancelled = begin(store), say(store).turn
        store.write([Settled(failed.lease, failed.turn.id, failure=FAILURE)])
        store.cancel(cancelled.id)
        before = store.transcript(failed.conversation.id)
        assert stop(store).stopped == ()
        assert store.transcript(failed.conversation.id)[:3] == before

    def test_undelivered_reply_is_not_stopped(self, store: Store) -> None:
        claim = begin(store)
        settled = write(store, answer(claim))
        assert stop(store).stopped == ()
        assert read(store, claim.turn) == settled

    def test_a_reset_and_another_stop_are_not_stopped(self, store: Store) -> None:
        claim = begin(store)
        resetting = store.record(message(kind=Kind.RESET), new_turn()).turn
        first = stop(store)
        assert (first.stopped, stop(store).stopped) == ((claim.turn.id,), ())
        assert read(store, resetting) == resetting
        assert read(store, first.turn) == first.turn

    def test_messages_after_a_stop_are_not_stopped(self, store: Store) -> None:
        claim = begin(store)
        told = message(kind=Kind.STOP)
        assert store.record(told, new_turn()).stopped == (claim.turn.id,)
        behind = say(store).turn
        again = store.record(told, new_turn())
        assert (again.new, again.stopped) == (False, ())
        assert read(store, behind) == behind

    def test_stop_in_idle_conversation_is_an_ordinary_turn(self, store: Store) -> None:
        recorded = stop(store, owner="one")
        assert recorded.stopped == ()
        assert recorded.claim is not None
        assert (recorded.claim.turn.message.kind, recorded.claim.turn.state) == (Kind.STOP, TurnState.RUNNING)

    def test_stop_that_may_not_start_a_conversation_is_rejected(self, store: Store) -> None:
        with pytest.raises(ThreadNotFound):
            store.record(message(kind=Kind.STOP, opens=False), new_turn())
        assert store.conversation(key()) is None
        claim = begin(store)
        assert store.record(message(kind=Kind.STOP, opens=False), new_turn()).stopped == (claim.turn.id,)

    def test_stop_is_accepted_with_full_backlog(self, store: Store) -> None:
        turns = [say(store).turn for _ in range(2)]
        with pytest.raises(Overloaded):
            store.record(message(kind=Kind.RESET), new_turn(), backlog=2)
        assert stop(store, backlog=2).stopped == tuple(turn.id for turn in turns)

    def test_holder_of_a_stopped_turn_is_told_and_proceeds(self, store: Store, peer: Store) -> None:
        claim, waiting = begin(store), say(store).turn
        stopping = stop(peer).turn
        assert store.renew("one").cancelled == {claim.turn.id}
        settled, following = store.write([answer(claim), finish(claim)])
        assert isinstance(settled, Turn)
        assert (settled.state, settled.reply) == (TurnState.CANCELLED, "")
        assert isinstance(following, Claim)
        assert (following.turn.id, following.turn.state) == (waiting.id, TurnState.CANCELLED)
        last = write(store, finish(following))
        assert isinstance(last, Claim)
        assert (last.turn.id, last.turn.state, last.fresh) == (stopping.id, TurnState.RUNNING, True)

    def test_stopped_turn_is_not_run_again(self, store: Store, expire_lease: Expire) -> None:
        claim = begin(store)
        stop(store)
        expire_lease(claim.conversation.id)
        again = claim_one(store, "two")
        assert (again.turn.id, again.turn.state, again.turn.attempts) == (claim.turn.id, TurnState.CANCELLED, 1)

    def test_concurrent_reply_and_stop_have_one_winner(self, store: Store, peer: Store) -> None:
        for number in range(10):
            claim = begin(store, f"{number}")
            settled, stopping = at_once([partial(write, store, answer(claim)), partial(stop, peer, f"{number}")])
            turn = read(store, claim.turn)
            assert settled == turn
            assert stopping.stopped == ((claim.turn.id,) if turn.state is TurnState.CANCELLED else ())

    def test_concurrent_stops_cancel_each_turn_once(self, store: Store, peer: Store) -> None:
        turns = [say(store).turn for _ in range(3)]
        stopping = at_once([partial(stop, (store, peer)[number % 2]) for number in range(4)])
        stopped = [turn for each in stopping for turn in each.stopped]
        assert len(stopped) == len(set(stopped))
        assert {turn.id for turn in turns} <= set(stopped)
        assert read(store, max((each.turn for each in stopping), key=lambda turn: turn.seq)).state is TurnState.QUEUED


class EditingContract:
    def test_a_queued_turn_is_edited(self, store: Store, peer: Store) -> None:
        turn = say(store).turn
        assert peer.edit(change_of(turn, "a\x00b\ud800c 🕊"))
        assert read(store, turn).message.text == "a\ufffdb\ufffdc 🕊"
        assert claim_one(store).turn.message.text == "a\ufffdb\ufffdc 🕊"

    def test_missing_turn_is_not_edited(self, store: Store) -> None:
        turn = say(store).turn
        assert not store.edit(Edit(PLATFORM, "nothing", "Hallo"))
        assert not store.edit(Edit("crow", turn.message.message_id, "Hallo"))
        assert read(store, turn) == turn

    def test_started_turn_is_not_edited(self, store: Store) -> None:
        claim, cancelled = begin(store), say(store).turn
        store.cancel(cancelled.id)
        assert not store.edit(change_of(claim.turn))
        assert not store.edit(change_of(cancelled))
        assert read(store, claim.turn) == claim.turn

    def test_turn_released_unstarted_is_edited(self, store: Store) -> None:
        claim = begin(store)
        write(store, Released(claim.lease, fresh=True))
        assert store.edit(change_of(claim.turn))
        assert claim_one(store).turn.message.text == "Hallo"

    def test_claim_concurrent_with_edit_has_the_stored_text(self, store: Store, peer: Store) -> None:
        for _ in range(10):
            turn = say(store).turn
            claims, edited = at_once(
                [partial(store.claim, "one", [PLATFORM], 1), partial(peer.edit, change_of(turn))],
            )
            assert claims[0].turn == read(store, turn)
            assert (claims[0].turn.message.text == "Hallo") is edited
            store.write([answer(claims[0]), finish(claims[0])])

    def test_a_turn_is_found_by_its_message(self, store: Store) -> None:
        turn = say(store).turn
        assert store.turn_of(PLATFORM, turn.message.message_id) == turn
        assert store.turn_of("crow", turn.message.message_id) is None
        assert store.turn_of(PLATFORM, "nothing") is None


class JudgingContract:
    def test_feedback_is_stored_with_its_turn(self, store: Store, peer: Store) -> None:
        turn, other = say(store).turn.id, say(store).turn.id
        assert store.verdicts(turn) == []
        verdicts = [Verdict(turn, "Bob\ud800", "good\x00"), Verdict(turn, "Ada", "bad")]
        for verdict in verdicts:
            assert store.judge(verdict)
            wait_for_the_clock(store)
        assert peer.verdicts(turn) == [Verdict(turn, "Bob\ufffd", "good\ufffd"), verdicts[1]]
        assert store.verdicts(other) == []

    def test_newer_feedback_of_a_person_replaces_older(self, store: Store) -> None:
        turn = say(store).turn.id
        for author, value in (("Ada", "good"), ("Bob", "good"), ("Ada", "bad")):
            assert store.judge(Verdict(turn, author, value))
            wait_for_the_clock(store)
        assert store.verdicts(turn) == [Verdict(turn, "Bob", "good"), Verdict(turn, "Ada", "bad")]

    def test_feedback_on_missing_turn_is_rejected(self, store: Store) -> None:
        assert not store.judge(Verdict(TurnId("nobody"), "Ada", "good"))
        assert store.verdicts(TurnId("nobody")) == []

    def test_feedback_is_deleted_with_its_turn(self, store: Store) -> None:
        turn = say(store).turn
        store.judge(Verdict(turn.id, "Ada", "good"))
        store.forget(turn.conversation)
        assert store.verdicts(turn.id) == []
        again = store.record(turn.message, turn.id).turn
        assert (again.id, store.verdicts(again.id)) == (turn.id, [])

    def test_feedback_concurrent_with_deletion_leaves_nothing(self, store: Store, peer: Store) -> None:
        for _ in range(10):
            turn = say(store).turn
            judged, _ = at_once(
                [partial(store.judge, Verdict(turn.id, "Ada", "good")), partial(peer.forget, turn.conversation)]
            )
            assert judged in (True, False)
            assert store.verdicts(turn.id) == []

    def test_of_many_verdicts_of_one_person_at_once_one_is_kept(self, store: Store, peer: Store) -> None:
        turn = say(store).turn.id
        given = [Verdict(turn, "Ada", f"{number}") for number in range(6)]
        assert all(at_once([partial((store, peer)[at % 2].judge, each) for at, each in enumerate(given)]))
        (kept,) = store.verdicts(turn)
        assert kept in given


class ChangingContract(StoppingContract, EditingContract, JudgingContract):
    """All contracts of this module."""
