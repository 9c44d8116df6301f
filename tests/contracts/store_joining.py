"""What a store promises of messages that come in pieces, and of channels that move."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.messages import Claim, ConversationKey, File, Message, Move, Turn, TurnState
from gateway.storing import Store
from tests.contracts.store_words import (
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
    def test_a_message_that_waits_is_begun_by_nobody_before_its_time(self, store: Store, expire: Expire) -> None:
        recorded = store.record(piece(1), new_turn(), owner="one")
        assert (recorded.claim, recorded.turn.state) == (None, TurnState.QUEUED)
        assert store.claim("one", [PLATFORM], 10) == ()
        expire(recorded.turn.conversation)
        assert claim_one(store).turn.id == recorded.turn.id

    def test_a_wait_that_is_over_is_over(self, store: Store) -> None:
        recorded = store.record(piece(1, wait=1e-9), new_turn(), owner="one")
        assert claim_one(store).turn.id == recorded.turn.id

    def test_behind_others_it_does_not_wait(self, store: Store) -> None:
        before = begin(store)
        turn = store.record(piece(1), new_turn(), owner="one").turn
        _, following = store.write([answer(before), finish(before)])
        assert isinstance(following, Claim)
        assert following.turn.id == turn.id

    def test_pieces_join_in_the_order_they_come(self, store: Store, peer: Store) -> None:
        turn = store.record(piece(1), new_turn()).turn
        for following in (piece(2, "what is this?"), piece(3), piece(2, "what is this?")):
            assert not peer.record(following, new_turn()).new
            assert peer.join(following)
        joined = read(store, turn)
        assert [file.name for file in joined.message.files] == ["1.jpg", "2.jpg", "3.jpg"]
        assert joined.message.text == "what is this?"

    def test_words_that_all_pieces_bring_stand_there_once(self, store: Store) -> None:
        turn = store.record(piece(1, "to Ann:"), new_turn()).turn
        for following in (piece(2, "to Ann:"), piece(3, "to Ann: look"), piece(4, "quick"), piece(5, "quick")):
            assert store.join(following)
        assert read(store, turn).message.text == "to Ann: look\nquick"

    def test_what_has_begun_is_not_joined_but_has_what_it_has(self, store: Store, expire: Expire) -> None:
        turn = store.record(piece(1), new_turn()).turn
        store.join(piece(2))
        expire(turn.conversation)
        begun = claim_one(store).turn
        assert names(begun) == {"1.jpg", "2.jpg"}
        assert store.join(piece(2))
        assert not store.join(piece(3))
        assert read(store, turn) == begun

    def test_there_is_nothing_to_join_where_nothing_came(self, store: Store) -> None:
        assert not store.join(piece(1))

    def test_pieces_that_come_at_once_are_all_there(self, store: Store, peer: Store) -> None:
        turn = store.record(piece(0), new_turn()).turn
        assert all(at_once([partial((store, peer)[n % 2].join, piece(n)) for n in range(1, 7)]))
        assert names(read(store, turn)) == {f"{n}.jpg" for n in range(7)}

    def test_files_of_a_piece_are_made_storable_once(self, store: Store) -> None:
        turn = store.record(piece(1), new_turn()).turn
        odd = replace(piece(2), files=(UNSTORABLE,))
        assert store.join(odd)
        assert store.join(odd)
        assert read(store, turn).message.files[1:] == (STORED,)


class MovingContract:
    def move(self, channel: str, to: str) -> Move:
        return Move(PLATFORM, "workspace", channel, to)

    def test_conversations_of_a_channel_go_on_in_another(self, store: Store, peer: Store) -> None:
        claim = begin(store)
        topic = replace(key(), topic="another")
        store.record(Message(topic, "m", "Hello"), new_turn())
        peer.move(self.move("loft", "attic"))
        assert (store.conversation(key()), store.conversation(topic)) == (None, None)
        for moved in (key("attic"), replace(topic, channel="attic")):
            assert store.conversation(moved) is not None
        assert read(store, claim.turn).message.key == key("attic")
        write(store, finish(claim))

    def test_what_belongs_to_others_stays(self, store: Store) -> None:
        elsewhere = [
            ConversationKey(PLATFORM, "other", "loft"),
            ConversationKey("dove", "workspace", "loft"),
            key("cellar"),
        ]
        for number, each in enumerate(elsewhere):
            store.record(Message(each, f"m{number}", "Hello"), new_turn())
        store.move(self.move("loft", "attic"))
        assert all(store.conversation(each) for each in elsewhere)

    def test_a_conversation_that_is_there_already_is_left_alone(self, store: Store) -> None:
        old, new = say(store, "loft").turn, say(store, "attic").turn
        store.move(self.move("loft", "attic"))
        store.move(self.move("loft", "attic"))
        assert (read(store, old).message.key, read(store, new).message.key) == (key("loft"), key("attic"))
