"""Contract of Store: enqueueing messages."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.conversations import Lease
from gateway.domain.errors import Conflict, Overloaded, ThreadNotFound
from gateway.domain.exchange import CallOutput, Exchange, RequestedCall
from gateway.domain.models import ConversationKey, Message, MessageKind, ThreadId, Turn, TurnId, TurnState
from gateway.domain.turn_options import TurnOptions
from gateway.ports.leased_writes import SetThread
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FILES,
    PLATFORM,
    STORED_FILE,
    UNSTORABLE_FILE,
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

CALL, OUTPUT = RequestedCall("call_1", "weather", "{}"), CallOutput("call_1", "sunny")


class EnqueueContract:
    def test_a_message_becomes_the_newest_turn_of_its_conversation(self, store: Store) -> None:
        first, second = enqueue(store, text="first"), enqueue(store, text="second")
        assert (first.is_new, first.turn.seq, second.turn.seq) == (True, 1, 2)
        assert first.turn.conversation_id == second.turn.conversation_id
        assert store.transcript(first.turn.conversation_id) == [first.turn, second.turn]

    def test_turn_is_stored_as_returned(self, store: Store) -> None:
        told = Message(key("Ωμέγα 🕊"), "42/é", "a\nb\t🕊 'quoted' %s", "Ада", {"ts": "1.2", "q": '"'})
        turn = enqueue_one(store, told, TurnId("turn-1")).turn
        assert (turn.message, turn.id, turn.state, turn.attempts) == (told, "turn-1", TurnState.QUEUED, 0)
        assert turn.received_at > 1.7e9
        assert turn.started_at is None
        assert get_turn(store, turn) == turn

    def test_files_and_kind_of_a_message_are_stored(self, store: Store) -> None:
        told = message(kind=MessageKind.RESET, files=FILES)
        turn = enqueue_one(store, told, new_turn()).turn
        assert turn.message == told
        assert get_turn(store, turn) == turn
        assert claim_one(store).turn.message == told
        with_file = enqueue_one(store, message(files=FILES[1:]), new_turn()).turn
        assert get_turn(store, with_file).message.files == FILES[1:]

    def test_unstorable_characters_are_replaced(self, store: Store) -> None:
        turn = enqueue_one(store, message(text="a\x00b\ud800c", files=(UNSTORABLE_FILE,)), new_turn()).turn
        assert (turn.message.text, turn.message.files) == ("a\ufffdb\ufffdc", (STORED_FILE,))
        assert get_turn(store, turn) == turn

    def test_keys_differ_in_every_field(self, store: Store) -> None:
        keys = [
            ConversationKey(PLATFORM, "a", "b", "c", "d"),
            ConversationKey(PLATFORM, "ab", "", "c", "d"),
            ConversationKey(PLATFORM, "a", "b", "cd", ""),
            ConversationKey(PLATFORM, "a", "b", "c"),
            ConversationKey("crow", "a", "b", "c", "d"),
        ]
        turns = [
            enqueue_one(store, Message(each, f"m{number}", "Hi"), new_turn()).turn for number, each in enumerate(keys)
        ]
        assert len({turn.conversation_id for turn in turns}) == len(keys)
        assert [turn.seq for turn in turns] == [1] * len(keys)

    def test_enqueue_claims_an_idle_conversation(self, store: Store, peer: Store) -> None:
        recorded = enqueue(store, owner="one")
        claim = recorded.claim
        assert claim is not None
        assert claim.turn == recorded.turn == get_turn(store, recorded.turn)
        assert (claim.turn.state, claim.turn.attempts, claim.first_attempt) == (TurnState.RUNNING, 1, True)
        assert claim.turn.started_at == claim.turn.received_at
        assert claim.lease == Lease(claim.conversation.id, "one", claim.lease.epoch)
        assert claim.conversation == store.find_conversation(key())
        assert peer.claim("two", [PLATFORM], 10) == ()

    def test_enqueue_behind_unfinished_turn_does_not_claim(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        behind = enqueue(store, owner="one")
        assert (behind.claim, behind.turn.state) == (None, TurnState.QUEUED)
        assert isinstance(apply_write(store, answer(claim)), Turn)

    def test_enqueue_behind_queued_turn_does_not_claim(self, store: Store) -> None:
        first = enqueue(store)
        assert enqueue(store, owner="one").claim is None
        assert claim_one(store).turn.id == first.turn.id

    def test_redelivered_message_returns_the_existing_turn(self, store: Store, peer: Store) -> None:
        told = message()
        first = enqueue_one(store, told, new_turn(), owner="one")
        again = enqueue_one(peer, told, new_turn(), owner="two")
        assert (again.turn, again.is_new, again.claim) == (first.turn, False, None)
        assert len(store.transcript(first.turn.conversation_id)) == 1

    def test_redelivered_message_returns_the_answered_turn(self, store: Store) -> None:
        told = message()
        claim = enqueue_one(store, told, new_turn(), owner="one").claim
        assert claim is not None
        store.apply_writes([answer(claim), finish(claim)])
        again = enqueue_one(store, told, new_turn(), owner="one")
        assert (again.is_new, again.turn.state, again.turn.reply) == (False, TurnState.DELIVERED, "Hi")
        assert store.claim("one", [PLATFORM], 10) == ()

    def test_redelivered_message_with_another_key_starts_no_conversation(self, store: Store) -> None:
        first = enqueue_one(store, message("here", name="m"), new_turn())
        again = enqueue_one(store, message("there", name="m"), new_turn())
        assert again.turn == first.turn
        assert store.find_conversation(key("there")) is None

    def test_platforms_may_use_the_same_message_ids(self, store: Store) -> None:
        assert enqueue_one(store, message(name="m"), new_turn()).is_new
        assert enqueue_one(store, message(name="m", platform="crow"), new_turn()).is_new

    def test_turn_id_is_unique(self, store: Store) -> None:
        turn = enqueue(store).turn
        with pytest.raises(Conflict):
            enqueue_one(store, message(), turn.id)
        assert len(store.transcript(turn.conversation_id)) == 1

    def test_concurrent_redeliveries_record_one_turn(self, store: Store, peer: Store) -> None:
        told = message()
        stores = [store, peer] * 4
        seen = run_concurrently([partial(enqueue_one, each, told, new_turn(), owner="one") for each in stores])
        assert sorted(recorded.is_new for recorded in seen) == [False] * 7 + [True]
        assert len({recorded.turn.id for recorded in seen}) == 1
        assert sum(recorded.claim is not None for recorded in seen) == 1
        assert len(store.transcript(seen[0].turn.conversation_id)) == 1

    def test_concurrent_redeliveries_start_one_conversation(self, store: Store, peer: Store) -> None:
        for number in range(10):
            told = [message(f"{number}/{side}", name=f"m{number}") for side in range(4)]
            sides = enumerate(told)
            seen = run_concurrently(
                [partial(enqueue_one, (store, peer)[side % 2], each, new_turn()) for side, each in sides]
            )
            assert sorted(recorded.is_new for recorded in seen) == [False] * 3 + [True]
            assert len({recorded.turn.id for recorded in seen}) == 1
            assert sum(store.find_conversation(each.key) is not None for each in told) == 1

    def test_seqs_of_concurrent_writers_have_no_gap_and_follow_time(self, store: Store, peer: Store) -> None:
        def many(each: Store) -> None:
            for _ in range(15):
                enqueue(each)

        run_concurrently([partial(many, each) for each in [store, peer] * 3])
        conversation = store.find_conversation(key())
        assert conversation is not None
        turns = store.transcript(conversation.id)
        assert [turn.seq for turn in turns] == list(range(1, 91))
        assert [turn.received_at for turn in turns] == sorted(turn.received_at for turn in turns)

    def test_full_backlog_raises_overloaded(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        told = message()
        enqueue_one(store, told, new_turn(), max_backlog=2)
        with pytest.raises(Overloaded):
            enqueue_one(store, message(), new_turn(), max_backlog=2)
        assert not enqueue_one(store, told, new_turn(), max_backlog=2).is_new
        assert enqueue(store, "elsewhere").is_new
        store.apply_writes([answer(claim), finish(claim)])
        assert enqueue_one(store, message(), new_turn(), max_backlog=2).turn.seq == 3

    def test_options_are_stored_with_the_turn(self, store: Store) -> None:
        past = (Exchange("a", "b", calls=(CALL,)), Exchange("", "c", outputs=(OUTPUT,)))
        options = TurnOptions(
            additional_instructions="\x00 brief",
            functions=({"name": "weather", "parameters": {}},),
            parameters={"temperature": 0.5},
            outputs=(OUTPUT,),
            past=past,
            is_last=True,
        )
        recorded = enqueue_one(store, replace(message(), options=options), new_turn()).turn
        assert get_turn(store, recorded).options == options

    def test_message_can_require_an_existing_conversation(self, store: Store) -> None:
        told = message()
        with pytest.raises(ThreadNotFound):
            enqueue_one(store, replace(told, may_start_conversation=False), new_turn())
        assert store.find_conversation(key()) is None
        first = enqueue_one(store, told, new_turn(), owner="one")
        assert first.turn.message == told
        behind = enqueue_one(store, message(may_start_conversation=False), new_turn(), owner="one")
        assert (behind.turn.conversation_id, behind.turn.seq, behind.claim) == (first.turn.conversation_id, 2, None)
        assert behind.turn == get_turn(store, behind.turn)
        assert not enqueue_one(
            store, message("elsewhere", name=told.message_id, may_start_conversation=False), new_turn()
        ).is_new

    def test_required_idle_conversation_is_claimed_too(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([SetThread(claim.lease, ThreadId("t"), "threads"), answer(claim), finish(claim)])
        following = enqueue_one(store, message(may_start_conversation=False), new_turn(), owner="two").claim
        assert following is not None
        assert following.conversation == store.find_conversation(key())
        assert (following.conversation.thread_id, following.lease.owner) == ("t", "two")
        assert following.lease.epoch > claim.lease.epoch
