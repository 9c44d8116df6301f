"""Contract of Store: messages that are enqueued together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.errors import Conflict, Overloaded, ThreadNotFound
from gateway.domain.models import Message, MessageKind, TurnId, TurnState
from gateway.ports.enqueue import EnqueueRequest, EnqueueResult
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    answer,
    audit_log,
    claim_one,
    enqueue,
    enqueue_and_claim,
    finish,
    get_turn,
    key,
    message,
    new_turn,
    run_concurrently,
)


def request(told: Message, turn: TurnId | None = None, **options: Any) -> EnqueueRequest:
    return EnqueueRequest(told, turn or new_turn(), **options)


def recorded(store: Store, *requests: EnqueueRequest) -> list[EnqueueResult]:
    """Enqueues messages together that are all taken."""
    results = store.enqueue_all(requests)
    assert len(results) == len(requests)
    return [each for each in results if isinstance(each, EnqueueResult)]


class EnqueueTogetherContract:
    def test_nothing_to_enqueue_is_no_error(self, store: Store) -> None:
        assert list(store.enqueue_all(())) == []

    def test_messages_keep_their_order_in_each_conversation(self, store: Store) -> None:
        before = enqueue(store, "a").turn
        names = [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2"), ("a", "3")]
        results = recorded(store, *(request(message(channel, text)) for channel, text in names))
        assert [each.turn.message.text for each in results] == [text for _, text in names]
        assert [each.turn.seq for each in results] == [2, 1, 3, 1, 2, 4]
        assert [get_turn(store, each.turn) for each in results] == [each.turn for each in results]
        transcript = store.transcript(before.conversation_id)
        assert [(turn.seq, turn.message.text) for turn in transcript] == [(1, "Hello"), (2, "1"), (3, "2"), (4, "3")]

    def test_only_the_first_message_of_an_idle_conversation_is_claimed(self, store: Store, peer: Store) -> None:
        busy = enqueue_and_claim(store, "busy", "other")
        idle = enqueue_and_claim(store, "idle", "other")
        store.apply_writes([answer(idle), finish(idle)])
        channels = ["new", "busy", "new", "idle", "idle"]
        results = recorded(store, *(request(message(each), owner="one") for each in channels))
        assert [each.claim is not None for each in results] == [True, False, False, True, False]
        assert [each.turn.state for each in results if each.claim] == [TurnState.RUNNING, TurnState.RUNNING]
        assert peer.claim("two", [PLATFORM], 10) == ()
        for each in results:
            if each.claim is not None:
                assert each.claim.turn == each.turn
                following = store.apply_writes([answer(each.claim), finish(each.claim)])[1]
                assert getattr(following, "turn", None) is not None  # the lease is valid
        assert store.apply_writes([finish(busy)])[0] is not None

    def test_each_message_has_an_owner_of_its_own_or_none(self, store: Store) -> None:
        claimed, left = recorded(
            store,
            request(message("a"), owner="one", received_by="web"),
            request(message("b"), received_by="web"),
        )
        assert (claimed.claim is not None, left.claim) == (True, None)
        assert audit_log(store, claimed.turn) == [(AuditEvent.RECEIVED, "web"), (AuditEvent.CLAIMED, "one")]
        assert audit_log(store, left.turn) == [(AuditEvent.RECEIVED, "web")]
        assert claim_one(store, "two").turn.id == left.turn.id

    def test_a_repeated_id_is_one_turn(self, store: Store) -> None:
        told = message("a")
        known = enqueue(store, "known").turn
        first, again, elsewhere, before = recorded(
            store,
            request(told, owner="one"),
            request(told, owner="one"),
            request(message("b", name=told.message_id)),
            request(replace(known.message, text="changed")),
        )
        assert [first.is_new, again.is_new, elsewhere.is_new, before.is_new] == [True, False, False, False]
        assert (again.turn, elsewhere.turn, before.turn) == (first.turn, first.turn, known)
        assert (again.claim, again.cancelled) == (None, ())
        assert store.find_conversation(key("b")) is None
        assert len(store.transcript(first.turn.conversation_id)) == 1

    def test_a_refused_message_does_not_affect_the_others(self, store: Store) -> None:
        full = enqueue(store, "full").turn
        told = [message("full"), message("nowhere", may_start_conversation=False), message("taken"), message("a")]
        requests = [
            request(told[0], max_backlog=1),
            request(told[1]),
            request(told[2], full.id),
            request(told[3], owner="one"),
        ]
        overloaded, unknown, conflict, taken = store.enqueue_all(requests)
        assert isinstance(overloaded, Overloaded)
        assert isinstance(unknown, ThreadNotFound)
        assert isinstance(conflict, Conflict)
        assert isinstance(taken, EnqueueResult)
        assert taken.claim is not None
        assert [store.find_turn_by_message(PLATFORM, each.message_id) for each in told] == [
            None,
            None,
            None,
            taken.turn,
        ]
        assert store.find_conversation(key("taken")) is None
        assert len(store.transcript(full.conversation_id)) == 1

    def test_a_message_that_cannot_be_stored_does_not_affect_the_others(self, store: Store) -> None:
        unstorable = replace(message("a"), address={"at": object()})  # type: ignore[dict-item]  # on purpose
        before, failed, after = store.enqueue_all([request(message("a")), request(unstorable), request(message("a"))])
        assert isinstance(failed, TypeError)
        assert isinstance(before, EnqueueResult)
        assert isinstance(after, EnqueueResult)
        assert (before.turn.seq, after.turn.seq) == (1, 2)

    def test_the_backlog_is_counted_within_the_group(self, store: Store) -> None:
        stop = message(kind=MessageKind.STOP)
        results = store.enqueue_all(
            [*(request(message(), max_backlog=2) for _ in range(3)), request(stop, max_backlog=2)]
        )
        assert [isinstance(each, EnqueueResult) for each in results] == [True, True, False, True]

    def test_a_stop_cancels_what_came_before_it_in_the_group(self, store: Store) -> None:
        earlier = enqueue(store).turn
        first, stop, after = recorded(
            store,
            request(message(), owner="one"),
            request(message(kind=MessageKind.STOP)),
            request(message()),
        )
        assert stop.cancelled == (earlier.id, first.turn.id)
        states = [get_turn(store, each.turn).state for each in (first, stop, after)]
        assert states == [TurnState.CANCELLED, TurnState.QUEUED, TurnState.QUEUED]

    def test_a_debounced_message_delays_the_group_of_an_idle_conversation_only(self, store: Store) -> None:
        recorded(
            store,
            request(message("a", debounce_seconds=600.0), owner="one"),
            request(message("a"), owner="one"),
            request(message("b"), owner=None),
        )
        assert claim_one(store).turn.message.key == key("b")

    def test_messages_that_start_conversations_are_told_apart_by_their_keys(self, store: Store) -> None:
        results = recorded(store, *(request(message(f"{n}\x00"), owner="one") for n in range(50)))
        assert len({each.turn.conversation_id for each in results}) == 50
        found = [store.find_conversation(each.turn.message.key) for each in results]
        assert [each.id for each in found if each] == [each.turn.conversation_id for each in results]

    @pytest.mark.parametrize("round_", range(3))
    def test_concurrent_groups_with_the_same_messages_record_each_once(
        self, store: Store, peer: Store, round_: int
    ) -> None:
        told = [message(f"{number % 5}", name=f"{round_}-{number}") for number in range(20)]
        orders = [told, told[::-1], told[10:] + told[:10], told[::2] + told[1::2]]
        groups = [
            partial((store, peer)[side % 2].enqueue_all, [request(each, owner="one") for each in order])
            for side, order in enumerate(orders)
        ]
        results = [each for group in run_concurrently(groups) for each in group]
        assert all(isinstance(each, EnqueueResult) for each in results)
        assert sum(each.is_new for each in results) == len(told)
        assert len({each.turn.id for each in results}) == len(told)
        assert sum(each.claim is not None for each in results) == 5
        for number in range(5):
            found = store.find_conversation(key(f"{number}"))
            assert found is not None
            assert [turn.seq for turn in store.transcript(found.id)] == [1, 2, 3, 4]
