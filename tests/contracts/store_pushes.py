"""Contract of Store: replies that are recorded without a run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from gateway.domain.conversations import Claim
from gateway.domain.errors import Conflict, Overloaded
from gateway.domain.models import Message, TurnState
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    answer,
    apply_write,
    claim_one,
    enqueue,
    enqueue_and_claim,
    finish,
    get_turn,
    message,
    new_turn,
    run_concurrently,
)


def pushed(text: str = "The build has failed.", channel: str = "loft", name: str = "") -> Message:
    return replace(message(channel, "", name=name), caller="push key", given_reply=text)


class EnqueueAnsweredContract:
    def test_a_given_reply_is_an_answered_turn_that_is_only_delivered(self, store: Store) -> None:
        recorded = store.enqueue_answered(pushed("Ready\0"), new_turn())
        turn = recorded.turn
        assert recorded.is_new
        assert turn == get_turn(store, turn)
        assert (turn.state, turn.reply, turn.seq) == (TurnState.ANSWERED, "Ready\ufffd", 1)
        assert turn.answered_at == turn.received_at
        assert turn.is_pushed_text
        claim = claim_one(store)
        assert (claim.turn.id, claim.turn.state) == (turn.id, TurnState.ANSWERED)
        assert apply_write(store, finish(claim)) is None
        assert get_turn(store, turn).state is TurnState.DELIVERED

    def test_a_given_reply_keeps_its_place_between_messages(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        turn = store.enqueue_answered(pushed(), new_turn()).turn
        behind = enqueue(store).turn
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.turn.id == turn.id
        last = apply_write(store, finish(following))
        assert isinstance(last, Claim)
        assert last.turn.id == behind.id

    def test_a_given_reply_is_recorded_once_however_often_and_wherever_it_is_sent(
        self, store: Store, peer: Store
    ) -> None:
        sends = [partial(each.enqueue_answered, pushed(name="once"), new_turn()) for each in (store, peer) * 2]
        results = run_concurrently(sends)
        assert sorted(result.is_new for result in results) == [False, False, False, True]
        assert len({result.turn.id for result in results}) == 1
        assert claim_one(store).turn.seq == 1

    def test_a_full_conversation_takes_no_given_reply(self, store: Store) -> None:
        store.enqueue_answered(pushed(), new_turn(), max_backlog=1)
        with pytest.raises(Overloaded):
            store.enqueue_answered(pushed(), new_turn(), max_backlog=1)
        assert apply_write(store, finish(claim_one(store))) is None
        assert store.claim("one", [PLATFORM], 1) == ()

    def test_a_turn_id_names_one_given_reply(self, store: Store) -> None:
        turn = new_turn()
        store.enqueue_answered(pushed(), turn)
        with pytest.raises(Conflict):
            store.enqueue_answered(pushed(), turn)
