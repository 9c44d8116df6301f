"""Contract of Store: cancel, delete, import and transcripts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.domain.context import ChatContext
from gateway.domain.errors import LeaseLost
from gateway.domain.exchange import CallOutput, Exchange, RequestedCall
from gateway.domain.files import File
from gateway.domain.models import STAFF, MessageKind, ThreadId, TurnId, TurnState
from gateway.domain.turn_options import TurnOptions
from gateway.ports.leased_writes import SetContext
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FILES,
    PLATFORM,
    answer,
    apply_write,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    finish,
    get_turn,
    key,
    message,
    new_turn,
    remembered,
    run_concurrently,
)


class LeaseContract:
    def test_cancel_returns_the_cancelled_turn(self, store: Store) -> None:
        queued, running = enqueue(store).turn, enqueue_and_claim(store, "other").turn
        for turn in (queued, running):
            cancelled = store.cancel_turn(turn.id)
            assert cancelled == get_turn(store, turn)
            assert cancelled is not None
            assert cancelled.state is TurnState.CANCELLED
        assert store.cancel_turn(TurnId("nobody")) is None

    def test_resolved_turn_is_not_cancelled(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        settled = apply_write(store, answer(claim))
        assert store.cancel_turn(claim.turn.id) == settled
        apply_write(store, finish(claim))
        delivered = store.cancel_turn(claim.turn.id)
        assert delivered is not None
        assert delivered.state is TurnState.DELIVERED

    def test_concurrent_reply_and_cancel_have_one_winner(self, store: Store, peer: Store) -> None:
        for number in range(10):
            claim = enqueue_and_claim(store, f"{number}")
            settled, cancelled = run_concurrently(
                [partial(apply_write, store, answer(claim)), partial(peer.cancel_turn, claim.turn.id)]
            )
            assert settled == cancelled == get_turn(store, claim.turn)

    def test_deleted_conversation_is_gone(self, store: Store) -> None:
        told = message()
        turn = enqueue_one(store, told, new_turn()).turn
        store.delete_conversation(turn.conversation_id)
        assert store.get_turn(turn.id) is None
        assert store.find_conversation(key()) is None
        assert store.transcript(turn.conversation_id) == []
        assert store.claim("one", [PLATFORM], 10) == ()
        assert enqueue_one(store, told, new_turn()).turn.seq == 1

    def test_holder_of_deleted_conversation_loses_the_lease(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.delete_conversation(claim.conversation.id)
        enqueue_and_claim(store, "loft")
        assert isinstance(apply_write(store, answer(claim)), LeaseLost)
        assert claim.conversation.id not in store.renew_leases("one").held_conversations

    def test_deletion_during_work_leaves_nothing(self, store: Store, peer: Store) -> None:
        for number in range(8):
            claim = enqueue_and_claim(store, f"{number}")
            enqueue(store, f"{number}")
            results = run_concurrently(
                [
                    partial(store.delete_conversation, claim.conversation.id),
                    partial(peer.apply_writes, [answer(claim), finish(claim)]),
                    partial(peer.cancel_turn, claim.turn.id),
                ]
            )
            assert results[0] is None
            assert store.get_turn(claim.turn.id) is None
            assert store.transcript(claim.conversation.id) == []
            assert isinstance(apply_write(store, answer(claim)), LeaseLost)

    def test_thread_is_imported_with_its_history(self, store: Store) -> None:
        past = [Exchange("Who are you?", "A pigeon.", "Ada"), Exchange("And I?", "")]
        conversation = store.import_thread(key(), ThreadId("thread_9"), "threads", past)
        assert conversation == store.find_conversation(key()) == store.find_conversation_by_thread(ThreadId("thread_9"))
        assert (conversation.key, conversation.thread_id, conversation.backend) == (key(), "thread_9", "threads")
        turns = store.transcript(conversation.id)
        assert [Exchange(turn.message.text, turn.reply, turn.message.author) for turn in turns] == past
        assert {turn.state for turn in turns} == {TurnState.DELIVERED}
        assert store.claim("one", [PLATFORM], 10) == ()
        claim = enqueue_and_claim(store)
        assert (claim.turn.seq, claim.conversation) == (3, conversation)

    def test_thread_without_history_is_imported(self, store: Store) -> None:
        conversation = store.import_thread(key(), ThreadId("thread_9"), "threads", [])
        assert enqueue_and_claim(store).turn.seq == 1
        assert store.find_conversation(key()) == conversation

    def test_concurrent_imports_return_the_same_conversation(self, store: Store, peer: Store) -> None:
        past = [Exchange("a", "b")]
        for number in range(5):
            thread = ThreadId(f"thread_{number}")
            asked = [(store, key(thread)), (peer, key(thread)), (peer, key(f"{thread}/other"))]
            adopted = run_concurrently(
                [partial(each.import_thread, wanted, thread, "x", past) for each, wanted in asked]
            )
            assert len(set(adopted)) == 1
            assert len(store.transcript(adopted[0].id)) == 1

    def test_import_with_existing_key_returns_existing_conversation(self, store: Store) -> None:
        enqueue(store)
        there = store.find_conversation(key())
        assert store.import_thread(key(), ThreadId("thread_9"), "threads", [Exchange("a", "b")]) == there
        assert store.find_conversation_by_thread(ThreadId("thread_9")) is None

    def test_transcript_is_read_from_its_end(self, store: Store) -> None:
        turns = [enqueue(store, text=f"{number}").turn for number in range(5)]
        number = turns[0].conversation_id
        assert store.transcript(number) == turns
        assert store.transcript(number, limit=2) == turns[3:]
        assert store.transcript(number, before=4, limit=2) == turns[1:3]
        assert store.transcript(number, before=1) == []
        assert store.transcript(number, limit=0) == []

    def test_past_turns_have_what_an_assistant_is_told_of_them(self, store: Store) -> None:
        past = TurnOptions(past=(Exchange("a", "b"),), outputs=(CallOutput("c1", "12"),))
        context = ChatContext("Ada", notes=("A note.",))
        asked = message(text="What?", files=FILES, context=context, options=past, caller="key 1", traceparent="00-1")
        claim = enqueue_one(store, asked, new_turn(), owner="one").claim
        assert claim is not None
        calls = (RequestedCall("c2", "look", "{}"),)
        apply_write(store, replace(answer(claim, "That."), files=FILES, calls=calls, model="m", cost=5))
        for kind in MessageKind:
            enqueue_one(store, message(text="next", kind=kind), new_turn())
        said = replace(message(text=""), caller=f"{STAFF}Eve", given_reply="Words of Eve.")
        store.enqueue_answered(said, new_turn())
        last = enqueue(store).turn
        enqueue(store)
        told = [remembered(turn) for turn in store.transcript(last.conversation_id, before=last.seq)]
        assert store.past_turns(last, 100) == told
        assert store.past_turns(last, 2) == told[-2:]
        assert store.past_turns(claim.turn, 100) == []

    def test_the_files_of_a_context_become_files_of_the_message(self, store: Store) -> None:
        claim = enqueue_one(store, message(files=FILES), new_turn(), owner="one").claim
        assert claim is not None
        more = File("above.png", "F9", "image/png", 7)
        context = ChatContext("Ada", notes=("A note.",), files=(*FILES, more))
        written = apply_write(store, SetContext(claim.lease, claim.turn, context))
        assert written == store.get_turn(claim.turn.id)
        said = store.transcript(claim.turn.conversation_id)[0].message
        assert (said.files, said.context) == ((*FILES, more), replace(context, files=()))

    def test_missing_turns_and_conversations_are_none(self, store: Store) -> None:
        assert store.get_turn(TurnId("nobody")) is None
        assert store.find_conversation(key()) is None
        assert store.find_conversation_by_thread(ThreadId("nothing")) is None
        assert store.transcript(10**9) == []
        assert store.get_value("nothing") is None
        store.delete_conversation(10**9)

    def test_it_answers_a_ping(self, store: Store) -> None:
        store.ping()
