"""Contract of Store: messages of one act become one turn, see ``Message.join``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gateway.domain.conversations import Claim
from gateway.domain.errors import ThreadNotFound
from gateway.domain.files import File
from gateway.domain.models import Join, Message, MessageKind, Turn, TurnState
from gateway.domain.platform_events import MessageEdited
from gateway.ports.enqueue import EnqueueRequest, EnqueueResult
from gateway.ports.leased_writes import ParkTurn
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
    message,
    new_turn,
    run_concurrently,
)

WEEK = 7 * 86400.0
SOON = Join(60.0)


def said(text: str, name: str, *, wait: float = WEEK, join: Join | None = SOON, **more: Any) -> Message:
    return message(text=text, name=name, join=join, debounce_seconds=wait, **more)


def add(store: Store, one: Message) -> EnqueueResult:
    return enqueue_one(store, one, new_turn(), owner="one", received_by="web")


def enqueue_outcome(store: Store, one: Message) -> EnqueueResult | Exception:
    (outcome,) = store.enqueue_all([EnqueueRequest(one, new_turn(), "one")])
    return outcome


def edit(store: Store, name: str, text: str) -> bool:
    return store.edit_queued(MessageEdited(PLATFORM, name, text))


class JoinContract:
    def test_messages_of_one_act_are_one_turn_whoever_takes_them_in(self, store: Store, peer: Store) -> None:
        first = add(store, said("look", "1"))
        second = add(peer, said("Forwarded: a\x00", "2", files=(UNSTORABLE_FILE,)))
        third = add(store, said("Forwarded: b", "3"))
        assert [each.is_new for each in (first, second, third)] == [True, False, False]
        assert [each.is_joined for each in (first, second, third)] == [False, True, True]
        assert first.turn.id == second.turn.id == third.turn.id
        assert third.turn == get_turn(peer, first.turn)
        assert third.turn.message.text == "look\nForwarded: a\ufffd\nForwarded: b"
        assert third.turn.message.files == (STORED_FILE,)
        assert [entry.detail for entry in third.turn.audit_log] == ["web", "web; message 2", "web; message 3"]

    def test_a_part_that_is_sent_again_changes_nothing(
        self, store: Store, peer: Store, expire_lease: ExpireLease
    ) -> None:
        parts = [said("look", "1"), said("look", "2", wait=0.0)]
        turn, _ = (add(store, each).turn for each in parts)
        joined = get_turn(store, turn)
        for each in parts:
            again = add(peer, each)
            assert (again.turn, again.is_new, again.is_joined) == (joined, False, False)
            assert peer.complete_queued(each)
        expire_lease(turn.conversation_id)
        claim = claim_one(store)
        apply_write(store, answer(claim))
        apply_write(store, replace(finish(claim), turn=get_turn(store, turn)))
        for each in parts:
            again = add(peer, each)
            assert (again.turn.id, again.is_new, again.is_joined) == (turn.id, False, False)
        assert store.find_turn_by_message(PLATFORM, "2") == get_turn(store, turn)

    def test_parts_that_arrive_in_one_transaction_join(self, store: Store) -> None:
        parts = [said("a", "1"), said("b", "2"), said("b", "2"), message(text="other", channel="attic"), said("c", "3")]
        results = store.enqueue_all([EnqueueRequest(each, new_turn(), "one") for each in parts])
        found = [each for each in results if isinstance(each, EnqueueResult)]
        assert [each.is_joined for each in found] == [False, True, False, False, True]
        assert get_turn(store, found[0].turn).message.text == "a\nb\nc"

    def test_parts_that_arrive_at_once_are_all_kept(self, store: Store, peer: Store) -> None:
        turn = add(store, said("0", "0")).turn
        numbers = [f"{number}" for number in range(1, 7)]
        run_concurrently([partial(add, (store, peer)[int(name) % 2], said(name, name)) for name in numbers])
        assert sorted(get_turn(store, turn).message.text.split("\n")) == ["0", *numbers]

    def test_a_turn_waits_for_as_long_as_its_newest_part_says(self, store: Store, peer: Store) -> None:
        turn = add(store, said("a", "1", wait=1e-9)).turn
        add(peer, said("b", "2"))
        assert store.claim("one", [PLATFORM], 10) == ()
        add(peer, said("c", "3", wait=0.0))
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.message.text) == (turn.id, "a\nb\nc")

    def test_behind_another_turn_messages_join_and_do_not_delay_it(self, store: Store) -> None:
        before = enqueue_and_claim(store)
        add(store, said("a", "1"))
        assert add(store, said("b", "2")).is_joined
        _, following = store.apply_writes([answer(before), finish(before)])
        assert isinstance(following, Claim)
        assert following.turn.message.text == "a\nb"

    def test_a_parked_turn_goes_on_waiting_when_a_message_joins_it(self, store: Store) -> None:
        claim = add(store, said("a", "1", wait=0.0)).claim
        assert claim is not None
        apply_write(store, ParkTurn(claim.lease, claim.turn, "budget", WEEK, WEEK, not_started=True))
        assert add(store, said("b", "2", wait=0.0)).turn.message.text == "a\nb"
        assert get_turn(store, claim.turn).is_parked
        assert store.claim("one", [PLATFORM], 10) == ()

    def test_only_a_text_that_may_be_split_is_continued(self, store: Store) -> None:
        piece = Join(60.0, after_units=10)
        add(store, said("12345678", "1"))
        assert add(store, said("0123 567🕊", "2", join=piece)).is_new
        assert add(store, said("rest", "3", join=piece)).is_joined
        assert add(store, said("later", "4", join=piece)).is_new

    def test_what_can_only_be_a_part_is_dropped_where_it_is_none(self, store: Store, peer: Store) -> None:
        rest = said("rest", "2", wait=0.0, join=Join(60.0, after_units=4, required=True))
        assert isinstance(enqueue_outcome(store, rest), ThreadNotFound)
        turn = add(store, said("long", "1", join=None)).turn
        strange = replace(rest, author="Bob")
        results = peer.enqueue_all([EnqueueRequest(each, new_turn(), "one") for each in (strange, rest, rest)])
        assert isinstance(results[0], ThreadNotFound)
        assert [each.is_joined for each in results[1:] if isinstance(each, EnqueueResult)] == [True, False]
        assert get_turn(store, turn).message.text == "long\nrest"
        assert claim_one(store).turn.id == turn.id
        assert isinstance(enqueue_outcome(store, replace(rest, message_id="3")), ThreadNotFound)

    def test_a_part_that_comes_again_as_a_message_of_its_own_is_known(self, store: Store) -> None:
        turn = add(store, said("a", "1")).turn
        add(store, said("b", "2"))
        again = add(store, said("@bot b", "2", join=None))
        assert (again.turn.id, again.is_new, again.is_joined) == (turn.id, False, False)

    @pytest.mark.parametrize(
        "other",
        [
            replace(said("b", "2"), author="Bob"),
            replace(said("b", "2"), caller="key 1"),
            said("b", "2", join=None),
            said("b", "2", join=Join(-1.0)),
            said("new", "2", kind=MessageKind.RESET),
        ],
    )
    def test_what_is_no_part_of_the_act_is_a_turn_of_its_own(self, store: Store, other: Message) -> None:
        turn = add(store, said("a", "1")).turn
        assert add(store, other).is_new
        assert get_turn(store, turn).message.text == "a"

    def test_a_message_of_nobody_joins_nothing(self, store: Store) -> None:
        add(store, replace(said("a", "1"), author=""))
        assert add(store, replace(said("b", "2"), author="")).is_new

    def test_a_started_turn_takes_no_more(self, store: Store, expire_lease: ExpireLease) -> None:
        turn = add(store, said("a", "1")).turn
        expire_lease(turn.conversation_id)
        claim_one(store)
        assert add(store, said("b", "2")).is_new

    def test_nothing_joins_across_a_stop_or_a_later_turn(self, store: Store) -> None:
        turn = add(store, said("a", "1")).turn
        stop = add(store, message(text="stop", kind=MessageKind.STOP))
        assert stop.cancelled == (turn.id,)
        assert add(store, said("b", "2")).is_new
        enqueue(store, text="c")
        store.cancel_turn(enqueue(store, text="d").turn.id)
        assert add(store, said("e", "3")).is_new

    def test_an_edit_changes_its_part_only(self, store: Store, peer: Store) -> None:
        turn = add(store, said("one", "1")).turn
        for name, text in (("2", "two"), ("3", ""), ("4", "four")):
            add(store, said(text, name, files=(File(name, name),)))
        for name, text in (("2", "zwei\nzwo"), ("1", "eins"), ("3", "drei\x00"), ("4", "vier"), ("1", "uno")):
            assert edit(peer, name, text)
        assert get_turn(store, turn).message.text == "uno\nzwei\nzwo\ndrei\ufffd\nvier"
        assert edit(store, "1", "")
        assert edit(store, "4", "quattro")
        assert get_turn(store, turn).message.text == "zwei\nzwo\ndrei\ufffd\nquattro"

    def test_an_album_that_joined_gets_its_other_pictures(self, store: Store) -> None:
        turn: Turn = add(store, said("look", "1")).turn
        for number in (1, 2, 2):
            item = said("", "album", files=(File(f"{number}.jpg", f"F{number}"),), album_item_id=f"{number}")
            add(store, item)
            assert store.append_to_queued(item)
        assert [file.name for file in get_turn(store, turn).message.files] == ["1.jpg", "2.jpg"]

    def test_an_edit_of_an_album_that_joined_changes_its_item_only(self, store: Store) -> None:
        turn = add(store, said("look", "1")).turn
        items = [
            said(f"{number}", "album", files=(File(f"{number}.jpg", f"F{number}"),), album_item_id=f"{number}")
            for number in (1, 2)
        ]
        add(store, items[0])
        assert store.append_to_queued(items[1])
        for item in items:
            assert edit(store, item.own_id, f"about {item.text}")
        assert edit(store, "1", "see")
        assert get_turn(store, turn).message.text == "see\nabout 1\nabout 2"

    def test_a_deleted_conversation_forgets_which_messages_joined(self, store: Store) -> None:
        turn = add(store, said("a", "1")).turn
        add(store, said("b", "2"))
        store.delete_conversation(turn.conversation_id)
        assert store.find_turn_by_message(PLATFORM, "2") is None
        assert get_turn(store, add(store, said("b", "2")).turn).state is TurnState.QUEUED
