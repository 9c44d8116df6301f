"""Contract of Store: albums and channel migrations."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import cast

from gateway.domain.conversations import Claim
from gateway.domain.files import File
from gateway.domain.models import ConversationKey, Message, Turn, TurnState
from gateway.domain.platform_events import ChannelMigrated, MessageEdited
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    STORED_FILE,
    UNSTORABLE_FILE,
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

WEEK = 7 * 86400.0


def piece(number: int, text: str = "", wait: float = WEEK) -> Message:
    told = message(text=text, name="album", files=(File(f"{number}.jpg", f"F{number}"),))
    return replace(told, album_item_id=f"{number}", debounce_seconds=wait)


def names(turn: Turn) -> set[str]:
    return {file.name for file in turn.message.files}


class CompleteContract:
    """Two events about one message, see ``Store.complete_queued``."""

    def test_what_comes_later_joins_and_ends_the_wait(self, store: Store, peer: Store) -> None:
        waiting = enqueue_one(store, message(text="look", name="twin", debounce_seconds=WEEK), new_turn(), owner="one")
        assert store.claim("one", [PLATFORM], 10) == ()
        again = replace(message(text="look (a.png)", name="twin"), files=(File("a.png", "F1"), UNSTORABLE_FILE))
        assert peer.complete_queued(again)
        claimed = claim_one(store)
        assert claimed.turn.id == waiting.turn.id
        assert claimed.turn.message.text == "look (a.png)"
        assert claimed.turn.message.files == (File("a.png", "F1"), STORED_FILE)
        assert peer.complete_queued(again)

    def test_an_edited_text_is_not_replaced_by_an_older_one(self, store: Store) -> None:
        turn = enqueue_one(store, message(text="look", name="twin"), new_turn()).turn
        assert store.edit_queued(MessageEdited(PLATFORM, turn.message.message_id, "loo"))
        assert store.complete_queued(replace(message(text="look", name="twin"), files=(File("a.png", "F1"),)))
        stored = get_turn(store, turn)
        assert (stored.message.text, names(stored)) == ("loo", {"a.png"})

    def test_a_turn_that_did_not_wait_gets_what_follows_its_text(self, store: Store) -> None:
        turn = enqueue_one(store, message(text="look", name="twin"), new_turn()).turn
        assert store.complete_queued(message(text="look\n\nForwarded: x", name="twin"))
        assert get_turn(store, turn).message.text == "look\n\nForwarded: x"

    def test_a_turn_that_has_started_takes_nothing_more(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        said = claim.turn.message
        assert store.complete_queued(said)
        assert not store.complete_queued(replace(said, files=(File("a.png", "F1"),)))
        assert get_turn(store, claim.turn).message.files == ()

    def test_an_erased_turn_has_nothing_to_complete(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        store.apply_writes([answer(claim), finish(claim)])
        cast("ReportingStore", store).erase_author(claim.conversation, "Ada")
        assert store.complete_queued(replace(claim.turn.message, files=(File("a.png", "F1"),)))
        assert get_turn(store, claim.turn).message.files == ()

    def test_a_message_without_a_turn_has_nothing_to_complete(self, store: Store) -> None:
        assert store.complete_queued(message(text="look", name="nobody"))


class AlbumContract:
    def test_debounced_message_is_not_claimed_before_its_time(self, store: Store, expire_lease: ExpireLease) -> None:
        recorded = enqueue_one(store, piece(1), new_turn(), owner="one")
        assert (recorded.claim, recorded.turn.state) == (None, TurnState.QUEUED)
        assert store.claim("one", [PLATFORM], 10) == ()
        expire_lease(recorded.turn.conversation_id)
        assert claim_one(store).turn.id == recorded.turn.id

    def test_message_is_claimable_after_its_debounce_time(self, store: Store) -> None:
        recorded = enqueue_one(store, piece(1, wait=1e-9), new_turn(), owner="one")
        assert claim_one(store).turn.id == recorded.turn.id

    def test_debounce_does_not_apply_behind_other_turns(self, store: Store) -> None:
        before = enqueue_and_claim(store)
        turn = enqueue_one(store, piece(1), new_turn(), owner="one").turn
        _, following = store.apply_writes([answer(before), finish(before)])
        assert isinstance(following, Claim)
        assert following.turn.id == turn.id

    def test_album_items_are_appended_in_order_of_arrival(self, store: Store, peer: Store) -> None:
        turn = enqueue_one(store, piece(1), new_turn()).turn
        for following in (piece(2, "what is this?"), piece(3), piece(2, "what is this?")):
            assert not enqueue_one(peer, following, new_turn()).is_new
            assert peer.append_to_queued(following)
        joined = get_turn(store, turn)
        assert [file.name for file in joined.message.files] == ["1.jpg", "2.jpg", "3.jpg"]
        assert joined.message.text == "what is this?"

    def test_text_repeated_in_all_items_is_kept_once(self, store: Store) -> None:
        turn = enqueue_one(store, piece(1, "to Ann:"), new_turn()).turn
        for following in (piece(2, "to Ann:"), piece(3, "to Ann: look"), piece(4, "quick"), piece(5, "quick")):
            assert store.append_to_queued(following)
        assert get_turn(store, turn).message.text == "to Ann: look\nquick"

    def test_an_edit_changes_the_text_of_its_item_only(self, store: Store, peer: Store) -> None:
        turn = enqueue_one(store, piece(9), new_turn()).turn
        for following in (piece(10, "a"), piece(11), piece(12, "b")):
            assert store.append_to_queued(following)
        for number, text in ((10, "a\x00"), (12, "b, c"), (11, "new"), (9, "first"), (10, "")):
            assert peer.edit_queued(MessageEdited(PLATFORM, piece(number).own_id, text))
        assert get_turn(store, turn).message.text == "first\nnew\nb, c"
        assert not store.edit_queued(MessageEdited(PLATFORM, piece(13).own_id, "of nobody"))

    def test_an_edit_changes_the_text_of_an_item_that_others_contained(self, store: Store) -> None:
        turn = enqueue_one(store, piece(1, "to Ann:"), new_turn()).turn
        for following in (piece(2, "to Ann:"), piece(3, "to Ann: look")):
            assert store.append_to_queued(following)
        assert store.edit_queued(MessageEdited(PLATFORM, piece(3).own_id, "to Ann: see"))
        assert get_turn(store, turn).message.text == "to Ann: see"
        assert store.edit_queued(MessageEdited(PLATFORM, piece(1).own_id, "to Bob"))
        assert get_turn(store, turn).message.text == "to Bob\nto Ann: see"

    def test_an_edit_changes_the_text_of_an_item_that_came_with_others(self, store: Store) -> None:
        together = replace(piece(2, "a\nb"), album_parts=((piece(1).own_id, 0), (piece(2).own_id, 2)))
        turn = enqueue_one(store, together, new_turn()).turn
        assert store.edit_queued(MessageEdited(PLATFORM, piece(1).own_id, "one"))
        assert store.edit_queued(MessageEdited(PLATFORM, piece(2).own_id, "two"))
        assert get_turn(store, turn).message.text == "one\ntwo"

    def test_started_turn_accepts_no_new_items_but_known_ones(self, store: Store, expire_lease: ExpireLease) -> None:
        turn = enqueue_one(store, piece(1), new_turn()).turn
        store.append_to_queued(piece(2))
        expire_lease(turn.conversation_id)
        begun = claim_one(store).turn
        assert names(begun) == {"1.jpg", "2.jpg"}
        assert store.append_to_queued(piece(2))
        assert not store.append_to_queued(piece(3))
        assert get_turn(store, turn) == begun

    def test_item_without_a_queued_turn_is_not_appended(self, store: Store) -> None:
        assert not store.append_to_queued(piece(1))

    def test_concurrent_items_are_all_appended(self, store: Store, peer: Store) -> None:
        turn = enqueue_one(store, piece(0), new_turn()).turn
        assert all(run_concurrently([partial((store, peer)[n % 2].append_to_queued, piece(n)) for n in range(1, 7)]))
        assert names(get_turn(store, turn)) == {f"{n}.jpg" for n in range(7)}

    def test_files_of_an_item_are_made_storable_once(self, store: Store) -> None:
        turn = enqueue_one(store, piece(1), new_turn()).turn
        odd = replace(piece(2), files=(UNSTORABLE_FILE,))
        assert store.append_to_queued(odd)
        assert store.append_to_queued(odd)
        assert get_turn(store, turn).message.files[1:] == (STORED_FILE,)


class ChannelMigrationContract:
    def move(self, channel: str, to: str) -> ChannelMigrated:
        return ChannelMigrated(PLATFORM, "workspace", channel, to)

    def test_conversations_of_a_migrated_channel_move(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        topic = replace(key(), topic="another")
        enqueue_one(store, Message(topic, "m", "Hello"), new_turn())
        peer.migrate_channel(self.move("loft", "attic"))
        assert (store.find_conversation(key()), store.find_conversation(topic)) == (None, None)
        for moved in (key("attic"), replace(topic, channel="attic")):
            assert store.find_conversation(moved) is not None
        assert get_turn(store, claim.turn).message.key == key("attic")
        apply_write(store, finish(claim))

    def test_conversations_of_other_channels_stay(self, store: Store) -> None:
        elsewhere = [
            ConversationKey(PLATFORM, "other", "loft"),
            ConversationKey("dove", "workspace", "loft"),
            key("cellar"),
        ]
        for number, each in enumerate(elsewhere):
            enqueue_one(store, Message(each, f"m{number}", "Hello"), new_turn())
        store.migrate_channel(self.move("loft", "attic"))
        assert all(store.find_conversation(each) for each in elsewhere)

    def test_only_the_same_conversation_in_the_new_channel_is_in_the_way(self, store: Store) -> None:
        old, there = key("loft"), key("attic")
        moving = [replace(old, topic="another"), replace(old, user="Bob")]
        in_the_way = [there, replace(moving[0], channel="attic", workspace="other")]
        for number, each in enumerate([old, *moving, *in_the_way]):
            enqueue_one(store, Message(each, f"m{number}", "Hello"), new_turn())
        store.migrate_channel(self.move("loft", "attic"))
        assert store.find_conversation(old) is not None
        assert all(store.find_conversation(replace(each, channel="attic")) for each in moving)

    def test_existing_conversation_in_new_channel_is_kept(self, store: Store) -> None:
        old, new = enqueue(store, "loft").turn, enqueue(store, "attic").turn
        store.migrate_channel(self.move("loft", "attic"))
        store.migrate_channel(self.move("loft", "attic"))
        assert (get_turn(store, old).message.key, get_turn(store, new).message.key) == (key("loft"), key("attic"))
