"""Contract of Store: enqueueing messages."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.errors import Conflict, Overloaded, ThreadNotFound
from gateway.domain.models import ConversationKey, Kind, Lease, Message, ThreadId, Turn, TurnId, TurnState
from gateway.ports.store import Bound, Store
from tests.contracts.store_helpers import (
    FILES,
    PLATFORM,
    STORED,
    UNSTORABLE,
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


class RecordingContract:
    def test_a_message_becomes_the_newest_turn_of_its_conversation(self, store: Store) -> None:
        first, second = say(store, text="first"), say(store, text="second")
        assert (first.new, first.turn.seq, second.turn.seq) == (True, 1, 2)
        assert first.turn.conversation == second.turn.conversation
        assert store.transcript(first.turn.conversation) == [first.turn, second.turn]

    def test_turn_is_stored_as_returned(self, store: Store) -> None:
        told = Message(key("Ωμέγα 🕊"), "42/é", "a\nb\t🕊 'quoted' %s", "Ада", {"ts": "1.2", "q": '"'})
        turn = store.record(told, TurnId("turn-1")).turn
        assert (turn.message, turn.id, turn.state, turn.attempts) == (told, "turn-1", TurnState.QUEUED, 0)
        assert turn.received_at > 1.7e9
        assert turn.started_at is None
        assert read(store, turn) == turn

    def test_files_and_kind_of_a_message_are_stored(self, store: Store) -> None:
        told = message(kind=Kind.RESET, files=FILES)
        turn = store.record(told, new_turn()).turn
        assert turn.message == told
        assert read(store, turn) == turn
        assert claim_one(store).turn.message == told
        with_file = store.record(message(files=FILES[1:]), new_turn()).turn
        assert read(store, with_file).message.files == FILES[1:]

    def test_unstorable_characters_are_replaced(self, store: Store) -> None:
        turn = store.record(message(text="a\x00b\ud800c", files=(UNSTORABLE,)), new_turn()).turn
        assert (turn.message.text, turn.message.files) == ("a\ufffdb\ufffdc", (STORED,))
        assert read(store, turn) == turn

    def test_keys_differ_in_every_field(self, store: Store) -> None:
        keys = [
            ConversationKey(PLATFORM, "a", "b", "c", "d"),
            ConversationKey(PLATFORM, "ab", "", "c", "d"),
            ConversationKey(PLATFORM, "a", "b", "cd", ""),
            ConversationKey(PLATFORM, "a", "b", "c"),
            ConversationKey("crow", "a", "b", "c", "d"),
        ]
        turns = [store.record(Message(each, f"m{number}", "Hi"), new_turn()).turn for number, each in enumerate(keys)]
        assert len({turn.conversation for turn in turns}) == len(keys)
        assert [turn.seq for turn in turns] == [1] * len(keys)

    def test_enqueue_claims_an_idle_conversation(self, store: Store, peer: Store) -> None:
        recorded = say(store, owner="one")
        claim = recorded.claim
        assert claim is not None
        assert claim.turn == recorded.turn == read(store, recorded.turn)
        assert (claim.turn.state, claim.turn.attempts, claim.fresh) == (TurnState.RUNNING, 1, True)
        assert claim.turn.started_at == claim.turn.received_at
        assert claim.lease == Lease(claim.conversation.id, "one", claim.lease.epoch)
        assert claim.conversation == store.conversation(key())
        assert peer.claim("two", [PLATFORM], 10) == ()

    def test_enqueue_behind_unfinished_turn_does_not_claim(self, store: Store) -> None:
        claim = begin(store)
        behind = say(store, owner="one")
        assert (behind.claim, behind.turn.state) == (None, TurnState.QUEUED)
        assert isinstance(write(store, answer(claim)), Turn)

    def test_enqueue_behind_queued_turn_does_not_claim(self, store: Store) -> None:
        first = say(store)
        assert say(store, owner="one").claim is None
        assert claim_one(store).turn.id == first.turn.id

    def test_redelivered_message_returns_the_existing_turn(self, store: Store, peer: Store) -> None:
        told = message()
        first = store.record(told, new_turn(), owner="one")
        again = peer.record(told, new_turn(), owner="two")
        assert (again.turn, again.new, again.claim) == (first.turn, False, None)
        assert len(store.transcript(first.turn.conversation)) == 1

    def test_redelivered_message_returns_the_answered_turn(self, store: Store) -> None:
        told = message()
        claim = store.record(told, new_turn(), owner="one").claim
        assert claim is not None
        store.write([answer(claim), finish(claim)])
        again = store.record(told, new_turn(), owner="one")
        assert (again.new, again.turn.state, again.turn.reply) == (False, TurnState.DELIVERED, "Hi")
        assert store.claim("one", [PLATFORM], 10) == ()

    def test_redelivered_message_with_another_key_starts_no_conversation(self, store: Store) -> None:
        first = store.record(message("here", name="m"), new_turn())
        again = store.record(message("there", name="m"), new_turn())
        assert again.turn == first.turn
        assert store.conversation(key("there")) is None

    def test_platforms_may_use_the_same_message_ids(self, store: Store) -> None:
        assert store.record(message(name="m"), new_turn()).new
        assert store.record(message(name="m", platform="crow"), new_turn()).new

    def test_turn_id_is_unique(self, store: Store) -> None:
        turn = say(store).turn
        with pytest.raises(Conflict):
            store.record(message(), turn.id)
        assert len(store.transcript(turn.conversation)) == 1

    def test_concurrent_redeliveries_record_one_turn(self, store: Store, peer: Store) -> None:
        told = message()
        stores = [store, peer] * 4
        seen = at_once([partial(each.record, told, new_turn(), owner="one") for each in stores])
        assert sorted(recorded.new for recorded in seen) == [False] * 7 + [True]
        assert len({recorded.turn.id for recorded in seen}) == 1
        assert sum(recorded.claim is not None for recorded in seen) == 1
        assert len(store.transcript(seen[0].turn.conversation)) == 1

    def test_concurrent_redeliveries_start_one_conversation(self, store: Store, peer: Store) -> None:
        for number in range(10):
            told = [message(f"{number}/{side}", name=f"m{number}") for side in range(4)]
            sides = enumerate(told)
            seen = at_once([partial((store, peer)[side % 2].record, each, new_turn()) for side, each in sides])
            assert sorted(recorded.new for recorded in seen) == [False] * 3 + [True]
            assert len({recorded.turn.id for recorded in seen}) == 1
            assert sum(store.conversation(each.key) is not None for each in told) == 1

    def test_seqs_of_concurrent_writers_have_no_gap_and_follow_time(self, store: Store, peer: Store) -> None:
        def many(each: Store) -> None:
            for _ in range(15):
                say(each)

        at_once([partial(many, each) for each in [store, peer] * 3])
        conversation = store.conversation(key())
        assert conversation is not None
        turns = store.transcript(conversation.id)
        assert [turn.seq for turn in turns] == list(range(1, 91))
        assert [turn.received_at for turn in turns] == sorted(turn.received_at for turn in turns)

    def test_full_backlog_raises_overloaded(self, store: Store) -> None:
        claim = begin(store)
        told = message()
        store.record(told, new_turn(), backlog=2)
        with pytest.raises(Overloaded):
            store.record(message(), new_turn(), backlog=2)
        assert not store.record(told, new_turn(), backlog=2).new
        assert say(store, "elsewhere").new
        store.write([answer(claim), finish(claim)])
        assert store.record(message(), new_turn(), backlog=2).turn.seq == 3

    def test_message_can_require_an_existing_conversation(self, store: Store) -> None:
        told = message()
        with pytest.raises(ThreadNotFound):
            store.record(replace(told, opens=False), new_turn())
        assert store.conversation(key()) is None
        first = store.record(told, new_turn(), owner="one")
        assert first.turn.message == told
        behind = store.record(message(opens=False), new_turn(), owner="one")
        assert (behind.turn.conversation, behind.turn.seq, behind.claim) == (first.turn.conversation, 2, None)
        assert behind.turn == read(store, behind.turn)
        assert not store.record(message("elsewhere", name=told.message_id, opens=False), new_turn()).new

    def test_required_idle_conversation_is_claimed_too(self, store: Store) -> None:
        claim = begin(store)
        store.write([Bound(claim.lease, ThreadId("t"), "threads"), answer(claim), finish(claim)])
        following = store.record(message(opens=False), new_turn(), owner="two").claim
        assert following is not None
        assert following.conversation == store.conversation(key())
        assert (following.conversation.thread, following.lease.owner) == ("t", "two")
        assert following.lease.epoch > claim.lease.epoch
