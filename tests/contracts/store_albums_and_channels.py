"""Contract of Store: albums and channel migrations."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.domain.models import Claim, ConversationKey, File, Message, Move, Turn, TurnState
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
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
    message,
    new_turn,
    read,
    say,
    write,
)

WEEK = 7 * 86400.0


def piece(number: int, text: str = "", wait: float = WEEK) -> Message:
    told = message(text=text, name="album", files=(File(f"{number}.jpg", f"F{number}"),))
    return replace(told, piece=f"{number}", wait=wait)


def names(turn: Turn) -> set[str]:
    return {file.name for file in turn.message.files}


class JoiningContract:
    def test_debounced_message_is_not_claimed_before_its_time(self, store: Store, expire_lease: Expire) -> None:
        recorded = store.record(piece(1), new_turn(), owner="one")
        assert (recorded.claim, recorded.turn.state) == (None, TurnState.QUEUED)
        assert store.claim("one", [PLATFORM], 10) == ()
        expire_lease(recorded.turn.conversation)
        assert claim_one(store).turn.id == recorded.turn.id

    def test_message_is_claimable_after_its_debounce_time(self, store: Store) -> None:
        recorded = store.record(piece(1, wait=1e-9), new_turn(), owner="one")
        assert claim_one(store).turn.id == recorded.turn.id

    def test_debounce_does_not_apply_behind_other_turns(self, store: Store) -> None:
        before = begin(store)
        turn = store.record(piece(1), new_turn(), owner="one").turn
        _, following = store.write([answer(before), finish(before)])
        assert isinstance(following, Claim)
        assert following.turn.id == turn.id

    def test_album_items_are_appended_in_order_of_arrival(self, store: Store, peer: Store) -> None:
        turn = store.record(piece(1), new_turn()).turn
        for following in (piece(2, "what is this?"), piece(3), piece(2, "what is this?")):
            assert not peer.record(following, new_turn()).new
            assert peer.join(following)
        joined = read(store, turn)
        assert [file.name for file in joined.message.files] == ["1.jpg", "2.jpg", "3.jpg"]
        assert joined.message.text == "what is this?"

    def test_text_repeated_in_all_items_is_kept_once(self, store: Store) -> None:
        turn = store.record(piece(1, "to Ann:"), new_turn()).turn
        for following in (piece(2, "to Ann:"), piece(3, "to Ann: look"), piece(4, "quick"), piece(5, "quick")):
            assert store.join(following)
        assert read(store, turn).message.text == "to Ann: look\nquick"

    def test_started_turn_accepts_no_new_items_but_known_ones(self, store: Store, expire_lease: Expire) -> None:
        turn = store.record(piece(1), new_turn()).turn
        store.join(piece(2))
        expire_lease(turn.conversation)
        begun = claim_one(store).turn
        assert names(begun) == {"1.jpg", "2.jpg"}
        assert store.join(piece(2))
        assert not store.join(piece(3))
        assert read(store, turn) == begun

    def test_item_without_a_queued_turn_is_not_appended(self, store: Store) -> None:
        assert not store.join(piece(1))

    def test_concurrent_items_are_all_appended(self, store: Store, peer: Store) -> None:
        turn = store.record(piece(0), new_turn()).turn
        assert all(at_once([partial((store, peer)[n % 2].join, piece(n)) for n in range(1, 7)]))
        assert names(read(store, turn)) == {f"{n}.jpg" for n in range(7)}

    def test_files_of_an_item_are_made_storable_once(self, store: Store) -> None:
        turn = store.record(piece(1), new_turn()).turn
        odd = replace(piece(2), files=(UNSTORABLE,))
        assert store.join(odd)
        assert store.join(odd)
        assert read(store, turn).message.files[1:] == (STORED,)


class MovingContract:
    def move(self, channel: str, to: str) -> Move:
        return Move(PLATFORM, "workspace", channel, to)

    def test_conversations_of_a_migrated_channel_move(self, store: Store, peer: Store) -> None:
        claim = begin(store)
        topic = replace(key(), topic="another")
        store.record(Message(topic, "m", "Hello"), new_turn())
        peer.move(self.move("loft", "attic"))
        assert (store.conversation(key()), store.conversation(topic)) == (None, None)
        for moved in (key("attic"), replace(topic, channel="attic")):
            assert store.conversation(moved) is not None
        assert read(store, claim.turn).message.key == key("attic")
        write(store, finish(claim))

    def test_conversations_of_other_channels_stay(self, store: Store) -> None:
        elsewhere = [
            ConversationKey(PLATFORM, "other", "loft"),
            ConversationKey("dove", "workspace", "loft"),
            key("cellar"),
        ]
        for number, each in enumerate(elsewhere):
            store.record(Message(each, f"m{number}", "Hello"), new_turn())
        store.move(self.move("loft", "attic"))
        assert all(store.conversation(each) for each in elsewhere)

    def test_existing_conversation_in_new_channel_is_kept(self, store: Store) -> None:
        old, new = say(store, "loft").turn, say(store, "attic").turn
        store.move(self.move("loft", "attic"))
        store.move(self.move("loft", "attic"))
        assert (read(store, old).message.key, read(store, new).message.key) == (key("loft"), key("attic"))
