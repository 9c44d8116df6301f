"""Contract of Store: audit logs, models and costs."""

from __future__ import annotations

import pytest

from gateway.domain.models import Claim, Mark, RunId, Turn, Usage
from gateway.ports.store import Finished, Marked, Released, Settled, Started, Store
from tests.contracts.store_helpers import (
    FAILURE,
    Expire,
    answer,
    begin,
    claim_one,
    finish,
    message,
    new_turn,
    read,
    say,
    trail,
    write,
)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class TrailContract:
    def test_receiver_and_first_claim_are_logged(self, store: Store) -> None:
        recorded = store.record(message(), new_turn(), owner="one", taker="web")
        assert trail(store, recorded.turn) == [(Mark.RECEIVED, "web"), (Mark.CLAIMED, "one")]
        assert recorded.turn == read(store, recorded.turn)
        behind = store.record(message(), new_turn(), owner="one", taker="web").turn
        assert trail(store, behind) == [(Mark.RECEIVED, "web")]
        assert trail(store, say(store, "other").turn) == []

    def test_every_claim_and_release_is_logged(self, store: Store, expire_lease: Expire) -> None:
        claim = begin(store)
        write(store, Released(claim.lease, fresh=True))
        second = claim_one(store, "two")
        expire_lease(claim.conversation.id)
        third = claim_one(store, "three")
        store.write([answer(third), Released(third.lease)])
        assert trail(store, claim.turn) == [
            (Mark.CLAIMED, "one"),
            (Mark.HANDED_BACK, "one"),
            (Mark.CLAIMED, "two"),
            (Mark.CLAIMED, "three"),
            (Mark.HANDED_BACK, "three"),
        ]
        brought = claim_one(store, "four").turn
        assert brought == read(store, claim.turn)
        assert trail(store, second.turn)[-1] == (Mark.CLAIMED, "four")

    def test_proceeding_to_the_next_turn_logs_a_claim(self, store: Store) -> None:
        claim, waiting = begin(store), say(store).turn
        _, following = store.write([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.turn == read(store, waiting)
        assert trail(store, waiting) == [(Mark.CLAIMED, "one")]

    def test_run_is_logged_once(self, store: Store) -> None:
        claim = begin(store)
        for run in ("r1", "r1", "r2"):
            write(store, Started(claim.lease, claim.turn.id, RunId(run)))
        assert trail(store, claim.turn)[1:] == [(Mark.RUN, "r1"), (Mark.RUN, "r2")]

    def test_lease_holder_appends_entries(self, store: Store) -> None:
        claim, waiting = begin(store), say(store).turn
        marked = Marked(claim.lease, claim.turn.id, Mark.ASKED_AGAIN, "rate\x00limited")
        put_off = Marked(claim.lease, claim.turn.id, Mark.PUT_OFF)
        elsewhere = Marked(claim.lease, waiting.id, Mark.PUT_OFF)
        assert store.write([marked, answer(claim), put_off, elsewhere])[::2] == [None, None]
        assert trail(store, claim.turn)[1:] == [(Mark.ASKED_AGAIN, "rate\ufffdlimited"), (Mark.PUT_OFF, "")]
        assert trail(store, waiting) == []

    def test_long_audit_log_keeps_first_and_newest_entries(self, store: Store) -> None:
        claim = store.record(message(), new_turn(), owner="one", taker="web").claim
        assert claim is not None
        many = [Marked(claim.lease, claim.turn.id, Mark.PUT_OFF, f"{number} {'x' * 5000}") for number in range(200)]
        store.write(many)
        kept = trail(store, claim.turn)
        assert kept[:3] == [(Mark.RECEIVED, "web"), (Mark.CLAIMED, "one"), (Mark.PUT_OFF, kept[2][1])]
        assert kept[2][1].startswith("0 ")
        assert kept[-1][1].startswith("199 ")
        assert len(kept) <= 50
        assert max(len(detail) for _, detail in kept) < 1000

    def test_audit_log_survives_every_other_transition(self, store: Store) -> None:
        claim = store.record(message(), new_turn(), owner="one", taker="web").claim
        assert claim is not None
        store.write([answer(claim)])
        store.write([finish(claim)])
        assert trail(store, claim.turn) == [(Mark.RECEIVED, "web"), (Mark.CLAIMED, "one")]

    def test_traceparent_is_stored_with_its_turn(self, store: Store, peer: Store, expire_lease: Expire) -> None:
        told = message(trace=TRACE)
        claim = store.record(told, new_turn(), owner="one").claim
        assert claim is not None
        assert claim.turn.message == told == read(peer, claim.turn).message
        expire_lease(claim.conversation.id)
        assert claim_one(peer, "two").turn.message.trace == TRACE

    @pytest.mark.parametrize("taker", ["", "web"])
    def test_waiting_caller_is_stored_if_the_receiver_is_known(self, store: Store, taker: str) -> None:
        told = message(awaited=True)
        recorded = store.record(told, new_turn(), owner="one", taker=taker)
        assert recorded.turn.message.awaited is bool(taker)
        assert read(store, recorded.turn) == recorded.turn
        assert not store.record(told, new_turn(), taker=taker).new

    def test_model_and_cost_are_stored(self, store: Store) -> None:
        claim = begin(store)
        settled = write(store, Settled(claim.lease, claim.turn.id, "Hi", Usage(3, 4), model="gpt\x00", cost=2**40))
        assert isinstance(settled, Turn)
        assert (settled.model, settled.cost) == ("gpt\ufffd", 2**40)
        assert settled == read(store, claim.turn)
        undelivered = Finished(claim.lease, claim.turn.id, FAILURE)
        write(store, undelivered)
        assert (read(store, claim.turn).model, read(store, claim.turn).cost) == ("gpt\ufffd", 2**40)
