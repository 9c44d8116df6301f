"""Contract of Store: calls of tools that people have to approve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from gateway.domain.approvals import Approval, Decider, Decision, asked_by, may_decide, new_approval_id
from gateway.domain.conversations import Claim
from gateway.domain.errors import LeaseLost
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import AWAITS_APPROVAL, MessageKind, RunId, Turn, TurnState, Usage
from gateway.ports.leased_writes import (
    GiveBack,
    HoldCalls,
    HoldTurn,
    ParkTurn,
    RecordOutcome,
    SetOutputs,
    SetQuestion,
    SetRun,
    StartCalls,
)
from gateway.ports.reporting import ReportingStore
from gateway.ports.store import Store
from tests.contracts.store_helpers import (
    PLATFORM,
    answer,
    apply_write,
    claim_one,
    enqueue_and_claim,
    enqueue_one,
    finish,
    get_turn,
    message,
    new_turn,
    remembered,
    run_concurrently,
)

DAY = 86_400.0
ROUND = CallRound((RequestedCall("c1", "refund", '{"order": 1}'), RequestedCall("c2", "look", "{}")), "A moment.")
OUTPUTS = {"c1": "refunded", "c2": "nothing"}
APPROVERS: tuple[tuple[str, ...], ...] = (
    *(("asker",), ("operators",), ("key:shop", "asker"), (f"{PLATFORM}:U1",), (f"{PLATFORM}:U12", "owl:U1")),
    *((f'{PLATFORM}:"asker"', f"{PLATFORM}:a,operators"), ('key:sh"op', f"{PLATFORM}:Zo\u00eb")),
)


def hold(
    store: Store,
    claim: Claim,
    *,
    seconds: float = DAY,
    asked: int = 1,
    approvers: tuple[str, ...] = ("asker",),
    rounds: tuple[CallRound, ...] = (ROUND,),
) -> tuple[Claim, list[Approval]]:
    """Holds two calls, the first ``asked`` of which people have to approve."""
    approvals = tuple(
        Approval(new_approval_id(), claim.turn.id, 0, call.id, call.name, call.arguments, approvers * (place < asked))
        for place, call in enumerate(ROUND.calls)
    )
    write = HoldCalls(claim.lease, claim.turn, rounds, approvals, seconds, Usage(3, 4), "model", 5)
    turn = apply_write(store, write)
    assert isinstance(turn, Turn)
    return replace(claim, turn=turn), list(store.approvals_of(turn.id))


def said(store: Store, channel: str = "loft", **more: Any) -> Claim:
    """Returns the claim on a message that differs by these from others."""
    claim = enqueue_one(store, replace(message(channel), **more), new_turn(), owner="one").claim
    assert claim is not None
    return claim


def turn_of(store: Store, approval: Approval) -> Turn:
    found = store.get_turn(approval.turn_id)
    assert found is not None
    return found


def park(store: Store, claim: Claim) -> None:
    write = ParkTurn(claim.lease, claim.turn, AWAITS_APPROVAL, DAY, DAY, claim.turn.id, not_started=False)
    assert apply_write(store, replace(write, awaits_approvals=True)) is None


class ApprovalsContract:
    def test_held_calls_are_stored_with_the_turn(self, store: Store, peer: Store) -> None:
        claim = enqueue_and_claim(store)
        apply_write(store, SetRun(claim.lease, claim.turn, RunId("r")))
        claim, (asked, beside) = hold(store, claim)
        turn = get_turn(peer, claim.turn)
        assert (turn.run_id, turn.usage, turn.model, turn.cost) == (None, Usage(3, 4), "model", 5)
        assert [each.text for each in turn.rounds] == ["A moment."]
        assert turn.rounds[0].is_open
        assert turn == claim.turn
        assert peer.past_turns(replace(turn, seq=turn.seq + 1), 1) == [remembered(turn)]
        assert (asked.tool, asked.arguments, asked.call_id) == ("refund", '{"order": 1}', "c1")
        assert asked.expires_at == pytest.approx(asked.requested_at + DAY)
        assert (asked.is_open, beside.is_open, beside.may_run) == (True, False, True)
        assert peer.get_approval(asked.id) == asked
        assert list(peer.open_approvals()) == [asked]
        assert peer.get_approval("appr_none") is None

    def test_what_goes_back_with_calls_is_stored_with_them(self, store: Store, peer: Store) -> None:
        signed = replace(ROUND, returned='{"signature": "x\u00e4\x00"}')
        claim, _ = hold(store, enqueue_and_claim(store), rounds=(ROUND, signed))
        assert get_turn(peer, claim.turn) == claim.turn
        assert [each.returned for each in claim.turn.rounds] == ["", signed.returned]
        turn = apply_write(store, SetOutputs(claim.lease, claim.turn, OUTPUTS))
        assert isinstance(turn, Turn)
        assert [each.returned for each in get_turn(peer, turn).rounds] == ["", signed.returned]
        ended = apply_write(store, RecordOutcome(claim.lease, turn, "Done.", calls=ROUND.calls, returned="last"))
        assert isinstance(ended, Turn)
        (past,) = peer.past_turns(replace(ended, seq=ended.seq + 1), 1)
        for found in (ended, get_turn(peer, ended), past):
            assert ([each.returned for each in found.rounds], found.returned) == (["", signed.returned], "last")

    def test_a_decision_is_made_once_and_wakes_the_turn(self, store: Store, peer: Store) -> None:
        claim, approvals = hold(store, enqueue_and_claim(store), asked=2)
        park(store, claim)
        assert get_turn(store, claim.turn).awaits_approval
        assert not get_turn(store, claim.turn).awaits_outputs
        decided = peer.decide(approvals[0].id, Decision.APPROVED, "slack:U1", "Ada")
        assert decided is not None
        assert (decided.decision, decided.decided_by, decided.decided_name) == (Decision.APPROVED, "slack:U1", "Ada")
        assert decided.may_run
        assert store.decide(approvals[0].id, Decision.DENIED, "slack:U2") is None
        assert store.claim("one", ["pigeon"], 10) == ()
        assert store.decide(approvals[1].id, Decision.DENIED, "slack:U2") is not None
        woken = claim_one(peer, "two")
        assert woken.turn.id == claim.turn.id
        assert not woken.first_attempt
        assert [each.decision for each in peer.approvals_of(woken.turn.id)] == [Decision.APPROVED, Decision.DENIED]
        assert list(store.open_approvals()) == []

    def test_of_two_who_decide_at_once_one_does(self, store: Store, peer: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        park(store, claim)
        results = run_concurrently(
            [
                lambda: store.decide(asked.id, Decision.APPROVED, "one"),
                lambda: peer.decide(asked.id, Decision.DENIED, "two"),
            ]
        )
        (decided,) = filter(None, results)
        assert store.approvals_of(claim.turn.id)[0] == decided

    def test_a_turn_is_not_parked_when_all_is_decided_already(self, store: Store, peer: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        assert peer.decide(asked.id, Decision.APPROVED, "one") is not None
        park(store, claim)
        turn = get_turn(store, claim.turn)
        assert (turn.is_parked, turn.state) == (False, TurnState.RUNNING)
        assert claim_one(peer, "two").turn.id == turn.id

    def test_what_nobody_decides_in_time_expires(self, store: Store, peer: Store) -> None:
        claim, approvals = hold(store, enqueue_and_claim(store), seconds=0.0)
        assert [each.decision for each in approvals] == [Decision.EXPIRED, None]
        assert peer.decide(approvals[0].id, Decision.APPROVED, "one") is None
        assert not approvals[0].may_run
        park(store, claim)
        assert claim_one(peer).turn.id == claim.turn.id

    def test_what_has_expired_stays_so_once_the_call_has_an_output(self, store: Store, peer: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        turn = apply_write(store, SetOutputs(claim.lease, claim.turn, {"c1": "nobody approved it"}))
        assert isinstance(turn, Turn)
        assert peer.decide(asked.id, Decision.APPROVED, "one") is None
        (seen, _) = peer.approvals_of(turn.id)
        assert (seen.decision, seen.decided_at is None) == (Decision.EXPIRED, False)

    def test_an_output_ends_the_open_question_about_its_call_only(self, store: Store, peer: Store) -> None:
        claim, (asked, beside) = hold(store, enqueue_and_claim(store))
        other, (elsewhere, _) = hold(store, enqueue_and_claim(store, "other"), asked=2)
        decided = peer.decide(asked.id, Decision.APPROVED, "one")
        apply_write(store, SetOutputs(claim.lease, claim.turn, OUTPUTS))
        assert list(peer.approvals_of(claim.turn.id)) == [decided, beside]
        assert peer.get_approval(elsewhere.id) == elsewhere
        apply_write(store, SetOutputs(other.lease, other.turn, {"c2": "nobody approved it"}))
        assert [each.decision for each in peer.approvals_of(other.turn.id)] == [None, Decision.EXPIRED]

    def test_what_has_expired_is_not_open(self, store: Store) -> None:
        _, (asked, _) = hold(store, enqueue_and_claim(store), seconds=0.0)
        assert list(store.open_approvals()) == []
        seen = store.get_approval(asked.id)
        assert seen is not None
        assert seen.decision is Decision.EXPIRED
        assert seen.decided_at == pytest.approx(seen.expires_at)

    @pytest.mark.parametrize(
        "decider",
        [
            Decider(PLATFORM, "Ada"),
            Decider(PLATFORM, "U1"),
            Decider(f"{PLATFORM}:sales", "U1"),
            Decider("owl", "U1"),
            Decider("owl", "Ada"),
            Decider(PLATFORM, caller="key one", key="shop"),
            Decider(PLATFORM, "Ada", caller="key two", key='sh"op'),
            Decider(PLATFORM, caller="key three"),
            Decider(PLATFORM, "U1", is_operator=True),
            Decider(PLATFORM),
        ],
        ids=str,
    )
    def test_those_that_somebody_may_decide_are_found_among_any_number(self, store: Store, decider: Decider) -> None:
        approvals = list[Approval]()
        callers = ("", "key one", "push staff Eve")
        for approvers in APPROVERS:
            for caller in callers:
                name = f"{len(approvals)}"
                claim = said(store, name, caller=caller, author="" if caller == "key one" else "Ada")
                approvals.append(hold(store, claim, approvers=approvers)[1][0])
        wanted = [each for each in approvals if may_decide(each.approvers, turn_of(store, each).message, decider)]
        assert list(store.open_approvals(decider=decider)) == wanted
        assert list(store.open_approvals(1, decider=decider)) == wanted[:1]
        assert list(store.open_approvals(1, decider=decider, platform="owl")) == []
        assert list(store.open_approvals(platform=PLATFORM)) == approvals

    def test_who_asked_what_the_staff_left_to_the_assistant_may_decide(self, store: Store) -> None:
        elsewhere = [("attic", "key one")] * 3
        for channel, caller in (*elsewhere, ("loft", "key one"), ("loft", "key two")):
            left = said(store, channel, caller=caller, author="")
            apply_write(store, HoldTurn(left.lease, left.turn))
            apply_write(store, finish(left, keep=False))
        given_by = "push staff Eve"
        taken = said(store, caller=given_by, author="", kind=MessageKind.HAND_OVER)
        apply_write(store, answer(taken))
        apply_write(store, finish(taken, keep=False))
        back = said(store, caller=given_by, author="", kind=MessageKind.RESUME)
        turn = apply_write(store, GiveBack(back.lease, back.turn, message(text="Where is it?")))
        assert isinstance(turn, Turn)
        _, (asked, _) = hold(store, replace(back, turn=turn))
        before = store.transcript(turn.conversation_id, before=turn.seq)
        for caller, may in (("key one", False), ("key two", True)):
            decider = Decider(PLATFORM, caller=caller)
            assert may_decide(asked.approvers, asked_by(turn, before), decider) is may
            assert list(store.open_approvals(decider=decider)) == [asked] * may

    def test_nobody_decides_about_what_nobody_was_asked(self, store: Store) -> None:
        _, (_, beside) = hold(store, enqueue_and_claim(store))
        assert store.decide(beside.id, Decision.DENIED, "one") is None
        assert store.decide("appr_none", Decision.DENIED, "one") is None

    def test_a_begun_tool_stays_begun(self, store: Store, peer: Store) -> None:
        claim, (asked, beside) = hold(store, enqueue_and_claim(store))
        store.decide(asked.id, Decision.APPROVED, "one")
        assert apply_write(store, StartCalls(claim.lease, claim.turn, (asked.id,))) == claim.turn
        begun, other = peer.approvals_of(claim.turn.id)
        assert begun.started_at is not None
        assert (begun.may_run, other.may_run) == (False, True)
        apply_write(store, StartCalls(claim.lease, claim.turn, (asked.id, beside.id)))
        assert store.approvals_of(claim.turn.id)[0].started_at == begun.started_at

    def test_outputs_are_set_once_each(self, store: Store, peer: Store) -> None:
        claim, _ = hold(store, enqueue_and_claim(store))
        turn = apply_write(store, SetOutputs(claim.lease, claim.turn, {"c1": "refunded\x00"}))
        assert isinstance(turn, Turn)
        assert turn.has_open_round
        apply_write(store, SetOutputs(claim.lease, turn, {"c1": "again", "c2": "nothing"}))
        stored = get_turn(peer, turn)
        assert [each.output for each in stored.rounds[-1].calls] == ["refunded\ufffd", "nothing"]
        assert not stored.has_open_round

    def test_what_is_posted_of_a_question_is_saved(self, store: Store, peer: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        apply_write(store, SetQuestion(claim.lease, claim.turn, asked.id, ("17", "\x00")))
        assert peer.approvals_of(claim.turn.id)[0].posted_messages == ("17", "\ufffd")

    def test_the_outputs_of_a_question_are_not_the_senders_to_bring(self, store: Store) -> None:
        claim, _ = hold(store, enqueue_and_claim(store))
        park(store, claim)
        turn = store.provide_outputs(claim.turn.id, OUTPUTS)
        assert turn is not None
        assert turn.rounds[-1].is_open

    def test_nothing_is_held_or_decided_of_a_turn_that_has_ended(self, store: Store, peer: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        park(store, claim)
        peer.cancel_turn(claim.turn.id)
        assert store.decide(asked.id, Decision.APPROVED, "one") is None
        assert list(store.open_approvals()) == []
        closed = store.close_approvals(claim.turn.id)
        assert [each.decision for each in store.approvals_of(claim.turn.id)] == [Decision.CANCELLED, None]
        assert [each.id for each in closed] == [asked.id]
        assert peer.close_approvals(claim.turn.id) == closed

        other = enqueue_and_claim(store, "other")
        peer.cancel_turn(other.turn.id)
        other, approvals = hold(store, other)
        assert (other.turn.rounds, approvals) == ((), [])

    def test_an_undecided_question_of_a_turn_that_goes_on_stays_open(self, store: Store) -> None:
        claim, _ = hold(store, enqueue_and_claim(store))
        assert list(store.close_approvals(claim.turn.id)) == []
        assert store.approvals_of(claim.turn.id)[0].is_open

    def test_who_has_lost_the_lease_begins_no_tool(self, store: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        park(store, claim)
        for write in (
            StartCalls(claim.lease, claim.turn, (asked.id,)),
            SetOutputs(claim.lease, claim.turn, OUTPUTS),
            SetQuestion(claim.lease, claim.turn, asked.id, ("17",)),
        ):
            assert isinstance(apply_write(store, write), LeaseLost)
        assert store.approvals_of(claim.turn.id)[0] == asked

    def test_erasing_a_turn_erases_the_arguments_and_who_decided(self, store: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        store.decide(asked.id, Decision.APPROVED, "slack:U1", "Ada")
        cast("ReportingStore", store).erase_author(claim.conversation, "Ada")
        erased = store.approvals_of(claim.turn.id)[0]
        assert (erased.arguments, erased.decided_by, erased.decided_name) == ("", "", "")
        assert (erased.tool, erased.decision) == ("refund", Decision.APPROVED)

    @pytest.mark.parametrize(
        ("by", "is_erased"),
        [("slack:U1", True), ("slack:sales:U1", True), ("slack:U12", False), ("telegram:U1", False), ("key:U1", False)],
    )
    def test_forgetting_who_decided_erases_their_name(self, store: Store, by: str, *, is_erased: bool) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        store.decide(asked.id, Decision.DENIED, by, "Eve")
        reporting = cast("ReportingStore", store)
        assert [each.id for each in reporting.decisions_by("slack", "U1")] == [asked.id] * is_erased
        reporting.erase_feedback_by("slack", "U1")
        assert reporting.decisions_by("slack", "U1") == []
        seen = store.approvals_of(claim.turn.id)[0]
        assert (seen.decided_by, seen.decided_name) == (("", "") if is_erased else (by, "Eve"))
        assert (seen.decision, seen.arguments) == (Decision.DENIED, asked.arguments)

    def test_deleting_a_conversation_deletes_its_questions(self, store: Store) -> None:
        claim, (asked, _) = hold(store, enqueue_and_claim(store))
        store.delete_conversation(claim.conversation.id)
        assert store.get_approval(asked.id) is None
