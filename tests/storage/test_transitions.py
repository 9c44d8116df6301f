"""The transitions of a turn that a contract of Store would need a long story for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.context import ChatContext
from gateway.domain.conversations import Lease
from gateway.domain.exchange import CallRound, RequestedCall
from gateway.domain.models import ConversationKey, Message, MessageKind, Parking, Turn, TurnId, TurnState
from gateway.ports.leased_writes import ParkTurn, SetOutputs
from storage.writes import transitions

LEASE = Lease(1, "one", 1)
MESSAGE = Message(ConversationKey("fake"), "1", "Hello")
TURN = Turn(TurnId("turn"), 1, 1, MESSAGE, TurnState.RUNNING, attempts=3)
ROUND = CallRound((RequestedCall("c1", "refund", "{}"),))


@pytest.mark.parametrize(("failed", "attempts"), [(False, 2), (True, 3)])
def test_what_is_released_takes_its_own_attempt_back_and_no_other(*, failed: bool, attempts: int) -> None:
    for not_started in (False, True):
        assert transitions.released(TURN, "one", 1.0, not_started=not_started, failed=failed).attempts == attempts


@pytest.mark.parametrize(("at", "since"), [(200.0, 100.0), (203.0, 103.5), (250.0, 150.5)])
def test_what_a_process_worked_on_a_parked_turn_counts_and_what_nobody_did_does_not(at: float, since: float) -> None:
    """It was claimed at 150, and worked on for 49.5 seconds."""
    woken = Parking("budget", "", 100.0, 700.0, 150.0)
    write = ParkTurn(LEASE, TURN, "budget", 1.0, 600.0, worked_seconds=49.5)
    parked = transitions.parked(replace(TURN, parking=woken), write, at).parking
    assert parked is not None
    assert (parked.since, parked.expires_at) == (since, since + 600.0)


@pytest.mark.parametrize("turn", [replace(TURN, state=TurnState.CANCELLED, rounds=(ROUND,)), TURN])
def test_outputs_for_a_turn_that_waits_for_none_change_nothing(turn: Turn) -> None:
    assert transitions.with_outputs(turn, SetOutputs(LEASE, turn, {"c1": "refunded"})) is turn


def test_a_question_is_asked_by_whoever_gives_the_conversation_back_if_that_is_known() -> None:
    mine, theirs = ({"author": name, "address": {"to": name}, "context": ChatContext(name)} for name in ("ann", "bob"))
    question = replace(MESSAGE, text="Why?", **theirs)  # type: ignore[arg-type]  # of many types
    back = replace(TURN, message=replace(MESSAGE, kind=MessageKind.RESUME))
    asked = transitions.asking(back, question).message
    assert (asked.author, asked.address, asked.context) == ("bob", {"to": "bob"}, ChatContext("bob"))
    back = replace(back, message=replace(back.message, **mine))  # type: ignore[arg-type]  # of many types
    asked = transitions.asking(back, question).message
    assert (asked.author, asked.address, asked.context) == ("ann", {"to": "ann"}, ChatContext("bob"))
    asked = transitions.asking(back, replace(question, context=None)).message
    assert asked.context == ChatContext("ann")
