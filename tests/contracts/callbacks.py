"""Contract of Callbacks. Subclasses give ``store`` and ``peer``, a store of another process, on an empty database."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.models import TurnId
from gateway.ports.callbacks import Callback
from storage.store import SqlStore
from tests.contracts.store_helpers import PLATFORM, answer, enqueue, enqueue_and_claim, finish, run_concurrently

URL = "https://example.com/hook"


@pytest.fixture
def turn(store: SqlStore) -> TurnId:
    claim = enqueue_and_claim(store)
    store.apply_writes([answer(claim), finish(claim)])
    return claim.turn.id


def callback(name: str, turn: TurnId, lane: str = "a") -> Callback:
    return Callback(name, lane, URL, "turn.answered", turn, '{"a": 1}')


def add(store: SqlStore, turn: TurnId, *names: str, lane: str = "a", most: int = 100) -> None:
    for name in names:
        store.callbacks.add(callback(name, turn, lane), most)


def claim(store: SqlStore, limit: int = 10, seconds: float = 60.0) -> list[Callback]:
    return list(store.callbacks.claim(limit, seconds)[1])


def names(found: object) -> list[str]:
    return [each.id for each in found]  # type: ignore[attr-defined]  # a sequence of callbacks


class CallbacksContract:
    def test_a_callback_is_stored_as_it_is_and_once(self, store: SqlStore, peer: SqlStore, turn: TurnId) -> None:
        run_concurrently([partial(add, each, turn, "m1") for each in (store, peer)])
        now, (found,) = store.callbacks.claim(10, 60.0)
        assert (found.id, found.lane, found.url, found.event, found.turn_id, found.body) == (
            *("m1", "a", URL, "turn.answered"),
            *(turn, '{"a": 1}'),
        )
        assert (found.attempts, found.error) == (1, "")
        assert abs(found.retried_since - found.created_at) < 1
        assert 0 <= now - found.created_at < 60

    def test_what_is_claimed_is_claimed_by_one_until_its_time_is_over(
        self, store: SqlStore, peer: SqlStore, turn: TurnId
    ) -> None:
        for number in range(6):
            add(store, turn, f"m{number}", lane=str(number))
        found = run_concurrently([partial(claim, each) for each in (store, peer)])
        assert sorted(names([*found[0], *found[1]])) == [f"m{number}" for number in range(6)]
        assert claim(peer) == []
        add(store, turn, "late", lane="late")
        (first,), (again,) = claim(store, seconds=-1.0), claim(peer)
        assert (first.attempts, again.attempts) == (1, 2)
        assert store.callbacks.mark_delivered(first) is False
        assert peer.callbacks.mark_delivered(again) is True

    def test_those_of_a_lane_are_claimed_one_after_the_other(self, store: SqlStore, turn: TurnId) -> None:
        add(store, turn, "m1", "m2", "m3")
        add(store, turn, "other", lane="b")
        (first, _) = claim(store)
        assert first.id == "m1"
        assert store.callbacks.mark_failed(first, "503", 60.0)
        assert claim(store) == []  # it waits, and those behind it with it
        store.callbacks.mark_failed(first, "503", 0.0)
        (first,) = claim(store)
        assert (first.attempts, first.error) == (2, "503")
        store.callbacks.mark_delivered(first)
        (second,) = claim(store)
        store.callbacks.mark_failed(second, "410", None)
        assert names(claim(store)) == ["m3"]

    def test_receivers_that_are_spared_get_none(self, store: SqlStore, turn: TurnId) -> None:
        for number, url in enumerate((URL, "https://example.com:8443/hook", "https://other.example/100%25_/hook")):
            store.callbacks.add(replace(callback(f"m{number}", turn, f"{number}"), url=url), 100)
        spared = ("https://example.com/", "https://other.example/1__%25_/")
        assert names(store.callbacks.claim(10, 60.0, spared)[1]) == ["m1", "m2"]
        assert names(claim(store)) == ["m0"]

    def test_what_was_given_up_is_listed_and_can_be_sent_again(self, store: SqlStore, turn: TurnId) -> None:
        add(store, turn, "m1", "m2")
        (first,) = claim(store)
        store.callbacks.mark_failed(first, "410", None)
        assert names(store.callbacks.listed(10)) == ["m2", "m1"]
        assert names(store.callbacks.listed(1, dead=False)) == ["m2"]
        (dead,) = store.callbacks.listed(10, dead=True)
        assert (dead.id, dead.error, dead.next_at) == ("m1", "410", None)
        assert dead.dead_at is not None
        assert store.callbacks.resend("m1") is True
        assert store.callbacks.resend("m1") is False
        (again,) = claim(store)
        assert (again.id, again.attempts) == ("m1", 2)
        assert again.retried_since > dead.retried_since
        assert store.callbacks.resend("nobody") is False

    def test_of_too_many_in_a_lane_the_last_are_given_up_at_once(self, store: SqlStore, turn: TurnId) -> None:
        add(store, turn, "m1", "m2", "m3", most=2)
        add(store, turn, "m1", "other", lane="b", most=2)
        (dead,) = store.callbacks.listed(10, dead=True)
        assert (dead.id, "more than 2" in dead.error) == ("m3", True)

    def test_what_is_delivered_holds_no_content_and_is_no_longer_listed(self, store: SqlStore, turn: TurnId) -> None:
        add(store, turn, "m1")
        store.callbacks.mark_delivered(claim(store)[0])
        add(store, turn, "m1")  # its turn is finished by another process
        assert claim(store) == []
        assert store.callbacks.listed(10) == []

    def test_nothing_is_told_of_turns_that_are_erased_or_deleted(self, store: SqlStore, turn: TurnId) -> None:
        add(store, turn, "m1")
        store.erase_older_than(-60.0)
        assert store.callbacks.listed(10) == []
        add(store, turn, "m2")
        add(store, TurnId("nobody"), "m3")
        assert store.callbacks.listed(10) == []
        other = enqueue(store, "roof").turn
        add(store, other.id, "m4")
        store.delete_conversation(other.conversation_id)
        assert store.callbacks.listed(10) == []

    def test_a_rating_is_not_told_of_any_more_when_its_author_is_forgotten(self, store: SqlStore, turn: TurnId) -> None:
        for author in ("Bob", "bob", 'B"o%'):
            body = json.dumps({"data": {"rating": {"by": author, "value": "good"}}}, separators=(",", ":"))
            store.callbacks.add(Callback(f"of {author}", author, URL, "feedback.given", turn, body), 10)
        add(store, turn, "answer")
        store.erase_feedback_by("owl", "Bob")
        assert len(store.callbacks.listed(10)) == 4
        for author in ("Bob", 'B"o%', "o"):
            store.erase_feedback_by(PLATFORM, author)
        assert set(names(store.callbacks.listed(10))) == {"answer", "of bob"}

    def test_old_ones_are_purged(self, store: SqlStore, turn: TurnId) -> None:
        add(store, turn, "m1", "m2")
        store.callbacks.mark_failed(claim(store)[0], "410", None)
        store.callbacks.mark_delivered(claim(store)[0])
        store.purge_expired()
        assert names(store.callbacks.listed(10)) == ["m1"]
