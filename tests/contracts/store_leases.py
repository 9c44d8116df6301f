"""Contract of Store: cancel, delete, import and transcripts."""

from __future__ import annotations

from functools import partial

from gateway.domain.errors import LeaseLost
from gateway.domain.models import Exchange, ThreadId, TurnId, TurnState
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    answer,
    at_once,
    begin,
    finish,
    key,
    message,
    new_turn,
    read,
    say,
    write,
)


class HoldingContract:
    def test_cancel_returns_the_cancelled_turn(self, store: Store) -> None:
        queued, running = say(store).turn, begin(store, "other").turn
        for turn in (queued, running):
            cancelled = store.cancel(turn.id)
            assert cancelled == read(store, turn)
            assert cancelled is not None
            assert cancelled.state is TurnState.CANCELLED
        assert store.cancel(TurnId("nobody")) is None

    def test_resolved_turn_is_not_cancelled(self, store: Store) -> None:
        claim = begin(store)
        settled = write(store, answer(claim))
        assert store.cancel(claim.turn.id) == settled
        write(store, finish(claim))
        delivered = store.cancel(claim.turn.id)
        assert delivered is not None
        assert delivered.state is TurnState.DELIVERED

    def test_concurrent_reply_and_cancel_have_one_winner(self, store: Store, peer: Store) -> None:
        for number in range(10):
            claim = begin(store, f"{number}")
            settled, cancelled = at_once([partial(write, store, answer(claim)), partial(peer.cancel, claim.turn.id)])
            assert settled == cancelled == read(store, claim.turn)

    def test_deleted_conversation_is_gone(self, store: Store) -> None:
        told = message()
        turn = store.record(told, new_turn()).turn
        store.forget(turn.conversation)
        assert store.turn(turn.id) is None
        assert store.conversation(key()) is None
        assert store.transcript(turn.conversation) == []
        assert store.claim("one", [PLATFORM], 10) == ()
        assert store.record(told, new_turn()).turn.seq == 1

    def test_holder_of_deleted_conversation_loses_the_lease(self, store: Store) -> None:
        claim = begin(store)
        store.forget(claim.conversation.id)
        begin(store, "loft")
        assert isinstance(write(store, answer(claim)), LeaseLost)
        assert claim.conversation.id not in store.renew("one").held

    def test_deletion_during_work_leaves_nothing(self, store: Store, peer: Store) -> None:
        for number in range(8):
            claim = begin(store, f"{number}")
            say(store, f"{number}")
            results = at_once(
                [
                    partial(store.forget, claim.conversation.id),
                    partial(peer.write, [answer(claim), finish(claim)]),
                    partial(peer.cancel, claim.turn.id),
                ]
            )
            assert results[0] is None
            assert store.turn(claim.turn.id) is None
            assert store.transcript(claim.conversation.id) == []
            assert isinstance(write(store, answer(claim)), LeaseLost)

    def test_thread_is_imported_with_its_history(self, store: Store) -> None:
        past = [Exchange("Who are you?", "A pigeon.", "Ada"), Exchange("And I?", "")]
        conversation = store.adopt(key(), ThreadId("thread_9"), "threads", past)
        assert conversation == store.conversation(key()) == store.conversation_of(ThreadId("thread_9"))
        assert (conversation.key, conversation.thread, conversation.backend) == (key(), "thread_9", "threads")
        turns = store.transcript(conversation.id)
        assert [Exchange(turn.message.text, turn.reply, turn.message.author) for turn in turns] == past
        assert {turn.state for turn in turns} == {TurnState.DELIVERED}
        assert store.claim("one", [PLATFORM], 10) == ()
        claim = begin(store)
        assert (claim.turn.seq, claim.conversation) == (3, conversation)

    def test_thread_without_history_is_imported(self, store: Store) -> None:
        conversation = store.adopt(key(), ThreadId("thread_9"), "threads", [])
        assert begin(store).turn.seq == 1
        assert store.conversation(key()) == conversation

    def test_concurrent_imports_return_the_same_conversation(self, store: Store, peer: Store) -> None:
        past = [Exchange("a", "b")]
        for number in range(5):
            thread = ThreadId(f"thread_{number}")
            asked = [(store, key(thread)), (peer, key(thread)), (peer, key(f"{thread}/other"))]
            adopted = at_once([partial(each.adopt, wanted, thread, "x", past) for each, wanted in asked])
            assert len(set(adopted)) == 1
            assert len(store.transcript(adopted[0].id)) == 1

    def test_import_with_existing_key_returns_existing_conversation(self, store: Store) -> None:
        say(store)
        there = store.conversation(key())
        assert store.adopt(key(), ThreadId("thread_9"), "threads", [Exchange("a", "b")]) == there
        assert store.conversation_of(ThreadId("thread_9")) is None

    def test_transcript_is_read_from_its_end(self, store: Store) -> None:
        turns = [say(store, text=f"{number}").turn for number in range(5)]
        number = turns[0].conversation
        assert store.transcript(number) == turns
        assert store.transcript(number, limit=2) == turns[3:]
        assert store.transcript(number, before=4, limit=2) == turns[1:3]
        assert store.transcript(number, before=1) == []
        assert store.transcript(number, limit=0) == []

    def test_missing_turns_and_conversations_are_none(self, store: Store) -> None:
        assert store.turn(TurnId("nobody")) is None
        assert store.conversation(key()) is None
        assert store.conversation_of(ThreadId("nothing")) is None
        assert store.transcript(10**9) == []
        assert store.recall("nothing") is None
        store.forget(10**9)

    def test_it_answers_a_ping(self, store: Store) -> None:
        store.ping()
