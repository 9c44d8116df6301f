"""Contract of Store: audit logs, models and costs."""

from __future__ import annotations

import pytest

from gateway.domain.audit import AuditEvent
from gateway.domain.conversations import Claim
from gateway.domain.models import RunId, Turn, Usage
from gateway.ports.leased_writes import AppendAuditEntry, FinishTurn, RecordOutcome, ReleaseLease, SetRun
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    FAILURE,
    ExpireLease,
    answer,
    apply_write,
    audit_log,
    claim_one,
    enqueue,
    enqueue_and_claim,
    enqueue_one,
    finish,
    get_turn,
    message,
    new_turn,
)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class AuditLogContract:
    def test_receiver_and_first_claim_are_logged(self, store: Store) -> None:
        recorded = enqueue_one(store, message(), new_turn(), owner="one", received_by="web")
        assert audit_log(store, recorded.turn) == [(AuditEvent.RECEIVED, "web"), (AuditEvent.CLAIMED, "one")]
        assert recorded.turn == get_turn(store, recorded.turn)
        behind = enqueue_one(store, message(), new_turn(), owner="one", received_by="web").turn
        assert audit_log(store, behind) == [(AuditEvent.RECEIVED, "web")]
        assert audit_log(store, enqueue(store, "other").turn) == []

    def test_every_claim_and_release_is_logged(self, store: Store, expire_lease: ExpireLease) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, ReleaseLease(claim.lease, not_started=True))
        second = claim_one(store, "two")
        expire_lease(claim.conversation.id)
        third = claim_one(store, "three")
        store.apply_writes([answer(third), ReleaseLease(third.lease)])
        assert audit_log(store, claim.turn) == [
            (AuditEvent.CLAIMED, "one"),
            (AuditEvent.RELEASED, "one"),
            (AuditEvent.CLAIMED, "two"),
            (AuditEvent.CLAIMED, "three"),
            (AuditEvent.RELEASED, "three"),
        ]
        brought = claim_one(store, "four").turn
        assert brought == get_turn(store, claim.turn)
        assert audit_log(store, second.turn)[-1] == (AuditEvent.CLAIMED, "four")

    def test_proceeding_to_the_next_turn_logs_a_claim(self, store: Store) -> None:
        claim, waiting = enqueue_and_claim(store), enqueue(store).turn
        _, following = store.apply_writes([answer(claim), finish(claim)])
        assert isinstance(following, Claim)
        assert following.turn == get_turn(store, waiting)
        assert audit_log(store, waiting) == [(AuditEvent.CLAIMED, "one")]

    def test_run_is_logged_once(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        for run in ("r1", "r1", "r2"):
            apply_write(store, SetRun(claim.lease, claim.turn, RunId(run)))
        assert audit_log(store, claim.turn)[1:] == [(AuditEvent.RUN_STARTED, "r1"), (AuditEvent.RUN_STARTED, "r2")]

    def test_lease_holder_appends_entries(self, store: Store) -> None:
        claim, waiting = enqueue_and_claim(store), enqueue(store).turn
        marked = AppendAuditEntry(claim.lease, claim.turn, AuditEvent.RUN_RETRIED, "rate\x00limited")
        put_off = AppendAuditEntry(claim.lease, claim.turn, AuditEvent.DELIVERY_DEFERRED)
        elsewhere = AppendAuditEntry(claim.lease, waiting, AuditEvent.DELIVERY_DEFERRED)
        *_, last, unchanged = store.apply_writes([marked, answer(claim), put_off, elsewhere])
        assert (last, unchanged) == (get_turn(store, claim.turn), get_turn(store, waiting))
        assert audit_log(store, claim.turn)[1:] == [
            (AuditEvent.RUN_RETRIED, "rate\ufffdlimited"),
            (AuditEvent.DELIVERY_DEFERRED, ""),
        ]
        assert audit_log(store, waiting) == []

    def test_long_audit_log_keeps_first_and_newest_entries(self, store: Store) -> None:
        claim = enqueue_one(store, message(), new_turn(), owner="one", received_by="web").claim
        assert claim is not None
        many = [
            AppendAuditEntry(claim.lease, claim.turn, AuditEvent.DELIVERY_DEFERRED, f"{number} {'x' * 5000}")
            for number in range(200)
        ]
        store.apply_writes(many)
        kept = audit_log(store, claim.turn)
        assert kept[:3] == [
            (AuditEvent.RECEIVED, "web"),
            (AuditEvent.CLAIMED, "one"),
            (AuditEvent.DELIVERY_DEFERRED, kept[2][1]),
        ]
        assert kept[2][1].startswith("0 ")
        assert kept[-1][1].startswith("199 ")
        assert len(kept) <= 50
        assert max(len(detail) for _, detail in kept) < 1000

    def test_audit_log_survives_every_other_transition(self, store: Store) -> None:
        claim = enqueue_one(store, message(), new_turn(), owner="one", received_by="web").claim
        assert claim is not None
        store.apply_writes([answer(claim)])
        store.apply_writes([finish(claim)])
        assert audit_log(store, claim.turn) == [(AuditEvent.RECEIVED, "web"), (AuditEvent.CLAIMED, "one")]

    def test_traceparent_is_stored_with_its_turn(self, store: Store, peer: Store, expire_lease: ExpireLease) -> None:
        told = message(traceparent=TRACE)
        claim = enqueue_one(store, told, new_turn(), owner="one").claim
        assert claim is not None
        assert claim.turn.message == told == get_turn(peer, claim.turn).message
        expire_lease(claim.conversation.id)
        assert claim_one(peer, "two").turn.message.traceparent == TRACE

    @pytest.mark.parametrize("taker", ["", "web"])
    def test_waiting_caller_is_stored_if_the_receiver_is_known(self, store: Store, taker: str) -> None:
        told = message(has_waiting_caller=True)
        recorded = enqueue_one(store, told, new_turn(), owner="one", received_by=taker)
        assert recorded.turn.message.has_waiting_caller is bool(taker)
        assert get_turn(store, recorded.turn) == recorded.turn
        assert not enqueue_one(store, told, new_turn(), received_by=taker).is_new

    def test_model_and_cost_are_stored(self, store: Store) -> None:
        claim = enqueue_and_claim(store)
        settled = apply_write(
            store, RecordOutcome(claim.lease, claim.turn, "Hi", Usage(3, 4), model="gpt\x00", cost=2**40)
        )
        assert isinstance(settled, Turn)
        assert (settled.model, settled.cost) == ("gpt\ufffd", 2**40)
        assert settled == get_turn(store, claim.turn)
        undelivered = FinishTurn(claim.lease, claim.turn, FAILURE)
        apply_write(store, undelivered)
        assert (get_turn(store, claim.turn).model, get_turn(store, claim.turn).cost) == ("gpt\ufffd", 2**40)
